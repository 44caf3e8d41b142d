"""Events leave by the outbox: written in the change's own transaction, published afterwards."""

from doran.kernel.outbox.relay import Relay
from doran.kernel.outbox.table import AbstractOutbox, AbstractOutboxLease, row

__all__ = ["AbstractOutbox", "AbstractOutboxLease", "Relay", "row"]
