"""A service is believed as a service, for one audience and its scopes, and never as a person; nor a person as a service."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from joserfc.jwk import ECKey

from doran.contracts.errors import Problem
from doran.contracts.scopes import SCOPES, granted
from doran.kernel import auth
from doran.kernel.auth import OwnIssuer, Verifier
from doran.kernel.jwks import SPACING_SECONDS, KeyRing
from doran.kernel.siblings.tokens import MARGIN_SECONDS, REFUSED_SECONDS, Tokens
from tests.kernel.issuers import MINJI, OURS, THEIRS, Issuer, hs256
from tests.neighbour import Neighbour, Says, next_door

pytestmark = pytest.mark.stateless

MAY = "users.read"


@pytest.fixture
def core() -> Issuer:
    return Issuer()


@pytest.fixture
def verifier(core: Issuer) -> Verifier:
    keys = KeyRing(core.key_set, cache_seconds=300, refetch_seconds=0.0)  # as core asks itself: at once
    own = OwnIssuer(OURS, audience="doran", keys=keys)
    return Verifier([own], is_revoked=lambda _: False)


def of_chat(core: Issuer, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """What core gives chat for its questions to core, but for these differences."""
    now = int(time.time())
    said = {
        "iss": OURS, "aud": "core", "sub": "chat", "scope": MAY, "jti": "t", "iat": now, "exp": now + 300, **claims,
    }  # fmt: skip
    said = {name: value for name, value in said.items() if value is not ...}
    return core.token(core.header(**{"typ": auth.SERVICE_TYPE, **(header or {})}), said)


def refusal(verifier: Verifier, token: str, scope: str = MAY) -> tuple[str, int]:
    with pytest.raises(Problem) as refused:
        verifier.verify_service(token, scope=scope)
    return refused.value.code, refused.value.kind.status


NOT_AUTHENTICATED = ("not_authenticated", 401)
INSUFFICIENT = ("insufficient_scope", 403)


# -- who is believed ---------------------------------------------------------------------------------


def test_chat_is_who_its_token_says(verifier: Verifier, core: Issuer) -> None:
    service = verifier.verify_service(of_chat(core, scope=f"{MAY} other"), scope=MAY)
    assert (service.name, service.scopes) == ("chat", {MAY, "other"})


Forgery = Callable[[Issuer], str]

FORGERIES: dict[str, Forgery] = {
    "for another audience": lambda core: of_chat(core, aud="chat"),
    "for two audiences": lambda core: of_chat(core, aud=["core", "chat"]),
    "for people's audience": lambda core: of_chat(core, aud="doran"),
    "expired": lambda core: of_chat(core, iat=int(time.time()) - 400, exp=int(time.time()) - 100),
    "not valid yet": lambda core: of_chat(core, nbf=int(time.time()) + 100),
    "for an hour": lambda core: of_chat(core, exp=int(time.time()) + 3600),
    "without a scope": lambda core: of_chat(core, scope=...),
    "without a holder": lambda core: of_chat(core, sub=...),
    "without an end": lambda core: of_chat(core, exp=...),
    "of another issuer": lambda core: of_chat(core, iss=THEIRS),
    "signed by somebody else": lambda core: of_chat(Issuer(key=ECKey.generate_key("P-256"))),
    "signed with the public key": lambda core: core.token(
        {"alg": "HS256", "kid": core.kid, "typ": auth.SERVICE_TYPE},
        core.claims(aud="core", sub="chat", scope=MAY),
        sign=lambda signed: hs256(core.key.as_pem(private=False), signed),
    ),
    "signed by nobody": lambda core: of_chat(core, {"alg": "none"}),
    "with a key of its own": lambda core: of_chat(stranger := Issuer(), {"jwk": stranger.member()}),
    "a person's": lambda core: core.says(aud="core", scope=MAY),
    "a person's with the type of a service's": lambda core: core.token(core.header(typ=auth.SERVICE_TYPE)),
    "cut short": lambda core: of_chat(core)[:-4],
    "no token": lambda core: "chat",
}


@pytest.mark.parametrize("made", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forgery_is_not_authenticated(verifier: Verifier, core: Issuer, made: Forgery) -> None:
    verifier.verify_service(of_chat(core), scope=MAY)
    assert refusal(verifier, made(core)) == NOT_AUTHENTICATED


def test_a_key_that_core_does_not_publish_is_refused_once_core_was_asked(core: Issuer) -> None:
    """Until then it may be one that core has just begun to use: come again."""
    now = Clock()
    keys = KeyRing(core.key_set, cache_seconds=300, ticks=now)
    verifier = Verifier([OwnIssuer(OURS, audience="doran", keys=keys)], is_revoked=lambda _: False)
    stranger = Issuer(kid="mine")
    made_up = of_chat(stranger, {"jwk": stranger.member()})
    verifier.verify_service(of_chat(core), scope=MAY)
    now.now += 1
    assert (refusal(verifier, made_up), core.asked) == (("unavailable", 503), 1)
    now.now += SPACING_SECONDS
    for _ in range(3):
        assert (refusal(verifier, made_up), core.asked) == (NOT_AUTHENTICATED, 2)


@pytest.mark.parametrize("scope", ["", "users.readmore", "conversations.read", "USERS.READ"])
def test_the_wrong_scope_is_known_but_not_enough(verifier: Verifier, core: Issuer, scope: str) -> None:
    wanted = INSUFFICIENT if scope else NOT_AUTHENTICATED  # an empty scope is none
    assert refusal(verifier, of_chat(core, scope=scope or ...)) == wanted


def test_a_token_for_core_cannot_be_replayed_to_chat(verifier: Verifier, core: Issuer) -> None:
    token = of_chat(core, scope="users.read conversations.read")
    assert verifier.verify_service(token, scope="users.read").name == "chat"
    assert refusal(verifier, token, "conversations.read") == NOT_AUTHENTICATED


@pytest.mark.parametrize("claims", [{}, {"sub": MINJI}, {"sub": MINJI, "sid": "session-1", "aud": "doran"}])
def test_a_service_is_never_taken_for_a_person(verifier: Verifier, core: Issuer, claims: dict[str, Any]) -> None:
    token = of_chat(core, **claims)
    for _ in range(2):
        with pytest.raises(Problem) as refused:
            verifier.verify(token)
        assert refused.value.code == "not_authenticated"
        assert verifier.remembered(token) is None


def test_without_core_no_service_is_believed(core: Issuer) -> None:
    verifier = Verifier([], is_revoked=lambda _: False)
    assert refusal(verifier, of_chat(core)) == NOT_AUTHENTICATED


def test_the_table_says_who_may_ask_whom() -> None:
    assert granted("chat", "core") == ("users.read",)
    assert granted("ai", "chat") == ("conversations.read", "screens.tell")
    assert granted("chat", "chat") == granted("chat", "ai") == granted("minji", "core") == ()
    assert all(one.audience in ("core", "chat", "ai") and one.audience not in one.askers for one in SCOPES.values())


# -- kept and renewed ----------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Giving:
    """A core that gives tokens, until it is away or refuses."""

    def __init__(self) -> None:
        self.given = 0
        self.status = 200
        self.is_away = False
        self.body: Any = None
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, service: str, method: str, path: str, *_: Any) -> tuple[int, Any]:
        assert (service, method, path) == ("core", "POST", "/api/core/service-tokens/")
        self.given += 1
        number = self.given
        self.go_on.wait(30)
        if self.is_away:
            raise Problem("unavailable")
        return self.status, self.body or {"access_token": f"token {number}", "expires_in": 300}


@pytest.fixture
def giving() -> Giving:
    return Giving()


@pytest.fixture
def now() -> Clock:
    return Clock()


@pytest.fixture
def tokens(giving: Giving, now: Clock) -> Tokens:
    return Tokens(giving, ticks=now)


def test_one_token_serves_for_half_its_life(tokens: Tokens, giving: Giving, now: Clock) -> None:
    assert {tokens.get("chat", "core") for _ in range(5)} == {"token 1"}
    now.now += 110
    assert tokens.get("chat", "core") == "token 1"
    now.now += 50
    assert tokens.get("chat", "core") == "token 2"
    assert giving.given == 2


def test_each_audience_has_its_own(tokens: Tokens, giving: Giving) -> None:
    assert tokens.get("ai", "core") != tokens.get("ai", "chat")
    tokens.forget("ai", "core")
    assert (tokens.get("ai", "core"), tokens.get("ai", "chat")) == ("token 3", "token 2")


def test_a_core_that_is_away_is_bridged_by_what_is_left(tokens: Tokens, giving: Giving, now: Clock) -> None:
    tokens.get("chat", "core")
    giving.is_away = True
    now.now += 200
    assert tokens.get("chat", "core") == "token 1"
    asked = giving.given
    assert tokens.get("chat", "core") == "token 1"
    assert giving.given == asked
    now.now += 100 - MARGIN_SECONDS
    with pytest.raises(Problem):
        tokens.get("chat", "core")
    giving.is_away = False
    now.now += 2
    assert tokens.get("chat", "core").startswith("token")


def test_many_who_need_one_ask_once(tokens: Tokens, giving: Giving) -> None:
    giving.go_on.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(tokens.get, "chat", "core") for _ in range(8)]
        while giving.given == 0:
            pass
        giving.go_on.set()
        assert {one.result() for one in waiting} == {"token 1"}
    assert giving.given == 1


def test_who_has_a_good_token_does_not_wait_for_the_next(tokens: Tokens, giving: Giving, now: Clock) -> None:
    tokens.get("chat", "core")
    now.now += 200
    giving.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(tokens.get, "chat", "core")
        while giving.given == 1:
            pass
        assert tokens.get("chat", "core") == "token 1"
        giving.go_on.set()
        assert renewing.result() == "token 2"


@pytest.mark.parametrize(("status", "body"), [(401, {}), (403, {}), (200, {"access_token": 7}), (200, [])])
def test_a_core_that_gives_none_is_not_asked_all_the_time(
    tokens: Tokens, giving: Giving, now: Clock, status: int, body: Any
) -> None:
    giving.status, giving.body = status, body or [0]
    for _ in range(5):
        with pytest.raises(Problem) as refused:
            tokens.get("chat", "core")
        assert refused.value.code == "unavailable"
    assert giving.given == 1
    now.now += REFUSED_SECONDS
    giving.status, giving.body = 200, None
    assert tokens.get("chat", "core") == "token 2"


# -- on the way ----------------------------------------------------------------------------------------


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    with next_door() as there:
        yield there


def ask() -> tuple[int, Any]:
    from doran.kernel import siblings

    return siblings.get("core", "/api/core/users/minji/", asker="chat")


def test_the_secret_is_shown_to_core_once_and_to_nobody_else(neighbour: Neighbour) -> None:
    for _ in range(3):
        assert ask()[0] == 200
    proof = {"service": "chat", "secret": "chat's own secret, long enough", "audience": "core"}
    assert neighbour.proofs == [proof]
    assert "own secret" not in str(neighbour.asked)


def test_a_token_that_is_not_believed_is_replaced_once(neighbour: Neighbour) -> None:
    neighbour.next = [Says(401, b"{}")]
    assert ask()[0] == 200
    assert [headers["authorization"] for _, headers in neighbour.asked] == ["Bearer token 1", "Bearer token 2"]
    neighbour.always = Says(401, b"{}")
    assert ask()[0] == 401
    assert len(neighbour.asked) == 4


def test_without_a_token_nothing_is_asked(neighbour: Neighbour, caplog: pytest.LogCaptureFixture) -> None:
    neighbour.token_says = Says(401, b'{"code":"invalid_credentials"}')
    with pytest.raises(Problem) as refused:
        ask()
    assert refused.value.code == "unavailable"
    assert neighbour.asked == []
    assert "core gives this service no token" in caplog.text
    assert "own secret" not in caplog.text
