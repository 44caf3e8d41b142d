"""What ai keeps of messages, and how each part of it goes.

Keeping and forgetting of one conversation come one after another (`places.hold`), so that whoever comes late with
words of a deleted message finds that it is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

import msgspec
from django.db.models import Q

from doran.ai.models import AiJob, AiResponse, EmbeddedUpTo, Embedding, Forgotten, Outbox, Source, Translation
from doran.ai.privacy import places
from doran.contracts.events import AiMessageGenerated
from doran.contracts.frames import JobResult
from doran.kernel import clock

REMEMBERED_FOR: Final = timedelta(days=7)
"""How long it is known that a message is gone: longer than anybody could still be at work with its words."""

_EMPTY: Final = msgspec.json.encode(JobResult(forgotten=True)).decode()


# -- whoever wants to keep something ---------------------------------------------------------------


def gone(conversation_id: str, versions: Mapping[str, int]) -> set[str]:
    """Which of these messages, in these versions, must not be kept. Holds the conversation for the transaction."""
    known = _forgotten(conversation_id, versions)
    return {message_id for message_id, up_to in known.items() if up_to is None or versions[message_id] <= up_to}


def deleted(conversation_id: str, message_ids: Iterable[str]) -> set[str]:
    """Which of these messages are gone for everybody. Holds the conversation for the transaction."""
    return {message_id for message_id, up_to in _forgotten(conversation_id, message_ids).items() if up_to is None}


def _forgotten(conversation_id: str, message_ids: Iterable[str]) -> dict[str, int | None]:
    places.hold(conversation_id)
    rows = Forgotten.objects.filter(message_id__in=list(message_ids))
    return dict(rows.values_list("message_id", "up_to_version"))


# -- whoever forgets -------------------------------------------------------------------------------


def forget_history(conversation_id: str) -> None:
    """Nothing lasting stays of a conversation in which not everybody allows it."""
    Embedding.objects.filter(conversation_id=conversation_id).delete()
    EmbeddedUpTo.objects.filter(conversation_id=conversation_id).delete()


def forget_versions(message_id: str, *, before: int) -> None:
    """The message says something else from version `before` on: what was made of its old words goes."""
    _never_again(message_id, before - 1)
    old = Q(message_id=message_id, message_version__lt=before)
    Embedding.objects.filter(old).delete()
    Translation.objects.filter(old).delete()


def forget_message(message_id: str) -> set[AiJob]:
    """The message is gone, and with it all that was made of it. Returns the jobs that read it and have not ended."""
    _never_again(message_id, None)
    for kind in (Embedding, Translation):
        kind.objects.filter(message_id=message_id).delete()
    return forget_answers(Source.objects.filter(message_id=message_id).values_list("job_id", flat=True))


def forget_answers(job_ids: Iterable[object]) -> set[AiJob]:
    """What these jobs answered, also where it still waits to be said. Returns those that have not ended."""
    jobs = list(AiJob.objects.select_for_update().filter(id__in=list(job_ids)).order_by("id"))
    ids = [job.id for job in jobs]
    AiJob.objects.filter(id__in=ids).update(partial="")
    AiResponse.objects.filter(job_id__in=ids, forgotten_at=None).update(data=_EMPTY, forgotten_at=clock.now())
    _unsay({str(job.id) for job in jobs}, {job.conversation_id for job in jobs if job.kind == "reply"})
    return {job for job in jobs if job.state in (AiJob.State.QUEUED, AiJob.State.RUNNING)}


def prune() -> int:
    """Forget what was forgotten long ago; return how many."""
    return Forgotten.objects.filter(at__lt=clock.now() - REMEMBERED_FOR).delete()[0]


def _never_again(message_id: str, up_to: int | None) -> None:
    """A deletion counts for ever, an edit up to the next."""
    known = Forgotten.objects.filter(message_id=message_id).first()
    if known is None:
        Forgotten.objects.create(message_id=message_id, up_to_version=up_to, at=clock.now())
    elif up_to is None or (known.up_to_version is not None and known.up_to_version < up_to):
        Forgotten.objects.filter(message_id=message_id).update(up_to_version=up_to, at=clock.now())


def _unsay(job_ids: set[str], conversation_ids: set[str | None]) -> None:
    """Answers on their way to chat lose their words; one without words is not stored there."""
    waiting = Outbox.objects.filter(
        event_type=AiMessageGenerated.NAME, key__in=[one for one in conversation_ids if one]
    )
    for row in waiting.iterator():
        said = msgspec.json.decode(row.data, type=AiMessageGenerated)
        if said.job_id in job_ids and said.content:
            emptied = msgspec.structs.replace(said, content="")
            Outbox.objects.filter(id=row.id).update(data=msgspec.json.encode(emptied).decode())
