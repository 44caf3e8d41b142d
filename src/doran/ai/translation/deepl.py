"""DeepL: `POST /v2/translate`, by its API reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from doran.ai.providers import About
from doran.ai.providers.wire import Line
from doran.ai.translation.engine import Translated, Wish, base, is_traditional

HOST: Final = "https://api.deepl.com"
FREE_HOST: Final = "https://api-free.deepl.com"
"""Keys of the free plan end with `:fx` and are good for this one only."""


class _Translation(msgspec.Struct):
    text: str
    detected_source_language: str = ""


class _Answer(msgspec.Struct):
    translations: tuple[_Translation]


class DeepL:
    def __init__(self, about: About, line: Line) -> None:
        self.about, self._line = about, line

    def can(self, wish: Wish) -> bool:
        return True  # it knows more languages each year: those it does not know it refuses

    async def translate(self, text: str, wish: Wish) -> Translated:
        answer = await self._line.json("/v2/translate", _asked(text, wish), _Answer)
        found = answer.translations[0]
        return Translated(found.text, found.detected_source_language.lower())

    async def close(self) -> None:
        await self._line.close()


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"DeepL-Auth-Key {key}"}


def _asked(text: str, wish: Wish) -> Mapping[str, Any]:
    asked: dict[str, Any] = {"text": [text], "target_lang": _target(wish.target)}
    if wish.source:
        asked["source_lang"] = base(wish.source).upper()
    if wish.is_honorific:
        asked["formality"] = "prefer_more"  # left aside, not refused, for languages without it
    return asked


def _target(language: str) -> str:
    """English and Portuguese must say which; Chinese is told apart by its writing."""
    if base(language) == "zh":
        return "ZH-HANT" if is_traditional(language) else "ZH-HANS"
    return {"en": "EN-US", "pt": "PT-BR"}.get(language.lower(), language.upper())
