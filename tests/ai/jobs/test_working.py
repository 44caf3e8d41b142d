"""Jobs in hands: held by one, taken over when those hands are gone, ended once, stopped when nobody wants them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from doran.ai.jobs import ending, worker
from doran.ai.jobs.claims import Claim
from doran.ai.jobs.ending import Ending
from doran.ai.jobs.work import Work
from doran.ai.models import AiJob, AiResponse
from doran.ai.providers import Trouble
from doran.contracts.errors import Problem
from doran.contracts.events import Envelope
from doran.contracts.frames import JobResult
from doran.contracts.people import ASSISTANT_ID
from doran.kernel import clock, faults
from doran.kernel import worker as kernel_worker
from doran.kernel.telemetry.logs import JsonFormatter
from doran.server.wiring import House
from tests.ai.conftest import MINT, person
from tests.ai.kitchen import REWRITE, Kitchen, asked, stored, until
from tests.cast import Person
from tests.stage import awake, eventually, ground, staged

REPLY = {"kind": "reply", "conversation_id": "c", "message_id": "m"}
PAST = timedelta(seconds=-1)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that looks again while one watches."""
    monkeypatch.setattr(kernel_worker, "POLL_SECONDS", 0.03)
    monkeypatch.setattr(worker, "_SWEEP_EVERY", 0.03)


class Told(list[Envelope]):
    """What ai said on the bus."""

    def of(self, name: str) -> list[Any]:
        return [envelope.event() for envelope in self if envelope.event_type == name]


@pytest.fixture
async def house(kitchen: Kitchen) -> AsyncIterator[House]:
    async with home() as house:
        yield house


@pytest.fixture
def told(house: House) -> Told:
    return hear(house)


def hear(house: House) -> Told:
    told = Told()
    house.bus.subscribe("a test", ["ai.job.completed", "ai.job.failed", "ai.message.generated"], told.append)
    return told


@asynccontextmanager
async def home(**changes: Any) -> AsyncIterator[House]:
    async with staged(services=("ai",), own_keys=MINT.published, **changes) as house:
        yield house


async def row(job_id: Any) -> AiJob:
    return await asyncio.to_thread(AiJob.objects.get, id=job_id)


def lost(seconds_ago: float = 1, **facts: Any) -> dict[str, Any]:
    """A job whose holder is gone."""
    held_until = clock.now() - timedelta(seconds=seconds_ago)
    return {"state": "running", "claim": "somebody who is gone", "attempts": 1, "held_until": held_until, **facts}


class Log(logging.Handler):
    """The lines about jobs that an operator reads, as they are written in production."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def log() -> Iterator[Log]:
    log, jobs = Log(), logging.getLogger("doran.ai.jobs")
    jobs.addHandler(log)
    yield log
    jobs.removeHandler(log)


# -- ended once ------------------------------------------------------------------------------------


async def test_an_answer_of_the_assistant_is_said_once_with_its_job(minji: Person, told: Told) -> None:
    job = await until(minji, (await asked(minji, REPLY))["id"])
    await eventually(lambda: len(told) == 2)
    (said,), (done,) = told.of("ai.message.generated"), told.of("ai.job.completed")
    assert (said.conversation_id, said.sender_id, said.content) == ("c", ASSISTANT_ID, " 드셨어요?")
    assert (said.job_id, said.reply_to, done.job_id, done.user_id) == (job["id"], "m", job["id"], minji.id)
    assert said.response_id == str((await asyncio.to_thread(AiResponse.objects.get)).id)


@pytest.mark.judged
async def test_who_lost_a_job_writes_nothing_more(minji: Person, house: House, told: Told, kitchen: Kitchen) -> None:
    kitchen.hold()
    begun = await asked(minji)
    await until(minji, begun["id"], "running")
    job = await row(begun["id"])
    stranger = Claim(job.id, "not the claim", 1)
    assert not await asyncio.to_thread(ending.end, stranger.rows, job, Ending(JobResult(text="다른 답")))
    assert (await row(job.id)).state == "running"
    assert await asyncio.to_thread(AiResponse.objects.count) == 0
    assert told == []


@pytest.mark.judged
async def test_many_workers_share_the_jobs_and_do_each_once(minji: Person, house: House, kitchen: Kitchen) -> None:
    others = [worker.Worker(house.ai.shop, house.ai.worker._gate, is_alone=False) for _ in range(2)]  # type: ignore
    for other in others:
        await asyncio.to_thread(other.start)
    try:
        jobs = [await asked(minji) for _ in range(30)]
        for job in jobs:
            assert (await until(minji, job["id"]))["state"] == "succeeded"
    finally:
        for other in others:
            await asyncio.to_thread(other.stop)
    assert Counter(job.id for job in kitchen.begun).most_common(1)[0][1] == 1
    assert await asyncio.to_thread(AiResponse.objects.count) == 30


class Killed(BaseException):
    """What a fault point does here instead of killing the process."""


@pytest.mark.parametrize(
    ("point", "attempts"),
    [
        ("ai.claimed", 2),
        ("ai.answered_before_commit", 2),
        ("ai.ending_before_commit", 2),
        ("ai.after_commit", 1),
    ],
)
@pytest.mark.judged
async def test_wherever_a_worker_dies_a_job_is_neither_lost_nor_answered_twice(
    minji: Person, house: House, told: Told, monkeypatch: pytest.MonkeyPatch, point: str, attempts: int
) -> None:
    deaths = []

    def hit(name: str) -> None:
        if name == point and not deaths:
            deaths.append(name)
            raise Killed

    monkeypatch.setattr(faults, "hit", hit)
    begun = await asked(minji, REPLY)
    await eventually(lambda: deaths and not house.ai.worker._tasks)  # type: ignore[union-attr]
    await asyncio.to_thread(AiJob.objects.filter(state="running").update, held_until=clock.now() + PAST)
    job = await until(minji, begun["id"])
    assert (job["state"], job["attempt"], deaths) == ("succeeded", attempts, [point])
    await eventually(lambda: len(told) == 2)
    assert len(told.of("ai.message.generated")) == 1
    assert await asyncio.to_thread(AiResponse.objects.count) == 1


# -- taken over, given up --------------------------------------------------------------------------


async def test_the_job_of_a_lost_worker_is_taken_over(minji: Person, kitchen: Kitchen, house: House, log: Log) -> None:
    job = await stored(minji.id, **lost(partial="일곱 시에", partial_seq=3, trace_id="a" * 32))
    done = await until(minji, str(job.id))
    assert (done["state"], done["attempt"], done["partial"]) == ("succeeded", 2, "")
    (line, *_) = log.lines
    assert line["event"] == "a job was lost by its worker and is taken over"
    assert (line["level"], line["job_id"], line["attempts"]) == ("WARNING", str(job.id), 1)
    assert line["trace_id"] == "a" * 32
    assert not [word for word in ("밥 먹었어", "일곱 시에", minji.id) if word in str(log.lines)]


async def test_who_holds_a_job_no_more_says_so(minji: Person, kitchen: Kitchen, house: House, log: Log) -> None:
    kitchen.hold()
    begun = await asked(minji)
    await eventually(lambda: kitchen.begun)
    far = clock.now() + timedelta(hours=1)
    await asyncio.to_thread(AiJob.objects.filter(id=begun["id"]).update, claim="somebody else", held_until=far)
    await eventually(lambda: kitchen.stopped and log.lines)
    (line,) = log.lines
    assert (line["event"], line["job_id"], line["attempts"]) == ("a job is held no more", begun["id"], 1)
    assert (await row(begun["id"])).claim == "somebody else"


async def test_what_a_clock_that_was_ahead_wrote_is_done_now(minji: Person, kitchen: Kitchen, house: House) -> None:
    ahead = clock.now() + timedelta(hours=2)
    times = {"due_at": ahead, "deadline_at": ahead + timedelta(minutes=1), "created_at": ahead, "updated_at": ahead}
    waiting = await stored(minji.id, **times)
    held = await stored(minji.id, **lost(seconds_ago=-7215), **times)
    assert (await until(minji, str(waiting.id)))["state"] == "succeeded"
    assert (await until(minji, str(held.id)))["state"] == "succeeded"


async def test_what_is_lost_too_often_fails(minji: Person, told: Told, kitchen: Kitchen) -> None:
    job = await stored(minji.id, **lost(attempts=3, reserved_micros=70))
    done = await until(minji, str(job.id))
    assert (done["state"], done["failure_code"], kitchen.begun) == ("failed", "worker_lost", [])
    await eventually(lambda: told)
    (failed,) = told.of("ai.job.failed")
    assert (failed.job_id, failed.code) == (str(job.id), "worker_lost")
    ended = await row(job.id)
    assert (ended.reserved_micros, ended.cost_micros) == (0, 70)  # what it had set aside may have been spent


async def test_a_job_that_waited_too_long_is_not_begun(minji: Person, kitchen: Kitchen, house: House) -> None:
    job = await stored(minji.id, deadline_at=clock.now() + PAST)
    done = await until(minji, str(job.id))
    assert (done["failure_code"], kitchen.begun) == ("deadline", [])


async def test_a_job_that_takes_too_long_is_stopped(kitchen: Kitchen) -> None:
    kitchen.hold()
    async with home(ai_seconds=2.0) as house:
        minji = person(house, "민지")
        done = await until(minji, (await asked(minji))["id"])
        assert (done["state"], done["failure_code"]) == ("failed", "deadline")
        assert len(kitchen.stopped) == 1


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (Trouble("too_long"), "too_long"),
        (Problem("not_found"), "not_found"),
        (Problem("consent_needed"), "consent_needed"),
        (ZeroDivisionError("비밀"), "internal_error"),
        (Problem("conflict"), "internal_error"),
    ],
)
async def test_a_failure_is_said_in_one_word(
    minji: Person, kitchen: Kitchen, told: Told, wrong: Exception, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def cook(work: Work) -> JobResult:
        raise wrong

    kitchen.cook = cook
    done = await until(minji, (await asked(minji))["id"])
    assert (done["state"], done["failure_code"], done["result"]) == ("failed", code, None)
    await eventually(lambda: told)
    assert [failed.code for failed in told.of("ai.job.failed")] == [code]


async def test_while_chat_is_away_a_job_waits(
    minji: Person, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    monkeypatch.setattr(worker, "_LONGEST_PAUSE", 0.05)
    tries = []

    async def cook(work: Work) -> JobResult:
        tries.append(work.claim.attempt)
        if len(tries) < 5:
            raise Problem("unavailable")
        return JobResult(text="네")

    kitchen.cook = cook
    done = await until(minji, (await asked(minji))["id"])
    assert (done["state"], tries) == ("succeeded", [1, 2, 3, 4, 5])
    given_back = [line for line in log.lines if line["event"] == "a job is given back"]
    assert [(line["reason"], line["attempts"]) for line in given_back] == [("unavailable", one) for one in tries[:4]]


async def test_who_was_slow_goes_on_with_what_nobody_took(minji: Person, kitchen: Kitchen, house: House) -> None:
    go, loop = asyncio.Event(), asyncio.get_running_loop()

    async def cook(work: Work) -> JobResult:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go.wait(), loop))
        return JobResult(text="네")

    kitchen.cook = cook
    begun = await asked(minji)
    await eventually(lambda: kitchen.begun)
    for _ in range(3):
        await asyncio.to_thread(AiJob.objects.filter(id=begun["id"]).update, held_until=clock.now() + PAST)
        await asked(minji)  # so that the worker looks for jobs
        await asyncio.sleep(0.05)
    go.set()
    done = await until(minji, begun["id"])
    assert (done["state"], done["attempt"]) == ("succeeded", 1)


# -- stopped ---------------------------------------------------------------------------------------


async def test_stop_is_at_once(minji: Person, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_worker, "POLL_SECONDS", 60.0)
    kitchen.hold()
    begun = await asked(minji)
    await eventually(lambda: kitchen.begun)
    stopped = await minji.asks("POST", f"/api/ai/jobs/{begun['id']}/cancel/")
    assert stopped.json["state"] == "cancelled"
    await eventually(lambda: kitchen.stopped)
    again = await minji.asks("POST", f"/api/ai/jobs/{begun['id']}/cancel/")
    assert (again.status, again.json["state"]) == (200, "cancelled")


async def test_a_stop_from_another_process_is_seen(
    minji: Person, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    kitchen.hold()
    begun = await asked(minji)
    await eventually(lambda: kitchen.begun)
    await asyncio.to_thread(AiJob.objects.filter(id=begun["id"]).update, state="cancelled", claim="")
    await eventually(lambda: kitchen.stopped)
    assert (await row(begun["id"])).state == "cancelled"
    assert await asyncio.to_thread(AiResponse.objects.count) == 0
    assert told == []


async def test_a_worker_that_leaves_gives_its_jobs_back(kitchen: Kitchen, log: Log) -> None:
    async with ground(services=("ai",), drain_seconds=0.01) as config:
        kitchen.hold()
        async with awake(config, own_keys=MINT.published) as house:
            minji = person(house, "민지")
            begun = await asked(minji)
            await eventually(lambda: kitchen.begun)
        left = await row(begun["id"])
        assert (left.state, left.claim, left.attempts) == ("queued", "", 1)
        (line,) = log.lines
        assert (line["event"], line["reason"]) == ("a job is given back", "the worker stops")
        assert (line["job_id"], line["kind"], line["attempts"]) == (begun["id"], "rewrite", 1)
        assert not [word for word in ("밥 먹었어", minji.id) if word in str(line)]
        kitchen.cook = quickly
        async with awake(config, own_keys=MINT.published) as house:
            minji.app = house.app
            done = await until(minji, begun["id"])
    assert (done["state"], done["attempt"]) == ("succeeded", 2)


async def quickly(work: Work) -> JobResult:
    return JobResult(text="네")


# -- the order -------------------------------------------------------------------------------------


async def test_who_asks_much_does_not_keep_others_waiting(kitchen: Kitchen) -> None:
    """Two are done at a time. What 민지 asked goes on until 소라's turn comes: beside it, not behind all of it."""
    go, soras_turn, loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()

    def wait_for(event: asyncio.Event) -> asyncio.Future[object]:
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(event.wait(), loop))

    async def cook(work: Work) -> JobResult:
        if work.job.user_id == sora.id:
            loop.call_soon_threadsafe(soras_turn.set)
        await wait_for(go if len(kitchen.begun) <= 2 else soras_turn)
        return JobResult(text="네")

    kitchen.cook = cook
    async with home(ai_workers=2) as house:
        minji, sora = person(house, "민지"), person(house, "소라")
        many = [await asked(minji) for _ in range(6)]
        await eventually(lambda: len(kitchen.begun) == 2)
        mine = await asked(sora)
        go.set()
        for one in (*many, mine):
            await until(minji if one in many else sora, one["id"])
    assert sora.id in [job.user_id for job in kitchen.begun[:4]]


async def test_answers_in_one_conversation_come_one_after_another(minji: Person, kitchen: Kitchen) -> None:
    under_way: list[int] = []
    most = []

    async def cook(work: Work) -> JobResult:
        under_way.append(1)
        most.append(len(under_way))
        await asyncio.sleep(0.02)
        under_way.pop()
        return JobResult(text="네")

    kitchen.cook = cook
    jobs = [await asked(minji, REPLY) for _ in range(4)]
    for job in jobs:
        await until(minji, job["id"])
    assert max(most) == 1
    assert [str(job.id) for job in kitchen.begun] == [job["id"] for job in jobs]


async def test_what_nobody_waits_for_leaves_room(minji: Person, kitchen: Kitchen) -> None:
    kitchen.hold()
    for number in range(4):
        await stored(minji.id, kind="embed", options="{}", conversation_id=f"c{number}")
    await asyncio.sleep(0)
    await eventually(lambda: len(kitchen.begun) == 2)
    kitchen.cook = quickly
    assert (await until(minji, (await asked(minji, REWRITE))["id"]))["state"] == "succeeded"
    assert sum(job.kind == "embed" for job in kitchen.begun) == 2
