"""The pool of threads that answers REST: full, slow, broken and closing."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from django.db import connections, transaction
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from doran.kernel import deadline, telemetry
from doran.kernel.http import handler400, handler403, handler404, handler500
from doran.kernel.siblings import Question
from doran.server.django_pool import DjangoPool

__all__ = ["handler400", "handler403", "handler404", "handler500"]

LIMIT = 1000
View = Callable[[HttpRequest], HttpResponse]
views: dict[str, View] = {}
seen: list[HttpRequest] = []


def door(request: HttpRequest, name: str) -> HttpResponse:
    seen.append(request)
    return views[name](request)


urlpatterns = [path("<str:name>/", door)]


def echo(request: HttpRequest) -> HttpResponse:
    response = HttpResponse(request.body, status=201, content_type="text/plain")
    response.set_cookie("seen", "yes", httponly=True)
    return response


@pytest.fixture(autouse=True)
def house() -> Iterator[None]:
    views.clear()
    views["echo"] = echo
    seen.clear()
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[], ALLOWED_HOSTS=["*"]):
        yield


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[DjangoPool]:
    pool = DjangoPool(**{"threads": 2, "queue": 2, "body_bytes": LIMIT, **settings})
    pool.load()
    pool.start()
    try:
        yield pool
    finally:
        await pool.close()


class Client:
    """The other side of ASGI: says what it is told to say, remembers what it hears."""

    def __init__(
        self, pool: DjangoPool, name: str, *, method: str = "GET", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.pool = pool
        self.scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": f"/{name}/",
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", 8000),
            "headers": [(b"host", b"localhost"), *((key.encode(), value.encode()) for key, value in headers)],
        }
        self.says: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.heard: list[dict[str, Any]] = []
        self.answered = asyncio.Event()
        self.listened = 0
        self.listened_before_answer = 0

    def say(self, body: bytes, *, more: bool = False) -> Client:
        self.says.put_nowait({"type": "http.request", "body": body, "more_body": more})
        return self

    def leave(self) -> Client:
        self.says.put_nowait({"type": "http.disconnect"})
        return self

    async def ask(self) -> Client:
        await self.pool(self.scope, self._receive, self._send)
        return self

    async def _receive(self) -> dict[str, Any]:
        self.listened += 1
        return await self.says.get()

    async def _send(self, message: Any) -> None:
        if not self.heard:
            self.listened_before_answer = self.listened
        self.heard.append(dict(message))
        self.answered.set()

    @property
    def status(self) -> int:
        return int(self.heard[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {key.decode(): value.decode() for key, value in self.heard[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.heard[1:])

    def problem(self, status: int, code: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.body)
        assert (self.status, said["status"], said["code"]) == (status, status, code)
        assert self.headers["content-type"] == "application/problem+json"
        assert self.headers["content-length"] == str(len(self.body))
        assert said["trace_id"] == self.headers["x-trace-id"]
        return said


class Gate:
    """A view that stands still until the test opens it."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.inside = threading.Semaphore(0)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        self.inside.release()
        assert self.opened.wait(10)
        return HttpResponse(b"through")

    async def entered(self, times: int) -> None:
        for _ in range(times):
            assert await asyncio.to_thread(self.inside.acquire, timeout=10)


# -- answering -----------------------------------------------------------------------------------


async def test_a_request_becomes_djangos_and_its_response_ours() -> None:
    async with running() as pool:
        client = Client(
            pool, "echo", method="POST", headers=(("content-type", "text/plain"), ("x-one", "1"), ("x-one", "2"))
        )
        await client.say("안녕, ".encode(), more=True).say("준호".encode()).ask()

    assert (client.status, client.body.decode()) == (201, "안녕, 준호")
    assert client.headers["content-type"] == "text/plain"
    assert client.headers["content-length"] == str(len("안녕, 준호".encode()))
    assert client.headers["set-cookie"] == "seen=yes; HttpOnly; Path=/"
    assert seen[0].META["HTTP_X_ONE"] == "1,2"
    assert seen[0].META["REMOTE_ADDR"] == "127.0.0.1"


async def test_head_says_the_length_and_nothing_else() -> None:
    views["page"] = lambda request: HttpResponse(b"12345")
    async with running() as pool:
        client = await Client(pool, "page", method="HEAD").ask()
    assert (client.status, client.headers["content-length"], client.body) == (200, "5", b"")


async def test_a_streamed_response_comes_in_one_piece() -> None:
    views["stream"] = lambda request: StreamingHttpResponse(iter([b"a", b"b"]))  # type: ignore[dict-item,return-value]
    async with running() as pool:
        client = await Client(pool, "stream").ask()
    assert (client.body, client.headers["content-length"]) == (b"ab", "2")


async def test_no_content_has_no_length() -> None:
    views["gone"] = lambda request: HttpResponse(status=204)
    async with running() as pool:
        client = await Client(pool, "gone", method="DELETE").ask()
    assert (client.status, client.body) == (204, b"")
    assert "content-length" not in client.headers


async def test_the_trace_goes_through_the_thread_and_back() -> None:
    views["trace"] = lambda request: HttpResponse(telemetry.trace_id())
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with running() as pool:
        known = await Client(pool, "trace", headers=(("traceparent", f"00-{trace}-00f067aa0ba902b7-01"),)).ask()
        fresh = await Client(pool, "trace").ask()

    assert known.body.decode() == known.headers["x-trace-id"] == trace
    assert fresh.body.decode() == fresh.headers["x-trace-id"] != trace
    assert len(fresh.body) == 32
    assert telemetry.trace_id() == ""


async def test_each_answer_is_told_by_the_template_of_its_path() -> None:
    told: list[tuple[str, str, int]] = []
    async with running(observe=lambda method, route, status, seconds: told.append((method, route, status))) as pool:
        await Client(pool, "echo").ask()
        await Client(pool, "echo", method="POST", headers=(("content-length", str(LIMIT + 1)),)).leave().ask()
    assert told == [("GET", "<str:name>/", 201), ("POST", "", 413)]


# -- bodies --------------------------------------------------------------------------------------


async def test_a_body_at_the_limit_is_taken() -> None:
    async with running() as pool:
        client = Client(pool, "echo", method="POST", headers=(("content-length", str(LIMIT)),))
        await client.say(b"x" * LIMIT).ask()
    assert (client.status, len(client.body)) == (201, LIMIT)


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_read() -> None:
    async with running() as pool:
        client = Client(pool, "echo", method="POST", headers=(("content-length", str(LIMIT + 1)),))
        await client.say(b"x" * LIMIT, more=True).say(b"x").ask()

    assert client.listened_before_answer == 0
    assert client.listened == 2
    client.problem(413, "payload_too_large")
    assert client.headers["connection"] == "close"
    assert seen == []


async def test_a_body_that_grows_too_large_is_refused() -> None:
    async with running() as pool:
        client = Client(pool, "echo", method="POST", headers=(("transfer-encoding", "chunked"),))
        await client.say(b"x" * LIMIT, more=True).say(b"x", more=True).leave().ask()
    client.problem(413, "payload_too_large")
    assert seen == []


async def test_a_body_that_dawdles_is_refused() -> None:
    async with running(body_seconds=0.02) as pool:
        client = Client(pool, "echo", method="POST", headers=(("content-length", "10"),)).say(b"x", more=True)
        asked = asyncio.ensure_future(client.ask())
        await client.answered.wait()
        client.leave()
        await asked
    client.problem(408, "request_timeout")
    assert seen == []


async def test_who_leaves_in_the_middle_of_a_body_is_not_answered() -> None:
    async with running() as pool:
        client = await Client(pool, "echo", method="POST").say(b"half", more=True).leave().ask()
    assert client.heard == []
    assert seen == []


# -- full ----------------------------------------------------------------------------------------


async def test_more_than_the_queue_holds_is_told_to_come_back() -> None:
    views["gate"] = gate = Gate()
    async with running(threads=1, queue=2) as pool:
        waiting = [asyncio.ensure_future(Client(pool, "gate").say(b"").ask()) for _ in range(3)]
        await gate.entered(1)
        full = pool.waiting
        refused = await Client(pool, "gate", method="POST").leave().ask()
        gate.opened.set()
        answered = await asyncio.gather(*waiting)
        after = await Client(pool, "echo").ask()

    assert full == 2
    refused.problem(503, "unavailable")
    assert refused.headers["retry-after"] == "1"
    assert [client.body for client in answered] == [b"through"] * 3
    assert after.status == 201
    assert (len(seen), pool.in_flight) == (4, 0)


async def test_who_leaves_while_waiting_is_forgotten() -> None:
    views["gate"] = gate = Gate()
    async with running(threads=1) as pool:
        first = asyncio.ensure_future(Client(pool, "gate").ask())
        await gate.entered(1)
        impatient = await Client(pool, "echo").say(b"").leave().ask()
        gate.opened.set()
        await first
        await Client(pool, "echo").ask()

    assert impatient.heard == []
    assert [request.path for request in seen] == ["/gate/", "/echo/"]


async def test_who_waits_behind_threads_that_get_nowhere_is_refused_in_time() -> None:
    stuck, free = threading.Event(), threading.Event()

    def wait(request: HttpRequest) -> HttpResponse:
        stuck.set()
        free.wait(60)
        return HttpResponse("late")

    views["wait"] = wait
    async with running(threads=1, patience=0.0) as pool:
        busy = asyncio.create_task(Client(pool, "wait").ask())
        await asyncio.to_thread(stuck.wait, 10)
        try:
            refused = await Client(pool, "echo").ask()  # not before somebody is free
            assert refused.status == 503
            assert [request.path for request in seen] == ["/wait/"]
        finally:
            free.set()
        assert (await busy).status == 200
        assert (await Client(pool, "echo").ask()).status == 201


async def test_who_is_late_only_because_others_came_before_is_served() -> None:
    line = deadline.Queue(10.0)
    long_ago = time.monotonic() - 100
    assert line.is_over(long_ago)
    line.served()
    assert not line.is_over(long_ago)
    assert line.prolonged(long_ago) > time.monotonic()


async def test_as_many_as_there_are_threads_are_answered_at_the_same_time() -> None:
    views["gate"] = gate = Gate()
    async with running(threads=3) as pool:
        asked = [asyncio.ensure_future(Client(pool, "gate").ask()) for _ in range(3)]
        await gate.entered(3)
        gate.opened.set()
        assert [client.status for client in await asyncio.gather(*asked)] == [200] * 3


# -- broken --------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("secret words"), SystemExit("secret words")], ids=["error", "exit"])
async def test_a_view_that_breaks_says_nothing_and_its_thread_goes_on(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(request: HttpRequest) -> HttpResponse:
        raise error

    views["broken"] = broken
    async with running(threads=1) as pool:
        with caplog.at_level(logging.DEBUG):
            client = await Client(pool, "broken").ask()
        after = await Client(pool, "echo").ask()

    client.problem(500, "internal_error")
    assert b"secret" not in client.body
    assert "secret" not in str([vars(record) for record in caplog.records])
    assert [record.error_class for record in caplog.records] == [type(error).__name__]
    assert after.status == 201


async def test_a_query_string_that_is_no_text_is_refused() -> None:
    async with running() as pool:
        client = Client(pool, "echo")
        client.scope["query_string"] = b"\xff"
        await client.ask()
    client.problem(400, "bad_request")


# -- databases -----------------------------------------------------------------------------------


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[list[int]]:
    """A database of the test's own; the list grows by a thread's id with each connection that is opened."""
    mine = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "pool.sqlite3"), "CONN_MAX_AGE": None}
    default = {"ENGINE": "django.db.backends.dummy"}
    connections.settings["pool"] = connections.configure_settings({"default": default, "pool": mine})["pool"]
    threads: list[int] = []

    def note(connection: Any, **_: Any) -> None:
        if connection.alias == "pool":
            threads.append(threading.get_ident())

    connection_created.connect(note)
    yield threads
    connection_created.disconnect(note)
    del connections.settings["pool"]


def count(request: HttpRequest) -> HttpResponse:
    with connections["pool"].cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse(b"counted")


async def test_a_thread_keeps_its_connection_from_request_to_request(opened: list[int]) -> None:
    views["count"] = count
    async with running(threads=2, queue=50) as pool:
        clients = await asyncio.gather(*(Client(pool, "count").ask() for _ in range(30)))
        connection_count = len(opened)
    assert {client.body for client in clients} == {b"counted"}
    assert connection_count == len(set(opened)) <= 2


async def test_a_broken_connection_is_dropped_and_the_next_request_has_a_new_one(opened: list[int]) -> None:
    def cut(request: HttpRequest) -> HttpResponse:
        count(request)
        connections["pool"].connection.close()
        return count(request)

    views.update({"count": count, "cut": cut})
    async with running(threads=1) as pool:
        broken = await Client(pool, "cut").ask()
        after = await Client(pool, "count").ask()
    assert broken.status == 500
    assert (after.body, len(opened)) == (b"counted", 2)


@pytest.mark.parametrize(("method", "status", "asked"), [("GET", 200, 2), ("HEAD", 200, 2), ("POST", 503, 1)])
async def test_a_look_through_a_connection_that_died_unseen_is_taken_once_more(
    opened: list[int], method: str, status: int, asked: int
) -> None:
    """What may change something is not repeated behind the caller's back."""

    def dies_once(request: HttpRequest) -> HttpResponse:
        if len(seen) == 1:
            connections["pool"].ensure_connection()
            with connections["pool"].wrap_database_errors:
                raise sqlite3.OperationalError("the server went away")
        return count(request)

    views["dies"] = dies_once
    async with running(threads=1) as pool:
        client = await Client(pool, "dies", method=method).say(b"").ask()
    assert (client.status, len(seen), len(opened)) == (status, asked, asked)


async def test_a_database_that_is_away_is_asked_no_more_than_once(opened: list[int]) -> None:
    def away(request: HttpRequest) -> HttpResponse:
        with connections["pool"].wrap_database_errors:
            raise sqlite3.OperationalError("nobody answers")

    views["away"] = away
    async with running(threads=1) as pool:
        client = await Client(pool, "away").ask()
    client.problem(503, "unavailable")
    assert len(seen) == 1


async def test_a_transaction_left_open_does_not_reach_the_next_request(opened: list[int]) -> None:
    def forget(request: HttpRequest) -> HttpResponse:
        count(request)
        connections["pool"].set_autocommit(False)
        return HttpResponse(b"left open")

    views.update({"count": count, "forget": forget})
    async with running(threads=1) as pool:
        await Client(pool, "forget").ask()
        after = await Client(pool, "count").ask()
    assert (after.body, len(opened)) == (b"counted", 2)


async def test_closing_lets_the_last_request_finish_and_closes_the_connections(opened: list[int]) -> None:
    views["gate"] = gate = Gate()
    kept: list[Any] = []

    def slow(request: HttpRequest) -> HttpResponse:
        count(request)
        kept.append(connections["pool"])
        return gate(request)

    views.update({"slow": slow})
    async with running(threads=1) as pool:
        asked = asyncio.ensure_future(Client(pool, "slow").ask())
        await gate.entered(1)
        closing = asyncio.ensure_future(pool.close(10))
        await asyncio.sleep(0)
        late = await Client(pool, "echo").leave().ask()
        gate.opened.set()
        await closing
        last = await asked

    late.problem(503, "unavailable")
    assert last.body == b"through"
    assert kept[0].connection is None


async def test_a_call_that_is_given_up_at_a_stop_is_told_to_come_back() -> None:
    """Whether it was served already, or still waits for a thread, or for its body."""
    views["gate"] = gate = Gate()
    async with running(threads=1) as pool:
        served = Client(pool, "gate")
        waiting, reading = Client(pool, "echo"), Client(pool, "echo", method="POST", headers=(("content-length", "3"),))
        asked = [asyncio.ensure_future(served.ask())]
        await gate.entered(1)
        asked += [asyncio.ensure_future(one.ask()) for one in (waiting, reading)]
        await asyncio.sleep(0)
        for one in asked:
            one.cancel()
        await asyncio.wait(asked)
        gate.opened.set()
    assert all(one.cancelled() for one in asked)
    for client in (served, waiting, reading):
        client.problem(503, "unavailable")
        assert client.headers["retry-after"] == "1"


# -- asked from inside ---------------------------------------------------------------------------


async def test_a_view_may_ask_its_own_house_while_every_thread_is_busy(opened: list[int]) -> None:
    async with running(threads=1) as pool:

        def nosy(request: HttpRequest) -> HttpResponse:
            count(request)
            with transaction.atomic(using="pool"):
                status, body = pool.ask(Question("GET", "/other%20room/?q=1", {"Authorization": "Bearer minji"}))
                assert connections["pool"].in_atomic_block
            return HttpResponse(body, status=status)

        def other(request: HttpRequest) -> HttpResponse:
            count(request)
            return HttpResponse(f"{request.META['HTTP_AUTHORIZATION']} {request.GET['q']}", status=202)

        views.update({"nosy": nosy, "other room": other})
        client = await Client(pool, "nosy").ask()
    assert (client.status, client.body, len(opened)) == (202, b"Bearer minji 1", 1)


async def test_who_asks_inside_for_nothing_or_for_trouble_gets_what_anybody_gets() -> None:
    async with running() as pool:
        views["broken"] = lambda request: HttpResponse(1 // 0)
        nothing = await asyncio.to_thread(pool.ask, Question("GET", "/a/b/", {}))
        trouble = await asyncio.to_thread(pool.ask, Question("GET", "/broken/", {}))
    assert (nothing[0], json.loads(nothing[1])["code"]) == (404, "not_found")
    assert (trouble[0], json.loads(trouble[1])["code"]) == (500, "internal_error")


# -- under a real server -------------------------------------------------------------------------


@asynccontextmanager
async def served(pool: DjangoPool) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(pool, port=0, lifespan="off", log_config=None, access_log=False))
    serving = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def test_a_crowd_is_answered_by_few_threads() -> None:
    async with (
        running(threads=2, queue=60) as pool,
        served(pool) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        calls = [client.get("/echo/") if n % 2 else client.post("/echo/", content=b"hi") for n in range(60)]
        answers = await asyncio.gather(*calls)
    assert [answer.status_code for answer in answers] == [201] * 60


async def test_two_megabytes_get_an_answer_and_not_a_broken_pipe() -> None:
    async with running() as pool, served(pool) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        large = await client.post("/echo/", content=b"x" * 2_000_000)
        fine = await client.post("/echo/", content=b"hi")
        head = await client.head("/echo/")

    assert (large.status_code, large.json()["code"]) == (413, "payload_too_large")
    assert (fine.status_code, fine.content) == (201, b"hi")
    assert (head.status_code, head.content) == (201, b"")
    assert len(seen) == 2
