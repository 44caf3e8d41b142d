"""Logging in and staying logged in: one token after the other, and what a copied one costs its thief."""

from __future__ import annotations

import base64
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections, transaction

from doran.core import passwords, sessions
from doran.core.models import AuthToken
from doran.kernel import auth, clock, config
from tests.clock import Hands
from tests.core.conftest import Settings
from tests.core.people import Person, refuses, said


def claims(token: str, part: int = 1) -> dict[str, Any]:
    text = token.split(".")[part]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found


def at_once(times: int, what: Any) -> list[Any]:
    begin = threading.Barrier(times)

    def act(number: int) -> Any:
        begin.wait(10)
        try:
            return what(number)
        finally:
            connections["core"].close()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(act, range(times)))


# -- logging in -------------------------------------------------------------------------------------


def test_minji_logs_in(minji: Person) -> None:
    minji.signs_up()
    answer = minji.post("tokens/", {"username": "민지", "password": minji.password, "device_name": " 민지의 전화 "})
    pair = answer.json()
    assert set(pair) == {"access_token", "refresh_token", "token_type", "expires_in", "user_id", "session_id"}
    assert (pair["token_type"], pair["expires_in"], pair["user_id"]) == ("Bearer", 600, minji.id)
    assert answer["Cache-Control"] == "no-store"
    minji.takes(answer)
    assert minji.get("users/me/").json()["id"] == minji.id
    assert minji.get("sessions/").json()["results"][0]["device_name"] == "민지의 전화"


def test_an_access_token_says_what_the_contract_says(minji: Person) -> None:
    minji.joins()
    header, body = claims(minji.access, 0), claims(minji.access)
    assert (header["alg"], header["typ"], set(header)) == ("ES256", "at+jwt", {"alg", "typ", "kid"})
    assert set(body) == {"iss", "aud", "sub", "sid", "iat", "exp", "jti"}
    assert (body["iss"], body["aud"]) == ("https://chat.example.test", "doran")
    assert (body["sub"], body["sid"], body["exp"] - body["iat"]) == (minji.id, minji.session, 600)
    published = minji.get("/.well-known/jwks.json").json()["keys"]
    assert header["kid"] in {key["kid"] for key in published}


def test_each_log_in_is_a_session_and_each_token_has_its_own_name(minji: Person) -> None:
    minji.signs_up()
    tokens = [minji.logs_in().access for _ in range(3)]
    assert len({claims(token)["sid"] for token in tokens}) == 3
    assert len({claims(token)["jti"] for token in tokens}) == 3


def test_the_life_of_an_access_token_is_a_setting(minji: Person, settings: Settings) -> None:
    settings(access_seconds=60)
    minji.signs_up()
    pair = minji.tries_to_log_in(minji.password).json()
    assert pair["expires_in"] == claims(pair["access_token"])["exp"] - claims(pair["access_token"])["iat"] == 60


def test_a_wrong_password_and_an_unknown_name_look_the_same(minji: Person, sora: Person) -> None:
    minji.signs_up()
    wrong = refuses(minji.tries_to_log_in("not her password"), 401, "invalid_credentials")
    unknown = refuses(sora.tries_to_log_in("not her password"), 401, "invalid_credentials")
    assert {**wrong, "trace_id": ""} == {**unknown, "trace_id": ""}
    assert AuthToken.objects.count() == 0


def test_an_unknown_name_costs_the_same_work(minji: Person, sora: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    minji.signs_up()
    compared: list[str] = []
    pool = passwords.in_use()
    compare = pool._compare
    monkeypatch.setattr(pool, "_compare", lambda stored, given: compared.append(stored) or compare(stored, given))
    costs = []
    for person in (minji, sora):
        with CountedQueries() as queries:
            person.tries_to_log_in("not the password")
        costs.append((len(queries.seen), len(compared)))
        compared.clear()
    assert costs[0] == costs[1] == (2, 1)


class CountedQueries:
    """The statements that reached core's database meanwhile."""

    def __enter__(self) -> CountedQueries:
        self.seen: list[str] = []
        self._wrapper = connections["core"].execute_wrapper(self._note)
        self._wrapper.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._wrapper.__exit__(*error)

    def _note(self, execute: Any, sql: str, *rest: Any) -> Any:
        self.seen.append(sql)
        return execute(sql, *rest)


def test_with_the_cookie_of_a_device_an_unknown_name_costs_the_same_work_too(minji: Person, sora: Person) -> None:
    minji.joins()
    sora.client.cookies = minji.client.cookies
    costs = []
    for person in (minji, sora):
        with CountedQueries() as queries:
            refuses(person.tries_to_log_in("not the password"), 401, "invalid_credentials")
        costs.append(len(queries.seen))
    assert costs == [2, 2]


def test_the_cookie_of_a_device_is_for_log_ins_alone_and_opens_nothing(minji: Person) -> None:
    minji.signs_up()
    said = minji.tries_to_log_in(minji.password).cookies["doran_device"]
    assert (said["path"], said["samesite"]) == ("/api/core/tokens", "Strict")
    assert said["httponly"]
    assert said["secure"]
    assert int(said["max-age"]) > 0
    refuses(minji.get("users/me/"), 401, "not_authenticated")
    refuses(minji.tries_to_log_in("not her password"), 401, "invalid_credentials")
    assert "doran_device" not in minji.elsewhere().tries_to_log_in("not her password").cookies


def test_two_who_share_a_browser_share_its_cookie_and_nobody_sees_it(minji: Person, junho: Person) -> None:
    minji.joins()
    junho.client = minji.client
    junho.joins()
    minji.logs_in()
    tags = {person.id: person_tags(person) for person in (minji, junho)}
    assert [len(one) for one in tags.values()] == [1, 1]
    assert tags[minji.id] != tags[junho.id]


def person_tags(person: Person) -> set[str]:
    return set(AuthToken.objects.filter(user_id=person.id).values_list("device_tag", flat=True))


def test_with_a_person_their_devices_are_forgotten(minji: Person) -> None:
    minji.joins()
    assert AuthToken.objects.exclude(device_tag="").exists()
    assert minji.delete("users/me/", {"password": minji.password}).status_code == 204
    assert not AuthToken.objects.exclude(device_tag="").exists()


def test_the_decoy_is_as_dear_as_a_real_hash(settings: Settings) -> None:
    from argon2 import extract_parameters

    pool = passwords.Passwords()
    assert extract_parameters(pool._decoy) == extract_parameters(pool.hash("real"))
    assert not pool.fits("nobody has this password", None)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ("username", "password")),
        ({"username": "민지"}, ("password",)),
        ({"username": "민지", "password": 1}, ("password",)),
        ({"username": "x" * 129, "password": "x"}, ("username",)),
        ({"username": "민지", "password": "x" * 1025}, ("password",)),
        ({"username": "민지", "password": "x", "device_name": "x" * 101}, ("device_name",)),
        ({"username": "민지", "password": "x", "device_name": "a\nb"}, ("device_name",)),
        ({"username": "민지", "password": "x", "user_id": "y"}, ("user_id",)),
    ],
)
def test_a_wrong_log_in_body_is_said_before_anything_is_tried(
    body: Any, fields: tuple[str, ...], minji: Person
) -> None:
    minji.signs_up()
    refuses(minji.post("tokens/", body), 422, "validation_failed", *fields)
    assert AuthToken.objects.count() == 0


@pytest.mark.parametrize("name", ["민지\0", "x\u0000y", "' OR 1=1 --", "%", "ㅤ"])
def test_odd_names_are_just_wrong(name: str, minji: Person) -> None:
    minji.signs_up()
    refuses(minji.post("tokens/", {"username": name, "password": minji.password}), 401, "invalid_credentials")


# -- refreshing ---------------------------------------------------------------------------------------


def test_a_refresh_gives_a_new_pair_of_the_same_session(minji: Person) -> None:
    minji.joins()
    pair = minji.refreshes().json()
    assert (pair["session_id"], pair["user_id"]) == (minji.session, minji.id)
    assert pair["refresh_token"] != minji.refresh
    assert claims(pair["access_token"])["jti"] != claims(minji.access)["jti"]
    minji.refresh = pair["refresh_token"]
    for _ in range(5):
        minji.takes(minji.refreshes())
    assert minji.get("users/me/").status_code == 200
    assert AuthToken.objects.get().generation == 7


def test_a_refresh_token_used_again_ends_the_session(minji: Person) -> None:
    minji.joins()
    stolen, old_access = minji.refresh, minji.access
    minji.takes(minji.refreshes())
    refuses(minji.refreshes(stolen), 401, "refresh_token_reused")

    assert [(event["session_id"], event["reason"]) for event in said("session.revoked")] == [(minji.session, "reused")]
    refuses(minji.refreshes(), 401, "refresh_token_reused")
    refuses(minji.refreshes(stolen), 401, "refresh_token_reused")
    for token in (minji.access, old_access):
        minji.access = token
        refuses(minji.get("users/me/"), 401, "not_authenticated")
    assert len(said("session.revoked")) == 1


def test_a_very_old_token_is_still_known_as_used(minji: Person) -> None:
    minji.joins()
    first = minji.refresh
    for _ in range(20):
        minji.takes(minji.refreshes())
    refuses(minji.refreshes(first), 401, "refresh_token_reused")
    assert len(said("session.revoked")) == 1


def test_only_the_copied_session_ends(minji: Person, junho: Person) -> None:
    minji.joins()
    junho.joins()
    other = minji.elsewhere().logs_in()
    stolen = minji.refresh
    minji.takes(minji.refreshes())
    refuses(minji.refreshes(stolen), 401, "refresh_token_reused")
    assert other.refreshes().status_code == 200
    assert junho.refreshes().status_code == 200


def test_twenty_at_once_with_one_token_get_one_successor_and_then_nothing(minji: Person) -> None:
    minji.joins()
    token = minji.refresh
    answers = at_once(20, lambda _: Person("", "").refreshes(token))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19
    assert {answer.json()["code"] for answer in answers if answer.status_code == 401} == {"refresh_token_reused"}
    assert len(said("session.revoked")) == 1
    [winner] = [answer for answer in answers if answer.status_code == 200]
    refuses(minji.takes(winner).refreshes(), 401, "refresh_token_reused")


# -- the answer that was lost -----------------------------------------------------------------------------


def test_who_named_the_request_may_ask_again_for_the_lost_answer(minji: Person, hands: Hands) -> None:
    minji.joins()
    lost = minji.refreshes(HTTP_IDEMPOTENCY_KEY="try-1").json()
    hands.move(seconds=9)
    again = minji.refreshes(HTTP_IDEMPOTENCY_KEY='"try-1"')
    assert (again.status_code, again.json()["refresh_token"]) == (200, lost["refresh_token"])
    assert AuthToken.objects.get().generation == 2
    minji.takes(again)
    assert minji.refreshes().status_code == 200


def test_twenty_retries_of_one_named_request_share_one_successor(minji: Person) -> None:
    minji.joins()
    token = minji.refresh
    answers = at_once(20, lambda _: Person("", "").refreshes(token, HTTP_IDEMPOTENCY_KEY="try-1"))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert said("session.revoked") == []


@pytest.mark.parametrize("name", [None, "", "try-2", "TRY-1"])
def test_another_name_is_a_reuse(name: str | None, minji: Person) -> None:
    minji.joins()
    assert minji.refreshes(HTTP_IDEMPOTENCY_KEY="try-1").status_code == 200
    more = {} if name is None else {"HTTP_IDEMPOTENCY_KEY": name}
    refuses(minji.refreshes(**more), 401, "refresh_token_reused")


def test_a_request_without_a_name_cannot_be_retried_under_one(minji: Person) -> None:
    minji.joins()
    assert minji.refreshes().status_code == 200
    refuses(minji.refreshes(HTTP_IDEMPOTENCY_KEY="try-1"), 401, "refresh_token_reused")


@pytest.mark.parametrize("away", [{"seconds": 11}, {"hours": 12}, {"days": 29}])
def test_a_browser_closed_while_it_renewed_goes_on_when_it_is_opened_again(
    away: dict[str, float], minji: Person, hands: Hands
) -> None:
    minji.joins()
    lost = minji.refreshes(HTTP_IDEMPOTENCY_KEY="try-1").json()
    hands.move(**away)
    again = minji.refreshes(HTTP_IDEMPOTENCY_KEY="try-1")
    assert (again.status_code, again.json()["refresh_token"]) == (200, lost["refresh_token"])
    minji.takes(again)
    assert minji.get("users/me/").status_code == 200
    assert minji.takes(minji.refreshes(HTTP_IDEMPOTENCY_KEY="try-2")).get("users/me/").status_code == 200
    assert said("session.revoked") == []


def test_a_lost_answer_does_not_outlive_its_session(minji: Person, hands: Hands) -> None:
    minji.joins()
    assert minji.refreshes(HTTP_IDEMPOTENCY_KEY="try-1").status_code == 200
    hands.move(days=61)
    refuses(minji.refreshes(HTTP_IDEMPOTENCY_KEY="try-1"), 401, "invalid_refresh_token")


def test_a_thief_who_copied_a_request_under_way_is_found_at_the_next_renewal(minji: Person) -> None:
    minji.joins()
    stolen = minji.refresh
    assert minji.refreshes(HTTP_IDEMPOTENCY_KEY="try-1").status_code == 200  # and the answer is lost
    thief = minji.elsewhere()
    thief.takes(thief.refreshes(stolen, HTTP_IDEMPOTENCY_KEY="try-1"))
    minji.takes(minji.refreshes(HTTP_IDEMPOTENCY_KEY="try-1"))
    assert minji.takes(minji.refreshes(HTTP_IDEMPOTENCY_KEY="minji-2")).get("users/me/").status_code == 200
    refuses(thief.refreshes(HTTP_IDEMPOTENCY_KEY="thief-2"), 401, "refresh_token_reused")
    refuses(minji.get("users/me/"), 401, "not_authenticated")


def test_once_the_successor_was_used_the_name_helps_no_more(minji: Person) -> None:
    minji.joins()
    first = minji.refresh
    minji.takes(minji.refreshes(HTTP_IDEMPOTENCY_KEY="try-1"))
    minji.takes(minji.refreshes())
    refuses(minji.refreshes(first, HTTP_IDEMPOTENCY_KEY="try-1"), 401, "refresh_token_reused")


# -- tokens of nobody ---------------------------------------------------------------------------------------


def strange(minji: Person) -> dict[str, str]:
    raw = bytearray(base64.urlsafe_b64decode(minji.refresh + "=" * (-len(minji.refresh) % 4)))

    def with_(place: int, value: int) -> str:
        return (
            base64.urlsafe_b64encode(bytes([*raw[:place], raw[place] ^ value, *raw[place + 1 :]])).decode().rstrip("=")
        )

    return {
        "nothing": "",
        "text": "nonsense",
        "no base64": "é" * 91,
        "cut short": minji.refresh[:-4],
        "a letter more": minji.refresh + "A",
        "an access token": minji.access,
        "another session": with_(0, 1),
        "an earlier generation made up": with_(19, 1),
        "a later generation made up": with_(19, 4),
        "another secret": with_(30, 1),
        "zeros": base64.urlsafe_b64encode(bytes(68)).decode().rstrip("="),
    }


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "text",
        "no base64",
        "cut short",
        "a letter more",
        "another session",
        "an earlier generation made up",
        "a later generation made up",
        "another secret",
        "zeros",
    ],
)
def test_a_made_up_token_is_refused_and_ends_nobodys_session(name: str, minji: Person) -> None:
    minji.joins()
    token = strange(minji)[name]
    problem = json.loads(minji.post("tokens/refresh/", {"refresh_token": token}).content)
    assert problem["code"] == "invalid_refresh_token"
    assert minji.post("tokens/revoke/", {"refresh_token": token}).status_code == 204
    assert said("session.revoked") == []
    assert minji.refreshes().status_code == 200


def test_an_access_token_refreshes_nothing(minji: Person) -> None:
    minji.joins()
    refuses(minji.refreshes(minji.access), 401, "invalid_refresh_token")


def test_a_refresh_token_is_no_access_token(minji: Person) -> None:
    minji.joins()
    minji.access = minji.refresh
    refuses(minji.get("users/me/"), 401, "not_authenticated")


def test_an_unused_session_is_over_after_its_days(minji: Person, settings: Settings, hands: Hands) -> None:
    settings(session_days=60)
    minji.joins()
    hands.move(days=59)
    minji.takes(minji.refreshes())
    hands.move(days=59)
    minji.takes(minji.refreshes())
    hands.move(days=60, seconds=1)
    refuses(minji.refreshes(), 401, "invalid_refresh_token")


def test_neither_tokens_nor_passwords_are_kept_or_logged(minji: Person, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    minji.joins()
    first = minji.refresh
    minji.takes(minji.refreshes(HTTP_IDEMPOTENCY_KEY="try-1"))
    minji.refreshes(first)
    kept = repr(list(AuthToken.objects.values())) + caplog.text + repr([record.__dict__ for record in caplog.records])
    for secret in (first, minji.refresh, minji.access, minji.password, "try-1", "127.0.0.1"):
        assert secret not in kept
    raw = base64.urlsafe_b64decode(minji.refresh + "=" * (-len(minji.refresh) % 4))[20:52]
    assert repr(raw)[2:-1] not in kept
    assert "민지" not in caplog.text


# -- logging out ----------------------------------------------------------------------------------------------


def test_logging_out_ends_everything_of_the_session(minji: Person) -> None:
    minji.joins()
    assert minji.post("tokens/revoke/", {"refresh_token": minji.refresh}).status_code == 204
    refuses(minji.refreshes(), 401, "invalid_refresh_token")
    refuses(minji.get("users/me/"), 401, "not_authenticated")
    assert auth.ended.has(minji.session)
    assert [event["reason"] for event in said("session.revoked")] == ["logged_out"]
    assert minji.post("tokens/revoke/", {"refresh_token": minji.refresh}).status_code == 204
    assert len(said("session.revoked")) == 1


def test_an_older_token_logs_out_too(minji: Person) -> None:
    minji.joins()
    old = minji.refresh
    minji.takes(minji.refreshes())
    assert minji.post("tokens/revoke/", {"refresh_token": old}).status_code == 204
    refuses(minji.refreshes(), 401, "invalid_refresh_token")


# -- sessions ---------------------------------------------------------------------------------------------------


def test_minji_sees_where_she_is_logged_in(minji: Person, junho: Person, hands: Hands) -> None:
    minji.signs_up().logs_in(device_name="전화")
    hands.move(minutes=1)
    other = minji.elsewhere().logs_in(device_name="노트북")
    junho.joins()
    listed = minji.get("sessions/").json()["results"]
    assert [(one["device_name"], one["current"], one["id"]) for one in listed] == [
        ("노트북", False, other.session),
        ("전화", True, minji.session),
    ]
    assert set(listed[0]) == {"id", "device_name", "created_at", "last_used_at", "current"}
    hands.move(minutes=1)
    minji.takes(minji.refreshes())
    first = minji.get("sessions/").json()["results"][0]
    assert first["device_name"] == "전화"
    assert first["last_used_at"] > first["created_at"]


def test_minji_ends_the_session_of_the_phone_she_lost(minji: Person) -> None:
    minji.joins()
    lost = minji.elsewhere().logs_in()
    assert minji.delete(f"sessions/{lost.session}/").status_code == 204
    refuses(lost.get("users/me/"), 401, "not_authenticated")
    refuses(lost.refreshes(), 401, "invalid_refresh_token")
    assert minji.get("users/me/").status_code == 200
    assert [one["id"] for one in minji.get("sessions/").json()["results"]] == [minji.session]
    assert [event["session_id"] for event in said("session.revoked")] == [lost.session]
    refuses(minji.delete(f"sessions/{lost.session}/"), 404, "not_found")


def test_minji_may_end_the_session_she_is_in(minji: Person) -> None:
    minji.joins()
    assert minji.delete(f"sessions/{minji.session}/").status_code == 204
    refuses(minji.get("sessions/"), 401, "not_authenticated")


@pytest.mark.parametrize("which", ["sora's", "nobody's", "no id"])
def test_sora_cannot_end_what_is_not_hers_nor_learn_that_it_exists(which: str, minji: Person, sora: Person) -> None:
    minji.joins()
    sora.joins()
    wanted = {"sora's": minji.session, "nobody's": str(clock.new_id()), "no id": "x"}[which]
    problem = refuses(sora.delete(f"sessions/{wanted}/"), 404, "not_found")
    other = refuses(sora.delete(f"sessions/{clock.new_id()}/"), 404, "not_found")
    assert {**problem, "trace_id": ""} == {**other, "trace_id": ""}
    assert minji.get("users/me/").status_code == 200
    assert said("session.revoked") == []


def test_a_session_ended_by_another_process_is_over_here_at_once(minji: Person) -> None:
    minji.joins()
    sessions.end(minji.id, minji.session)
    auth.ended.clear()  # as in a process that has not heard of it yet
    refuses(minji.get("users/me/"), 401, "not_authenticated")


def test_an_end_that_is_rolled_back_ended_nothing(minji: Person) -> None:
    minji.joins()
    with transaction.atomic(using="core"):
        sessions.end(minji.id, minji.session)
        transaction.set_rollback(True, using="core")
    assert not auth.ended.has(minji.session)
    assert minji.get("users/me/").status_code == 200


def test_a_hundred_sessions_are_enough(minji: Person, hands: Hands) -> None:
    minji.signs_up()
    people = []
    for _ in range(103):
        hands.move(seconds=1)
        people.append(minji.elsewhere().logs_in())
    listed = {one["id"] for one in people[-1].get("sessions/").json()["results"]}
    assert listed == {person.session for person in people[3:]}
    assert [event["reason"] for event in said("session.revoked")] == ["replaced"] * 3
    refuses(people[0].refreshes(), 401, "invalid_refresh_token")


def test_sessions_that_are_over_do_not_pile_up(minji: Person, hands: Hands) -> None:
    minji.signs_up()
    for _ in range(110):
        hands.move(seconds=1)
        minji.logs_in()
        minji.post("tokens/revoke/", {"refresh_token": minji.refresh})
    minji.logs_in()
    assert AuthToken.objects.count() <= 101


class Believes(auth.Verifier):
    """A verifier for which everybody is this one principal."""

    def __init__(self, principal: auth.Principal) -> None:
        super().__init__((), is_revoked=lambda _: False)
        self.principal = principal

    def verify(self, token: str) -> auth.Principal:
        return self.principal


def test_a_person_of_a_foreign_issuer_has_no_account_here(minji: Person) -> None:
    minji.joins()
    auth.use(Believes(auth.Principal("junho", None, "https://login.shop.example", 10**10, "")))
    for path in ("users/me/", f"users/{minji.id}/", "users/?username=민지", "sessions/", "blocks/"):
        refuses(minji.get(path), 401, "not_authenticated")


def test_a_token_of_a_session_that_is_somebody_elses_is_refused(minji: Person, junho: Person) -> None:
    minji.joins()
    junho.joins()
    auth.use(Believes(auth.Principal(junho.id, minji.session, config.current().issuer_name, 10**10, "")))
    refuses(junho.get("users/me/"), 401, "not_authenticated")
