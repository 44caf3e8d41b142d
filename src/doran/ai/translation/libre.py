"""LibreTranslate, most often one's own: `POST /translate`, by its API documentation."""

from __future__ import annotations

from typing import Any

import msgspec

from doran.ai.providers import About
from doran.ai.providers.wire import Line
from doran.ai.translation.engine import Translated, Wish, base, is_traditional


class _Detected(msgspec.Struct):
    language: str = ""


class _Answer(msgspec.Struct):
    text: str = msgspec.field(name="translatedText")
    detected: _Detected = msgspec.field(name="detectedLanguage", default_factory=_Detected)


class Libre:
    """Its key, where it asks for one, belongs into the body."""

    def __init__(self, about: About, line: Line, *, key: str = "") -> None:
        self.about, self._line, self._key = about, line, key

    def can(self, wish: Wish) -> bool:
        return True

    async def translate(self, text: str, wish: Wish) -> Translated:
        asked: dict[str, Any] = {
            "q": text,
            "source": _language(wish.source) or "auto",
            "target": _language(wish.target),
            "format": "text",
        }
        answer = await self._line.json(
            "/translate", {**asked, **({"api_key": self._key} if self._key else {})}, _Answer
        )
        return Translated(answer.text, base(answer.detected.language))

    async def close(self) -> None:
        await self._line.close()


def _language(language: str) -> str:
    if base(language) == "zh":
        return "zt" if is_traditional(language) else "zh"
    return base(language)
