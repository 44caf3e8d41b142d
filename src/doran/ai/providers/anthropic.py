"""Messages: Anthropic's wire. It makes no embeddings, and takes the form of an answer as an instruction."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Final

import msgspec

from doran.ai.providers import (
    About,
    Completion,
    Embedded,
    End,
    EndReason,
    Piece,
    Text,
    Trouble,
    Usage,
    instructed,
    thinking,
)
from doran.ai.providers.wire import (
    TOKEN_LETTERS,
    Answer,
    Event,
    Line,
    Refused,
    broke_off,
    converted,
    decoded,
    last_words,
    said_error,
)

VERSION: Final = "2023-06-01"
_ENDS: Final[Mapping[str, EndReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class _Spent(msgspec.Struct):
    """Tokens read from a cache are read all the same."""

    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None

    @property
    def tokens_in(self) -> int | None:
        if self.input_tokens is None:
            return None
        return self.input_tokens + (self.cache_read_input_tokens or 0) + (self.cache_creation_input_tokens or 0)


class _Message(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Block(msgspec.Struct):
    type: str = "text"


class _Delta(msgspec.Struct):
    type: str = "text_delta"
    text: Any = None
    stop_reason: str | None = None


class _Error(msgspec.Struct):
    type: str = ""


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    content_block: _Block | None = None
    message: _Message | None = None
    delta: _Delta | None = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: _Error | None = None


class Anthropic:
    """One server. If it wants no temperature, it is not told one again."""

    def __init__(self, about: About, line: Line) -> None:
        self.about = about
        self._line = line
        self._without: frozenset[str] = frozenset()
        self._habit = thinking.Habit(about.thinks)

    async def complete(self, asked: Completion) -> AsyncGenerator[Piece, None]:
        """As `Provider.complete`. Empty texts say that it thinks."""
        while True:
            try:
                async with aclosing(self._answer(asked)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except Refused as refused:
                named = refused.names & {"temperature"} if refused.status == 400 else frozenset()
                if not named - self._without:
                    raise
                self._without |= named

    async def embed(self, texts: Sequence[str], *, is_query: bool) -> Embedded:
        raise Trouble("no_provider", "this wire makes no embeddings")

    async def close(self) -> None:
        await self._line.close()

    def _answer(self, asked: Completion) -> AsyncGenerator[Piece, None]:
        if asked.schema is None:
            return self._said(asked)
        return instructed.bare(self._said(instructed.told(asked)))

    def _said(self, asked: Completion) -> AsyncGenerator[Piece, None]:
        return thinking.hidden(self._pieces(asked), self._habit)

    async def _pieces(self, asked: Completion) -> AsyncGenerator[Piece, None]:
        async with self._line.stream("/v1/messages", self._body(asked)) as answer:
            most = left = asked.max_tokens * TOKEN_LETTERS
            spent, blocks, end, events = _Counting(), _Blocks(), None, _events(answer)
            async for event in events:
                spent.note(event)
                if (text := blocks.text(event)) is not None:
                    left -= len(text)
                    yield Text(text)
                end = _end(event, left, has_words=left < most)
                if end is not None:
                    break
            if end is None:
                raise broke_off()
            if left >= 0:  # else it would talk on
                await last_words(events)
            if usage := spent.usage:
                yield usage
            yield End(end, answer.request_id)

    def _body(self, asked: Completion) -> dict[str, Any]:
        body = {
            "model": self.about.model,
            "max_tokens": asked.max_tokens,
            "temperature": min(asked.temperature, 1.0),
            "messages": [{"role": turn.role, "content": turn.text} for turn in asked.turns],
            "stream": True,
            **({"system": asked.system} if asked.system else {}),
        }
        return {name: value for name, value in body.items() if name not in self._without}


# -- the answer ------------------------------------------------------------------------------------------


class _Counting:
    """Tokens in are told at the beginning, tokens out at the end; either may be told again, better."""

    def __init__(self) -> None:
        self._in: int | None = None
        self._out: int | None = None

    def note(self, event: _Event) -> None:
        for raw in (event.message.usage if event.message else b"null", event.usage):
            if spent := converted(msgspec.Raw(raw), _Spent):
                self._in = self._in if spent.tokens_in is None else spent.tokens_in
                self._out = self._out if spent.output_tokens is None else spent.output_tokens

    @property
    def usage(self) -> Usage | None:
        return None if self._in is None or self._out is None else Usage(self._in, self._out)


async def _events(answer: Answer) -> AsyncIterator[_Event]:
    async for event in answer.events:
        said = _decoded(event)
        if said.error is not None:
            raise said_error(said.error.type)
        yield said
        if said.type == "message_stop":
            return


def _decoded(event: Event) -> _Event:
    return decoded(event.data, _Event)


class _Blocks:
    """The blocks of one answer. Only those of text are answer; others are reasoning, in the clear or sealed."""

    def __init__(self) -> None:
        self._others: set[int] = set()

    def text(self, event: _Event) -> str | None:
        """More of the answer; an empty text where it only thinks."""
        if event.content_block is not None and event.content_block.type != "text":
            self._others.add(event.index)
        if event.delta is None or event.delta.stop_reason is not None:
            return None
        is_text = event.index not in self._others and event.delta.type == "text_delta"
        return event.delta.text if is_text and isinstance(event.delta.text, str) else ""


def _end(event: _Event, left: int, *, has_words: bool) -> EndReason | None:
    said = event.delta.stop_reason if event.delta else None
    if said is not None:
        if said not in _ENDS:
            raise Trouble("invalid_answer", "it wants something that it was not offered")
        return _ENDS[said]
    if event.type == "message_stop" and has_words:  # that it is whole, and not why
        return "stop"
    return "length" if left < 0 else None
