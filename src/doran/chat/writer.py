"""The writer: one thread, one transaction for everything that queued while the last one committed.

Every change chat makes goes through here. Sends and marks are grouped by kind into a few
statements; any other change runs as a job inside the same transaction, in its own savepoint. Only
after the commit, which the database has flushed, is anybody told. No timer: a lone message is
committed at once, and under load the batches grow by themselves (docs/adr/0003-group-commit.md).
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from django.db import DatabaseError, IntegrityError, connections, transaction

from doran.chat import statements as sql
from doran.chat.patience import Patience
from doran.chat.proof import Proof
from doran.contracts.errors import Problem
from doran.kernel import deadline, faults, telemetry, trouble
from doran.realtime.fanout import Batch
from doran.realtime.hub import Delivery

log = logging.getLogger(__name__)

_refusing = telemetry.Outage(log, "the database refused a change", level=logging.ERROR)
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
    """A change that is not grouped. `run` is called in the writer's transaction.

    `apart`: it touches nothing of what the stores write.
    """

    run: Callable[[], Outcome]
    reply: Reply
    fault_point: str = ""
    apart: bool = False


class Account(Protocol):
    """Keeps an account of what each transaction moves, for other processes. On the writer's thread."""

    def seal(self) -> Batch | None:
        """Called last in each transaction: what it moved."""
        ...

    def ended(self, *, well: bool) -> None:
        """The transaction committed, or it was taken back, as far as is known."""
        ...


class NoAccount:
    """Nobody else shares the database."""

    def seal(self) -> None:
        return None

    def ended(self, *, well: bool) -> None:
        pass


class Commit(NamedTuple):
    """One transaction that committed: whom to answer with which outcome, and what it moved."""

    told: list[tuple[Reply, Outcome]]
    batch: Batch | None


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A batch whose COMMIT is not answered: what comes of it if it takes place, and what is to be called then."""

    batch: list[Any]
    commit: Commit
    hooks: Sequence[Callable[[], object]]


class Store(Protocol):
    """Writes work of one kind in the writer's transaction: outcomes in the order of the work.

    It may hope that nothing is there yet and let the database refuse (`IntegrityError`): then
    everything is taken back and it is called again, `careful`, to look first.
    """

    def __call__(self, work: Sequence[Any], /, *, careful: bool) -> list[Outcome]: ...


@dataclass(slots=True)
class Writer:
    """`stores` write what can be grouped, by kind; `tell` is called with each commit's replies and
    deliveries, its batch and its moment, in commit order, on the event loop, or on the writer's own thread where
    there is none; `begin` is called first, on that thread, and `forget` when something other than the stores changed
    what they may remember, or what they wrote was taken back."""

    stores: Mapping[type, Store]
    tell: Callable[[list[tuple[Reply, Outcome]], Batch | None, float], None]
    loop: asyncio.AbstractEventLoop | None = None
    begin: Callable[[], None] = lambda: None
    forget: Callable[[], None] = lambda: None
    after_commit: Callable[[], None] = lambda: None
    patience: Patience = field(default_factory=lambda: Patience(10.0))
    proof: Proof = field(default_factory=Proof)
    account: Account = field(default_factory=NoAccount)
    batch: int = 256
    limit: int = 20_000
    _pending: deque[Any] = field(default_factory=deque)
    _wake: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _heard: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _awake: bool = False
    _stopping: bool = False
    _thread: threading.Thread | None = None
    _loop_thread: int = 0
    _doubt: _Doubt | None = None

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

    def run(self, change: Callable[[], Any], *, fault_point: str = "", apart: bool = False) -> Any:
        """Do `change` in the writer's transaction and return its result when it is committed.

        For threads that may wait; never call it on the event loop or from inside a job.
        `change` may return an `Outcome` to have something shown, or any other value.
        """
        return wait_for(lambda reply: self.submit(Job(_as_outcome(change), reply, fault_point, apart)))

    def _nudge(self) -> None:
        """On the event loop, let every frame that is already read join the batch first."""
        if self.loop is not None and threading.get_ident() == self._loop_thread:
            self.loop.call_soon(self._wake.release)
        else:
            self._wake.release()

    # -- the thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        self.begin()
        _wait_for_lock(self.patience.seconds)
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
        commits = self._written(batch)
        committed_at = time.perf_counter()
        telemetry.batch_committed(len(batch), committed_at - started)
        self._announce(commits, committed_at)

    def _announce(self, commits: list[Commit], committed_at: float) -> None:
        if self.loop is None:
            self._tell_all(commits, committed_at)
        else:
            self.loop.call_soon_threadsafe(self._tell_on_loop, commits, committed_at)
        self.after_commit()
        if self.loop is not None:
            # What the loop has read by the time it hears of this commit belongs to the next one.
            self._heard.acquire(timeout=1.0)

    def _tell_on_loop(self, commits: list[Commit], committed_at: float) -> None:
        self._heard.release()
        self._tell_all(commits, committed_at)

    def _tell_all(self, commits: list[Commit], committed_at: float) -> None:
        for told, batch in commits:
            self.tell(told, batch, committed_at)

    def _written(self, batch: list[Any], *, careful: bool = False) -> list[Commit]:
        """All in one transaction; if the database refuses, each alone, so that one cannot fail all.

        While the database is away, or others are in the way, the same is tried again.
        """
        if self.patience.is_used_up():
            return _refused(batch)
        for tries in itertools.count(1):
            try:
                commits = self._tried(batch, careful=careful)
            except IntegrityError as wrong:
                self._take_back(wrong)
                return self._each_alone(batch, wrong) if careful else self._written(batch, careful=True)
            except Exception as wrong:
                self._take_back(wrong)
                if not self.patience.bears(wrong, tries, hurry=self._stopping):
                    return _refused(batch) if trouble.is_away(wrong) else self._each_alone(batch, wrong)
            else:
                self.patience.is_relieved()
                return commits
        raise AssertionError("tries never end by themselves")

    def _tried(self, batch: list[Any], *, careful: bool) -> list[Commit]:
        """One try. A database that was away has to answer something small first, and is not waited for again."""
        if self.patience.is_away:
            with self.patience.tries(0.0):
                self._look()
        with self.patience.tries(self.patience.seconds):
            return self._settled(batch) or [self._in_transaction(batch, careful=careful)]

    def _look(self) -> None:
        """Raises unless the database lets us begin a transaction, soon."""
        _wait_for_lock(0.0)
        try:
            with transaction.atomic(using=DATABASE):
                sql.cursor().execute("SELECT 1")
        finally:
            _wait_for_lock(self.patience.seconds)

    def _take_back(self, wrong: Exception) -> None:
        """Nothing of it is stored, unless the connection broke before the COMMIT was answered."""
        self.forget()
        connections[DATABASE].close_if_unusable_or_obsolete()
        if not trouble.is_away(wrong) or connections[DATABASE].vendor == "sqlite":
            self._doubt = None

    def _settled(self, batch: list[Any]) -> list[Commit] | None:
        """What the transaction in doubt did to this batch, if there is one and it did take place.

        If its batch was given up meanwhile, those who sent it have been told so and will ask again;
        everybody else is shown what is stored.
        """
        doubt = self._doubt
        if doubt is None:
            return None
        took_place = self.proof.holds()
        self._doubt = None
        telemetry.commit_repeated("doubt")
        if not took_place:
            return None
        for hook in doubt.hooks:
            hook()
        if doubt.batch is batch:
            return [doubt.commit]
        told: list[tuple[Reply, Outcome]] = [(_nobody, outcome) for _, outcome in doubt.commit.told]
        self._announce([Commit(told, doubt.commit.batch)], time.perf_counter())
        return None

    def _each_alone(self, batch: list[Any], wrong: Exception) -> list[Commit]:
        if len(batch) == 1:
            return _refused(batch, _refusal(wrong))
        return [one for work in batch for one in self._written([work])]

    def _in_transaction(self, batch: list[Any], *, careful: bool) -> Commit:
        well = False
        try:
            with transaction.atomic(using=DATABASE):
                commit = self._commit_of(batch, careful=careful)
                self._doubt = _Doubt(batch, commit, _hooks())  # until the COMMIT is answered
            well = True
        finally:
            self.account.ended(well=well)
        self._doubt = None
        return commit

    def _commit_of(self, batch: list[Any], *, careful: bool) -> Commit:
        """The work in the order in which it was done: so its changes are numbered, and so they are shown."""
        faults.hit("send.before_transaction")
        done: list[tuple[Any, Outcome]] = []
        for kind, store in self.stores.items():
            if work := [one for one in batch if type(one) is kind]:
                done += zip(work, store(work, careful=careful), strict=True)
        jobs = [one for one in batch if type(one) is Job]
        done += [(one, _done(one)) for one in jobs]
        if not all(one.apart for one in jobs):
            self.forget()
        commit = Commit([(work.reply, outcome) for work, outcome in done], self.account.seal())
        faults.hit("send.before_commit")
        self.proof.leave()
        return commit


def _wait_for_lock(seconds: float) -> None:
    """How long this thread waits for a file that another program has locked. Servers are waited for by the deadline."""
    if connections[DATABASE].vendor == "sqlite":
        sql.cursor().execute(f"PRAGMA busy_timeout = {round(max(seconds, deadline.LEAST_SECONDS) * 1000)}")


def _hooks() -> list[Callable[[], object]]:
    """What is to be called after the commit of the transaction that is open."""
    waiting: list[tuple[Any, ...]] = connections[DATABASE].run_on_commit
    return [hook for _, hook, *_ in waiting]


def _refused(batch: Sequence[Any], refusal: Problem | None = None) -> list[Commit]:
    """Nothing of it is written, as far as is known. Without a reason: the database is away."""
    outcome = Outcome(refusal=refusal or Problem("unavailable", retry_after=1))
    return [Commit([(work.reply, outcome) for work in batch], None)]


def _nobody(outcome: Outcome) -> None:
    """Whoever asked has been answered before."""


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
    _refusing.goes_on(wrong)
    full = "full" in str(wrong).lower()
    return Problem("storage_full", retry_after=30) if full else Problem("unavailable", retry_after=1)
