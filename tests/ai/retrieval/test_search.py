"""Search: by words and meaning, over what both people allow, shown as the asker sees it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest
from django.db import transaction

from doran.ai.models import AiJob, Consent, Conversation, EmbeddedUpTo, Embedding
from doran.ai.retrieval import brute_force, finding, matching, pgvector, search, storing, vectors
from doran.ai.retrieval.brute_force import Row
from doran.ai.retrieval.pgvector.looking import Mine
from doran.contracts.errors import Problem
from doran.contracts.frames import MessageView
from doran.contracts.people import ASSISTANT_ID
from doran.kernel import clock
from doran.server.wiring import House
from tests import stores
from tests.ai.neighbours import Chat, Place
from tests.ai.retrieval.conftest import Model, agreed, allows, does, finds, happens, vector
from tests.cast import Person
from tests.wire import refuses


async def asked(question: Any, *args: Any, **more: Any) -> Any:
    return await asyncio.to_thread(question, *args, **more)


async def test_what_was_said_is_found(chat: Chat, model: Model, minji: Person, junho: Person, talk: Place) -> None:
    said = [
        chat.says(talk, junho.id, words) for words in ("비밀번호를 까먹었어", "저녁에 비빔밥 먹자", "기차표 예매했어")
    ]
    await agreed(talk, minji, junho)
    for who in (minji, junho):
        assert (await finds(model, who, "비빔밥"))[0] == said[1].id
    answer = await does(model, minji, "semantic_search", input="비빔밥")
    assert (answer.citations[0].conversation_id, answer.citations[0].seq) == (talk.id, 2)
    assert len(await finds(model, minji, "먹자", limit=1)) == 1


async def test_without_both_peoples_word_nothing_is_read_kept_or_found(
    chat: Chat, model: Model, minji: Person, junho: Person, talk: Place
) -> None:
    chat.says(talk, junho.id, "비밀번호는 나만 알지")
    for scope in ("off", "on_demand"):
        await agreed(talk, minji)
        await agreed(talk, junho, scope=scope)
        for kind, facts in (("semantic_search", {}), ("ask", {}), ("ask", {"conversation_id": talk.id})):
            with pytest.raises(Problem, match="consent_needed"):
                await does(model, minji, kind, input="비밀번호", **facts)
        with pytest.raises(Problem, match="consent_needed"):
            await does(model, minji, "embed", conversation_id=talk.id)
    assert model.embedded == []
    assert await asked(Embedding.objects.count) == 0
    assert not any(path.endswith("changes/") for path, _ in chat.asked)


async def test_consent_taken_back_is_taken_back_at_once(
    chat: Chat, model: Model, minji: Person, junho: Person, talk: Place
) -> None:
    chat.says(talk, junho.id, "저녁에 비빔밥 먹자")
    await agreed(talk, minji, junho)
    assert await finds(model, minji, "비빔밥")
    await allows(junho, talk.id, "off")
    with pytest.raises(Problem, match="consent_needed"):
        await finds(model, minji, "비빔밥")
    assert await asked(EmbeddedUpTo.objects.count) == 0


async def test_who_takes_it_back_in_the_midst_of_it_is_not_kept(
    chat: Chat, model: Model, minji: Person, junho: Person, talk: Place
) -> None:
    chat.says(talk, junho.id, "저녁에 비빔밥 먹자")
    await agreed(talk, minji, junho)

    async def changes_his_mind() -> None:
        model.before = None
        await allows(junho, talk.id, "off")

    model.before = changes_his_mind
    with pytest.raises(Problem, match="consent_needed"):
        await does(model, minji, "embed", conversation_id=talk.id)
    assert await asked(Embedding.objects.count) == 0


async def test_what_i_hid_or_somebody_deleted_is_not_shown(
    house: House, chat: Chat, model: Model, minji: Person, junho: Person, talk: Place
) -> None:
    said = [chat.says(talk, junho.id, f"비빔밥 {number} 그릇") for number in range(4)]
    await agreed(talk, minji, junho)
    assert set(await finds(model, minji, "비빔밥")) == {one.id for one in said}
    talk.hidden.add((minji.id, said[0].id))
    chat.deletes(talk, said[1])
    edited = chat.edits(talk, said[2], "국수 두 그릇")
    found = await finds(model, minji, "비빔밥")
    assert set(found) == {edited.id, said[3].id}
    assert found[0] == said[3].id
    assert said[0].id in await finds(model, junho, "비빔밥")


async def test_an_edit_is_found_by_its_new_words_only(
    house: House, chat: Chat, model: Model, minji: Person, junho: Person, talk: Place
) -> None:
    said = chat.says(talk, junho.id, "옛말 그대로")
    await agreed(talk, minji, junho)
    await finds(model, minji, "옛말")
    await happens(house, chat.updated(chat.edits(talk, said, "새로운 이야기")))
    assert await asked(Embedding.objects.count) == 0
    await finds(model, minji, "이야기")
    (row,) = await asked(lambda: list(Embedding.objects.values_list("message_version", "vector")))
    assert (row[0], bytes(row[1])) == (2, vector("새로운 이야기"))


async def test_a_short_message_is_found_by_its_words_alone(
    chat: Chat, model: Model, minji: Person, junho: Person, talk: Place
) -> None:
    short, long = chat.says(talk, junho.id, "👍"), chat.says(talk, junho.id, "정말 좋은 생각이야")
    await agreed(talk, minji, junho)
    assert (await finds(model, minji, "👍"))[0] == short.id
    assert await finds(model, minji, "생각") == [long.id]
    assert "👍" not in model.embedded


async def test_each_message_is_sent_once_and_the_walk_goes_on_where_it_broke_off(
    chat: Chat, model: Model, minji: Person, junho: Person, talk: Place
) -> None:
    for number in range(230):
        chat.says(talk, junho.id, f"이것은 {number} 번째 말")
    await agreed(talk, minji, junho)
    calls = 0

    async def breaks_off() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Problem("unavailable")

    model.before = breaks_off
    with pytest.raises(Problem, match="unavailable"):
        await does(model, minji, "embed", conversation_id=talk.id)
    model.before = None
    for who in (minji, junho, minji):
        await does(model, who, "embed", conversation_id=talk.id)
    assert sorted(model.embedded) == sorted(one.content for one in talk.messages)
    assert await asked(Embedding.objects.count) == 230
    marks = await asked(lambda: set(EmbeddedUpTo.objects.values_list("user_id", "change_seq")))
    assert marks == {(minji.id, 230), (junho.id, 230)}


async def test_a_store_that_was_restored_is_read_anew(
    chat: Chat, model: Model, minji: Person, junho: Person, talk: Place
) -> None:
    said = [chat.says(talk, junho.id, words) for words in ("처음 한 말", "나중에 한 말")]
    await agreed(talk, minji, junho)
    await does(model, minji, "embed", conversation_id=talk.id)
    talk.messages.pop()
    talk.change_seq = 1
    await does(model, minji, "embed", conversation_id=talk.id)
    assert await asked(lambda: list(Embedding.objects.values_list("message_id", flat=True))) == [said[0].id]


async def test_what_a_restore_kept_is_read_to_its_end_once(
    chat: Chat, model: Model, minji: Person, junho: Person, talk: Place
) -> None:
    """Marks of rows from before the restore count only with the epoch of the page that gave them."""
    for number in range(250):
        chat.says(talk, junho.id, f"이야기 {number}번")
    await agreed(talk, minji, junho)
    await does(model, minji, "embed", conversation_id=talk.id)
    talk.reset_before = talk.change_seq + 1
    chat.says(talk, junho.id, "돌아온 다음의 말")
    model.embedded.clear()
    await does(model, minji, "embed", conversation_id=talk.id)
    assert sorted(model.embedded) == sorted(one.content for one in talk.messages)
    assert await asked(Embedding.objects.count) == 251


async def test_patience_ends_and_the_rest_follows_in_the_background(
    chat: Chat, model: Model, minji: Person, junho: Person, talk: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "PATIENCE", 0.0)
    chat.says(talk, junho.id, "저녁에 비빔밥 먹자")
    await agreed(talk, minji, junho)
    for _ in range(2):
        assert await finds(model, minji, "비빔밥") == []
    jobs = await asked(lambda: list(AiJob.objects.filter(kind="embed").values_list("user_id", "conversation_id")))
    assert jobs == [(minji.id, talk.id)]


async def test_where_somebody_searched_news_become_findable_soon_and_elsewhere_nothing_is_done(
    house: House, chat: Chat, model: Model, minji: Person, junho: Person, talk: Place
) -> None:
    await agreed(talk, minji, junho)
    await happens(house, chat.created(chat.says(talk, junho.id, "아무도 찾지 않는 말")))
    assert await asked(AiJob.objects.filter(kind="embed").count) == 0
    await finds(model, minji, "말")
    for words in ("첫 소식", "다음 소식"):
        await happens(house, chat.created(chat.says(talk, junho.id, words)))
    jobs = await asked(lambda: list(AiJob.objects.filter(kind="embed").values_list("user_id", "conversation_id")))
    assert jobs == [(minji.id, talk.id)]


async def test_the_assistants_conversation_is_searched_when_its_human_allows_it(
    chat: Chat, model: Model, minji: Person
) -> None:
    talk = chat.starts(minji.id, ASSISTANT_ID)
    said = chat.says(talk, ASSISTANT_ID, "비빔밥은 어때요?")
    with pytest.raises(Problem, match="consent_needed"):
        await finds(model, minji, "비빔밥")
    await agreed(talk, minji)
    assert await finds(model, minji, "비빔밥") == [said.id]


async def test_without_chat_nothing_is_guessed(
    chat: Chat, model: Model, minji: Person, junho: Person, talk: Place
) -> None:
    chat.says(talk, junho.id, "저녁에 비빔밥 먹자")
    await agreed(talk, minji, junho)
    assert await finds(model, minji, "비빔밥")
    chat.is_away = True
    with pytest.raises(Problem, match="unavailable"):
        await finds(model, minji, "비빔밥")


async def test_embedding_by_a_message_is_by_its_conversation_and_not_for_the_outsider(
    chat: Chat, model: Model, minji: Person, junho: Person, sora: Person, talk: Place
) -> None:
    said = chat.says(talk, junho.id, "저녁에 비빔밥 먹자")
    await agreed(talk, minji, junho)
    for given in ({"message_id": said.id}, {"conversation_id": talk.id}):
        with pytest.raises(Problem, match="not_found"):
            await does(model, sora, "embed", **given)
    assert await asked(Embedding.objects.count) == 0
    await does(model, minji, "embed", message_id=said.id)
    assert await asked(Embedding.objects.count) == 1


@pytest.mark.parametrize("kind", ["semantic_search", "ask", "embed"])
async def test_without_numpy_it_is_not_offered(
    house: House, model: Model, minji: Person, talk: Place, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    assert kind in (await minji.gets("/api/ai/"))["kinds"]
    monkeypatch.setattr(vectors, "can", lambda: False)
    assert kind not in (await minji.gets("/api/ai/"))["kinds"]
    answer = await minji.asks("POST", "/api/ai/jobs/", {"kind": kind, "input": "비빔밥", "conversation_id": talk.id})
    refuses(answer, 503, "no_provider")
    assert await asked(AiJob.objects.count) == 0


# -- the arithmetic ------------------------------------------------------------------------------------


def test_vectors_of_another_length_are_no_neighbours() -> None:
    near = vectors.nearness([vector("가나다라"), b"", vector("가나다라")[:8]], vector("가나다라"))
    assert near[0] == pytest.approx(1.0, abs=1e-4)
    assert (near[1:] < -1).all()


def test_of_equal_ones_the_newest_is_first() -> None:
    rows = [Row(name, 1, vector("같은 말이야"), b"") for name in ("a", "c", "b")]
    assert [one.message_id for one in brute_force.ranked(iter(rows), "같은 말", vector("같은 말"))] == ["c", "b", "a"]


def test_nothing_is_ranked_where_nothing_is() -> None:
    assert brute_force.ranked(iter([]), "말", vector("말")) == []
    assert matching.shares([matching.hits([b"", b""], {})], {}, of=2).tolist() == [0.0, 0.0]


async def test_the_database_compares_where_it_can_and_only_there(house: House) -> None:
    assert await asked(pgvector.is_ready) == (stores.WANTED == "pgvector")


# -- nobody else's -------------------------------------------------------------------------------------

PEOPLE, PLACES, EACH = 12, 40, 15
SEARCHES = 10_000 if stores.ENGINE == "sqlite" else 2_000  # each is a way to the server and back


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_in_thousands_of_searches_nobody_finds_what_is_not_theirs(house: House, chat: Chat, model: Model) -> None:
    """Whoever asks, with whichever consents: each row that is looked at is of a conversation of the asker's, in which
    both allow it; and whatever is shown was shown by chat to the asker."""
    dice = random.Random(7)
    people = [f"person-{number}" for number in range(PEOPLE)]
    whose: dict[str, tuple[Place, MessageView]] = {}
    for _ in range(PLACES):
        place = chat.starts(*dice.sample(people, 2))
        for number in range(EACH):
            said = chat.says(place, dice.choice(place.people), f"{dice.choice(WORDS)} {dice.choice(WORDS)} {number}")
            whose[said.id] = (place, said)
    await asked(everything_kept, chat)
    allowed = await asked(shuffled, chat, dice)
    seen_by = Counter[str]()
    for number in range(SEARCHES):
        if number % 100 == 0:
            allowed = await asked(shuffled, chat, dice)
        who, words = dice.choice(people), dice.choice(WORDS)
        way = "found" if number % 10 == 0 else "looked at"
        seen = await asked(found_by, who, words) if way == "found" else await asked(looked_at, who)
        seen_by[way] += len(seen)
        for message_id in seen:
            place, _ = whose[message_id]
            assert who in place.people
            assert allowed[place.id]
    assert min(seen_by["found"], seen_by["looked at"]) > SEARCHES // 10


WORDS = ("비빔밥", "회의", "기차표", "비밀번호", "선물", "저녁", "meeting", "docker", "여행", "사진")


def looked_at(user_id: str) -> list[str]:
    if pgvector.is_ready():
        return [row[0] for row in Mine(user_id, "toy").rows("SELECT message_id FROM ai_nearby WHERE {mine}")]
    return [row.message_id for row in brute_force.rows(user_id, "toy")]


def found_by(user_id: str, words: str) -> list[str]:
    return [hit.message.id for hit in search.search(user_id, words, vector(words), model="toy", most=10)]


def everything_kept(chat: Chat) -> None:
    """As if all had been embedded: so that nothing but the question to the database keeps it from anybody."""
    Conversation.objects.bulk_create(
        Conversation(id=one.id, participant1_id=one.people[0], participant2_id=one.people[1])
        for one in chat.places.values()
    )
    said = [one for place in chat.places.values() for one in place.messages]
    with transaction.atomic(using="ai"):
        storing.store([storing._row(one, "toy", vector(one.content)) for one in said])


def shuffled(chat: Chat, dice: random.Random) -> dict[str, bool]:
    """Everybody changes their mind; in which conversations both allow it."""
    said = {(place.id, one): dice.choice(SCOPES) for place in chat.places.values() for one in place.people}
    Consent.objects.all().delete()
    Consent.objects.bulk_create(
        Consent(conversation_id=place, user_id=one, scope=scope, changed_at=clock.now())
        for (place, one), scope in said.items()
        if scope
    )
    return {place.id: all(said[place.id, one] == "history" for one in place.people) for place in chat.places.values()}


SCOPES = (None, "off", "on_demand", "history", "history", "history")


def test_equal_messages_are_equally_near_wherever_they_stand() -> None:
    """Libraries of arithmetic add up the rows at the end of a table in another order."""
    query, same = vector("오늘 저녁 비빔밥"), vector("저녁에 비빔밥 먹자")
    for count in range(1, 40):
        near = vectors.nearness([same] * count + [vector("기차표 예매했어")], query)
        assert len(set(near[:count].tolist())) == 1
