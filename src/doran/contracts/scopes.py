"""What one service may ask of another: the table of scopes. A service token carries those granted to its holder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec


class Scope(msgspec.Struct, frozen=True):
    """One line of the table: who answers (`audience`), who may ask, and what is allowed by it."""

    name: str
    audience: str
    askers: tuple[str, ...]
    sentence: str


_SCOPES = (
    ("users.read", "core", ("chat", "ai"), "See any person as others see them."),
    (
        "conversations.read",
        "chat",
        ("ai",),
        "Read a conversation and its messages as one of its two people does, acting for that person.",
    ),
    ("screens.tell", "chat", ("ai",), "Show a person's open screens how a job of theirs goes on."),
)

SCOPES: Final[Mapping[str, Scope]] = {row[0]: Scope(*row) for row in _SCOPES}


def granted(asker: str, audience: str) -> tuple[str, ...]:
    """The scopes with which one service may ask another; none where it has nothing to ask."""
    return tuple(one.name for one in SCOPES.values() if one.audience == audience and asker in one.askers)
