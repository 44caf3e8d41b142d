"""What the AI costs: plain messages beside it, and one question to the assistant from the key press to the stored answer.

The model is a scripted server on the generator's core and is not counted: what a real one takes is its own.
"""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from bench import generator, goals, machine, people, report, scenarios
from bench.lines import Line, connect
from bench.meters import Meter, percentile
from bench.processes import available_cores, one_run, start
from bench.rivals.doran import RAISED, Doran, answers, find_doran
from bench.scenarios import Plan, Round
from bench.seats import Seat
from tests.servers.model import ModelServer, scripted_model

SCENARIO = "ai"
ASSISTANT = "00000000-0000-7000-8000-000000000001"
ANSWER = "강가에서 저녁 일곱 시에 만나기로 하셨고, 준호 님이 음료수를, 민지 님이 돗자리를 가져오기로 하셨어요. " * 2
WITHOUT, WITH = goals.WITHOUT, goals.WITH
ASKERS, QUESTIONS = 8, 6


class Served(Doran):
    """Doran with or without its third service."""

    def __init__(self, folder: Path, *, core: int, model: ModelServer | None) -> None:
        super().__init__(folder, core=core, door="one", marks=False)
        self.name = WITH if model else WITHOUT
        self.model = model

    def _serve(self) -> None:
        services = ("core", "chat", "ai") if self.model else ("core", "chat")
        told = {"DORAN_AI_PROVIDERS": self.model.toml(), "DORAN_AI_JOBS_PER_DAY": "0"} if self.model else {}
        command = [find_doran(), "serve", *services, "--port", self.port, "--data", self.folder / "data"]
        self.server = start(
            list(map(str, command)),
            core=self.core,
            log=self.folder / "doran.log",
            environment=os.environ | RAISED | told,
        )
        self.server.wait_until(lambda: answers(self.port))


def run(plan: Plan, about: dict[str, object]) -> int:
    """Measure both, print, judge and store."""
    core, own_core = available_cores()
    os.sched_setaffinity(0, {own_core})
    with one_run() as (folder, ending):
        model = ending.enter_context(scripted_model())
        model.answer = lambda asked: ANSWER
        sides = [Served(_room(folder, name), core=core, model=one) for name, one in (("0", None), ("1", model))]
        for side in sides:
            side.check()
        for side in sides:
            ending.callback(side.stop)
            side.start()
            print(f"{side.name}: filling in {2 * plan.pairs} people …", flush=True)
            side.populate(2 * plan.pairs, history=1)
        rounds = scenarios.messages(sides, plan)
        asked = generator.run(_questions(sides[1], core))
    judged = goals.judge(SCENARIO, report.by_side(rounds))
    report.show("plain messages beside the AI", rounds)
    print(_line(asked))
    stored = report.store(SCENARIO, [*rounds, asked], judged, about)
    report.show_verdicts(judged)
    print(f"stored in {stored.relative_to(machine.ROOT)}")
    return 0


def _room(folder: Path, name: str) -> Path:
    room = folder / name
    room.mkdir()
    return room


def _line(asked: Round) -> str:
    return (
        f"\na question to the assistant: {asked['cpu_us'] / 1000:.1f} ms CPU of Doran, first words after "
        f"{asked['first_words_p50_ms']:.0f} ms, stored answer after {asked['p50_ms']:.0f} ms (medians of "
        f"{asked['questions']} questions, {ASKERS} people at once)"
    )


async def _questions(side: Served, core: int) -> Round:
    """Some people ask the assistant at the same time, each the next question when the last is answered."""
    askers = [await _Asker.sit(side, number) for number in range(ASKERS)]
    await asyncio.gather(*(one.ask("warm") for one in askers))
    for one in askers:
        one.first_words.clear()
        one.answered.clear()
    meter = Meter(side.pids(), core=core)
    await asyncio.gather(*(one.ask_all() for one in askers))
    cost = meter.stop()
    first = sorted(took for one in askers for took in one.first_words)
    whole = sorted(took for one in askers for took in one.answered)
    for one in askers:
        one.line.disconnect()
    return {
        "side": "a question to the assistant",
        "questions": len(whole),
        "cpu_us": cost.cpu / len(whole) * 1e6,
        "first_words_p50_ms": percentile(first, 0.5) * 1e3,
        "p50_ms": percentile(whole, 0.5) * 1e3,
        "p99_ms": percentile(whole, 0.99) * 1e3,
        "core_used_by_others": cost.others_on_core / cost.wall,
    }


class _Asker:
    """Somebody at the socket of their conversation with the assistant; times are in seconds from the key press."""

    def __init__(self, side: Served, number: int) -> None:
        self.person = side.town.couples[number].a
        self.first_words: list[float] = []
        self.answered: list[float] = []
        self.line: Line
        self._pressed = 0.0
        self._hears_first = self._hears_all = asyncio.Event()

    @classmethod
    async def sit(cls, side: Served, number: int) -> "_Asker":
        one = cls(side, number)
        side.town.renew([side.town.couples[number]])
        made = people.Rest(side.town.host, side.port, token=one.person.access).post(
            "/api/chat/conversations/", {"participant_id": ASSISTANT}
        )
        url = f"ws://127.0.0.1:{side.port}/ws/chat/{made['id']}/"
        one.line = await connect(Seat(url, (("Authorization", f"Bearer {one.person.access}"),)), one.hear)
        return one

    def hear(self, data: bytes) -> None:
        frame: dict[str, Any] = json.loads(data)
        took = time.perf_counter() - self._pressed
        if frame["type"] == "ai.delta" and not self._hears_first.is_set():
            self.first_words.append(took)
            self._hears_first.set()
        elif frame["type"] == "chat_message" and frame["message"]["sender_id"] == ASSISTANT:
            self.answered.append(took)
            self._hears_all.set()

    async def ask(self, text: str) -> None:
        self._hears_first, self._hears_all = asyncio.Event(), asyncio.Event()
        self._pressed = time.perf_counter()
        said = {"type": "chat_message", "content": text, "client_message_id": f"bench-{time.perf_counter_ns()}"}
        self.line.send(json.dumps(said).encode())
        async with asyncio.timeout(60):
            await self._hears_all.wait()

    async def ask_all(self) -> None:
        for number in range(QUESTIONS):
            await self.ask(f"오늘 저녁에 뭘 하기로 했더라? {number}")
