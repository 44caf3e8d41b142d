"""A token with many roles travels by header and by frame, straight and through each proxy as we ship it."""

from __future__ import annotations

import json
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.sync.client import connect

from tests.house.deployment import DEPLOY, tool
from tests.house.running import running
from tests.house.test_scale import _listens, _proxied, _trusting
from tests.kernel.issuers import THEIRS, Issuer, serving
from tests.servers.haproxy import haproxy
from tests.stage import eventually

pytestmark = pytest.mark.timeout(240)

NAME = "chat.example.com"


class Way(NamedTuple):
    """A way to the server: a port of this machine, spoken to by TLS or not."""

    port: int
    is_secure: bool

    def asks(self, token: str) -> tuple[int, str]:
        kind: Any = HTTPSConnection if self.is_secure else HTTPConnection
        more = {"context": _trusting()} if self.is_secure else {}
        there = kind("127.0.0.1", self.port, timeout=20, **more)
        headers = {"Host": NAME, "Authorization": f"Bearer {token}"}
        there.request("GET", "/api/chat/users/me/conversations/", headers=headers)
        answer = there.getresponse()
        said = answer.read().decode()
        there.close()
        return answer.status, said

    def opens(self, **headers: str) -> Any:
        tls: ssl.SSLContext | None = _trusting() if self.is_secure else None
        there = socket.create_connection(("127.0.0.1", self.port))
        where = f"{'wss' if self.is_secure else 'ws'}://{NAME}/ws/"
        return connect(where, sock=there, ssl=tls, additional_headers=headers, max_size=None)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def caddy(folder: Path, address: str) -> Iterator[int]:
    """Our Caddyfile, without a certificate of the public."""
    program, port = tool("caddy"), free_port()
    text = (DEPLOY / "Caddyfile").read_text("utf-8").replace("doran:8000", address)
    text = text.replace("{$DOMAIN}", f"http://{NAME}:{port}")
    (folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text)
    process = subprocess.Popen(
        [program, "run", "--adapter", "caddyfile", "--config", folder / "Caddyfile"],
        env={"HOME": str(folder), "XDG_DATA_HOME": str(folder)}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield port
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def way(proxy: str, folder: Path, url: str) -> Iterator[Way]:
    address = url.removeprefix("http://")
    with ExitStack() as stack:
        if proxy == "nginx":
            yield Way(stack.enter_context(_proxied(folder, url)), is_secure=True)
        elif proxy == "caddy":
            yield Way(stack.enter_context(caddy(folder, address)), is_secure=False)
        elif proxy == "haproxy":
            tool("haproxy")
            port, names = free_port(), ("core_1", "chat_1", "chat_2", "ai_1")
            there = dict.fromkeys(names, address)
            stack.enter_context(haproxy(folder / "haproxy.log", front=f"127.0.0.1:{port}", **there))
            yield Way(port, is_secure=False)
        else:
            yield Way(int(address.rpartition(":")[2]), is_secure=False)


def token(issuer: Issuer, size: int) -> str:
    said = {"sub": "junho", "aud": "chat"}
    room = size - len(issuer.says(**said, roles=""))
    return issuer.says(**said, roles="r" * (room * 3 // 4))


@pytest.mark.parametrize("proxy", ["none", "nginx", "caddy", "haproxy"])
async def test_a_long_token_gets_through(proxy: str, tmp_path: Path) -> None:
    theirs = Issuer(THEIRS)

    def publish(page: BaseHTTPRequestHandler) -> None:
        page.send_response(200)
        page.end_headers()
        page.wfile.write(theirs.key_set())

    with serving(publish) as (address, _):
        provider = {
            "DORAN_FOREIGN_ISSUER": THEIRS, "DORAN_FOREIGN_JWKS_URL": address, "DORAN_FOREIGN_AUDIENCE": "chat",
            "DORAN_FOREIGN_PEOPLE": "yes", "DORAN_ALLOWED_HOSTS": f"{NAME},localhost", "DORAN_TRUSTED_PROXIES": "127.0.0.1",
        }  # fmt: skip
        with running(folder=tmp_path, **provider) as server, way(proxy, tmp_path, server.url) as there:
            await eventually(lambda: _listens(there.port))
            await eventually(lambda: there.asks(token(theirs, 1000))[0] == 200)
            for size in (9 * 1024, 16 * 1024):
                longest = token(theirs, size)
                assert there.asks(longest)[0] == 200
                with there.opens(Authorization=f"Bearer {longest}") as screen:
                    assert json.loads(screen.recv(timeout=10))["type"] == "ready"
                with there.opens() as screen:
                    screen.send(json.dumps({"type": "auth", "token": longest}))
                    assert json.loads(screen.recv(timeout=10))["type"] == "ready"
                    screen.send(json.dumps({"type": "auth", "token": longest, "ref": 2}))
                    assert json.loads(screen.recv(timeout=10))["ref"] == 2
            status, said = there.asks(token(theirs, 17 * 1024))
            assert (status, json.loads(said)["code"]) == (401, "not_authenticated")
            assert re.search("too long: at most 16384", said)
