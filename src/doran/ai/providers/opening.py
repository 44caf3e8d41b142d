"""The providers that the settings describe."""

from __future__ import annotations

from collections.abc import Iterator

from doran.ai.providers import Provider, local, table
from doran.ai.providers.anthropic import VERSION, Anthropic
from doran.ai.providers.openai import OpenAi
from doran.ai.providers.table import Entry
from doran.ai.providers.wire import Line
from doran.kernel.config import Config


def opened(config: Config) -> Iterator[Provider]:
    """Each in its order, unasked yet. Raises `BadSetting` for a wrong table."""
    for entry in table.read(config).providers:
        yield _opened(entry, config.ai_connect_seconds)
    if config.ai_local:
        yield local.opened(config)


def _opened(entry: Entry, connect_seconds: float) -> Provider:
    if entry.wire == "anthropic":
        headers = {**_key(entry, "x-api-key"), "anthropic-version": VERSION}
        return Anthropic(entry.about, Line(entry.url.removesuffix("/v1"), headers, connect_seconds=connect_seconds))
    return OpenAi(entry.about, Line(entry.url, _key(entry, ""), connect_seconds=connect_seconds))


def _key(entry: Entry, header: str) -> dict[str, str]:
    """The key as this server wants it; without a header of its own, as a bearer token."""
    if not entry.key:
        return {}
    if name := entry.key_header or header:
        return {name: entry.key}
    return {"Authorization": f"Bearer {entry.key}"}
