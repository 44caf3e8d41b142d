"""An answer while it grows, cleaned as the whole of it will be: whatever may yet turn out to be an address or markup waits.

What was shown is never taken back, so the text is cleaned again from its beginning with each piece, and only what that
adds is shown. Where it changes what was shown, as only hostile markup does, nothing more is shown of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from doran.ai.cleaning import ADDRESS, FETCHING, NOT_IN_ADDRESS, STRONG

Clean = Callable[[str], str]

_ELEMENT_BEGUN: Final = re.compile(
    rf"<\s*/?\s*(?:[A-Za-z]{{0,10}}|(?:{FETCHING})[\s/][^<>]{{0,4000}})\Z", re.IGNORECASE
)
_BEGUN: Final = re.compile(r"^ {0,3}#{1,6}[ \t]*\Z|\*\*(?!\s)[^*\n]{0,500}\*?\Z|[!*]\Z|[\u1100-\u11ff]+\Z")
"""What may go on in a line: a heading, strong words, the sign before an image, a letter of Korean that is put together."""
_BETWEEN: Final = re.compile(rf"[{NOT_IN_ADDRESS}]")
_LETTER: Final = re.compile(r"[A-Za-z]")
_AIM_BEGUN: Final = re.compile(r"\((?:[^()\n]|\([^()\n]*\)){0,2000}(?:\([^()\n]*)?\Z")
_DEFINED_BEGUN: Final = re.compile(r":[ \t]*<?(?:[A-Za-z][A-Za-z0-9+.-]{0,20}(?::.*)?|www\..*|/.*)?\Z", re.IGNORECASE)
_LONGEST_LABEL, _LONGEST_WORD = 500, 200


class Growing:
    """One answer that comes in pieces. `shown` is always as `clean` leaves it."""

    def __init__(self, clean: Clean) -> None:
        self._clean = clean
        self._come = ""
        self.shown = ""

    def more(self, piece: str) -> str:
        """What can be shown now that this came."""
        self._come += piece
        return self._grown(self._come[: _settled(self._come)])

    def rest(self) -> str:
        """What still waited when the answer ended, or broke off."""
        return self._grown(self._come)

    def _grown(self, text: str) -> str:
        clean, before = self._clean(text), len(self.shown)
        if not clean.startswith(self.shown):
            return ""
        self.shown = clean
        return clean[before:]


def _settled(text: str) -> int:
    """Up to where nothing that follows changes how it is cleaned."""
    begins = text.rfind("\n") + 1
    line = STRONG.sub(lambda whole: "_" * len(whole[0]), text[begins:])
    in_line, element = _BEGUN.search(line), _ELEMENT_BEGUN.search(text)
    return min(
        begins + _bracket_begun(line),
        begins + _word_begun(line),
        begins + in_line.start() if in_line else len(text),
        element.start() if element else len(text),
    )


def _word_begun(line: str) -> int:
    """Where the last word begins, which may become an address; not where it is far too long for one and is none yet."""
    word = _BETWEEN.split(line)[-1]
    begun = _LETTER.search(word)
    if begun is None or (len(word) > _LONGEST_WORD and not ADDRESS.search(word)):
        return len(line)
    return len(line) - len(word) + begun.start()


def _bracket_begun(line: str) -> int:
    """Where the label begins that is not closed, or whose aim may follow; the end of the line, if none does."""
    depth, label, end = 0, 0, None
    for at, sign in enumerate(line):
        if sign == "[":
            depth, label, end = depth + 1, label if depth else at, None
        elif sign == "]" and depth:
            depth -= 1
            end = None if depth else at + 1
    is_open = depth > 0 and len(line) - label <= _LONGEST_LABEL
    if is_open or (end is not None and _goes_on(line, label, end)):
        return label - line[:label].endswith("!")
    return len(line)


def _goes_on(line: str, label: int, end: int) -> bool:
    behind, is_first = line[end:], label <= 3 and not line[:label].strip(" ")
    return not behind or bool(_AIM_BEGUN.match(behind)) or (is_first and bool(_DEFINED_BEGUN.match(behind)))
