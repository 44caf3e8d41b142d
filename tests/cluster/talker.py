"""Somebody who sends all the time, by socket or by REST, and repeats under the same id until it is answered."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field

from doran.verify.client import Gate, Lost, Unreachable, Wire

PATIENCE = 5.0
AGAIN = "unavailable"
"""What a client answers by repeating, without showing anything: the message keeps its id."""


@dataclass
class Talker:
    """`worst` is the longest a send took, repetitions included, in seconds. `wrong` is whatever a client of ours
    would have had to show as a failure; `closes` are the close codes of sockets that ended."""

    gate: Gate
    token: str
    conversation: str
    name: str
    by_rest: bool = False
    longest_pause: float = 0.03
    sent: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    closes: list[int] = field(default_factory=list)
    repeated: int = 0
    worst: float = 0.0
    is_over: bool = False
    _wire: Wire | None = None

    async def talks(self) -> None:
        number = 0
        while not self.is_over:
            number += 1
            begun = time.monotonic()
            await self._send(f"{self.name}-{number}")
            self.worst = max(self.worst, time.monotonic() - begun)
            await asyncio.sleep(random.uniform(0.0, self.longest_pause))
        if self._wire is not None:
            await self._wire.close()

    async def _send(self, cmid: str) -> None:
        once = self._by_rest if self.by_rest else self._by_socket
        tries = 0
        while not await once({"content": f"안녕 {cmid}", "client_message_id": cmid}):
            tries += 1
            self.repeated += 1
            await asyncio.sleep(random.uniform(0.0, min(1.0, 0.05 * 2**tries)))
        self.sent.append(cmid)

    async def _by_rest(self, message: dict[str, str]) -> bool:
        path = f"/api/chat/conversations/{self.conversation}/messages/send/"
        try:
            answer = await self.gate.ask("POST", path, token=self.token, body=message)
        except (Unreachable, Lost) as no:
            self.wrong.append(type(no).__name__)
            return False
        if answer.status not in (200, 201) and answer.code != AGAIN:
            self.wrong.append(f"{answer.status} {answer.code}")
        return answer.status in (200, 201)

    async def _by_socket(self, message: dict[str, str]) -> bool:
        try:
            wire = self._wire = self._wire or await self._opened()
            await wire.say({"type": "chat_message", **message})
            return await asyncio.wait_for(self._answer(wire, message["client_message_id"]), PATIENCE)
        except Unreachable:
            self.wrong.append("a handshake was refused")
        except Lost as lost:
            self.closes.append(lost.code)
            self._wire = None
        except TimeoutError:
            self.wrong.append("no answer")
            self._wire = None
        return False

    async def _opened(self) -> Wire:
        return await self.gate.open(f"/ws/chat/{self.conversation}/", token=self.token)

    async def _answer(self, wire: Wire, cmid: str) -> bool:
        while True:
            frame = await wire.hear()
            if frame["type"] == "error":
                self.wrong += [frame["code"]] if frame["code"] != AGAIN else []
                return False
            if frame["type"] == "ack" and frame["client_message_id"] == cmid:
                return True


async def talking(talkers: list[Talker], until: asyncio.Future[None]) -> None:
    """Everybody talks until something is done; then they finish their sentence."""
    lives = [asyncio.create_task(one.talks()) for one in talkers]
    try:
        await until
    finally:
        for one in talkers:
            one.is_over = True
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*lives), 30)
