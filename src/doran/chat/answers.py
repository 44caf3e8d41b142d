"""What the assistant says: an ordinary message, by the one door, once for each answer."""

from __future__ import annotations

import logging

from django.db.models import F

from doran.chat import content, conversations, messages
from doran.chat.models import Message
from doran.chat.shop import shop
from doran.chat.writer import DATABASE
from doran.contracts.errors import Problem
from doran.contracts.events import AiMessageGenerated
from doran.contracts.people import ASSISTANT_ID

log = logging.getLogger(__name__)


def say(answer: AiMessageGenerated) -> None:
    """Let the assistant say it: only as the assistant, and only where it may speak now. In the writer's transaction.

    What is refused once is refused for ever: who has blocked the assistant does not find its answers later.
    Raises `Problem` only where the answer is welcome and cannot be taken at this moment.
    """
    try:
        _say(answer)
    except Problem as no:
        if no.kind.status >= 500:
            raise
        facts = {"code": no.code, "job_id": answer.job_id, "conversation_id": answer.conversation_id}
        log.warning("an answer of the assistant is not said", extra=facts)


def _say(answer: AiMessageGenerated) -> None:
    if answer.sender_id != ASSISTANT_ID:
        raise Problem("sender_mismatch")
    messages.store(
        conversation_id=answer.conversation_id,
        sender_id=answer.sender_id,
        text=content.fitted(answer.content, limit=shop().config.content_limit),
        client_message_id=f"ai:{answer.response_id}",
        reply_to=_if_passed(answer.reply_to),
    )


def _if_passed(message_id: str | None) -> str | None:
    """The message that is answered, if somebody has written on meanwhile and it was not deleted: else it is plain."""
    try:
        rows = Message.objects.using(DATABASE).filter(id=conversations.parse_id(message_id or ""), is_deleted=False)
    except Problem:
        return None
    return message_id if rows.filter(seq__lt=F("conversation__last_seq")).exists() else None
