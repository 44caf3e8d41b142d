"""A toy chat server in memory, correct by default, with faults that can be switched on by name.

It speaks the contract through the same two calls as the network does (`ask` and `open`), crashes
on demand, and lives in simulated time. Each fault names the rules of which at least one must
catch it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from doran.verify.client import Answer, Json, Lost, Unreachable
from doran.verify.history import Fault, Heard, Recorder, Spilled

FAULTS: dict[str, tuple[str, ...]] = {
    "acks before it commits": ("LOST-ack",),
    "forgets client ids": ("DUPLICATE",),
    "forgets client ids in a crash": ("DUPLICATE",),
    "client ids count across conversations": ("LOST-ack",),
    "takes a used id for another text": ("CMID-reused",),
    "shows a change before an earlier one": ("GAP",),
    "drops live frames": ("GAP", "NOT-CAUGHT-UP"),
    "forgets an open socket": ("NOT-CAUGHT-UP",),
    "pushes nothing after a crash": ("NOT-CAUGHT-UP",),
    "resumes one too early": ("REDELIVERED",),
    "resumes one too late": ("GAP",),
    "resumes from the start": ("REDELIVERED",),
    "resumes in random order": ("CHANGE-order",),
    "reads before it subscribes": ("GAP",),
    "shows the last message twice": ("REDELIVERED",),
    "echoes to the sender": ("REDELIVERED",),
    "sends live frames out of order": ("LIVE-order",),
    "marks are last write wins": ("MARKER-backwards", "MARKER-lost"),
    "marks are lost in a crash": ("MARKER-lost",),
    "push counts as read": ("MARKER-phantom",),
    "read without delivered": ("READ-undelivered",),
    "unread is a stored counter": ("UNREAD-wrong",),
    "counts deleted messages as unread": ("UNREAD-wrong",),
    "sends to a stranger's socket": ("LEAK-conv",),
    "lets strangers read": ("LEAK-conv",),
    "tells strangers of marks": ("LEAK-marker",),
    "cache mixes conversations": ("LEAK-body",),
    "logs a text": ("LEAK-side",),
    "deletions are undone by a crash": ("UNDELETED",),
    "serves deleted texts": ("DELETED-body-served",),
    "edits are undone by a crash": ("EDIT-lost",),
    "edits are not stamped": ("DIVERGENT-state",),
    "edits reach one side only": ("DIVERGENT-final",),
    "anybody may edit": ("FOREIGN-change",),
    "reads from a stale replica": ("STALE-read",),
    "each side has its own order": ("DIVERGENT-order",),
    "seqs come in blocks per person": ("REALTIME-order", "CAUSAL-order"),
    "an aborted send takes a seq": ("HOLE",),
    "stores what it refuses": ("FAILED-but-visible",),
    "trusts sender_id": ("FORGED-author",),
    "cuts texts": ("CORRUPT-body",),
    "makes up messages": ("PHANTOM",),
    "deletes by itself": ("PHANTOM",),
    "acks with a wrong seq": ("ACK-lied-seq",),
    "refuses honest people": ("REFUSED",),
    "garbles frames": ("GARBLED",),
    "a new epoch at each start": ("EPOCH-moved",),
    "forgets marks it gave out": ("EPOCH-moved",),
    "loses events in a crash": ("EVENT-set",),
    "tells events twice": ("EVENT-set",),
}

RECENT = 0.5
"""Simulated seconds of work that a crash undoes where a fault says so."""


@dataclass
class Message:
    id: str
    seq: int
    sender: str
    body: str
    cmid: str | None
    change_seq: int
    at: float
    first_body: str = ""
    deleted: bool = False
    changed_at: float = 0.0
    before: tuple[str, bool] | None = None


@dataclass
class Conversation:
    id: str
    people: tuple[str, str]
    last_seq: int = 0
    change_seq: int = 0
    rows: dict[int, Message] = field(default_factory=dict)
    by_cmid: dict[tuple[str, str], Message] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    delivered: dict[str, int] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)
    blocks: dict[str, list[int]] = field(default_factory=dict)

    def peer(self, user: str) -> str:
        return self.people[1] if user == self.people[0] else self.people[0]

    def next_change(self) -> int:
        self.change_seq += 1
        return self.change_seq


class Wire:
    """One socket of the toy. Frames wait in a queue until the device reads them."""

    def __init__(self, toy: Toy, user: str, room: str) -> None:
        self.toy = toy
        self.user = user
        self.room = room
        self.held: Json | None = None
        self.deaf = False
        self.open = True
        self._queue: asyncio.Queue[Json | None] = asyncio.Queue()

    def push(self, frame: Json) -> None:
        self._queue.put_nowait(frame)

    async def hear(self) -> Json:
        frame = await self._queue.get()
        if frame is None:
            raise Lost(0)
        return frame

    async def say(self, frame: Json) -> None:
        await self.toy.delay()
        if not self.open:
            raise Lost(0)
        self.push({"ref": frame.get("ref"), **await self.toy.frame(self, frame)})

    async def close(self) -> None:
        self.cut()

    def cut(self) -> None:
        self.open = False
        if self in self.toy.wires:
            self.toy.wires.remove(self)
        self._queue.put_nowait(None)


class Refusal(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


class Toy:
    """The server. `faults` are names from the table; none makes it correct."""

    def __init__(self, rng: random.Random, recorder: Recorder, faults: Iterable[str] = ()) -> None:
        self.rng = rng
        self.recorder = recorder
        self.faults = frozenset(faults)
        self.wires: list[Wire] = []
        self.users: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.conversations: dict[str, Conversation] = {}
        self.events: list[Heard] = []
        self.epoch = "epoch-1"
        self.up = True
        self._starts = 1
        self._ids = count(1)

    # -- the two calls -----------------------------------------------------------------------

    async def ask(self, method: str, path: str, *, token: str = "", body: Json | None = None) -> Answer:
        start = self._starts
        await self.delay()
        if not self.up:
            raise Unreachable
        if start != self._starts:
            raise Lost(0)
        try:
            answer = self._route(method, path, self.tokens.get(token, ""), body or {})
        except Refusal as refusal:
            answer = Answer(refusal.status, {"code": refusal.code})
        await self.delay()
        if start != self._starts:
            raise Lost(0)
        return answer

    async def open(self, path: str, *, token: str, in_band: bool = False) -> Wire:
        await self.delay()
        if not self.up:
            raise Unreachable
        user, room = self.tokens[token], path.removeprefix("/ws/").removeprefix("chat/").strip("/")
        wire = Wire(self, user, room)
        wire.push({"type": "ready", "user_id": user, "epoch": self.epoch})
        if room and not self._may(user, room):
            wire.cut()
            return wire
        await self._greet(wire)
        if self.has("forgets an open socket") and self._chance(0.4):
            wire.deaf = True
        return wire

    async def _greet(self, wire: Wire) -> None:
        late = self.has("reads before it subscribes")
        if not late:
            self.wires.append(wire)
        if wire.room:
            wire.push(self._history(wire))
        if late:
            await asyncio.sleep(0.2)
            self.wires.append(wire)
        if self.has("shows the last message twice") and wire.room:
            rows = self.conversations[wire.room].rows
            if rows:
                self._push_message(wire, "chat_message", wire.room, rows[max(rows)])

    async def crash(self) -> None:
        """SIGKILL and a restart a moment later."""
        fault = self.recorder.begin(Fault(name="kill"))
        self.up = False
        for wire in list(self.wires):
            wire.cut()
        self._forget()
        await asyncio.sleep(0.2)
        self._starts += 1
        self.up = True
        self.recorder.end(fault)

    def _forget(self) -> None:
        """What faulty servers lose in a crash."""
        recent = self.now - RECENT
        for conversation in self.conversations.values():
            for message in list(conversation.rows.values()):
                if self.has("acks before it commits") and message.at > recent:
                    del conversation.rows[message.seq]
                    conversation.by_cmid.pop((message.sender, message.cmid or ""), None)
                    conversation.last_seq = max(conversation.rows, default=0)
                elif message.before and message.changed_at > recent and self._undoes(message):
                    message.body, message.deleted = message.before
                    message.change_seq = conversation.next_change()
            if self.has("forgets client ids in a crash"):
                conversation.by_cmid.clear()
            if self.has("marks are lost in a crash"):
                conversation.read = dict.fromkeys(conversation.people, 0)
        if self.has("loses events in a crash") and self.events:
            self.events.pop()
        if self.has("a new epoch at each start"):
            self.epoch = f"epoch-{self._starts + 1}"

    def _undoes(self, message: Message) -> bool:
        return self.has("deletions are undone by a crash" if message.deleted else "edits are undone by a crash")

    # -- small helpers -----------------------------------------------------------------------

    def has(self, fault: str) -> bool:
        if fault not in FAULTS:
            raise KeyError(fault)
        return fault in self.faults

    def _chance(self, share: float) -> bool:
        return self.rng.random() < share

    async def delay(self) -> None:
        await asyncio.sleep(self.rng.uniform(0.001, 0.02))

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def _may(self, user: str, conversation: str) -> bool:
        return user in self.conversations[conversation].people

    def _mine(self, user: str, conversation: str) -> Conversation:
        found = self.conversations.get(conversation)
        strangers = self.has("lets strangers read")
        if found is None or not (user in found.people or strangers):
            raise Refusal(404, "not_found")
        return found

    # -- REST --------------------------------------------------------------------------------

    def _route(self, method: str, path: str, user: str, body: Json) -> Answer:
        where, _, query = path.partition("?")
        asked = dict(pair.split("=") for pair in query.split("&") if pair)
        match [method, *where.strip("/").split("/")[1:]]:
            case ["POST", "core", "users"]:
                return self._sign_up(body)
            case ["POST", "core", "tokens"]:
                return self._log_in(body)
            case ["PATCH", "core", "users", "me"]:
                return Answer(200, {})
            case ["POST", "chat", "conversations"]:
                return self._introduce(body)
            case ["POST", "chat", "sync"]:
                return Answer(200, self._sync(user, body["known"]))
            case ["GET", "chat", "users", "me", "conversations"]:
                mine = [c for c in self.conversations.values() if user in c.people]
                return Answer(200, {"results": [self._view(c, user, with_messages=False) for c in mine]})
            case ["GET", "chat", "conversations", name]:
                return Answer(200, self._view(self._mine(user, name), user))
            case ["GET", "chat", "conversations", name, "messages"]:
                return Answer(200, self._page(self._mine(user, name), user, asked))
            case ["GET", "chat", "conversations", name, "changes"]:
                return Answer(200, self._changes(self._mine(user, name), user, int(asked["since"])))
            case ["POST", "chat", "conversations", name, "messages", "send"]:
                message = self._send(user, name, body, None)
                return Answer(201, self._shown(self.conversations[name], message, user))
            case ["PATCH" | "DELETE", "chat", "messages", message_id]:
                return self._change(method, user, message_id, body.get("content"))
            case ["POST", "chat", "messages", message_id, level]:
                conversation, message = self._find(user, message_id)
                return Answer(200, self._mark(conversation, user, level, message.seq))
        raise Refusal(404, "not_found")

    def _sign_up(self, body: Json) -> Answer:
        user = f"user-{len(self.users) + 1}"
        self.users[body["username"]] = user
        return Answer(201, {"id": user})

    def _log_in(self, body: Json) -> Answer:
        token = f"token-{next(self._ids)}"
        self.tokens[token] = self.users[body["username"]]
        return Answer(200, {"access_token": token})

    def _introduce(self, body: Json) -> Answer:
        name = f"conversation-{len(self.conversations) + 1}"
        people = (body["participant1_id"], body["participant2_id"])
        zeros = dict.fromkeys(people, 0)
        made = Conversation(name, people, read=dict(zeros), delivered=dict(zeros), unread=dict(zeros))
        self.conversations[name] = made
        return Answer(201, {"id": name})

    # -- frames ------------------------------------------------------------------------------

    async def frame(self, wire: Wire, frame: Json) -> Json:
        """What a socket said, and the answer to it."""
        try:
            return self._frame(wire, frame)
        except Refusal as refusal:
            return {"type": "error", "code": refusal.code, "detail": ""}

    def _frame(self, wire: Wire, frame: Json) -> Json:
        name = frame.get("conversation_id", wire.room)
        match frame["type"]:
            case "chat_message":
                message = self._send(wire.user, name, frame, wire)
                shown = self._shown(self.conversations[name], message, wire.user)
                if self.has("acks with a wrong seq") and self._chance(0.05):
                    shown["seq"] += 1
                return {"type": "ack", "message": shown}
            case "edit_message":
                self._change("PATCH", wire.user, frame["message_id"], frame["content"])
                return {"type": "done"}
            case "delete_message":
                self._change("DELETE", wire.user, frame["message_id"], None)
                return {"type": "done"}
            case "mark_as_read" | "mark_as_delivered":
                level = frame["type"].removeprefix("mark_as_")
                self._mark(self._mine(wire.user, name), wire.user, level, frame["up_to_seq"])
                return {"type": "done"}
            case "changes":
                found = self._mine(wire.user, name)
                return {"type": "changes", "conversation_id": name, **self._changes(found, wire.user, frame["since"])}
            case "sync":
                return {"type": "sync", **self._sync(wire.user, frame["known"])}
        raise Refusal(400, "invalid_frame")

    # -- changing ----------------------------------------------------------------------------

    def _send(self, user: str, name: str, body: Json, wire: Wire | None) -> Message:
        if not self._may(user, name):
            raise Refusal(404, "not_found")
        conversation = self.conversations[name]
        sender = body.get("sender_id", user)
        if sender != user and not self.has("trusts sender_id"):
            raise Refusal(403, "sender_mismatch")
        if self.has("refuses honest people") and self._chance(0.02):
            raise Refusal(401, "not_authenticated")
        known = self._known(conversation, user, body)
        return known or self._store(conversation, sender, body, wire)

    def _known(self, conversation: Conversation, user: str, body: Json) -> Message | None:
        key = (user, body["client_message_id"])
        homes = [conversation]
        if self.has("client ids count across conversations"):
            homes = list(self.conversations.values())
        known = next((home.by_cmid[key] for home in homes if key in home.by_cmid), None)
        if known is None or self.has("forgets client ids"):
            return None
        lax = self.has("takes a used id for another text") or known.id not in _ids(conversation)
        if known.first_body != body["content"] and not lax:
            raise Refusal(409, "idempotency_conflict")
        return known

    def _store(self, conversation: Conversation, user: str, body: Json, wire: Wire | None) -> Message:
        if self._chance(0.02):
            self._refuse(conversation, user, body)
        text = body["content"]
        if self.has("cuts texts") and self._chance(0.05):
            text = text[:-2]
        message = self._insert(conversation, user, text, body["client_message_id"])
        message.first_body = body["content"]
        self._after_commit(conversation, message, wire)
        if self.has("makes up messages") and self._chance(0.02):
            self._insert(conversation, user, "a ghost", None)
        if self.has("deletes by itself") and self._chance(0.02):
            message.body, message.deleted, message.change_seq = "", True, conversation.next_change()
        return message

    def _refuse(self, conversation: Conversation, user: str, body: Json) -> None:
        if self.has("stores what it refuses"):
            self._insert(conversation, user, body["content"], None)
        if self.has("an aborted send takes a seq"):
            conversation.last_seq += 1
        raise Refusal(429, "too_many_requests")

    def _insert(self, conversation: Conversation, user: str, text: str, cmid: str | None) -> Message:
        message = Message(
            f"message-{next(self._ids)}",
            self._next_seq(conversation, user),
            user,
            text,
            cmid,
            conversation.next_change(),
            self.now,
        )
        conversation.rows[message.seq] = message
        if cmid is not None:
            conversation.by_cmid[(user, cmid)] = message
        conversation.read[user] = max(conversation.read[user], message.seq)
        conversation.delivered[user] = max(conversation.delivered[user], message.seq)
        conversation.unread[conversation.peer(user)] += 1
        self.events.append(
            Heard(
                conversation=conversation.id,
                event_id=f"event-{next(self._ids)}",
                event_type="message.created",
                message_id=message.id,
                seq=message.seq,
            )
        )
        if self.has("tells events twice") and self._chance(0.02):
            self.events.append(
                Heard(
                    conversation=conversation.id,
                    event_id=f"event-{next(self._ids)}",
                    event_type="message.created",
                    message_id=message.id,
                    seq=message.seq,
                )
            )
        return message

    def _next_seq(self, conversation: Conversation, user: str) -> int:
        if not self.has("seqs come in blocks per person"):
            conversation.last_seq += 1
            return conversation.last_seq
        block = conversation.blocks.setdefault(user, [])
        if not block:
            block.extend(range(conversation.last_seq + 1, conversation.last_seq + 4))
            conversation.last_seq += 3
        return block.pop(0)

    def _after_commit(self, conversation: Conversation, message: Message, wire: Wire | None) -> None:
        if self.has("push counts as read"):
            conversation.read[conversation.peer(message.sender)] = message.seq
        if self.has("logs a text") and self._chance(0.02):
            self.recorder.note(Spilled(where="log", what="a text"))
        self._fan_out("chat_message", conversation, message, but=wire)

    def _find(self, user: str, message_id: str) -> tuple[Conversation, Message]:
        for conversation in self.conversations.values():
            for message in conversation.rows.values():
                if message.id == message_id and user in conversation.people:
                    return conversation, message
        raise Refusal(404, "not_found")

    def _change(self, method: str, user: str, message_id: str, text: str | None) -> Answer:
        conversation, message = self._find(user, message_id)
        if message.sender != user and not self.has("anybody may edit"):
            raise Refusal(403, "not_author")
        if message.deleted:
            if text is not None:
                raise Refusal(422, "message_deleted")
            return Answer(200, self._shown(conversation, message, user))
        message.before, message.changed_at = (message.body, False), self.now
        message.body, message.deleted = text or "", text is None
        if text is None or not self.has("edits are not stamped"):
            message.change_seq = conversation.next_change()
        self._fan_out("message_deleted" if text is None else "message_updated", conversation, message)
        return Answer(200, self._shown(conversation, message, user))

    def _mark(self, conversation: Conversation, user: str, level: str, seq: int) -> Json:
        marks = conversation.read if level == "read" else conversation.delivered
        forward = seq > marks[user] or self.has("marks are last write wins")
        if forward:
            marks[user] = seq
            conversation.next_change()
            if level == "read" and not self.has("read without delivered"):
                conversation.delivered[user] = max(conversation.delivered[user], seq)
            if level == "read":
                conversation.unread[user] = 0
            self._fan_out_mark(conversation, user, level, seq)
        return {"conversation_id": conversation.id, "user_id": user, "status": level, "up_to_seq": marks[user]}

    # -- pushing -----------------------------------------------------------------------------

    def _listeners(self, conversation: Conversation) -> list[Wire]:
        if self.has("pushes nothing after a crash") and self._starts > 1:
            return []
        return [
            wire
            for wire in self.wires
            if wire.user in conversation.people and wire.room in ("", conversation.id) and not wire.deaf
        ]

    def _fan_out(self, kind: str, conversation: Conversation, message: Message, but: Wire | None = None) -> None:
        for wire in self._listeners(conversation):
            if wire is but and not self.has("echoes to the sender"):
                continue
            if self.has("drops live frames") and self._chance(0.05):
                continue
            self._push_message(wire, kind, conversation.id, message)
        if self.has("sends to a stranger's socket") and self._chance(0.02):
            for wire in self.wires:
                self._push_message(wire, kind, conversation.id, message)

    def _push_message(self, wire: Wire, kind: str, name: str, message: Message) -> None:
        shown = self._shown(self.conversations[name], message, wire.user)
        frame: Json = {"type": kind, "conversation_id": name, "message": shown}
        if self.has("garbles frames") and self._chance(0.02):
            del frame["message"]
        if self.has("sends live frames out of order") and kind == "chat_message":
            if wire.held is None and self._chance(0.1):
                wire.held = frame
                return
            wire.push(frame)
            if wire.held is not None:
                wire.push(wire.held)
                wire.held = None
            return
        wire.push(frame)

    def _fan_out_mark(self, conversation: Conversation, user: str, level: str, seq: int) -> None:
        frame = {"type": f"message_{level}", "conversation_id": conversation.id, "user_id": user, "up_to_seq": seq}
        strangers = self.has("tells strangers of marks") and self._chance(0.1)
        for wire in self.wires if strangers else self._listeners(conversation):
            wire.push(frame)

    # -- showing -----------------------------------------------------------------------------

    def _shown(self, conversation: Conversation, message: Message, user: str) -> Json:
        return {
            "id": message.id,
            "conversation_id": conversation.id,
            "seq": message.seq,
            "change_seq": message.change_seq,
            "sender_id": message.sender,
            "content": message.body,
            "is_deleted": message.deleted,
            "client_message_id": message.cmid,
        }

    def _read(self, conversation: Conversation, message: Message, user: str) -> Json:
        """A row as a page shows it; here sit the faults of careless reading."""
        shown = self._shown(conversation, message, user)
        second = user == conversation.people[1]
        if self.has("serves deleted texts") and message.deleted and message.before:
            shown |= {"content": message.before[0], "is_deleted": False}
        if self.has("cache mixes conversations") and self._chance(0.02):
            other = self.rng.choice(list(self.conversations.values()))
            shown["content"] = self.rng.choice([row.body for row in other.rows.values()] or [message.body])
        if self.has("edits reach one side only") and second and message.before and not message.deleted:
            shown["content"] = message.first_body
        if self.has("each side has its own order") and second and message.seq ^ 1 in conversation.rows:
            shown["seq"] = message.seq ^ 1
        return shown

    def _rows(self, conversation: Conversation) -> list[Message]:
        rows = [conversation.rows[seq] for seq in sorted(conversation.rows)]
        if self.has("reads from a stale replica"):
            rows = [row for row in rows if row.at < self.now - 0.3]
        return rows

    def _history(self, wire: Wire) -> Json:
        conversation = self.conversations[wire.room]
        rows = [conversation.rows[seq] for seq in sorted(conversation.rows)][-50:]
        view = self._view(conversation, wire.user, with_messages=False)
        return {
            "type": "conversation_history",
            "conversation_id": wire.room,
            "messages": [self._shown(conversation, row, wire.user) for row in rows],
            "has_more": len(conversation.rows) > len(rows),
            "last_seq": max(conversation.rows, default=0),
            "change_seq": conversation.change_seq,
            "peer": view["peer"],
            "me": view["me"],
        }

    def _page(self, conversation: Conversation, user: str, asked: dict[str, str]) -> Json:
        size, rows = int(asked.get("page_size", 20)), self._rows(conversation)
        if "after_seq" in asked:
            chosen = [row for row in rows if row.seq > int(asked["after_seq"])][:size]
        else:
            below = int(asked.get("before_seq", 10**9))
            chosen = [row for row in rows if row.seq < below][-size:][::-1]
        return {"count": len(rows), "results": [self._read(conversation, row, user) for row in chosen]}

    def _changes(self, conversation: Conversation, user: str, since: int, size: int = 30) -> Json:
        if self.has("forgets marks it gave out") and since and self._chance(0.1):
            return {"results": [], "next_since": 0, "has_more": False, "reset": True}
        rows = sorted(conversation.rows.values(), key=lambda row: row.change_seq)
        if self.has("shows a change before an earlier one"):
            rows = [row for row in rows if row.at < self.now - 0.05 or row.seq % 3]
        first = {"resumes one too early": since - 1, "resumes from the start": 0}
        after = next((value for fault, value in first.items() if self.has(fault)), since)
        found = [row for row in rows if row.change_seq > after]
        if self.has("resumes one too late"):
            found = found[1:]
        page, more = found[:size], len(found) > size
        next_since = page[-1].change_seq if more else max(conversation.change_seq, since)
        if self.has("resumes in random order"):
            self.rng.shuffle(page)
        shown = [self._shown(conversation, row, user) for row in page]
        return {"results": shown, "next_since": next_since, "has_more": more}

    def _sync(self, user: str, known: dict[str, int]) -> Json:
        changed = []
        for conversation in self.conversations.values():
            mark = known.get(conversation.id)
            if user not in conversation.people or mark == conversation.change_seq:
                continue
            view = self._view(conversation, user, with_messages=False)
            changed.append({**view, "changes": self._first_changes(conversation, user, mark)})
        return {"epoch": self.epoch, "reset": False, "state_seq": 0, "has_more": False, "conversations": changed}

    def _first_changes(self, conversation: Conversation, user: str, mark: int | None) -> Json:
        if mark is not None:
            return self._changes(conversation, user, mark)
        rows = [conversation.rows[seq] for seq in sorted(conversation.rows)][-20:]
        shown = [self._shown(conversation, row, user) for row in rows]
        return {"results": shown, "next_since": conversation.change_seq, "has_more": False}

    def _view(self, conversation: Conversation, user: str, *, with_messages: bool = True) -> Json:
        rows = self._rows(conversation)
        last_seq, peer = (rows[-1].seq if rows else 0), conversation.peer(user)
        read = conversation.read.get(user, 0)
        unread = sum(
            row.seq > read and (not row.deleted or self.has("counts deleted messages as unread")) for row in rows
        )
        if self.has("unread is a stored counter"):
            unread = conversation.unread[user]
        return {
            "id": conversation.id,
            "last_seq": last_seq,
            "change_seq": conversation.change_seq,
            "unread_count": unread,
            "last_message": self._read(conversation, rows[-1], user) if rows else None,
            "me": {"last_read_seq": read, "last_delivered_seq": conversation.delivered.get(user, 0)},
            "peer": {
                "user_id": peer,
                "last_read_seq": conversation.read[peer],
                "last_delivered_seq": conversation.delivered[peer],
            },
            "messages": [self._read(conversation, row, user) for row in rows[-20:]] if with_messages else [],
        }

    def tell_events(self) -> None:
        """Everything the stream delivered goes into the history."""
        for event in self.events:
            self.recorder.note(event)


def _ids(conversation: Conversation) -> set[str]:
    return {row.id for row in conversation.rows.values()}
