"""Google Cloud Translation: v2 with a key, v3 with a project and a token; by its API reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from doran.ai.providers import About
from doran.ai.providers.wire import Line
from doran.ai.translation.engine import Translated, Wish, base, is_traditional

HOST: Final = "https://translation.googleapis.com"


class _V2(msgspec.Struct):
    text: str = msgspec.field(name="translatedText")
    source: str = msgspec.field(name="detectedSourceLanguage", default="")


class _V2Data(msgspec.Struct):
    translations: tuple[_V2]


class _V2Answer(msgspec.Struct):
    data: _V2Data


class _V3(msgspec.Struct):
    text: str = msgspec.field(name="translatedText")
    source: str = msgspec.field(name="detectedLanguageCode", default="")


class _V3Answer(msgspec.Struct):
    translations: tuple[_V3]


class Google:
    """With a `project` it speaks v3."""

    def __init__(self, about: About, line: Line, *, project: str = "") -> None:
        self.about, self._line, self._project = about, line, project

    def can(self, wish: Wish) -> bool:
        return True

    async def translate(self, text: str, wish: Wish) -> Translated:
        found = await (self._by_project(text, wish) if self._project else self._by_key(text, wish))
        return Translated(found.text, base(found.source))

    async def close(self) -> None:
        await self._line.close()

    async def _by_key(self, text: str, wish: Wish) -> _V2:
        asked = {"q": [text], "target": _language(wish.target), "format": "text", **_source("source", wish)}
        return (await self._line.json("/language/translate/v2", asked, _V2Answer)).data.translations[0]

    async def _by_project(self, text: str, wish: Wish) -> _V3:
        asked = {
            "contents": [text],
            "targetLanguageCode": _language(wish.target),
            "mimeType": "text/plain",
            **_source("sourceLanguageCode", wish),
        }
        return (await self._line.json(f"/v3/projects/{self._project}:translateText", asked, _V3Answer)).translations[0]


def headers(key: str, *, project: str = "") -> dict[str, str]:
    """A key goes into a header as well: in an address it would stand in the logs of everybody on the way."""
    return {"Authorization": f"Bearer {key}"} if project else {"X-Goog-Api-Key": key}


def _source(name: str, wish: Wish) -> Mapping[str, Any]:
    return {name: _language(wish.source)} if wish.source else {}


def _language(language: str) -> str:
    if base(language) == "zh":
        return "zh-TW" if is_traditional(language) else "zh-CN"
    return language
