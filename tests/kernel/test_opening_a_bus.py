"""Which bus a URL names, and how precisely a wrong one is refused."""

from __future__ import annotations

import sys

import pytest

from doran.kernel.bus.broker import BrokerBus
from doran.kernel.bus.memory import MemoryBus
from doran.kernel.bus.opening import open_bus
from doran.kernel.config import BadSetting

pytestmark = pytest.mark.stateless

GOOD = (
    "amqp://guest:guest@127.0.0.1/",
    "amqps://127.0.0.1:5671/vhost?prefix=shop&heartbeat=10",
    "kafka://127.0.0.1:9092",
    "kafkas://minji:secret@127.0.0.1:9092,127.0.0.2:9092?mechanism=PLAIN&partitions=12&replication=3&idempotence=no",
    "redis://127.0.0.1/0",
    "rediss://:secret@127.0.0.1:6380/3?prefix=shop",
)
BAD = {
    "nats://127.0.0.1": "expected memory: or a URL with amqp://",
    "amqp://": "expected a host",
    "amqp://127.0.0.1:port/": "Port could not be cast",
    "amqp://minji:geheim@127.0.0.1/?heartbeat=geheim": "heartbeat must be seconds",
    "redis://127.0.0.1/messages": "a number, which database",
    "redis://127.0.0.1?partitions=3": "no option is called 'partitions'",
    "kafka://127.0.0.1": "expected kafka://host:port",
    "kafka://127.0.0.1:9092/topic": "expected kafka://host:port",
    "kafka://127.0.0.1:9092?idempotence=maybe": "idempotence must be yes or no",
    "kafkas://127.0.0.1:9092?ca=/nowhere/ca.pem": "ca names no file",
    "kafka://127.0.0.1:9092?prefix=A%20B": "prefix must be lower-case",
}


@pytest.mark.parametrize("url", ["", "memory:"])
def test_without_a_url_events_stay_in_memory(url: str) -> None:
    assert isinstance(open_bus(url), MemoryBus)


@pytest.mark.parametrize("url", GOOD)
def test_a_broker_is_not_asked_before_the_start(url: str) -> None:
    assert isinstance(open_bus(url, listeners=("core", "chat", "ai")), BrokerBus)


@pytest.mark.parametrize("url", BAD)
def test_a_wrong_url_says_what_is_wrong_and_keeps_its_secrets(url: str) -> None:
    with pytest.raises(BadSetting) as refusal:
        open_bus(url)
    assert str(refusal.value).startswith("DORAN_BUS: ")
    assert BAD[url] in str(refusal.value)
    assert "geheim" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [
        ("amqp://127.0.0.1/", "aio_pika", "rabbitmq"),
        ("kafka://127.0.0.1:9092", "aiokafka", "kafka"),
        ("redis://127.0.0.1/", "redis", "redis"),
    ],
)
def test_a_missing_extra_is_named(url: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    driver = {"aio_pika": "rabbitmq", "aiokafka": "kafka", "redis": "redis"}[package]
    monkeypatch.delitem(sys.modules, f"doran.kernel.bus.{driver}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BadSetting, match=rf"doran\[{extra}\]"):
        open_bus(url)
