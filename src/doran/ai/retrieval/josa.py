"""Josa: what a Korean word carries at its end, taken off by the form of the syllable before it."""

from __future__ import annotations

from typing import Final

_ANY: Final = [
    "에서는",
    "에서도",
    "에서",
    "에게서",
    "에게",
    "한테",
    "까지",
    "부터",
    "마다",
    "처럼",
    "보다",
    "만큼",
    "하고",
    "이나",
    "라도",
    "조차",
    "밖에",
    "에도",
    "에는",
    "에",
    "도",
    "만",
    "의",
    "께",
    "들",
    "쪽으로",
    "쪽",
]
_AFTER_CONSONANT: Final = [
    "으로부터",
    "으로는",
    "으로",
    "이라고",
    "이라서",
    "이라도",
    "이라",
    "이랑",
    "이에요",
    "입니다",
    "이야",
    "이나",
    "은",
    "이",
    "을",
    "과",
    "아",
]
_AFTER_VOWEL: Final = [
    "로부터",
    "로는",
    "로",
    "라고",
    "라서",
    "라도",
    "라",
    "랑",
    "예요",
    "이에요",
    "입니다",
    "야",
    "나",
    "는",
    "가",
    "를",
    "와",
]
_LEVELS: Final = 2
_FIRST, _LAST, _FORMS, _RIEUL = 0xAC00, 0xD7A3, 28, 8


def stems(word: str) -> list[str]:
    """The word itself and what is left without its josa, the longest first: 회의실에서는 → 회의실에서는, 회의실."""
    found = [word]
    level = [word]
    for _ in range(_LEVELS):
        level = [stem for one in level for stem in _stripped(one)]
        found += level
    return list(dict.fromkeys(found))


def _stripped(word: str) -> list[str]:
    return [word[: -len(josa)] for josa in _JOSA if len(josa) < len(word) and word.endswith(josa) and _fits(word, josa)]


def _fits(word: str, josa: str) -> bool:
    """Whether this josa may follow the syllable before it: 차이 is not 차 and 이."""
    before = ord(word[-len(josa) - 1])
    if not _FIRST <= before <= _LAST:  # a number or a foreign word: nobody knows how it is read
        return True
    final = (before - _FIRST) % _FORMS
    has_final = final != 0
    if josa in _ALWAYS:
        return True
    if josa in _CONSONANT:
        return has_final or josa in _VOWEL
    return not has_final or (final == _RIEUL and josa.startswith("로"))


_ALWAYS: Final = frozenset(_ANY)
_CONSONANT: Final = frozenset(_AFTER_CONSONANT)
_VOWEL: Final = frozenset(_AFTER_VOWEL)
_JOSA: Final = sorted(_ALWAYS | _CONSONANT | _VOWEL, key=len, reverse=True)
