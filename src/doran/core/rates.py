"""How often people may sign up, log in, fail to, and look others up; all from the settings."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache

from doran.kernel import config
from doran.kernel.config import Config
from doran.kernel.limits import Limiter, limiter


@dataclass(frozen=True, slots=True)
class Rates:
    """So many a minute for each key, counted exactly. `signups` and `logins` count by place, `lookups` by person.

    `failed` counts log-ins that failed by account and, for a place this person logged in from
    before, by account and place: others who guess cannot lock the real person out of there. A device
    this person logged in with before has counts of its own for `logins` and `failed`, wherever it is.
    """

    signups: Limiter
    logins: Limiter
    failed: Limiter
    lookups: Limiter


def rates() -> Rates:
    """The limiters that the settings in force ask for."""
    return _built(config.current())


@lru_cache(maxsize=1)
def _built(now: Config) -> Rates:
    return Rates(
        signups=_a_minute("signups_per_minute", now),
        logins=_a_minute("logins_per_minute", now),
        failed=_a_minute("failed_logins_per_minute", now),
        lookups=_a_minute("lookups_per_minute", now),
    )


def _a_minute(setting: str, now: Config) -> Limiter:
    return limiter(setting, getattr(now, setting), 60.0, exact=True)


def place(address: str) -> str:
    """What stands for an address: itself, or for IPv6 its /64, which one household has to itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
