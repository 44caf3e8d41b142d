"""The REST edge of ai."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from doran.ai import jobs
from doran.kernel.clock import rfc3339
from doran.kernel.http import Api, Json, offers, route

OpaqueId = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class AskJob(msgspec.Struct, forbid_unknown_fields=True):
    """What is wanted, and on what."""

    kind: jobs.Kind
    conversation_id: OpaqueId | None = None
    message_id: OpaqueId | None = None
    input: Annotated[str, msgspec.Meta(max_length=20_000)] | None = None
    idempotency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=jobs.IDEMPOTENCY_KEY_LENGTH)] | None = None


class JobView(msgspec.Struct, frozen=True):
    """A job as its asker sees it. `result` is null until it succeeded, `failure_code` "" unless it failed."""

    id: str
    kind: str
    state: str
    conversation_id: str | None
    message_id: str | None
    result: str | None
    failure_code: str
    created_at: str
    updated_at: str


def view(job: Any) -> JobView:
    response = getattr(job, "response", None)
    return JobView(
        id=str(job.id),
        kind=job.kind,
        state=str(job.state),
        conversation_id=job.conversation_id,
        message_id=job.message_id,
        result=response and response.content,
        failure_code=job.failure_code,
        created_at=rfc3339(job.created_at),
        updated_at=rfc3339(job.updated_at),
    )


class Jobs(Api):
    @offers(status=202, problems=("no_provider",))
    def post(self, parsed_body: Json[AskJob]) -> JobView:
        """Ask the AI for something."""
        body = parsed_body
        return view(
            jobs.ask(kind=body.kind, conversation_id=body.conversation_id, message_id=body.message_id, input=body.input)
        )


class OneJob(Api):
    @offers()
    def get(self) -> JobView:
        """One job of mine."""
        return view(jobs.of(self.principal.user_id, self.kwargs["job_id"]))


class Cancellation(Api):
    @offers(problems=("conflict",))
    def post(self) -> JobView:
        """Stop a job of mine that has not ended."""
        return view(jobs.cancel(self.principal.user_id, self.kwargs["job_id"]))


ROUTES: Final = (
    route("api/ai/jobs/", Jobs),
    route("api/ai/jobs/<id:job_id>/", OneJob),
    route("api/ai/jobs/<id:job_id>/cancel/", Cancellation),
)
