"""The gate: the only door by which words reach a provider.

Consent first, then money, then hiding personal data from whoever is outside, then writing down what goes where; only
then the words. What comes back is shown again, and what it cost takes the place of what was set aside.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from doran.ai.deltas import Deltas
from doran.ai.excerpts import Excerpt, Unescaped
from doran.ai.jobs.claims import Lost
from doran.ai.jobs.work import AskEngine, Completed, Prompted, Subject, Work
from doran.ai.masking import Masking, Unmasking
from doran.ai.money import budgets, prices, switch
from doran.ai.privacy import consents, disclosures
from doran.ai.providers import About, Completion, Embedded, End, Piece, Retracted, Trouble, Usage
from doran.ai.shop import Chain
from doran.contracts.errors import Problem
from doran.kernel import faults, telemetry

NOTHING = Usage(0, 0)


@dataclass
class Passage:
    """One request on its way through the gate. `most` is the most it can take, in tokens (an engine's: in letters);
    `texts` are its words.

    `masking` is None where none of those who may be asked is outside.
    """

    work: Work
    subject: Subject
    texts: tuple[str, ...]
    most: Usage
    what: Literal["complete", "embed", "translate"]
    masking: Masking | None = None
    reserved: int = 0
    provider: About | None = None
    usage: Usage = field(default=NOTHING)

    async def enter(self, provider: About) -> None:
        """Whatever must be true and written before words go to this provider. Raises `Problem` or `Lost`."""
        await self.work.aside(self._enter, provider)
        self.provider = provider

    async def leave(self) -> None:
        """It is over, however: what it really took is spent."""
        if self.provider is not None or self.reserved:
            await asyncio.shield(self.work.aside(self._spend, self.usage))

    def _enter(self, provider: About) -> None:
        if switch.is_off():
            raise Problem("ai_off")
        require_consent(self.work, self.subject, outside=provider.is_outside)
        self._spend(NOTHING)  # who was asked before did not answer
        most = self._micros(provider, self.most)
        if not budgets.reserve(self.work.claim.rows, self.work.job, most):
            raise Lost
        self.reserved = most
        try:
            self._note(provider)
            require_consent(
                self.work, self.subject, outside=provider.is_outside
            )  # from now on whoever takes it back finds us
        except Problem:
            self._spend(NOTHING)
            raise

    def _note(self, provider: About) -> None:
        disclosures.note(
            self.work.job,
            provider,
            self.subject,
            characters=sum(map(len, self.texts)),
            masked=self.masking.count if self.masking and provider.is_outside else 0,
            model=self._model(provider),
            is_answered=self.what != "embed",
        )

    def _spend(self, usage: Usage) -> None:
        provider, reserved, self.reserved = self.provider, self.reserved, 0
        micros = self._micros(provider, usage) if provider else 0
        by = budgets.Asked(provider.name, self._model(provider)) if provider else None
        if self.what == "translate" and provider:
            telemetry.letters_translated(provider.name, usage.tokens_in)
        if reserved or sum(usage):
            tokens = NOTHING if self.what == "translate" else usage
            budgets.spend(self.work.job, tokens, reserved=reserved, micros=micros, by=by)

    def _model(self, provider: About) -> str:
        return provider.embedding_model if self.what == "embed" else provider.model

    def _micros(self, provider: About, usage: Usage) -> int:
        price = provider.embedding_price if self.what == "embed" else provider.price
        return prices.cost(price, usage)

    def hidden(self, texts: Sequence[str]) -> list[str]:
        return list(texts) if self.masking is None else self.masking.hide_all(texts)


class Hearing:
    """What comes back of one answer, shown again piece by piece. `usage` is None as long as nobody said it."""

    def __init__(self, masking: Masking | None, deltas: Deltas | None, prompt: Prompted) -> None:
        self._masking, self._deltas, self._words = masking, deltas, prompt.words
        self._is_json = prompt.completion.schema is not None
        self._said: list[str] = []
        self._begin()
        self._end = End("stop")
        self.usage: Usage | None = None

    def _begin(self) -> None:
        self._unmasking, self._unescaped = Unmasking(self._masking), Unescaped()
        if self._masking is not None:
            self._masking.strays = 0
        self._excerpt = Excerpt(self._words).more if self._words else str
        self._shown: list[str] = []

    @property
    def said(self) -> str:
        """As it came, personal data hidden."""
        return "".join(self._said)

    def take(self, piece: Piece) -> None:
        if isinstance(piece, Usage):
            self.usage = piece
        elif isinstance(piece, End):
            self._end = piece
        elif isinstance(piece, Retracted):
            self._begin()
            if self._deltas is not None:
                self._deltas.retract()
        else:
            self._said.append(piece.text)
            self._show(self._unmasking.more(self._plain(piece.text)))
            faults.hit("ai.words_sent")

    def _plain(self, text: str) -> str:
        return self._unescaped.more(text) if self._is_json else text

    async def close(self) -> None:
        self._show(self._unmasking.more(self._unescaped.rest()) + self._unmasking.rest())
        if self._deltas is not None:
            await self._deltas.close()

    def answer(self, provider: About, usage: Usage) -> Completed:
        return Completed("".join(self._shown), self._end.reason, provider, usage, self._end.request_id)

    def _show(self, text: str) -> None:
        self._shown.append(text)
        if self._deltas is not None:
            self._deltas.add(self._excerpt(text))


class Gate:
    """The gate to these providers. Raises `Trouble`, or `Problem`: `consent_needed`, `budget_exhausted`, `ai_off`."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def complete(self, work: Work, prompt: Prompted, about: Subject) -> Completed:
        asked = prompt.completion
        passage = Passage(work, about, _words(asked), prices.greatest(asked), "complete")
        async with self._opened(passage) as outside:
            answer = await self._answer(passage, prompt, outside)
        _refuse_unfit(answer, asked)
        _refuse_strays(passage.masking)
        return answer

    async def embed(
        self, work: Work, texts: Sequence[str], about: Subject, *, is_query: bool, model: str | None = None
    ) -> list[bytes]:
        most = Usage(prices.most_tokens(texts), 0)
        passage = Passage(work, about, tuple(texts), most, "embed")
        async with self._opened(passage) as outside:
            _, found = await self._embedded(passage, texts, outside, is_query, model)
            passage.usage = Usage(found.tokens, 0)
        return found.vectors

    async def ask_engine(self, work: Work, engine: About, text: str, about: Subject, ask: AskEngine) -> str:
        """An engine's price is for a million letters of what it gets."""
        masking = Masking() if engine.is_outside else None
        hidden = masking.hide(text) if masking else text
        passage = Passage(work, about, (text,), Usage(len(hidden), 0), "translate", masking)
        try:
            answered = await ask(hidden, passage.enter)
            passage.usage = passage.most
        finally:
            await passage.leave()
        shown = masking.show(answered) if masking else answered
        _refuse_strays(masking)
        return shown

    # -- one request -----------------------------------------------------------------------------

    @asynccontextmanager
    async def _opened(self, passage: Passage) -> AsyncIterator[bool]:
        """Whether outside providers may be asked; then personal data is hidden from all. Left, it is paid for."""
        outside = await passage.work.aside(may_leave, passage.work, passage.subject)
        if not outside and self._is_only_outside(passage.what):  # type: ignore[arg-type]
            raise Problem("consent_needed")
        if outside and self._chain.goes_out(passage.what):  # type: ignore[arg-type]
            passage.masking = Masking()
        try:
            yield outside
        finally:
            await passage.leave()

    def _is_only_outside(self, what: Literal["complete", "embed"]) -> bool:
        return self._chain.can(what, outside=True) and not self._chain.can(what, outside=False)

    async def _answer(self, passage: Passage, prompt: Prompted, outside: bool) -> Completed:
        hidden = _hidden(passage, prompt.completion)
        is_shown = passage.work.kind.is_streamed and not prompt.is_silent
        deltas = Deltas(passage.work, prompt.clean) if is_shown else None
        heard = Hearing(passage.masking, deltas, prompt)
        try:
            async with aclosing(self._chain.complete(hidden, outside=outside, began=passage.enter)) as pieces:
                async for piece in pieces:
                    heard.take(piece)
        finally:
            passage.usage = heard.usage or (prices.guessed(hidden, heard.said) if heard.said else NOTHING)
            await heard.close()
        assert passage.provider is not None  # who answered had been let in
        return heard.answer(passage.provider, passage.usage)

    async def _embedded(
        self, passage: Passage, texts: Sequence[str], outside: bool, is_query: bool, model: str | None
    ) -> tuple[About, Embedded]:
        return await self._chain.embed(
            passage.hidden(texts), model=model, outside=outside, is_query=is_query, began=passage.enter
        )


def may_leave(work: Work, subject: Subject) -> bool:
    """Whether these words may leave the deployment. Raises `Problem("consent_needed")` if nobody may have them."""
    try:
        require_consent(work, subject, outside=True)
    except Problem as problem:
        if problem.code != "consent_needed":
            raise
        require_consent(work, subject, outside=False)
        return False
    return True


def require_consent(work: Work, subject: Subject, *, outside: bool) -> None:
    """In every conversation whose words are in it. Raises `Problem`: `consent_needed`, `not_found`, `unavailable`."""
    places = {subject.conversation_id, *(one.conversation_id for one in subject.messages)} - {None}
    for conversation_id in sorted(filter(None, places)):
        consents.require(conversation_id, work.job.user_id, scope=work.kind.scope, outside=outside)


def _words(asked: Completion) -> tuple[str, ...]:
    """What is somebody's words, not the deployment's own."""
    return tuple(turn.text for turn in asked.turns)


def _hidden(passage: Passage, asked: Completion) -> Completion:
    """The question as it may leave."""
    if passage.masking is None:
        return asked
    system, *texts = passage.hidden([asked.system, *_words(asked)])
    turns = tuple(turn._replace(text=text) for turn, text in zip(asked.turns, texts, strict=True))
    return replace(asked, system=system, turns=turns)


def _refuse_strays(masking: Masking | None) -> None:
    """Nobody is to see a placeholder, nor a text from which one was taken."""
    if masking is not None and masking.strays:
        raise Trouble("invalid_answer", "it made up a placeholder")


def _refuse_unfit(answer: Completed, asked: Completion) -> None:
    if answer.finish == "refusal":
        raise Trouble("provider_refused")
    if answer.finish == "length" and asked.schema is not None:
        raise Trouble("cut_off")
