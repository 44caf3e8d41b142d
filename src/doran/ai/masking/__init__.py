"""Personal data leaves no text on its way out: each value gives way to a placeholder, and comes back in the answer.

What is looked for is the table in `sorts`. Names, places and whatever else a person is known by stay: this
lessens what an outside provider learns and does not make a conversation anonymous.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from doran.ai.masking import placeholders
from doran.ai.masking.finding import Found, digits, find, repeated
from doran.ai.masking.placeholders import LITERAL

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
        self.strays = 0

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
        """The text with its values again. Placeholders that were never given out are left out, and counted in `strays`."""
        return placeholders.FORM.sub(self._value, text)

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

    def _value(self, form: re.Match[str]) -> str:
        """What stands there, or nothing; the words themselves where nobody was given such a placeholder."""
        found = placeholders.read(form)
        if (value := self._values.get((found.label, found.number))) is not None:
            return value + found.rest
        if not found.is_ours and found.label not in self._last:
            return form[0]
        self.strays += 1
        return ""


class Unmasking:
    """Shows a text that comes in pieces: half a placeholder waits for its other half. Without `masking`, the text as it is."""

    def __init__(self, masking: Masking | None) -> None:
        self._masking = masking
        self._held = ""

    def more(self, text: str) -> str:
        """What can be shown now that this came."""
        if self._masking is None:
            return text
        text = self._held + text
        end = _undecided(text)
        self._held = text[end:]
        return self._masking.show(text[:end])

    def rest(self) -> str:
        """What was still held when the text ended."""
        held, self._held = self._held, ""
        return self._masking.show(held) if self._masking else held


def _undecided(text: str) -> int:
    """Where begins what may become a placeholder, or a longer one; the end of the text, if nothing does."""
    begun = placeholders.BEGUN.search(text, max(0, len(text) - _LONGEST))
    last = [form.start() for form in placeholders.FORM.finditer(text) if form.end() == len(text)]
    return min([begun.start() if begun else len(text), *last])


_LONGEST = 128
"""No placeholder is longer."""
