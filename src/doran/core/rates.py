"""How often people may sign up, log in, fail to, and look others up; all from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from doran.kernel import config
from doran.kernel.config import Config
from doran.kernel.limits import Limiter


@dataclass(frozen=True, slots=True)
class Rates:
    """The limiters of this process. `signups` and `logins` count by address, `lookups` by person.

    `failed` counts log-ins that failed by account and, for an address this person logged in from
    before, by account and address: others who guess cannot lock the real person out of there.
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
        signups=_a_minute(now.signups_per_minute),
        logins=_a_minute(now.logins_per_minute),
        failed=_a_minute(now.failed_logins_per_minute),
        lookups=_a_minute(now.lookups_per_minute),
    )


def _a_minute(rate: int) -> Limiter:
    return Limiter(rate, 60.0)
