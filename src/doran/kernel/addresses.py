"""Where a request really came from, when reverse proxies stand in between."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def client_address(peer: str, forwarded_for: str, *, trusted: Sequence[str]) -> str:
    """The nearest address that is not a trusted proxy.

    `peer` is the other end of the TCP connection, `forwarded_for` the X-Forwarded-For header, `trusted`
    the addresses and networks whose word on it is believed. From an untrusted peer the header is ignored.
    """
    networks = _networks(tuple(trusted))
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()]
    address = peer
    while hops and _is_trusted(address, networks):
        address = hops.pop()
    return _plain(address) or peer


def is_trusted(peer: str, *, trusted: Sequence[str]) -> bool:
    """Return whether the other end of the TCP connection is one of the trusted proxies."""
    return _is_trusted(peer, _networks(tuple(trusted)))


def share_key(address: str) -> str:
    """Return what shares are counted by: an IPv4 address, or the /64 that one IPv6 site has for itself."""
    found = ip_address(address) if _plain(address) else None
    return str(IPv6Network((found, 64), strict=False)) if isinstance(found, IPv6Address) else address


@lru_cache(maxsize=16)
def _networks(trusted: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(text, strict=False) for text in trusted)


def _is_trusted(address: str, networks: tuple[Network, ...]) -> bool:
    plain = _plain(address)
    return bool(plain) and any(ip_address(plain) in network for network in networks)


def _plain(address: str) -> str:
    """One spelling per address, without a port, brackets or the IPv4-in-IPv6 prefix; empty if it is none."""
    text = address.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return ""
    return str(getattr(found, "ipv4_mapped", None) or found)
