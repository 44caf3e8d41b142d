"""How often people may sign up, log in, fail to, and look others up; all from the settings."""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache

from doran.contracts.errors import Problem
from doran.kernel import config, telemetry
from doran.kernel.config import Config
from doran.kernel.limits import Limiter


class Rate:
    """One setting's limiter: so many a minute for each key."""

    def __init__(self, setting: str, now: Config) -> None:
        self._setting = setting
        self._limiter = Limiter(getattr(now, setting), 60.0)

    def check(self, key: Hashable) -> None:
        """Count one. Raises `Problem("too_many_requests")`."""
        try:
            self._limiter.check(key)
        except Problem:
            telemetry.rate_limited(self._setting)
            raise

    def give_back(self, key: Hashable) -> None:
        """The last one did not count after all."""
        self._limiter.give_back(key)


@dataclass(frozen=True, slots=True)
class Rates:
    """The limiters of this process. `signups` and `logins` count by place, `lookups` by person.

    `failed` counts log-ins that failed by account and, for a place this person logged in from
    before, by account and place: others who guess cannot lock the real person out of there.
    """

    signups: Rate
    logins: Rate
    failed: Rate
    lookups: Rate


def rates() -> Rates:
    """The limiters that the settings in force ask for."""
    return _built(config.current())


@lru_cache(maxsize=1)
def _built(now: Config) -> Rates:
    return Rates(
        signups=Rate("signups_per_minute", now),
        logins=Rate("logins_per_minute", now),
        failed=Rate("failed_logins_per_minute", now),
        lookups=Rate("lookups_per_minute", now),
    )


def place(address: str) -> str:
    """What stands for an address: itself, or for IPv6 its /64, which one household has to itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
