"""How an outward address must be written, and which networks it may lead to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from doran.kernel.addresses import Network
from doran.kernel.config import Config

Address = IPv4Address | IPv6Address

LONGEST: Final = 2000
_SIGNS: Final = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_URL: Final = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\]]+)(?::(\d{1,5}))?(/[^?#]*)?(\?[^#]*)?")
_NAME: Final = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{2,63}")
_LIKE_A_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}

_LOOPBACK: Final = tuple(map(ip_network, ("127.0.0.0/8", "::1/128")))
_PUBLIC_6: Final = IPv6Network("2000::/3")  # leaves out loopback, link-local, ULA, multicast, mapped IPv4, NAT64
_NOT_PUBLIC: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # shared by carriers
            "127.0.0.0/8",
            "169.254.0.0/16",  # link-local, and the metadata of clouds
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",
            "2001::/23",  # Teredo, ORCHID and other special uses
            "2001:db8::/32",
            "2002::/16",  # 6to4: an IPv4 address inside
            "3fff::/20",
        ),
    )
)
_METADATA: Final = frozenset(map(ip_address, ("168.63.129.16", "100.100.100.200", "fd00:ec2::254")))


class NotAllowed(ValueError):
    """An address that outward calls never go to; the text says why, for whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator allows: ports, private networks, and in development this machine."""

    ports: frozenset[int] = frozenset({443})
    networks: tuple[Network, ...] = ()
    loopback: bool = False

    def allow(self, address: Address) -> bool:
        """Whether a connection may go there."""
        if address in _METADATA:
            return False
        if _is_in(address, self.networks) or (self.loopback and _is_in(address, _LOOPBACK)):
            return True
        return not _is_in(address, _NOT_PUBLIC) and (address.version == 4 or address in _PUBLIC_6)


@dataclass(frozen=True, slots=True)
class Target:
    """A well-formed address, taken apart. `host` is a name in lower case, or an IP address without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and port as the Host header says them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def rules(config: Config) -> Rules:
    """The rules of these settings."""
    return Rules(
        ports=frozenset(map(int, config.outward_ports)),
        networks=tuple(map(ip_network, config.outward_networks)),
        loopback=config.outward_loopback,
    )


def target(url: str, rules: Rules) -> Target:
    """Where this leads, as far as can be said without asking anybody. Raises `NotAllowed`."""
    if len(url) > LONGEST or not _SIGNS.fullmatch(url):
        raise NotAllowed(
            f"Use at most {LONGEST} ASCII characters without blanks; an international name begins with xn--."
        )
    found = _URL.fullmatch(url)
    if found is None:
        raise NotAllowed("Use https://name/path, without user name, password or fragment.")
    scheme, host, port = found[1], found[2].lower(), int(found[3] or _DEFAULT_PORTS[found[1]])
    literal = as_address(host.strip("[]"))
    is_here = host == "localhost" or (literal is not None and _is_in(literal, _LOOPBACK))
    _check_host(host, literal, rules, is_here=is_here)
    _check_door(scheme, port, rules, is_here=is_here)
    return Target(scheme, host.strip("[]"), port, (found[4] or "/") + (found[5] or ""))


def as_address(text: str) -> Address | None:
    """The IP address this is, written plainly; None for a name."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _check_host(host: str, literal: Address | None, rules: Rules, *, is_here: bool) -> None:
    if literal is not None:
        if not rules.allow(literal):
            raise NotAllowed("This address is not on the public internet.")
        return
    if _LIKE_A_NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        raise NotAllowed("Write an IP address as four plain decimal numbers, or better a name.")
    if not (is_here and rules.loopback) and not _NAME.fullmatch(host):
        raise NotAllowed("Use the full name of a host on the public internet.")


def _check_door(scheme: str, port: int, rules: Rules, *, is_here: bool) -> None:
    if is_here and rules.loopback and 0 < port < 65536:
        return
    if scheme != "https":
        raise NotAllowed("Use https.")
    if port not in rules.ports:
        raise NotAllowed(f"Use one of the allowed ports: {', '.join(map(str, sorted(rules.ports)))}.")


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
