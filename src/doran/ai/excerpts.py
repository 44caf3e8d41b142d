"""Answers that are JSON, while they are still being written: the words of one field, and letters that were escaped."""

from __future__ import annotations

import re
from typing import Final

import msgspec

_WHOLE: Final = re.compile(
    r'(?:[^"\\\x00-\x1f]+|\\["\\/bfnrt]'
    r"|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*"
)
"""What of a JSON string can be read without what follows: no half escapes, no half pairs."""


_ESCAPED: Final = re.compile(r"((?<!\\)(?:\\\\)*)\\u(?![dD][89a-fA-F]|00[0-7])([0-9a-fA-F]{4})")
_ESCAPE_BEGUN: Final = re.compile(r"\\+(?:u[0-9a-fA-F]{0,3})?\Z")


class Unescaped:
    """JSON that comes in pieces, its letters as letters: `\\ud55c` is what a model may write for 한. It stays the same JSON."""

    def __init__(self) -> None:
        self._held = ""

    def more(self, piece: str) -> str:
        """What is plain now that this came."""
        text = self._held + piece
        begun = _ESCAPE_BEGUN.search(text)
        end = begun.start() if begun else len(text)
        self._held = text[end:]
        return _ESCAPED.sub(lambda one: one[1] + chr(int(one[2], 16)), text[:end])

    def rest(self) -> str:
        """What still waited at the end."""
        held, self._held = self._held, ""
        return held


class Excerpt:
    """The field's words so far. Whatever else an answer holds gives none; whether it is of its form, its end shows."""

    def __init__(self, field: str) -> None:
        self._begins = re.compile(rf'"{re.escape(field)}"\s*:\s*"')
        self._answer, self._at = "", 0

    def more(self, piece: str) -> str:
        """What this piece of the answer adds to them."""
        self._answer += piece
        if not self._at:
            found = self._begins.search(self._answer)
            self._at = found.end() if found else 0
        return self._read() if self._at else ""

    def _read(self) -> str:
        whole = _WHOLE.match(self._answer, self._at)
        assert whole is not None  # nothing matches, too
        self._at = whole.end()
        return msgspec.json.decode(f'"{whole[0]}"', type=str)
