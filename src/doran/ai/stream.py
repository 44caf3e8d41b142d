"""A job as server-sent events: how it stands, its answer as it grows, how it ended. Holds no thread while it waits.

    event: job      the whole job (JobView) at the beginning, and whenever its state or attempt changes
    event: delta    {"attempt", "text"}: more of the text of this attempt
    : ...           every 15 s, so that nobody in between thinks the line is dead

After an interruption `Last-Event-ID` continues behind the last letter that arrived. The last event is a job that has
ended; who asks again behind it gets 204, which tells an EventSource to stop.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from django.db import DatabaseError

from doran.ai.jobs import following, of, views
from doran.ai.models import AiJob
from doran.contracts.errors import Problem
from doran.kernel import auth, config, deadline, telemetry
from doran.kernel.doors import reopen_if_broken
from doran.kernel.http import problems
from doran.kernel.http.edge import count_call

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")

ROUTE: Final = "api/ai/jobs/<id:job_id>/events/"
PATH: Final = re.compile(r"/api/ai/jobs/([^/\x00-\x1f\x7f]{1,255})/events/?")
LOOK_SECONDS: Final = 1.0
BEAT_SECONDS: Final = 15.0
MOST: Final = 500
MOST_OF_ONE: Final = 20
END: Final = "end"
_ENDED: Final = frozenset({AiJob.State.SUCCEEDED, AiJob.State.FAILED, AiJob.State.CANCELLED})
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would keep events until there are many
]


class Shown:
    """What one listener has got so far. `mark` is the `Last-Event-ID` they came with."""

    def __init__(self, mark: str) -> None:
        self._state, self._attempt, self._letters = "", -1, 0
        if found := re.fullmatch(r"(\d{1,9})\.(\d{1,9})", mark):
            self._state, self._attempt, self._letters = "running", int(found[1]), int(found[2])

    def news(self, job: AiJob) -> Iterator[bytes]:
        """What they have not got yet, as events."""
        if (job.state, job.attempts) != (self._state, self._attempt) or len(job.partial) < self._letters:
            yield _event("job", END if job.state in _ENDED else _mark(job), views.job(job))
        elif more := job.partial[self._letters :]:
            yield _event("delta", _mark(job), {"attempt": job.attempts, "text": more})
        self._state, self._attempt, self._letters = str(job.state), job.attempts, len(job.partial)


class Streams:
    """All listeners of this process. Used from the event loop."""

    def __init__(self) -> None:
        self._listeners: Counter[str] = Counter()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="ai-streams")
        self._closing = asyncio.Event()

    @staticmethod
    def are_asked(scope: Scope) -> bool:
        """Whether this request is for a stream; all others are Django's, wrong methods too."""
        return scope["method"] == "GET" and PATH.fullmatch(scope["path"]) is not None

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request for the events of a job, from its first byte to its last."""
        begun = time.monotonic()
        with telemetry.with_trace(telemetry.incoming(_header(scope, b"traceparent"))):
            try:
                status = await self._answer(scope, receive, send)
            except (Problem, DatabaseError) as wrong:
                status = await _refuse(send, problems.from_exception(wrong), scope)
        telemetry.request_served(scope["method"], ROUTE, status, time.monotonic() - begun)

    def close(self) -> None:
        """End every stream where it stands: whoever listens comes back, to another process."""
        self._closing.set()

    async def stop(self) -> None:
        self.close()
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    # -- one listener ----------------------------------------------------------------------------

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> int:
        token = auth.bearer(_header(scope, b"authorization") or None)
        found = PATH.fullmatch(scope["path"])
        assert found is not None  # or it had not been brought here
        user_id, job = await self._aside(lambda: _admitted(token, found[1]))
        mark = _header(scope, b"last-event-id")
        if mark == END and job.state in _ENDED:
            await _say(send, 204, [(b"cache-control", b"no-store")])
            return 204
        with self._place(user_id), suppress(OSError):  # gone, while we spoke
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await self._tell(job, Shown(mark), token, receive, send)
        return 200

    def _place(self, user_id: str) -> _Place:
        if self._closing.is_set() or self._listeners.total() >= MOST:
            raise Problem("unavailable", retry_after=2)
        if self._listeners[user_id] >= MOST_OF_ONE:
            raise Problem("too_many_requests", f"At most {MOST_OF_ONE} streams at a time.", retry_after=5)
        return _Place(self._listeners, user_id)

    async def _tell(self, job: AiJob, shown: Shown, token: str, receive: Receive, send: Send) -> None:
        """Until the job has ended, the listener is gone, their token is no longer good, or the house closes."""
        waiting = _Waiting(job.id, receive, self._closing)
        async with waiting:
            while True:
                for event in shown.news(job):
                    await waiting.send(send, event)
                if job.state in _ENDED or not await waiting.goes_on(send):
                    break
                try:
                    job = (await self._aside(lambda: _looked(token, str(job.id))))[1]  # noqa: B023  awaited here
                except (Problem, DatabaseError):
                    break
        await send({"type": "http.response.body", "body": b""})

    async def _aside(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, _answered, question, deadline.within(config.current().database_patience)
        )


class _Place:
    """One of the places for listeners, while it is taken."""

    def __init__(self, listeners: Counter[str], user_id: str) -> None:
        self._listeners, self._user_id = listeners, user_id

    def __enter__(self) -> None:
        self._listeners[self._user_id] += 1

    def __exit__(self, *_: object) -> None:
        self._listeners[self._user_id] -= 1
        if not self._listeners[self._user_id]:
            del self._listeners[self._user_id]


class _Waiting:
    """Waits for news of one job: told at once by this process, looked for each second for the sake of others."""

    def __init__(self, job_id: UUID, receive: Receive, closing: asyncio.Event) -> None:
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._following = following.follow(job_id, self._tell)
        self._ends = [asyncio.ensure_future(_gone(receive)), asyncio.ensure_future(closing.wait())]
        self._said_at = self._loop.time()

    async def __aenter__(self) -> None:
        self._following.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self._following.__exit__(None, None, None)
        for task in self._ends:
            task.cancel()

    async def send(self, send: Send, data: bytes) -> None:
        self._said_at = self._loop.time()
        await send({"type": "http.response.body", "body": data, "more_body": True})

    async def goes_on(self, send: Send) -> bool:
        """Return when there may be news; False when nobody is to hear them."""
        news = asyncio.ensure_future(self._changed.wait())
        await asyncio.wait([news, *self._ends], timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
        self._changed.clear()
        if any(task.done() for task in self._ends):
            return False
        if self._loop.time() - self._said_at >= BEAT_SECONDS:
            await self.send(send, b": \n\n")
        return True

    def _tell(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._changed.set)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _admitted(token: str, job_id: str) -> tuple[str, AiJob]:
    """Who listens, and the job, if it is theirs. Raises `Problem`."""
    user_id, job = _looked(token, job_id)
    count_call(f"person {user_id}")
    return user_id, job


def _looked(token: str, job_id: str) -> tuple[str, AiJob]:
    """The token is asked each time: it may have expired, or its session ended."""
    user_id = auth.verify(token).user_id
    return user_id, of(user_id, job_id)


def _answered(question: Callable[[], T], ends_at: float) -> T:
    try:
        with deadline.until(ends_at):
            if deadline.is_over():
                raise Problem("unavailable", retry_after=1)
            return question()
    except DatabaseError:
        reopen_if_broken("ai")
        raise


def _mark(job: AiJob) -> str:
    return f"{job.attempts}.{len(job.partial)}"


def _event(name: str, mark: str, data: Any) -> bytes:
    return b"event: %s\nid: %s\ndata: %s\n\n" % (name.encode(), mark.encode(), msgspec.json.encode(data))


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


async def _refuse(send: Send, problem: Problem, scope: Scope) -> int:
    said = problems.headers(problem, token_was_sent=bool(_header(scope, b"authorization")))
    await _say(send, problem.kind.status, [(k.lower().encode(), v.encode()) for k, v in said.items()], problem)
    return problem.kind.status


async def _say(send: Send, status: int, headers: list[tuple[bytes, bytes]], problem: Problem | None = None) -> None:
    body = b"" if problem is None else problems.encoded(problem)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
