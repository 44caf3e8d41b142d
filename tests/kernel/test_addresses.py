"""Where a request came from: proxies are believed only as far as the operator trusts them."""

from __future__ import annotations

import pytest

from doran.kernel.addresses import client_address

pytestmark = pytest.mark.stateless

PROXIES = ("10.0.0.0/8", "2001:db8::1")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "found"),
    [
        ("203.0.113.7", "", "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::99", "2001:db8::99"),
        ("::ffff:10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::99]:443", "2001:db8::99"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, <script>", "10.0.0.1"),
    ],
)
def test_the_nearest_address_that_is_no_trusted_proxy(peer: str, forwarded_for: str, found: str) -> None:
    assert client_address(peer, forwarded_for, trusted=PROXIES) == found


def test_without_trusted_proxies_the_header_means_nothing() -> None:
    assert client_address("10.0.0.1", "198.51.100.1", trusted=()) == "10.0.0.1"


def test_a_local_socket_has_no_address() -> None:
    assert client_address("", "198.51.100.1", trusted=PROXIES) == ""
