"""One device of one person: asks, listens, remembers, and writes down everything in the history.

It behaves as a good client does: a send keeps its client_message_id until it is answered, a hole
in what arrives is asked for, and after every reconnect it resumes from its own mark.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from doran.verify.client import Answer, Gate, Json, Lost, Unreachable
from doran.verify.connection import patiently
from doran.verify.history import Change, Delete, Edit, Level, Mark, Outcome, Pried, Recorder, Row, Send
from doran.verify.memory import Account, row_of
from doran.verify.reading import Reader
from doran.verify.witness import Link

NOBODY_KNOWS = frozenset({"internal_error", "unavailable", "request_timeout"})
"""Refusals after which a change may have happened nevertheless."""


class Device(Reader):
    """What was never answered waits in `pending` under its client_message_id."""

    def __init__(self, account: Account, name: str, gate: Gate, recorder: Recorder, **how: bool) -> None:
        super().__init__(account, name, gate, recorder, **how)
        self.pending: list[Send] = []

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
            change.row = row_of(message, change.conversation)

    def _end_change(self, change: Change, outcome: Outcome, code: str) -> None:
        change.outcome, change.code = outcome, code
        self.recorder.end(change)
        row = getattr(change, "row", None)
        if outcome == "ok" and row is not None and change.conversation in self.memory:
            self.memory[change.conversation].take((row,))

    # -- beside the messages -----------------------------------------------------------------

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
            wire = await patiently(self.gate.open(path, token=self.token))
            with suppress(Lost):
                while (await asyncio.wait_for(wire.hear(), 1))["type"] in ("ready", "error"):
                    pass
                pried.outcome = "ok"
            await wire.close()
        self.recorder.end(pried)


def _outcome(answer: Answer) -> Outcome:
    if answer.status < 300:
        return "ok"
    return "info" if answer.status >= 500 or answer.status == 408 else "fail"


def _forged(device: Device, send: Send) -> Json:
    """A forged send names somebody else as its sender."""
    return {"sender_id": f"not-{device.account.id}"} if send.trick == "forged" else {}
