"""Papago on NAVER Cloud: `POST /nmt/v1/translation`, by its API guide. Knows 존댓말."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from doran.ai.providers import About
from doran.ai.providers.wire import Line
from doran.ai.translation.engine import Translated, Wish, base, is_traditional

HOST: Final = "https://papago.apigw.ntruss.com"
_KNOWN: Final = frozenset({"ko", "en", "ja", "zh", "vi", "th", "id", "fr", "es", "ru", "de", "it"})


class _Result(msgspec.Struct):
    translated: str = msgspec.field(name="translatedText")
    source: str = msgspec.field(name="srcLangType", default="")


class _Message(msgspec.Struct):
    result: _Result


class _Answer(msgspec.Struct):
    message: _Message


class Papago:
    def __init__(self, about: About, line: Line) -> None:
        self.about, self._line = about, line

    def can(self, wish: Wish) -> bool:
        return base(wish.target) in _KNOWN and (not wish.source or base(wish.source) in _KNOWN)

    async def translate(self, text: str, wish: Wish) -> Translated:
        answer = await self._line.json("/nmt/v1/translation", _asked(text, wish), _Answer)
        found = answer.message.result
        return Translated(found.translated, base(found.source))

    async def close(self) -> None:
        await self._line.close()


def headers(key_id: str, key: str) -> dict[str, str]:
    """NAVER Cloud gives both, client id and secret."""
    return {"x-ncp-apigw-api-key-id": key_id, "x-ncp-apigw-api-key": key}


def _asked(text: str, wish: Wish) -> Mapping[str, Any]:
    asked: dict[str, Any] = {"source": _language(wish.source) or "auto", "target": _language(wish.target), "text": text}
    if base(wish.target) == "ko":
        asked["honorific"] = wish.is_honorific
    return asked


def _language(language: str) -> str:
    if base(language) == "zh":
        return "zh-TW" if is_traditional(language) else "zh-CN"
    return base(language)
