"""Scrolling back: pages by arithmetic, the same price at any depth."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db.backends.utils import CursorWrapper

from tests.cast import Person
from tests.chat.conftest import Deployment, Play
from tests.wire import refuses


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every statement by which calls read meanwhile; what the house reads for itself is none of them."""
    asked: list[str] = []
    execute = CursorWrapper.execute

    def noted(self: Any, statement: str, *rest: Any) -> Any:
        if statement.startswith("SELECT") and threading.current_thread().name.startswith("django-"):
            asked.append(statement)
        return execute(self, statement, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(CursorWrapper, "execute", noted)
        yield asked


async def filled(person: Person, talk: str, count: int) -> None:
    socket = await person.opens(talk)
    for number in range(1, count + 1):
        socket.says(type="chat_message", content=f"{number}")
    for _ in range(count):
        await socket.hears("ack")
    await socket.leaves()


def path(talk: str, query: str = "") -> str:
    return f"/api/chat/conversations/{talk}/messages/{query}"


def seqs(page: Any) -> list[int]:
    return [one["seq"] for one in page["results"]]


def query(url: str | None) -> dict[str, str] | None:
    return None if url is None else {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def test_pages_are_newest_first_and_know_their_neighbours(minji: Person, talk: str) -> None:
    await filled(minji, talk, 45)
    first = await minji.gets(path(talk))
    assert (seqs(first), first["count"], first["previous"]) == (list(range(45, 25, -1)), 45, None)
    second = await minji.gets(relative(first["next"]))
    assert seqs(second) == list(range(25, 5, -1))
    third = await minji.gets(relative(second["next"]))
    assert (seqs(third), third["next"], query(third["previous"])) == ([5, 4, 3, 2, 1], None, {"page": "2"})
    beyond = await minji.gets(path(talk, "?page=4"))
    assert (seqs(beyond), beyond["count"], beyond["next"]) == ([], 45, None)
    far = await minji.gets(path(talk, "?page=2147483647&page_size=100"))
    assert (seqs(far), far["count"]) == ([], 45)


def relative(url: str) -> str:
    """An address of ours without its origin."""
    parts = urlsplit(url)
    assert parts.netloc == "localhost"
    return f"{parts.path}?{parts.query}"


@pytest.mark.parametrize("size", [1, 7, 20, 100])
async def test_walking_the_pages_meets_every_message_once(minji: Person, talk: str, size: int) -> None:
    await filled(minji, talk, 23)
    met: list[int] = []
    url = path(talk, f"?page_size={size}")
    while url:
        page = await minji.gets(url)
        met += seqs(page)
        url = page["next"] and relative(page["next"])
    assert met == list(range(23, 0, -1))


async def test_beside_a_seq(minji: Person, talk: str) -> None:
    await filled(minji, talk, 30)
    before = await minji.gets(path(talk, "?before_seq=11&page_size=4"))
    assert (seqs(before), query(before["next"]), query(before["previous"])) == (
        [10, 9, 8, 7], {"before_seq": "7", "page_size": "4"}, {"after_seq": "10", "page_size": "4"},
    )  # fmt: skip
    after = await minji.gets(path(talk, "?after_seq=11&page_size=4"))
    assert (seqs(after), query(after["previous"])) == ([15, 14, 13, 12], {"after_seq": "15", "page_size": "4"})
    assert seqs(await minji.gets(path(talk, "?after_seq=28"))) == [30, 29]
    assert seqs(await minji.gets(path(talk, "?before_seq=3"))) == [2, 1]
    for nothing in ("?before_seq=1", "?before_seq=0", "?after_seq=30", "?after_seq=9007199254740992"):
        page = await minji.gets(path(talk, nothing))
        assert (page["results"], page["next"], page["count"]) == ([], None, 30)
    assert seqs(await minji.gets(path(talk, "?before_seq=9007199254740992&page_size=1"))) == [30]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ("?page=0", "page"), ("?page=-1", "page"), ("?page=x", "page"), ("?page=99999999999999999999", "page"),
        ("?page_size=0", "page_size"), ("?page_size=101", "page_size"), ("?page=1.5", "page"),
        ("?before_seq=-1", "before_seq"), ("?before_seq=x", "before_seq"),
        ("?after_seq=99999999999999999999", "after_seq"), ("?before_seq=1&after_seq=1", "before_seq"),
        ("?offset=3", "offset"), ("?page=", "page"),
    ],
)  # fmt: skip
async def test_a_wrong_page_is_named(minji: Person, talk: str, wrong: str, field: str) -> None:
    refuses(await minji.asks("GET", path(talk, wrong)), 422, "validation_failed", field)


async def test_deleted_ones_stay_as_tombstones(minji: Person, talk: str) -> None:
    await filled(minji, talk, 3)
    middle = (await minji.gets(path(talk)))["results"][1]
    await minji.deletes(middle)
    page = await minji.gets(path(talk))
    assert [(one["seq"], one["content"], one["is_deleted"]) for one in page["results"]] == [
        (3, "3", False), (2, "", True), (1, "1", False),
    ]  # fmt: skip
    assert page["count"] == 3


async def test_hidden_history_is_on_no_page(minji: Person, junho: Person, talk: str) -> None:
    await filled(minji, talk, 30)
    await minji.changes(talk, hidden_before_seq=21)
    page = await minji.gets(path(talk, "?page_size=6"))
    assert (seqs(page), page["count"], query(page["next"])) == (
        [30, 29, 28, 27, 26, 25], 10, {"page": "2", "page_size": "6"},
    )  # fmt: skip
    assert seqs(await minji.gets(path(talk, "?page=2&page_size=6"))) == [24, 23, 22, 21]
    assert seqs(await minji.gets(path(talk, "?before_seq=24"))) == [23, 22, 21]
    assert seqs(await minji.gets(path(talk, "?after_seq=3&page_size=2"))) == [22, 21]
    assert (await junho.gets(path(talk)))["count"] == 30


async def test_depth_costs_nothing_and_nothing_is_counted(
    minji: Person, talk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(minji, talk, 120)
    prices = []
    for wanted in ("?page=1&page_size=2", "?page=60&page_size=2", "?page=1&page_size=100", "?before_seq=4"):
        with counted(monkeypatch) as asked:
            await minji.gets(path(talk, wanted))
        prices.append(len(asked))
        assert not [one for one in asked if "COUNT(" in one.upper() or "OFFSET" in one.upper()]
    assert len(set(prices)) == 1
    assert prices[0] <= 4


async def test_the_list_costs_the_same_for_one_and_for_many(
    play: Play, minji: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = {}
    for number in range(12):
        friend = await play.person(f"친구 {number}")
        await friend.sends(await minji.starts(friend), "안녕")
        if number in (0, 11):
            with counted(monkeypatch) as asked:
                page = await minji.gets("/api/chat/users/me/conversations/?page_size=100")
            assert len(page["results"]) == number + 1
            prices[number] = len(asked)
    assert prices[0] == prices[11] <= 6


async def test_the_list_is_by_newest_activity(play: Play, minji: Person, junho: Person, sora: Person) -> None:
    first, second = await minji.starts(junho), await minji.starts(sora)
    listed = await minji.gets("/api/chat/users/me/conversations/")
    assert [one["id"] for one in listed["results"]] == [second, first]
    await junho.sends(first, "나 여기")
    listed = await minji.gets(f"/api/chat/users/{minji.id}/conversations/")
    assert [(one["id"], one["unread_count"], one["messages"]) for one in listed["results"]] == [
        (first, 1, []), (second, 0, []),
    ]  # fmt: skip
    assert (listed["count"], listed["results"][0]["last_message"]["content"]) == (2, "나 여기")
    page = await minji.gets("/api/chat/users/me/conversations/?page=2&page_size=1")
    assert ([one["id"] for one in page["results"]], page["next"], query(page["previous"])) == (
        [second], None, {"page": "1", "page_size": "1"},
    )  # fmt: skip


async def test_the_first_look_shows_the_newest_twenty(minji: Person, talk: str) -> None:
    await filled(minji, talk, 60)
    assert [one["seq"] for one in (await minji.sees(talk))["messages"]] == list(range(41, 61))
    history = await (await minji.opens(talk)).hears("conversation_history")
    assert [one["seq"] for one in history["messages"]] == list(range(11, 61))
    assert (history["has_more"], history["last_seq"], history["change_seq"]) == (True, 60, 60)


async def test_the_list_says_of_each_what_it_says_of_itself(play: Play, minji: Person) -> None:
    """Silent, busy, muted, with a draft, with a hidden or deleted last message, hidden as a whole."""
    friends = [await play.person(f"친구 {number}") for number in range(6)]
    places = [await minji.starts(friend) for friend in friends]
    for friend, place in list(zip(friends, places, strict=True))[1:]:
        await minji.sends(place, "안녕")
        last = await friend.sends(place, "응, 안녕", client_message_id="m-1")
    await minji.deletes(last, scope="me")
    await friends[4].deletes((await minji.sees(places[4]))["messages"][-1])
    await minji.changes(places[2], muted_until="2030-01-01T00:00:00Z", draft="나중에", marked_unread=True)
    await minji.changes(places[3], hidden_before_seq=3)
    listed = {one["id"]: one for one in (await minji.gets("/api/chat/users/me/conversations/"))["results"]}
    assert listed.keys() == set(places)
    for place in places:
        assert listed[place] == {**await minji.sees(place), "messages": []}


# -- where links lead ---------------------------------------------------------------------------------------

PROXY, FORWARDED = "10.0.0.9", {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize(
    ("settings", "client", "headers", "host", "leads"),
    [
        ({}, PROXY, FORWARDED, "localhost", "https://localhost/"),
        ({}, PROXY, {**FORWARDED, "X-Forwarded-Proto": "HTTPS, http"}, "localhost:8443", "https://localhost:8443/"),
        ({}, PROXY, {**FORWARDED, "X-Forwarded-Proto": "gopher"}, "localhost", "http://localhost/"),
        ({}, "203.0.113.7", FORWARDED, "localhost", "http://localhost/"),
        ({"public_url": "https://one.example.com"}, PROXY, FORWARDED, "one.example.com", "https://one.example.com/"),
        ({"public_url": "https://one.example.com"}, PROXY, FORWARDED, "two.example.com", "https://two.example.com/"),
        ({"public_url": "https://one.example.com"}, PROXY, {}, "two.example.com:8443", "https://two.example.com:8443/"),
        ({"public_url": "https://one.example.com"}, PROXY, FORWARDED, "127.0.0.1:8000", "https://one.example.com/"),
        ({"public_url": "http://one.example.com"}, PROXY, FORWARDED, "two.example.com", "https://two.example.com/"),
    ],
)
async def test_links_lead_back_to_where_the_client_came_from(
    deployment: Deployment, settings: dict[str, str], client: str, headers: dict[str, str], host: str, leads: str
) -> None:
    named = {"trusted_proxies": (PROXY,), "allowed_hosts": ("one.example.com", "two.example.com"), **settings}
    async with deployment.day(issuer=deployment.mint.issuer, **named) as play:
        minji = await play.person("민지")
        for other in ("준호", "소라"):
            await minji.starts(await play.person(other))
        path = "/api/chat/users/me/conversations/?page_size=1"
        page = await minji.asks("GET", path, headers=headers, client=client, host=host)
        assert page.json["next"] == f"{leads}api/chat/users/me/conversations/?page_size=1&page=2"
