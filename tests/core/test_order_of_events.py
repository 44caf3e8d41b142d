"""Whoever says something about a person holds that person's row: so the order of their events is that of their commits."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connections, transaction

from doran.core import blocks, profiles, sessions, tokens, users
from doran.core.models import Outbox, User
from tests.core.people import Person

ACTS: dict[str, Callable[[Person, Person], object]] = {
    "profile": lambda minji, _: profiles.change(minji.id, {"display_name": "김민지"}),
    "deactivate": lambda minji, _: users.deactivate(minji.username),
    "erase": lambda minji, _: users.erase(minji.username),
    "erase me": lambda minji, _: users.erase_me(User.objects.get(id=minji.id), minji.password),
    "block": lambda minji, junho: blocks.block(minji.id, junho.id),
    "unblock": lambda minji, junho: blocks.unblock(minji.id, junho.id),
    "end session": lambda minji, _: sessions.end(minji.id, minji.session),
    "log out": lambda minji, _: tokens.revoke(minji.refresh),
    "one session too many": lambda minji, _: tokens.log_in(minji.username, minji.password, address="127.0.0.1"),
}


@pytest.mark.parametrize("name", ACTS)
def test_who_comes_second_says_it_second(
    name: str, minji: Person, junho: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_LIVE", 1)
    minji.joins()
    junho.joins()
    if name == "unblock":
        blocks.block(minji.id, junho.id)
    Outbox.objects.all().delete()
    ended: list[BaseException | None] = []
    done = threading.Event()

    def act() -> None:
        try:
            ACTS[name](minji, junho)
            ended.append(None)
        except BaseException as wrong:
            ended.append(wrong)
        finally:
            connections["core"].close()
            done.set()

    second = threading.Thread(target=act)
    with transaction.atomic(using="core"):
        Outbox.add(profiles.said(sessions.lock(minji.id)))
        mine = Outbox.objects.get(key=minji.id).id
        second.start()
        assert not done.wait(0.3), "it said something although somebody else held the row"
    second.join(30)
    assert ended == [None]
    numbers = list(Outbox.objects.filter(key=minji.id).order_by("id").values_list("id", flat=True))
    assert len(numbers) > 1
    assert numbers[0] == mine
