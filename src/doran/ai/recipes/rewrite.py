"""rewrite: the asker's own words in another manner, before they are sent."""

from __future__ import annotations

from functools import partial
from typing import Final

from doran.ai import cleaning
from doran.ai.jobs.work import Work
from doran.ai.kinds import RewriteOptions
from doran.ai.providers import Trouble
from doran.ai.recipes import subjects
from doran.ai.recipes.asking import Asking
from doran.ai.shop import shop
from doran.contracts.frames import JobResult

_QUOTES: Final = ('""', "“”", "''", "‘’", "「」", "```")


async def rewrite(work: Work) -> JobResult:
    options, text = work.options, work.job.input
    assert isinstance(options, RewriteOptions)
    asking = await Asking.of(work, f"rewrite.{options.style}")
    clean = partial(cleaning.inert, known=cleaning.addresses(text))
    answer = await asking.plain(asking.fenced_text(text), subjects.own(work), clean=clean)
    return JobResult(text=_words(clean(answer), text))


def _words(answer: str, text: str) -> str:
    """As it can be sent: no longer than a message may be."""
    words = _bare(answer, text)
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
