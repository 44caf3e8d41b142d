"""How each kind of job is done: one module a kind, and their table. What is not in the table is not offered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from doran.ai.jobs.work import Recipe
from doran.ai.recipes.ask import ask
from doran.ai.recipes.embed import embed
from doran.ai.recipes.moderate import moderate
from doran.ai.recipes.reply import reply
from doran.ai.recipes.rewrite import rewrite
from doran.ai.recipes.semantic_search import semantic_search
from doran.ai.recipes.smart_replies import smart_replies
from doran.ai.recipes.summarize import summarize
from doran.ai.recipes.translate import translate
from doran.contracts.frames import JobKind

RECIPES: Final[Mapping[JobKind, Recipe]] = {
    "reply": reply,
    "smart_replies": smart_replies,
    "summarize": summarize,
    "translate": translate,
    "rewrite": rewrite,
    "ask": ask,
    "moderate": moderate,
    "embed": embed,
    "semantic_search": semantic_search,
}
