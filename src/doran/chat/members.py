"""A person's own side of a conversation: mute, archive, pin, hide, mark unread, draft.

Nobody else learns of any of it: it moves the person's own change counter, not the conversation's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from doran.chat import conversations, feed, people, unread
from doran.chat.content import CONTENT_BYTES
from doran.chat.conversations import Side
from doran.chat.models import Member
from doran.chat.writer import DATABASE, Outcome
from doran.contracts import frames
from doran.contracts.errors import invalid
from doran.kernel import clock
from doran.text import policy

UNSET = msgspec.UNSET
DRAFT_LIMIT = 20_000
FIRST_MOMENT, LAST_MOMENT = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


class StateChange(msgspec.Struct, forbid_unknown_fields=True):
    """What to change; what is left out stays."""

    muted_until: datetime | msgspec.UnsetType | None = UNSET
    archived: bool | msgspec.UnsetType = UNSET
    pinned: bool | msgspec.UnsetType = UNSET
    marked_unread: bool | msgspec.UnsetType = UNSET
    draft: str | msgspec.UnsetType = UNSET
    hidden_before_seq: int | msgspec.UnsetType = UNSET


def change(*, conversation_id: str, user_id: str, wanted: StateChange) -> Outcome:
    """Change my side and show it to my other screens. In the writer's transaction."""
    side = conversations.for_member(conversation_id, user_id, lock=True)
    new = {name: value for name, value in _values(side, wanted) if getattr(side.me, name) != value}
    if "hidden_before_seq" in new:
        new |= unread.hide_before(side.me, new["hidden_before_seq"], last_seq=side.conversation.last_seq)
    if new:
        _save(side.me, new)
        feed.note_state(conversation_id, side.conversation, user_id, side.me.state_seq)
    return Outcome(conversations.summary(side), deliveries=[conversations.updated(side)] if new else ())


def _values(side: Side, wanted: StateChange) -> list[tuple[str, Any]]:
    given = [(name, getattr(wanted, name)) for name in wanted.__struct_fields__]
    return [_checked(side, name, value) for name, value in given if value is not UNSET]


def _checked(side: Side, name: str, value: Any) -> tuple[str, Any]:
    if name == "pinned":
        return "pinned_at", (side.me.pinned_at or clock.stamp()) if value else None
    if name == "muted_until" and value is not None:
        _check_moment(value)
    if name == "draft":
        _check_draft(value)
    if name == "hidden_before_seq":
        return name, _hidden(side, value)
    return name, value


def _check_draft(draft: str) -> None:
    """Bound its JSON as well: a conversation must fit into one frame."""
    if policy.is_longer(draft, DRAFT_LIMIT) or "\0" in draft:
        raise invalid("draft", f"At most {DRAFT_LIMIT} characters, none of them NUL.")
    if len(frames.encode(draft)) - 2 > CONTENT_BYTES:
        raise invalid("draft", f"At most {CONTENT_BYTES} bytes of JSON.")


def _check_moment(moment: datetime) -> None:
    if moment.tzinfo is None:
        raise invalid("muted_until", "A time zone is needed.")
    if not FIRST_MOMENT <= moment <= LAST_MOMENT:
        raise invalid("muted_until", "Between the years 1970 and 9999.")


def _hidden(side: Side, seq: int) -> int:
    """Hiding only grows, and what is hidden counts as read."""
    if not 0 <= seq <= side.conversation.last_seq + 1:
        raise invalid("hidden_before_seq", "There is no such message yet.")
    return max(seq, side.me.hidden_before_seq)


def _save(me: Member, new: dict[str, Any]) -> None:
    for name, value in new.items():
        setattr(me, name, value)
    me.state_seq = people.next_state_seq(me.user_id)
    me.save(using=DATABASE, update_fields=[*new, "state_seq"])
