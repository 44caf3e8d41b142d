"""A client in a few lines: it keeps what it was shown, and can be away and catch up."""

from __future__ import annotations

import itertools
from typing import Any

from tests.cast import Person
from tests.wire import Socket

STATE = ("is_active", "last_seq", "me", "peer", "unread_count")


class Device:
    """What one device of a person knows, by the rules any client may use.

    `known` maps each conversation to the last change it has applied, as `sync` wants it.
    """

    def __init__(self, person: Person) -> None:
        self.person = person
        self.epoch: str | None = None
        self.state_since = 0
        self.known: dict[str, int] = {}
        self.conversations: dict[str, dict[str, Any]] = {}
        self.messages: dict[str, dict[int, dict[str, Any]]] = {}
        self.rounds = 0

    async def catches_up(self) -> None:
        """Ask `sync` until it has nothing more to say."""
        has_more = True
        while has_more:
            self.rounds += 1
            answer = await self.person.syncs(epoch=self.epoch, known=self.known, state_since=self.state_since)
            if answer["reset"]:
                self.known, self.conversations, self.messages = {}, {}, {}
            for conversation in answer["conversations"]:
                self._takes(conversation)
            self.epoch, self.state_since = answer["epoch"], answer["state_seq"]
            has_more = answer["has_more"] or any(one["changes"]["has_more"] for one in answer["conversations"])

    def _takes(self, conversation: dict[str, Any]) -> None:
        talk, changes = conversation["id"], conversation["changes"]
        if changes["reset"]:
            self.messages[talk] = {}
        self.conversations[talk] = conversation
        self.known[talk] = changes["next_since"]
        for message in changes["results"]:
            self.messages.setdefault(talk, {})[message["seq"]] = message

    async def hears(self, socket: Socket) -> None:
        """Apply everything that is on its way on the socket for everything."""
        for frame in await socket.hears_nothing_before_pong():
            self._applies(frame)

    def _applies(self, frame: dict[str, Any]) -> None:
        if frame["type"] in ("conversation_created", "conversation_updated"):
            conversation = frame["conversation"]
            self.conversations[conversation["id"]] = conversation
            self.messages.setdefault(conversation["id"], {})
        elif frame["type"] in ("chat_message", "message_updated", "message_deleted"):
            self._places(frame["message"], is_new=frame["type"] == "chat_message")
        elif frame["type"] in ("message_read", "message_delivered"):
            self._marks(frame)

    def _places(self, message: dict[str, Any], *, is_new: bool) -> None:
        conversation = self.conversations[message["conversation_id"]]
        conversation["last_seq"] = max(conversation["last_seq"], message["seq"])
        if message["seq"] >= conversation["me"]["hidden_before_seq"]:
            self.messages[message["conversation_id"]][message["seq"]] = message
        if is_new:
            self._written_by(message["sender_id"], conversation, message["seq"])

    def _written_by(self, sender_id: str, conversation: dict[str, Any], seq: int) -> None:
        """Who writes has read what came before."""
        is_mine = sender_id == self.person.id
        self._advance(conversation["me" if is_mine else "peer"], "last_read_seq", seq)
        if is_mine:
            conversation["me"]["marked_unread"] = False

    def _marks(self, frame: dict[str, Any]) -> None:
        conversation = self.conversations[frame["conversation_id"]]
        side = conversation["me"] if frame["user_id"] == self.person.id else conversation["peer"]
        kind = "last_read_seq" if frame["type"] == "message_read" else "last_delivered_seq"
        self._advance(side, kind, frame["up_to_seq"])

    @staticmethod
    def _advance(side: dict[str, Any], kind: str, seq: int) -> None:
        """Read implies delivered."""
        side["last_delivered_seq"] = max(side["last_delivered_seq"], seq)
        side[kind] = max(side[kind], seq)

    def view(self) -> dict[str, Any]:
        """What the person sees on this device."""
        return {
            talk: {
                **{name: one[name] for name in STATE if name != "unread_count"},
                "unread_count": self._unread(talk),
                "messages": {
                    seq: (message["content"], message["is_deleted"], message["edited_at"], message["reply_to"])
                    for seq, message in sorted(self.messages.get(talk, {}).items())
                    if seq >= one["me"]["hidden_before_seq"]
                },
            }
            for talk, one in self.conversations.items()
        }

    def _unread(self, talk: str) -> int:
        """Unread by its definition: after my mark, not mine, not deleted, not hidden from me, not lost."""
        me = self.conversations[talk]["me"]
        mark = max(me["last_read_seq"], me["hidden_before_seq"] - 1)
        return sum(
            seq > mark and message["sender_id"] not in (self.person.id, "") and not message["is_deleted"]
            for seq, message in self.messages.get(talk, {}).items()
        )


async def fresh(person: Person) -> dict[str, Any]:
    """What the person would see on a new device that reads everything by pages."""
    device = Device(person)
    page = await person.gets("/api/chat/users/me/conversations/?page_size=100")
    for conversation in page["results"]:
        talk = conversation["id"]
        device.conversations[talk] = conversation
        device.messages[talk] = {message["seq"]: message for message in await all_pages(person, talk)}
        assert conversation["unread_count"] == device.view()[talk]["unread_count"]
    return device.view()


async def all_pages(person: Person, talk: str) -> list[dict[str, Any]]:
    """Every message there is for this person, newest first, read page by page."""
    met: list[dict[str, Any]] = []
    for number in itertools.count(1):
        page = await person.gets(f"/api/chat/conversations/{talk}/messages/?page_size=100&page={number}")
        met += page["results"]
        if page["next"] is None:
            break
    return met
