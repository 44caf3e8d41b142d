"""Attacks that need a real port: frames too long, clients that never read, sockets that never speak."""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from doran.kernel.config import Config
from tests.journeys.town import PASSWORD, served
from tests.stage import eventually


class Member:
    """민지 or 준호 at the port."""

    def __init__(self, config: Config, username: str) -> None:
        self.config = config
        named = {"username": username, "password": PASSWORD}
        self.token = ""
        self.id: str = self.asks("/api/core/users/", named)["id"]
        self.token = self.asks("/api/core/tokens/", named)["access_token"]

    def asks(self, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self.token}"} if self.token else {}
        )
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(
            urllib.request.Request(self.config.url + path, data, headers), timeout=10
        ) as answer:
            return json.load(answer)

    async def opens(self, path: str = "/ws/", **more: Any) -> ClientConnection:
        headers = {"Authorization": f"Bearer {self.token}"}
        where = f"ws://127.0.0.1:{self.config.port}{path}"
        opened = await websockets.connect(where, additional_headers=headers, max_size=None, proxy=None, **more)
        assert json.loads(await opened.recv())["type"] == "ready"
        return opened


@pytest.fixture(scope="module")
def config() -> Iterator[Config]:
    with served(send_queue_bytes=65_536, send_seconds=1.0, send_burst=10_000, frames_per_second=10_000) as config:
        yield config


@pytest.fixture(scope="module")
def people(config: Config) -> tuple[Member, Member, str]:
    minji, junho = Member(config, "minji"), Member(config, "junho")
    return minji, junho, minji.asks("/api/chat/conversations/", {"participant_id": junho.id})["id"]


People = tuple[Member, Member, str]


async def hears(opened: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while (frame := json.loads(await opened.recv()))["type"] != kind:
            pass
    return dict(frame)


async def ended(opened: ClientConnection) -> int | None:
    async with asyncio.timeout(10):
        await opened.wait_closed()
    return opened.close_code


@pytest.mark.parametrize("text", ["x" * 262_145, '{"type":"ping","ref":"' + "가" * 88_000 + '"}'])
async def test_a_frame_over_256_kib_closes_1009(people: People, text: str) -> None:
    opened = await people[0].opens()
    await opened.send(text)
    assert await ended(opened) == 1009


@pytest.mark.parametrize(("size", "code"), [(20_480, 4401), (20_481, 1009)])
async def test_before_ready_a_frame_may_be_20_kib(config: Config, size: int, code: int) -> None:
    opened = await websockets.connect(f"ws://127.0.0.1:{config.port}/ws/", proxy=None)
    await opened.send(json.dumps({"type": "auth", "token": "no token"}).ljust(size))
    assert await ended(opened) == code


async def test_who_knows_1700_conversations_may_say_so(people: People) -> None:
    opened = await people[0].opens()
    known = {str(uuid.uuid4()): 12345 for _ in range(1700)}
    await opened.send(json.dumps({"type": "sync", "known": known, "ref": 1}))
    assert (await hears(opened, "sync"))["ref"] == 1
    assert people[0].asks("/api/chat/sync/", {"known": known})["reset"]
    await opened.close()


async def test_a_frame_of_256_kib_is_read(people: People) -> None:
    opened = await people[0].opens()
    frame = {"type": "chat_message", "conversation_id": people[2], "content": "가"}
    await opened.send(json.dumps(frame).ljust(262_144))
    assert (await hears(opened, "ack"))["message"]["content"] == "가"
    await opened.close()


async def test_text_that_is_not_utf8_closes(people: People) -> None:
    opened = await people[0].opens()
    await opened.send(b"\xff\xfe", text=True)
    assert await ended(opened) == 1007


async def test_five_hundred_half_open_connections_keep_nobody_out(config: Config, people: People) -> None:
    """Half of them only connect, half go as far as an open socket that says nothing, until their share is used up."""
    silent = [await asyncio.open_connection("127.0.0.1", config.port) for _ in range(250)]
    asked = await asyncio.gather(
        *(websockets.connect(f"ws://127.0.0.1:{config.port}/ws/", proxy=None) for _ in range(250)),
        return_exceptions=True,
    )
    mute = [one for one in asked if isinstance(one, websockets.ClientConnection)]
    refused = [one.response for one in asked if isinstance(one, websockets.InvalidStatus)]
    assert (len(mute), len(refused)) == (64, 250 - 64)
    assert {(one.status_code, one.headers["Content-Type"]) for one in refused} == {(503, "application/problem+json")}
    assert all(int(one.headers["Retry-After"]) > 0 for one in refused)
    try:
        async with asyncio.timeout(30):
            opened = await people[0].opens()
            await opened.send(json.dumps({"type": "ping", "ref": 1}))
            assert (await hears(opened, "pong"))["ref"] == 1
            await asyncio.to_thread(people[1].asks, "/api/core/users/me/")
        await opened.close()
    finally:
        for _, writer in silent:
            writer.close()
        await asyncio.gather(*(one.close() for one in mute))


async def answered(config: Config, said: bytes) -> bytes:
    """What the server says to this before it hangs up, which it may do at any moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", config.port)
    try:
        async with asyncio.timeout(10):
            writer.write(said)
            writer.write_eof()
            return await reader.read()
    except TimeoutError:
        raise
    except OSError:
        return b""
    finally:
        writer.close()


MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "two lengths": b"POST /api/core/tokens/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
    "length and chunks": (
        b"POST /api/core/tokens/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ),
    "a negative length": b"POST /api/core/tokens/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "a broken chunk": (
        b"POST /api/core/tokens/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
    ),
    "a line in a header": b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    "endless headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "a socket without a key": (
        b"GET /ws/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\n\r\n"
    ),
    "a socket of an old kind": (
        b"GET /ws/ HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n"
    ),
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_what_is_no_proper_request_is_refused_and_hung_up_on(config: Config, people: People, what: str) -> None:
    answer = await answered(config, MALFORMED[what])
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:200]
    assert b"doran_build_info" not in answer
    await asyncio.to_thread(people[0].asks, "/api/core/users/me/")


async def test_a_client_that_never_reads_is_let_go_and_others_are_served(config: Config, people: People) -> None:
    minji, junho, talk = people
    before, stuck = let_go(config), await deaf(config, junho.token)
    hers, his = await minji.opens(), await junho.opens()
    try:
        for number in range(1200):
            content = f"{number}".ljust(4000, ".")
            await hers.send(json.dumps({"type": "chat_message", "conversation_id": talk, "content": content}))
            seq = (await hears(hers, "ack"))["message"]["seq"]
            assert (await hears(his, "chat_message"))["message"]["seq"] == seq
        await eventually(lambda: let_go(config) == before + 1)
    finally:
        stuck.close()
        await hers.close()
        await his.close()


@pytest.mark.parametrize(
    "head", [b"PROXY TCP4 203.0.113.7 127.0.0.1 1 80\r\n", b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c" + b"\x01" * 12]
)
def test_metrics_are_closed_to_what_a_proxy_announces_before_the_request(config: Config, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", config.port), timeout=10) as opened:
        opened.sendall(
            head + f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{config.port}\r\nConnection: close\r\n\r\n".encode()
        )
        heard = b"".join(iter(lambda: opened.recv(65_536), b""))
    assert heard.startswith(b"HTTP/1.1 400 ")
    assert b"doran_" not in heard


async def deaf(config: Config, token: str) -> socket.socket:
    """A socket that shook hands and from then on reads nothing."""
    opened = socket.create_connection(("127.0.0.1", config.port))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lines = [
        "GET /ws/ HTTP/1.1", f"Host: 127.0.0.1:{config.port}", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", f"Authorization: Bearer {token}", "", "",
    ]  # fmt: skip
    opened.sendall("\r\n".join(lines).encode())
    assert (await asyncio.to_thread(opened.recv, 12)) == b"HTTP/1.1 101"
    return opened


def let_go(config: Config) -> float:
    """How many sockets were too slow so far, as the metrics say."""
    with urllib.request.urlopen(f"{config.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith('doran_ws_closes_total{code="4408"}'))
