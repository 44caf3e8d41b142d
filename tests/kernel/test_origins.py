"""Origins and host names of settings mean what a browser sends, or are refused at start."""

from __future__ import annotations

import pytest

from doran.kernel import config, origins
from doran.kernel.config import BadSetting
from doran.server import asgi


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("https://shop.example.com/", "https://shop.example.com"),
        ("https://Shop.Example.COM", "https://shop.example.com"),
        ("HTTPS://shop.example.com", "https://shop.example.com"),
        ("https://shop.example.com:443", "https://shop.example.com"),
        ("http://shop.example.com:80/", "http://shop.example.com"),
        ("http://shop.example.com:443", "http://shop.example.com:443"),
        ("https://shop.example.com:8443/", "https://shop.example.com:8443"),
        ("https://도란.example.com", "https://xn--hq1bw4e.example.com"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
    ],
)
def test_an_origin_is_taken_as_a_browser_writes_it(given: str, sent: str) -> None:
    assert config.load({"DORAN_ALLOWED_ORIGINS": f"https://other.example.com, {given}"}).allowed_origins == (
        "https://other.example.com",
        sent,
    )


@pytest.mark.parametrize(
    "given",
    [
        "*", "shop.example.com", "https://*.example.com", "https://shop.example.com/chat", "https://shop.example.com?a=b",
        "https://minji@shop.example.com", "ftp://shop.example.com", "https://", "https://shop.example.com:port", "null",
    ],
)  # fmt: skip
def test_what_no_browser_sends_as_origin_is_refused_at_start(given: str) -> None:
    with pytest.raises(BadSetting, match=r"DORAN_ALLOWED_ORIGINS.*https://shop\.example\.com"):
        config.load({"DORAN_ALLOWED_ORIGINS": given})


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("Chat.Example.com", "chat.example.com"), ("chat.example.com.", "chat.example.com"), ("core_1", "core_1"),
        ("도란.example.com", "xn--hq1bw4e.example.com"), ("10.0.0.7", "10.0.0.7"), ("::1", "::1"),
    ],
)  # fmt: skip
def test_a_host_is_taken_as_a_browser_writes_it(given: str, sent: str) -> None:
    assert config.load({"DORAN_ALLOWED_HOSTS": given}).allowed_hosts == (sent,)


@pytest.mark.parametrize(
    "given",
    ["*", "*.example.com", ".example.com", "https://chat.example.com", "chat.example.com:8000", "chat.example.com/"],
)
def test_what_is_no_host_is_refused_at_start(given: str) -> None:
    with pytest.raises(BadSetting, match=r"DORAN_ALLOWED_HOSTS.*chat\.example\.com"):
        config.load({"DORAN_ALLOWED_HOSTS": given})


@pytest.mark.parametrize("given", ["chat.example.com", "https://", "wss://chat.example.com", "https://*.example.com"])
def test_a_public_url_that_leads_nowhere_is_refused_at_start(given: str) -> None:
    with pytest.raises(BadSetting, match="DORAN_PUBLIC_URL"):
        config.load({"DORAN_PUBLIC_URL": given})


@pytest.mark.parametrize("much", ["http://a/" + "x" * 60_000, "http://" + "a" * 60_000, "http://a:80?" + "y" * 1_000])
def test_what_is_longer_than_any_origin_is_refused_and_not_kept(much: str) -> None:
    """A header may have 64 KiB: a thousand of them would fill the memory."""
    kept = origins.origin_of.cache_info().currsize
    with pytest.raises(ValueError, match="too long"):
        origins.origin_of(much)
    assert origins.origin_of.cache_info().currsize == kept


def test_a_host_longer_than_any_is_nobodys_and_not_kept() -> None:
    kept = asgi._kept_name.cache_info().currsize
    assert asgi._host_name("a" * 60_000) == ""
    assert asgi._kept_name.cache_info().currsize == kept
