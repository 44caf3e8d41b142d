"""Chat and core as ai meets them while it stands alone: what chat holds, and what it would say to whom.

It answers by the same paths and in the same words as chat (tests/ai/privacy/test_reading.py asks both the same).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from doran.contracts import events, frames
from doran.kernel import clock, siblings
from doran.kernel.auth import ACTING_FOR
from doran.kernel.siblings import Question

EPOCH = "the epoch of chat"
NOT_FOUND = (404, b'{"code":"not_found"}')


@dataclass
class Place:
    """One conversation of chat's, with all its messages."""

    id: str
    people: tuple[str, str]
    messages: list[frames.MessageView] = field(default_factory=list)
    change_seq: int = 0
    reset_before: int = 0
    hidden: set[tuple[str, str]] = field(default_factory=set)

    def seen_by(self, user_id: str) -> list[frames.MessageView]:
        return [self._as_seen(one, user_id) for one in self.messages]

    def _as_seen(self, one: frames.MessageView, user_id: str) -> frames.MessageView:
        gone = (user_id, one.id) in self.hidden
        return msgspec.structs.replace(one, content="", is_deleted=True) if gone else one


class Chat:
    """What chat holds. `told` is what ai wanted shown on screens; `is_away` answers nobody."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self.told: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str | None]] = []
        self.is_away = False

    # -- people act --------------------------------------------------------------------------------

    def starts(self, one: str, other: str) -> Place:
        place = Place(str(clock.new_id()), (one, other))
        self.places[place.id] = place
        return place

    def says(self, place: Place, sender: str, content: str) -> frames.MessageView:
        place.change_seq += 1
        now = clock.rfc3339(clock.now())
        said = frames.MessageView(
            id=str(clock.new_id()), conversation_id=place.id, seq=len(place.messages) + 1, change_seq=place.change_seq,
            sender_id=sender, content=content, message_type="text", created_at=now, updated_at=now, edited_at=None,
            is_deleted=False, reply_to=None, client_message_id=None,
        )  # fmt: skip
        place.messages.append(said)
        return said

    def edits(self, place: Place, said: frames.MessageView, content: str) -> frames.MessageView:
        return self._becomes(place, said, content=content, edited_at=clock.rfc3339(clock.now()))

    def deletes(self, place: Place, said: frames.MessageView) -> frames.MessageView:
        return self._becomes(place, said, content="", is_deleted=True)

    def _becomes(self, place: Place, said: frames.MessageView, **facts: Any) -> frames.MessageView:
        place.change_seq += 1
        new = msgspec.structs.replace(place.messages[said.seq - 1], change_seq=place.change_seq, **facts)
        place.messages[said.seq - 1] = new
        return new

    # -- what it would say on the bus ----------------------------------------------------------------

    def created(self, said: frames.MessageView) -> events.MessageCreated:
        place = self.places[said.conversation_id]
        (recipient,) = set(place.people) - {said.sender_id}
        return events.MessageCreated(
            said.id, place.id, said.sender_id, recipient, said.seq, said.content, "text", said.created_at
        )

    @staticmethod
    def updated(said: frames.MessageView) -> events.MessageUpdated:
        return events.MessageUpdated(
            said.id, said.conversation_id, said.sender_id, said.seq, said.change_seq, said.content, said.updated_at
        )

    @staticmethod
    def deleted(said: frames.MessageView) -> events.MessageDeleted:
        return events.MessageDeleted(
            said.id, said.conversation_id, said.sender_id, said.seq, said.change_seq, said.updated_at
        )

    # -- ai asks -------------------------------------------------------------------------------------

    def __call__(self, question: Question) -> tuple[int, bytes]:
        if self.is_away:
            return 503, b"{}"
        reader = question.headers.get(ACTING_FOR)
        path, _, query = question.path.removeprefix("/api/chat/").partition("?")
        self.asked.append((path, reader))
        if path == "screens/":
            self.told.append(json.loads(question.body or b"{}"))
            return 204, b""
        asked = dict(parse_qsl(query))
        is_of_now = asked.pop("epoch", "") == EPOCH
        wanted = {name: int(value) for name, value in asked.items()} | {"is_of_now": is_of_now}
        return self._answer([unquote(part) for part in path.strip("/").split("/")], reader or "", wanted)

    def _answer(self, parts: list[str], reader: str, wanted: dict[str, int]) -> tuple[int, bytes]:
        if parts[0] == "messages":
            found = [one for place in self._mine(reader) for one in place.seen_by(reader) if one.id == parts[1]]
            return _said(found[0]) if found else NOT_FOUND
        place = self.places.get(parts[1])
        if place is None or reader not in place.people:
            return NOT_FOUND
        if parts[2:] == []:
            return _said({"id": place.id, **_summary(place, reader)})
        return _said(_page(place, reader, wanted) if parts[2] == "messages" else _changes(place, reader, wanted))

    def _mine(self, reader: str) -> list[Place]:
        return [place for place in self.places.values() if reader in place.people]


def core(question: Question) -> tuple[int, bytes]:
    """Gives ai a token for its questions; knows everybody by name."""
    if question.method == "POST":
        return 200, b'{"access_token":"a service token","expires_in":300}'
    name = unquote(question.path.removeprefix("/api/core/users/").rstrip("/"))
    return _said({"id": name, "username": name, "profile": {"display_name": name}, "kind": "human"})


def _summary(place: Place, reader: str) -> dict[str, Any]:
    one, other = place.people
    now = clock.rfc3339(clock.now())
    peer = other if reader == one else one
    return {
        "participant1_id": one, "participant2_id": other, "created_at": now, "updated_at": now, "is_active": True,
        "messages": place.seen_by(reader)[-20:], "last_message": None, "last_seq": len(place.messages),
        "change_seq": place.change_seq, "unread_count": 0,
        "me": {"last_delivered_seq": 0, "last_read_seq": 0, "muted_until": None, "archived": False, "pinned_at": None,
               "hidden_before_seq": 0, "marked_unread": False, "draft": ""},
        "peer": {"user_id": peer, "last_delivered_seq": 0, "last_read_seq": 0},
    }  # fmt: skip


def _page(place: Place, reader: str, wanted: dict[str, int]) -> dict[str, Any]:
    size, seen = wanted.get("page_size", 20), place.seen_by(reader)
    if "after_seq" in wanted:
        low = wanted["after_seq"] + 1
        found = [one for one in seen if low <= one.seq < low + size]
    else:
        found = [one for one in seen if one.seq < wanted.get("before_seq", len(seen) + 1)][-size:]
    older = bool(found) and found[0].seq > 1
    return {"count": len(seen), "next": "older" if older else None, "previous": None, "results": found[::-1]}


def _changes(place: Place, reader: str, wanted: dict[str, int], limit: int = 100) -> dict[str, Any]:
    since, least = wanted.get("since", 0), 1 if wanted["is_of_now"] else max(1, place.reset_before)
    if since != 0 and not least <= since <= place.change_seq:
        return {"results": [], "next_since": 0, "has_more": False, "reset": True, "epoch": EPOCH}
    changed = sorted((one for one in place.seen_by(reader) if one.change_seq > since), key=lambda one: one.change_seq)
    more, found = len(changed) > limit, changed[:limit]
    until = found[-1].change_seq if more else place.change_seq
    return {"results": found, "next_since": until, "has_more": more, "reset": False, "epoch": EPOCH}


def _said(what: Any) -> tuple[int, bytes]:
    return 200, msgspec.json.encode(what)


_numbers = itertools.count(1)


def envelope(event: events.Event, *, producer: str = "chat") -> events.Envelope:
    return events.Envelope(
        event_type=event.NAME, timestamp=clock.rfc3339(clock.now()), data=msgspec.Raw(events.encode(event)),
        event_id=str(clock.new_id()), schema_version=event.VERSION, producer=producer, key=event.key(),
        trace_id="0" * 32,
    )  # fmt: skip


@contextmanager
def beside() -> Iterator[Chat]:
    """Chat and core next door, for as long as it lasts."""
    chat = Chat()
    siblings.register_local("chat", chat)
    siblings.register_local("core", core)
    yield chat
    siblings.register_local("chat", None)
    siblings.register_local("core", None)
