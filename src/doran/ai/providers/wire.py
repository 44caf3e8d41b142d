"""One model server over HTTP: questions as JSON, answers as JSON or as server-sent events, and what a refusal means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple, TypeVar

import httpx2
import msgspec

from doran.ai.providers import Trouble

T = TypeVar("T")

LARGEST_EVENT: Final = 1 << 20
LARGEST_ANSWER: Final = 32 << 20
LARGEST_REFUSAL: Final = 1 << 16
IDLE_SECONDS: Final = 5.0
LINGER_SECONDS: Final = 2.0
TOKEN_LETTERS: Final = 32
"""No model's tokens are this long on average: a longer answer is that of a server which forgot where to stop."""

_PASSING: Final = frozenset({408, 409, 425, 429})
_TOO_LONG: Final = frozenset({"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"})
_TOO_LONG_SIGNS: Final = ("maximum context length", "prompt is too long", "context window", "context size")
_REFUSING: Final = frozenset({"content_filter", "content_policy_violation"})
_SPENT: Final = frozenset({"insufficient_quota", "billing_error"})
_CAN_GO_WITHOUT: Final = ("max_tokens", "temperature", "response_format", "stream_options")


class Event(NamedTuple):
    """One server-sent event."""

    name: str
    data: bytes


class Refused(Trouble):
    """The server said no, with this status. `names` are the parts of a question that it named as the reason."""

    def __init__(self, code: str, status: int, *, names: frozenset[str] = frozenset(), **more: Any) -> None:
        super().__init__(code, f"status {status}", **more)
        self.status, self.names = status, names


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that has begun. `request_id` is the server's own name for it."""

    request_id: str
    events: AsyncIterator[Event]


class Line:
    """The connections to one server. Belongs to one event loop; how long to wait is its caller's business.

    `headers` carry the key and go into nothing but requests.
    """

    def __init__(self, base: str, headers: Mapping[str, str], *, connect_seconds: float) -> None:
        self._base = base.rstrip("/")
        self._client = httpx2.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "doran", **headers},
            timeout=httpx2.Timeout(None, connect=connect_seconds),
            limits=httpx2.Limits(max_connections=None, keepalive_expiry=IDLE_SECONDS),
        )

    async def json(self, path: str, body: Mapping[str, Any], kind: type[T]) -> T:
        """The whole answer, of this type. Raises `Trouble`."""
        async with self._asked(path, body) as answer:
            whole = await _whole(answer, most=LARGEST_ANSWER)
        return decoded(whole, kind)

    @asynccontextmanager
    async def stream(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[Answer]:
        """The answer event by event; leaving the block early hangs up. Raises `Trouble`."""
        async with self._asked(path, body) as answer:
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                raise _unwell("it does not stream")
            yield Answer(_request_id(answer), _events(answer))

    async def close(self) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def _asked(self, path: str, body: Mapping[str, Any]) -> AsyncIterator[httpx2.Response]:
        headers = {"Content-Type": "application/json"}
        try:
            async with self._client.stream(
                "POST", self._base + path, content=msgspec.json.encode(body), headers=headers
            ) as answer:
                if answer.status_code != 200:
                    raise await _refusal(answer)
                yield answer
        except (httpx2.HTTPError, httpx2.InvalidURL) as wrong:
            raise _unwell(type(wrong).__name__) from None


def decoded(data: bytes, kind: type[T]) -> T:
    """JSON of this type, or `Trouble`: what else came is not repeated."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _unwell("not what its wire says") from None


def converted(raw: msgspec.Raw, kind: type[T]) -> T | None:
    """The same for a part that an answer can do without."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


async def last_words(rest: AsyncIterator[T]) -> list[T]:
    """What is said after the end, such as counts. Nobody waits long for it, and nothing fails for want of it."""
    heard: list[T] = []
    with suppress(TimeoutError, Trouble):
        async with asyncio.timeout(LINGER_SECONDS):
            async for one in rest:
                heard.append(one)
    return heard


def broke_off() -> Trouble:
    """The answer ended without saying so."""
    return _unwell("it broke off")


def said_error(word: str) -> Trouble:
    """An error told inside an answer that had begun well."""
    return Trouble(*_meaning(200, word, ""), is_passing=word not in _SPENT)


# -- events ----------------------------------------------------------------------------------------------


class Unfolding:
    """Bytes as they come, however cut, become events (the `event` and `data` fields of the HTML standard)."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that are whole by now. Raises `Trouble` for one without an end."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            yield from self._take(line.removesuffix(b"\r"))
        if len(self._rest) + sum(map(len, self._data)) > LARGEST_EVENT:
            raise _unwell("too long an event")

    def _take(self, line: bytes) -> Iterator[Event]:
        if not line:
            yield from self._whole()
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")

    def _whole(self) -> Iterator[Event]:
        if self._data:
            yield Event(self._name, b"\n".join(self._data))
        self._name, self._data = "", []


async def _events(answer: httpx2.Response) -> AsyncIterator[Event]:
    unfolding, size = Unfolding(), 0
    try:
        async for piece in answer.aiter_raw():  # as sent: nothing that could unfold into more
            size += len(piece)
            if size > LARGEST_ANSWER:
                raise _unwell("too much")
            for event in unfolding.feed(piece):
                yield event
    except httpx2.HTTPError as wrong:
        raise _unwell(type(wrong).__name__) from None


async def _whole(answer: httpx2.Response, *, most: int) -> bytes:
    body = bytearray()
    async for piece in answer.aiter_raw():
        body += piece
        if len(body) > most:
            raise _unwell("too much")
    return bytes(body)


# -- refusals --------------------------------------------------------------------------------------------


class _Error(msgspec.Struct):
    message: str = ""
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class _Refusal(msgspec.Struct):
    error: _Error


async def _refusal(answer: httpx2.Response) -> Refused:
    """What the status and the server's words mean for whoever asked. Its words go no further: they may quote ours."""
    status, said = answer.status_code, await _said(answer)
    words = {str(word).lower() for word in (said.code, said.type) if word}
    message = said.message.lower()
    code, _ = _meaning(status, *words, message=message)
    return Refused(
        code,
        status,
        names=frozenset(name for name in _CAN_GO_WITHOUT if name == said.param or name in message),
        is_passing=code == "provider_unavailable" and (status in _PASSING or status >= 500) and not words & _SPENT,
        retry_after=_wish(answer.headers),
    )


async def _said(answer: httpx2.Response) -> _Error:
    try:
        body = await _whole(answer, most=LARGEST_REFUSAL)
        return msgspec.json.decode(body, type=_Refusal).error
    except (Trouble, msgspec.DecodeError, UnicodeDecodeError, httpx2.HTTPError):
        return _Error()


def _meaning(status: int, *words: str, message: str = "") -> tuple[str, str]:
    if status == 413 or not _TOO_LONG.isdisjoint(words) or any(sign in message for sign in _TOO_LONG_SIGNS):
        return "too_long", "it reads less at once"
    if not _REFUSING.isdisjoint(words):
        return "provider_refused", "it refuses the question"
    return "provider_unavailable", f"status {status}"


def _wish(headers: httpx2.Headers) -> float | None:
    """How long the server wants to be left alone, in seconds."""
    said = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(said)
    except (ValueError, TypeError):
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _request_id(answer: httpx2.Response) -> str:
    said = answer.headers.get("x-request-id") or answer.headers.get("request-id") or ""
    return said[:128] if said.isprintable() else ""


def _unwell(reason: str) -> Trouble:
    return Trouble("provider_unavailable", reason, is_passing=True)
