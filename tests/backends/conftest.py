"""Which engines there are behind each Protocol. A driver joins by one line here and meets the same suite."""

from tests.buses import backend, bus, servers

__all__ = ["backend", "bus", "servers"]
