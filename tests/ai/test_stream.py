"""A job as server-sent events: whole, in order, resumable, and nobody else's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from doran.ai import stream
from doran.ai.jobs import ending, following
from doran.ai.jobs.work import Work
from doran.ai.models import AiJob
from doran.contracts.frames import JobResult
from doran.kernel.auth import LEEWAY_SECONDS
from doran.server.wiring import House
from tests.ai.conftest import MINT, home
from tests.ai.kitchen import Kitchen, asked, stored, until
from tests.cast import Person
from tests.stage import eventually
from tests.wire import HOST, call


@pytest.fixture
async def house(kitchen: Kitchen) -> AsyncIterator[House]:
    async with home() as house:
        yield house


class Listener:
    """Somebody who reads the events of a job until the stream ends, or until they hang up."""

    def __init__(self, who: Person, job_id: str, *, mark: str = "", token: str = "") -> None:
        headers = [HOST, (b"authorization", f"Bearer {token or who.token}".encode())]
        if mark:
            headers.append((b"last-event-id", mark.encode()))
        path = f"/api/ai/jobs/{job_id}/events/"
        self._scope: dict[str, Any] = {
            "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": headers, "client": ("127.0.0.1", 1), "server": ("localhost", 80), "scheme": "http",
            "root_path": "", "http_version": "1.1",
        }  # fmt: skip
        self._left = asyncio.Event()
        self.status, self.body = 0, b""
        self.task = asyncio.ensure_future(who.app(self._scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, event: dict[str, Any]) -> None:
        self.status = event.get("status", self.status)
        self.body += event.get("body", b"")

    def leaves(self) -> None:
        self._left.set()

    @property
    def events(self) -> list[tuple[str, str, Any]]:
        """Name, id and data of each."""
        found = []
        for block in self.body.decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if lines:
                found.append((lines["event"], lines["id"], json.loads(lines["data"])))
        return found


async def writes(job: AiJob, text: str, *, quietly: bool = False) -> None:
    """The worker's text grows; `quietly`: in another process."""
    rows = AiJob.objects.filter(id=job.id)
    await asyncio.to_thread(rows.update, partial=text, partial_seq=len(text))
    if not quietly:
        following.news(job.id)


async def running(minji: Person) -> AiJob:
    return await stored(minji.id, state="running", attempts=1, claim="c", held_until=far())


def far() -> Any:
    from datetime import timedelta

    from doran.kernel import clock

    return clock.now() + timedelta(hours=1)


async def test_a_job_is_followed_from_its_beginning_to_its_end(minji: Person, kitchen: Kitchen) -> None:
    go = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def cook(work: Work) -> JobResult:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go.wait(), loop))
        return JobResult(text="드셨어요?")

    kitchen.cook = cook
    begun = await asked(minji)
    await until(minji, begun["id"], "running")
    listener = Listener(minji, begun["id"])
    await eventually(lambda: listener.events)
    go.set()
    await asyncio.wait_for(listener.task, 20)
    states = [data["state"] for name, _, data in listener.events if name == "job"]
    assert (listener.status, states) == (200, ["running", "succeeded"])
    assert listener.events[-1][1] == "end"
    assert listener.events[-1][2]["result"]["text"] == "드셨어요?"


async def test_text_arrives_piece_by_piece_and_goes_on_where_it_broke_off(minji: Person) -> None:
    job = await running(minji)
    await writes(job, "일곱")
    first = Listener(minji, str(job.id))
    await eventually(lambda: first.events)
    await writes(job, "일곱 시에")
    await eventually(lambda: len(first.events) == 2)
    assert first.events[0][2]["partial"] == "일곱"
    assert first.events[1] == ("delta", "1.5", {"attempt": 1, "text": " 시에"})
    first.leaves()
    await asyncio.wait_for(first.task, 20)
    await writes(job, "일곱 시에 만나")
    second = Listener(minji, str(job.id), mark="1.5")
    await eventually(lambda: second.events)
    assert second.events == [("delta", "1.8", {"attempt": 1, "text": " 만나"})]
    second.leaves()
    await asyncio.wait_for(second.task, 20)


async def test_another_attempt_begins_anew(minji: Person) -> None:
    job = await running(minji)
    await writes(job, "일곱 시에")
    await asyncio.to_thread(AiJob.objects.filter(id=job.id).update, attempts=2, partial="여")
    listener = Listener(minji, str(job.id), mark="1.5")
    await eventually(lambda: listener.events)
    name, mark, data = listener.events[0]
    assert (name, mark, data["attempt"], data["partial"]) == ("job", "2.1", 2, "여")
    listener.leaves()
    await asyncio.wait_for(listener.task, 20)


async def test_what_another_process_wrote_is_seen_within_a_second(
    minji: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.05)
    job = await running(minji)
    listener = Listener(minji, str(job.id))
    await eventually(lambda: listener.events)
    await writes(job, "네", quietly=True)
    await eventually(lambda: listener.events[-1][2].get("text") == "네")
    await asyncio.to_thread(ending.cancel, job.id)
    await asyncio.wait_for(listener.task, 20)
    assert listener.events[-1][2]["state"] == "cancelled"


async def test_who_comes_behind_the_end_is_told_to_stop(minji: Person) -> None:
    job = await stored(minji.id, state="failed", failure_code="deadline")
    again, stop = Listener(minji, str(job.id)), Listener(minji, str(job.id), mark="end")
    await asyncio.wait_for(asyncio.gather(again.task, stop.task), 20)
    assert [data["failure_code"] for _, _, data in again.events] == ["deadline"]
    assert (stop.status, stop.body) == (204, b"")


async def test_a_stream_of_somebody_else_looks_like_none(minji: Person, sora: Person) -> None:
    job = await stored(minji.id)
    for job_id in (str(job.id), "nonsense"):
        answer = await sora.asks("GET", f"/api/ai/jobs/{job_id}/events/")
        assert (answer.status, answer.code) == (404, "not_found")
    answer = await call(sora.app, "GET", f"/api/ai/jobs/{job.id}/events")
    assert (answer.status, answer.code) == (401, "not_authenticated")
    assert "www-authenticate" in answer.headers
    in_url = await call(sora.app, "GET", f"/api/ai/jobs/{job.id}/events/?token={minji.token}")
    assert in_url.status == 401
    assert (await minji.asks("POST", f"/api/ai/jobs/{job.id}/events/", {})).status == 405


async def test_the_line_is_kept_alive_and_ends_with_the_token(minji: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(stream, "BEAT_SECONDS", 0.05)
    job = await running(minji)
    token = MINT.token(minji.id, seconds=3 - LEEWAY_SECONDS, iat=int(time.time()) - LEEWAY_SECONDS)
    short = Listener(minji, str(job.id), token=token)
    await eventually(lambda: b": \n\n" in short.body)
    await asyncio.wait_for(short.task, 20)
    assert short.status == 200


async def test_so_many_streams_and_no_more(minji: Person, sora: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MOST_OF_ONE", 1)
    job, other = await running(minji), await running(sora)
    first = Listener(minji, str(job.id))
    await eventually(lambda: first.events)
    refused = await minji.asks("GET", f"/api/ai/jobs/{job.id}/events/")
    assert (refused.status, refused.code) == (429, "too_many_requests")
    of_sora = Listener(sora, str(other.id))
    await eventually(lambda: of_sora.events)
    for one in (first, of_sora):
        one.leaves()
        await asyncio.wait_for(one.task, 20)


async def test_a_house_that_closes_lets_its_listeners_go(minji: Person, house: House) -> None:
    job = await running(minji)
    listener = Listener(minji, str(job.id))
    await eventually(lambda: listener.events)
    await house.drain()
    await asyncio.wait_for(listener.task, 20)
    assert [data["state"] for _, _, data in listener.events] == ["running"]
