"""What did I miss: rows changed after a mark, in change order, each in its final state."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping

from django.db.models import Q

from doran.chat import conversations, history, people, sight
from doran.chat.conversations import Side
from doran.chat.models import Conversation, HiddenMessage, Member
from doran.chat.shop import shop
from doran.chat.sight import Sight
from doran.chat.views import conversation_fields
from doran.chat.writer import DATABASE
from doran.contracts import frames
from doran.contracts.errors import invalid

PAGE = 100
FIRST_CHANGES = 50
NEW_MESSAGES = 20
CONVERSATIONS_AT_ONCE = 50
KNOWN_AT_MOST = 10_000


def changes(seen: Sight, *, since: int, limit: int = PAGE) -> frames.ChangesPage:
    """Complete from `since` on, or `reset`: never a part that looks like the whole."""
    if since != 0 and not max(1, seen.reset_before) <= since <= seen.change_seq:
        return frames.ChangesPage(reset=True)
    rows = history.changed(seen, since=since, limit=limit + 1)
    more, rows = len(rows) > limit, rows[:limit]
    next_since = rows[-1][3] if more else seen.change_seq
    visible = [row for row in rows if row[2] >= seen.first_seq]
    return frames.ChangesPage(tuple(history.as_seen(seen, visible)), next_since, more)


def sync(user_id: str, *, epoch: str | None, known: Mapping[str, int], state_since: int = 0) -> frames.SyncAnswer:
    """Conversations that differ from what a device knows, with their first changes.

    The device asks again with what it then knows until `has_more` is false. What both may see comes
    first, so that whoever keeps no `state_since` gets at least that. A device of another epoch (or
    that cannot say of which), or ahead of this store, is told `reset` and gets everything as if it
    knew nothing.
    """
    if len(known) > KNOWN_AT_MOST:
        raise invalid("known", f"At most {KNOWN_AT_MOST} conversations; leave out the oldest.")
    now_at = people.state_seq(user_id)
    is_new = epoch is None and not known and not state_since
    reset = state_since > now_at or not (is_new or epoch == shop().epoch)
    if reset:
        known, state_since = {}, 0
    differing = _differing(user_id, known)
    found = differing[:CONVERSATIONS_AT_ONCE]
    stated, state_seq = _stated(user_id, known, state_since, now_at, but=found)
    return frames.SyncAnswer(
        epoch=shop().epoch,
        reset=reset,
        state_seq=state_seq,
        has_more=state_seq < now_at or len(differing) > len(found),
        conversations=tuple(
            _with_changes(side, known, state_since) for side in conversations.sides_of(user_id, [*found, *stated])
        ),
    )


def _differing(user_id: str, known: Mapping[str, int]) -> list[uuid.UUID]:
    """Newest activity first, as people look at them."""
    rows = Conversation.objects.using(DATABASE).filter(members__user_id=user_id).order_by("-updated_at", "-id")
    return [row_id for row_id, at in rows.values_list("id", "change_seq") if known.get(str(row_id)) != at]


def _stated(
    user_id: str, known: Mapping[str, int], since: int, now_at: int, *, but: Collection[uuid.UUID]
) -> tuple[list[uuid.UUID], int]:
    """Known conversations whose private state changed after `since`, `but` these, and up to where all is covered.

    A conversation the device does not know comes whole anyway. Where there are too many for one
    answer, everything before the first one left out is covered.
    """
    mine = Member.objects.using(DATABASE).filter(user_id=user_id, state_seq__gt=since)
    hidden = HiddenMessage.objects.using(DATABASE).filter(user_id=user_id, state_seq__gt=since)
    first: dict[uuid.UUID, int] = {}
    for rows in (mine, hidden):
        for conversation_id, at in rows.values_list("conversation_id", "state_seq"):
            first[conversation_id] = min(at, first.get(conversation_id, at))
    in_order = sorted((at, one) for one, at in first.items() if str(one) in known and one not in but)
    room = CONVERSATIONS_AT_ONCE - len(but)
    taken, left = in_order[:room], in_order[room:]
    return [one for _, one in taken], left[0][0] - 1 if left else now_at


def _with_changes(side: Side, known: Mapping[str, int], state_since: int) -> frames.ChangedConversation:
    page = _first_changes(sight.of(side), known.get(str(side.conversation.id)), state_since)
    summary = conversations.summary(side)
    fields = conversation_fields(side.conversation, side.me, side.peer, summary.last_message, side.lost)
    return frames.ChangedConversation(**fields, changes=page)


def _first_changes(seen: Sight, since: int | None, state_since: int) -> frames.ChangesPage:
    if since is None:
        return frames.ChangesPage(tuple(history.newest(seen, NEW_MESSAGES)), seen.change_seq, has_more=False)
    page = changes(seen, since=since, limit=FIRST_CHANGES)
    if page.reset:
        return page
    taken_away = _hidden_since(seen, state_since, known={view.seq for view in page.results})
    return frames.ChangesPage(page.results + taken_away, page.next_since, page.has_more)


def _hidden_since(seen: Sight, state_since: int, *, known: set[int]) -> tuple[frames.MessageView, ...]:
    """Tombstones for what I deleted for myself on another device."""
    mine = Q(conversation_id=seen.conversation_id, user_id=seen.user_id, state_seq__gt=state_since)
    seqs = HiddenMessage.objects.using(DATABASE).filter(mine).values_list("seq", flat=True)
    wanted = sorted(set(seqs) - known)
    return tuple(view for seq in wanted for view in history.between(seen, low=seq, high=seq))
