"""Events arrive by the inbox: handled twice happens once, and what cannot be handled waits."""

from doran.kernel.inbox.consumer import Consumer, Letter, Outcome, Replayed, handle_once
from doran.kernel.inbox.tables import AbstractDeadLetter, AbstractInbox

__all__ = ["AbstractDeadLetter", "AbstractInbox", "Consumer", "Letter", "Outcome", "Replayed", "handle_once"]
