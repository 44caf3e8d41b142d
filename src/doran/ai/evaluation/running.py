"""Runs cases one after another and says of each how it went."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from doran.ai import prompts
from doran.ai.evaluation.cases import Case
from doran.ai.evaluation.neighbours import ASKER, TALK, neighbours
from doran.ai.jobs.claims import Claim
from doran.ai.jobs.work import AskEngine, Completed, Prompted, Subject, Work
from doran.ai.masking import Masking, Unmasking
from doran.ai.models import AiJob, Prompt
from doran.ai.providers import About, End, Retracted, Text, Trouble, Usage
from doran.ai.shop import shop
from doran.contracts.errors import Problem
from doran.contracts.frames import JobResult
from doran.kernel import clock


class Outcome(NamedTuple):
    """`wrong` is what did not hold; nothing is wrong with a case that went well. `answer` is its failure's code, or it."""

    case: Case
    answer: JobResult | str
    wrong: tuple[str, ...]
    seconds: float
    usage: Usage


async def run(cases: Sequence[Case], *, trying: Prompt | None = None) -> AsyncIterator[Outcome]:
    """Each case with the models of the open shop; with this prompt in place of the one in force, if one is given."""
    with ThreadPoolExecutor(1) as threads, prompts.trying(trying):
        for case in cases:
            with neighbours(case):
                yield await _outcome(case, threads)


async def _outcome(case: Case, threads: ThreadPoolExecutor) -> Outcome:
    gate, began = Straight(), time.monotonic()
    answer = await _answer(case, Work(_job(case), Claim(clock.new_id(), "", 1), gate, threads, threads))
    return Outcome(case, answer, tuple(case.wrong(answer)), time.monotonic() - began, gate.usage)


async def _answer(case: Case, work: Work) -> JobResult | str:
    try:
        async with asyncio.timeout(shop().config.ai_seconds):
            return await shop().recipes[case.kind](work)
    except (Trouble, Problem) as failed:
        return failed.code
    except TimeoutError:
        return "deadline"


def _job(case: Case) -> AiJob:
    """A row that is never stored."""
    now, options = clock.now(), msgspec.json.encode({**case.options, "locale": case.locale}).decode()
    message_id = "" if case.input or case.kind not in ("translate", "moderate") else f"{TALK}-{len(case.messages)}"
    about: dict[str, Any] = {"message_id": message_id} if message_id else {"conversation_id": TALK}
    return AiJob(
        id=clock.new_id(), user_id=ASKER, kind=case.kind, input=case.input, options=options, created_at=now, due_at=now,
        deadline_at=now, **about,
    )  # fmt: skip


class Straight:
    """A gate for words that are nobody's: they are hidden as elsewhere, since a prompt must bear that, and not counted."""

    def __init__(self) -> None:
        self.usage = Usage(0, 0)

    async def complete(self, work: Work, prompt: Prompted, about: Subject) -> Completed:
        asked, masking = prompt.completion, Masking()
        texts = masking.hide_all([turn.text for turn in asked.turns])
        turns = tuple(turn._replace(text=text) for turn, text in zip(asked.turns, texts, strict=True))
        self._provider = About("", "")
        heard, end = Unmasking(masking), End("stop")
        said: list[str] = []
        hidden = replace(asked, turns=turns)
        async with aclosing(shop().chain.complete(hidden, outside=True, began=self._begins)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Text):
                    said.append(heard.more(piece.text))
                elif isinstance(piece, Retracted):
                    heard, said = Unmasking(masking), []
                elif isinstance(piece, Usage):
                    self.usage = Usage(self.usage.tokens_in + piece.tokens_in, self.usage.tokens_out + piece.tokens_out)
                else:
                    end = piece
        return Completed("".join([*said, heard.rest()]), end.reason, self._provider, self.usage, end.request_id)

    async def ask_engine(self, work: Work, engine: About, text: str, about: Subject, ask: AskEngine) -> str:
        return await ask(text, self._begins)

    async def embed(self, *_: Any, **__: Any) -> list[bytes]:
        raise Trouble("no_provider")

    async def _begins(self, provider: About) -> None:
        self._provider = provider
