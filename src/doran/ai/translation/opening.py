"""The engines that the settings describe, each on a line of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from doran.ai.providers import About, Price, table
from doran.ai.providers.table import Translator
from doran.ai.providers.wire import Line
from doran.ai.translation import deepl, google, libre, papago
from doran.ai.translation.desk import Desk
from doran.ai.translation.engine import Engine
from doran.kernel.config import Config


def opened(config: Config) -> Iterator[Desk]:
    """Each in its order; it connects when it is asked for the first time. Raises `BadSetting` for a wrong table."""
    for asked in table.read(config).translators:
        engine = open_engine(asked, connect_seconds=config.ai_connect_seconds)
        yield Desk(engine, patience=config.ai_first_token_seconds)


def open_engine(asked: Translator, *, connect_seconds: float) -> Engine:
    return _OPENING[asked.engine](asked, connect_seconds)


def _deepl(asked: Translator, seconds: float) -> Engine:
    host = deepl.FREE_HOST if asked.key.endswith(":fx") else deepl.HOST
    return deepl.DeepL(*_reached(asked, host, deepl.headers(asked.key), seconds))


def _papago(asked: Translator, seconds: float) -> Engine:
    return papago.Papago(*_reached(asked, papago.HOST, papago.headers(asked.key_id, asked.key), seconds))


def _google(asked: Translator, seconds: float) -> Engine:
    """Beside a token, `key_id` is the project: that is v3."""
    headers = google.headers(asked.key, project=asked.key_id)
    return google.Google(*_reached(asked, google.HOST, headers, seconds), project=asked.key_id)


def _libre(asked: Translator, seconds: float) -> Engine:
    return libre.Libre(*_reached(asked, "", {}, seconds), key=asked.key)


def _reached(asked: Translator, host: str, headers: Mapping[str, str], seconds: float) -> tuple[About, Line]:
    url = asked.url or host
    host = urlsplit(url).hostname or ""
    about = About(asked.name, host, model=asked.engine, is_outside=asked.is_outside, price=Price(asked.price))
    return about, Line(url, headers, connect_seconds=seconds)


_OPENING: Final[Mapping[str, Callable[[Translator, float], Engine]]] = {
    "deepl": _deepl,
    "papago": _papago,
    "google": _google,
    "libre": _libre,
}
