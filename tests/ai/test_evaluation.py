"""`doran ai eval`: saved cases against a model, judged by what must hold, with a prompt on trial where one is named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from doran.ai.evaluation import cases as saved
from doran.ai.evaluation.cases import Case, Kind
from doran.ai.evaluation.running import Outcome, run
from doran.ai.models import AiJob, Disclosure, Prompt
from doran.ai.prompts import versions
from doran.contracts.frames import Citation, JobResult, Verdict
from doran.kernel.config import BadSetting
from doran.server.wiring import House
from tests.ai.conftest import MINT
from tests.house.running import doran
from tests.servers.model import Answer, Asked, ModelServer, scripted_model
from tests.stage import staged

GOOD = {
    "replies": ["응!", "어려워", "몇 시?"], "summary": "3시에 홍대에서 만나요.", "cited": [2], "categories": [],
}  # fmt: skip


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with scripted_model() as model:
        model.answer = answer
        yield model


def answer(asked: Asked) -> str:
    if asked.schema is None:
        return "네, 좋아요."
    return json.dumps({name: GOOD[name] for name in asked.schema["properties"]}, ensure_ascii=False)


@pytest.fixture
async def house(model: ModelServer) -> AsyncIterator[House]:
    async with staged(services=("ai",), own_keys=MINT.published, ai_providers=model.toml(outside=True)) as house:
        yield house


async def tried(*cases: Case, trying: Prompt | None = None) -> list[Outcome]:
    return [outcome async for outcome in run(cases, trying=trying)]


async def test_cases_are_done_by_the_recipes_themselves(house: House, model: ModelServer) -> None:
    outcomes = await tried(
        Case(
            "요약",
            "summarize",
            messages=("A: 언제 봐?", "B: 3시 홍대"),
            options={"since_seq": 0},
            contains=("홍대",),
            cites=(2,),
        ),
        Case("후보", "smart_replies", messages=("B: 볼래?",), lacks=("https",), language="ko"),
        Case("답", "reply", messages=("A: 안녕", "B: 네?", "A: 010-1234-5678 기억해"), longest=3),
        Case("판정", "moderate", messages=("B: 안녕",), categories=("spam",)),
        Case("고침", "rewrite", input="밥 먹어", options={"style": "polite"}),
        Case("옮김", "translate", input="7:30에 봐", options={"target": "en"}, fails="invalid_answer"),
    )
    assert [outcome.wrong for outcome in outcomes] == [
        (), (), ("it has 7 characters, over 3",), ("it finds (), not ('spam',)",), (), (),
    ]  # fmt: skip
    assert all(outcome.usage == (11, 7) for outcome in outcomes)
    assert not any("010-1234-5678" in asked.words for asked in model.asked)
    assert [await asyncio.to_thread(one.objects.count) for one in (AiJob, Disclosure)] == [0, 0]


async def test_a_failure_is_an_outcome(house: House, model: ModelServer) -> None:
    model.next.append(Answer(status=400))
    [outcome] = await tried(Case("고침", "rewrite", input="밥", options={"style": "polite"}))
    assert (outcome.answer, outcome.wrong) == ("provider_unavailable", ("it failed: provider_unavailable",))
    [outcome] = await tried(Case("고침", "rewrite", input="밥", options={"style": "polite"}, fails="cut_off"))
    assert outcome.wrong == ("it did not fail with cut_off",)


async def test_a_prompt_on_trial_takes_the_place_of_the_one_in_force(house: House, model: ModelServer) -> None:
    draft = await asyncio.to_thread(versions.draft, "rewrite.polite", "ko", "정중하게: $fence 안의 글.")
    case = Case("고침", "rewrite", input="밥 먹어", options={"style": "polite"})
    await tried(case, trying=draft)
    await tried(case)
    assert model.asked[0].system.startswith("정중하게: ")
    assert not model.asked[1].system.startswith("정중하게: ")
    assert (await asyncio.to_thread(Prompt.objects.get, id=draft.id)).status == "draft"


@pytest.mark.parametrize(
    ("case", "answer", "count"),
    [
        (Case("x", "reply", contains=("둘", "셋")), JobResult(text="하나 둘"), 1),
        (Case("x", "reply", lacks=("하나",)), JobResult(text="하나 둘"), 1),
        (Case("x", "reply", language="en"), JobResult(text="하나 둘"), 1),
        (Case("x", "summarize", cites=(1,)), JobResult(text="", citations=(Citation("m", "c", 2),)), 1),
        (Case("x", "moderate", categories=()), JobResult(verdict=Verdict(True, ("spam",))), 1),
        (Case("x", "moderate", categories=("spam",)), JobResult(verdict=Verdict(True, ("spam",))), 0),
        (Case("x", "reply"), "cut_off", 1),
        (Case("x", "reply", fails="cut_off"), "cut_off", 0),
    ],
)
def test_a_case_says_what_does_not_hold(case: Case, answer: Any, count: int) -> None:
    assert len(list(case.wrong(answer))) == count


def test_some_cases_of_each_kind_come_with_doran() -> None:
    shipped = saved.read(None)
    assert {case.kind for case in shipped} == set(get_args(Kind))
    assert len({case.name for case in shipped}) == len(shipped)


@pytest.mark.parametrize(
    "text",
    ["", "[[case]]", '[[case]]\nname = "x"\nkind = "poem"', '[[case]]\nname="x"\nkind="reply"\ncontains=["("]', "x ="],
)
def test_cases_that_cannot_be_read_are_said_to_be_so(tmp_path: Path, text: str) -> None:
    file = tmp_path / "cases.toml"
    file.write_text(text)
    with pytest.raises(BadSetting, match=r"cases\.toml"):
        saved.read(file)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_command_says_how_it_went(model: ModelServer, tmp_path: Path) -> None:
    (tmp_path / "cases.toml").write_text(
        '[[case]]\nname = "좋음"\nkind = "rewrite"\ninput = "밥"\noptions = { style = "polite" }\ncontains = ["좋아요"]\n'
        '[[case]]\nname = "나쁨"\nkind = "moderate"\ninput = "밥"\ncategories = ["spam"]\n'
    )
    settings = {"DORAN_AI_PROVIDERS": model.toml(), "DORAN_DATA": str(tmp_path / "data")}
    assert doran("migrate", cwd=tmp_path, **settings).returncode == 0
    done = doran("ai", "eval", "--cases", "cases.toml", cwd=tmp_path, **settings)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "ok  좋음"
    assert lines[1] == "NO  나쁨  it finds (), not ('spam',)"
    assert lines[2].startswith("1 of 2 went well")
    none = doran("ai", "eval", cwd=tmp_path, DORAN_DATA=settings["DORAN_DATA"])
    assert "No provider is set up" in none.stderr
    assert none.returncode != 0
