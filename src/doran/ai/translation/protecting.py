"""What a translation or another version of a text must not touch: kept apart behind signs, and looked for again in what
comes back.

Addresses, mentions, code, markup, emoji and long numbers (times, dates, prices) travel as `⟦0⟧`, `⟦1⟧`, … and come back
byte for byte: what a model writes is cleaned before they are put in again. Short numbers
stay in the text, where they help to understand it, and must be in the translation unless languages write them
differently (세 시, half past, 3만).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Final

from doran.ai import cleaning


class Lost(Exception):
    """Something that must survive a translation did not."""


@dataclass(frozen=True, slots=True)
class Protected:
    """`text` is what may be translated; `kept` stands behind its signs; `numbers` must be in the translation."""

    text: str
    kept: tuple[str, ...]
    numbers: Counter[str]

    @property
    def is_all(self) -> bool:
        """Nothing is left to translate."""
        return _WORD.search(_SIGN.sub("", self.text)) is None

    def restored(self, translation: str) -> str:
        """The translation with everything in its place. Raises `Lost`."""
        signs = Counter(int(sign[1]) for sign in _SIGN.finditer(translation))
        if signs.keys() != set(range(len(self.kept))):
            raise Lost("a protected part")
        if self.numbers - _numbers(translation):
            raise Lost("a number")
        return _SIGN.sub(lambda sign: self.kept[int(sign[1])], translation)

    def draft(self, text: str) -> str:
        """As much of a growing version as can be shown: up to a sign that is half written or stands for nothing."""
        text = _HALF_SIGN.sub("", text)
        return _SIGN.sub(lambda sign: self.kept[int(sign[1])] if int(sign[1]) < len(self.kept) else "", text)


def protect(text: str, *, emoji: bool = True, numbers: bool = True) -> Protected:
    """The text with signs for what must not be touched. Other words for the same may well do without an emoji, and a shorter
    text without a number."""
    kept: list[str] = []

    def keep(part: re.Match[str]) -> str:
        kept.append(part[0])
        return f"⟦{len(kept) - 1}⟧"

    signed = _kept(emoji, numbers).sub(keep, text)
    return Protected(signed, tuple(kept), _stiff(signed) if numbers else Counter())


_EMOJI: Final = (
    r"(?:[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u25aa-\u25fe\u2600-\u27bf\u2934\u2935\u2b05-\u2b55"
    r"\U0001f000-\U0001faff][\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]*(?:\u200d)?)+"
)
_CODE: Final = (
    r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|``[^\n]+?``|`[^`\n]+`|<(?P<code>code|pre|kbd|samp)\b[^<>]{0,200}>.*?</(?P=code)>"
    r"|\$\{[^}\n]{0,200}\}|\{\{[^}\n]{0,200}\}\}"
)
_MARKUP: Final = (
    r"<!--.{0,2000}?-->|</?[A-Za-z][\w:-]{0,30}(?:[\s/][^<>]{0,2000})?>|<\|[^<>|\n]{1,40}\|>|&(?:[A-Za-z]{2,10}|\#\d{1,6});"
    r"|!\[[^\[\]\n]{0,500}\]\([^()\n]{0,2000}\)|!\[[^\[\]\n]{0,500}\]\[[^\[\]\n]{0,200}\]"
    r"|\]\([^()\n]{0,2000}(?:\([^()\n]{0,500}\)[^()\n]{0,500})?\)|(?<=\])\[[^\[\]\n]{0,200}\]"
)
_ENDINGS: Final = (
    "com|net|org|edu|gov|io|dev|app|ai|co|kr|jp|cn|uk|de|fr|eu|me|tv|gg|xyz|info|biz|shop|site|page|link|ly|be|to"
)
_BARE_ADDRESS: Final = rf"(?<![\w@.-])(?:[A-Za-z0-9-]{{1,63}}\.){{1,6}}(?:{_ENDINGS})(?![A-Za-z0-9-])(?::\d{{1,5}})?(?:/[^{cleaning.NOT_IN_ADDRESS}]*)?"
_WORDS_KEPT: Final = (
    rf"⟦\s*\d{{1,6}}\s*⟧|{_CODE}|{_MARKUP}|{cleaning.ADDRESS.pattern}"
    r"|[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
    rf"|{_BARE_ADDRESS}|(?<![\w@])@[\w.]*\w"
)
_NUMBERS_KEPT: Final = r"\d+(?:[.,:/-]\d+)+|\d{4,}"


@cache
def _kept(emoji: bool, numbers: bool) -> re.Pattern[str]:
    parts = [_WORDS_KEPT, *([_EMOJI] if emoji else []), *([_NUMBERS_KEPT] if numbers else [])]
    return re.compile("|".join(parts), re.IGNORECASE | re.DOTALL)


_SIGN: Final = re.compile(r"⟦\s*(\d{1,6})\s*⟧")
_HALF_SIGN: Final = re.compile(r"⟦[^⟦⟧]{0,12}\Z")
_WORD: Final = re.compile(r"[^\W\d_]")


# -- short numbers -----------------------------------------------------------------------------------


def _stiff(text: str) -> Counter[str]:
    """Numbers that every language writes in the same digits."""
    bare = _SIGN.sub(" ", text)
    return Counter(one[0] for one in _LOOSE.finditer(bare) if int(one[0]) > _SPELLED and int(one[0]) not in _PARTS)


def _numbers(text: str) -> Counter[str]:
    return Counter(re.findall(r"\d+", _SIGN.sub(" ", text)))


_LOOSE: Final = re.compile(
    r"(?<!\d)\d{1,3}(?!\d)(?!\s?(?:십|백|천|만|억|조|thousand|million|billion|k\b|万|億|亿|千|百))", re.IGNORECASE
)
_SPELLED: Final = 12
_PARTS: Final = frozenset({15, 20, 30, 45, 100})
"""A quarter, twenty, half, three quarters, a hundred: told in words as often as in digits."""
