"""Which prompts there are, and which words each of them may take in (`$fence`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Key(NamedTuple):
    """`values` must not be in a template unless they stand here; `is_structured`: it needs a schema."""

    values: frozenset[str]
    is_structured: bool = False


_FENCED: Final = frozenset({"fence"})

KEYS: Final[Mapping[str, Key]] = {
    "reply": Key(frozenset({"name", "today"})),
    "smart_replies": Key(_FENCED | {"language"}, is_structured=True),
    "summarize": Key(_FENCED, is_structured=True),
    "rewrite.polite": Key(_FENCED),
    "rewrite.casual": Key(_FENCED),
    "rewrite.shorter": Key(_FENCED),
    "rewrite.spelling": Key(_FENCED),
    "moderate": Key(_FENCED, is_structured=True),
    "translate": Key(_FENCED | {"language"}),
    "translate.honorific": Key(_FENCED | {"language"}),
    "ask": Key(_FENCED | {"today"}, is_structured=True),
}
"""`fence`: the mark of the data block. `today`: the date. `name`: the assistant's. `language`: what to write in."""
