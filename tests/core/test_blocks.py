"""Blocks: 민지 does not want to hear 준호, and 준호 is not told."""

from __future__ import annotations

import pytest

from doran.core import blocks
from doran.core.models import Block
from doran.kernel import clock
from tests.clock import Hands
from tests.core.people import Person, refuses, said
from tests.core.test_tokens import at_once


def test_minji_blocks_junho_and_takes_it_back(minji: Person, junho: Person) -> None:
    minji.joins()
    junho.joins()
    assert minji.put(f"blocks/{junho.id}/").status_code == 204
    [listed] = minji.get("blocks/").json()["results"]
    assert (listed["user_id"], set(listed)) == (junho.id, {"user_id", "created_at"})
    assert said("user.blocked") == [
        {"user_id": minji.id, "blocked_user_id": junho.id, "created_at": listed["created_at"]}
    ]
    assert minji.delete(f"blocks/{junho.id}/").status_code == 204
    assert minji.get("blocks/").json() == {"results": []}
    assert [(event["user_id"], event["blocked_user_id"]) for event in said("user.unblocked")] == [(minji.id, junho.id)]


def test_junho_cannot_see_that_he_is_blocked(minji: Person, junho: Person) -> None:
    minji.joins()
    junho.joins()
    before = junho.get(f"users/{minji.id}/").json(), junho.get("users/?username=민지").json()
    minji.put(f"blocks/{junho.id}/")
    assert (junho.get(f"users/{minji.id}/").json(), junho.get("users/?username=민지").json()) == before
    assert junho.get("blocks/").json() == {"results": []}


def test_blocking_twice_is_blocking_once(minji: Person, junho: Person) -> None:
    minji.joins()
    junho.joins()
    for _ in range(3):
        assert minji.put(f"blocks/{junho.id}/").status_code == 204
    assert at_once(10, lambda _: minji.put(f"blocks/{junho.id}/").status_code) == [204] * 10
    assert (Block.objects.count(), len(said("user.blocked"))) == (1, 1)
    for _ in range(3):
        assert minji.delete(f"blocks/{junho.id}/").status_code == 204
    assert len(said("user.unblocked")) == 1


def test_both_may_block_each_other(minji: Person, junho: Person) -> None:
    minji.joins()
    junho.joins()
    minji.put(f"blocks/{junho.id}/")
    junho.put(f"blocks/{minji.id}/")
    minji.delete(f"blocks/{junho.id}/")
    assert minji.get("blocks/").json()["results"] == []
    assert [one["user_id"] for one in junho.get("blocks/").json()["results"]] == [minji.id]


def test_the_newest_block_comes_first(minji: Person, junho: Person, sora: Person, hands: Hands) -> None:
    for person in (minji, junho, sora):
        person.joins()
    minji.put(f"blocks/{junho.id}/")
    hands.move(seconds=1)
    minji.put(f"blocks/{sora.id}/")
    assert [one["user_id"] for one in minji.get("blocks/").json()["results"]] == [sora.id, junho.id]


def test_nobody_blocks_themselves(minji: Person) -> None:
    minji.joins()
    refuses(minji.put(f"blocks/{minji.id}/"), 422, "validation_failed", "user_id")
    assert Block.objects.count() == 0


@pytest.mark.parametrize("user_id", [str(clock.new_id()), "x", "123e4567-e89b-42d3-a456-426614174000"])
def test_nobody_can_be_blocked_who_is_not_there(user_id: str, minji: Person) -> None:
    minji.joins()
    refuses(minji.put(f"blocks/{user_id}/"), 404, "not_found")
    assert minji.delete(f"blocks/{user_id}/").status_code == 204
    assert (Block.objects.count(), said("user.blocked"), said("user.unblocked")) == (0, [], [])


def test_a_list_of_blocks_has_an_end(
    minji: Person, junho: Person, sora: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "MOST", 1)
    for person in (minji, junho, sora):
        person.joins()
    assert minji.put(f"blocks/{junho.id}/").status_code == 204
    refuses(minji.put(f"blocks/{sora.id}/"), 409, "conflict")
    assert minji.put(f"blocks/{junho.id}/").status_code == 204
    assert Block.objects.count() == 1
