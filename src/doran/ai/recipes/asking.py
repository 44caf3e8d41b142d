"""How recipes ask a model: the prompt in force, the data between fences, and an answer of the form that was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

import msgspec

from doran.ai import cleaning, prompts
from doran.ai.growing import Clean
from doran.ai.jobs.work import Completed, Prompted, Subject, Work
from doran.ai.models import Prompt
from doran.ai.prompts import Filled, fencing
from doran.ai.prompts.fencing import Block
from doran.ai.providers import Completion, Trouble, Turn, instructed
from doran.ai.shop import shop
from doran.contracts.frames import MessageView
from doran.kernel import clock

T = TypeVar("T")

_SPARE: Final = 64
"""Tokens for what wires put around turns."""
_MOST_OBJECTS: Final = 200
_DECODER: Final = json.JSONDecoder(strict=False)  # models put line breaks into strings
_KOREA: Final = timedelta(hours=9)


@dataclass(frozen=True, slots=True)
class Asking:
    """One question to a model, with the prompt in force for `key` in the asker's language."""

    work: Work
    prompt: Prompt

    @classmethod
    async def of(cls, work: Work, key: str) -> Asking:
        return cls(work, await work.aside(prompts.active, key, work.locale))

    @property
    def room(self) -> int:
        """How many tokens of data the model reads, beside the instruction and its own answer."""
        first = shop().chain.first("complete", outside=True)
        window = first.context_tokens if first else 0
        fixed = fencing.tokens(self.prompt.template) + 2 * fencing.tokens(self.prompt.schema)
        return window - self.work.kind.max_tokens - fixed - _SPARE

    def fenced(self, messages: list[MessageView]) -> Block:
        """The newest messages that there is room for. Raises `Trouble("too_long")` where not even one fits."""
        block = fencing.fence(messages, me=self.work.job.user_id, room=self.room)
        if messages and not block.messages:
            raise Trouble("too_long", "the newest message is longer than the model reads")
        return block

    def fenced_text(self, text: str) -> Block:
        """Raises `Trouble("too_long")`: a text is put whole or not at all."""
        if fencing.tokens(text) > self.room:
            raise Trouble("too_long", "the text is longer than the model reads")
        return fencing.fence_text(text)

    async def plain(self, block: Block, about: Subject, *, clean: Clean = cleaning.plain, **values: str) -> str:
        """Words as an answer to the data."""
        filled = prompts.fill(self.prompt, fence=block.mark, **values)
        return await self.turns(filled, [_data(block, filled)], about, clean=clean)

    async def form(
        self, block: Block, about: Subject, kind: type[T], *, question: str = "", words: str = "", **values: str
    ) -> T:
        """An answer of this type, whose field `words` is for the asker. Raises `Trouble("invalid_answer")`.

        A model that answered in another form is asked once more, with the form among the instructions; silently, for
        something may have been shown already.
        """
        filled = prompts.fill(self.prompt, fence=block.mark, **values)
        asked = self._completion(filled, [_data(block, filled, question)])
        answer = _whole(await self.work.complete(Prompted(asked, self.prompt, words), about=about))
        if (found := _understood(answer, kind)) is not None:
            return found
        again = Prompted(instructed.insisted(asked), self.prompt, is_silent=True)
        answer = _whole(await self.work.complete(again, about=about))
        if (found := _understood(answer, kind)) is None:
            raise Trouble("invalid_answer", "not of the form that was asked for")
        return found

    async def turns(self, filled: Filled, turns: list[Turn], about: Subject, *, clean: Clean = cleaning.plain) -> str:
        """Raises `Trouble("cut_off")` for an answer without its end, and whatever the gate raises."""
        prompted = Prompted(self._completion(filled, turns), self.prompt, clean=clean)
        return _whole(await self.work.complete(prompted, about=about))

    def _completion(self, filled: Filled, turns: list[Turn]) -> Completion:
        schema = json.loads(self.prompt.schema) if self.prompt.schema else None
        return Completion(filled.system, tuple(turns), self.work.kind.max_tokens, schema=schema)


def today(locale: str) -> str:
    """The date where people of this language mostly live: in Korea, or by UTC."""
    return (clock.now() + (_KOREA if locale == "ko" else timedelta())).date().isoformat()


def _data(block: Block, filled: Filled, question: str = "") -> Turn:
    return Turn("user", "\n\n".join(part for part in (block.text, filled.closing, question) if part))


def _whole(done: Completed) -> str:
    if done.finish == "length":
        raise Trouble("cut_off", "it reached its greatest length", shown=True)
    if done.finish == "refusal":
        raise Trouble("provider_refused")
    return done.text


def _understood(answer: str, kind: type[T]) -> T | None:
    """The last JSON of this type in an answer: alone, in a code block, or behind whatever a model says before it."""
    found = None
    for value in _values(answer):
        with suppress(msgspec.ValidationError):
            found = msgspec.convert(value, kind, strict=False)
    return found


def _values(answer: str) -> Iterator[Any]:
    """Every JSON object that stands in a text, but none that stands in another."""
    at = answer.find("{")
    for _ in range(_MOST_OBJECTS):
        if at < 0:
            return
        try:
            value, end = _DECODER.raw_decode(answer, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            yield value
        at = answer.find("{", end)
