"""The ASGI application: sockets, health, metrics and the page here; everything else by Django's threads."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from doran.contracts.errors import Problem
from doran.kernel import asyncapi, origins, telemetry
from doran.kernel.addresses import is_trusted
from doran.kernel.constant import Constant
from doran.server.page import Page, send_constant

if TYPE_CHECKING:
    from doran.server.demo import Door
    from doran.server.wiring import House

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_SAFE: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
]
_SMALL = 1024
_HSTS = (b"strict-transport-security", b"max-age=31536000")
_HANG_UP = (b"connection", b"close")  # or a proxy would send the next request into a closing connection
_VARY = (b"vary", b"origin")
_COME_BACK: Headers = [(b"retry-after", b"1")]
_CORS_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_CORS_HEADERS = (
    b"authorization, baggage, cache-control, content-type, doran-reason, idempotency-key, if-match, if-none-match, "
    b"last-event-id, traceparent, tracestate"
)
_CORS_EXPOSED = b"allow, etag, location, retry-after, www-authenticate"
_FOR_MACHINES = frozenset({"/health/live", "/health/ready", "/metrics"})
_FORWARDING = frozenset({
    b"forwarded", b"via", b"cdn-loop", b"client-ip", b"true-client-ip", b"x-client-ip", b"x-real-ip", b"x-remote-ip",
    b"x-remote-addr", b"x-originating-ip", b"x-cluster-client-ip", b"x-original-forwarded-for", b"x-original-host",
    b"x-envoy-external-address", b"x-envoy-original-path", b"x-azure-clientip", b"x-appengine-user-ip", b"x-amzn-trace-id",
    b"cf-connecting-ip", b"cf-connecting-ipv6", b"cf-ray", b"fastly-client-ip", b"fly-client-ip",
})  # fmt: skip
"""Headers that proxies add, beside all that begin with `x-forwarded`."""


class Application:
    """One callable for uvicorn; wakes the house on lifespan startup and puts it to rest on shutdown."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._page = Page()
        self._demo: Door | None = None
        self._hosts = _own_hosts(house.config)
        self._raw = {
            "/health/live": self._live,
            "/health/ready": self._ready,
            "/metrics": self._metrics,
            "/asyncapi.json": self._asyncapi,
        }

    def open_demo(self, door: Door) -> None:
        """Let the welcome page log in as the demo's people by a button, where the door is one of this machine."""
        if door.is_of_this_machine:
            self._demo, self._page = door, Page(head=door.head)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._lifespan(receive, send)
        if not self._is_our_host(scope) and not _is_for_machines(scope):
            return await _refuse_host(scope, receive, send)
        if scope["type"] == "websocket":
            return await self._socket(scope, receive, send)
        if self._house.config.trusted_proxies:
            scope["scheme"] = self._seen_scheme(scope)
        await self._http(scope, receive, self._guarded(scope, send))

    # -- life ------------------------------------------------------------------------------------

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._house.start()
        except Exception as wrong:
            self._house.failure = wrong  # whoever runs the house says why, in their own words
            return await send({"type": "lifespan.startup.failed", "message": type(wrong).__name__})
        try:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        finally:  # also when the server above is cancelled
            await self._house.stop()
        await send({"type": "lifespan.shutdown.complete"})

    # -- sockets -----------------------------------------------------------------------------------

    def _socket(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        chat, path = self._house.chat, scope["path"].rstrip("/")
        is_door = path == "/ws" or path.startswith("/ws/chat/")
        if chat is None or not self._house.has_front or not is_door:
            return _refuse_socket(receive, send)
        conversation_id = path.removeprefix("/ws/chat/") if path != "/ws" else None
        return chat.socket(scope, receive, send, conversation_id=conversation_id)

    # -- HTTP --------------------------------------------------------------------------------------

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if _is_preflight(scope) and self._allowed_origin(scope):
            return await _answer(send, 204, b"", b"text/plain")
        raw = self._raw.get(path.rstrip("/"))
        if raw is not None and scope["method"] in ("GET", "HEAD"):
            return await raw(scope, send)
        if not self._house.has_front:
            return await _refuse(send, Problem("not_found"))
        if await self._page.serve(scope, send):
            return None
        if self._demo is not None and path == self._demo.PATH:
            return await self._demo_login(self._demo, scope, receive, send)
        if self._house.ai is not None and self._house.ai.streams.are_asked(scope):
            return await self._house.ai.streams.serve(scope, receive, send)
        await self._house.pools(scope, receive, send)

    async def _demo_login(self, door: Door, scope: Scope, receive: Receive, send: Send) -> None:
        """How to log in as one of the demo's people, for a page of ours in a browser on this machine."""
        is_inside = _is_direct_from_here(scope) and _is_loopback(_host_name(_header(scope, b"host") or ""))
        origin = _header(scope, b"origin")
        is_ours = origin is None or origin == f"http://{_header(scope, b'host')}"
        # A form of another page cannot say this kind, and a script there is asked for its origin first.
        is_json = (_header(scope, b"content-type") or "").startswith("application/json")
        login = door.login(await _small_body(receive)) if is_inside and is_ours and is_json else None
        if scope["method"] != "POST" or login is None:
            return await _refuse(send, Problem("not_found"))
        await _answer_json(send, 200, login)

    async def _live(self, _scope: Scope, send: Send) -> None:
        await _answer_json(send, 200, {"status": "ok"})

    async def _ready(self, _scope: Scope, send: Send) -> None:
        if self._house.is_leaving:
            return await _answer_json(send, 503, {"status": "draining", "dependencies": {}}, _COME_BACK)
        is_ready, found = await asyncio.to_thread(telemetry.health.ready)
        body = {"status": "ok" if is_ready else "failing", "dependencies": found}
        await _answer_json(send, 200 if is_ready else 503, body, [] if is_ready else _COME_BACK)

    async def _metrics(self, scope: Scope, send: Send) -> None:
        """Numbers only; still, only this machine under a name of its own, or who has the token, may read them."""
        if not self._may_read_metrics(scope):
            return await _refuse(send, Problem("not_found"))
        body, kind = await asyncio.to_thread(telemetry.render)
        await _answer(send, 200, body, kind.encode())

    def _may_read_metrics(self, scope: Scope) -> bool:
        token = self._house.config.metrics_token
        if token:
            said = _header(scope, b"authorization") or ""
            return hmac.compare_digest(said.encode(), f"Bearer {token}".encode())
        return _is_direct_from_here(scope) and self._is_our_host(scope)

    async def _asyncapi(self, scope: Scope, send: Send) -> None:
        await send_constant(_described(), scope, send)

    # -- what surrounds every answer -----------------------------------------------------------------

    def _guarded(self, scope: Scope, send: Send) -> Send:
        """Every answer carries the headers that keep browsers careful, unless it has its own."""
        headers = list(_SAFE)
        if self._house.is_leaving:
            headers.append(_HANG_UP)
        if self._house.config.production:
            headers.append(_HSTS)
        if self._house.config.allowed_origins:
            headers.append(_VARY)
        if origin := self._allowed_origin(scope):
            headers += _cors(origin)

        async def guarded(event: MutableMapping[str, Any]) -> None:
            if event["type"] == "http.response.start":
                own = list(event.get("headers", ()))
                event = {**event, "headers": _with(headers + _embedding(own, allowed=origin is not None), own=own)}
            await send(event)

        return guarded

    def _allowed_origin(self, scope: Scope) -> str | None:
        origin = _header(scope, b"origin")
        return origin if origin in self._house.config.allowed_origins else None

    def _seen_scheme(self, scope: Scope) -> str:
        """Return http or https as the client used it, by the word of a trusted proxy."""
        client = scope.get("client") or ("", 0)
        said = (_header(scope, b"x-forwarded-proto") or "").partition(",")[0].strip().lower()
        is_said = said in ("http", "https") and is_trusted(client[0], trusted=self._house.config.trusted_proxies)
        return said if is_said else str(scope["scheme"])

    def _is_our_host(self, scope: Scope) -> bool:
        """A page of somebody else's name that points here must not reach us (DNS rebinding)."""
        name = _host_name(_header(scope, b"host") or "")
        return name in self._hosts or _is_address(name)


@cache
def _described() -> Constant:
    headers = {"content-type": "application/json", "cache-control": "public, max-age=300"}
    return Constant(msgspec.json.encode(asyncapi.document()), headers)


def _own_hosts(config: Any) -> frozenset[str]:
    among_us = (config.url, config.core_url, config.chat_url, config.ai_url)
    ours = {"localhost", config.host.lower(), *(_host_name(urlsplit(url).netloc) for url in among_us)}
    return frozenset({*ours, *config.allowed_hosts} - {""})


def _host_name(host: str) -> str:
    """Return the name in a Host header; empty where it is none, or longer than any, so that nobody fills the memory."""
    return _kept_name(host) if len(host) <= origins.LONGEST else ""


@lru_cache(maxsize=1024)
def _kept_name(host: str) -> str:
    try:
        return origins.host_name(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return ""


def _is_for_machines(scope: Scope) -> bool:
    """Probes and scrapers name us by an address or a name of their own network."""
    is_read = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
    return is_read and scope["path"].rstrip("/") in _FOR_MACHINES


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_direct_from_here(scope: Scope) -> bool:
    """From this machine, and not for somebody else by a proxy on it."""
    client = scope.get("client") or ("", 0)
    is_forwarded = any(name in _FORWARDING or name.startswith(b"x-forwarded") for name, _ in scope["headers"])
    return not is_forwarded and _is_address(client[0]) and ipaddress.ip_address(client[0]).is_loopback


def _is_loopback(name: str) -> bool:
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


async def _small_body(receive: Receive) -> bytes:
    """A body of a few words; of a longer one no more than its beginning is kept."""
    body, more = b"", True
    while more and len(body) <= _SMALL:
        event = await receive()
        body += event.get("body", b"")
        more = event["type"] == "http.request" and event.get("more_body", False)
    return body[:_SMALL]


async def _refuse_socket(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 4404})


async def _refuse_host(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        return await _refuse_socket(receive, send)
    detail = "This server does not answer to that host name; the operator can add it to DORAN_ALLOWED_HOSTS."
    await _refuse(send, Problem("bad_request", detail))


def _with(headers: Headers, *, own: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return an answer's own headers with those of every answer behind them; both may name what it varies by."""
    by_name = dict(own)
    varies = [one[b"vary"] for one in (by_name, dict(headers)) if b"vary" in one]
    kept = [one for one in own if one[0] != b"vary"]
    kept += [one for one in headers if one[0] not in by_name and one[0] != b"vary"]
    return [*kept, (b"vary", b", ".join(varies))] if varies else kept


def _embedding(own: Headers, *, allowed: bool) -> Headers:
    """Say of an answer that nobody may keep that no page of another origin may embed it, unless it may read it anyway."""
    is_private = any(name == b"cache-control" and b"no-store" in value for name, value in own)
    who = b"cross-origin" if allowed else b"same-origin"
    return [(b"cross-origin-resource-policy", who)] if is_private else []


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and _header(scope, b"access-control-request-method") is not None


def _cors(origin: str) -> Headers:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-methods", _CORS_METHODS),
        (b"access-control-allow-headers", _CORS_HEADERS),
        (b"access-control-expose-headers", _CORS_EXPOSED),
        (b"access-control-max-age", b"600"),
    ]


def _header(scope: Scope, name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


async def _refuse(send: Send, problem: Problem) -> None:
    body = msgspec.json.encode(problem.body(trace_id=telemetry.trace_id()))
    await _answer(send, problem.kind.status, body, b"application/problem+json")


async def _answer_json(send: Send, status: int, body: Any, headers: Headers | None = None) -> None:
    await _answer(send, status, msgspec.json.encode(body), b"application/json", headers)


async def _answer(send: Send, status: int, body: bytes, kind: bytes, more: Headers | None = None) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    headers += more or []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
