"""One device of one person: asks, listens, remembers, and writes down everything in the history.

It behaves as a good client does: a send keeps its client_message_id until it is answered, a hole
in what arrives is asked for, and after every reconnect it resumes from its own mark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from doran.verify.client import Answer, Gate, Json, Lost, Unreachable, Wire
from doran.verify.history import (
    Change,
    Closed,
    Delete,
    Edit,
    Garbled,
    Level,
    Looked,
    Mark,
    Opened,
    Outcome,
    Pried,
    Recorder,
    Row,
    Saw,
    Send,
)

PATIENCE = 6.0
"""Seconds to wait for the answer to a frame before its outcome counts as unknown."""

NOBODY_KNOWS = frozenset({"internal_error", "unavailable", "request_timeout"})
"""Refusals after which a change may have happened nevertheless."""

Tried = TypeVar("Tried", bound=Change)


class Refused(Exception):
    """The server said no where a run cannot go on without a yes."""


@dataclass
class Account:
    """A person of the run, as the server knows them, and how to log in as them."""

    id: str
    name: str
    username: str
    password: str


@dataclass
class Memory:
    """What a device knows of a conversation: rows by seq, and the mark up to which it is sure."""

    rows: dict[int, Row] = field(default_factory=dict)
    cursor: int | None = None

    def take(self, rows: tuple[Row, ...]) -> None:
        for row in rows:
            known = self.rows.get(row.seq)
            if known is None or row.change_seq >= known.change_seq:
                self.rows[row.seq] = row

    def has_hole(self) -> bool:
        return len(self.rows) < max(self.rows, default=0)

    @property
    def last_seq(self) -> int:
        return max(self.rows, default=0)


@dataclass
class Link:
    """One open socket of a device; `room` is empty for the door to everything of mine."""

    number: int
    room: str
    wire: Wire
    answers: dict[str, asyncio.Future[Json]] = field(default_factory=dict)
    reader: asyncio.Task[None] | None = None
    alive: bool = True
    closing: bool = False


class Device:
    """`rooms` says which conversations it opens each by its own socket; none means `/ws/`."""

    def __init__(
        self,
        account: Account,
        name: str,
        gate: Gate,
        recorder: Recorder,
        *,
        by_room: bool = False,
        in_band: bool = False,
    ) -> None:
        self.account = account
        self.name = name
        self.gate = gate
        self.recorder = recorder
        self.conversations: list[str] = []
        self.memory: dict[str, Memory] = {}
        self.pending: list[Send] = []
        self.epoch = ""
        self.token = ""
        self._by_room = by_room
        self._in_band = in_band
        self._links: dict[str, Link] = {}
        self._refs = count(1)
        self._chores: set[asyncio.Task[Any]] = set()

    async def log_in(self) -> None:
        """A new session of this device. Raises `Unreachable`, `Lost`, or `Refused`."""
        body = {"username": self.account.username, "password": self.account.password}
        answer = await self.gate.ask("POST", "/api/core/tokens/", body={**body, "device_name": self.name})
        if answer.status not in (200, 201):
            raise Refused(f"log-in: {answer.code}")
        self.token = answer.body["access_token"]

    # -- links -------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        return all(self._link(room) is not None for room in self._rooms())

    def _rooms(self) -> list[str]:
        return list(self.conversations) if self._by_room else [""]

    def _link(self, room: str) -> Link | None:
        link = self._links.get(room)
        return link if link is not None and link.alive else None

    def _way_to(self, conversation: str) -> Link | None:
        return self._link(conversation if self._by_room else "")

    async def connect(self) -> bool:
        """Open what is not open, and catch up. False where the server is not there."""
        try:
            for room in self._rooms():
                if self._link(room) is None:
                    await self._open(room)
            return True
        except (Unreachable, Lost):
            return False

    async def catch_up(self) -> bool:
        """Reconnect where the line is cut, and resume from my own mark."""
        return await self.connect() and await self.sync()

    async def _open(self, room: str) -> None:
        path = f"/ws/chat/{room}/" if room else "/ws/"
        began = self.recorder.clock()
        opening = self.gate.open(path, token=self.token, in_band=self._in_band)
        link = Link(next(self.recorder.links), room, await _patiently(opening))
        try:
            await self._greet(link, began)
        except (Lost, KeyError) as failed:
            await self._end(link, getattr(failed, "code", 0))
            await link.wire.close()
            raise Lost from failed
        self._links[room] = link
        link.reader = asyncio.create_task(self._listen(link))
        await (self.ask_changes(room) if room else self.sync())

    async def _greet(self, link: Link, began: int) -> None:
        ready = await _patiently(link.wire.hear())
        if ready["type"] != "ready":
            raise Lost
        self.epoch = ready["epoch"]
        self._note(Opened(room=link.room, epoch=self.epoch), link, inv=began)
        if link.room:
            await self._take_history(link, began)

    async def _take_history(self, link: Link, began: int) -> None:
        """The first frame of a conversation's socket; it may be as old as the opening."""
        frame = await _patiently(link.wire.hear())
        if frame.get("type") != "conversation_history":
            self._heard(link, frame)
            return
        self._saw(link, link.room, "history", frame["messages"], inv=began, last_seq=frame["last_seq"])
        self._looked(link, link.room, "history", frame["peer"], inv=began)
        self._looked_at_me(link, link.room, "history", frame.get("me"), inv=began)

    async def drop(self) -> None:
        """Hang up every socket, as a phone does in a tunnel."""
        for link in list(self._links.values()):
            if link.alive:
                link.closing = True
                await self._end(link, 0)
                await link.wire.close()
        for link in list(self._links.values()):
            if link.reader is not None and link.reader is not asyncio.current_task():
                link.reader.cancel()
                with suppress(asyncio.CancelledError):
                    await link.reader
        self._links.clear()

    async def _end(self, link: Link, code: int) -> None:
        if not link.alive:
            return
        link.alive = False
        by_device = link.closing
        self._note(Closed(room=link.room, code=code, by="device" if by_device else "server"), link)
        for answer in link.answers.values():
            if not answer.done():
                answer.set_exception(Lost(code))

    # -- listening ---------------------------------------------------------------------------

    async def _listen(self, link: Link) -> None:
        try:
            while link.alive:
                frame = await link.wire.hear()
                with self.shapes(str(frame.get("type"))):
                    self._heard(link, frame)
        except Lost as lost:
            await self._end(link, lost.code)

    def _heard(self, link: Link, frame: Json) -> None:
        answer = link.answers.pop(str(frame.get("ref")), None)
        if answer is not None and not answer.done():
            answer.set_result(frame)
        else:
            self._unasked(link, frame)

    def _unasked(self, link: Link, frame: Json) -> None:
        kind = str(frame.get("type"))
        if kind in ("chat_message", "message_updated", "message_deleted", "ack"):
            message = frame["message"]
            conversation = frame.get("conversation_id", message["conversation_id"])
            self._saw(link, conversation, "live", [message], frame=kind)
            self._ask_for_hole(conversation)
        elif kind in ("message_delivered", "message_read"):
            level: Level = "read" if kind == "message_read" else "delivered"
            self._note(
                Looked(
                    conversation=frame["conversation_id"],
                    source="live",
                    whose=frame["user_id"],
                    read=frame["up_to_seq"] if level == "read" else None,
                    delivered=frame["up_to_seq"] if level == "delivered" else None,
                ),
                link,
            )
        elif frame.get("conversation_id") not in (None, *self.conversations):
            self._saw(link, frame["conversation_id"], "live", [], frame=kind)

    def _ask_for_hole(self, conversation: str) -> None:
        memory = self.memory.get(conversation)
        if memory is not None and memory.cursor is not None and memory.has_hole():
            self._chore(self.ask_changes(conversation))

    def _chore(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(_quietly(work))
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    # -- asking ------------------------------------------------------------------------------

    async def _ask(self, method: str, path: str, body: Json | None = None) -> Answer:
        asking = self.gate.ask(method, path, token=self.token, body=body)
        answer: Answer = await _patiently(asking)
        return answer

    async def _say(self, link: Link, frame: Json) -> Json:
        """A frame and its answer. Raises `Lost` where none comes."""
        ref = f"r{next(self._refs)}"
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        link.answers[ref] = answer
        try:
            await link.wire.say({**frame, "ref": ref})
            said: Json = await _patiently(answer)
            return said
        finally:
            link.answers.pop(ref, None)
            if answer.done() and not answer.cancelled():
                answer.exception()

    # -- changing things ---------------------------------------------------------------------

    async def send(self, conversation: str, cmid: str, body: str, *, trick: str = "", by_rest: bool = False) -> Send:
        """Send once. What nobody answered stays in `pending` and keeps its id."""
        link = None if by_rest else self._way_to(conversation)
        send = Send(conversation=conversation, cmid=cmid, body=body, trick=trick)
        self._begin(send, link)
        frame = {"content": body, "client_message_id": cmid}
        if link is None:
            path = f"/api/chat/conversations/{conversation}/messages/send/"
            await self._by_rest(send, "POST", path, frame | _forged(self, send))
        else:
            where = {} if link.room else {"conversation_id": conversation}
            await self._by_socket(send, link, {"type": "chat_message", **frame, **where})
        if send.outcome == "info" and not trick:
            self.pending.append(send)
        return send

    async def retry(self, send: Send, *, by_rest: bool = False) -> Send:
        """Say the same thing again under the same id; any device of the person may."""
        return await self.send(send.conversation, send.cmid, send.body, by_rest=by_rest)

    async def send_pending_all(self) -> bool:
        """Repeat all that was never answered; False while something stays unanswered."""
        waiting, self.pending = self.pending, []
        for send in waiting:
            await self.retry(send)
        return not self.pending

    async def edit(self, conversation: str, message_id: str, body: str, *, trick: str = "") -> Edit:
        link = None if trick else self._way_to(conversation)
        edit = Edit(conversation=conversation, message_id=message_id, body=body, trick=trick)
        self._begin(edit, link)
        if link is None:
            await self._by_rest(edit, "PATCH", f"/api/chat/messages/{message_id}/", {"content": body})
        else:
            frame = {"type": "edit_message", "message_id": message_id, "content": body}
            await self._by_socket(edit, link, frame)
        return edit

    async def delete(self, conversation: str, message_id: str, *, trick: str = "") -> Delete:
        link = None if trick else self._way_to(conversation)
        delete = Delete(conversation=conversation, message_id=message_id, trick=trick)
        self._begin(delete, link)
        if link is None:
            path = f"/api/chat/messages/{message_id}/?for=everyone"
            await self._by_rest(delete, "DELETE", path)
        else:
            frame = {"type": "delete_message", "message_id": message_id, "for": "everyone"}
            await self._by_socket(delete, link, frame)
        return delete

    async def mark(self, conversation: str, level: Level, row: Row, *, by_rest: bool = False) -> Mark:
        link = None if by_rest else self._way_to(conversation)
        mark = Mark(conversation=conversation, level=level, up_to=row.seq)
        self._begin(mark, link)
        if link is None:
            await self._by_rest(mark, "POST", f"/api/chat/messages/{row.id}/{level}/")
        else:
            where: Json = {} if link.room else {"conversation_id": conversation}
            frame = {"type": f"mark_as_{level}", "up_to_seq": row.seq, **where}
            await self._by_socket(mark, link, frame)
        return mark

    async def _by_rest(self, change: Change, method: str, path: str, body: Json | None = None) -> None:
        try:
            answer = await self._ask(method, path, body)
        except Unreachable:
            self._end_change(change, "fail", "unreachable")
        except Lost:
            self._end_change(change, "info", "lost")
        else:
            self._understand(change, answer.body)
            self._end_change(change, _outcome(answer), "" if answer.status < 300 else answer.code)

    async def _by_socket(self, change: Change, link: Link, frame: Json) -> None:
        try:
            answer = await self._say(link, frame)
        except Lost:
            self._end_change(change, "info", "lost")
            return
        code = str(answer.get("code", "")) if answer.get("type") == "error" else ""
        self._understand(change, answer)
        refused: Outcome = "info" if code in NOBODY_KNOWS else "fail"
        self._end_change(change, refused if code else "ok", code)

    def _understand(self, change: Change, answer: Json) -> None:
        """Take the message (or the mark) out of an answer, where there is one."""
        message = answer.get("message", answer)
        if isinstance(change, Mark):
            change.reached = answer.get("up_to_seq")
        elif isinstance(change, (Send, Edit, Delete)) and isinstance(message, dict) and "seq" in message:
            change.row = _row(message, change.conversation)

    def _end_change(self, change: Change, outcome: Outcome, code: str) -> None:
        change.outcome, change.code = outcome, code
        self.recorder.end(change)
        row = getattr(change, "row", None)
        if outcome == "ok" and row is not None and change.conversation in self.memory:
            self.memory[change.conversation].take((row,))

    # -- looking -----------------------------------------------------------------------------

    async def sync(self) -> bool:
        """Ask for all that changed since what I know, until there is no more."""
        more = True
        while more:
            began = self.recorder.clock()
            known = self._known()
            question = {"epoch": self.epoch or None, "known": known}
            link, answer = await self._question({"type": "sync", **question}, "/api/chat/sync/")
            if answer is None:
                return False
            await self._take_sync(link, answer, known, began)
            more = answer["has_more"]
            if more and known == self._known():
                self._stuck("sync")
                return False
        return True

    def _known(self) -> dict[str, int]:
        return {name: memory.cursor for name, memory in self.memory.items() if memory.cursor is not None}

    def _stuck(self, what: str) -> None:
        self._note(Garbled(what=f"{what}: there is always more, and never anything new"), None)

    async def _question(self, frame: Json, path: str) -> tuple[Link | None, Json | None]:
        """By socket where one to everything is open, otherwise by REST."""
        link = self._link("")
        try:
            if link is not None:
                answer = await self._say(link, frame)
                return link, None if answer.get("type") == "error" else answer
            body = {name: value for name, value in frame.items() if name != "type"}
            reply = await self._ask("POST", path, body)
            return None, reply.body if reply.status == 200 else None
        except (Unreachable, Lost):
            return link, None

    async def _take_sync(self, link: Link | None, answer: Json, known: Json, began: int) -> None:
        self.epoch = answer["epoch"]
        for view in answer["conversations"]:
            name, changes = view["id"], view["changes"]
            self._looked_at(link, view, "sync", began)
            reset = bool(answer["reset"] or changes.get("reset"))
            self._took(
                link,
                name,
                "sync",
                changes,
                since=known.get(name),
                inv=began,
                reset=reset,
                last_seq=view["last_seq"] if known.get(name) is None else None,
            )
            if known.get(name) is None or reset:
                await self._read_older(name)
            if changes.get("has_more"):
                await self.ask_changes(name)

    async def ask_changes(self, conversation: str) -> bool:
        """Ask for what changed in one conversation since my mark, until there is no more."""
        memory, more = self._remembered(conversation), True
        while more:
            began, since = self.recorder.clock(), memory.cursor or 0
            answer, link = await self._changes(conversation, since)
            if answer is None:
                return False
            self._took(link, conversation, "changes", answer, since=since, inv=began, reset=bool(answer.get("reset")))
            more = bool(answer.get("has_more"))
            if more and (memory.cursor or 0) <= since:
                self._stuck("changes")
                return False
        return True

    async def _changes(self, conversation: str, since: int) -> tuple[Json | None, Link | None]:
        link = self._way_to(conversation)
        try:
            if link is not None:
                where: Json = {} if link.room else {"conversation_id": conversation}
                answer = await self._say(link, {"type": "changes", "since": since, **where})
                return (None if answer.get("type") == "error" else answer), link
            path = f"/api/chat/conversations/{conversation}/changes/?since={since}"
            reply = await self._ask("GET", path)
            return (reply.body if reply.status == 200 else None), None
        except (Unreachable, Lost):
            return None, link

    def _took(
        self,
        link: Link | None,
        conversation: str,
        source: str,
        page: Json,
        *,
        since: int | None,
        inv: int,
        reset: bool,
        last_seq: int | None = None,
    ) -> None:
        """An answer that moves the mark: remember it, or forget all where it says reset."""
        memory = self._remembered(conversation)
        if reset:
            memory.rows.clear()
            memory.cursor = None
        self._saw(
            link,
            conversation,
            source,
            page.get("results", []),
            inv=inv,
            since=since,
            next_since=page.get("next_since"),
            more=bool(page.get("has_more")),
            reset=reset,
            last_seq=last_seq,
        )
        memory.cursor = max(memory.cursor or 0, page.get("next_since", 0))

    async def _read_older(self, conversation: str) -> None:
        """A newcomer to a conversation gets its newest messages; the rest comes page by page."""
        memory = self._remembered(conversation)
        while memory.rows and min(memory.rows) > 1:
            first = min(memory.rows)
            if not await self.page(conversation, f"before_seq={first}&page_size=100"):
                return
            if min(memory.rows) == first:
                return

    async def page(self, conversation: str, query: str = "") -> bool:
        """One page of history by REST; without a query the newest."""
        path = f"/api/chat/conversations/{conversation}/messages/" + (f"?{query}" if query else "")
        began = self.recorder.clock()
        try:
            answer = await self._ask("GET", path)
        except (Unreachable, Lost):
            return False
        if answer.status != 200:
            return False
        results = answer.body["results"]
        newest = results[0]["seq"] if results and not query else None
        self._saw(None, conversation, "page", results, inv=began, last_seq=newest)
        return True

    async def read_all(self, conversation: str) -> bool:
        """The whole conversation from its first message, as a new device would."""
        memory, more = self._remembered(conversation), True
        while more:
            before = memory.last_seq
            if not await self.page(conversation, f"after_seq={before}&page_size=100"):
                return False
            more = memory.last_seq > before
        return True

    async def look(self, conversation: str) -> bool:
        """Open the conversation's own page: newest messages, both people's marks, unread."""
        began = self.recorder.clock()
        try:
            answer = await self._ask("GET", f"/api/chat/conversations/{conversation}/")
        except (Unreachable, Lost):
            return False
        if answer.status != 200:
            return False
        view = answer.body
        self._saw(None, conversation, "newest", view["messages"], inv=began, last_seq=view["last_seq"])
        self._looked_at(None, view, "newest", began)
        return True

    async def list_conversations(self) -> bool:
        """The list of my conversations."""
        began = self.recorder.clock()
        try:
            answer = await self._ask("GET", "/api/chat/users/me/conversations/")
        except (Unreachable, Lost):
            return False
        if answer.status != 200:
            return False
        for view in answer.body["results"]:
            self._looked_at(None, view, "list", began)
            if view["last_message"]:
                self._saw(None, view["id"], "list", [view["last_message"]], inv=began, last_seq=view["last_seq"])
        return True

    async def rename(self, display_name: str) -> None:
        """Change one's public name; of no interest here but for the events it causes."""
        with suppress(Unreachable, Lost):
            await self._ask("PATCH", "/api/core/users/me/", {"display_name": display_name})

    async def pry(self, conversation: str, method: str, path: str, body: Json | None = None) -> None:
        """Ask for what is not mine; the answer has to be that there is no such thing."""
        pried = Pried(conversation=conversation, what=f"{method} {path.rpartition('/api')[2]}")
        self._begin(pried, None)
        try:
            pried.outcome = "ok" if (await self._ask(method, path, body)).status < 300 else "fail"
        except (Unreachable, Lost):
            pried.outcome = "info"
        self.recorder.end(pried)

    async def pry_socket(self, conversation: str) -> None:
        """Try to open the socket of a conversation that is not mine."""
        pried = Pried(conversation=conversation, what="socket")
        self._begin(pried, None)
        pried.outcome = "fail"
        path = f"/ws/chat/{conversation}/"
        with suppress(Unreachable, Lost):
            wire = await _patiently(self.gate.open(path, token=self.token))
            with suppress(Lost):
                while (await asyncio.wait_for(wire.hear(), 1))["type"] in ("ready", "error"):
                    pass
                pried.outcome = "ok"
            await wire.close()
        self.recorder.end(pried)

    @contextmanager
    def shapes(self, what: str) -> Iterator[None]:
        """Whatever lacks a promised field inside is written down as garbled, not raised."""
        try:
            yield
        except (KeyError, TypeError, AttributeError, IndexError) as wrong:
            self._note(Garbled(what=f"{what}: {type(wrong).__name__} {wrong}"[:200]), None)

    # -- writing down ------------------------------------------------------------------------

    def _remembered(self, conversation: str) -> Memory:
        return self.memory.setdefault(conversation, Memory())

    def _begin(self, operation: Any, link: Link | None) -> None:
        self._sign(operation, link)
        self.recorder.begin(operation)

    def _note(self, operation: Any, link: Link | None, *, inv: int | None = None) -> None:
        self._sign(operation, link)
        self.recorder.note(operation, inv=inv)

    def _sign(self, operation: Any, link: Link | None) -> None:
        operation.user = self.account.id
        operation.device = f"{self.account.name}/{self.name}"
        operation.link = 0 if link is None else link.number

    def _saw(
        self,
        link: Link | None,
        conversation: str,
        source: str,
        messages: list[Json],
        *,
        inv: int | None = None,
        **facts: Any,
    ) -> None:
        rows = tuple(_row(message, conversation) for message in messages)
        self._note(Saw(conversation=conversation, source=source, rows=rows, **facts), link, inv=inv)
        if conversation in self.conversations:
            self._remembered(conversation).take(rows)

    def _looked_at(self, link: Link | None, view: Json, source: str, began: int) -> None:
        self._looked(link, view["id"], source, view["peer"], inv=began)
        me = {**view["me"], "unread": view["unread_count"], "last_seq": view["last_seq"]}
        self._looked_at_me(link, view["id"], source, me, inv=began)

    def _looked_at_me(self, link: Link | None, conversation: str, source: str, me: Json | None, *, inv: int) -> None:
        if me is not None:
            self._looked(link, conversation, source, {**me, "user_id": self.account.id}, inv=inv)

    def _looked(self, link: Link | None, conversation: str, source: str, marks: Json, *, inv: int) -> None:
        looked = Looked(
            conversation=conversation,
            source=source,
            whose=marks["user_id"],
            read=marks["last_read_seq"],
            delivered=marks["last_delivered_seq"],
            unread=marks.get("unread"),
            last_seq=marks.get("last_seq"),
        )
        self._note(looked, link, inv=inv)


async def _patiently(work: Awaitable[Any]) -> Any:
    """Wait for an answer, but not for ever: then it counts as lost."""
    try:
        return await asyncio.wait_for(work, PATIENCE)
    except TimeoutError:
        raise Lost from None


async def _quietly(work: Awaitable[object]) -> None:
    with suppress(Unreachable, Lost):
        await work


def _outcome(answer: Answer) -> Outcome:
    if answer.status < 300:
        return "ok"
    return "info" if answer.status >= 500 or answer.status == 408 else "fail"


def _forged(device: Device, send: Send) -> Json:
    """A forged send names somebody else as its sender."""
    return {"sender_id": f"not-{device.account.id}"} if send.trick == "forged" else {}


def _row(message: Json, conversation: str) -> Row:
    named = message.get("conversation_id", conversation)
    return Row(
        seq=message["seq"],
        id=message["id"],
        sender=message["sender_id"],
        body=message["content"],
        deleted=message["is_deleted"],
        change_seq=message["change_seq"],
        cmid=message.get("client_message_id"),
        elsewhere="" if named == conversation else named,
    )
