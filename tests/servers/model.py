"""A model server that answers as it is told, badly if need be: Chat Completions, Embeddings and Anthropic's Messages.

    with scripted_model() as model:
        model.answer = lambda asked: "네, 좋아요."                 # or several pieces, or an `Answer` with its faults
        model.next.append(Answer(status=429, retry_after=2))      # what the next request gets instead
        ... staged(services=("core", "chat", "ai"), ai_providers=model.toml(outside=True))
        assert model.asked[0].words ...                            # everything it was given to read

Nothing is random: the same requests get the same answers. It obeys whatever `answer` decides, so an `answer` that does
what the text says is the obedient model of which injection tests are afraid.
"""

from __future__ import annotations

import hashlib
import json
import math
import select
import socket
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Literal

DIMENSIONS: Final = 32
KEY: Final = "only the model knows this key"


@dataclass(frozen=True)
class Asked:
    """One request as it arrived; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float = field(default_factory=time.monotonic)

    @property
    def wire(self) -> Literal["openai", "anthropic", "embeddings"]:
        if self.path.endswith("/embeddings"):
            return "embeddings"
        return "anthropic" if self.path.endswith("/messages") else "openai"

    @property
    def system(self) -> str:
        """What the deployment tells the model, apart from what people wrote."""
        given = self.body.get("system", "")
        said = [turn["content"] for turn in self.body.get("messages", ()) if turn["role"] in ("system", "developer")]
        return "\n".join([_text(given), *map(_text, said)]).strip()

    @property
    def turns(self) -> list[tuple[str, str]]:
        """Role and text, in order, the system's aside."""
        turns = self.body.get("messages", ())
        return [(turn["role"], _text(turn["content"])) for turn in turns if turn["role"] in ("user", "assistant")]

    @property
    def texts(self) -> list[str]:
        """What is to be embedded."""
        given = self.body.get("input", ())
        return [given] if isinstance(given, str) else list(given)

    @property
    def words(self) -> str:
        """Everything that this request gave away."""
        return "\n".join([self.system, *(text for _, text in self.turns), *self.texts])

    @property
    def schema(self) -> dict[str, Any] | None:
        wanted = self.body.get("response_format", {}).get("json_schema", {})
        found: dict[str, Any] | None = wanted.get("schema")
        return found


@dataclass(frozen=True)
class Answer:
    """An answer and what goes wrong with it.

    `pieces` come one event each, `drip` seconds apart. `hang` is the number of pieces after which nothing more is said
    (0: not even the headers; the connection stays open), `cut` after which the line breaks, `garbage` after which an
    event comes that is no JSON. `usage` None leaves it out. `raw` is sent instead of HTTP, `body` instead of an error's.
    """

    pieces: Sequence[str] = ()
    status: int = 200
    retry_after: str | float | None = None
    error: str = ""
    body: bytes | None = None
    end: str | None = "stop"
    usage: tuple[Any, Any] | None = (11, 7)
    drip: float = 0.0
    hang: int | None = None
    cut: int | None = None
    garbage: int | None = None
    has_mark: bool = True
    stays: bool = False
    raw: bytes | None = None


Answers = Callable[[Asked], "str | Sequence[str] | Answer"]


class ModelServer:
    """`next` are the answers to the next requests, one each; then `answer` decides. `embed` makes the vectors.

    `gone` counts those who left before their answer was whole.
    """

    def __init__(self) -> None:
        self.answer: Answers = lambda asked: "네."
        self.embed: Callable[[str], Sequence[float]] = vector
        self.next: list[str | Sequence[str] | Answer] = []
        self.asked: list[Asked] = []
        self.gone = 0
        self.under_way = 0
        self.changed = threading.Condition()
        self.closed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _door(self))
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def toml(
        self,
        name: str = "scripted",
        *,
        wire: str = "openai",
        outside: bool = False,
        model: str = "story-1",
        embedding_model: str = "",
        context_tokens: int = 8192,
        price: tuple[float, float] = (0, 0),
        more: str = "",
    ) -> str:
        """This server as one entry of the setting `ai_providers`. Prices are for a million tokens in and out."""
        lines = [
            "[[provider]]",
            f'name = "{name}"',
            f'wire = "{wire}"',
            f'url = "{self.url}"',
            f'key = "{KEY}"',
            f"outside = {str(outside).lower()}",
            f"context_tokens = {context_tokens}",
            f"price_in = {price[0]}",
            f"price_out = {price[1]}",
        ]
        lines += [f'model = "{model}"'] if model else []
        lines += [f'embedding_model = "{embedding_model}"'] if embedding_model else []
        return "\n".join([*lines, more, ""])

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def until(self, true: Callable[[ModelServer], bool], *, seconds: float = 20.0) -> None:
        """Wait for something that is seen here. For a thread; on a loop: `await asyncio.to_thread(model.until, …)`."""
        with self.changed:
            assert self.changed.wait_for(lambda: true(self), seconds), "the model did not see it in time"

    # -- what the door calls -------------------------------------------------------------------------

    def take(self, asked: Asked) -> Answer:
        with self.changed:
            self.asked.append(asked)
            self.under_way += 1
            planned = self.next.pop(0) if self.next else None
            self.changed.notify_all()
        said = self.answer(asked) if planned is None else planned
        if isinstance(said, Answer):
            return said
        return Answer(pieces=_pieces(said) if isinstance(said, str) else said)

    def ended(self, *, was_whole: bool) -> None:
        with self.changed:
            self.under_way -= 1
            self.gone += not was_whole
            self.changed.notify_all()


@contextmanager
def scripted_model() -> Iterator[ModelServer]:
    """One that listens on this machine until the block ends."""
    model = ModelServer()
    try:
        yield model
    finally:
        model.close()


def vector(text: str) -> list[float]:
    """Texts that share pairs of letters lie near each other; of length 1."""
    letters = "".join(unicodedata.normalize("NFC", text).casefold().split())
    sums = [0.0] * DIMENSIONS
    for pair in zip(f" {letters}", letters, strict=False):
        digest = hashlib.blake2b("".join(pair).encode(), digest_size=2).digest()
        sums[digest[0] % DIMENSIONS] += 1.0 if digest[1] & 1 else -1.0
    length = math.sqrt(sum(one * one for one in sums))
    return [one / length for one in sums] if length else [1.0] + [0.0] * (DIMENSIONS - 1)


def _pieces(text: str) -> list[str]:
    """As models do it: a few letters at a time."""
    return [text[at : at + 3] for at in range(0, len(text), 3)]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


# -- the wires -------------------------------------------------------------------------------------------


def _openai(asked: Asked, answer: Answer) -> Iterator[bytes | None]:
    """Events of Chat Completions; None where a piece of the answer begins."""
    yield _chunk({"role": "assistant", "content": ""})
    for piece in answer.pieces:
        yield None
        yield _chunk({"content": piece})
    yield None
    if answer.end == "refusal":
        yield _chunk({"refusal": "I'm sorry, I cannot help with that."})
    reason = "content_filter" if answer.end == "filtered" else "length" if answer.end == "length" else "stop"
    if answer.end:
        yield _chunk({}, finish_reason=reason)
    if answer.usage and asked.body.get("stream_options", {}).get("include_usage"):
        spent = {"prompt_tokens": answer.usage[0], "completion_tokens": answer.usage[1]}
        yield _event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [], "usage": spent})
    if answer.has_mark and not answer.stays:
        yield b"data: [DONE]\n\n"


def _chunk(delta: dict[str, Any], *, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "story-1", "choices": [choice]})


def _anthropic(_asked: Asked, answer: Answer) -> Iterator[bytes | None]:
    """Events of Messages; None where a piece of the answer begins."""
    tokens_in, tokens_out = answer.usage or (0, 0)
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "story-1"}
    begun = {"input_tokens": tokens_in, "output_tokens": 1}
    yield _named("message_start", message={**message, "stop_reason": None, "usage": begun})
    yield _named("content_block_start", index=0, content_block={"type": "text", "text": ""})
    yield _named("ping")
    for piece in answer.pieces:
        yield None
        yield _named("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
    yield None
    yield _named("content_block_stop", index=0)
    if answer.end:
        reason = {"stop": "end_turn", "length": "max_tokens", "filtered": "refusal"}.get(answer.end, answer.end)
        yield _named("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": tokens_out})
    if answer.has_mark and not answer.stays:
        yield _named("message_stop")


def _named(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\n".encode() + _event({"type": kind, **more})


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def _error(asked: Asked, answer: Answer) -> bytes:
    code = answer.error or {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(answer.status, "server_error")
    if asked.wire == "anthropic":
        return json.dumps({"type": "error", "error": {"type": code, "message": f"No: {code}"}}).encode()
    return json.dumps({"error": {"message": f"No: {code}", "type": code, "code": code}}).encode()


def _whole(asked: Asked, answer: Answer) -> bytes:
    """An answer that is not streamed."""
    text, (tokens_in, tokens_out) = "".join(answer.pieces), answer.usage or (0, 0)
    if asked.wire == "anthropic":
        spent = {"input_tokens": tokens_in, "output_tokens": tokens_out}
        content = [{"type": "text", "text": text}]
        return json.dumps({"id": "msg_1", "content": content, "stop_reason": "end_turn", "usage": spent}).encode()
    spent = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": answer.end}
    return json.dumps({"id": "chatcmpl-1", "choices": [choice], "usage": spent}, ensure_ascii=False).encode()


# -- the door --------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Who hangs up on us has said enough."""


class _Left(Exception):
    """Who asked is gone, or we are told to break off."""


def _door(model: ModelServer) -> type[BaseHTTPRequestHandler]:
    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.path, headers, json.loads(body))
            was_whole = False
            try:
                answer = model.take(asked)
                self._answer(asked, answer)
                was_whole = True
            except (_Left, OSError):
                self.close_connection = True
            finally:
                model.ended(was_whole=was_whole)

        def _answer(self, asked: Asked, answer: Answer) -> None:
            if answer.hang == 0:
                self._hang()
            if answer.raw is not None:
                self.wfile.write(answer.raw)
                self.close_connection = True
            elif answer.status != 200:
                self._say(answer, answer.body if answer.body is not None else _error(asked, answer))
            elif asked.wire == "embeddings":
                self._say(answer, _embedded(asked, answer) if answer.body is None else answer.body)
            elif not asked.body.get("stream"):
                self._say(answer, _whole(asked, answer))
            else:
                self._stream((_anthropic if asked.wire == "anthropic" else _openai)(asked, answer), answer)

        def _say(self, answer: Answer, body: bytes) -> None:
            self.send_response(answer.status)
            self._own_headers(answer)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _stream(self, events: Iterable[bytes | None], answer: Answer) -> None:
            self.send_response(200)
            self._own_headers(answer)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            said = 0
            for event in events:
                if event is None:
                    self._misbehave(answer, said)
                    said += 1
                else:
                    self._chunk(event)
            if answer.stays:
                self._hang()
            self._chunk(b"")

        def _misbehave(self, answer: Answer, said: int) -> None:
            if answer.hang == said:
                self._hang()
            if answer.cut == said:
                raise _Left
            if answer.garbage == said:
                self._chunk(b'data: {"choices": [{"delta": {"content": "\n\n')
            if answer.drip:
                self._watch(answer.drip)

        def _chunk(self, data: bytes) -> None:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

        def _own_headers(self, answer: Answer) -> None:
            self.send_header("request-id", f"req_{len(model.asked)}")
            if answer.retry_after is not None:
                self.send_header("Retry-After", str(answer.retry_after))

        def _hang(self) -> None:
            while True:
                self._watch(60)

        def _watch(self, seconds: float) -> None:
            """Wait, but not for somebody who is gone."""
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                if select.select([self.connection], [], [], min(left, 0.02))[0] and not self._is_there():
                    raise _Left
                if model.closed.is_set():
                    raise _Left

        def _is_there(self) -> bool:
            return bool(self.connection.recv(1, socket.MSG_PEEK))

        def log_message(self, *_: object) -> None:
            pass

    def _embedded(asked: Asked, answer: Answer) -> bytes:
        rows = [
            {"object": "embedding", "index": at, "embedding": list(model.embed(text))}
            for at, text in enumerate(asked.texts)
        ]
        spent = {"prompt_tokens": (answer.usage or (0, 0))[0], "total_tokens": (answer.usage or (0, 0))[0]}
        return json.dumps({"object": "list", "data": rows, "model": asked.body.get("model"), "usage": spent}).encode()

    return Door
