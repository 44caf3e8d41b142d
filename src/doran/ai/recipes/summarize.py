"""summarize: what was said since the asker was here last, with the messages that it rests on. For the asker only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from doran.ai import cleaning, reading
from doran.ai.jobs.work import Work
from doran.ai.kinds import SummarizeOptions
from doran.ai.providers import Trouble
from doran.ai.recipes import subjects
from doran.ai.recipes.asking import Asking
from doran.contracts.frames import JobResult, MessageView

MOST: Final = 500
LONGEST: Final = 4000
_NOTHING: Final[Mapping[str, str]] = {"ko": "새 메시지가 없어요.", "en": "There is nothing new."}


class _Summary(msgspec.Struct):
    summary: str
    cited: list[int] = []


async def summarize(work: Work) -> JobResult:
    messages = await work.aside(_new, str(work.job.conversation_id), work.job.user_id, _since(work))
    if not messages:
        return JobResult(text=_NOTHING[work.locale])
    asking = await Asking.of(work, "summarize")
    block = asking.fenced(messages)
    about = subjects.of_messages(str(work.job.conversation_id), block.messages)
    answer = await asking.form(block, about, _Summary, words="summary")
    return JobResult(text=_words(answer.summary), citations=block.cited(answer.cited))


def _since(work: Work) -> int | None:
    options = work.options
    assert isinstance(options, SummarizeOptions)
    return options.since_seq


def _new(conversation_id: str, user_id: str, since: int | None) -> list[MessageView]:
    """The newest messages after `since`, or after what this person has read."""
    if since is None:
        since = reading.conversation(conversation_id, user_id).me.last_read_seq
    return reading.newest(conversation_id, user_id, most=MOST, since_seq=since)


def _words(summary: str) -> str:
    words = cleaning.shortened(cleaning.plain(summary), LONGEST)
    if not words:
        raise Trouble("invalid_answer", "there is nothing to see in it")
    return words
