"""In production whatever a serving process says is a JSON log line on standard error; a collector can read all of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from doran.server.exits import EXITS
from tests.house.running import doran, environment, running
from tests.servers.ports import free_port

pytestmark = pytest.mark.timeout(240)  # processes of their own, on a machine that may be busy

PRODUCTION = {"DORAN_MODE": "production", "DORAN_PUBLIC_URL": "https://chat.example.com"}
ALONE = {"DORAN_FOREIGN_ISSUER": "https://login.example.com", "DORAN_FOREIGN_AUDIENCE": "chat"}
JWKS = {"DORAN_FOREIGN_JWKS_URL": "https://127.0.0.1:9/jwks.json"}


def lines(said: str) -> list[dict[str, Any]]:
    """Every line as the JSON object that it has to be."""
    found = [json.loads(line) for line in said.splitlines()]
    assert all({"ts", "level", "logger", "event"} <= one.keys() for one in found), said
    return found


@pytest.mark.parametrize(
    ("command", "words", "port", "more"),
    [("up", (), "0", {}), ("work", ("core",), "", {}), ("serve", ("chat",), "0", {**ALONE, **JWKS})],
)
def test_a_whole_life_is_log_lines(
    command: str, words: tuple[str, ...], port: str, more: dict[str, str], tmp_path: Path
) -> None:
    says = "ready at" if command != "work" else "Doran works for core"
    with running(*words, folder=tmp_path, command=command, port=port, says=says, **PRODUCTION, **more) as server:
        assert server.is_told(signal.SIGTERM) == EXITS["done"][0]
        events = [one["event"] for one in lines(server.said())]
    assert "Preparing the data folder" in events
    assert events[-1] == "Stopped."


def test_standard_output_stays_empty(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "doran", "up", "--port", "0"],
        cwd=tmp_path, env=environment(**PRODUCTION), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "Doran is ready" in line:
            process.terminate()
    out, _ = process.communicate(timeout=60)
    assert out == ""
    assert lines("".join(said))
    assert process.returncode == EXITS["done"][0]


@pytest.mark.parametrize(
    ("words", "settings", "kind"),
    [
        (("up",), {"DORAN_PUBLIC_URL": "http://chat.example.com"}, "bad_setting"),
        (("up",), {"DORAN_SECRET_KEY": "x" * 40}, "bad_setting"),
        (("serve", "chat"), {}, "bad_setting"),
        (("up", "--host", "192.0.2.1"), {}, "port_taken"),
        (("up", "--demo"), {}, "bad_setting"),
        (("serve", "core"), {"DORAN_CORE_DATABASE": "postgresql://doran:x@127.0.0.1:{port}/core"}, "bad_database"),
    ],
)
def test_a_start_that_is_refused_is_a_log_line(
    words: tuple[str, ...], settings: dict[str, str], kind: str, tmp_path: Path
) -> None:
    given = {**PRODUCTION, "DORAN_PORT": "0", **settings}
    given = {name: value.replace("{port}", str(free_port())) for name, value in given.items()}
    refused = doran(*words, cwd=tmp_path, **given)
    assert (refused.returncode, refused.stdout) == (EXITS[kind][0], "")
    last = lines(refused.stderr)[-1]
    assert (last["level"], last["code"]) == ("ERROR", EXITS[kind][0])
    assert "x" * 40 not in refused.stderr


def test_in_development_it_is_said_for_people(tmp_path: Path) -> None:
    with running(folder=tmp_path) as server:
        assert server.said().startswith("Taking the port ")
    as_json = tmp_path / "json"
    as_json.mkdir()
    with running(folder=as_json, DORAN_LOG_FORMAT="json") as server:
        assert lines(server.said())[0]["event"] == "Taking the port"
