"""Reading: resume from a mark, turn pages, look at a conversation, list them all."""

from __future__ import annotations

from urllib.parse import urlencode

from doran.verify.client import Json, Lost, Unreachable
from doran.verify.connection import Connected
from doran.verify.history import Garbled
from doran.verify.witness import Link


class Reader(Connected):
    """A device that can ask for what it does not know."""

    async def sync(self) -> bool:
        """Ask for all that changed since what I know, until there is no more."""
        more = True
        while more:
            began = self.recorder.clock()
            known = self._known()
            state_since = self.state_seq
            question = {"epoch": self.epoch or None, "known": known, "state_since": state_since}
            link, answer = await self._question({"type": "sync", **question}, "/api/chat/sync/")
            if answer is None:
                return False
            await self._take_sync(link, answer, known, began)
            more = answer["has_more"]
            if more and (known, state_since) == (self._known(), self.state_seq):
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
        self.epoch, self.state_seq = answer["epoch"], answer["state_seq"]
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
        link, epoch = self._way_to(conversation), self._remembered(conversation).epoch
        named = {"epoch": epoch} if epoch else {}
        try:
            if link is not None:
                where: Json = {} if link.room else {"conversation_id": conversation}
                answer = await self._say(link, {"type": "changes", "since": since, **named, **where})
                return (None if answer.get("type") == "error" else answer), link
            path = f"/api/chat/conversations/{conversation}/changes/?{urlencode({'since': since, **named})}"
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
        if memory.cursor is None:
            memory.epoch = self.epoch
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
