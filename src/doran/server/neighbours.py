"""Which services are here, and what they need of others that run elsewhere; said before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from doran.kernel.config import Config

NEEDS: Final[Mapping[str, Mapping[str, str]]] = {
    "core": {},
    "chat": {"core": "chat verifies tokens by core's keys and asks core who exists"},
    "ai": {"core": "ai verifies tokens by core's keys", "chat": "ai asks chat what was said"},
}


def own(config: Config) -> tuple[str, ...]:
    """Return the services whose databases these settings name: those that a command may open, or make.

    `DORAN_SERVICES` counts where it is given. Otherwise a service is here if its database has a URL or its file lies in
    the data folder. Settings that name no database at all are those of `doran up`, and all three are here; but with the
    URL of a service elsewhere nobody can know whose process they are for, and none is.
    """
    if "services" in config.given:
        return tuple(config.services)
    named = {service for service in NEEDS if getattr(config, f"{service}_database")}
    apart = {service for service in NEEDS if getattr(config, f"{service}_url")}
    files = {service for service in NEEDS if (Path(config.data) / f"{service}.sqlite3").exists()}
    here = named | (files - apart if named else files) or (set() if apart else set(NEEDS))
    return tuple(service for service in NEEDS if service in here)


def missing(config: Config) -> list[str]:
    """What must be set and is not, one sentence each. Empty where every service can find its neighbours."""
    return [*_addresses(config), *_one_name(config), *_proof(config), *_events(config)]


def elsewhere(config: Config) -> frozenset[str]:
    """The services these lean on that run in other processes."""
    needed = {name for service in config.services for name in NEEDS[service]}
    return frozenset(name for name in needed - set(config.services) if not _is_done_without(name, config))


def _is_done_without(name: str, config: Config) -> bool:
    """With an identity provider of its own, a deployment may have no core."""
    return name == "core" and bool(config.foreign_issuer) and not config.core_url


def _addresses(config: Config) -> Iterator[str]:
    for service in config.services:
        for name, why in NEEDS[service].items():
            if name in elsewhere(config) and not getattr(config, f"{name}_url"):
                yield f"DORAN_{name.upper()}_URL: {why}: say where {name} answers"


def _proof(config: Config) -> Iterator[str]:
    if "core" in elsewhere(config) and not config.service_secret:
        name = next(service for service in config.services if "core" in NEEDS[service])
        yield f"DORAN_SERVICE_SECRET: {name} proves itself to core with it: `doran service-secret {name}` makes one"


def _events(config: Config) -> Iterator[str]:
    """The memory bus reaches only its own process: nobody elsewhere would hear of a block or an ended session."""
    known = {name for name in NEEDS if name not in config.services and getattr(config, f"{name}_url")}
    if (known or elsewhere(config)) and config.bus in ("", "memory:"):
        yield "DORAN_BUS: services in processes of their own hear each other by a bus: say where it is"


def _one_name(config: Config) -> Iterator[str]:
    """Tokens carry the issuer's name; processes on addresses of their own would each have another."""
    if "core" in elsewhere(config) and not config.issuer and not config.public_url:
        yield "DORAN_PUBLIC_URL: say where people reach the whole deployment, the same for every process"
