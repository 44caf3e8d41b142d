"""The writer: one thread, one transaction for everything that queued while the last one committed.

Every change chat makes goes through here. Sends and marks are grouped by kind into a few
statements; any other change runs as a job inside the same transaction, in its own savepoint. Only
after the commit, which the database has flushed, is anybody told. No timer: a lone message is
committed at once, and under load the batches grow by themselves (docs/adr/0003-group-commit.md).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.db import DatabaseError, IntegrityError, connections, transaction

from doran.contracts.errors import Problem
from doran.kernel import faults, telemetry
from doran.realtime.hub import Delivery

log = logging.getLogger(__name__)

DATABASE = "chat"


@dataclass(slots=True)
class Outcome:
    """What became of one piece of work: a result or a refusal, and what to show whom."""

    result: Any = None
    refusal: Problem | None = None
    deliveries: Sequence[Delivery] = ()


Reply = Callable[[Outcome], None]


class Work(Protocol):
    """What waits for the writer. `reply` hears of it once, after the commit or the refusal."""

    @property
    def reply(self) -> Reply: ...


@dataclass(slots=True)
class Job:
    """A change that is not grouped. `run` is called in the writer's transaction."""

    run: Callable[[], Outcome]
    reply: Reply
    fault_point: str = ""


Done = list[tuple[Any, Outcome]]


class Store(Protocol):
    """Writes work of one kind in the writer's transaction: outcomes in the order of the work.

    It may hope that nothing is there yet and let the database refuse (`IntegrityError`): then
    everything is taken back and it is called again, `careful`, to look first.
    """

    def __call__(self, work: Sequence[Any], /, *, careful: bool) -> list[Outcome]: ...


@dataclass(slots=True)
class Writer:
    """`stores` write what can be grouped, by kind; `tell` is called with each commit's replies and
    deliveries and its moment, in commit order, on the event loop, or on the writer's own thread where there is none;
    `begin` is called first, on that thread."""

    stores: Mapping[type, Store]
    tell: Callable[[list[tuple[Reply, Outcome]], float], None]
    loop: asyncio.AbstractEventLoop | None = None
    begin: Callable[[], None] = lambda: None
    after_commit: Callable[[], None] = lambda: None
    batch: int = 256
    limit: int = 20_000
    _pending: deque[Any] = field(default_factory=deque)
    _wake: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _heard: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _awake: bool = False
    _stopping: bool = False
    _thread: threading.Thread | None = None
    _loop_thread: int = 0

    def start(self) -> None:
        """Begin to write. Called on the event loop, if there is one."""
        self._loop_thread = threading.get_ident()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Commit what waits, then return."""
        self._stopping = True
        self._wake.release()
        if self._thread is not None:
            self._thread.join()

    @property
    def waiting(self) -> int:
        """How much waits for the next transaction."""
        return len(self._pending)

    # -- in ---------------------------------------------------------------------------------------

    def submit(self, work: Work) -> None:
        """Take work; from any thread.

        Raises `Problem("unavailable")` when too much waits already.
        """
        if self._stopping or len(self._pending) >= self.limit:
            raise Problem("unavailable", retry_after=1)
        self._pending.append(work)
        if not self._awake:
            self._awake = True
            self._nudge()

    def run(self, change: Callable[[], Any], *, fault_point: str = "") -> Any:
        """Do `change` in the writer's transaction and return its result when it is committed.

        For threads that may wait; never call it on the event loop or from inside a job.
        `change` may return an `Outcome` to have something shown, or any other value.
        """
        return wait_for(lambda reply: self.submit(Job(_as_outcome(change), reply, fault_point)))

    def _nudge(self) -> None:
        """On the event loop, let every frame that is already read join the batch first."""
        if self.loop is not None and threading.get_ident() == self._loop_thread:
            self.loop.call_soon(self._wake.release)
        else:
            self._wake.release()

    # -- the thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        self.begin()
        while not self._stopping or self._pending:
            self._wake.acquire()
            while self._pending:
                self._commit(self._take())
            self._awake = False
            if self._pending:  # submitted between the last look and falling asleep
                self._awake = True
                self._wake.release()
        connections[DATABASE].close()

    def _take(self) -> list[Any]:
        pending = self._pending
        return [pending.popleft() for _ in range(min(len(pending), self.batch))]

    def _commit(self, batch: list[Any]) -> None:
        started = time.perf_counter()
        done = self._written(batch)
        committed_at = time.perf_counter()
        telemetry.batch_committed(len(batch), committed_at - started)
        told = [(work.reply, outcome) for work, outcome in done]
        if self.loop is None:
            self.tell(told, committed_at)
        else:
            self.loop.call_soon_threadsafe(self._tell_on_loop, told, committed_at)
        self.after_commit()
        if self.loop is not None:
            # What the loop has read by the time it hears of this commit belongs to the next one.
            self._heard.acquire(timeout=1.0)

    def _tell_on_loop(self, told: list[tuple[Reply, Outcome]], committed_at: float) -> None:
        self._heard.release()
        self.tell(told, committed_at)

    def _written(self, batch: list[Any], *, careful: bool = False) -> Done:
        """All in one transaction; if the database refuses, each alone, so that one cannot fail all."""
        try:
            return self._in_transaction(batch, careful=careful)
        except IntegrityError as wrong:
            return self._each_alone(batch, wrong) if careful else self._written(batch, careful=True)
        except Exception as wrong:
            connections[DATABASE].close_if_unusable_or_obsolete()
            return self._each_alone(batch, wrong)

    def _each_alone(self, batch: list[Any], wrong: Exception) -> Done:
        if len(batch) == 1:
            return [(batch[0], Outcome(refusal=_refusal(wrong)))]
        return [one for work in batch for one in self._written([work])]

    def _in_transaction(self, batch: list[Any], *, careful: bool) -> Done:
        """The work in the order in which it was done: so its changes are numbered, and so they are shown."""
        faults.hit("send.before_transaction")
        done: Done = []
        with transaction.atomic(using=DATABASE):
            for kind, store in self.stores.items():
                if work := [one for one in batch if type(one) is kind]:
                    done += zip(work, store(work, careful=careful), strict=True)
            done += [(one, _done(one)) for one in batch if type(one) is Job]
            faults.hit("send.before_commit")
        return done


def _done(job: Job) -> Outcome:
    """The job in its own savepoint: a refusal undoes only itself."""
    try:
        with transaction.atomic(using=DATABASE):
            outcome = job.run()
            if job.fault_point:
                faults.hit(job.fault_point)
            return outcome
    except Problem as no:
        return Outcome(refusal=no)


def _as_outcome(change: Callable[[], Any]) -> Callable[[], Outcome]:
    def run() -> Outcome:
        result = change()
        return result if isinstance(result, Outcome) else Outcome(result)

    return run


def wait_for(submit: Callable[[Reply], None]) -> Any:
    """The result of work submitted with a reply, for a thread that may wait. Raises its refusal."""
    waiting: Future[Outcome] = Future()
    submit(waiting.set_result)
    outcome = waiting.result()
    if outcome.refusal is not None:
        raise outcome.refusal
    return outcome.result


def _refusal(wrong: Exception) -> Problem:
    if not isinstance(wrong, DatabaseError):
        log.error("the writer met an unexpected error", exc_info=wrong)
        return Problem("internal_error")
    log.error("the database refused a change", extra={"error_class": type(wrong).__name__})
    full = "full" in str(wrong).lower()
    return Problem("storage_full", retry_after=30) if full else Problem("unavailable", retry_after=1)
