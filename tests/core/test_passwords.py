"""Passwords: what can be guessed is refused, what is kept is Argon2id, and log-ins cannot stall us."""

from __future__ import annotations

import unicodedata

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from doran.core import passwords
from doran.core.models import User
from doran.core.passwords import Passwords
from tests.core.conftest import Settings
from tests.core.people import Person, refuses


@pytest.mark.parametrize(
    "password",
    [
        "",
        "1234567",
        "short",
        "한글일곱글자야",
        "password",
        "Password",
        "PASSWORD1",
        "password123",
        "password!",
        "iloveyou2025",
        "qwertyuiop",
        "1q2w3e4r",
        "12345678",
        "87654321",
        "abcdefgh",
        "hgfedcba",
        "aaaaaaaa",
        "abababab",
        "11112222",
        "qlalfqjsgh",
        "qlalfqjsgh1",
        "비밀번호1234",
        "dkssudgktpdy",
        "tkfkdgody",
        "eogksalsrnr",
        "가나다라마바사아",
        "x" * 257,
        "junho_kim",
        "JUNHO_KIM",
    ],
)
def test_what_is_guessed_first_is_refused(password: str, core: None) -> None:
    junho = Person("junho_kim", password)
    refuses(junho.post("users/", {"username": "junho_kim", "password": password}), 422, "weak_password", "password")
    assert User.objects.count() == 0


@pytest.mark.parametrize(
    "password",
    [
        "봄비가 내리는 밤",
        "correct horse battery staple",
        "tr0ub4dor&3",
        "      a b ",
        "😀😃😄😁😆😅😂🤣",
        "x1" + "y2z3" * 63 + "ab",
        "password of my own",
    ],
)
def test_there_are_no_other_rules(password: str, core: None) -> None:
    Person("junho", password).joins()


def test_a_password_is_never_cut(core: None) -> None:
    long = "x1" + "y2z3" * 63 + "ab"
    assert len(long) == 256
    junho = Person("junho", long).joins()
    refuses(junho.tries_to_log_in(long[:-1] + "c"), 401, "invalid_credentials")
    refuses(junho.tries_to_log_in(long[:72]), 401, "invalid_credentials")
    refuses(junho.tries_to_log_in(long + "x"), 401, "invalid_credentials")


def test_one_password_from_any_keyboard(minji: Person) -> None:
    minji.signs_up()
    loose = unicodedata.normalize("NFD", minji.password)
    assert loose != minji.password
    assert minji.tries_to_log_in(loose).status_code == 200


def test_the_default_is_argon2id_as_the_library_advises(settings: Settings) -> None:
    passwords.use(None)
    try:
        stored = passwords.in_use().hash("봄비가 내리는 밤")
        found, advised = extract_parameters(stored), PasswordHasher()
        assert found.type is Type.ID
        assert (found.memory_cost, found.time_cost) == (advised.memory_cost, advised.time_cost)
        assert found.memory_cost >= 19 * 1024
        assert passwords.in_use().fits("봄비가 내리는 밤", stored)
        assert not passwords.in_use().fits("봄비가 내리는 낮", stored)
    finally:
        passwords.use(None)


def test_a_hash_of_yesterday_is_made_anew_at_the_next_log_in(minji: Person) -> None:
    minji.signs_up()
    before = User.objects.get().password
    passwords.use(Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)))
    minji.logs_in()
    after = User.objects.get().password
    assert extract_parameters(before).time_cost == 1
    assert extract_parameters(after).time_cost == 2
    minji.logs_in()
    assert User.objects.get().password == after


def test_what_is_kept_is_not_the_password(minji: Person) -> None:
    minji.signs_up()
    assert minji.password not in User.objects.get().password
    assert User.objects.get().password.startswith("$argon2id$")
