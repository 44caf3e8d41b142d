"""The receivers of the webhook guide work as pasted: they believe Doran, and nobody else."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.house.running import ROOT, Running, doran, environment, running
from tests.house.test_examples import NODE
from tests.house.test_webhooks_command import HERE, MINJI, registered
from tests.servers.ports import free_port

pytestmark = pytest.mark.timeout(240)  # processes of their own, on a machine that may be busy

GUIDE = (ROOT / "docs/guides/webhooks.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(folder=tmp_path_factory.mktemp("webhooks"), **HERE) as server:
        yield server


def example(language: str, port: int) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert "9000" in found
    return str(found.replace("9000", str(port)))


def python(folder: Path, port: int) -> list[str]:
    return [sys.executable, "-c", example("python", port)]


def javascript(folder: Path, port: int) -> list[str]:
    (folder / "receiver.mjs").write_text(example("js", port), encoding="utf-8")
    return [str(NODE), str(folder / "receiver.mjs")]


@contextmanager
def receiver(command: list[str], secret: str, log: Path) -> Iterator[None]:
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            command, env=environment(WEBHOOK_SECRET=secret), stdout=out, stderr=subprocess.STDOUT, text=True
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def waits_for(said: str, log: Path) -> str:
    until = time.monotonic() + 30
    while said not in log.read_text(encoding="utf-8"):
        assert time.monotonic() < until, log.read_text(encoding="utf-8")
        time.sleep(0.02)
    return log.read_text(encoding="utf-8")


def answers(url: str, **headers: str) -> int:
    """The status for a request that Doran has not made."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, b'{"event_id": "1", "event_type": "forged", "data": {}}', named)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


@pytest.mark.parametrize("receiving", [python, javascript])
def test_a_receiver_as_pasted_believes_doran_and_nobody_else(
    receiving: Callable[[Path, int], list[str]], server: Running, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "received.log"
    url = f"http://127.0.0.1:{port}/"
    home = server.log.parent
    added = doran("webhooks", "add", url, "--events", "user.created", "--data", "data", cwd=home, **HERE)
    endpoint_id, secret = registered(added.stdout)
    with receiver(receiving(tmp_path, port), secret, log):
        tested = doran("webhooks", "test", endpoint_id, "--data", "data", cwd=home, **HERE)
        while tested.returncode:  # it had not begun to listen; the event is tried again
            tested = doran("webhooks", "test", endpoint_id, "--data", "data", cwd=home, **HERE)
        assert server.asks("/api/core/users/", {**MINJI, "username": receiving.__name__})[0] == 201
        said = waits_for(receiving.__name__, log)
        assert "webhook.test" in said
        now = str(int(time.time()))
        for forged in (
            {},
            {"webhook_id": "1", "webhook_timestamp": now, "webhook_signature": "v1,AAAA"},
            {"webhook_id": "1", "webhook_timestamp": "soon", "webhook_signature": "v1,AAAA"},
        ):
            assert answers(url, **forged) == 401
        assert "forged" not in log.read_text(encoding="utf-8")
    doran("webhooks", "remove", endpoint_id, "--data", "data", cwd=home, **HERE)
