"""What chat does when others say something. Ends with the table of its subscriptions.

Each handler runs inside the writer's transaction; what is to be seen is shown after its commit.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction

from doran.chat import answers, conversations, people
from doran.chat.models import Block, EndedSession, Outbox
from doran.chat.shop import shop
from doran.chat.writer import DATABASE
from doran.contracts import events, frames
from doran.kernel import clock
from doran.realtime.hub import Delivery


def on_user_created(event: events.UserCreated) -> None:
    people.learn(event.user_id, display_name=event.display_name, kind=event.kind)


def on_user_updated(event: events.UserUpdated) -> None:
    """The new profile is shown to everybody who talks with this person, and on the person's own screens."""
    person = people.learn(event.user_id, display_name=event.display_name)
    if person.is_erased:
        return
    _show(event.user_id, frames.PublicProfile(event.display_name, event.avatar_url, event.status_message))


def _show(user_id: str, profile: frames.PublicProfile | None) -> None:
    frame = frames.UserUpdated(user_id, profile)
    for some in people.acquainted(user_id):
        transaction.on_commit(partial(shop().screens.show, some, frame), using=DATABASE)


def on_user_deactivated(event: events.UserDeactivated) -> None:
    people.learn(event.user_id, is_active=event.active)
    _reconsider(event.user_id)


def on_user_erased(event: events.UserErased) -> None:
    """Their words in events that still wait go as well; the other person keeps what was said to them.

    Whoever talks with them is shown at once that the account is gone, also where nothing could be sent any more.
    """
    Outbox.forget(event)
    people.learn(event.user_id, is_active=False, is_erased=True, display_name="")
    _reconsider(event.user_id)
    _show(event.user_id, None)


def on_user_blocked(event: events.UserBlocked) -> None:
    people.hold(event.user_id, event.blocked_user_id)
    Block.objects.using(DATABASE).get_or_create(user_id=event.user_id, blocked_user_id=event.blocked_user_id)
    _reconsider(event.user_id, event.blocked_user_id)


def on_user_unblocked(event: events.UserUnblocked) -> None:
    people.hold(event.user_id, event.blocked_user_id)
    Block.objects.using(DATABASE).filter(user_id=event.user_id, blocked_user_id=event.blocked_user_id).delete()
    _reconsider(event.user_id, event.blocked_user_id)


def on_session_revoked(event: events.SessionRevoked) -> None:
    """Remembered, so that a restart does not let the session's last access tokens back in.

    Those whose last access token has long expired are forgotten.
    """
    EndedSession.objects.using(DATABASE).filter(ended_at__lt=clock.now() - timedelta(days=1)).delete()
    if event.session_id is not None:
        EndedSession.objects.using(DATABASE).update_or_create(
            session_id=event.session_id,
            defaults={"user_id": event.user_id, "ended_at": datetime.fromisoformat(event.revoked_at)},
        )
    transaction.on_commit(partial(shop().end_session, event.user_id, event.session_id), using=DATABASE)


def on_ai_message_generated(event: events.AiMessageGenerated) -> None:
    answers.say(event)


def _reconsider(user_id: str, other: str | None = None) -> None:
    """Whether people can still talk, wherever this person does (or only with `other`)."""
    shown: list[Delivery] = []
    for conversation in people.conversations_of(user_id):
        both = conversation.people
        if other is None or other in both:
            may_talk = people.may_talk(*both)
            shown += conversations.set_active(conversation, may_talk)
            if not may_talk:
                transaction.on_commit(partial(shop().part, str(conversation.id), both), using=DATABASE)
    shop().show(shown)


SUBSCRIPTIONS: dict[str, Callable[[Any], None]] = {
    events.UserCreated.NAME: on_user_created,
    events.UserUpdated.NAME: on_user_updated,
    events.UserDeactivated.NAME: on_user_deactivated,
    events.UserErased.NAME: on_user_erased,
    events.UserBlocked.NAME: on_user_blocked,
    events.UserUnblocked.NAME: on_user_unblocked,
    events.SessionRevoked.NAME: on_session_revoked,
    events.AiMessageGenerated.NAME: on_ai_message_generated,
}
