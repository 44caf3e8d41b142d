"""Events arrive by the inbox: handled twice happens once, and what cannot be handled waits."""

from doran.kernel.inbox.consumer import Consumer, Outcome, Replayed, handle_once
from doran.kernel.inbox.replaying import Replayer
from doran.kernel.inbox.tables import AbstractInbox

__all__ = ["AbstractInbox", "Consumer", "Outcome", "Replayed", "Replayer", "handle_once"]
