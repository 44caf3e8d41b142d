"""The REST edge of ai: what can be asked, asking, looking up, cancelling. Ends with the table of its paths."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

import msgspec

from doran.ai import jobs, offering
from doran.ai.jobs import Question, views
from doran.ai.jobs.views import JobList
from doran.ai.kinds import Locale
from doran.ai.privacy.http import ROUTES as PRIVACY
from doran.contracts.errors import Problem, invalid
from doran.contracts.frames import JobKind, JobView, ShopWindow
from doran.kernel.http import Answer, Api, Json, Query, offers, route
from doran.kernel.http.routes import ID_PATTERN

OpaqueId = Annotated[str, msgspec.Meta(pattern=f"^{ID_PATTERN}$")]


class AskJob(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is wanted, and on what. `options` are those of the kind: see docs/guides/ai.md."""

    kind: JobKind
    conversation_id: OpaqueId | None = None
    message_id: OpaqueId | None = None
    input: Annotated[str, msgspec.Meta(max_length=20_000)] | None = None
    options: dict[str, Any] | None = None
    idempotency_key: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None


class JobsQuery(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which of my jobs: of one conversation, of one kind, those before a job in the list."""

    conversation_id: OpaqueId | None = None
    kind: JobKind | None = None
    before: OpaqueId | None = None
    page_size: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


class Window(Api):
    @offers()
    def get(self) -> ShopWindow:
        """What can be asked of the AI here and now, and who would answer."""
        return offering.window()


class Jobs(Api):
    @offers()
    def get(self, parsed_query: Query[JobsQuery]) -> JobList:
        """My jobs, the newest first."""
        wanted = msgspec.structs.asdict(parsed_query)
        rows, before = jobs.list_(self.principal.user_id, **wanted)
        return JobList(views.jobs(rows), None if before is None else self.link(before=before))

    @offers(
        {202: JobView, 200: JobView}, problems=("no_provider", "ai_off", "budget_exhausted", "idempotency_conflict")
    )
    def post(self, parsed_body: Json[AskJob]) -> Answer:
        """Ask the AI for something. The same key again is the same job, with 200."""
        body = msgspec.structs.asdict(parsed_body)
        question = Question(**body | {"key": self._key(body.pop("idempotency_key"))})
        job, is_new = jobs.ask(self.principal.user_id, question, locale=self._locale)
        return self.answer(views.job(job), status=202 if is_new else 200)

    def _key(self, said: str | None) -> str | None:
        """Of the body or the header; in both only if it is the same."""
        header = self.idempotency_key
        if said is not None and header is not None and said != header:
            raise invalid("idempotency_key", "The Idempotency-Key header says something else.")
        return said or header

    @property
    def _locale(self) -> Locale:
        """The asker's language, as far as their device says it."""
        return spoken(self.request.META.get("HTTP_ACCEPT_LANGUAGE", ""))


def spoken(accepted: str) -> Locale:
    """Korean, unless English is said to be preferred (RFC 9110, 12.5.4)."""
    weights: dict[str, float] = {}
    for name, weight in re.findall(r"(?i)\b(ko|en)\b[\w-]*(?:\s*;\s*q=([01](?:\.\d{1,3})?))?", accepted[:200]):
        weights[name.lower()] = max(float(weight or 1), weights.get(name.lower(), 0))
    return "en" if weights.get("en", 0) > weights.get("ko", 0) else "ko"


class OneJob(Api):
    @offers()
    def get(self) -> JobView:
        """One job of mine."""
        return views.job(jobs.of(self.principal.user_id, self.kwargs["job_id"]))


class Cancellation(Api):
    @offers(problems=("conflict",))
    def post(self) -> JobView:
        """Stop a job of mine that has not ended. Twice is the same as once."""
        return views.job(jobs.cancel(self.principal.user_id, self.kwargs["job_id"]))


class JobEvents(Api):
    @offers(problems=("unavailable",))
    def get(self) -> str:
        """A job of mine as server-sent events: `job` (a JobView) and `delta` ({attempt, text}), until it has ended.

        `Last-Event-ID` continues where an earlier stream broke off; 204 when there is nothing more to hear.
        """
        raise Problem("unavailable")  # streams are answered before Django hears of them (`doran.ai.stream`)


ROUTES: Final = (
    route("api/ai/", Window),
    route("api/ai/jobs/", Jobs),
    route("api/ai/jobs/<id:job_id>/", OneJob),
    route("api/ai/jobs/<id:job_id>/cancel/", Cancellation),
    route("api/ai/jobs/<id:job_id>/events/", JobEvents, media="text/event-stream"),
    *PRIVACY,
)
