"""Django's synchronous handler chain behind ASGI: a fixed pool of threads that keep their database connections.

Django's own ASGI handler gives each request a fresh thread, and with it fresh database connections
(docs/adr/0005-rest-layer.md has the figures). Here the event loop reads the whole, limited body,
a thread of the pool answers, and the loop writes the answer.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from io import BytesIO
from queue import SimpleQueue
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from django.core import signals
from django.core.handlers.asgi import ASGIRequest, get_script_prefix
from django.core.handlers.base import BaseHandler
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.http.response import HttpResponseBase
from django.urls import set_script_prefix

from doran.contracts.errors import Problem
from doran.kernel import deadline, telemetry
from doran.kernel.http import problems
from doran.kernel.siblings import Question

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Observe = Callable[[str, str, int, float], None]

BODILESS: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
LOOKS: Final = frozenset({"GET", "HEAD"})
NO_CONTENT: Final = frozenset({204, 304})
LINGER_SECONDS: Final = 5.0
LINGER_BYTES: Final = 16 * 1024 * 1024


class Gone(Exception):
    """The client left before it had said everything."""


class Reply(NamedTuple):
    """A whole answer, ready to be written."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    route: str = ""


class Job:
    """One request on its way through the pool. By `ends_at` it is answered."""

    __slots__ = ("body", "claimed", "context", "ends_at", "loop", "reply", "scope")

    def __init__(self, scope: Scope, body: bytes, ends_at: float) -> None:
        self.scope = scope
        self.body = body
        self.ends_at = ends_at
        self.claimed = threading.Lock()
        self.context = contextvars.copy_context()
        self.loop = asyncio.get_running_loop()
        self.reply: asyncio.Future[Reply] = self.loop.create_future()

    def claim(self) -> bool:
        """True for the first who asks: the thread that will answer, or the loop that gives up on it."""
        return self.claimed.acquire(blocking=False)

    def settle(self, reply: Reply) -> None:
        try:
            self.loop.call_soon_threadsafe(self._settle, reply)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    def _settle(self, reply: Reply) -> None:
        if not self.reply.done():
            self.reply.set_result(reply)


class DjangoPool:
    """An ASGI application for `http` scopes. Start it once, await `close` before the process ends.

    `threads` answer at the same time, `queue` more may wait; who comes then gets 503 with Retry-After. Calls that
    `goes_first` have as many places beside them, and each thread serves one of them before one of the others.
    A body of more than `body_bytes` gets 413 unread, one that takes over `body_seconds` 408. From then on a call waits
    `patience` seconds for a thread and for databases that say nothing; then it gets 503, too.
    `observe(method, route, status, seconds)` is told of each answer.
    """

    def __init__(
        self,
        *,
        threads: int,
        queue: int,
        body_bytes: int,
        body_seconds: float = 15.0,
        patience: float = 10.0,
        name: str = "django",
        goes_first: Callable[[Scope], bool] | None = None,
        observe: Observe = telemetry.request_served,
    ) -> None:
        self.threads = threads
        self.queue = queue
        self.body_bytes = body_bytes
        self.body_seconds = body_seconds
        self._line = deadline.Queue(patience)
        self.in_flight = 0
        self._name = name
        self._goes_first = goes_first
        self._observe = observe
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._first: deque[Job] = deque()  # of the jobs, those that go first
        self._team: list[threading.Thread] = []
        self._handler = BaseHandler()

    def load(self) -> None:
        """Load the middleware: from now on `ask` answers."""
        self._handler.load_middleware()

    def start(self) -> None:
        """Start the threads, after `load`."""
        self._team = [
            threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True)
            for number in range(self.threads)
        ]
        for thread in self._team:
            thread.start()

    async def close(self, seconds: float = 5.0) -> None:
        """Let what is queued finish, for at most `seconds`, and end the threads with their connections."""
        team, self._team = self._team, []
        for _ in team:
            self._jobs.put(None)
        until = time.monotonic() + seconds
        for thread in team:
            await asyncio.to_thread(thread.join, max(0.0, until - time.monotonic()))

    @property
    def waiting(self) -> int:
        """Requests that no thread has time for yet."""
        return max(0, self.in_flight - self.threads)

    @property
    def most_waiting(self) -> int:
        return self.queue if self._goes_first is None else 2 * self.queue

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.monotonic()
        with telemetry.with_trace(telemetry.incoming(_header(scope, b"traceparent"))):
            try:
                reply = await self._reply(scope, receive)
            except Gone:
                return
            except asyncio.CancelledError:  # the server leaves, and what this call waits for does not answer
                await _send(_refusal(Problem("unavailable", retry_after=1)), scope, send)
                raise
            except Problem as problem:
                reply = _refusal(problem)
                await _send(reply, scope, send, unread=receive)
            else:
                await _send(reply, scope, send)
        self._observe(scope["method"], reply.route, reply.status, time.monotonic() - begun)

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        goes_first = self._goes_first is not None and self._goes_first(scope)
        room = self.most_waiting if goes_first else self.queue
        self._need(room)
        body = await self._read(scope, receive)
        self._need(room)
        self.in_flight += 1
        try:
            return await self._answer(Job(scope, body, self._line.ends_at()), receive, goes_first=goes_first)
        finally:
            self.in_flight -= 1

    def _need(self, room: int) -> None:
        if not self._team or self.waiting >= room:
            raise Problem("unavailable", retry_after=1)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        declared = _header(scope, b"content-length")
        if not declared and scope["method"] in BODILESS and not _header(scope, b"transfer-encoding"):
            return b""
        if declared.isdigit() and int(declared) > self.body_bytes:
            raise Problem("payload_too_large")
        try:
            async with asyncio.timeout(self.body_seconds):
                return await self._collect(receive)
        except TimeoutError:
            raise Problem("request_timeout") from None

    async def _collect(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            part = message.get("body", b"")
            size += len(part)
            if size > self.body_bytes:
                raise Problem("payload_too_large")
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _answer(self, job: Job, receive: Receive, *, goes_first: bool) -> Reply:
        if goes_first:
            self._first.append(job)
        self._jobs.put(job)
        if self.waiting:
            await self._unless_gone(job, receive)
        return await job.reply

    async def _unless_gone(self, job: Job, receive: Receive) -> None:
        """Wait for the answer, but take the job back if the client leaves, or time is up, before a thread begins."""
        leaving = asyncio.ensure_future(_leaves(receive))
        either: set[asyncio.Future[Any]] = {job.reply, leaving}
        try:
            done: set[asyncio.Future[Any]] = set()
            while not done and not job.claimed.locked():
                if self._line.is_over(job.ends_at) and job.claim():
                    raise Problem("unavailable", retry_after=1)
                longest = max(deadline.LEAST_SECONDS, job.ends_at - time.monotonic())
                done, _ = await asyncio.wait(either, timeout=longest, return_when=asyncio.FIRST_COMPLETED)
            if leaving in done and leaving.result() and job.claim():
                raise Gone
        finally:
            leaving.cancel()

    def _work(self) -> None:
        """What each thread does until it is told to stop."""
        try:
            while (job := self._jobs.get()) is not None:
                if self._first:
                    self._serve_first()
                self._serve(job)
        finally:
            connections.close_all()

    def _serve_first(self) -> None:
        """Serve one of those that go first, if there is one that nobody serves yet."""
        try:
            while not self._serve(self._first.popleft()):
                pass
        except IndexError:
            return

    def _serve(self, job: Job) -> bool:
        is_ours = job.claim()
        if is_ours:
            job.settle(job.context.run(_safely, partial(self._do, job)))
        return is_ours

    def ask(self, question: Question) -> tuple[int, bytes]:
        """A question from inside this process: the status and the body a caller from outside would get.

        It runs in the caller's own thread and waits for no other, so a view may ask while all threads are busy;
        the caller's database connections and transactions are left alone.
        """
        reply = _safely(lambda: _whole(*self._respond(_inside(question), question.body or b"")))
        return reply.status, reply.body

    def _do(self, job: Job) -> Reply:
        with deadline.until(self._line.prolonged(job.ends_at)):
            if deadline.is_over():
                raise Problem("unavailable", retry_after=1)
            reply = self._ask_django(job.scope, job.body)
        if reply.status != 503:
            self._line.served()
        return reply

    def _ask_django(self, scope: Scope, body: bytes) -> Reply:
        """A look is taken once more where the connection for it had died unseen."""
        reply, has_broken = self._ask_once(scope, body)
        if has_broken and reply.status == 503 and scope["method"] in LOOKS and not deadline.is_over():
            reply, _ = self._ask_once(scope, body)
        return reply

    def _ask_once(self, scope: Scope, body: bytes) -> tuple[Reply, bool]:
        """The reply, and whether a connection that was open broke on the way."""
        # The two signals, the other in close(), are where Django ends transactions that were left open.
        signals.request_started.send(sender=DjangoPool, scope=scope)
        response, route = self._respond(scope, body)
        try:
            return _whole(response, route), any(one.connection is not None for one in _suspects())
        finally:
            _drop_suspects()
            response.close()

    def _respond(self, scope: Scope, body: bytes) -> tuple[HttpResponseBase, str]:
        set_script_prefix(get_script_prefix(scope) or "/")
        try:
            request = ASGIRequest(scope, BytesIO(body))
        except UnicodeDecodeError:
            raise Problem("bad_request") from None
        response = self._handler.get_response(request)
        return response, getattr(request.resolver_match, "route", "")


def _safely(answer: Callable[[], Reply]) -> Reply:
    """A reply whatever happens: a thread of the pool outlives its views."""
    try:
        return answer()
    except BaseException as error:
        return _refusal(problems.from_exception(error))


def _inside(question: Question) -> Scope:
    """What a request of our own looks like; it comes from no address."""
    target, _, query = question.path.partition("?")
    return {
        "type": "http",
        "method": question.method,
        "path": unquote(target),
        "query_string": query.encode("ascii", "replace"),
        "scheme": "http",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in question.headers.items()],
    }


async def _leaves(receive: Receive) -> bool:
    """True when the client leaves. What a server says first may still be the empty body nobody asked for."""
    for _ in range(2):
        if (await receive())["type"] == "http.disconnect":
            return True
    return False


def _suspects() -> list[BaseDatabaseWrapper]:
    """This thread's connections that met an error."""
    return [connection for connection in connections.all(initialized_only=True) if connection.errors_occurred]


def _drop_suspects() -> None:
    """Close them; Django would keep a SQLite one, whatever its state."""
    for connection in _suspects():
        connection.close()


def _whole(response: HttpResponseBase, route: str) -> Reply:
    body = b"".join(response) if response.streaming else response.content  # type: ignore[attr-defined]
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.items()]
    headers += [
        (b"set-cookie", morsel.output(header="").strip().encode("latin-1")) for morsel in response.cookies.values()
    ]
    return Reply(response.status_code, headers, body, route)


def _refusal(problem: Problem) -> Reply:
    headers = [(name.lower().encode(), value.encode()) for name, value in problems.headers(problem).items()]
    return Reply(problem.kind.status, headers, problems.encoded(problem))


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


async def _send(reply: Reply, scope: Scope, send: Send, *, unread: Receive | None = None) -> None:
    """Write an answer. With `unread`, the client may still be sending: hear it out for a while, then hang up."""
    headers = [*reply.headers, (b"x-trace-id", telemetry.trace_id().encode())]
    if reply.status not in NO_CONTENT and not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(len(reply.body)).encode()))
    if unread is not None:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else reply.body
    if unread is not None:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await _hear_out(unread)
        body = b""
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _hear_out(receive: Receive) -> None:
    """Read and forget the rest of a refused body: closing at once would reset the connection and lose the refusal."""
    heard = 0
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while heard < LINGER_BYTES:
                message = await receive()
                heard += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return
