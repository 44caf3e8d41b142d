"""The bus that a URL names: the only place that knows which there are."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from doran.contracts.events import LISTENERS
from doran.kernel.bus import Bus
from doran.kernel.bus.broker import Broker, BrokerBus, Subscription
from doran.kernel.bus.memory import MemoryBus
from doran.kernel.config import BadSetting

Options = Mapping[str, str]


def open_bus(url: str, *, listeners: Collection[str] = ()) -> Bus:
    """The bus of this URL, not yet started; in memory if empty.

    `listeners` are the services for which a broker keeps events while they are away. Raises
    `BadSetting` for a URL that means nothing, or a broker whose extra is not installed.
    """
    if url in ("", "memory:"):
        return MemoryBus()
    broker = _broker(url)
    return BrokerBus(broker, known=[Subscription(name, LISTENERS[name]) for name in listeners if LISTENERS[name]])


def ask(url: str, *, seconds: float) -> None:
    """Connect to the broker of this URL as the bus would, and declare nothing. Raises what its driver raises, or
    `TimeoutError`."""
    asyncio.run(asyncio.wait_for(_broker(url).ask(), seconds))


def _broker(url: str) -> Broker:
    scheme = url.partition("://")[0]
    if scheme not in _BROKERS:
        known = ", ".join(f"{name}://" for name in _BROKERS)
        raise BadSetting(f"DORAN_BUS: expected memory: or a URL with {known}")
    extra, make = _BROKERS[scheme]
    try:
        parts = urlsplit(url)
        return make(parts, _options(parts))
    except ValueError as wrong:
        raise BadSetting(f"DORAN_BUS: {scheme}://: {wrong}") from None
    except ModuleNotFoundError as missing:
        raise BadSetting(f"DORAN_BUS: {scheme}:// needs {missing.name}: pip install 'doran[{extra}]'") from None


# -- options ------------------------------------------------------------------------------------------

_FORMS: Final[Mapping[str, tuple[str, str]]] = {
    "prefix": (r"[a-z][a-z0-9-]{0,39}", "lower-case letters, digits and hyphens"),
    "ca": (r".+", "a file of certificates"),
    "heartbeat": (r"[1-9][0-9]{0,2}", "seconds from 1 to 999"),
    "idempotence": (r"yes|no", "yes or no"),
    "mechanism": (r"PLAIN|SCRAM-SHA-256|SCRAM-SHA-512", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"),
    "partitions": (r"[1-9][0-9]{0,3}", "a number from 1 to 9999"),
    "replication": (r"[1-9]", "a number from 1 to 9"),
    "retention_hours": (r"[1-9][0-9]{0,4}", "a number from 1 to 99999"),
    "session_seconds": (r"[1-9][0-9]{0,2}", "seconds from 1 to 999"),
}
_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "rabbitmq": ("prefix", "ca", "heartbeat"),
    "kafka": (
        "prefix",
        "ca",
        "idempotence",
        "mechanism",
        "partitions",
        "replication",
        "retention_hours",
        "session_seconds",
    ),
    "redis": ("prefix", "ca"),
}


def _options(parts: SplitResult) -> Options:
    """What stands behind the question mark. Raises ValueError, without showing a value."""
    given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    known = _OPTIONS[_BROKERS[parts.scheme][0]]
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"no option is called {name!r}; there are {', '.join(known)}")
        form, meaning = _FORMS[name]
        if not re.fullmatch(form, value):
            raise ValueError(f"{name} must be {meaning}")
    if "ca" in given and not Path(given["ca"]).is_file():
        raise ValueError("ca names no file")
    return {"prefix": "doran", **given}


def _is_secure(parts: SplitResult) -> bool:
    return parts.scheme in ("amqps", "kafkas", "rediss")


# -- brokers ------------------------------------------------------------------------------------------


def _rabbitmq(parts: SplitResult, options: Options) -> Broker:
    from doran.kernel.bus.rabbitmq import RabbitMQ

    _check_host(parts)
    query = {"heartbeat": options.get("heartbeat", "5"), **({"cafile": options["ca"]} if "ca" in options else {})}
    return RabbitMQ(parts._replace(query=urlencode(query)).geturl(), prefix=options["prefix"])


def _redis(parts: SplitResult, options: Options) -> Broker:
    from doran.kernel.bus.redis import RedisStreams

    _check_host(parts)
    if not re.fullmatch(r"/?[0-9]*", parts.path):
        raise ValueError("behind the host stands a number, which database")
    query = {"ssl_ca_certs": options["ca"]} if "ca" in options else {}
    return RedisStreams(parts._replace(query=urlencode(query)).geturl(), prefix=options["prefix"])


def _kafka(parts: SplitResult, options: Options) -> Broker:
    from doran.kernel.bus.kafka import Kafka, Topics

    given = {name: int(options[name]) for name in ("partitions", "replication", "retention_hours") if name in options}
    return Kafka(
        _kafka_client(parts, options),
        prefix=options["prefix"],
        topics=Topics(**given),
        session_seconds=int(options.get("session_seconds", "10")),
        idempotence=options.get("idempotence", "yes") == "yes",
    )


def _kafka_client(parts: SplitResult, options: Options) -> dict[str, Any]:
    """In aiokafka's words: servers, TLS, SASL."""
    person, _, servers = parts.netloc.rpartition("@")
    bootstrap = servers.split(",")
    if parts.path.strip("/") or not all(re.fullmatch(r"[^:\s]+:[0-9]{1,5}", one) for one in bootstrap):
        raise ValueError("expected kafka://host:port,host:port")
    client: dict[str, Any] = {"bootstrap_servers": bootstrap}
    if _is_secure(parts):
        client["ssl_context"] = ssl.create_default_context(cafile=options.get("ca"))
    if person:
        name, _, password = person.partition(":")
        client["sasl_mechanism"] = options.get("mechanism", "SCRAM-SHA-512")
        client |= {"sasl_plain_username": unquote(name), "sasl_plain_password": unquote(password)}
    transport = "SSL" if _is_secure(parts) else "PLAINTEXT"
    return {**client, "security_protocol": f"SASL_{transport}" if person else transport}


def _check_host(parts: SplitResult) -> None:
    """Raises ValueError for a missing host or an impossible port."""
    if not parts.hostname or parts.port == 0:
        raise ValueError("expected a host")


Make = Callable[[SplitResult, Options], Broker]
_BROKERS: Final[Mapping[str, tuple[str, Make]]] = {
    "amqp": ("rabbitmq", _rabbitmq),
    "amqps": ("rabbitmq", _rabbitmq),
    "kafka": ("kafka", _kafka),
    "kafkas": ("kafka", _kafka),
    "redis": ("redis", _redis),
    "rediss": ("redis", _redis),
}
