"""rewrite: the asker's own words in another manner, before they are sent. What is no words of theirs stays as it is."""

from __future__ import annotations

from typing import Final

from doran.ai import cleaning
from doran.ai.jobs.work import Work
from doran.ai.kinds import RewriteOptions
from doran.ai.providers import Trouble
from doran.ai.recipes import subjects
from doran.ai.recipes.asking import Asking
from doran.ai.shop import shop
from doran.ai.translation.protecting import Lost, Protected, protect
from doran.contracts.frames import JobResult

_QUOTES: Final = ('""', "“”", "''", "‘’", "「」", "```")


async def rewrite(work: Work) -> JobResult:
    options, text = work.options, work.job.input
    assert isinstance(options, RewriteOptions)
    protected = protect(text, emoji=False, numbers=options.style != "shorter")
    if protected.is_all:
        return JobResult(text=text)
    asking = await Asking.of(work, f"rewrite.{options.style}")

    def draft(answer: str) -> str:
        return protected.draft(cleaning.inert(answer))

    answer = await asking.plain(asking.fenced_text(protected.text), subjects.own(work), clean=draft)
    return JobResult(text=_words(cleaning.inert(answer), protected))


def _words(answer: str, protected: Protected) -> str:
    """As it can be sent: no longer than a message may be, and with all that is not to be rewritten."""
    try:
        words = protected.restored(_bare(answer, protected.text))
    except Lost as lost:
        raise Trouble("invalid_answer", f"it lost {lost}") from None
    if not words or len(words) > shop().config.content_limit:
        raise Trouble("invalid_answer", "this cannot be sent")
    return words


def _bare(words: str, text: str) -> str:
    """Without the quotation marks that models like to put around what they wrote."""
    for pair in _QUOTES:
        first, last = pair[0], pair[-1]
        if len(words) > 1 and words[0] == first and words[-1] == last and not text.startswith(first):
            return words.strip(first + last).strip()
    return words
