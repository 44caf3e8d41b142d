"""The assistant answers while its process is killed with -9: no question is lost and none is answered twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest

from doran.contracts.people import ASSISTANT_ID
from doran.kernel.faults import FAULT_POINTS
from doran.verify.nemesis import Server
from tests.house.running import environment
from tests.servers.model import Answer, ModelServer, scripted_model
from tests.servers.ports import free_port

pytestmark = [pytest.mark.crash, pytest.mark.timeout(int(os.environ.get("ANSWERS_SECONDS", "300"))), pytest.mark.judged]

JOBS = int(os.environ.get("ANSWERS", "100"))
POINTS = [name for name in FAULT_POINTS if name.startswith("ai.")]
PEOPLE = max(10, JOBS // 20)  # the assistant reads the newest forty messages, and one of them must be a question
PLENTY = dict.fromkeys(("DORAN_AI_JOBS_PER_DAY", "DORAN_SIGNUPS_PER_MINUTE", "DORAN_LOGINS_PER_MINUTE", "DORAN_REQUESTS_PER_SECOND", "DORAN_SENDS_PER_SECOND"), "1000000")  # fmt: skip


class Askers:
    """People who each talk with the assistant, and ask again until they are answered."""

    def __init__(self, url: str) -> None:
        self.client = httpx2.AsyncClient(base_url=url, trust_env=False, timeout=5)
        self._people: list[tuple[str, str]] = []

    async def move_in(self) -> None:
        for number in range(PEOPLE):
            named = {"username": f"person{number}", "password": "봄비가 내리는 밤에"}
            await self.asks("POST", "/api/core/users/", named)
            token = (await self.asks("POST", "/api/core/tokens/", named))["access_token"]
            talk = (await self.asks("POST", "/api/chat/conversations/", {"participant_id": ASSISTANT_ID}, token))["id"]
            self._people.append((token, talk))
            said = {"content": "몇 시에 만나?", "client_message_id": "first"}
            await self.asks("POST", f"/api/chat/conversations/{talk}/messages/send/", said, token)

    async def job(self, number: int) -> Any:
        """Every other one is for the assistant's conversation, where one follows another."""
        token, talk = self._people[number % PEOPLE]
        is_reply = number // PEOPLE % 2
        what = {"conversation_id": talk} if is_reply else {"input": "밥 먹었어?", "options": {"style": "polite"}}
        body = {"kind": "reply" if is_reply else "rewrite", "idempotency_key": f"question {number}", **what}
        return await self.asks("POST", "/api/ai/jobs/", body, token)

    async def end(self, number: int, job_id: str) -> Any:
        token, _ = self._people[number % PEOPLE]
        while True:
            job = await self.asks("GET", f"/api/ai/jobs/{job_id}/", None, token)
            if job["state"] not in ("queued", "running"):
                return job
            await asyncio.sleep(0.2)

    async def asks(self, method: str, path: str, body: Any, token: str = "") -> Any:
        """What is answered, as soon as somebody is there again to answer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                answer = await self.client.request(method, path, json=body, headers=headers)
                if answer.status_code < 500:
                    assert answer.status_code < 300, answer.text
                    return answer.json()
            await asyncio.sleep(0.05)


@asynccontextmanager
async def settled(folder: Path, model: ModelServer) -> AsyncIterator[tuple[Server, Askers]]:
    port, data = free_port(), folder / "data"
    command = f"{Path(sys.executable).parent}/doran up --host 127.0.0.1 --port {port} --data {data}"
    env = environment(
        DORAN_AI_PROVIDERS=model.toml(), DORAN_AI_SECONDS="3000", DORAN_AI_ASSISTANT="도란", PYTHONFAULTHANDLER="1", **PLENTY,
    )  # fmt: skip
    askers = Askers(f"http://127.0.0.1:{port}")

    async def ready() -> bool:
        with contextlib.suppress(httpx2.HTTPError):
            return (await askers.client.get("/health/live")).status_code == 200
        return False

    server = Server(command, ready=ready, log=folder / "server.log", env=env, start_seconds=60)
    try:
        await server.start()
        yield server, askers
    finally:
        await server.kill()
        await askers.client.aclose()


async def test_questions_are_answered_once_while_the_process_is_killed(tmp_path: Path) -> None:
    rng, kills = random.Random(41), 0
    with scripted_model() as model:
        model.answer = lambda asked: Answer(pieces=["일곱 ", "시에 ", "만나요."], drip=0.02)
        async with settled(tmp_path, model) as (server, askers):
            await askers.move_in()

            async def all_jobs() -> list[Any]:
                ids = [(await askers.job(number))["id"] for number in range(JOBS)]
                assert len(set(ids)) == JOBS
                return [await askers.end(number, job_id) for number, job_id in enumerate(ids)]

            asking = asyncio.ensure_future(all_jobs())
            while not asking.done():
                point = POINTS[kills % len(POINTS)]
                if kills % 2:
                    await server.kill()
                    await server.start()
                elif await dies_at(server, point, asking):
                    await server.start()
                kills += 1
                await asyncio.wait([asking], timeout=rng.uniform(1.0, 4.0))
            jobs = asking.result()
            await asyncio.to_thread(until_all_is_said, tmp_path / "data")
            await server.stop()
    account(tmp_path / "data", jobs)
    assert kills >= 4
    print(f"{JOBS} jobs, {kills} kills")


async def dies_at(server: Server, point: str, asking: asyncio.Future[Any]) -> bool:
    """Start again with this point armed and wait for the death there; whether it is to be started again."""
    await server.kill()
    with contextlib.suppress(Exception):
        await server.start({"DORAN_FAULT": f"{point}:2"})
    gone = asyncio.ensure_future(server.gone())
    await asyncio.wait([gone, asking], return_when=asyncio.FIRST_COMPLETED, timeout=20)
    if not gone.done():
        assert asking.done(), f"it did not die at {point}"
        gone.cancel()
        return False
    assert gone.result() == -signal.SIGKILL
    return True


def until_all_is_said(data: Path) -> None:
    """Until the outbox of ai is empty, and the inbox of chat has had it."""
    until = time.monotonic() + 60
    while rows(data, "ai", "SELECT id FROM ai_outbox"):
        assert time.monotonic() < until, "events wait for ever"
        time.sleep(0.1)


def account(data: Path, jobs: list[Any]) -> None:
    """Every question has one end, and every answer is one message."""
    failed = [job for job in jobs if job["state"] != "succeeded"]
    assert {job["failure_code"] for job in failed} <= {"worker_lost"}, failed
    assert len(failed) <= JOBS // 5, "how many are hit three times depends on how fast the machine is; most are not"
    responses = rows(
        data, "ai", "SELECT r.job_id, r.id, j.kind FROM ai_airesponse r JOIN ai_aijob j ON j.id = r.job_id"
    )
    assert {job["id"] for job in jobs} - {job["id"] for job in failed} <= {
        str(UUID(job_id)) for job_id, _, _ in responses
    }
    answered = {str(UUID(response_id)) for _, response_id, kind in responses if kind == "reply"}
    said = "SELECT client_message_id FROM chat_message WHERE sender_id = ?"
    messages = [one.removeprefix("ai:") for (one,) in rows(data, "chat", said, ASSISTANT_ID)]
    assert sorted(messages) == sorted(answered)
    assert rows(data, "ai", "SELECT id FROM ai_aijob WHERE reserved_micros <> 0 OR claim <> ''") == []


def rows(data: Path, service: str, statement: str, *values: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(data / f"{service}.sqlite3", timeout=20)) as store:
        return store.execute(statement, values).fetchall()
