"""The assistant among people: it comes and goes by its name in the settings, and nobody can be it."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from doran.contracts.errors import Problem
from doran.contracts.people import ASSISTANT_ID
from doran.core import assistant, users
from doran.core.models import Outbox, User
from doran.kernel.config import BadSetting
from tests.core.conftest import Settings
from tests.core.people import Person, refuses, said, told


@pytest.fixture
def core_with_ai(core: None, settings: Settings) -> Settings:
    """Core as it starts where ai is part of the deployment."""
    settings(services=("core", "ai"), ai_assistant="도란")
    assistant.welcome()
    return settings


def seen_by(person: Person) -> dict[str, object]:
    answer = person.get(f"users/{ASSISTANT_ID}/")
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def test_it_is_there_before_anybody_and_is_told_of_as_a_bot(core_with_ai: Settings, minji: Person) -> None:
    assert [(one["user_id"], one["kind"], one["display_name"]) for one in said("user.created")] == [
        (ASSISTANT_ID, "bot", "도란")
    ]
    shown = seen_by(minji.joins())
    assert (shown["kind"], shown["username"]) == ("bot", "assistant")
    assert minji.get("users/?username=assistant").json()["results"] == [shown]


def test_people_are_shown_as_humans(core: None, minji: Person, sora: Person) -> None:
    minji.signs_up()
    assert sora.joins().get(f"users/{minji.id}/").json()["kind"] == "human"


def test_a_second_start_says_nothing_and_a_new_name_is_told(core_with_ai: Settings, minji: Person) -> None:
    assistant.welcome()
    assert told() == ["user.created"]
    core_with_ai(ai_assistant=" 도우미 ")
    assistant.welcome()
    assert told() == ["user.created", "user.updated"]
    assert said("user.updated")[0]["display_name"] == "도우미"


def test_without_ai_nobody_comes(core: None, settings: Settings) -> None:
    assistant.welcome()
    settings(services=("core", "ai"), ai_assistant="")
    assistant.welcome()
    assert (User.objects.count(), told()) == (0, [])


def test_a_core_apart_knows_of_ai_by_its_address(core: None, settings: Settings) -> None:
    settings(ai_url="http://ai.internal:8000")
    assistant.welcome()
    assert User.objects.get().kind == "bot"


def test_without_a_name_it_goes_and_with_one_it_comes_back(core_with_ai: Settings) -> None:
    core_with_ai(ai_assistant="")
    assistant.welcome()
    assistant.welcome()
    core_with_ai(ai_assistant="도란")
    assistant.welcome()
    assert [one["active"] for one in said("user.deactivated")] == [False, True]


def test_a_core_that_forgot_where_ai_is_changes_nothing(core_with_ai: Settings) -> None:
    core_with_ai(services=("core",), ai_assistant="다른 이름")
    assistant.welcome()
    assert told() == ["user.created"]


@pytest.mark.parametrize("name", ["x" * 101, "도\u202e란", "\u200d"])
def test_a_name_nobody_can_have_stops_the_start(core_with_ai: Settings, name: str) -> None:
    core_with_ai(ai_assistant=name)
    with pytest.raises(BadSetting, match="DORAN_AI_ASSISTANT"):
        assistant.welcome()
    assert told() == ["user.created"]


def test_somebody_with_its_user_name_keeps_it(core: None, settings: Settings) -> None:
    Person("Assistant", password="봄비가 내리는 밤").signs_up()
    settings(services=("core", "ai"))
    assistant.welcome()
    assert User.objects.get(id=ASSISTANT_ID).username == "assistant-2"


def test_nobody_logs_in_as_it(core_with_ai: Settings) -> None:
    impostor = Person("assistant", password="")
    refuses(impostor.tries_to_log_in(""), 401, "invalid_credentials")
    refuses(impostor.tries_to_log_in("assistant"), 401, "invalid_credentials")
    refuses(impostor.post("users/", {"username": "assistant", "password": "봄비가 내리는 밤"}), 409, "username_taken")


@pytest.mark.parametrize("change", [users.erase, users.deactivate, users.reactivate])
def test_no_operator_switches_it_like_a_person(core_with_ai: Settings, change: object) -> None:
    with pytest.raises(Problem) as refused:
        change("assistant")  # type: ignore[operator]
    assert (refused.value.code, told()) == ("conflict", ["user.created"])
    assert "DORAN_AI_ASSISTANT" in refused.value.detail


def test_blocking_it_is_everybodys_right(core_with_ai: Settings, minji: Person) -> None:
    assert minji.joins().put(f"blocks/{ASSISTANT_ID}/").status_code == 204
    assert told()[-1] == "user.blocked"


def test_many_copies_that_start_at_once_make_one(core: None, settings: Settings) -> None:
    settings(services=("core", "ai"))
    wrong: list[BaseException] = []
    ready = threading.Barrier(4)

    def start() -> None:
        try:
            ready.wait()
            assistant.welcome()
        except BaseException as error:
            wrong.append(error)
        finally:
            connections.close_all()

    copies = [threading.Thread(target=start) for _ in range(4)]
    for copy in copies:
        copy.start()
    for copy in copies:
        copy.join()
    assert wrong == []
    assert (User.objects.count(), Outbox.objects.count()) == (1, 1)
