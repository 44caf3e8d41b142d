"""A job as its asker sees it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from doran.ai.models import AiJob, AiResponse
from doran.contracts.frames import JobResult, JobView
from doran.kernel.clock import rfc3339


class JobList(msgspec.Struct, frozen=True):
    """The newest first; `next` is the address of those before, or null."""

    results: list[JobView]
    next: str | None


def job(row: AiJob) -> JobView:
    return JobView(
        id=str(row.id),
        kind=row.kind,  # type: ignore[arg-type]  # only kinds of the table are ever written
        state=str(row.state),  # type: ignore[arg-type]
        conversation_id=row.conversation_id,
        message_id=row.message_id,
        attempt=row.attempts,
        partial=row.partial,
        partial_seq=row.partial_seq,
        result=_result(row),
        failure_code=row.failure_code,
        created_at=rfc3339(row.created_at),
        updated_at=rfc3339(row.updated_at),
    )


def jobs(rows: Iterable[AiJob]) -> list[JobView]:
    return [job(row) for row in rows]


def _result(row: AiJob) -> JobResult | None:
    """Only one that succeeded has any; asked for with its response, or it is looked up."""
    if row.state != AiJob.State.SUCCEEDED:
        return None
    response: AiResponse | None = getattr(row, "response", None)
    return None if response is None else msgspec.json.decode(response.data, type=JobResult)
