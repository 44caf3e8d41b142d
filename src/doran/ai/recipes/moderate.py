"""moderate: whether a text is one of the sorts that people need protection from. It says so and does nothing."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

import msgspec

from doran.ai.jobs.work import Work
from doran.ai.recipes import subjects
from doran.ai.recipes.asking import Asking
from doran.contracts.frames import JobResult, Verdict

Category = Literal["harassment", "hate", "sexual", "violence", "self_harm", "scam", "spam", "illegal"]
CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)


class _Found(msgspec.Struct):
    categories: Annotated[list[Category], msgspec.Meta(max_length=64)]


async def moderate(work: Work) -> JobResult:
    text, about, _ = await subjects.text(work)
    asking = await Asking.of(work, "moderate")
    found = (await asking.form(asking.fenced_text(text), about, _Found)).categories
    return JobResult(verdict=Verdict(bool(found), tuple(one for one in CATEGORIES if one in found)))
