"""ask: a question over the asker's own history, answered from what is found there, with the messages it rests on.

An answer that rests on none of them is not given: then the honest answer is that nothing was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from doran.ai import cleaning, reading
from doran.ai.jobs.work import Subject, Work
from doran.ai.prompts import fencing
from doran.ai.recipes.asking import Asking, today
from doran.ai.retrieval import finding
from doran.ai.retrieval.search import Hit
from doran.contracts.errors import Problem
from doran.contracts.frames import JobResult, MessageView

MOST: Final = 8
AROUND: Final = 2
LONGEST: Final = 4000
NOT_FOUND: Final[Mapping[str, str]] = {
    "ko": "대화에서 찾지 못했어요.",
    "en": "I did not find that in your conversations.",
}


class _Answer(msgspec.Struct):
    answer: str
    citations: list[int] = []


async def ask(work: Work) -> JobResult:
    found = await finding.find(work, work.job.input, most=MOST)
    groups = await work.aside(_with_neighbours, found, work.job.user_id)
    if not groups:
        return JobResult(text=NOT_FOUND[work.locale])
    asking = await Asking.of(work, "ask")
    block = asking.fenced(_fitting(groups, asking.room))
    answer = await asking.form(
        block, _about(block.messages), _Answer, question=work.job.input, today=today(work.locale)
    )
    words, cited = cleaning.shortened(cleaning.plain(answer.answer), LONGEST), block.cited(answer.citations)
    return JobResult(text=words, citations=cited) if words and cited else JobResult(text=NOT_FOUND[work.locale])


def _with_neighbours(found: Sequence[Hit], user_id: str) -> list[list[MessageView]]:
    """What was found, the best first, each with what stands around it."""
    return list(filter(None, (_around(hit.message, user_id) for hit in found)))


def _fitting(groups: Sequence[Sequence[MessageView]], room: int) -> list[MessageView]:
    """As many of the best as there is room for, each message once, in the order in which they were said."""
    for count in range(len(groups), 0, -1):
        near = {one.id: one for group in groups[:count] for one in group}
        said = sorted(near.values(), key=lambda one: (one.created_at, one.conversation_id, one.seq))
        if len(fencing.newest_within(said, room)) == len(said):
            return said
    return list(groups[0])


def _around(message: MessageView, user_id: str) -> list[MessageView]:
    try:
        return reading.around(message.conversation_id, user_id, message.seq, before=AROUND, after=AROUND)
    except Problem as problem:
        if problem.code != "not_found":
            raise
        return []


def _about(messages: Sequence[MessageView]) -> Subject:
    return Subject(None, tuple(dict.fromkeys(one.sender_id for one in messages)), tuple(messages))
