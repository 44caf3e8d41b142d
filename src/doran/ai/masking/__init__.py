"""Personal data leaves no text on its way out: each value gives way to a placeholder, and comes back in the answer.

What is looked for is the table in `sorts`. Names, places and whatever else a person is known by stay: this
lessens what an outside provider learns and does not make a conversation anonymous.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from doran.ai.masking.finding import PLACEHOLDER, Found, digits, find, repeated
from doran.ai.masking.sorts import LITERAL

__all__ = ["Masking", "Unmasking"]


class Masking:
    """What is hidden in one request. The same value has the same placeholder in all of its texts.

    `show(hide(text))` is the text itself, whatever it was; one that holds something like a placeholder, too.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[tuple[str, int], str] = {}
        self._last: dict[str, int] = {}
        self._numbers: dict[str, str] = {}

    @property
    def count(self) -> int:
        """How many different values were hidden."""
        return sum(label != LITERAL for label, _ in self._values)

    def hide(self, text: str) -> str:
        """The text with a placeholder for each piece of personal data in it, and for all that was hidden before."""
        found = find(text)
        self._numbers.update((digits(one.text), one.label) for one in found if one.label != LITERAL)
        return self._replaced(text, repeated(text, found, self._numbers))

    def hide_all(self, texts: Sequence[str]) -> list[str]:
        """Several texts as one: what only one of them gives away (an account beside its bank) is hidden in all."""
        for text in texts:
            self.hide(text)
        return [self.hide(text) for text in texts]

    def show(self, text: str) -> str:
        """The text with its values again. Placeholders that were never given out stay as they are."""
        return PLACEHOLDER.sub(self._value, text)

    def _replaced(self, text: str, found: Sequence[Found]) -> str:
        pieces, at = [], 0
        for one in found:
            pieces += [text[at : one.start], self._name(one)]
            at = one.end
        return "".join([*pieces, text[at:]])

    def _name(self, one: Found) -> str:
        if one.text not in self._names:
            number = self._last[one.label] = self._last.get(one.label, 0) + 1
            self._names[one.text] = f"⟦{one.label}{number}⟧"
            self._values[one.label, number] = one.text
        return self._names[one.text]

    def _value(self, placeholder: re.Match[str]) -> str:
        label, number = placeholder[1].upper(), int(placeholder[2])
        return self._values.get((label, number), placeholder[0])


class Unmasking:
    """Shows a text that comes in pieces: half a placeholder waits for its other half."""

    def __init__(self, masking: Masking) -> None:
        self._masking = masking
        self._held = ""

    def more(self, text: str) -> str:
        """What can be shown now that this came."""
        text = self._held + text
        begun = _BEGUN.search(text)
        end = begun.start() if begun else len(text)
        self._held = text[end:]
        return self._masking.show(text[:end])

    def rest(self) -> str:
        """What was still held when the text ended."""
        held, self._held = self._held, ""
        return held


_BEGUN: Final = re.compile(r"⟦ {0,2}[A-Z]{0,10} ?[0-9]{0,6} {0,2}\Z", re.IGNORECASE | re.ASCII)
