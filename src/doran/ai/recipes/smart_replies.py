"""smart_replies: three short answers to choose from. They are shown to the asker and never sent by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from doran.ai import cleaning, reading
from doran.ai.jobs.work import Work
from doran.ai.languages import UNDETERMINED, language_of
from doran.ai.providers import Trouble
from doran.ai.recipes import subjects
from doran.ai.recipes.asking import Asking
from doran.ai.translation import names
from doran.contracts.frames import JobResult, MessageView

MOST: Final = 30
COUNT: Final = 3
LONGEST: Final = 200
_LATEST: Final = 5
_THEIRS: Final[Mapping[str, str]] = {"ko": "대화에 쓰인 언어", "en": "the language of the chat"}


class _Replies(msgspec.Struct):
    replies: list[str]


async def smart_replies(work: Work) -> JobResult:
    conversation_id = str(work.job.conversation_id)
    messages = await work.aside(reading.newest, conversation_id, work.job.user_id, most=MOST)
    if not messages:
        raise Trouble("not_found", "nothing was said yet")
    asking = await Asking.of(work, "smart_replies")
    block = asking.fenced(messages)
    about = subjects.of_messages(conversation_id, block.messages)
    answer = await asking.form(block, about, _Replies, language=_language(block.messages, work.locale))
    return JobResult(replies=_three(answer.replies))


def _language(messages: Sequence[MessageView], locale: str) -> str:
    """What the newest messages are written in."""
    found = language_of("\n".join(one.content for one in messages[: -_LATEST - 1 : -1]))
    return _THEIRS[locale] if found == UNDETERMINED else names.name(found, locale)


def _three(replies: list[str]) -> tuple[str, ...]:
    """Three different ones, each in a line. Raises `Trouble("invalid_answer")`."""
    lines = (" ".join(cleaning.plain(one).split()) for one in replies)
    different = dict.fromkeys(cleaning.shortened(one, LONGEST) for one in lines if one)
    if len(different) < COUNT:
        raise Trouble("invalid_answer", "fewer than three replies")
    return tuple(different)[:COUNT]
