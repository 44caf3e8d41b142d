"""Signing keys: sealed, published before they sign, and changed without one honest token being refused."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from doran.contracts.errors import Problem
from doran.core import keys, sealing, tokens
from doran.core.models import AuthToken, SigningKey
from doran.kernel import auth, clock, config
from doran.kernel.auth import OwnIssuer, Verifier
from doran.kernel.config import BadSetting
from doran.kernel.jwks import KeyRing
from tests.clock import Hands
from tests.core.conftest import SECRET, Settings
from tests.core.people import Person, refuses
from tests.core.test_tokens import at_once, claims

KNOWN_EVERYWHERE = timedelta(seconds=600)  # twice the default jwks_cache_seconds


def a_token() -> str:
    """An access token as a refresh would give it, for somebody who is logged in."""
    session = AuthToken(id=clock.new_id(), user_id=clock.new_id())
    return tokens._access_token(session)


def signed_by(token: str) -> str:
    return str(claims(token, 0)["kid"])


def published() -> list[str]:
    return [key["kid"] for key in json.loads(keys.published())["keys"]]


def verifier_elsewhere(hands: Hands, source: Callable[[], bytes] = keys.published, **more: Any) -> Verifier:
    """One that fetches the key set and keeps it as long as it may."""
    ring = KeyRing(source, ticks=lambda: hands.now().timestamp(), **{"cache_seconds": 300.0, **more})
    own = OwnIssuer(config.current().issuer_name, audience="doran", keys=ring)
    return Verifier([own], is_revoked=lambda _: False)


# -- at the start --------------------------------------------------------------------------------------


def test_a_first_start_makes_a_current_key_and_a_next_one(core: None) -> None:
    keys.ensure()
    assert len(published()) == 2
    assert signed_by(a_token()) == published()[0]


def test_only_public_parts_are_published(minji: Person) -> None:
    answer = minji.get("/.well-known/jwks.json")
    for key in answer.json()["keys"]:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("EC", "P-256", "sig", "ES256")
    assert answer["Cache-Control"] == "public, max-age=300"


def test_discovery_says_how_to_verify_and_promises_nothing_else(minji: Person) -> None:
    found = minji.get("/.well-known/openid-configuration").json()
    assert found["issuer"] == "https://chat.example.test"
    assert found["jwks_uri"] == "https://chat.example.test/.well-known/jwks.json"
    assert found["id_token_signing_alg_values_supported"] == ["ES256"]
    assert not {"authorization_endpoint", "token_endpoint"} & set(found)


def test_private_parts_are_sealed_each_for_its_own_key(core: None) -> None:
    first, second = SigningKey.objects.order_by("number")
    for row in (first, second):
        assert b"PRIVATE" not in bytes(row.sealed)
        assert b"PRIVATE" in sealing.unseal(keys.PURPOSE, bytes(row.sealed), bound_to=row.kid)
    with pytest.raises(BadSetting):
        sealing.unseal(keys.PURPOSE, bytes(first.sealed), bound_to=second.kid)
    with pytest.raises(BadSetting):
        sealing.unseal(keys.PURPOSE, bytes(first.sealed)[:-1] + b"x", bound_to=first.kid)


def test_another_secret_is_said_at_the_start_and_harms_nothing(core: None, settings: Settings) -> None:
    before = list(SigningKey.objects.values())
    settings(secret_key="another secret, as long as the first, but not the same one")
    with pytest.raises(BadSetting, match="DORAN_SECRET_KEY"):
        keys.ensure()
    assert list(SigningKey.objects.values()) == before
    settings(secret_key=SECRET)
    keys.ensure()
    assert a_token()


def test_without_a_secret_nothing_is_signed(core: None, settings: Settings) -> None:
    settings(secret_key="")
    keys.forget()
    with pytest.raises(BadSetting, match="DORAN_SECRET_KEY"):
        a_token()


def test_before_there_are_keys_a_log_in_waits(minji: Person) -> None:
    minji.signs_up()
    SigningKey.objects.all().delete()
    keys.forget()
    refuses(minji.tries_to_log_in(minji.password), 503, "unavailable")


def test_starts_at_the_same_time_make_two_keys_together(database: str, settings: Settings) -> None:
    at_once(8, lambda _: keys.ensure())
    assert [row.number for row in SigningKey.objects.order_by("number")] == [1, 2]


def test_a_first_start_with_the_clock_ahead_starts_again_when_it_is_right(
    database: str, settings: Settings, hands: Hands
) -> None:
    hands.move(hours=2)
    keys.ensure()
    first, second = published()
    early = a_token()
    hands.move(hours=-2)
    keys.forget()
    keys.ensure()
    assert signed_by(early) == signed_by(a_token()) == first
    assert verifier_elsewhere(hands).verify(a_token())
    keys.rotate(at_once=True)
    assert signed_by(a_token()) == second


def test_keys_keep_their_order_when_the_clock_is_set_back(core: None, hands: Hands) -> None:
    first, second = published()
    hands.move(days=31)
    assert signed_by(a_token()) == second  # it was old, and changed by itself
    hands.move(days=-31)
    assert signed_by(a_token()) == first
    assert published()[:2] == [first, second]
    hands.move(days=31, seconds=601)
    assert signed_by(a_token()) == second
    keys.rotate(at_once=True)
    third = signed_by(a_token())
    hands.move(days=-31)
    keys.forget()
    assert signed_by(a_token()) == third
    assert not {first, second} & set(published())


def test_a_token_of_a_clock_that_was_ahead_is_renewed_not_kept_for_hours(
    minji: Person, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    minji.signs_up()
    hands.move(hours=2)
    minji.logs_in()
    hands.move(hours=-2)
    refuses(minji.get("/api/core/users/me/"), 401, "not_authenticated")
    assert "clock disagrees with the clock that makes tokens" in caplog.text
    minji.takes(minji.refreshes())
    assert minji.get("/api/core/users/me/").status_code == 200
    sessions = minji.get("/api/core/sessions/").json()["results"]
    assert [one["last_used_at"] >= one["created_at"] for one in sessions] == [True]


# -- changing the key ---------------------------------------------------------------------------------------


def test_a_next_key_that_everybody_knows_takes_over_at_once(core: None, hands: Hands) -> None:
    first, second = published()
    old = a_token()
    hands.move(seconds=601)
    assert keys.rotate() <= clock.now()
    assert signed_by(a_token()) == second
    assert published()[:2] == [first, second]
    assert len(published()) == 3
    assert signed_by(old) == first


def test_a_next_key_that_is_young_waits_until_everybody_knows_it(core: None, hands: Hands) -> None:
    first, second = published()
    begins = keys.rotate()
    assert timedelta(seconds=590) < begins - clock.now() <= KNOWN_EVERYWHERE
    assert signed_by(a_token()) == first
    hands.move(seconds=601)
    assert signed_by(a_token()) == second


def test_an_old_key_stays_published_until_its_last_token_is_over(core: None, hands: Hands) -> None:
    hands.move(seconds=601)
    first, last = published()[0], a_token()
    keys.rotate()
    verifier = verifier_elsewhere(hands)
    hands.move(seconds=599)
    assert first in published()
    assert verifier.verify(last)
    hands.move(seconds=70)
    assert first not in published()
    hands.move(seconds=600)
    keys.rotate()
    assert not SigningKey.objects.filter(kid=first).exists()


def test_rotating_over_and_over_is_refused_before_it_can_harm(core: None) -> None:
    for _ in range(6):
        keys.rotate()
    assert len(published()) == 8
    with pytest.raises(Problem, match="conflict"):
        keys.rotate()
    assert len(published()) == 8


def test_a_key_in_wrong_hands_is_withdrawn_with_its_tokens(core: None, hands: Hands) -> None:
    verifier = verifier_elsewhere(hands, cache_seconds=1.0)
    stolen = a_token()
    assert verifier.verify(stolen)
    first, second = published()
    keys.rotate(at_once=True)
    hands.move(seconds=2)
    assert first not in published()
    with pytest.raises(Problem, match="not_authenticated"):
        verifier.verify(stolen)
    fresh = a_token()
    assert signed_by(fresh) == second
    assert verifier.verify(fresh)


def test_even_with_many_keys_a_stolen_one_can_be_withdrawn(core: None) -> None:
    for _ in range(6):
        keys.rotate()
    before = published()
    keys.rotate(at_once=True)
    assert published()[0] == before[-1] == signed_by(a_token())
    assert len(published()) == 2


def test_the_key_changes_by_itself_when_it_is_old(core: None, hands: Hands, settings: Settings) -> None:
    settings(key_days=30)
    first, second = published()
    hands.move(days=29)
    assert signed_by(a_token()) == first
    hands.move(days=2)
    assert signed_by(a_token()) == second
    assert len(published()) == 3
    hands.move(days=29)
    assert signed_by(a_token()) == second
    assert len(published()) == 2
    hands.move(days=2)
    assert signed_by(a_token()) not in (first, second)


def test_twenty_who_notice_the_age_at_once_change_it_once(core: None, hands: Hands) -> None:
    hands.move(days=31)
    made = at_once(20, lambda _: signed_by(a_token()))
    assert len(set(made)) == 1
    assert SigningKey.objects.count() == 3


def test_three_hours_of_rotation_refuse_nobody(core: None, hands: Hands) -> None:
    """Four verifiers that keep the key set as long as they may, rotations at odd moments, every
    token checked again and again as long as it is good: none is ever refused."""
    chance = random.Random(20251)
    verifiers = [verifier_elsewhere(hands) for _ in range(4)]
    good: list[tuple[float, str]] = []
    rotations = 0
    for step in range(540):
        hands.move(seconds=20)
        keys.forget()  # the next look into the table comes within seconds
        if chance.random() < 0.03:
            keys.rotate()
            rotations += 1
        now = clock.now().timestamp()
        good = [(ends, token) for ends, token in good if ends > now]
        good.append((now + 599, a_token()))
        for number, verifier in enumerate(verifiers):
            if (step + number * 7) % (number + 1) == 0:
                for _, token in good:
                    verifier.verify(token)
    assert rotations > 10
    assert SigningKey.objects.order_by("-number")[0].number == rotations + 2


def test_rotation_under_load_refuses_nobody(core: None, hands: Hands) -> None:
    verifier = verifier_elsewhere(hands)
    stop, refused, checked, kids = threading.Event(), [], [0] * 4, set()

    def use_tokens(number: int) -> None:
        while not stop.is_set():
            token = a_token()
            kids.add(signed_by(token))
            try:
                verifier.verify(token)
                checked[number] += 1
            except Problem as problem:
                refused.append(problem.detail)
        connections["core"].close()

    threads = [threading.Thread(target=use_tokens, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            keys.rotate()
            before = sum(checked)
            for _ in range(11):
                hands.move(seconds=60)
                while sum(checked) < before + 8 and not refused:
                    threads[0].join(0.001)
                before = sum(checked)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert refused == []
    assert len(kids) >= 5
    assert min(checked) > 0


def test_a_rotation_in_another_process_needs_no_word(
    database: str, core: None, monkeypatch: pytest.MonkeyPatch, hands: Hands
) -> None:
    monkeypatch.setattr(keys, "REREAD_SECONDS", 1000.0)
    SigningKey.objects.update(published_at=clock.now() - timedelta(days=1))
    keys.forget()
    first, second = published()
    verifier = verifier_elsewhere(hands)
    old = a_token()
    assert verifier.verify(old)

    _rotate_elsewhere(database)

    still = a_token()
    assert verifier.verify(still)
    monkeypatch.setattr(keys, "REREAD_SECONDS", 0.0)
    fresh = a_token()
    assert (signed_by(still), signed_by(fresh)) == (first, second)
    for token in (old, still, fresh):
        assert verifier.verify(token)
        assert verifier_elsewhere(hands).verify(token)


def _rotate_elsewhere(database: str) -> None:
    """What an operator's command does: another process on the same database."""
    script = "import django; django.setup(); from doran.core import keys; keys.rotate()"
    given = {name: value for name, value in os.environ.items() if not name.startswith("DORAN_")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        env={
            **given,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "DJANGO_SETTINGS_MODULE": "doran.server.settings",
            "DORAN_SERVICES": "core",
            "DORAN_CORE_DATABASE": database,
            "DORAN_SECRET_KEY": SECRET,
        },
    )
    assert done.returncode == 0, done.stderr


def test_signed_tokens_are_believed_by_our_own_verifier(core: None) -> None:
    assert auth.verify(a_token()).issuer == "https://chat.example.test"
