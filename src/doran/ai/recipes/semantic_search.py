"""semantic_search: messages of the asker's that fit a question, by words and meaning; which they are, and no words."""

from __future__ import annotations

from doran.ai.jobs.work import Work
from doran.ai.kinds import SearchOptions
from doran.ai.retrieval import finding
from doran.ai.retrieval.search import Hit
from doran.contracts.frames import Citation, JobResult


async def semantic_search(work: Work) -> JobResult:
    options = work.options
    assert isinstance(options, SearchOptions)
    found = await finding.find(work, work.job.input, most=options.limit)
    return JobResult(citations=tuple(map(_citation, found)))


def _citation(hit: Hit) -> Citation:
    one = hit.message
    return Citation(one.id, one.conversation_id, one.seq, round(hit.score, 6))
