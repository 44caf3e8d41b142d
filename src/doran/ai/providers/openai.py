"""Chat Completions and Embeddings: OpenAI's wire, which vLLM, llama.cpp, Ollama, LM Studio and many others speak."""

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
    vectors,
)
from doran.ai.providers.wire import (
    TOKEN_LETTERS,
    Answer,
    Line,
    Refused,
    broke_off,
    converted,
    decoded,
    last_words,
    said_error,
)

BATCH: Final = 64
_ENDS: Final[Mapping[str, EndReason]] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "refusal",
    "safety": "refusal",
}
_BROKEN: Final = frozenset({"error", "abort", "cancelled"})
_NOT_TEXT: Final = frozenset({"tool_calls", "function_call"})
_NOT_UNDERSTOOD: Final = frozenset({400, 422})

_NOTHING: Final = msgspec.Raw(b"null")

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class _Part(msgspec.Struct):
    """Of a content in parts; those that are no text are reasoning."""

    type: str = "text"
    text: Any = None


class _Delta(msgspec.Struct):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_details: Any = None
    thinking: Any = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Error(msgspec.Struct):
    code: str | int | None = None
    type: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: msgspec.Raw = _NOTHING
    error: _Error | str | None = None


_LAST: Final = _Chunk()
"""The mark behind the last one."""


class _Spent(msgspec.Struct):
    prompt_tokens: _Count
    completion_tokens: _Count = 0


class _Vector(msgspec.Struct):
    index: int
    embedding: list[float]


class _Vectors(msgspec.Struct):
    data: list[_Vector]
    usage: msgspec.Raw = _NOTHING


class OpenAi:
    """One server. What it turned out not to understand is left out of later questions."""

    def __init__(self, about: About, line: Line) -> None:
        self.about = about
        self._line = line
        self._without: frozenset[str] = frozenset()
        self._habit = thinking.Habit(about.thinks)

    async def complete(self, asked: Completion) -> AsyncGenerator[Piece, None]:
        """As `Provider.complete`. Empty texts say that it thinks."""
        without = self._without
        while True:
            try:
                async with aclosing(self._answer(asked, without)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except Refused as refused:
                named, guessed = _to_leave_out(refused, asked, without)
                if not guessed:
                    raise
                self._without |= named
                without |= guessed

    async def embed(self, texts: Sequence[str], *, is_query: bool) -> Embedded:
        """As `Provider.embed`, so many texts to a request as every server takes."""
        found, tokens = [], 0
        for at in range(0, len(texts), BATCH):
            some, spent = await self._embedded(texts[at : at + BATCH])
            found += some
            tokens += spent
        return Embedded(found, tokens)

    async def close(self) -> None:
        await self._line.close()

    def _answer(self, asked: Completion, without: frozenset[str]) -> AsyncGenerator[Piece, None]:
        if asked.schema is not None and "response_format" in without:
            return instructed.bare(self._said(instructed.told(asked), without))
        return self._said(asked, without)

    def _said(self, asked: Completion, without: frozenset[str]) -> AsyncGenerator[Piece, None]:
        return thinking.hidden(self._pieces(asked, without), self._habit)

    async def _pieces(self, asked: Completion, without: frozenset[str]) -> AsyncGenerator[Piece, None]:
        async with self._line.stream("/chat/completions", _body(self.about.model, asked, without)) as answer:
            chunks, most = _chunks(answer), asked.max_tokens * TOKEN_LETTERS
            left, end, counts, is_whole = most, None, _Counts(), False
            async for chunk in chunks:
                for choice in chunk.choices[:1]:
                    if (text := _text(choice.delta)) is not None:
                        left -= len(text)
                        yield Text(text)
                    end = _end(choice, left)
                counts.note(chunk)
                is_whole = chunk is _LAST
                if end is not None or is_whole:
                    break
            end = end or ("stop" if is_whole and left < most else None)  # some say that it was all, and not why
            if end is None:
                raise broke_off()
            if left >= 0:  # else it would talk on
                for chunk in await last_words(chunks):
                    counts.note(chunk)
            if usage := counts.usage:
                yield usage
            yield End(end, answer.request_id)

    async def _embedded(self, texts: Sequence[str]) -> tuple[list[bytes], int]:
        body = {"model": self.about.embedding_model, "input": list(texts), "encoding_format": "float"}
        answer = await self._line.json("/embeddings", body, _Vectors)
        rows = sorted(answer.data, key=lambda row: row.index)
        spent = converted(answer.usage, _Spent)
        return vectors.packed([row.embedding for row in rows], of=len(texts)), spent.prompt_tokens if spent else 0


def _body(model: str, asked: Completion, without: frozenset[str]) -> dict[str, Any]:
    system = [{"role": "system", "content": asked.system}] if asked.system else []
    body: dict[str, Any] = {
        "model": model,
        "messages": [*system, *({"role": turn.role, "content": turn.text} for turn in asked.turns)],
        "max_completion_tokens" if "max_tokens" in without else "max_tokens": asked.max_tokens,
        "temperature": asked.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if asked.schema is not None:
        shape = {"name": "answer", "schema": asked.schema, "strict": _is_strict(asked.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": shape}
    return {name: value for name, value in body.items() if name not in without}


def _is_strict(schema: Any) -> bool:
    """Whether OpenAI takes this schema as a law: every field is needed, and no other allowed."""
    if isinstance(schema, list):
        return all(map(_is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    fields = schema.get("properties")
    is_closed = fields is None or (
        schema.get("additionalProperties") is False and set(schema.get("required", ())) == set(fields)
    )
    return is_closed and all(map(_is_strict, schema.values()))


def _to_leave_out(
    refused: Refused, asked: Completion, without: frozenset[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """What it says that it does not know, and what to ask without now: if it says nothing, perhaps the schema."""
    if refused.status not in _NOT_UNDERSTOOD or refused.code != "provider_unavailable":
        return frozenset(), frozenset()
    named = refused.names - without
    guess = {"response_format"} if asked.schema is not None else set()
    return named, named or frozenset(guess - without)


# -- the answer ------------------------------------------------------------------------------------------


async def _chunks(answer: Answer) -> AsyncIterator[_Chunk]:
    """Up to `_LAST`, if the server says so."""
    async for event in answer.events:
        if event.data.strip() == b"[DONE]":
            yield _LAST
            return
        chunk = decoded(event.data, _Chunk)
        if chunk.error is not None:
            raise said_error(_word(chunk.error))
        yield chunk


def _word(error: _Error | str) -> str:
    return "" if isinstance(error, str) else str(error.code or error.type or "")


def _text(delta: _Delta) -> str | None:
    """More of the answer; an empty text where it only thinks."""
    if delta.content and isinstance(delta.content, str):
        return delta.content
    if delta.content:
        return "".join(part.text for part in delta.content if part.type == "text" and isinstance(part.text, str))
    thinks = delta.reasoning_content or delta.reasoning or delta.reasoning_details or delta.thinking
    return "" if thinks else None


def _end(choice: _Choice, left: int) -> EndReason | None:
    if choice.delta.refusal:
        return "refusal"
    if choice.finish_reason in _NOT_TEXT:
        raise Trouble("invalid_answer", "it calls tools that it does not have")
    if choice.finish_reason in _BROKEN:
        raise broke_off()
    if choice.finish_reason:
        return _ENDS.get(choice.finish_reason.lower(), "stop")
    return "length" if left < 0 else None


class _Counts:
    """What the server counted last; it comes after the end, or never. A count that cannot be one is as none."""

    def __init__(self) -> None:
        self._said = _NOTHING

    def note(self, chunk: _Chunk) -> None:
        if chunk.usage != _NOTHING:
            self._said = chunk.usage

    @property
    def usage(self) -> Usage | None:
        counted = converted(self._said, _Spent)
        return Usage(counted.prompt_tokens, counted.completion_tokens) if counted else None
