"""Who answers: models behind one protocol, near or far, asked in the order of the settings."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

Role = Literal["user", "assistant"]
EndReason = Literal["stop", "length", "refusal"]


class Turn(NamedTuple):
    """One contribution to what the model reads."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model is asked. With a `schema` (JSON Schema) the answer is JSON of that form, as far as the model obeys.

    `max_tokens` bounds the answer. `temperature` 0 asks for the same answer each time.
    """

    system: str
    turns: tuple[Turn, ...]
    max_tokens: int
    temperature: float = 0.2
    schema: Mapping[str, Any] | None = None


class Text(NamedTuple):
    """More of the answer."""

    text: str


class Usage(NamedTuple):
    """Tokens of the whole request, as the provider counts them."""

    tokens_in: int
    tokens_out: int


class End(NamedTuple):
    """The answer is whole (`stop`), cut at `max_tokens` (`length`), or refused. Nothing follows."""

    reason: EndReason
    request_id: str = ""


class Retracted(NamedTuple):
    """All text that came so far was the model's reasoning; the answer begins after it."""


Piece = Text | Usage | End | Retracted


class Embedded(NamedTuple):
    """One vector of length 1 for each text (little-endian 32-bit floats), and the tokens they took."""

    vectors: list[bytes]
    tokens: int


class Price(NamedTuple):
    """Millionths of the currency for a million tokens."""

    tokens_in: int = 0
    tokens_out: int = 0


class Trouble(Exception):
    """A provider gave no usable answer. `code` is one of `JOB_FAILURES`; the text never holds words of the question.

    `is_passing`: the same question may succeed later, or elsewhere. `retry_after` is the provider's wish in seconds.
    `shown`: some of the answer had come already, so nobody asks again by themselves.
    """

    def __init__(
        self,
        code: str,
        reason: str = "",
        *,
        is_passing: bool = False,
        retry_after: float | None = None,
        shown: bool = False,
    ) -> None:
        super().__init__(f"{code}: {reason}" if reason else code)
        self.code, self.reason = code, reason
        self.is_passing, self.retry_after, self.shown = is_passing, retry_after, shown


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a provider before it is asked.

    `is_outside`: words given to it leave this deployment. `context_tokens` is how much it reads at once, question and
    answer together. `thinks`: its answers begin with reasoning whose beginning has no mark. An empty `model` or `embedding_model` means that it cannot do that.
    """

    name: str
    host: str
    model: str = ""
    embedding_model: str = ""
    is_outside: bool = True
    context_tokens: int = 8192
    price: Price = field(default_factory=Price)
    embedding_price: Price = field(default_factory=Price)
    thinks: bool = False


class Provider(Protocol):
    """One model server. Used from one event loop; leaving an iteration early stops the provider's work."""

    about: About

    def complete(self, asked: Completion) -> AsyncGenerator[Piece, None]:
        """The answer as it is written, without reasoning: texts, at most one `Usage`, at last one `End`. Raises `Trouble`.

        An empty text says that it goes on. Close the iteration when leaving it early.
        """
        ...

    async def embed(self, texts: Sequence[str], *, is_query: bool) -> Embedded:
        """The texts as vectors. Raises `Trouble`."""
        ...

    async def close(self) -> None: ...
