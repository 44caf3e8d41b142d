"""MySQL and MariaDB: `mysql://user:password@host:3306/name`, `mariadb://…`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Final

from doran.server.databases.address import Address

SOCKET: Final = "unix_socket"
FILES: Final = {"ssl-ca": "ca", "ssl-cert": "cert", "ssl-key": "key"}
MODES: Final = ("DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")


def opened(address: Address) -> dict[str, Any]:
    """Options: `unix_socket`; `ssl-mode`, `ssl-ca`, `ssl-cert`, `ssl-key` as MySQL's own client has them.

    Raises `BadSetting`.
    """
    address.check(*FILES, "ssl-mode", socket=SOCKET)
    _need_driver(address)
    return {
        "ENGINE": "doran.server.databases.mysql",
        "NAME": address.name,
        "USER": address.user,
        "PASSWORD": address.password,
        "HOST": address.options.get(SOCKET, address.host),
        "PORT": address.port or "",
        "OPTIONS": {"tls": _tls(address)},
    }


def _need_driver(address: Address) -> None:
    if not find_spec("pymysql"):
        address.refuse("the driver for MySQL is missing; install it with: pip install 'doran[mysql]'")


def _tls(address: Address) -> dict[str, str]:
    mode = address.choice("ssl-mode", *MODES, default="DISABLED" if SOCKET in address.options else "PREFERRED")
    files = {name: address.file(option) for option, name in FILES.items() if option in address.options}
    if mode.startswith("VERIFY") and "ca" not in files:
        address.refuse(f"ssl-mode={mode} needs ssl-ca, the file of the authority that is trusted")
    if files and not mode.startswith(("VERIFY", "REQUIRED")):
        address.refuse("with ssl-ca, ssl-cert or ssl-key, ssl-mode must be REQUIRED, VERIFY_CA or VERIFY_IDENTITY")
    return {"mode": mode, **files}
