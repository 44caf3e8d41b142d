"""People: 민지 signs up, is found and seen, changes how she looks, and is forgotten when she asks for it."""

from __future__ import annotations

import threading
import unicodedata
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from doran.contracts.errors import Problem
from doran.core import users
from doran.core.models import AuthToken, Block, Outbox, Profile, RestingHandle, User
from doran.kernel import clock
from tests.core.conftest import Settings
from tests.core.people import Person, refuses, said, told

# -- signing up -------------------------------------------------------------------------------------


def test_minji_signs_up_and_everybody_hears_of_her(minji: Person) -> None:
    answer = minji.post("users/", {"username": "민지", "password": minji.password, "display_name": " 김민지 🌸 "})
    assert answer.status_code == 201
    shown = answer.json()
    assert shown == {
        "id": shown["id"],
        "username": "민지",
        "profile": {
            "display_name": "김민지 🌸",
            "avatar_url": None,
            "status_message": "",
            "locale": "en",
            "time_zone": "UTC",
        },
        "created_at": shown["created_at"],
    }
    assert said("user.created") == [
        {
            "user_id": shown["id"],
            "username": "민지",
            "display_name": "김민지 🌸",
            "created_at": shown["created_at"],
            "kind": "human",
        }
    ]


def test_without_a_display_name_the_user_name_is_shown(minji: Person) -> None:
    minji.joins()
    assert minji.get("users/me/").json()["profile"]["display_name"] == "민지"


@pytest.mark.parametrize("again", ["Sora", "SORA", "sora", "ｓｏｒａ"])
def test_a_name_is_taken_whatever_its_capitals_and_width(again: str, sora: Person) -> None:
    sora.username = "Sora"
    sora.signs_up()
    refuses(sora.post("users/", {"username": again, "password": sora.password}), 409, "username_taken")
    assert (User.objects.count(), told()) == (1, ["user.created"])


def test_a_name_is_shown_as_typed_and_found_without_capitals(sora: Person) -> None:
    sora.username = "Sora.K"
    sora.joins()
    assert sora.get("users/me/").json()["username"] == "Sora.K"
    assert sora.get("users/?username=sora.k").json()["results"][0]["id"] == sora.id
    sora.username = "SORA.k"
    sora.logs_in()


def test_a_name_typed_as_loose_letters_is_the_same_name(minji: Person) -> None:
    minji.signs_up()
    loose = unicodedata.normalize("NFD", "민지")
    assert loose != "민지"
    refuses(minji.post("users/", {"username": loose, "password": minji.password}), 409, "username_taken")


@pytest.mark.parametrize("username", ["ab", "민지", "7of9", "a_b.c-d", "x" * 32, "가힣", "홍길동1", "A-_."])
def test_names_that_are_fine(username: str, minji: Person) -> None:
    assert minji.post("users/", {"username": username, "password": minji.password}).status_code == 201


@pytest.mark.parametrize(
    "username",
    [
        "",
        "a",
        "x" * 33,
        "ab cd",
        " minji",
        "_minji",
        ".minji",
        "-minji",
        "min\u200bji",
        "min\u202eji",
        "min\0ji",
        "minji\n",
        "mínji",
        "мinji",
        "민ㅈ",
        "ㅋㅋ",
        "\u3164\u3164",
        "minji😀",
        "<b>minji</b>",
        "minji@shop",
        "erased:1",
        "ﬁ" * 32,
        "ß" * 20,
    ],
)
def test_names_that_could_deceive_are_refused(username: str, minji: Person) -> None:
    refuses(
        minji.post("users/", {"username": username, "password": minji.password}), 422, "validation_failed", "username"
    )
    assert (User.objects.count(), told()) == (0, [])


def wrong_sign_ups() -> dict[str, tuple[Any, tuple[str, ...]]]:
    good = {"username": "minji", "password": "봄비가 내리는 밤"}
    return {
        "nothing": ({}, ("username", "password")),
        "no password": ({"username": "minji"}, ("password",)),
        "a number as name": ({**good, "username": 7}, ("username",)),
        "null as password": ({**good, "password": None}, ("password",)),
        "an id of one's own": ({**good, "id": "x"}, ("id",)),
        "a kind of one's own": ({**good, "kind": "bot"}, ("kind",)),
        "two wrong": ({**good, "username": 7, "password": 7}, ("username", "password")),
        "a display name of 101": ({**good, "display_name": "x" * 101}, ("display_name",)),
        "a display name of 100,000": ({**good, "display_name": "x" * 100_000}, ("display_name",)),
        "a display name of blanks": ({**good, "display_name": "  \u3000 "}, ("display_name",)),
        "a display name that cannot be seen": ({**good, "display_name": "\u3164\u115f"}, ("display_name",)),
        "a display name that turns around": ({**good, "display_name": "a\u202eb"}, ("display_name",)),
        "a display name of two lines": ({**good, "display_name": "a\nb"}, ("display_name",)),
        "a display name with a null": ({**good, "display_name": "a\0b"}, ("display_name",)),
        "a name of 100,000": ({**good, "username": "x" * 100_000}, ("username",)),
        "a password of 100,000": ({**good, "password": "x" * 100_000}, ("password",)),
        "a list": ([], ("",)),
    }


@pytest.mark.parametrize("name", wrong_sign_ups())
def test_a_wrong_sign_up_names_every_wrong_field_and_makes_nobody(name: str, minji: Person) -> None:
    body, fields = wrong_sign_ups()[name]
    refuses(minji.post("users/", body), 422, "validation_failed", *fields)
    assert (User.objects.count(), told()) == (0, [])


def test_closed_means_closed(minji: Person, settings: Settings) -> None:
    settings(signup="closed", invite_codes=("golden",))
    body = {"username": "민지", "password": minji.password, "invite_code": "golden"}
    refuses(minji.post("users/", body), 403, "signups_closed")
    assert User.objects.count() == 0


def test_by_invitation_only(minji: Person, settings: Settings) -> None:
    settings(signup="invite", invite_codes=("golden", "초대장"))
    body = {"username": "민지", "password": minji.password}
    for code in (None, "", "gold", "golden ", "GOLDEN"):
        refuses(minji.post("users/", {**body, "invite_code": code}), 403, "invite_required")
    refuses(minji.post("users/", body), 403, "invite_required")
    assert User.objects.count() == 0
    assert minji.post("users/", {**body, "invite_code": "초대장"}).status_code == 201


def test_an_invitation_list_that_is_empty_lets_nobody_in(minji: Person, settings: Settings) -> None:
    settings(signup="invite", invite_codes=())
    body = {"username": "민지", "password": minji.password, "invite_code": ""}
    refuses(minji.post("users/", body), 403, "invite_required")


def test_twenty_who_want_one_name_at_once_become_one(core: None) -> None:
    begin, answers = threading.Barrier(20), []

    def sign_up() -> None:
        begin.wait()
        body = {"username": "민지", "password": "봄비가 내리는 밤"}
        answers.append(Person("민지", "").post("users/", body).status_code)
        connections["core"].close()

    _at_once(sign_up, 20)
    assert sorted(answers) == [201] + [409] * 19
    assert (User.objects.count(), Profile.objects.count(), told()) == (1, 1, ["user.created"])


def _at_once(what: Any, times: int) -> None:
    threads = [threading.Thread(target=what) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- being found and seen -----------------------------------------------------------------------------


def test_junho_sees_what_is_public_and_no_more(minji: Person, junho: Person) -> None:
    minji.joins()
    junho.joins()
    shown = junho.get(f"users/{minji.id}/").json()
    assert shown == {
        "id": minji.id,
        "username": "민지",
        "kind": "human",
        "profile": {"display_name": "민지", "avatar_url": None, "status_message": ""},
    }
    assert junho.get("users/?username=민지").json() == {
        "count": 1,
        "next": None,
        "previous": None,
        "results": [shown],
    }


@pytest.mark.parametrize("username", ["nobody", "", "민", "%", "민_", "x" * 128, "erased:1"])
def test_nobody_is_found_by_half_a_name(username: str, minji: Person) -> None:
    minji.joins()
    answer = minji.client.get(
        "/api/core/users/", {"username": username}, headers={"authorization": f"Bearer {minji.access}"}
    )
    assert (answer.status_code, answer.json()["results"], answer.json()["count"]) == (200, [], 0)


@pytest.mark.parametrize(
    ("query", "fields"),
    [("", ("username",)), ("?name=x", ("name", "username")), ("?username=a&page=2", ("page",))],
)
def test_a_look_up_asks_for_exactly_one_user_name(query: str, fields: tuple[str, ...], minji: Person) -> None:
    minji.joins()
    refuses(minji.get(f"users/{query}"), 422, "validation_failed", *fields)


def unknown_ids() -> list[str]:
    return [str(clock.new_id()), "123e4567-e89b-42d3-a456-426614174000", "minji", "me2", "0", "%F0%9F%98%80", "x" * 255]


@pytest.mark.parametrize("user_id", unknown_ids())
def test_an_id_that_is_nobodys_is_not_found_whatever_its_form(user_id: str, minji: Person) -> None:
    minji.joins()
    first = refuses(minji.get(f"users/{unknown_ids()[0]}/"), 404, "not_found")
    problem = refuses(minji.get(f"users/{user_id}/"), 404, "not_found")
    assert {**problem, "trace_id": ""} == {**first, "trace_id": ""}


def test_an_id_in_another_spelling_is_another_id(minji: Person) -> None:
    minji.joins()
    refuses(minji.get(f"users/{minji.id.upper()}/"), 404, "not_found")
    refuses(minji.get(f"users/{minji.id.replace('-', '')}/"), 404, "not_found")


# -- one's own profile ------------------------------------------------------------------------------------


def test_minji_changes_how_she_looks_and_everybody_hears_it_once(minji: Person) -> None:
    minji.joins()
    wanted = {
        "display_name": "민지 (휴가 중)",
        "avatar_url": "https://pictures.example/minji.png?size=2",
        "status_message": "바다에 있어요 🌊",
        "locale": "ko-KR",
        "time_zone": "Asia/Seoul",
    }
    answer = minji.patch("users/me/", wanted)
    assert (answer.status_code, answer.json()["profile"]) == (200, wanted)
    assert minji.get("users/me/").json() == answer.json()
    [event] = said("user.updated")
    assert event == {
        "user_id": minji.id,
        "username": "민지",
        "display_name": "민지 (휴가 중)",
        "avatar_url": "https://pictures.example/minji.png?size=2",
        "status_message": "바다에 있어요 🌊",
        "locale": "ko-KR",
        "updated_at": event["updated_at"],
    }
    assert minji.patch("users/me/", wanted).json()["profile"] == wanted
    assert minji.patch("users/me/", {}).status_code == 200
    assert len(said("user.updated")) == 1


def test_what_is_left_out_stays_and_null_takes_the_picture_away(minji: Person) -> None:
    minji.joins()
    minji.patch("users/me/", {"avatar_url": "https://pictures.example/m.png", "status_message": "hi"})
    profile = minji.patch("users/me/", {"avatar_url": None}).json()["profile"]
    assert (profile["avatar_url"], profile["status_message"], profile["display_name"]) == (None, "hi", "민지")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("display_name", ""),
        ("display_name", "   "),
        ("display_name", "x" * 101),
        ("display_name", None),
        ("display_name", "a\u2066b"),
        ("display_name", "a\u200bb"),
        ("display_name", "a\u2028b"),
        ("display_name", "\u200d"),
        ("display_name", "\u0301"),
        ("display_name", "민\u3164지"),
        ("display_name", "ㄱ" + "\u0301" * 60),
        ("status_message", "a" + "\u0489" * 60),
        ("status_message", "x" * 201),
        ("status_message", "a\0"),
        ("status_message", 1),
        ("avatar_url", "http://pictures.example/m.png"),
        ("avatar_url", "javascript:alert(1)"),
        ("avatar_url", "data:image/png;base64,AAAA"),
        ("avatar_url", "https://"),
        ("avatar_url", "https:///m.png"),
        ("avatar_url", "//pictures.example/m.png"),
        ("avatar_url", "https://minji:secret@pictures.example/m.png"),
        ("avatar_url", "https://pictures.example/a b"),
        ("avatar_url", "https://pictures.example/\n"),
        ("avatar_url", "https://pictures.example:99999/"),
        ("avatar_url", "https://[::1"),
        ("avatar_url", "https://사진.example/"),
        ("avatar_url", "https://pictures.example/" + "x" * 500),
        ("avatar_url", ""),
        ("locale", "korean"),
        ("locale", "ko_KR"),
        ("locale", ""),
        ("locale", "ko-KR-x-a"),
        ("time_zone", "Seoul"),
        ("time_zone", "+09:00"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", ""),
        ("username", "junho"),
        ("id", "x"),
        ("created_at", "2020-01-01T00:00:00Z"),
    ],
)
def test_a_wrong_change_changes_nothing(field: str, value: Any, minji: Person) -> None:
    minji.joins()
    before = minji.get("users/me/").json()
    refuses(minji.patch("users/me/", {"locale": "ko", field: value}), 422, "validation_failed", field)
    assert minji.get("users/me/").json() == before
    assert said("user.updated") == []


def test_every_wrong_field_is_named_at_once(minji: Person) -> None:
    minji.joins()
    wrong = {"display_name": "", "avatar_url": "x", "locale": "?", "time_zone": "?"}
    refuses(minji.patch("users/me/", wrong), 422, "validation_failed", *wrong)


@pytest.mark.parametrize("name", ["👨‍👩‍👧", "🩷", "\U0001faea", "🙂‍↔️", "नमस्ते", "سارا", "a" * 100, "가" * 100])
def test_names_of_all_writings_are_welcome(name: str, minji: Person) -> None:
    minji.joins()
    assert minji.patch("users/me/", {"display_name": name}).json()["profile"]["display_name"] == name
    assert minji.patch("users/me/", {"status_message": name}).json()["profile"]["status_message"] == name
    minji.logs_in(device_name=name)
    assert minji.get("sessions/").json()["results"][0]["device_name"] == name


# -- erased ------------------------------------------------------------------------------------------------


def test_minji_asks_to_be_forgotten_and_is(minji: Person, junho: Person) -> None:
    minji.signs_up(display_name="김민지").logs_in(device_name="민지의 전화")
    junho.joins()
    minji.patch("users/me/", {"status_message": "비밀 한 줄"})
    minji.put(f"blocks/{junho.id}/")
    junho.put(f"blocks/{minji.id}/")
    old = minji.access

    assert minji.delete("users/me/", {"password": minji.password}).status_code == 204

    assert told()[-2:] == ["session.revoked", "user.erased"]
    assert said("user.erased")[0]["user_id"] == minji.id
    refuses(minji.get("users/me/"), 401, "not_authenticated")
    refuses(minji.refreshes(), 401, "invalid_refresh_token")
    refuses(minji.tries_to_log_in(minji.password), 401, "invalid_credentials")
    refuses(junho.get(f"users/{minji.id}/"), 404, "user_erased")
    assert junho.get("users/?username=민지").json()["results"] == []
    assert junho.get("blocks/").json()["results"] == []
    assert _everything_kept().count("민지") == 0
    assert "비밀 한 줄" not in _everything_kept()
    assert old not in _everything_kept()


def _everything_kept() -> str:
    return repr(
        [list(model.objects.values()) for model in (User, Profile, AuthToken, Block, RestingHandle)]
        + [list(Outbox.objects.exclude(data__contains="준호").values())]
    )


STRANGER = "완전히 다른 비밀번호 하나"


def tries_to_be(name: str) -> Any:
    """A stranger signs up under this name."""
    return Person(name, STRANGER).post("users/", {"username": name, "password": STRANGER})


@pytest.mark.parametrize("variant", ["Minji", "MINJI", "minji", "ｍｉｎｊｉ", "ＭinJi"])
def test_a_stranger_does_not_get_the_name_of_who_was_erased(variant: str, core: None) -> None:
    Person("Minji", "봄비가 내리는 밤").joins()
    users.erase("minji")
    refuses(tries_to_be(variant), 409, "username_taken")
    assert (User.objects.count(), told().count("user.created")) == (1, 1)
    assert tries_to_be("minji2").status_code == 201


@pytest.mark.parametrize("name", ["민지", "\u1106\u1175\u11ab\u110c\u1175"])
def test_the_name_rests_also_for_who_types_it_in_parts(name: str, minji: Person) -> None:
    minji.joins()
    minji.delete("users/me/", {"password": minji.password})
    refuses(tries_to_be(name), 409, "username_taken")


def test_a_bot_does_not_get_it_either(minji: Person) -> None:
    minji.joins()
    users.erase("민지")
    with pytest.raises(Problem) as no:
        users.add_bot("00000000-0000-7000-8000-00000000b07a", "민지", display_name="민지")
    assert (no.value.code, User.objects.count()) == ("username_taken", 1)


def test_after_the_days_of_the_setting_the_name_is_free_but_it_is_another_person(
    minji: Person, junho: Person, settings: Settings
) -> None:
    junho.joins()
    minji.joins()
    first = minji.id
    users.erase("민지")
    settings(handle_rest_days=30)
    RestingHandle.objects.update(erased_at=clock.now() - timedelta(days=29))
    refuses(tries_to_be("민지"), 409, "username_taken")
    RestingHandle.objects.update(erased_at=clock.now() - timedelta(days=31))
    again = Person("민지", STRANGER).joins()
    assert again.id != first
    refuses(junho.get(f"users/{first}/"), 404, "user_erased")
    assert junho.get(f"users/{again.id}/").json()["username"] == "민지"
    users.erase("민지")
    refuses(tries_to_be("민지"), 409, "username_taken")


def test_a_name_need_not_rest(minji: Person, settings: Settings) -> None:
    minji.joins()
    users.erase("민지")
    settings(handle_rest_days=0)
    assert tries_to_be("민지").status_code == 201


def test_an_operator_ends_the_rest_of_a_name(minji: Person) -> None:
    minji.joins()
    for taken in ("민지", "nobody"):
        with pytest.raises(Problem) as no:
            users.release(taken)
        assert no.value.code == "not_found"
    users.erase("민지")
    users.release("민지")
    assert tries_to_be("민지").status_code == 201


def test_a_sign_up_that_began_before_the_erasure_does_not_get_the_name(
    minji: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It found the name free of rest, and waits for its password to be hashed while 민지 is erased."""
    minji.joins()
    monkeypatch.setattr(users, "_check_free", lambda handle: users.erase("민지"))
    refuses(tries_to_be("민지"), 409, "username_taken")
    assert User.objects.count() == 1


@pytest.mark.parametrize("password", ["wrong password", "", "봄비가 내리는 밤 "])
def test_nobody_is_erased_without_the_password(password: str, minji: Person) -> None:
    minji.joins()
    refuses(minji.delete("users/me/", {"password": password}), 401, "invalid_credentials")
    assert minji.get("users/me/").status_code == 200
    assert said("user.erased") == []


def test_a_stolen_token_cannot_guess_the_password_for_ever(minji: Person) -> None:
    minji.joins()
    for number in range(10):
        refuses(minji.delete("users/me/", {"password": f"guess {number}"}), 401, "invalid_credentials")
    refuses(minji.delete("users/me/", {"password": minji.password}), 429, "too_many_requests")
    assert minji.get("users/me/").status_code == 200


# -- what operators do -------------------------------------------------------------------------------------


def test_an_operator_switches_minji_off_and_on_again(minji: Person, junho: Person) -> None:
    minji.joins()
    junho.joins()
    users.deactivate("민지")
    users.deactivate("민지")

    refuses(minji.get("users/me/"), 401, "not_authenticated")
    refuses(minji.refreshes(), 401, "invalid_refresh_token")
    refuses(minji.tries_to_log_in(minji.password), 401, "invalid_credentials")
    assert junho.get("users/?username=민지").json()["results"] == []
    assert junho.get(f"users/{minji.id}/").json()["username"] == "민지"
    assert [event["active"] for event in said("user.deactivated")] == [False]
    assert [event["reason"] for event in said("session.revoked")] == ["deactivated"]

    users.reactivate("민지")
    users.reactivate("민지")
    refuses(minji.get("users/me/"), 401, "not_authenticated")
    assert minji.logs_in().get("users/me/").status_code == 200
    assert [event["active"] for event in said("user.deactivated")] == [False, True]


def test_an_operator_erases_for_good(minji: Person) -> None:
    minji.joins()
    users.deactivate("민지")
    users.erase("민지")
    for act in (users.erase, users.deactivate, users.reactivate):
        with pytest.raises(Problem, match="not_found"):
            act("민지")
    assert len(said("user.erased")) == 1


def test_an_operator_who_mistypes_changes_nothing(minji: Person) -> None:
    minji.joins()
    before = told()
    for act in (users.erase, users.deactivate, users.reactivate):
        with pytest.raises(Problem, match="not_found"):
            act("민쥐")
    assert told() == before
