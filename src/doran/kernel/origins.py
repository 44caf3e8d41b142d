"""Web origins and host names, in the one spelling that browsers send."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
LONGEST: Final = 400
"""More than any address that has an origin: a host name has 253 characters. What is longer is not kept either."""
_NEVER_IN_A_NAME: Final = frozenset("*/:@?#[]%, \t")


@lru_cache(maxsize=1024)
def origin_of(url: str) -> str:
    """Return the origin of an address as a browser writes it: lower case, Punycode, without a default port.

    Raises `ValueError` for what has none.
    """
    if len(url) > LONGEST:
        raise ValueError("too long for an address of a web server")
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("expected an address such as https://chat.example.com")
    name = host_name(parts.hostname)
    host = f"[{name}]" if ":" in name else name
    is_default = parts.port in (None, _DEFAULT_PORTS[parts.scheme])
    return f"{parts.scheme}://{host}" if is_default else f"{parts.scheme}://{host}:{parts.port}"


def allowed_origin(text: str) -> str:
    """Return an origin that an operator allows, as a browser sends it. Raises `ValueError` for what no browser sends."""
    parts = urlsplit(text)
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{text!r} is no origin; expected one such as https://shop.example.com, without a path")
    try:
        return origin_of(text)
    except ValueError:
        raise ValueError(f"{text!r} is no origin; expected one such as https://shop.example.com") from None


def host_name(text: str) -> str:
    """Return a host name or address as a browser sends it. Raises `ValueError` for a pattern, a URL or a port."""
    name = text.lower().removesuffix(".")
    if _is_address(name):
        return name
    if not name or name.startswith(".") or _NEVER_IN_A_NAME & set(name):
        raise ValueError(f"{text!r} is no host name; expected one such as chat.example.com, without scheme, port or *")
    return name if name.isascii() else name.encode("idna").decode()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
