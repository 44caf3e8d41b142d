"""A core on the network that behaves as it is told, badly if need be, and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from doran.kernel import config, siblings

TOKENS = "/api/core/service-tokens/"


@dataclass
class Says:
    """One answer: after `wait` seconds, in headers and pieces `drip` seconds apart; `hangs_up` says nothing at all."""

    status: int = 200
    body: bytes = b'{"id":"minji"}'
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    drip: float = 0.0
    hangs_up: bool = False


class Neighbour:
    """`paths` have answers of their own. `next` are the answers to the next questions elsewhere, one each; then it
    says `always`. It gives tokens to who asks."""

    def __init__(self, port: int = 0) -> None:
        self.always = Says()
        self.next: list[Says] = []
        self.paths: dict[str, Says] = {}
        self.tokens = 0
        self.lifetime = 300
        self.token_says: Says | None = None
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.proofs: list[dict[str, str]] = []
        self.stopped = threading.Event()
        self._server = _Server(("127.0.0.1", port), _door(self))
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, headers: dict[str, str]) -> Says:
        self.asked.append((path, headers))
        if path in self.paths:
            return self.paths[path]
        return self.next.pop(0) if self.next else self.always

    def grant(self, proof: bytes) -> Says:
        self.proofs.append(json.loads(proof))
        if self.token_says is not None:
            return self.token_says
        self.tokens += 1
        return Says(body=json.dumps({"access_token": f"token {self.tokens}", "expires_in": self.lifetime}).encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Who hangs up on us has said enough."""


def _door(neighbour: Neighbour) -> type[BaseHTTPRequestHandler]:
    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(neighbour.answer(self.path, {name.lower(): value for name, value in self.headers.items()}))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._say(neighbour.grant(body))

        def _say(self, says: Says) -> None:
            neighbour.stopped.wait(says.wait)
            if says.hangs_up:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(says.status)
            for name, value in {"Content-Length": str(len(says.body)), **says.headers}.items():
                self.send_header(name, value)
                if says.drip:
                    self.flush_headers()
                    neighbour.stopped.wait(says.drip)
            self.end_headers()
            step = 4 if says.drip else 1 << 20
            for at in range(0, len(says.body), step):
                self.wfile.write(says.body[at : at + step])
                neighbour.stopped.wait(says.drip)

        def log_message(self, *_: object) -> None:
            pass

    return Door


@contextmanager
def next_door(**changes: object) -> Iterator[Neighbour]:
    """A neighbour that this process takes for core until the block ends."""
    there, before = Neighbour(), config.current()
    config.use(before.replace(core_url=there.url, service_secret="chat's own secret, long enough", **changes))
    try:
        yield there
    finally:
        config.use(before)
        there.close()
        siblings.close()
