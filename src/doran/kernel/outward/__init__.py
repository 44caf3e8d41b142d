"""Calls to addresses that somebody else chose: they reach the public internet and nothing of ours.

Webhooks go out by this door; whatever else follows an address from outside does, too. The name is
looked up once, every address it has is checked, and the connection goes to a checked address, so
that an answer which changes in between changes nothing. No redirect is followed, no proxy of the
environment used, no compression asked for (docs/adr/0013-webhooks.md).
"""

from doran.kernel.outward.calling import Answer, Failed, Outward
from doran.kernel.outward.targets import NotAllowed, Rules, Target, rules, target

__all__ = ["Answer", "Failed", "NotAllowed", "Outward", "Rules", "Target", "rules", "target"]
