"""What did I miss: rows changed after a mark, in change order, each in its final state."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import msgspec
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
FIRST_BYTES = 64 * 1024
"""What the first changes of one conversation may take in an answer for many."""
NEW_MESSAGES = 20
HIDDEN_AT_ONCE = 50
CONVERSATIONS_AT_ONCE = 50
KNOWN_AT_MOST = 10_000
BESIDE_BYTES = 256
"""Names and numbers of a page of changes, around its rows."""


def changes(
    seen: Sight, *, since: int, epoch: str | None = None, limit: int = PAGE, room: int = frames.LIST_BYTES
) -> frames.ChangesPage:
    """Return what changed after `since`, as many rows as `limit` and `room` bytes allow, or `reset`.

    Complete up to its `next_since`: never a part that looks like the whole. A mark below `reset_before`
    counts only with the `epoch` in force: rows kept by a restore have such marks, and so had lost ones.
    """
    least = 1 if epoch == shop().epoch else max(1, seen.reset_before)
    if since != 0 and not least <= since <= seen.change_seq:
        return frames.ChangesPage(reset=True)
    rows = history.changed(seen, since=since, limit=limit + 1)
    more, rows = len(rows) > limit, rows[:limit]
    next_since = rows[-1][3] if more else seen.change_seq
    views = history.as_seen(seen, [row for row in rows if row[2] >= seen.first_seq])
    fits = frames.fitting(views, room=room)
    if fits < len(views):
        more, next_since = True, views[fits].change_seq - 1
    return frames.ChangesPage(tuple(views[:fits]), next_since, more)


def sync(
    user_id: str,
    *,
    epoch: str | None,
    known: Mapping[str, int],
    state_since: int = 0,
    after: str = "",
    until: str = "",
) -> frames.SyncAnswer:
    """Return conversations that differ from what a device knows, with their first changes.

    The device asks again with what it then knows until `has_more` is false. What both may see comes
    first, so that whoever keeps no `state_since` gets at least that. A device of another epoch (or
    that cannot say of which), or ahead of this store, is told `reset` and gets everything as if it
    knew nothing. Whatever there is, an answer fits into one frame.
    """
    if len(known) > KNOWN_AT_MOST:
        raise invalid("known", f"At most {KNOWN_AT_MOST} conversations: ask part by part, with after and until.")
    now_at = people.state_seq(user_id)
    is_new = epoch is None and not known and not state_since
    reset = state_since > now_at or not (is_new or epoch == shop().epoch)
    if reset:
        known, state_since = {}, 0
    states = _state_changes(user_id, known, state_since)
    differing = _differing(user_id, known, after=after, until=until)
    wanted = [*differing, *sorted(states.keys() - set(differing), key=states.__getitem__)]
    lines = _lines(conversations.sides_of(user_id, wanted[:CONVERSATIONS_AT_ONCE]), known, state_since)
    untold = [line.untold_state for line in lines if line.untold_state]
    untold += [states[one] for one in wanted[len(lines) :] if one in states]
    return frames.SyncAnswer(
        epoch=shop().epoch,
        reset=reset,
        state_seq=min(untold) - 1 if untold else now_at,
        has_more=bool(untold) or len(lines) < len(wanted),
        conversations=cast("tuple[frames.ChangedConversation, ...]", tuple(line.encoded for line in lines)),
    )


def _differing(user_id: str, known: Mapping[str, int], *, after: str, until: str) -> list[uuid.UUID]:
    """Newest activity first, as people look at them."""
    rows = Conversation.objects.using(DATABASE).filter(members__user_id=user_id).order_by("-updated_at", "-id")
    found = ((row_id, str(row_id), at) for row_id, at in rows.values_list("id", "change_seq"))
    return [
        row_id for row_id, name, at in found if known.get(name) != at and after < name and (not until or name <= until)
    ]


def _state_changes(user_id: str, known: Mapping[str, int], since: int) -> dict[uuid.UUID, int]:
    """Map known conversations to the first change of their private state after `since`.

    A conversation the device does not know comes whole anyway.
    """
    mine = Member.objects.using(DATABASE).filter(user_id=user_id, state_seq__gt=since)
    hidden = HiddenMessage.objects.using(DATABASE).filter(user_id=user_id, state_seq__gt=since)
    first: dict[uuid.UUID, int] = {}
    for rows in (mine, hidden):
        for conversation_id, at in rows.values_list("conversation_id", "state_seq"):
            first[conversation_id] = min(at, first.get(conversation_id, at))
    return {one: at for one, at in first.items() if str(one) in known}


class _Line(NamedTuple):
    """One conversation of an answer, encoded once; the first change of private state it has no room for, or 0."""

    encoded: msgspec.Raw
    untold_state: int


def _lines(sides: Sequence[Side], known: Mapping[str, int], state_since: int) -> list[_Line]:
    """Describe the leading conversations that fit into one answer.

    What can be read for all of them is; each alone reads only its own rows.
    """
    lines: list[_Line] = []
    room = frames.LIST_BYTES
    hidden = _with_anything_hidden(sides)
    for side, summary in zip(sides, conversations.summaries(sides), strict=True):
        seen = sight.of(side, has_hidden=side.conversation.id in hidden)
        line = _line(side, seen, summary.last_message, known.get(seen.conversation_id), state_since)
        room -= len(memoryview(line.encoded)) + 1
        if room < 0:
            break
        lines.append(line)
    return lines


def _with_anything_hidden(sides: Sequence[Side]) -> set[uuid.UUID]:
    """Conversations in which a person deleted any message for themselves."""
    ids = [side.conversation.id for side in sides]
    rows = HiddenMessage.objects.using(DATABASE).filter(
        conversation_id__in=ids, user_id__in={side.me.user_id for side in sides}
    )
    return set(rows.values_list("conversation_id", flat=True).distinct())


def _line(
    side: Side, seen: Sight, last_message: frames.MessageView | None, since: int | None, state_since: int
) -> _Line:
    fields = conversation_fields(side.conversation, side.me, side.peer, last_message, side.lost)
    room = frames.LIST_BYTES - len(frames.encode(fields)) - BESIDE_BYTES
    page, untold = _first_changes(seen, since, state_since, room)
    return _Line(msgspec.Raw(frames.encode(frames.ChangedConversation(**fields, changes=page))), untold)


def _first_changes(seen: Sight, since: int | None, state_since: int, room: int) -> tuple[frames.ChangesPage, int]:
    first_room = min(room, FIRST_BYTES)
    if since is None:
        newest = history.newest(seen, NEW_MESSAGES, room=first_room)
        return frames.ChangesPage(tuple(newest), seen.change_seq, has_more=False), 0
    page = changes(seen, since=since, limit=FIRST_CHANGES, room=first_room)
    return _with_hidden(seen, page, state_since, room) if seen.has_hidden and not page.reset else (page, 0)


def _with_hidden(seen: Sight, page: frames.ChangesPage, state_since: int, room: int) -> tuple[frames.ChangesPage, int]:
    """Add tombstones for what I deleted for myself on another device.

    Return with it the first of those deletions that are left out, or 0.
    """
    mine = Q(conversation_id=seen.conversation_id, user_id=seen.user_id, state_seq__gt=state_since)
    rows = HiddenMessage.objects.using(DATABASE).filter(mine).order_by("state_seq")
    found = list(rows.values_list("seq", "state_seq")[: HIDDEN_AT_ONCE + 1])
    if not found:
        return page, 0
    stones = {view.seq: view for view in history.at(seen, [seq for seq, _ in found])}
    shown = {view.seq for view in page.results}
    room -= len(frames.encode(page.results))
    told: list[frames.MessageView] = []
    for count, (seq, at) in enumerate(found):
        stone = () if seq in shown or seq not in stones else (stones[seq],)
        room -= len(frames.encode(stone))
        if room < 0 or count == HIDDEN_AT_ONCE:
            return msgspec.structs.replace(page, results=(*page.results, *told)), at
        told += stone
    return msgspec.structs.replace(page, results=(*page.results, *told)), 0
