"""reply: the assistant answers in its own conversation. Who asks speaks for themselves; earlier answers are its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import dropwhile, groupby
from typing import Final

from doran.ai import cleaning, prompts, reading
from doran.ai.growing import Clean
from doran.ai.jobs.work import Work
from doran.ai.prompts import fencing
from doran.ai.providers import Role, Trouble, Turn, thinking
from doran.ai.recipes import subjects
from doran.ai.recipes.asking import Asking, today
from doran.ai.shop import shop
from doran.contracts.frames import JobResult, MessageView
from doran.contracts.people import ASSISTANT_ID

MOST: Final = 40
"""So many messages are read, unless what was asked stands further back."""


async def reply(work: Work) -> JobResult:
    conversation_id, asking = str(work.job.conversation_id), await Asking.of(work, "reply")
    said = await work.aside(_said, conversation_id, work.job.user_id, work.job.message_id)
    kept = _from_a_question(fencing.newest_within(said, asking.room))
    if not kept:
        raise Trouble("too_long" if said else "not_found", "there is nothing that can be answered")
    filled = prompts.fill(asking.prompt, name=shop().config.ai_assistant, today=today(work.locale))
    clean = _clean(kept)
    answer = await asking.turns(filled, _turns(kept), subjects.of_messages(conversation_id, kept), clean=clean)
    return JobResult(text=_words(clean(answer)))


def _said(conversation_id: str, user_id: str, asked: str | None) -> list[MessageView]:
    """What is read, at its end what waits for an answer, above all the message `asked`.

    Raises `Problem("not_found")`: it answers in its own conversations only, and nothing that is gone.
    """
    here = reading.conversation(conversation_id, user_id)
    if ASSISTANT_ID not in (here.participant1_id, here.participant2_id):
        raise Trouble("not_found", "this is not the assistant's conversation")
    said = _read(reading.backwards(conversation_id, user_id, size=MOST), asked)
    waiting = _waiting(said, asked)
    if asked and not waiting:
        raise Trouble("not_found", "what was asked is gone")
    said.sort(key=lambda one: one.id in waiting)
    return _up_to_a_question(said)


def _read(newest: Iterator[MessageView], asked: str | None) -> list[MessageView]:
    """The newest messages, oldest first; more of them where neither `asked` nor any question is among them."""
    read, has_question, has_asked = list[MessageView](), False, asked is None
    for one in newest:
        if reading.has_words(one):
            read.append(one)
            has_question = has_question or not _is_own(one)
        has_asked = has_asked or one.id == asked
        if len(read) >= MOST and has_question and has_asked:
            break
    return read[::-1]


def _waiting(said: Sequence[MessageView], asked: str | None) -> set[str]:
    """The questions that were asked after those which an answer is to, even if that answer was said after them."""
    places = {one.id: one.seq for one in said}
    answered = max(
        (places.get(one.reply_to, 0) if one.reply_to else one.seq for one in said if _is_own(one)), default=0
    )
    return {one.id for one in said if not _is_own(one) and (one.seq > answered or one.id == asked)}


def _up_to_a_question(said: list[MessageView]) -> list[MessageView]:
    return list(dropwhile(_is_own, said[::-1]))[::-1]


def _from_a_question(said: list[MessageView]) -> list[MessageView]:
    return list(dropwhile(_is_own, said))


def _turns(said: Sequence[MessageView]) -> list[Turn]:
    """Several messages in a row are one turn."""
    return [Turn(role, "\n".join(_heard(one) for one in messages)) for role, messages in groupby(said, key=_role)]


def _heard(message: MessageView) -> str:
    """What somebody said; of the assistant's own, nothing that it only thought."""
    words = thinking.without(message.content) if _is_own(message) else message.content
    return cleaning.visible(words)


def _role(message: MessageView) -> Role:
    return "assistant" if _is_own(message) else "user"


def _is_own(message: MessageView) -> bool:
    return message.sender_id == ASSISTANT_ID


def _clean(said: Sequence[MessageView]) -> Clean:
    """Plain text; addresses only those that who asks has written."""
    known = frozenset[str]().union(*(cleaning.addresses(one.content) for one in said if not _is_own(one)))
    return partial(cleaning.plain, known=known)


def _words(answer: str) -> str:
    words = cleaning.shortened(answer, shop().config.content_limit)
    if not words:
        raise Trouble("invalid_answer", "there is nothing to see in it")
    return words
