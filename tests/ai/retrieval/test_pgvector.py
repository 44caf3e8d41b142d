"""The database compares: it finds what brute force finds, keeps up, forgets, and is left out where it cannot."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.db import transaction

from doran.ai.models import Consent, Conversation, Embedding
from doran.ai.retrieval import brute_force, grams, pgvector, storing
from doran.ai.retrieval.pgvector import table
from doran.ai.retrieval.ranking import Found
from doran.kernel import clock
from doran.server.wiring import House
from tests import stores
from tests.ai.conftest import MINT
from tests.ai.neighbours import Chat, Place
from tests.ai.retrieval.conftest import Model, agreed, allows, does, finds, happens, vector
from tests.ai.retrieval.test_korean import Query, Set, read
from tests.cast import Person
from tests.servers.databases import PgVector, private_database
from tests.stage import staged

pytestmark = [pytest.mark.timeout(300)]

_numbers = count()


@pytest.fixture(scope="module")
def server() -> Iterator[PgVector]:
    with private_database(PgVector) as server:
        yield server


class Database:
    """ai's, as a program beside the house sees it."""

    def __init__(self, server: PgVector) -> None:
        self.server, self.name = server, f"ai_{next(_numbers)}"
        server.say(f"CREATE DATABASE {self.name}")

    def say(self, statement: str) -> list[tuple[Any, ...]]:
        return self.server.say(statement, database=self.name)

    def nearby(self) -> int:
        return int(self.say("SELECT count(*) FROM ai_nearby")[0][0])


@pytest.fixture
def database(server: PgVector) -> Iterator[Database]:
    yield Database(server)
    stores.point("ai", None)


@pytest.fixture
async def house(database: Database) -> AsyncIterator[House]:
    where = database.server.url(database.name)
    async with staged(services=("ai",), own_keys=MINT.published, ai_database=where) as house:
        yield house


async def asked(question: Any, *args: Any, **more: Any) -> Any:
    return await asyncio.to_thread(question, *args, **more)


# -- the same is found -------------------------------------------------------------------------------


def kept(*rows: Embedding) -> None:
    with transaction.atomic(using="ai"):
        storing.store(list(rows))


def row(message_id: str, made: bytes, *, words: str = "", place: str = "talk", model: str = "toy") -> Embedding:
    return Embedding(
        id=clock.new_id(), message_id=message_id, message_version=7, model=model, conversation_id=place, seq=1,
        sender_id="준호", vector=made, grams=grams.grams(words), created_at=clock.now(),
    )  # fmt: skip


def remembered(place: str, *people: str) -> None:
    """Both allow it."""
    Conversation.objects.create(id=place, participant1_id=people[0], participant2_id=people[1])
    for one in people:
        Consent.objects.create(conversation_id=place, user_id=one, scope="history", changed_at=clock.now())


def exact(dice: np.random.Generator, size: int = 24) -> bytes:
    """Numbers that 16 bits hold whole: so that both ways see the same, and much that is equally near."""
    return bytes((dice.integers(-4, 5, size) / 8).astype("<f4").tobytes())


def both(query: str, made: bytes) -> tuple[list[Found], list[Found]]:
    ways = pgvector.found("민지", query, made, model="toy"), brute_force.found("민지", query, made, model="toy")
    return ways[0], ways[1]


def lived_in() -> None:
    """Two hundred messages, some without a vector, some said twice, some of another model, length, or conversation."""
    dice = np.random.default_rng(7)
    remembered("talk", "민지", "준호")
    remembered("others", "준호", "소라")
    for number in range(200):
        made = b"" if number % 9 == 0 else exact(dice)
        said = f"{random.Random(number).choice(WORDS)} {random.Random(-number).choice(WORDS)}"
        kept(*(row(str(uuid.uuid4()), made, words=said) for _ in range(1 + (number % 11 == 0))))
        kept(row(f"{number}-model", made, words=said, model="other"), row(f"{number}-other", made, place="others"))
        kept(row(f"{number}-short", made[:8], words=said))


WORDS = ("비빔밥", "회의실", "기차표", "비밀번호", "선물", "저녁", "meeting", "docker", "여행", "사진")


async def test_whatever_is_asked_both_ways_find_the_same_in_the_same_order(house: House) -> None:
    await asked(lived_in)
    dice = np.random.default_rng(8)
    for query in (*WORDS, "저녁 비빔밥", "👍", "", "아무도 한 적 없는 말", "meetings"):
        for made in (exact(dice), b"", exact(dice)[:8], exact(dice, 25)):
            there, here = await asked(both, query, made)
            assert there == here
            assert not any(one.message_id.endswith(("model", "other")) for one in there)


@dataclass(frozen=True)
class InDatabase(Set):
    """The same messages and questions; rows of one way are of a model by its name."""

    def keep(self) -> None:
        remembered("talk", "민지", "준호")
        for ways in ("words", "meaning", "both"):
            made = [row(one.message_id, one.vector, model=ways) for one in self.rows]
            for stored, one in zip(made, self.rows, strict=True):
                stored.grams = b"" if ways == "meaning" else one.grams
            kept(*made)

    def _found(self, query: Query, vector: bytes, ways: str) -> list[Found]:
        return pgvector.found("민지", query.text, vector, model=ways)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tables"), [("korean.toml", ("queries", "zero_overlap")), ("held_out.toml", ("queries",))]
)
async def test_korean_is_found_as_well_as_by_brute_force(
    house: House, embed: Any, name: str, tables: tuple[str, ...]
) -> None:
    here = await asked(read, name, embed, *tables)
    there = InDatabase(here.rows, here.queries, here.embed)
    await asked(there.keep)
    for ways in ("words", "meaning", "both"):
        assert await asked(there.score, ways) == pytest.approx(await asked(here.score, ways), abs=here.margin)


# -- it keeps up and forgets ---------------------------------------------------------------------------


async def test_what_is_made_findable_is_searched_in_the_database(
    database: Database, chat: Chat, model: Model, minji: Person, junho: Person, talk: Place, monkeypatch: Any
) -> None:
    monkeypatch.setattr(brute_force, "found", None)
    said = [chat.says(talk, junho.id, words) for words in ("저녁에 비빔밥 먹자", "기차표 예매했어", "👍")]
    await agreed(talk, minji, junho)
    assert (await finds(model, minji, "비빔밥"))[0] == said[0].id
    assert (await finds(model, minji, "👍"))[0] == said[2].id
    assert await asked(database.nearby) == 3


async def test_the_row_goes_with_the_message_the_consent_and_the_person(
    house: House, database: Database, chat: Chat, model: Model, minji: Person, junho: Person, talk: Place
) -> None:
    await agreed(talk, minji, junho)
    said = [chat.says(talk, junho.id, f"비빔밥 {number} 그릇") for number in range(3)]
    await finds(model, minji, "비빔밥")
    await happens(house, chat.updated(chat.edits(talk, said[0], "국수 한 그릇")))
    await happens(house, chat.deleted(chat.deletes(talk, said[1])))
    assert await asked(database.say, "SELECT message_id FROM ai_nearby") == [(said[2].id,)]
    await does(model, minji, "embed", conversation_id=talk.id)
    assert await asked(database.nearby) == 2
    await allows(junho, talk.id, "off")
    assert await asked(database.nearby) == 0


# -- it comes and goes ---------------------------------------------------------------------------------


def come() -> None:
    if pgvector.make():
        pgvector.complete()


async def test_what_was_kept_before_it_came_is_brought_over(house: House, database: Database) -> None:
    await asked(table.drop)
    await asked(lived_in)
    assert not await asked(pgvector.is_ready)
    assert await asked(pgvector.make)
    await asked(kept, row("meanwhile", vector("그 사이에 한 말"), words="그 사이에 한 말"))
    assert (await asked(database.nearby), await asked(pgvector.is_ready)) == (1, False)
    await asked(pgvector.complete)
    assert await asked(pgvector.is_ready)
    assert await asked(database.nearby) == await asked(Embedding.objects.count)
    there, here = await asked(both, "비빔밥", exact(np.random.default_rng(9)))
    assert there == here
    assert not await asked(pgvector.make)


async def test_where_the_extension_is_taken_away_arithmetic_goes_on_and_it_may_come_back(
    database: Database, chat: Chat, model: Model, minji: Person, junho: Person, talk: Place
) -> None:
    said = chat.says(talk, junho.id, "저녁에 비빔밥 먹자")
    await agreed(talk, minji, junho)
    assert await finds(model, minji, "비빔밥") == [said.id]
    await asked(database.say, "DROP EXTENSION vector CASCADE")
    later = chat.says(talk, junho.id, "비빔밥 말고 국수")
    assert set(await finds(model, minji, "비빔밥")) == {said.id, later.id}
    await asked(come)
    assert await asked(pgvector.is_ready)
    assert set(await finds(model, minji, "비빔밥")) == {said.id, later.id}
    assert await asked(database.nearby) == 2


async def test_tables_go_backwards_and_forwards_with_it(house: House, database: Database) -> None:
    await asked(lived_in)
    before = await asked(database.nearby)
    await asked(call_command, "migrate", "ai", "0006", database="ai", verbosity=0, skip_checks=True)
    assert await asked(database.say, "SELECT to_regclass('ai_nearby')") == [(None,)]
    await asked(call_command, "migrate", "ai", database="ai", verbosity=0, skip_checks=True)
    assert (await asked(database.nearby), await asked(pgvector.is_ready)) == (before, True)
    await asked(call_command, "migrate", "ai", "zero", database="ai", verbosity=0, skip_checks=True)
    await asked(call_command, "migrate", "ai", database="ai", verbosity=0, skip_checks=True)
    assert (await asked(database.nearby), await asked(pgvector.is_ready)) == (0, True)
