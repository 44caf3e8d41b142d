"""HTTP and WebSocket calls at the ASGI border: no port, no client library in between."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

HOST = (b"host", b"localhost")
LONGEST_FRAME = 262_144


@dataclass(frozen=True, slots=True)
class Answer:
    """What a REST call answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The problem's stable word."""
        return str(self.json["code"])


async def call(
    app: Any,
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: dict[str, str] | None = None,
    raw: bytes | None = None,
    client: str = "127.0.0.1",
    host: str = "localhost",
) -> Answer:
    """One request. `body` is sent as JSON; `raw` as it is."""
    content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
    where, _, query = path.partition("?")
    named = {"content-type": "application/json", **(headers or {})} if content else (headers or {})
    scope = {
        "type": "http", "method": method, "path": where, "raw_path": where.encode(), "query_string": query.encode(),
        "root_path": "", "scheme": "http", "http_version": "1.1", "client": (client, 1), "server": ("localhost", 80),
        "headers": [(b"host", host.encode()),
                    *((key.lower().encode(), value.encode("latin-1")) for key, value in named.items()),
                    *([(b"content-length", str(len(content)).encode())] if content else [])],
    }  # fmt: skip
    said = [{"type": "http.request", "body": content, "more_body": False}]
    heard: list[dict[str, Any]] = []
    finished = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if said:
            return said.pop(0)
        await finished.wait()
        return {"type": "http.disconnect"}

    async def send(event: dict[str, Any]) -> None:
        heard.append(event)

    await app(scope, receive, send)
    finished.set()
    start = next(event for event in heard if event["type"] == "http.response.start")
    pieces = [event.get("body", b"") for event in heard if event["type"] == "http.response.body"]
    return Answer(
        start["status"], {key.decode(): value.decode("latin-1") for key, value in start["headers"]}, b"".join(pieces)
    )


def refuses(answer: Answer, status: int, code: str, *fields: str) -> dict[str, Any]:
    """Check a refusal: its status, its stable word, that it is a problem, and which fields it names."""
    problem: dict[str, Any] = answer.json
    assert (answer.status, problem["code"]) == (status, code), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert [error["field"] for error in problem.get("errors", [])] == list(fields), problem
    assert status != 401 or answer.headers["www-authenticate"].startswith("Bearer")
    assert status not in (429, 503) or int(answer.headers["retry-after"]) >= 1
    return problem


class Closed(Exception):
    """The server closed the socket."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(str(code))


class Socket:
    """A client's end of one WebSocket, as frames."""

    def __init__(
        self,
        app: Any,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        query: str = "",
        address: str = "127.0.0.1",
    ) -> None:
        self._to_server: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_server: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {
            "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "scheme": "ws", "extensions": {"websocket.http.response": {}}, "client": (address, 1), "server": ("localhost", 80), "subprotocols": [],
            "headers": [HOST, *((key.lower().encode(), value.encode()) for key, value in (headers or {}).items())],
        }  # fmt: skip
        self.is_reading = asyncio.Event()
        self.is_reading.set()
        self._to_server.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.ensure_future(app(scope, self._to_server.get, self._heard))
        self.close_code: int | None = None

    async def _heard(self, event: dict[str, Any]) -> None:
        await self.is_reading.wait()
        self._from_server.put_nowait(event)

    async def accepted(self) -> Socket:
        """The handshake was answered. Raises `Closed` if it was refused, with the status where there is one."""
        event = await self._next_event()
        if event["type"] == "websocket.http.response.start":
            raise Closed(event["status"])
        assert event["type"] == "websocket.accept", event
        return self

    def says(self, frame: dict[str, Any] | None = None, **fields: Any) -> None:
        self.says_text(json.dumps({**(frame or {}), **fields}))

    def says_text(self, text: str) -> None:
        self._to_server.put_nowait({"type": "websocket.receive", "text": text})

    def says_bytes(self, data: bytes) -> None:
        self._to_server.put_nowait({"type": "websocket.receive", "bytes": data})

    async def hears(self, kind: str | None = None, *, seconds: float = 20.0) -> dict[str, Any]:
        """The next frame, or the next of this kind, skipping others. Raises `Closed`."""
        async with asyncio.timeout(seconds):
            while True:
                event = await self._next_event()
                assert len(event["text"].encode()) <= LONGEST_FRAME, event["text"][:100]
                frame: dict[str, Any] = json.loads(event["text"])
                if kind is None or frame["type"] == kind:
                    return frame

    async def hears_nothing_before_pong(self) -> list[dict[str, Any]]:
        """Everything that was on its way: what arrives before the answer to a ping."""
        self.says(type="ping", ref="all?")
        heard: list[dict[str, Any]] = []
        while (frame := await self.hears())["type"] != "pong":
            heard.append(frame)
        return heard

    async def is_closed(self, *, seconds: float = 20.0) -> int:
        """The code with which the server closes, skipping what it says before."""
        try:
            while True:
                await self.hears(seconds=seconds)
        except Closed as closed:
            return closed.code

    async def leaves(self, code: int = 1000) -> None:
        """Close from this side and wait until the server is done with the socket."""
        self._to_server.put_nowait({"type": "websocket.disconnect", "code": code})
        await asyncio.wait([self._task], timeout=20)

    async def _next_event(self) -> dict[str, Any]:
        if self.close_code is not None:
            raise Closed(self.close_code)
        getting = asyncio.ensure_future(self._from_server.get())
        await asyncio.wait({getting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not getting.done() and self._from_server.empty():
            getting.cancel()
            self._task.result()
            raise Closed(0)
        event = await getting
        if event["type"] == "websocket.close":
            self.close_code = event.get("code", 1000)
            raise Closed(self.close_code)
        return event
