"""Whose words a job is about."""

from __future__ import annotations

from collections.abc import Sequence

from doran.ai import reading
from doran.ai.jobs.work import Subject, Work
from doran.ai.providers import Trouble
from doran.contracts.frames import MessageView


def of_messages(conversation_id: str, messages: Sequence[MessageView]) -> Subject:
    """These messages and who wrote them."""
    return Subject(conversation_id, tuple(dict.fromkeys(one.sender_id for one in messages)), tuple(messages))


def own(work: Work) -> Subject:
    """The asker's own text, which is in no conversation yet."""
    return Subject(None, (work.job.user_id,))


async def text(work: Work) -> tuple[str, Subject, MessageView | None]:
    """The text a job works on: its message as the asker may see it now, or what was given with it.

    Raises `Problem("not_found")`, `Trouble("not_found")` for a message that is deleted.
    """
    job = work.job
    if not job.message_id:
        return job.input, own(work), None
    message = await work.aside(reading.message, job.message_id, job.user_id)
    if message.is_deleted or not message.content:
        raise Trouble("not_found", "the message is deleted")
    return message.content, of_messages(message.conversation_id, [message]), message
