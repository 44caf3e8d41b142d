"""The last good key set outlives a restart: in the database of the service that needs it, for a day."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from joserfc.jwk import ECKey

from doran.contracts.errors import Problem
from doran.kernel import clock
from doran.kernel.auth import OwnIssuer, Verifier
from doran.kernel.jwks import KeyRing, KeysUnavailable
from doran.kernel.keysets import KeptKeys
from tests.kernel.issuers import MINJI, OURS, THEIRS, Issuer
from tests.kernel.shop import KeySet


class Hands:
    """The hands of every clock."""

    def __init__(self) -> None:
        self.forward = 0.0

    def ticks(self) -> float:
        return self.forward


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    moved, began = Hands(), clock.now()
    monkeypatch.setattr(clock, "now", lambda: began + timedelta(seconds=moved.forward))
    return moved


@pytest.fixture
def core() -> Issuer:
    return Issuer()


Started = Callable[[], Verifier]


@pytest.fixture
def started(database: str, core: Issuer, hands: Hands) -> Started:
    """Another process of the service, which knows nothing yet."""

    def start() -> Verifier:
        ring = KeyRing(core.key_set, cache_seconds=300, ticks=hands.ticks, keep=KeptKeys(KeySet, OURS))
        now = lambda: clock.now().timestamp()  # noqa: E731
        return Verifier([OwnIssuer(OURS, audience="doran", keys=ring)], is_revoked=lambda _: False, now=now)

    return start


def fresh(core: Issuer) -> str:
    now = int(clock.now().timestamp())
    return core.says(iat=now, exp=now + 600)


def is_let_in(verifier: Verifier, token: str) -> bool:
    """Whether this is 민지, or cannot be told now; nothing else may come of it."""
    try:
        return verifier.verify(token).user_id == MINJI
    except Problem as problem:
        if problem.code != "unavailable":
            raise
        return False


def test_a_restart_while_core_is_away_lets_minji_in(started: Started, core: Issuer, hands: Hands) -> None:
    assert is_let_in(started(), fresh(core))
    core.is_down = True
    hands.forward += 400
    again = started()
    assert is_let_in(again, fresh(core))
    assert again.rings[OURS].check() == "as they were 400 s ago"


def test_another_copy_starts_with_what_the_first_has_kept(started: Started, core: Issuer, hands: Hands) -> None:
    is_let_in(started(), fresh(core))
    core.turns("k2")
    hands.forward += 301
    is_let_in(started(), fresh(core))
    core.is_down = True
    assert is_let_in(started(), fresh(core))


def test_kept_keys_are_good_for_a_day_and_no_longer(started: Started, core: Issuer, hands: Hands) -> None:
    is_let_in(started(), fresh(core))
    core.is_down = True
    hands.forward += 24 * 3600
    assert is_let_in(started(), fresh(core))
    hands.forward += 301
    late = started()
    assert not is_let_in(late, fresh(core))
    with pytest.raises(KeysUnavailable):
        late.rings[OURS].check()


def test_an_unknown_key_is_not_refused_while_core_is_away(started: Started, core: Issuer, hands: Hands) -> None:
    """Core may have made it meanwhile: nobody can tell, so the answer is later, not never."""
    is_let_in(started(), fresh(core))
    core.turns("k2")
    core.is_down = True
    assert not is_let_in(started(), fresh(core))


def test_the_return_of_core_is_noticed(started: Started, core: Issuer, hands: Hands) -> None:
    is_let_in(started(), fresh(core))
    core.is_down = True
    again = started()
    is_let_in(again, fresh(core))
    core.is_down = False
    core.turns("k2")
    core.members = core.members[1:]
    hands.forward += 6
    assert is_let_in(again, fresh(core))
    assert again.rings[OURS].check() == ""
    core.is_down = True
    assert is_let_in(started(), fresh(core))


@pytest.mark.parametrize("kept", ["", "nonsense", '{"keys": 7}', "{" * 5000])
def test_what_was_kept_and_is_no_key_set_lets_nobody_in(started: Started, core: Issuer, kept: str) -> None:
    KeySet.objects.create(issuer=OURS, document=kept, fetched_at=clock.now())
    core.is_down = True
    assert not is_let_in(started(), fresh(core))
    core.is_down = False


def test_the_keys_of_another_issuer_are_not_ours(started: Started, core: Issuer) -> None:
    KeySet.objects.create(issuer=THEIRS, document=core.key_set().decode(), fetched_at=clock.now())
    core.is_down = True
    assert not is_let_in(started(), fresh(core))


@pytest.mark.parametrize("lie", [b'{"keys": []}', b"<html>", b'{"keys": [{"kty": "oct", "k": "AAAA", "kid": "k1"}]}'])
def test_a_core_that_lies_neither_takes_nor_gives_keys(
    started: Started, core: Issuer, hands: Hands, monkeypatch: pytest.MonkeyPatch, lie: bytes
) -> None:
    verifier = started()
    is_let_in(verifier, fresh(core))
    monkeypatch.setattr(core, "key_set", lambda: lie)
    verifier.rings[OURS]._source = core.key_set
    hands.forward += 301
    assert is_let_in(verifier, fresh(core))
    assert verifier.rings[OURS].check() != ""
    row = KeySet.objects.get(issuer=OURS)
    assert [key["kid"] for key in json.loads(row.document)["keys"]] == ["k1"]


def test_a_database_that_is_away_keeps_nobody_out(
    started: Started, core: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object) -> None:
        raise ConnectionError("chat's database")

    monkeypatch.setattr(KeptKeys, "save", away)
    monkeypatch.setattr(KeptKeys, "load", away)
    assert is_let_in(started(), fresh(core))
    core.is_down = True
    assert not is_let_in(started(), fresh(core))
    assert "keys cannot be kept for a restart" in caplog.text
    assert "kept keys cannot be read" in caplog.text


def test_somebody_elses_signature_is_refused_with_kept_keys_too(started: Started, core: Issuer) -> None:
    is_let_in(started(), fresh(core))
    core.is_down = True
    forged = Issuer(key=ECKey.generate_key("P-256")).says()
    with pytest.raises(Problem) as refused:
        started().verify(forged)
    assert refused.value.code == "not_authenticated"
