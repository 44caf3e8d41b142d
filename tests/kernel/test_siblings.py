"""One service asks another: here or over the network, it reads the same."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from doran.contracts.errors import Problem
from doran.kernel import config, siblings, telemetry

MINJI = "/api/core/users/minji/"


class Neighbour:
    """A core on the network that behaves as it is told and remembers what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b'{"id":"minji"}', {}
        self.drip = 0.0
        self.asked: list[tuple[str, dict[str, str]]] = []
        neighbour = self

        class Door(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                neighbour.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                self.send_response(neighbour.status)
                for name, value in {"Content-Length": str(len(neighbour.body)), **neighbour.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self._speak()

            def _speak(self) -> None:
                try:
                    for at in range(0, len(neighbour.body), 4 if neighbour.drip else 1 << 20):
                        self.wfile.write(neighbour.body[at : at + (4 if neighbour.drip else 1 << 20)])
                        neighbour.stopped.wait(neighbour.drip)
                except OSError:
                    pass

            def log_message(self, *_: object) -> None:
                pass

        self.stopped = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    there = Neighbour()
    before = config.current()
    config.use(before.replace(core_url=there.url))
    yield there
    config.use(before)
    siblings.close()
    there.close()


@pytest.fixture
def at_home() -> Iterator[list[tuple[str, dict[str, str]]]]:
    asked: list[tuple[str, dict[str, str]]] = []

    def answer(path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        asked.append((path, {name.lower(): value for name, value in headers.items()}))
        return (200, b'{"id":"minji"}') if path == MINJI else (404, b'{"code":"not_found"}')

    siblings.register_local("core", answer)
    yield asked
    siblings.register_local("core", None)


def test_a_sibling_in_this_process_is_asked_without_the_network(at_home: list) -> None:
    assert siblings.get("core", MINJI, token="minjis-token") == (200, {"id": "minji"})
    path, headers = at_home[0]
    assert path == MINJI
    assert headers["authorization"] == "Bearer minjis-token"


def test_a_sibling_on_the_network_gets_the_same_question(neighbour: Neighbour) -> None:
    with telemetry.with_trace("a" * 32):
        assert siblings.get("core", MINJI, token="minjis-token") == (200, {"id": "minji"})
    path, headers = neighbour.asked[0]
    assert path == MINJI
    assert headers["authorization"] == "Bearer minjis-token"
    assert headers["traceparent"].startswith(f"00-{'a' * 32}-")


@pytest.mark.parametrize("where", ["at_home", "neighbour"])
def test_a_refusal_comes_back_as_it_was_said(where: str, request: pytest.FixtureRequest) -> None:
    there = request.getfixturevalue(where)
    if where == "neighbour":
        there.status, there.body = 404, b'{"code":"not_found"}'
    assert siblings.get("core", "/api/core/users/nobody/") == (404, {"code": "not_found"})


def test_nobody_is_told_a_token_that_was_not_given(neighbour: Neighbour) -> None:
    siblings.get("core", MINJI)
    assert "authorization" not in neighbour.asked[0][1]


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (200, b"<html>", {}),
        (200, b'{"id": "minji"', {}),
        (500, b"{}", {}),
        (503, b"{}", {}),
        (302, b"", {"Location": "/api/core/elsewhere/"}),
        (200, json.dumps("x" * 2_000_000).encode(), {}),
    ],
    ids=["not json", "half a body", "broken", "busy", "sent elsewhere", "endless"],
)
def test_a_sibling_that_lies_is_unavailable(neighbour: Neighbour, status: int, body: bytes, headers: dict) -> None:
    neighbour.status, neighbour.body, neighbour.headers = status, body, headers
    with pytest.raises(Problem) as refused:
        siblings.get("core", MINJI)
    assert refused.value.code == "unavailable"
    assert refused.value.retry_after
    assert len(neighbour.asked) == 1


def test_a_sibling_that_trickles_is_given_up_in_time(neighbour: Neighbour) -> None:
    neighbour.body, neighbour.drip = json.dumps("x" * 1000).encode(), 0.05
    begun = time.monotonic()
    with pytest.raises(Problem):
        siblings.get("core", MINJI, timeout=0.2)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("where", ["at_home", "neighbour"])
def test_a_sibling_is_there_in_this_process_or_at_an_address(where: str, request: pytest.FixtureRequest) -> None:
    assert not siblings.is_there("core")
    request.getfixturevalue(where)
    assert siblings.is_there("core")


def test_a_sibling_nobody_set_up_is_unavailable() -> None:
    with pytest.raises(Problem) as refused:
        siblings.get("core", MINJI)
    assert refused.value.code == "unavailable"


def test_a_sibling_that_is_gone_is_unavailable(neighbour: Neighbour) -> None:
    neighbour.close()
    with pytest.raises(Problem) as refused:
        siblings.get("core", MINJI)
    assert refused.value.code == "unavailable"


@pytest.mark.parametrize(
    "path", ["", "//evil.example/", "api/core/", "/api/core/#x", "/a b/", "/a\r\nX: y/", "@evil.example/"]
)
def test_only_a_path_of_ours_is_asked(neighbour: Neighbour, path: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        siblings.get("core", path)
    assert neighbour.asked == []


@pytest.mark.parametrize("name", [".", ".."])
def test_an_id_of_dots_is_nobody_and_leads_nowhere_else(neighbour: Neighbour, name: str) -> None:
    assert siblings.get("core", f"/api/core/users/{name}/") == (404, None)
    assert neighbour.asked == []
