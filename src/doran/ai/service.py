"""ai as a process runs it: what its nouns need, the thread that tells screens, the worker where this process works."""

from __future__ import annotations

import asyncio
import logging

from django.db import DatabaseError

from doran.ai.gate import Gate
from doran.ai.jobs.worker import Worker
from doran.ai.privacy.places import DATABASE
from doran.ai.providers.chain import open_chain
from doran.ai.recipes import RECIPES
from doran.ai.retrieval import pgvector, vectors
from doran.ai.screens import Screens, open_screens
from doran.ai.shop import Shop, open_shop
from doran.ai.stream import Streams
from doran.ai.translation import opening
from doran.kernel.config import Config
from doran.kernel.doors import look

log = logging.getLogger("doran.ai")


class AiService:
    """Open before the first request, closed after the last. `worker` does jobs once it is started."""

    def __init__(self, config: Config) -> None:
        self.shop = furnished(config)
        self.worker = Worker(self.shop, Gate(self.shop.chain))
        self.streams = Streams()
        self._screens = Screens()

    def start(self) -> None:
        if self.shop.chain.can("embed", outside=True) and not vectors.can():
            log.warning("numpy is not installed, so nothing can be searched by its meaning: pip install doran[ai]")
        open_shop(self.shop)
        self._screens.start()
        open_screens(self._screens)

    def tell(self) -> None:
        """Say once who compares vectors, where PostgreSQL could. Asks the database."""
        if not (self.shop.chain.can("embed", outside=True) and vectors.can()):
            return
        try:
            told = look(DATABASE, pgvector.told)
        except DatabaseError as wrong:
            log.warning("who compares vectors is not known yet", extra={"error_class": type(wrong).__name__})
            return
        if told is not None:
            log.log(logging.INFO if told.is_ready else logging.WARNING, "vectors are %s", told.sentence)

    def drain(self) -> None:
        """Let whoever listens go: they come back, to another process."""
        self.streams.close()

    async def stop(self) -> None:
        await self.streams.stop()
        open_screens(None)
        await asyncio.to_thread(self._screens.stop)
        open_shop(None)


def furnished(config: Config) -> Shop:
    """The providers, recipes and engines of these settings. Raises `BadSetting`."""
    return Shop(config, open_chain(config), RECIPES, tuple(opening.opened(config)))
