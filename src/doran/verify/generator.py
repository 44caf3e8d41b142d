"""What people do: a seeded stream of weighted deeds for each device, honest ones and evil ones."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import count

from doran.verify.device import Device
from doran.verify.history import Level, Row, Send

WORDS = (
    "점심 먹을래?",
    "좋아!",
    "see you at 7",
    "ㅋㅋㅋ",
    "지금 가는 중",
    "🙂",
    "잠깐만",
    "okay",
    "사진 보냈어",
    "내일 봐",
)

WEIGHTS: dict[str, int] = {
    "send": 45,
    "read": 9,
    "deliver": 6,
    "look": 10,
    "list_mine": 2,
    "hang_up": 6,
    "resync": 9,
    "race": 3,
    "edit": 4,
    "delete": 3,
    "page": 4,
    "evil": 3,
    "rename": 1,
}
"""How often each deed is chosen, of about a hundred."""


class Texts:
    """Bodies that exist once: a token that nothing else contains, then a few words."""

    def __init__(self, run: str) -> None:
        self.run = run
        self._numbers = count(1)

    def next(self, rng: random.Random) -> str:
        return f"{self.run}-{next(self._numbers)}. {rng.choice(WORDS)}"


class Life:
    """One device's share of the workload. `others` are conversations it has no part in."""

    def __init__(
        self,
        device: Device,
        twin: Device,
        *,
        texts: Texts,
        rng: random.Random,
        others: list[str],
        evil: bool = True,
    ) -> None:
        self.device = device
        self.twin = twin
        self.texts = texts
        self.rng = rng
        self.others = others
        self._sent: list[Send] = []
        self._cmids: list[tuple[str, str]] = []
        weights = {deed: weight for deed, weight in WEIGHTS.items() if evil or deed != "evil"}
        self._deeds, self._weights = list(weights), list(weights.values())

    async def act(self) -> None:
        """One deed; reconnects first where the line is cut, as any client would."""
        if not self.device.connected and self.rng.random() < 0.8:
            await self.device.connect()
        name = self.rng.choices(self._deeds, self._weights)[0]
        with self.device.shapes(name):
            await getattr(self, name)()

    # -- honest ------------------------------------------------------------------------------

    async def send(self) -> None:
        if self.device.pending and self.rng.random() < 0.5:
            await self._again(self.device.pending.pop(0))
        elif self._sent and self.rng.random() < 0.1:
            await self._again(self.rng.choice(self._sent[-20:]))
        else:
            await self._new()

    async def _new(self) -> None:
        conversation = self._mine()
        cmid, body = self._cmid(conversation), self.texts.next(self.rng)
        send = await self.device.send(conversation, cmid, body, by_rest=self.rng.random() < 0.2)
        self._sent.append(send)

    async def _again(self, send: Send) -> None:
        """The same message under the same id, often from the other device."""
        device = self.twin if self.rng.random() < 0.4 else self.device
        await device.retry(send, by_rest=self.rng.random() < 0.3)

    def _cmid(self, conversation: str) -> str:
        """Usually new; now and then one that this device used in another conversation."""
        used = [cmid for home, cmid in self._cmids[-10:] if home != conversation]
        taken = {cmid for home, cmid in self._cmids if home == conversation}
        free = [cmid for cmid in used if cmid not in taken]
        reuse = bool(free) and self.rng.random() < 0.1
        cmid = self.rng.choice(free) if reuse else f"{self.rng.getrandbits(64):016x}"
        self._cmids.append((conversation, cmid))
        return cmid

    async def read(self) -> None:
        await self._mark("read")

    async def deliver(self) -> None:
        await self._mark("delivered")

    async def _mark(self, level: Level) -> None:
        conversation = self._mine()
        row = self._any_row(conversation, newest=self.rng.random() < 0.6)
        if row is not None:
            await self.device.mark(conversation, level, row, by_rest=self.rng.random() < 0.3)

    async def look(self) -> None:
        await self.device.look(self._mine())

    async def list_mine(self) -> None:
        await self.device.list_conversations()

    async def hang_up(self) -> None:
        await self.device.drop()

    async def resync(self) -> None:
        if self.rng.random() < 0.5:
            await self.device.sync()
        else:
            await self.device.ask_changes(self._mine())

    async def page(self) -> None:
        conversation = self._mine()
        top = self.device.memory[conversation].last_seq if conversation in self.device.memory else 0
        queries = [
            "",
            "page=1",
            "page_size=7",
            f"before_seq={self.rng.randint(1, top + 1)}",
            f"after_seq={self.rng.randint(0, top)}&page_size=50",
        ]
        await self.device.page(conversation, self.rng.choice(queries))

    async def edit(self) -> None:
        conversation, row = self._own_row()
        if row is not None:
            await self.device.edit(conversation, row.id, self.texts.next(self.rng))

    async def delete(self) -> None:
        conversation, row = self._own_row()
        if row is not None:
            await self.device.delete(conversation, row.id)

    async def race(self) -> None:
        """Both devices at the same moment: the same send, a mark each, or an edit each."""
        conversation = self._mine()
        row = self._any_row(conversation, newest=True)
        match self.rng.randrange(3):
            case 0:
                cmid, body = self._cmid(conversation), self.texts.next(self.rng)
                sends = [one.send(conversation, cmid, body, by_rest=self.rng.random() < 0.3) for one in self._both()]
                await asyncio.gather(*sends)
            case 1 if row is not None:
                await asyncio.gather(*(one.mark(conversation, "read", row) for one in self._both()))
            case _:
                conversation, row = self._own_row()
                if row is not None:
                    texts = self.texts.next(self.rng), self.texts.next(self.rng)
                    edits = zip(self._both(), texts, strict=True)
                    await asyncio.gather(*(one.edit(conversation, row.id, text) for one, text in edits))

    def _both(self) -> tuple[Device, Device]:
        return self.device, self.twin

    async def rename(self) -> None:
        await self.device.rename(f"{self.device.account.name} {self.rng.randint(1, 99)}")

    # -- evil --------------------------------------------------------------------------------

    async def evil(self) -> None:
        deeds: list[Callable[[], Awaitable[None]]] = [
            self._pry,
            self._forge,
            self._conflict,
            self._edit_foreign,
            self._intrude,
        ]
        await self.rng.choice(deeds)()

    async def _pry(self) -> None:
        conversation = self.rng.choice(self.others)
        home = f"/api/chat/conversations/{conversation}"
        paths = [f"{home}/", f"{home}/messages/", f"{home}/changes/?since=0"]
        if self.rng.random() < 0.25:
            await self.device.pry_socket(conversation)
        else:
            await self.device.pry(conversation, "GET", self.rng.choice(paths))

    async def _forge(self) -> None:
        body = self.texts.next(self.rng)
        await self.device.send(self._mine(), self._fresh(), body, trick="forged", by_rest=True)

    async def _intrude(self) -> None:
        body, conversation = self.texts.next(self.rng), self.rng.choice(self.others)
        await self.device.send(conversation, self._fresh(), body, trick="foreign", by_rest=True)

    async def _conflict(self) -> None:
        done = [send for send in self._sent[-20:] if send.outcome == "ok"]
        if done:
            send = self.rng.choice(done)
            body = self.texts.next(self.rng)
            await self.device.send(send.conversation, send.cmid, body, trick="conflict")

    async def _edit_foreign(self) -> None:
        conversation = self._mine()
        rows = self._rows(conversation, mine=False)
        if rows:
            message = self.rng.choice(rows).id
            if self.rng.random() < 0.5:
                body = self.texts.next(self.rng)
                await self.device.edit(conversation, message, body, trick="foreign")
            else:
                await self.device.delete(conversation, message, trick="foreign")

    # -- choosing ----------------------------------------------------------------------------

    def _fresh(self) -> str:
        return f"{self.rng.getrandbits(64):016x}"

    def _mine(self) -> str:
        return self.rng.choice(self.device.conversations)

    def _any_row(self, conversation: str, *, newest: bool) -> Row | None:
        memory = self.device.memory.get(conversation)
        if memory is None or not memory.rows:
            return None
        seq = memory.last_seq if newest else self.rng.choice(list(memory.rows))
        return memory.rows[seq]

    def _own_row(self) -> tuple[str, Row | None]:
        conversation = self._mine()
        rows = self._rows(conversation, mine=True)
        return conversation, self.rng.choice(rows[-15:]) if rows else None

    def _rows(self, conversation: str, *, mine: bool) -> list[Row]:
        memory = self.device.memory.get(conversation)
        rows = [] if memory is None else list(memory.rows.values())
        me = self.device.account.id
        return [row for row in rows if (row.sender == me) is mine and not row.deleted]
