"""What is kept of messages for finding them again: with both people's consent, and in no version that is gone."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from doran.ai.models import EmbeddedUpTo, Embedding
from doran.ai.privacy import consents, keeping, places
from doran.ai.privacy.places import DATABASE
from doran.ai.retrieval import grams, pgvector
from doran.contracts.errors import Problem
from doran.contracts.frames import MessageView
from doran.kernel import clock


def mark(conversation_id: str, user_id: str, model: str) -> int:
    """Up to which change this person's view was kept; 0 if never."""
    found = EmbeddedUpTo.objects.filter(conversation_id=conversation_id, user_id=user_id, model=model).first()
    return found.change_seq if found else 0


def missing(messages: Sequence[MessageView], model: str) -> list[MessageView]:
    """Those with words that are not kept yet in this version."""
    ids = [one.id for one in messages]
    rows = Embedding.objects.filter(message_id__in=ids, model=model).values_list("message_id", "message_version")
    known = dict(rows)
    return [one for one in messages if one.content and known.get(one.id, -1) < one.change_seq]


def keep(conversation_id: str, model: str, messages: Sequence[MessageView], vectors: Sequence[bytes]) -> None:
    """Keep these, each with its vector (empty where it has none).

    Raises `Problem("consent_needed")`, and nothing is kept, if not both people allow it any more.
    """
    with transaction.atomic(using=DATABASE):
        _hold(conversation_id)
        gone = keeping.gone(conversation_id, {one.id: one.change_seq for one in messages})
        new = {one.id for one in missing(messages, model)} - gone
        Embedding.objects.filter(message_id__in=new, model=model).delete()
        store([_row(one, model, vector) for one, vector in zip(messages, vectors, strict=True) if one.id in new])


def store(rows: Sequence[Embedding]) -> None:
    """New rows, also where the database compares. In a transaction."""
    Embedding.objects.bulk_create(rows)
    pgvector.keep(rows)


def move(conversation_id: str, user_id: str, model: str, change_seq: int) -> None:
    """Everything up to this change is kept. Raises as `keep`."""
    with transaction.atomic(using=DATABASE):
        _hold(conversation_id)
        EmbeddedUpTo.objects.update_or_create(
            conversation_id=conversation_id, user_id=user_id, model=model, defaults={"change_seq": change_seq}
        )


def begin_anew(conversation_id: str, model: str) -> None:
    """Chat's store is another than the one this was made from: what it does not know may not stay."""
    with transaction.atomic(using=DATABASE):
        places.hold(conversation_id)
        for kind in (Embedding, EmbeddedUpTo):
            kind.objects.filter(conversation_id=conversation_id, model=model).delete()


def _hold(conversation_id: str) -> None:
    places.hold(conversation_id)
    if consents.agreed(conversation_id) != "history":
        raise Problem("consent_needed")


def _row(one: MessageView, model: str, vector: bytes) -> Embedding:
    return Embedding(
        id=clock.new_id(), message_id=one.id, message_version=one.change_seq, model=model,
        conversation_id=one.conversation_id, seq=one.seq, sender_id=one.sender_id, vector=vector,
        grams=grams.grams(one.content), created_at=clock.now(),
    )  # fmt: skip
