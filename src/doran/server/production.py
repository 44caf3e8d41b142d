"""What makes a deployment unsafe for strangers' messages, beside the settings that production mode refuses.

Each question gives findings: a `NO` must be repaired, a `note` is a choice that somebody should have made.
Every sentence says what to do.
"""

from __future__ import annotations

import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

from doran.kernel import config as settings
from doran.kernel import guessing
from doran.kernel.config import SETTINGS, Config, Setting
from doran.server import beforehand, folder

Grade = Literal["ok", "note", "NO"]

SMALLEST_DISK: Final = 1 << 30
FEWEST_FILES, FEW_FILES = 4096, 65_536
CLOCK_SECONDS: Final = 2.0
_NETWORK_DISKS: Final = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "fuse.gluster", "glusterfs", "ceph", "lustre", "afs")
_SHORTEST_PASSWORD: Final = 12
_PLAINLY: Final = frozenset({"invite_codes"})


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question."""

    name: str
    grade: Grade
    sentence: str


def findings(config: Config, environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Everything that can be seen without asking anybody else."""
    for question in _QUESTIONS:
        found = list(question(config, environ))
        yield from found


def _refused(config: Config, _environ: Mapping[str, str]) -> Iterator[Finding]:
    unsafe = settings.unsafe(config)
    for sentence in unsafe:
        yield Finding("production", "NO", f"{sentence}: production mode does not start with it")
    if not unsafe:
        yield Finding("production", "ok", "nothing that production mode refuses")
    if not config.production:
        yield Finding(
            "mode", "note", "DORAN_MODE is development: set it to production, so that unsafe settings are refused"
        )


def _secrets(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    for sentence in beforehand.exposed(config):
        yield Finding("secrets", "NO", f"{sentence}: production mode does not start with it")
    for setting in SETTINGS.values():
        if setting.secret and environ.get(setting.variable) and _belongs_in_a_file(setting, config):
            yield Finding(
                "secrets",
                "note",
                f"{setting.variable} stands in the environment: put it into a file and name that in {setting.variable}_FILE",
            )


def _belongs_in_a_file(setting: Setting, config: Config) -> bool:
    return setting.name not in _PLAINLY and f"{setting.variable}_FILE" not in config.files


def _metrics(config: Config, _environ: Mapping[str, str]) -> Iterator[Finding]:
    if not config.metrics_token:
        yield Finding(
            "metrics",
            "note",
            "without DORAN_METRICS_TOKEN only this machine can read /metrics: set one if a Prometheus elsewhere should",
        )


def _sign_up(config: Config, _environ: Mapping[str, str]) -> Iterator[Finding]:
    if "core" not in config.services:
        return
    if config.signup == "open":
        yield Finding(
            "sign-up", "note", "anybody may sign up: set DORAN_SIGNUP to invite or closed if that is not meant"
        )
    if config.signup == "invite" and any(len(code) < 8 for code in config.invite_codes):
        yield Finding(
            "sign-up", "NO", "an invite code is shorter than 8 characters: make longer ones in DORAN_INVITE_CODES"
        )


def _proxies(config: Config, _environ: Mapping[str, str]) -> Iterator[Finding]:
    everybody = [one for one in config.trusted_proxies if ip_network(one, strict=False).prefixlen == 0]
    if everybody:
        yield Finding(
            "proxies", "NO", f"DORAN_TRUSTED_PROXIES believes everybody ({everybody[0]}): name the proxy's own address"
        )
    elif not config.trusted_proxies:
        yield Finding(
            "proxies",
            "NO",
            "no proxy is believed, so everybody counts as one address and shares its limits: name the TLS proxy in DORAN_TRUSTED_PROXIES",
        )


def _redis(config: Config, _environ: Mapping[str, str]) -> Iterator[Finding]:
    if not config.redis:
        return
    yield from _entered("Redis", "DORAN_REDIS", config.redis)
    if not _is_here(config.redis) and config.redis.startswith("redis://"):
        yield Finding(
            "Redis", "note", "Redis is spoken to without TLS: use rediss:// where the network between is not only yours"
        )


def _bus(config: Config, _environ: Mapping[str, str]) -> Iterator[Finding]:
    url = str(config.bus)
    if not url.startswith(("amqp", "kafka", "redis")):
        return
    yield from _entered("bus", "DORAN_BUS", url)
    if not _is_here(url) and url.startswith(("amqp://", "redis://", "kafka://")):
        yield Finding("bus", "note", "the bus is spoken to without TLS: use it only in a network that is only yours")


def _entered(name: str, variable: str, url: str) -> Iterator[Finding]:
    """Who may enter an engine. On this machine an open one is an exception, and said."""
    if not _is_open(url):
        yield from _weak_password(name, variable, url)
    elif _is_here(url):
        yield Finding(
            name,
            "ok",
            "is entered without a password of its own, which is well only on this machine: all of its users may, too",
        )
    else:
        yield Finding(name, "NO", f"{_open_to_all(url)}, and name it in {variable}")


def _is_open(url: str) -> bool:
    parts = urlsplit(url)
    if url.startswith("amqp"):
        return parts.username in (None, "guest")
    return parts.username is None if url.startswith("kafka") else not parts.password


def _open_to_all(url: str) -> str:
    if url.startswith("amqp"):
        return "RabbitMQ is entered as guest: make an account of its own"
    if url.startswith("kafka"):
        return "Kafka is entered without an account: make one"
    return "Redis on another machine takes no password: set requirepass there"


def _weak_password(name: str, variable: str, url: str) -> Iterator[Finding]:
    password = unquote(urlsplit(url).password or "")
    if guessing.weakness(password, least=_SHORTEST_PASSWORD):
        grade: Grade = "note" if _is_here(url) else "NO"
        yield Finding(name, grade, f"the password in {variable} is easy to guess: make a random one")


def _passwords(config: Config, _environ: Mapping[str, str]) -> Iterator[Finding]:
    for service in config.services:
        url = getattr(config, f"{service}_database")
        if url and not url.startswith("sqlite") and urlsplit(url).password:
            yield from _weak_password(f"{service} database", f"DORAN_{service.upper()}_DATABASE", url)


def _listening(config: Config, _environ: Mapping[str, str]) -> Iterator[Finding]:
    if config.host in ("", "0.0.0.0", "::"):  # noqa: S104  looked at, not listened at
        yield Finding(
            "address",
            "note",
            f"DORAN_HOST={config.host} answers plain http at every address of this machine: let only the proxy reach it",
        )
    for origin in config.allowed_origins:
        if origin.startswith("http://"):
            yield Finding(
                "origins",
                "note",
                f"DORAN_ALLOWED_ORIGINS has {origin}: what comes without TLS can be changed on its way",
            )


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if url.startswith("unix:") or host in ("", "localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _disk(config: Config, _environ: Mapping[str, str]) -> Iterator[Finding]:
    place = Path(config.data).resolve()
    if not folder.is_needed(config):
        return
    there = next(one for one in (place, *place.parents) if one.exists())
    free = shutil.disk_usage(there).free
    if free < SMALLEST_DISK:
        yield Finding(
            "disk",
            "NO",
            f"{free >> 20} MiB are free on the disk of {place}: messages are refused when it is full; free at least 1 GiB",
        )
    kind = disk_kind(there, Path("/proc/self/mounts"))
    if kind.startswith(_NETWORK_DISKS):
        yield Finding(
            "disk",
            "NO",
            f"{place} is on a network disk ({kind}), where SQLite's locks and flushes cannot be trusted: use a local disk, or MySQL or PostgreSQL",
        )


def disk_kind(place: Path, mounts: Path) -> str:
    """The kind of file system a folder is on; empty where the system does not say."""
    if not mounts.exists():
        return ""
    lines = (line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines())
    at = [(Path(mount.replace("\\040", " ")), kind) for _device, mount, kind, *_ in lines]
    holding = [(mount, kind) for mount, kind in at if place.is_relative_to(mount)]
    return max(holding, key=_depth)[1] if holding else ""


def _depth(mounted: tuple[Path, str]) -> int:
    return len(mounted[0].parts)


def _open_files(config: Config, _environ: Mapping[str, str]) -> Iterator[Finding]:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if "chat" in config.services and soft < FEW_FILES:
        grade: Grade = "NO" if soft < FEWEST_FILES else "note"
        yield Finding(
            "open files",
            grade,
            f"this process may open {soft} files, so fewer sockets: raise it to {FEW_FILES} (ulimit -n, LimitNOFILE)",
        )


def of_databases(config: Config) -> Iterator[Finding]:
    """What each database says of itself. Those that cannot be opened are somebody else's finding."""
    from django.db import DatabaseError, connections

    for service in config.services:
        try:
            yield from _of_database(service, connections[service])
        except DatabaseError:
            continue


def _of_database(service: str, connection: Any) -> Iterator[Finding]:
    from doran.server.databases import readings

    if connection.vendor == "sqlite" and not Path(connection.settings_dict["NAME"]).exists():
        return
    for sentence in (*readings.undurable(connection), *readings.too_mighty(connection)):
        yield Finding(f"{service} database", "NO", sentence)
    ahead = readings.seconds_ahead(connection, time.time())
    if abs(ahead) > CLOCK_SECONDS:
        yield Finding(
            "clock",
            "NO",
            f"the clock of {service}'s database is {ahead:+.1f} s from ours: let both follow the same time server",
        )


_QUESTIONS: Final[tuple[Callable[[Config, Mapping[str, str]], Iterator[Finding]], ...]] = (
    _refused, _secrets, _metrics, _sign_up, _proxies, _listening, _redis, _bus, _passwords, _disk, _open_files,
)  # fmt: skip
