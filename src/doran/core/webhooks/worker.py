"""The worker: takes lines that are due and sends what stands in them, many at once, none twice at once.

A thread with an event loop for the requests, and one thread that speaks to the database. Copies in
other processes share the work by the leases of the lines.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from doran.core.webhooks import health, lines, pruning, sending, settling
from doran.core.webhooks.lines import Claim, Turn
from doran.core.webhooks.sending import Outcome
from doran.core.webhooks.wanted import wanted
from doran.core.webhooks.writing import together
from doran.kernel import clock, faults, telemetry, worker
from doran.kernel.config import Config
from doran.kernel.outward import Outward, rules
from doran.kernel.telemetry.health import SELDOM_SECONDS

log = logging.getLogger("doran.core.webhooks")

_Result = tuple[Turn, Outcome, "asyncio.Future[Turn | None]"]

DATABASE: Final = "core"
_PRUNE_EVERY: Final = 600.0
_MOST_IN_A_ROW: Final = 50  # then another line has its turn


class Worker(worker.Worker):
    """Sends what is owed until it is stopped."""

    def __init__(self, config: Config, *, is_alone: bool | None = None) -> None:
        super().__init__("webhooks", DATABASE, drain_seconds=config.drain_seconds, is_alone=is_alone)
        self._config = config
        self._active: Counter[uuid.UUID] = Counter()
        self._serving: set[asyncio.Task[None]] = set()
        self._results: list[_Result] = []
        self._settling: asyncio.Task[None] | None = None
        self._pruning = worker.Every(_PRUNE_EVERY)
        self._unwatch: Callable[[], None] = lambda: None

    def start(self) -> None:
        source = f"{DATABASE} database"
        self._unwatch = telemetry.watch_webhooks(health.backlog, source=source)
        telemetry.health.register("webhooks", self._health, source=source, fresh=SELDOM_SECONDS, needed=False)
        super().start()

    def stop(self) -> None:
        self._unwatch()
        telemetry.health.unregister("webhooks")
        super().stop()

    def _health(self) -> str:
        self.check()
        return health.summary()

    # -- what a worker is ------------------------------------------------------------------------

    def _listen(self) -> Callable[[], None]:
        self._outward = Outward(rules(self._config), seconds=self._config.webhook_seconds)
        return lines.when_owed(self.wake)

    def _lease(self) -> timedelta:
        return lines.lease()

    def _free_all(self) -> None:
        lines.free_all()

    async def _look(self) -> None:
        for turn in await self._ask(self._take):
            self._begin(turn)
        if self._pruning.is_due():
            await self._ask(pruning.prune)

    def _under_way(self) -> Collection[asyncio.Task[None]]:
        return self._serving

    async def _close(self) -> None:
        await self._outward.close()

    def _take(self) -> list[Turn]:
        """The first turn of every line that is free and due, as far as there is room."""
        wanted.refresh()
        due = [line for one in lines.ready() for line in lines.due(one.id, self._room(one.id, one.strikes))]
        turns = map(lines.turn, lines.take(due)) if due else ()
        return [turn for turn in turns if turn is not None]

    def _room(self, endpoint_id: uuid.UUID, strikes: int) -> int:
        """How many more requests it may get; one that fails as a whole is asked with one at a time."""
        most = self._config.webhook_in_flight if strikes < settling.STRIKES else 1
        return most - self._active[endpoint_id]

    # -- one line --------------------------------------------------------------------------------

    def _begin(self, turn: Turn) -> None:
        self._active[turn.claim.endpoint_id] += 1
        task = asyncio.ensure_future(self._serve(turn))
        self._serving.add(task)
        task.add_done_callback(partial(self._ended, turn.claim))

    def _ended(self, claim: Claim, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        self._active[claim.endpoint_id] -= 1
        self._news.set()
        if not task.cancelled() and (wrong := task.exception()) is not None:
            facts = {"endpoint_id": str(claim.endpoint_id), "error_class": type(wrong).__name__}
            log.error("a webhook line was dropped; it is taken again when its lease ends", extra=facts)

    async def _serve(self, first: Turn) -> None:
        """What stands in the line, one after another, until it is empty, something fails, or others wait."""
        turn: Turn | None = first
        try:
            for _ in range(_MOST_IN_A_ROW):
                if turn is None or self._is_stopping:
                    break
                turn = await self._attempt(turn)
        finally:
            if turn is not None:
                await asyncio.shield(self._ask(partial(lines.leave, first.claim, clock.now())))

    async def _attempt(self, turn: Turn) -> Turn | None:
        outcome = await sending.send(self._outward, turn)
        faults.hit("webhook.after_send_before_mark")
        return await self._settled(turn, outcome)

    async def _settled(self, turn: Turn, outcome: Outcome) -> Turn | None:
        """Everything that ended while the last results were written is written together."""
        following = asyncio.get_running_loop().create_future()
        self._results.append((turn, outcome, following))
        if self._settling is None or self._settling.done():
            self._settling = asyncio.ensure_future(self._settle())
        found: Turn | None = await following
        return found

    async def _settle(self) -> None:
        while self._results:
            batch, self._results = self._results, []
            try:
                attempts = [(turn, outcome) for turn, outcome, _ in batch]
                turns = await self._patiently(partial(together, partial(settling.settle, attempts)))
            except Exception as wrong:
                _answer(batch, [wrong] * len(batch))
            else:
                _answer(batch, turns)


def _answer(batch: Sequence[_Result], answers: Sequence[Turn | Exception | None]) -> None:
    for (_, _, following), answer in zip(batch, answers, strict=True):
        if following.done():
            continue  # nobody waits any more: the worker stops
        if isinstance(answer, Exception):
            following.set_exception(answer)
        else:
            following.set_result(answer)
