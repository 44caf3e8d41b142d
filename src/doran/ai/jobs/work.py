"""What a recipe gets: the job, its options, and the only ways to anything outside of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec
from django.db import connections

from doran.ai import cleaning
from doran.ai.growing import Clean
from doran.ai.jobs.claims import Claim
from doran.ai.kinds import KINDS, Kind, Locale, Options
from doran.ai.models import AiJob, Prompt
from doran.ai.providers import About, Completion, EndReason, Usage
from doran.ai.providers.links import Began
from doran.contracts.frames import JobResult, MessageView
from doran.text import policy

T = TypeVar("T")
DEFAULT_LOCALE: Locale = "ko"


@dataclass(frozen=True, slots=True)
class Prompted:
    """What is asked of a model, and the prompt it was put with. `words`: in which field of an answer that is JSON its
    words for the asker stand; without one, all of it is. `clean`: what the asker sees of them while they grow, unless the
    answer `is_silent` until it is whole."""

    completion: Completion
    prompt: Prompt | None = None
    words: str = ""
    clean: Clean = cleaning.plain
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose words are in what is asked: for consent, for what is written down of it, and for later deletions."""

    conversation_id: str | None = None
    people: tuple[str, ...] = ()
    messages: tuple[MessageView, ...] = ()


@dataclass(frozen=True, slots=True)
class Completed:
    """An answer, unmasked. `finish` is `stop`, or `length` where it was cut."""

    text: str
    finish: EndReason
    provider: About
    usage: Usage
    request_id: str = ""


class Gate(Protocol):
    """The door by which words reach a provider (`doran.ai.gate`)."""

    async def complete(self, work: Work, prompt: Prompted, about: Subject) -> Completed: ...

    async def embed(
        self, work: Work, texts: Sequence[str], about: Subject, *, is_query: bool, model: str | None
    ) -> list[bytes]: ...

    async def ask_engine(self, work: Work, engine: About, text: str, about: Subject, ask: AskEngine) -> str: ...


AskEngine = Callable[[str, Began], Awaitable[str]]


@dataclass
class Work:
    """One attempt at a job. `job` is a plain row: reading it is free, changing it changes nothing. While `claim` is held.

    `answers` are what models answered so far, with the prompts they were asked with; the last one is noted with the
    response. `threads` run what blocks, `database` what blocks so shortly that the worker itself can wait for it.
    """

    job: AiJob
    claim: Claim
    gate: Gate
    threads: Executor
    database: Executor
    answers: list[tuple[Prompt | None, Completed]] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        return KINDS[self.job.kind]

    @property
    def options(self) -> Options:
        return self.kind.understood(msgspec.json.decode(self.job.options))

    @property
    def locale(self) -> Locale:
        """The asker's language."""
        return self.options.locale or DEFAULT_LOCALE

    async def aside(self, question: Callable[..., T], *args: Any, **named: Any) -> T:
        """Run what blocks (the database, another service) off the loop. Raises what it raises."""
        ask = partial(_leaving_nothing_open, partial(question, *args, **named))
        return await asyncio.get_running_loop().run_in_executor(self.threads, copy_context().run, ask)

    async def quickly(self, change: Callable[[], T]) -> T:
        """One statement on ai's own database, by the worker's thread for that."""
        return await asyncio.get_running_loop().run_in_executor(self.database, change)

    async def complete(self, prompt: Prompted, *, about: Subject) -> Completed:
        """Ask a model; of a streamed kind the asker sees the answer grow. Raises `Trouble`, `Problem("consent_needed")`."""
        done = await self.gate.complete(self, prompt, about)
        self.answers.append((prompt.prompt, done))
        return done

    async def embed(
        self, texts: Sequence[str], *, about: Subject, is_query: bool = False, model: str | None = None
    ) -> list[bytes]:
        """Return the composed texts as vectors of length 1, by this model where one is named. Raises as `complete`."""
        return await self.gate.embed(self, [*map(policy.compose, texts)], about, is_query=is_query, model=model)

    async def ask_engine(self, engine: About, text: str, *, about: Subject, ask: AskEngine) -> str:
        """Let a translation engine have this text: `ask` gets it as it may leave, and what must be awaited before it does.
        Raises as `complete`."""
        return await self.gate.ask_engine(self, engine, text, about, ask)


def _leaving_nothing_open(question: Callable[[], T]) -> T:
    """Jobs are seldom, and what a thread asks of others in this process opens their databases, too."""
    try:
        return question()
    finally:
        connections.close_all()


class Recipe(Protocol):
    """Does one job. Raises `Trouble` with one of `JOB_FAILURES`, or a `Problem` of what it reads."""

    async def __call__(self, work: Work) -> JobResult: ...
