"""embed: make what was said in a conversation findable, as far as the asker sees it. Answers nothing."""

from __future__ import annotations

from doran.ai import reading
from doran.ai.jobs.work import Work
from doran.ai.privacy import consents
from doran.ai.retrieval import catching_up, finding
from doran.contracts.frames import JobResult


async def embed(work: Work) -> JobResult:
    conversation_id = await work.aside(_place, work)
    await catching_up.catch_up(work, conversation_id, finding.in_use())
    return JobResult()


def _place(work: Work) -> str:
    """The conversation, in which everybody allows it. Raises `Problem`: `not_found`, `consent_needed`."""
    job = work.job
    place = job.conversation_id or reading.message(str(job.message_id), job.user_id).conversation_id
    consents.require(place, job.user_id, scope="history", outside=True)
    return place
