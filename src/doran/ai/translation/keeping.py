"""Translations that were made once: kept for each version of a message, and gone with it."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from doran.ai.models import Forgotten, Translation
from doran.ai.privacy import places
from doran.ai.privacy.places import DATABASE
from doran.contracts.frames import MessageView
from doran.kernel import clock


def kept(message: MessageView, target: str, engines: Sequence[str]) -> Translation | None:
    """What one of these engines made of this version, by the first of them that did."""
    found = Translation.objects.filter(message_id=message.id, message_version=message.change_seq, target=target)
    by_engine = {one.engine: one for one in found}
    return next((by_engine[engine] for engine in engines if engine in by_engine), None)


def keep(message: MessageView, user_id: str, *, target: str, engine: str, source: str, text: str) -> None:
    """Keep it for whoever may read the message, as `user_id` may; never of one that was deleted meanwhile."""
    places.of(message.conversation_id, user_id)
    with transaction.atomic(using=DATABASE):
        places.hold(message.conversation_id)
        if not Forgotten.objects.filter(message_id=message.id).exists():
            (known,) = places.known(message.conversation_id, [message])
            Translation.objects.bulk_create([_row(known, target, engine, source, text)], ignore_conflicts=True)


def _row(message: MessageView, target: str, engine: str, source: str, text: str) -> Translation:
    return Translation(
        id=clock.new_id(),
        message_id=message.id,
        message_version=message.change_seq,
        conversation_id=message.conversation_id,
        sender_id=message.sender_id,
        target=target,
        engine=engine,
        source=source,
        text=text,
        created_at=clock.now(),
    )
