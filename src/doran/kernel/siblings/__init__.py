"""Other services: asked by their HTTP API, in this process or over the network, by the same path.

A sibling may be slow, absent, broken or lying. A question ends in time; it is repeated only if that can
help and no more than a budget allows; a sibling that keeps failing is left alone for a while. What comes
back is an answer, or `Problem("unavailable")`. A service asks with a token of its own, which core gives it
for one audience at a time (docs/adr/0012-services-apart.md).
"""

from doran.kernel.siblings.asking import close, get, is_there, prove, register_local, tell
from doran.kernel.siblings.network import Question
from doran.kernel.siblings.tokens import fingerprint

__all__ = ["Question", "close", "fingerprint", "get", "is_there", "prove", "register_local", "tell"]
