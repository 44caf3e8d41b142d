"""PostgreSQL: `postgresql://user:password@host:5432/name`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Final

from doran.server.databases.address import Address

SOCKET: Final = "host"
FILES: Final = ("sslrootcert", "sslcert", "sslkey")
MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

# A server that says nothing for so long counts as gone; what it holds for us it lets go by itself.
_PATIENCE: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
_SESSION: Final = {
    "TimeZone": "UTC",
    "default_transaction_isolation": "read\\ committed",
    "lock_timeout": "20s",
    "idle_in_transaction_session_timeout": "60s",
}


def opened(address: Address) -> dict[str, Any]:
    """Options: `host` for the folder of a socket; `sslmode`, `sslrootcert`, `sslcert`, `sslkey` as libpq has them.

    Raises `BadSetting`.
    """
    address.check(*FILES, "sslmode", socket=SOCKET)
    if not find_spec("psycopg"):
        address.refuse("the driver for PostgreSQL is missing; install it with: pip install 'doran[postgres]'")
    return {
        "ENGINE": "doran.server.databases.postgresql",
        "NAME": address.name,
        "USER": address.user,
        "PASSWORD": address.password,
        "HOST": address.options.get(SOCKET, address.host),
        "PORT": address.port or "",
        "OPTIONS": {**_PATIENCE, **_tls(address), "options": _session()},
    }


def _tls(address: Address) -> dict[str, str]:
    mode = address.choice("sslmode", *MODES, default="prefer")
    if mode.startswith("verify") and "sslrootcert" not in address.options:
        address.refuse(f"sslmode={mode} needs sslrootcert, the file of the authority that is trusted")
    return {"sslmode": mode} | {option: address.file(option) for option in FILES if option in address.options}


def _session() -> str:
    return " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
