"""translate: a message or a text in another language, by the first engine that can and loses nothing on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from doran.ai import cleaning
from doran.ai.jobs.work import Subject, Work
from doran.ai.kinds import TranslateOptions
from doran.ai.languages import UNDETERMINED, language_of
from doran.ai.providers import Trouble
from doran.ai.providers.links import Began
from doran.ai.recipes import subjects
from doran.ai.recipes.asking import Asking
from doran.ai.shop import shop
from doran.ai.translation import keeping, names
from doran.ai.translation.desk import Desk
from doran.ai.translation.engine import Translated, Wish
from doran.ai.translation.protecting import Lost, Protected, protect
from doran.contracts.errors import Problem
from doran.contracts.frames import JobResult, MessageView

MODEL: Final = "model"
"""The engine's name where a model of the providers translated."""
UNTOUCHED: Final = ""
"""Its name where there was nothing to translate."""


_Way = Callable[[int], Awaitable[Translated]]
"""It gets told how many ways are left behind it."""


@dataclass(frozen=True, slots=True)
class _Text:
    """What is to be translated, and whose it is."""

    work: Work
    whole: str
    protected: Protected
    about: Subject
    wish: Wish


async def translate(work: Work) -> JobResult:
    words, about, message = await subjects.text(work)
    text = _Text(work, words, protect(words), about, _wish(work))
    source = language_of(words)
    if text.protected.is_all or source == text.wish.target:
        return _result(words, text.wish, UNTOUCHED, source)
    return await _kept(text, message) or await _made(text, message)


def _wish(work: Work) -> Wish:
    options = work.options
    assert isinstance(options, TranslateOptions)
    return Wish(options.target or work.locale, is_honorific=bool(options.honorific))


# -- once for each version ---------------------------------------------------------------------------


async def _kept(text: _Text, message: MessageView | None) -> JobResult | None:
    """What was translated before is answered without asking anybody."""
    if message is None:
        return None
    engines = [_manner(name, text.wish) for name in (*(one.about.name for one in shop().translators), MODEL)]
    found = await text.work.aside(keeping.kept, message, text.wish.target, engines)
    if found is None:
        return None
    return _result(found.text, text.wish, found.engine.partition(":")[0], found.source)


async def _made(text: _Text, message: MessageView | None) -> JobResult:
    engine, done = await _first_that_can(text)
    if message is not None:
        await text.work.aside(
            keeping.keep,
            message,
            text.work.job.user_id,
            target=text.wish.target,
            engine=_manner(engine, text.wish),
            source=done.source,
            text=done.text,
        )
    return _result(done.text, text.wish, engine, done.source)


def _manner(engine: str, wish: Wish) -> str:
    """Both manners of a translation are kept beside each other."""
    return f"{engine}:honorific" if wish.is_honorific else engine


def _result(words: str, wish: Wish, engine: str, source: str) -> JobResult:
    return JobResult(
        text=words, source=None if source in ("", UNDETERMINED) else source, target=wish.target, engine=engine
    )


# -- one engine after another ------------------------------------------------------------------------


async def _first_that_can(text: _Text) -> tuple[str, Translated]:
    """Raises what the last one failed with; a missing consent above all, since that is in people's hands."""
    wrong: list[Exception] = []
    ways = _ways(text)
    for number, (name, ask) in enumerate(ways, 1):
        try:
            found = await ask(len(ways) - number)
            return name, Translated(_restored(text, found.text), found.source)
        except Problem as refused:
            if refused.code != "consent_needed":
                raise
            wrong.append(refused)
        except Trouble as trouble:
            wrong.append(trouble)
    raise next((one for one in wrong if isinstance(one, Problem)), None) or (
        wrong[-1] if wrong else Trouble("no_provider")
    )


def _ways(text: _Text) -> list[tuple[str, _Way]]:
    ways: list[tuple[str, _Way]] = [
        (engine.about.name, partial(_by_engine, text, engine)) for engine in shop().translators if engine.can(text.wish)
    ]
    if shop().chain.can("complete", outside=True):
        ways.append((MODEL, partial(_by_model, text)))
    return ways


async def _by_engine(text: _Text, engine: Desk, others: int) -> Translated:
    source = ""

    async def ask(words: str, began: Began) -> str:
        nonlocal source
        found, source = await engine.translate(words, text.wish, began=began, others=others)
        return found

    found = await text.work.ask_engine(engine.about, text.protected.text, about=text.about, ask=ask)
    return Translated(found, source)


async def _by_model(text: _Text, others: int) -> Translated:
    asking = await Asking.of(text.work, "translate.honorific" if text.wish.is_honorific else "translate")
    block = asking.fenced_text(text.protected.text)
    language = names.name(text.wish.target, asking.prompt.locale)
    return Translated(await asking.plain(block, text.about, language=language), language_of(text.whole))


def _restored(text: _Text, found: str) -> str:
    """With everything protected in its place as it was, and nothing else that acts. Raises `Trouble`."""
    try:
        words = text.protected.restored(cleaning.inert(found))
    except Lost as lost:
        raise Trouble("invalid_answer", f"the translation lost {lost}") from None
    if not words:
        raise Trouble("invalid_answer", "there is nothing to see in it")
    return words
