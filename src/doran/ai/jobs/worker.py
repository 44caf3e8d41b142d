"""The worker: takes jobs that are due and does them, several at once, none twice at once.

A thread with an event loop for those who wait for providers, threads for what blocks, and one thread that speaks to the
database for the worker itself. Copies in other processes share the work by the leases of the jobs.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from doran.ai.jobs import claiming, ending, pruning, showing, waking
from doran.ai.jobs.claims import Claim, Lost
from doran.ai.jobs.ending import Ending
from doran.ai.jobs.work import Gate, Work
from doran.ai.models import AiJob
from doran.ai.money import budgets, switch
from doran.ai.privacy import disclosures
from doran.ai.providers import Trouble
from doran.ai.shop import Shop
from doran.contracts.errors import JOB_FAILURES, Problem
from doran.kernel import clock, faults, telemetry, trouble, worker
from doran.kernel.telemetry.health import SELDOM_SECONDS

log = logging.getLogger("doran.ai.jobs")

DATABASE: Final = "ai"
_SWEEP_EVERY: Final = 5.0
_PRUNE_EVERY: Final = 600.0
_LONGEST_PAUSE: Final = 30.0


class GivenBack(Exception):
    """This attempt cannot go on for this reason, another may: the job waits again, for so many seconds."""

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__()
        self.seconds, self.reason = seconds, reason


class Worker(worker.Worker):
    """Does jobs until it is stopped; gives back those that do not end in time."""

    def __init__(self, shop: Shop, gate: Gate, *, is_alone: bool | None = None) -> None:
        super().__init__("ai-jobs", DATABASE, drain_seconds=shop.config.drain_seconds, is_alone=is_alone)
        self._shop, self._gate = shop, gate
        self._most = shop.config.ai_workers
        self._held: dict[UUID, Claim] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._background: set[UUID] = set()
        self._heard_at: dict[UUID, float] = {}
        self._sweeping, self._pruning = worker.Every(_SWEEP_EVERY), worker.Every(_PRUNE_EVERY)
        self._loose = telemetry.Outage(log, "leases of jobs cannot be renewed", "leases of jobs are renewed again")
        self._unwatch: Callable[[], None] = lambda: None

    def start(self) -> None:
        source = f"{DATABASE} database"
        self._unwatch = telemetry.watch_jobs(_numbers, source=source)
        telemetry.health.register("ai jobs", self._health, source=source, fresh=SELDOM_SECONDS, needed=False)
        super().start()

    def stop(self) -> None:
        self._unwatch()
        telemetry.health.unregister("ai jobs")
        super().stop()

    def _health(self) -> str:
        self.check()
        waiting, running, age = claiming.backlog()
        return f"{waiting} jobs wait, the oldest for {age:.0f} s; {running} run"

    # -- what a worker is ------------------------------------------------------------------------

    def _listen(self) -> Callable[[], None]:
        self._threads = ThreadPoolExecutor(self._most + 2, thread_name_prefix="ai-jobs-aside")
        self._holding = asyncio.ensure_future(self._keep_hold())
        return waking.when_news(self._hear)

    def _hear(self, ended: UUID | None) -> None:
        """Something may be due, or a job was ended by somebody else. Cheap, from any thread."""
        if ended is None:
            self.wake()
        else:
            self.call_soon(self._let_go, ended)

    def _let_go(self, ended: UUID) -> None:
        if ended in self._tasks:
            self._tasks[ended].cancel()

    def _lease(self) -> timedelta:
        return claiming.LEASE

    def _free_all(self) -> None:
        claiming.free_all()

    async def _look(self) -> None:
        await self._tidy()
        for job, claim in await self._ask(self._take):
            self._begin(job, claim)

    def _take(self) -> list[tuple[AiJob, Claim]]:
        room = self._most - len(self._tasks)
        if room <= 0:
            return []
        return claiming.take(room, background=max(1, self._most // 2) - len(self._background), but=set(self._tasks))

    async def _tidy(self) -> None:
        if self._sweeping.is_due():
            await self._ask(claiming.sweep)
            await self._ask(budgets.settle_left)
        if self._pruning.is_due():
            await self._ask(pruning.prune)
            await self._ask(disclosures.prune)

    def _under_way(self) -> Collection[asyncio.Task[None]]:
        return self._tasks.values()

    async def _close(self) -> None:
        self._holding.cancel()
        await self._shop.chain.close()
        for engine in self._shop.translators:
            await engine.close()
        self._threads.shutdown()

    # -- the lease -------------------------------------------------------------------------------

    async def _keep_hold(self) -> None:
        """Each second: hold what is under way for longer, and stop what was taken away."""
        while True:
            await asyncio.sleep(worker.POLL_SECONDS)
            if self._held:
                await self._renew(dict(self._held))

    async def _renew(self, asked: dict[UUID, Claim]) -> None:
        now = time.monotonic()
        try:
            still = await self._ask(partial(claiming.renew, asked.values()))
        except Exception as wrong:
            self._loose.goes_on(wrong)
            long_ago = now - claiming.LEASE.total_seconds()
            lost = {job_id for job_id in asked if self._heard_at[job_id] < long_ago}
        else:
            self._loose.is_over()
            self._heard_at.update(dict.fromkeys(still & self._held.keys(), now))
            lost = asked.keys() - still
        for job_id in lost & self._held.keys():
            if self._held[job_id] == asked[job_id]:
                self._tasks[job_id].cancel()

    # -- one job ---------------------------------------------------------------------------------

    def _begin(self, job: AiJob, claim: Claim) -> None:
        self._held[job.id], self._heard_at[job.id] = claim, time.monotonic()
        task = self._tasks[job.id] = asyncio.ensure_future(self._serve(job, claim))
        work = Work(job, claim, self._gate, self._threads, self._database)
        if work.kind.is_background:
            self._background.add(job.id)
        task.add_done_callback(partial(self._ended, job))

    def _ended(self, job: AiJob, task: asyncio.Task[None]) -> None:
        del self._tasks[job.id], self._held[job.id], self._heard_at[job.id]
        self._background.discard(job.id)
        self._news.set()
        if not task.cancelled() and (wrong := task.exception()) is not None:
            facts = {"job_id": str(job.id), "error_class": type(wrong).__name__}
            log.error("a job was dropped; it is taken again when its lease ends", extra=facts)

    async def _serve(self, job: AiJob, claim: Claim) -> None:
        """One attempt. Cancelled, it was taken away or the worker stops: then it is given back, if it is still ours."""
        with telemetry.with_trace(job.trace_id):
            try:
                faults.hit("ai.claimed")
                showing.show(job)
                outcome = await self._attempt(job, claim)
                faults.hit("ai.answered_before_commit")
                await self._patiently(partial(ending.end, claim.rows, job, outcome))
            except GivenBack as back:
                await self._patiently(partial(_give_back, job, claim, back.reason, seconds=back.seconds))
            except Lost:
                log.info("a job is held no more", extra=_facts(job, claim))
            except asyncio.CancelledError:
                if self._is_stopping:
                    await asyncio.shield(self._ask(partial(_give_back, job, claim, "the worker stops")))
                else:
                    log.info("a job is held no more", extra=_facts(job, claim))
                raise

    async def _attempt(self, job: AiJob, claim: Claim) -> Ending:
        work = Work(job, claim, self._gate, self._threads, self._database)
        try:
            async with asyncio.timeout(min(job.deadline_at - clock.now(), work.kind.longest).total_seconds()):
                if await work.aside(switch.is_off):
                    raise Trouble("ai_off")
                recipe = self._shop.recipes.get(work.kind.name)
                if recipe is None:
                    raise Trouble("no_provider")
                result = await recipe(work)
        except TimeoutError:
            return Ending(code="deadline")
        except Lost:
            raise
        except Exception as wrong:
            return Ending(code=_code(job, wrong))
        prompt, answer = work.answers[-1] if work.answers else (None, None)
        return Ending(result, prompt=prompt, answer=answer)


def _give_back(job: AiJob, claim: Claim, reason: str, *, seconds: float = 0) -> None:
    if claiming.give_back(claim, due_at=clock.now() + timedelta(seconds=seconds)):
        facts = {**_facts(job, claim), "reason": reason, "retry_in": round(seconds, 1)}
        with telemetry.with_trace(job.trace_id):
            log.info("a job is given back", extra=facts)


def _facts(job: AiJob, claim: Claim) -> dict[str, Any]:
    return {"job_id": str(job.id), "kind": job.kind, "attempts": claim.attempt}


def _code(job: AiJob, wrong: Exception) -> str:
    """Why it failed, as its asker hears it. Raises `GivenBack` where it only has to wait."""
    if _may_pass(wrong):
        seconds = min(_LONGEST_PAUSE, 2.0**job.attempts) * random.uniform(0.5, 1.0)  # noqa: S311
        raise GivenBack(seconds, wrong.code if isinstance(wrong, Problem) else type(wrong).__name__) from wrong
    if isinstance(wrong, Trouble | Problem) and wrong.code in JOB_FAILURES:
        return wrong.code
    facts = {"job_id": str(job.id), "kind": job.kind, "error_class": type(wrong).__name__}
    log.error("a job failed", extra=facts, exc_info=wrong)
    return "internal_error"


def _may_pass(wrong: Exception) -> bool:
    """Whether another attempt may well succeed: somebody is away for a moment, or was in the way of the database."""
    if isinstance(wrong, Problem):
        return wrong.code in ("unavailable", "too_many_requests")
    return trouble.is_passing(wrong)


def _numbers() -> tuple[float, ...]:
    return (*claiming.backlog(), float(switch.is_off()))
