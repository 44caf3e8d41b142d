"""Fan-out inside one process: straight to the hub."""

from __future__ import annotations

from collections.abc import Sequence

from doran.realtime.fanout import Batch
from doran.realtime.hub import Delivery, Hub


class MemoryFanout:
    """Live frames are hints: what is missed is found by asking `changes`."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def publish(self, deliveries: Sequence[Delivery], batch: Batch | None = None) -> None:
        for delivery in deliveries:
            self._hub.deliver(delivery)

    def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass
