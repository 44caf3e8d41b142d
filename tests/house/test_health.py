"""`doran health`: what a container's health check runs."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from doran.server.exits import EXITS
from tests.house.running import doran, running

pytestmark = pytest.mark.timeout(240)  # processes of their own, on a machine that may be busy


def test_a_running_server_is_well(tmp_path: Path) -> None:
    with running(folder=tmp_path) as server:
        port = str(urlsplit(server.url).port)
        told = doran("health", "--port", port, cwd=tmp_path, DORAN_HOST="0.0.0.0")
        assert (told.returncode, told.stderr) == (0, "")
        first, *dependencies = told.stdout.splitlines()
        assert first == "ok"
        assert {"ok  ai database", "ok  chat database", "ok  core database"} <= set(dependencies)
        assert doran("health", "--live", cwd=tmp_path, DORAN_PORT=port).stdout == "ok\n"


def test_nobody_there_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
    told = doran("health", "--port", str(port), cwd=tmp_path)
    assert told.returncode == EXITS["failed"][0]
    assert told.stderr == f"No Doran answers at 127.0.0.1:{port} (ConnectionRefusedError).\n"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (503, b'{"status":"failing","dependencies":{"chat database":{"ok":false,"detail":"TimeoutError"}}}', 1),
        (200, b"<html>somebody else", 1),
        (200, b'{"dependencies":[1]}', 1),
    ],
)
def test_an_answer_of_no_or_of_somebody_else_is_no(tmp_path: Path, status: int, body: bytes, code: int) -> None:
    with _answering(status, body) as port:
        told = doran("health", "--port", str(port), cwd=tmp_path)
    assert told.returncode == code
    assert "Traceback" not in told.stderr
    if status == 503:
        assert told.stdout == "failing\nNO  chat database  TimeoutError\n"


@contextmanager
def _answering(status: int, body: bytes) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
