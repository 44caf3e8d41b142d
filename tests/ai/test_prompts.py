"""Prompts: one in force for each key and language, none ever changed behind an answer's back."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.db import IntegrityError

from doran.ai import prompts
from doran.ai.models import Prompt
from doran.ai.prompts import planting, versions
from doran.ai.prompts.keys import KEYS
from doran.contracts.errors import Problem
from doran.server.wiring import House

WORDS = "Rewrite what stands in $fence."


@pytest.fixture
def rows(house: House) -> Any:
    """Runs what blocks where it may."""
    return asyncio.to_thread


def in_force() -> set[tuple[str, str]]:
    found = [(one.key, one.locale) for one in Prompt.objects.filter(status="active")]
    assert len(found) == len(set(found))
    return set(found)


async def test_every_key_has_words_in_both_languages_from_the_start(rows: Any) -> None:
    for locale in versions.LOCALES:
        for key in KEYS:
            found = await rows(prompts.active, key, locale)
            assert (found.key, found.locale, found.version) == (key, locale, 1)
    assert await rows(planting.plant) == 0
    assert await rows(in_force) == {(key, locale) for key in KEYS for locale in versions.LOCALES}


async def test_a_language_without_words_of_its_own_takes_those_there_are(rows: Any) -> None:
    assert (await rows(prompts.active, "translate", "ja")).locale == "ko"
    with pytest.raises(LookupError):
        await rows(prompts.active, "poem", "ko")


async def test_one_goes_into_force_and_the_other_out_of_it_in_one_step(rows: Any) -> None:
    first = await rows(prompts.active, "rewrite.polite", "en")
    second = await rows(versions.draft, "rewrite.polite", "en", WORDS)
    assert (second.version, second.status) == (2, "draft")
    assert (await rows(prompts.active, "rewrite.polite", "en")).id == first.id
    await rows(versions.activate, second.id)
    assert (await rows(prompts.active, "rewrite.polite", "en")).id == second.id
    assert (await rows(Prompt.objects.get, id=first.id)).status == "retired"
    await rows(versions.activate, first.id)
    assert (await rows(prompts.active, "rewrite.polite", "en")).id == first.id
    assert (await rows(prompts.active, "rewrite.polite", "ko")).version == 1


async def test_what_was_in_force_never_changes(rows: Any) -> None:
    first = await rows(prompts.active, "rewrite.polite", "en")
    other = await rows(versions.change, first.id, WORDS, schema="", model_hint="")
    assert (other.version, other.status, other.template) == (2, "draft", WORDS)
    again = await rows(versions.change, other.id, WORDS + " Be kind.", schema="", model_hint="large")
    assert (again.id, again.version, again.model_hint) == (other.id, 2, "large")
    assert again.sha256 == versions.checksum(WORDS + " Be kind.", "") != other.sha256
    untouched = await rows(Prompt.objects.get, id=first.id)
    assert (untouched.template, untouched.sha256) == (first.template, first.sha256)


async def test_somebody_is_always_in_force(rows: Any) -> None:
    first = await rows(prompts.active, "ask", "ko")
    with pytest.raises(Problem) as refused:
        await rows(versions.retire, first.id)
    assert refused.value.code == "conflict"
    assert (await rows(prompts.active, "ask", "ko")).id == first.id
    with pytest.raises(Problem, match="not_found"):
        await rows(versions.activate, "00000000-0000-7000-8000-00000000dead")


@pytest.mark.parametrize(
    ("key", "locale", "template", "schema", "field"),
    [
        ("poem", "ko", WORDS, "", "key"),
        ("rewrite.polite", "fr", WORDS, "", "locale"),
        ("rewrite.polite", "ko", " ", "", "template"),
        ("rewrite.polite", "ko", "x" * 20_001, "", "template"),
        ("rewrite.polite", "ko", "no mark", "", "template"),
        ("rewrite.polite", "ko", "$fence $name", "", "template"),
        ("rewrite.polite", "ko", "$fence costs 5$", "", "template"),
        ("rewrite.polite", "ko", WORDS, "{}", "schema"),
        ("moderate", "ko", WORDS, "", "schema"),
        ("moderate", "ko", WORDS, "{", "schema"),
        ("moderate", "ko", WORDS, "[]", "schema"),
    ],
)  # fmt: skip
async def test_a_version_that_cannot_work_is_refused(
    rows: Any, key: str, locale: str, template: str, schema: str, field: str
) -> None:
    with pytest.raises(Problem) as refused:
        await rows(versions.draft, key, locale, template, schema=schema)
    assert [one.field for one in refused.value.errors] == [field]
    assert await rows(Prompt.objects.count) == 0


async def test_a_new_release_renews_its_own_words_and_leaves_those_of_the_operator(
    rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rows(planting.plant)
    own = await rows(versions.draft, "rewrite.casual", "en", WORDS)
    await rows(versions.activate, own.id)
    newer = [planting.Seed(key, "en", f"Newer. {WORDS}\n", "") for key in ("rewrite.polite", "rewrite.casual")]
    shipped = planting.shipped() | {one.sha256 for one in newer}
    monkeypatch.setattr(planting, "seeds", lambda: tuple(newer))
    monkeypatch.setattr(planting, "shipped", lambda: shipped)
    assert await rows(planting.plant) == 1
    assert (await rows(prompts.active, "rewrite.polite", "en")).template == f"Newer. {WORDS}\n"
    assert (await rows(prompts.active, "rewrite.casual", "en")).id == own.id
    assert await rows(planting.plant) == 0


async def test_two_who_plant_at_once_are_in_nobodys_way(rows: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def beaten(*_: Any, **__: Any) -> None:
        raise IntegrityError

    monkeypatch.setattr(versions, "draft", beaten)
    assert await rows(planting.plant) == 0


def test_every_seed_is_known_for_ever() -> None:
    """Who changes a seed adds its checksum to shipped.txt, so that the next release knows it again."""
    assert {seed.sha256 for seed in planting.seeds()} <= planting.shipped()
    assert {(seed.key, seed.locale) for seed in planting.seeds()} == {
        (key, locale) for key in KEYS for locale in versions.LOCALES
    }


def test_seeds_obey_the_rules_for_versions() -> None:
    for seed in planting.seeds():
        versions.check(seed.key, seed.locale, seed.template, schema=seed.schema)
        assert not seed.schema or json.loads(seed.schema)["additionalProperties"] is False


def test_a_prompt_is_filled_and_split_where_the_data_goes() -> None:
    prompt = Prompt(template="Data in $fence costs $$5.\n=====\nNow $fence!\n")
    assert prompts.fill(prompt, fence="f00") == ("Data in f00 costs $5.", "Now f00!")
    assert prompts.fill(Prompt(template="Only this.\n")) == ("Only this.", "")
    with pytest.raises(KeyError):
        prompts.fill(prompt)
