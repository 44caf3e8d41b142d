"""Connections are counted by address, and no address holds most of them."""

from __future__ import annotations

import pytest

from doran.kernel import config
from doran.server import peers as module
from doran.server.peers import Peers


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Peers:
    monkeypatch.setattr(module, "most_connections", lambda: 8)
    return Peers()


def test_one_address_has_a_quarter_of_all(peers: Peers) -> None:
    assert [peers.join("192.0.2.1") for _ in range(3)] == [True, True, False]
    peers.leave("192.0.2.1")
    assert peers.join("192.0.2.2")
    peers.leave("192.0.2.1")
    assert peers.join("192.0.2.1")


def test_an_ipv6_site_is_one_address(peers: Peers) -> None:
    assert [peers.join(f"2001:db8::{n}") for n in (1, 2, 3)] == [True, True, False]
    assert peers.join("2001:db8:0:1::1")


def test_a_trusted_proxy_has_no_share_but_all_together_have_a_bound(
    peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "current", lambda: config.load({"DORAN_TRUSTED_PROXIES": "10.0.0.0/8"}))
    assert [peers.join("10.1.2.3") for _ in range(9)] == [True] * 8 + [False]


def test_nothing_is_remembered_of_those_who_left(peers: Peers) -> None:
    for address in ("192.0.2.1", "2001:db8::1", "192.0.2.1", ""):
        peers.join(address)
    for address in ("192.0.2.1", "192.0.2.1", "2001:db8::1", ""):
        peers.leave(address)
    assert (peers.total, dict(peers._by_address)) == (0, {})
