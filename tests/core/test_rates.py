"""Limits: guessing costs time, and nobody can lock 민지 out of her own house."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doran.core import rates
from doran.core.models import User
from doran.kernel.limits.memory import MemoryLimiter
from tests.core.conftest import Settings
from tests.core.people import Person, refuses
from tests.core.test_tokens import at_once


class Stopwatch:
    """The limiters' clock, held still."""

    now = 1000.0


@pytest.fixture(autouse=True)
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stopwatch]:
    held = Stopwatch()

    def limiter(name: str, rate: float, per: float, *, exact: bool) -> MemoryLimiter:
        return MemoryLimiter(name, rate, per, ticks=lambda: held.now)

    monkeypatch.setattr(rates, "limiter", limiter)
    return held


def test_sixty_sign_ups_a_minute_from_one_address(core: None, settings: Settings, stopwatch: Stopwatch) -> None:
    settings(signups_per_minute=60)
    answers = [_signs_up(f"bot{number}", "10.0.0.1") for number in range(61)]
    assert [answer.status_code for answer in answers] == [201] * 60 + [429]
    problem = refuses(answers[-1], 429, "too_many_requests")
    assert (problem["status"], answers[-1]["Retry-After"]) == (429, "1")
    assert User.objects.count() == 60
    assert _signs_up("junho", "10.0.0.2").status_code == 201
    stopwatch.now += 1
    assert _signs_up("late", "10.0.0.1").status_code == 201


def test_refused_sign_ups_count_too(core: None, settings: Settings) -> None:
    settings(signups_per_minute=3)
    assert [_signs_up("x", "10.0.0.1").status_code for _ in range(4)] == [422, 422, 422, 429]


def _signs_up(name: str, address: str) -> object:
    body = {"username": name, "password": "봄비가 내리는 밤"}
    return Person(name, "", address=address).post("users/", body)


def test_sixty_log_ins_a_minute_from_one_address(minji: Person, settings: Settings) -> None:
    minji.signs_up()
    settings(logins_per_minute=60)
    codes = [minji.elsewhere().tries_to_log_in(minji.password).status_code for _ in range(61)]
    assert codes == [200] * 60 + [429]
    assert minji.elsewhere("10.0.0.9").tries_to_log_in(minji.password).status_code == 200


def test_one_household_is_one_address(minji: Person, settings: Settings) -> None:
    minji.signs_up()
    settings(logins_per_minute=2)
    codes = [
        minji.elsewhere(f"2001:db8:1:2::{number}").tries_to_log_in("wrong one").status_code for number in range(1, 4)
    ]
    assert codes == [401, 401, 429]
    assert minji.elsewhere("2001:db8:1:3::1").tries_to_log_in("wrong one").status_code == 401


def test_a_hundred_guesses_do_not_keep_minji_out_of_where_she_lives(minji: Person, settings: Settings) -> None:
    minji.joins()
    codes = [minji.elsewhere(f"10.6.6.{n}").tries_to_log_in(f"guess {n}").status_code for n in range(100)]
    assert codes == [401] * 10 + [429] * 90
    assert minji.tries_to_log_in(minji.password).status_code == 200
    assert minji.refreshes().status_code == 200


def test_from_a_new_place_she_waits_seconds_and_not_for_good(minji: Person, stopwatch: Stopwatch) -> None:
    minji.joins()
    for number in range(100):
        minji.elsewhere("10.6.6.6").tries_to_log_in(f"guess {number}")
    refused = minji.elsewhere("10.0.0.9").tries_to_log_in(minji.password)
    refuses(refused, 429, "too_many_requests")
    stopwatch.now += int(refused["Retry-After"])
    assert int(refused["Retry-After"]) <= 6
    assert minji.elsewhere("10.0.0.9").tries_to_log_in(minji.password).status_code == 200


def test_behind_a_shared_address_her_own_device_gets_in(minji: Person, settings: Settings) -> None:
    minji.joins()
    settings(logins_per_minute=20)
    guesses = [minji.elsewhere().tries_to_log_in(f"guess {number}").status_code for number in range(30)]
    assert guesses == [401] * 10 + [429] * 20
    refuses(minji.elsewhere().tries_to_log_in(minji.password), 429, "too_many_requests")
    assert minji.tries_to_log_in(minji.password).status_code == 200


def test_her_own_device_gets_in_past_any_number_of_calls_from_its_address(minji: Person, settings: Settings) -> None:
    minji.joins()
    settings(requests_per_second=1)
    while minji.elsewhere().tries_to_log_in("a guess").status_code != 429:
        pass
    assert minji.tries_to_log_in(minji.password).status_code == 200


def test_from_a_new_place_her_own_device_gets_in_while_anybody_guesses(minji: Person) -> None:
    minji.joins()
    for number in range(100):
        minji.elsewhere(f"10.6.6.{number}").tries_to_log_in(f"guess {number}")
    refuses(minji.elsewhere("10.0.0.9").tries_to_log_in(minji.password), 429, "too_many_requests")
    minji.address = "10.0.0.9"
    assert minji.tries_to_log_in(minji.password).status_code == 200


def test_her_device_in_wrong_hands_guesses_no_faster(minji: Person, stopwatch: Stopwatch) -> None:
    minji.joins()
    minji.address = "10.0.0.9"
    assert [minji.tries_to_log_in(f"guess {number}").status_code for number in range(12)] == [401] * 10 + [429] * 2
    assert minji.elsewhere("10.0.0.8").tries_to_log_in(minji.password).status_code == 200


@pytest.mark.parametrize("kind", ["another's", "made up", "changed", "cut", "none"])
def test_no_other_cookie_helps(minji: Person, sora: Person, kind: str) -> None:
    minji.joins()
    sora.joins()
    hers, own = minji.client.cookies["doran_device"].value, sora.client.cookies["doran_device"].value
    cookie = {"another's": own, "made up": "A" * len(hers), "changed": "A" + hers[1:], "cut": hers[:-1], "none": ""}[
        kind
    ]
    codes = []
    for number in range(12):
        stranger = minji.elsewhere(f"10.6.6.{number}")
        stranger.client.cookies["doran_device"] = cookie if cookie != hers else "B" + hers[1:]
        codes.append(stranger.tries_to_log_in(f"guess {number}").status_code)
    assert codes == [401] * 10 + [429] * 2


def test_an_unknown_name_is_limited_just_the_same(minji: Person, sora: Person) -> None:
    minji.signs_up()
    for person in (minji, sora):
        codes = [person.tries_to_log_in(f"guess {number}").status_code for number in range(12)]
        assert codes == [401] * 10 + [429] * 2


def test_a_name_in_other_capitals_is_the_same_account(sora: Person) -> None:
    sora.signs_up()
    codes = []
    for number in range(12):
        sora.username = "SORA" if number % 2 else "sora"
        codes.append(sora.tries_to_log_in(f"guess {number}").status_code)
    assert codes == [401] * 10 + [429] * 2


def test_logging_in_rightly_never_counts_as_a_failure(minji: Person) -> None:
    minji.signs_up()
    for number in range(9):
        assert minji.tries_to_log_in(f"guess {number}").status_code == 401
    for _ in range(30):
        assert minji.tries_to_log_in(minji.password).status_code == 200
    assert minji.elsewhere("10.0.0.9").tries_to_log_in("guess 10").status_code == 401
    assert minji.elsewhere("10.0.0.9").tries_to_log_in("guess 11").status_code == 429


def test_fifty_guesses_at_once_are_still_ten(minji: Person) -> None:
    minji.signs_up()
    answers = at_once(50, lambda number: minji.elsewhere().tries_to_log_in(f"guess {number}").status_code)
    assert sorted(answers) == [401] * 10 + [429] * 40


def test_looking_people_up_is_limited_by_person(minji: Person, junho: Person, settings: Settings) -> None:
    minji.joins()
    junho.joins()
    settings(lookups_per_minute=5)
    codes = [minji.get(f"users/?username=name{number}").status_code for number in range(6)]
    assert codes == [200] * 5 + [429]
    assert junho.get("users/?username=민지").status_code == 200
    assert minji.get(f"users/{junho.id}/").status_code == 200
