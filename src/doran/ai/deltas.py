"""An answer as it grows: at most ten times a second it is kept in the row of its job and shown to who asked."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from doran.ai import screens
from doran.ai.growing import Clean, Growing
from doran.ai.jobs import following, showing
from doran.ai.jobs.work import Work
from doran.contracts.frames import AiDelta
from doran.kernel import clock

EVERY_SECONDS: Final = 0.1


class Deltas:
    """The text of one attempt, as `clean` leaves it. What is shown was kept before, so that whoever misses something can
    read it."""

    def __init__(self, work: Work, clean: Clean) -> None:
        self._work = work
        self._clean, self._growing = clean, Growing(clean)
        self._new = ""
        self._seq = 0
        self._telling: asyncio.Task[None] | None = None
        self._is_lost = self._is_retracted = False

    def add(self, text: str) -> None:
        self._new += text
        if self._telling is None and self._new:
            self._telling = asyncio.ensure_future(self._tell())

    def retract(self) -> None:
        """What came so far was no answer: it goes from everywhere it was shown."""
        self._growing, self._new, self._is_retracted = Growing(self._clean), "", True
        if self._telling is None:
            self._telling = asyncio.ensure_future(self._tell())

    async def close(self) -> None:
        """Show what is left."""
        while self._telling is not None:
            await asyncio.shield(self._telling)
        await self._keep(self._growing.more(self._new) + self._growing.rest())

    async def _tell(self) -> None:
        try:
            while (self._new or self._is_retracted) and not self._is_lost:
                if self._is_retracted:
                    await self._begin_anew()
                new, self._new = self._new, ""
                await self._keep(self._growing.more(new))
                await asyncio.sleep(EVERY_SECONDS)
        finally:
            self._telling = None

    async def _keep(self, new: str) -> None:
        if not new:
            return
        self._seq += 1
        frame = self._frame(new)
        if not await self._work.quickly(partial(self._write, self._growing.shown, self._seq)):
            self._is_lost = True  # somebody else goes on, or nobody wants it any more
        else:
            following.news(self._work.job.id)
            screens.tell((self._work.job.user_id,), frame, frame.conversation_id)

    async def _begin_anew(self) -> None:
        """Who follows gets the job with an empty text."""
        self._is_retracted = False
        self._seq += 1
        if await self._work.quickly(partial(self._write, "", self._seq)):
            following.news(self._work.job.id)
            showing.show(self._work.job)

    def _write(self, text: str, seq: int) -> bool:
        changes = {"partial": text, "partial_seq": seq, "updated_at": clock.now()}
        return bool(self._work.claim.rows.update(**changes))

    def _frame(self, text: str) -> AiDelta:
        job, claim = self._work.job, self._work.claim
        return AiDelta(
            job_id=str(job.id),
            kind=self._work.kind.name,
            conversation_id=job.conversation_id,
            attempt=claim.attempt,
            seq=self._seq,
            text=text,
        )
