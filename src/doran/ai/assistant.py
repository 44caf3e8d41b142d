"""The assistant: what people write to it becomes jobs, one after another in each conversation.

Nobody but a person can make it answer: it hears only what is written to it, and what it says itself is never that.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from doran.ai import jobs
from doran.ai.jobs import Question, waking
from doran.ai.kinds import KINDS, Locale
from doran.ai.models import AiJob, AiResponse, Source
from doran.contracts.events import MessageCreated
from doran.contracts.people import ASSISTANT_ID
from doran.kernel import clock

DATABASE: Final = "ai"
PATIENCE: Final = 60.0
"""For how many seconds a question at most waits for the answer to the one before it to be said."""
SAID: Final = "ai:"
"""How chat calls the messages it made of our answers; the id of the answer follows."""
OURS: Final = "message:"
"""How the keys of jobs begin that were asked for by writing."""

_HANGUL: Final = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
_LATIN: Final = re.compile("[A-Za-z]")


def hear(said: MessageCreated) -> None:
    """Let the assistant answer what was written to it. In the transaction that marks the event as handled.

    Who writes on before the answer is begun gets one answer to all of it; who writes on while it is written gets the
    next one after it. What cannot be answered at all is a job that has failed, so that its asker is told why.
    """
    if said.sender_id == ASSISTANT_ID:
        _note_said(said)
        _go_on(said.conversation_id)
    elif said.recipient_id == ASSISTANT_ID and not (_is_answered(said.message_id) or _joins(said)):
        question = Question("reply", said.conversation_id, said.message_id, key=f"{OURS}{said.message_id}")
        after = PATIENCE if _is_answering(said.conversation_id) else 0
        jobs.ask_or_fail(said.sender_id, question, locale=_language(said.content or ""), after=after)


def _joins(said: MessageCreated) -> bool:
    """Whether a question of the same person still waits here: it will be answered together with this one."""
    now = clock.now()
    changes = {"message_id": said.message_id, "updated_at": now, "deadline_at": now + KINDS["reply"].longest}
    return bool(_waiting(said.conversation_id).filter(user_id=said.sender_id).update(**changes))


def _is_answered(message_id: str | None) -> bool:
    """Whether it was read already for an answer, together with one before it."""
    return Source.objects.filter(message_id=message_id, job__kind="reply", job__state=AiJob.State.SUCCEEDED).exists()


def _is_answering(conversation_id: str) -> bool:
    """Whether an answer is being written here, or has yet to be said."""
    running = AiJob.objects.filter(kind="reply", state=AiJob.State.RUNNING, conversation_id=conversation_id)
    lately = clock.now() - timedelta(seconds=PATIENCE)
    return running.exists() or _unsaid(conversation_id).filter(created_at__gt=lately).exists()


def _unsaid(conversation_id: str) -> QuerySet[AiResponse]:
    """Answers that do not stand in the conversation, as far as was heard. An outbox would say less: it may keep for a
    moment what was heard already."""
    answers = AiResponse.objects.filter(job__conversation_id=conversation_id, job__kind="reply", said_at=None)
    return answers.filter(job__state=AiJob.State.SUCCEEDED)


def _note_said(said: MessageCreated) -> None:
    """This answer stands there, and with it those before it."""
    until, name = datetime.fromisoformat(said.created_at), said.client_message_id or ""
    if name.startswith(SAID):
        answer = AiResponse.objects.filter(id=name.removeprefix(SAID)).values_list("created_at", flat=True).first()
        until = answer or until
    _unsaid(said.conversation_id).filter(created_at__lte=until).update(said_at=clock.now())


def _go_on(conversation_id: str) -> None:
    """The answer is said: what waited for that comes next, unless the answer is to it as well."""
    now = clock.now()
    later = _waiting(conversation_id).filter(attempts=0, due_at__gt=now, idempotency_key__startswith=OURS)
    for job in later:
        if _is_answered(job.message_id):
            later.filter(id=job.id, message_id=job.message_id).delete()
    if later.update(due_at=now, updated_at=now):
        transaction.on_commit(partial(waking.news, None), using=DATABASE)


def _waiting(conversation_id: str) -> QuerySet[AiJob]:
    return AiJob.objects.filter(kind="reply", state=AiJob.State.QUEUED, conversation_id=conversation_id)


def _language(text: str) -> Locale | None:
    """Of the words around the answer; the model sees by itself in which language it was asked."""
    if _HANGUL.search(text):
        return "ko"
    return "en" if _LATIN.search(text) else None
