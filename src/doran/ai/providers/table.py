"""The setting `ai_providers`: a TOML table of providers and translators, read strictly and said clearly where it is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from doran.ai.providers import About, Price, local
from doran.kernel import secret_files
from doran.kernel.config import BadSetting, Config

Wire = Literal["openai", "anthropic"]
Engine = Literal["deepl", "papago", "google", "libre"]

_Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]
_Model = Annotated[str, msgspec.Meta(max_length=128)]
_Money = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
_Tokens = Annotated[int, msgspec.Meta(ge=256, le=100_000_000)]

_MISSING: Final = re.compile("Object missing required field `(.*)`")
_UNKNOWN: Final = re.compile("Object contains unknown field `(.*)`")
_INSIDE: Final = tuple(
    map(ip_network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"))
)


class _ProviderLine(msgspec.Struct, forbid_unknown_fields=True):
    name: _Name
    wire: Wire
    url: str
    model: _Model = ""
    embedding_model: _Model = ""
    key: str = ""
    key_file: str = ""
    key_header: str = ""
    outside: bool | None = None
    context_tokens: _Tokens = 8192
    price_in: _Money = 0
    price_out: _Money = 0
    embedding_price: _Money = 0
    thinks: bool = False


class _TranslatorLine(msgspec.Struct, forbid_unknown_fields=True):
    name: _Name
    engine: Engine
    url: str = ""
    key: str = ""
    key_file: str = ""
    key_id: str = ""
    outside: bool | None = None
    price: _Money = 0


class _Lines(msgspec.Struct, forbid_unknown_fields=True):
    provider: list[Any] = []
    translator: list[Any] = []


@dataclass(frozen=True, slots=True)
class Entry:
    """A provider as the settings describe it. `key` never shows in a repr."""

    about: About
    wire: Wire
    url: str
    key: str = field(repr=False)
    key_header: str = ""


@dataclass(frozen=True, slots=True)
class Translator:
    """A translation service. An empty `url` is the vendor's own; `key_id` is what some want beside the key; `price` is for
    a million letters, in millionths of the currency."""

    name: str
    engine: Engine
    url: str
    is_outside: bool
    key: str = field(repr=False)
    key_id: str = ""
    price: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """Both in the order in which they are asked."""

    providers: tuple[Entry, ...] = ()
    translators: tuple[Translator, ...] = ()
    key_files: tuple[tuple[str, Path], ...] = ()
    """Whose key is in which file."""


def read(config: Config) -> Table:
    """What the setting says. Raises `BadSetting` with a sentence for the first thing that is wrong."""
    lines = _lines(str(config.ai_providers))
    asked = list(_each(lines.provider, "provider", _ProviderLine))
    translating = list(_each(lines.translator, "translator", _TranslatorLine))
    providers = tuple(_entry(line, config) for line in asked)
    translators = tuple(_translator(line, config) for line in translating)
    _refuse_twins([one.about.name for one in providers] + [one.name for one in translators])
    return Table(
        providers, translators, tuple((one.name, Path(one.key_file)) for one in asked + translating if one.key_file)
    )


def told(config: Config) -> str:
    """The same in one sentence, for `doran check`."""
    table = read(config)
    names = [f"{one.about.name} ({'outside' if one.about.is_outside else 'inside'})" for one in table.providers]
    names += [f"{one.name} (translates, {'outside' if one.is_outside else 'inside'})" for one in table.translators]
    if config.ai_local:
        local.opened(config)
        names.append(f"{local.NAME} (this machine)")
    return ", ".join(names) or "none: nothing of the AI is offered"


def is_inside(host: str) -> bool:
    """Whether a host is plainly of this deployment: this machine, or an address of a private network."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in _INSIDE if network.version == address.version)


def _lines(text: str) -> _Lines:
    try:
        return msgspec.convert(tomllib.loads(text), _Lines)
    except tomllib.TOMLDecodeError as wrong:
        raise _bad(f"this is not TOML ({_without_words(wrong)})") from None
    except msgspec.ValidationError:
        raise _bad("write [[provider]] and [[translator]] tables, and nothing else") from None


def _without_words(wrong: tomllib.TOMLDecodeError) -> str:
    """Where it is wrong, but not what stands there: that may be a key."""
    said = str(wrong)
    return said[said.rfind("(at ") + 1 : -1] if "(at " in said else "it ends too early"


def _each(tables: list[Any], kind: str, line: type[Any]) -> Iterator[Any]:
    for number, table in enumerate(tables, 1):
        try:
            yield msgspec.convert(table, line)
        except msgspec.ValidationError as wrong:
            raise _bad(f"{kind} {_called(table, number)}: {_plain(wrong)}") from None


def _called(table: Any, number: int) -> str:
    name = table.get("name") if isinstance(table, Mapping) else None
    return f"{name!r}" if isinstance(name, str) and len(name) <= 64 else f"number {number}"


def _plain(wrong: msgspec.ValidationError) -> str:
    """msgspec's words as a person would say them."""
    said, _, where = str(wrong).partition(" - at `$.")
    if missing := _MISSING.fullmatch(said):
        return f"say its {missing[1]}"
    if unknown := _UNKNOWN.fullmatch(said):
        return f"there is no key {unknown[1]}"
    return f"{where.rstrip('`')}: {said}" if where else said


def _entry(line: _ProviderLine, config: Config) -> Entry:
    whose = f"provider {line.name!r}"
    host = _host(line.url, whose)
    if not line.model and not line.embedding_model:
        raise _bad(f"{whose}: give it a model, an embedding_model, or both")
    if line.wire == "anthropic" and line.embedding_model:
        raise _bad(f"{whose}: Anthropic's wire makes no embeddings: leave embedding_model out")
    if line.name == local.NAME:
        raise _bad(f"{whose}: this name is that of the models of doran[local]; take another")
    outside = _is_outside(line.outside, host)
    _refuse_plain(line.url, host, config, whose)
    about = About(
        line.name, host, line.model, line.embedding_model, outside, line.context_tokens,
        Price(_micros(line.price_in), _micros(line.price_out)), Price(_micros(line.embedding_price)),
        line.thinks,
    )  # fmt: skip
    return Entry(about, line.wire, line.url.rstrip("/"), _key(line, config, whose), line.key_header)


def _translator(line: _TranslatorLine, config: Config) -> Translator:
    whose = f"translator {line.name!r}"
    if line.engine == "libre" and not line.url:
        raise _bad(f"{whose}: say the url of your LibreTranslate")
    host = _host(line.url, whose) if line.url else ""
    _refuse_plain(line.url, host, config, whose)
    key = _key(line, config, whose)
    if line.engine != "libre" and not key:
        raise _bad(f"{whose}: {line.engine} wants a key: name its file in key_file")
    outside, price = _is_outside(line.outside, host), _micros(line.price)
    return Translator(line.name, line.engine, line.url.rstrip("/"), outside, key, line.key_id, price)


def _host(url: str, whose: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    is_plain = host and not (parts.query or parts.fragment or parts.username or parts.password)
    if not is_plain or parts.scheme not in ("http", "https"):
        raise _bad(
            f"{whose}: url must be an address such as https://api.example.com/v1, without name, password or query"
        )
    return host


def _is_outside(said: bool | None, host: str) -> bool:
    return not is_inside(host) if said is None else said


def _refuse_plain(url: str, host: str, config: Config, whose: str) -> None:
    """Whatever is called inside: a name on the network is only as safe as the way to it."""
    if config.production and url.startswith("http://") and not is_inside(host):
        raise _bad(f"{whose}: in production, words and keys go to {host} by https:// only")


def _key(line: _ProviderLine | _TranslatorLine, config: Config, whose: str) -> str:
    if line.key and line.key_file:
        raise _bad(f"{whose}: give key or key_file, not both")
    key = _read(Path(line.key_file), config, whose) if line.key_file else line.key
    if not key.isascii() or not key.isprintable():
        raise _bad(f"{whose}: its key has signs that no key has")
    return key


def _read(file: Path, config: Config, whose: str) -> str:
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as wrong:
        reason = getattr(wrong, "strerror", None) or "it is not text"
        raise _bad(f"{whose}: key_file {file} cannot be read: {reason}") from None
    if not key:
        raise _bad(f"{whose}: key_file {file} is empty")
    if config.production and (said := secret_files.exposed(file)):
        raise _bad(f"{whose}: production mode refuses its key_file, which {said}")
    return key


def _micros(amount: float) -> int:
    return round(amount * 1_000_000)


def _refuse_twins(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _bad(f"two are called {twice[0]!r}: give each a name of its own")


def _bad(sentence: str) -> BadSetting:
    return BadSetting(f"DORAN_AI_PROVIDERS: {sentence}")
