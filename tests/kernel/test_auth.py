"""Who is believed: 민지's honest token is, and every forgery is refused without anybody being asked."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from doran.contracts.errors import Problem
from doran.kernel import auth, clock, config
from doran.kernel.auth import EndedSessions, ForeignIssuer, OwnIssuer, Verifier
from doran.kernel.config import BadSetting
from doran.kernel.jwks import MAX_BYTES, BadKeySet, JwksUrl, KeyRing, KeysUnavailable, parse
from tests.kernel.issuers import MINJI, OURS, THEIRS, Issuer, b64, hs256, segment, serving, signature

pytestmark = pytest.mark.stateless

RSA_KEY = RSAKey.generate_key(2048)


class Hands:
    """A clock whose hands a story moves."""

    def __init__(self) -> None:
        self.forward = 0.0

    def now(self) -> float:
        return time.time() + self.forward

    def ticks(self) -> float:
        return time.monotonic() + self.forward


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def ours() -> Issuer:
    return Issuer()


@pytest.fixture
def theirs() -> Issuer:
    return Issuer(THEIRS, key=RSA_KEY, kid="shop-1")


@pytest.fixture
def ended(hands: Hands) -> EndedSessions:
    return EndedSessions(ticks=hands.ticks)


def ring(issuer: Issuer, hands: Hands, **more: Any) -> KeyRing:
    return KeyRing(issuer.key_set, ticks=hands.ticks, **{"cache_seconds": 300, **more})


def foreign(issuer: Issuer, hands: Hands, **more: Any) -> ForeignIssuer:
    wanted = {
        "audience": "shop-chat",
        "keys": ring(issuer, hands),
        "algorithms": ("ES256", "RS256", "EdDSA"),
        "people": r"[A-Za-z0-9_.:|@-]{1,255}",
        **more,
    }
    return ForeignIssuer(issuer.name, **wanted)


@pytest.fixture
def verifier(ours: Issuer, theirs: Issuer, hands: Hands, ended: EndedSessions) -> Verifier:
    own = OwnIssuer(OURS, audience="doran", keys=ring(ours, hands))
    return Verifier([own, foreign(theirs, hands)], is_revoked=ended.has, now=hands.now)


def refusal(verifier: Verifier, token: str) -> str:
    """Why it is refused; a second try is refused for the same reason, so nothing was remembered."""
    found = []
    for _ in range(2):
        with pytest.raises(Problem) as refused:
            verifier.verify(token)
        assert (refused.value.code, refused.value.kind.status) == ("not_authenticated", 401)
        found.append(refused.value.detail)
    assert found[0] == found[1]
    assert verifier.remembered(token) is None
    return found[0]


# -- who is believed --------------------------------------------------------------------------------


def test_minji_is_who_her_token_says(verifier: Verifier, ours: Issuer) -> None:
    ends = int(time.time()) + 300
    token = ours.says(exp=ends)
    principal = verifier.verify(auth.bearer(f"Bearer {token}"))
    assert (principal.user_id, principal.session_id, principal.issuer) == (MINJI, "session-1", OURS)
    assert (principal.token_id, principal.expires_at) == ("token-1", ends)


def test_the_second_look_needs_no_signature_check(
    verifier: Verifier, ours: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = ours.says()
    first = verifier.verify(token)
    monkeypatch.setattr(auth.jws, "deserialize_compact", lambda *_, **__: pytest.fail("checked again"))
    assert verifier.verify(token) == first
    assert verifier.remembered(token) == first


def test_a_token_of_many_audiences_is_good_if_one_is_ours(verifier: Verifier, ours: Issuer) -> None:
    assert verifier.verify(ours.says(aud=["other", "doran"])).user_id == MINJI


def test_a_person_of_the_foreign_issuer_is_believed_without_core(verifier: Verifier, theirs: Issuer) -> None:
    principal = verifier.verify(theirs.says(sub="auth0|junho", aud="shop-chat", jti=..., sid="x"))
    assert (principal.user_id, principal.session_id, principal.issuer) == ("auth0|junho", None, THEIRS)


@pytest.mark.parametrize("key", [RSA_KEY, ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519")])
def test_the_foreign_issuer_may_use_each_algorithm_of_its_list(key: Any, hands: Hands) -> None:
    issuer = Issuer(THEIRS, key=key)
    verifier = Verifier([foreign(issuer, hands)], is_revoked=lambda _: False)
    assert verifier.verify(issuer.says(sub="junho", aud="shop-chat")).user_id == "junho"


@pytest.mark.parametrize("typ", [..., "JWT", "jwt", "at+jwt", "application/at+jwt"])
def test_the_foreign_issuer_may_name_the_type_as_providers_do(typ: Any, verifier: Verifier, theirs: Issuer) -> None:
    claims = theirs.claims(sub="junho", aud="shop-chat")
    assert verifier.verify(theirs.token(theirs.header(typ=typ), claims)).user_id == "junho"


def test_a_minute_of_disagreement_between_clocks_is_forgiven(verifier: Verifier, ours: Issuer) -> None:
    now = int(time.time())
    assert verifier.verify(ours.says(iat=now - 650, exp=now - 50)).user_id == MINJI
    assert verifier.verify(ours.says(iat=now + 50, nbf=now + 50, exp=now + 640)).user_id == MINJI


@pytest.mark.parametrize("ahead", [8, 61, 540])
def test_a_token_from_the_future_alone_is_no_reason_to_refuse(
    ahead: int, verifier: Verifier, ours: Issuer, theirs: Issuer
) -> None:
    now = int(time.time())
    assert verifier.verify(ours.says(iat=now + ahead, exp=now + ahead + 10)).user_id == MINJI
    foreign_token = theirs.says(sub="junho", aud="shop-chat", iat=now + 100 * ahead, exp=now + 3600)
    assert verifier.verify(foreign_token).user_id == "junho"


@pytest.mark.parametrize(("name", "value"), [("exp", 300.25), ("iat", 0.5), ("nbf", -0.001), ("exp", 60.0)])
def test_times_may_have_a_fraction(name: str, value: float, verifier: Verifier, ours: Issuer, theirs: Issuer) -> None:
    moment = int(time.time()) + value
    principal = verifier.verify(ours.says(**{name: moment}))
    assert principal.user_id == MINJI
    assert name != "exp" or principal.expires_at == moment
    assert verifier.verify(theirs.says(sub="junho", aud="shop-chat", **{name: moment})).user_id == "junho"


def long_token(issuer: Issuer, size: int, **claims: Any) -> str:
    """A token of so many characters, or one or two fewer, as one with many roles is."""
    room = size - len(issuer.says(**claims, roles=""))
    return issuer.says(**claims, roles="r" * (room * 3 // 4))


@pytest.mark.parametrize("size", [9 * 1024, 16 * 1024])
def test_a_token_may_have_sixteen_kibibytes(size: int, verifier: Verifier, ours: Issuer, theirs: Issuer) -> None:
    token = long_token(ours, size)
    assert size - 2 <= len(token) <= size
    assert verifier.verify(token).user_id == MINJI
    assert verifier.remembered(token) is not None
    assert verifier.verify(long_token(theirs, size, sub="junho", aud="shop-chat")).user_id == "junho"


@pytest.mark.parametrize("more", [1, 2, 50_000])
def test_beyond_that_it_is_too_long_and_said_to_be(more: int, verifier: Verifier, ours: Issuer) -> None:
    token = ours.says(roles="r" * 16_384) + "A" * more
    assert refusal(verifier, token) == "The access token is too long: at most 16384 characters."


def test_how_far_clocks_may_differ_is_a_setting(ours: Issuer, hands: Hands) -> None:
    now = int(time.time())
    for leeway, late in ((0, 1), (300, 310)):
        own = OwnIssuer(OURS, audience="doran", keys=ring(ours, hands), leeway=leeway)
        strict = Verifier([own], is_revoked=lambda _: False, now=hands.now)
        assert refusal(strict, ours.says(iat=now - 600, exp=now - late)) == "The access token has expired."
        assert "not valid yet" in refusal(strict, ours.says(nbf=now + late + 20))


# -- who is not: time, claims and form -----------------------------------------------------------------


def wrong_claims() -> dict[str, dict[str, Any]]:
    now = int(time.time())
    return {
        "expired by 61 s": {"iat": now - 661, "exp": now - 61},
        "expired by a fraction": {"iat": now - 661, "exp": now - 60.5},
        "not before 75 s from now": {"nbf": now + 75},
        "made two hours from now": {"iat": now + 7200, "exp": now + 7800},
        "good for eleven minutes": {"exp": now + 660},
        "over before it was made": {"iat": now, "exp": now},
        "no end": {"exp": ...},
        "end as text": {"exp": str(now + 60)},
        "end negative": {"exp": -1},
        "end true": {"exp": True},
        "end null": {"exp": None},
        "end as a list": {"exp": [now + 60]},
        "end beyond all years": {"exp": 10**30},
        "no beginning": {"iat": ...},
        "beginning as text": {"iat": str(now)},
        "not-before as text": {"nbf": str(now)},
        "another audience": {"aud": "somebody else"},
        "nearly our audience": {"aud": "Doran"},
        "no audience": {"aud": ...},
        "empty list of audiences": {"aud": []},
        "audience as a number": {"aud": 7},
        "audiences of mixed kinds": {"aud": ["doran", 7]},
        "another issuer": {"iss": "https://evil.example"},
        "our issuer with a slash": {"iss": OURS + "/"},
        "no issuer": {"iss": ...},
        "issuer as a list": {"iss": [OURS]},
        "no subject": {"sub": ...},
        "empty subject": {"sub": ""},
        "subject as a number": {"sub": 7},
        "subject that core never made": {"sub": "minji"},
        "subject in capitals": {"sub": MINJI.upper()},
        "subject without hyphens": {"sub": MINJI.replace("-", "")},
        "subject with a look-alike": {"sub": MINJI.replace("-", "\u2010")},
        "subject of another kind of uuid": {"sub": "123e4567-e89b-42d3-a456-426614174000"},
        "no session": {"sid": ...},
        "session as a number": {"sid": 7},
        "no token id": {"jti": ...},
        "subject of ten thousand letters": {"sub": "a" * 3000},
    }


@pytest.mark.parametrize("name", wrong_claims())
def test_one_wrong_claim_is_enough(name: str, verifier: Verifier, ours: Issuer) -> None:
    assert refusal(verifier, ours.says(**wrong_claims()[name]))


def raw_claims(ours: Issuer) -> dict[str, bytes]:
    good = json.dumps(ours.claims()).encode()
    return {
        "the end twice": good[:-1] + b', "exp": 99999999999}',
        "the subject twice": good[:-1] + b', "sub": "' + MINJI.encode() + b'"}',
        "an end of 1e400": good.replace(str(ours.claims()["exp"]).encode(), b"1e400"),
        "an end of NaN": good.replace(str(ours.claims()["exp"]).encode(), b"NaN"),
        "an end of five thousand digits": good.replace(str(ours.claims()["exp"]).encode(), b"9" * 5000),
        "not an object": b"[]",
        "null": b"null",
        "not JSON": b"{",
        "nothing": b" ",
        "not UTF-8": b'{"iss": "\xff"}',
        "UTF-16": good.decode().encode("utf-16"),
        "very deep": b'{"x": ' + b"[" * 2500 + b"]" * 2500 + b"}",
    }


@pytest.mark.parametrize("name", raw_claims(Issuer()))
def test_claims_must_be_one_plain_object(name: str, verifier: Verifier, ours: Issuer) -> None:
    assert refusal(verifier, ours.token(claims=raw_claims(ours)[name])) == "The access token cannot be read."


def misshapen(ours: Issuer) -> dict[str, str]:
    good = ours.says()
    head, body, sign = good.split(".")
    return {
        "nothing": "",
        "one dot": f"{head}.{body}",
        "four dots": f"{good}.x.y",
        "no signature": f"{head}.{body}.",
        "no claims": f"{head}..{sign}",
        "no header": f".{body}.{sign}",
        "a signature cut short": good[:-7],
        "half a header": f"{head[:9]}.{body}.{sign}",
        "claims cut short": f"{head}.{body[:-3]}.{sign}",
        "padding": f"{head}.{body}.{sign}==",
        "blanks inside": f"{head}. {body}.{sign}",
        "a line break at the end": f"{good}\n",
        "letters that base64 knows and base64url does not": f"{head}.{body}.+/{sign[2:]}",
        "one megabyte": f"{head}.{'A' * 1_000_000}.{sign}",
        "a letter from elsewhere": f"{head}.{body}.{sign[:-1]}ㄱ",
        "a lone surrogate": f"{head}.{body}.{sign[:-1]}\ud800",
        "an encrypted token's five parts": "a.b.c.d.e",
    }


@pytest.mark.parametrize("name", misshapen(Issuer()))
def test_a_token_must_have_its_one_shape(name: str, verifier: Verifier, ours: Issuer) -> None:
    assert refusal(verifier, misshapen(ours)[name])


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic bWluamk6eA==", "bearer", "token", "Bearertoken", "Token abc", "\u00a0"],
)
def test_without_a_bearer_token_nobody_is_anybody(header: str | None) -> None:
    with pytest.raises(Problem) as refused:
        auth.bearer(header)
    assert refused.value.code == "not_authenticated"


def test_the_scheme_may_be_in_any_case(verifier: Verifier, ours: Issuer) -> None:
    assert verifier.verify(auth.bearer(f"bearer  {ours.says()} ")).user_id == MINJI


# -- who is not: keys, algorithms and signatures ---------------------------------------------------------


def forgeries(ours: Issuer) -> dict[str, str]:
    evil = ECKey.generate_key("P-256")
    public_pem = ours.key.as_pem(private=False)
    public_raw = json.dumps(ours.member()).encode()

    def zeros(_: bytes) -> bytes:
        return bytes(64)

    def order(_: bytes) -> bytes:
        n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
        return n.to_bytes(32, "big") * 2

    def by_evil(signed: bytes) -> bytes:
        return signature(evil, signed)

    made: dict[str, str] = {}
    for alg in ("none", "None", "nOnE", "NONE", ""):
        made[f"alg {alg!r}, no signature"] = ours.token(ours.header(alg=alg)).rpartition(".")[0] + "."
        made[f"alg {alg!r}, a signature"] = ours.token(ours.header(alg=alg))
    for alg in ("HS256", "HS384", "HS512", "hs256", "RS256", "PS256", "ES384", "ES256K", "EdDSA", "es256", "dir"):
        made[f"alg {alg}"] = ours.token(ours.header(alg=alg))
    made["HS256 with our public key as PEM"] = ours.token(ours.header(alg="HS256"), sign=lambda m: hs256(public_pem, m))
    made["HS256 with our public key as JSON"] = ours.token(
        ours.header(alg="HS256"), sign=lambda m: hs256(public_raw, m)
    )
    made["HS256 with an empty secret"] = ours.token(ours.header(alg="HS256"), sign=lambda m: hs256(b"", m))
    made["another's key under our kid"] = ours.token(sign=by_evil)
    made["r and s are 0"] = ours.token(sign=zeros)
    made["r and s are the order of the curve"] = ours.token(sign=order)
    made["no bytes signed"] = ours.token(sign=lambda _: b"")
    made["a signature in DER"] = ours.token(sign=lambda m: _der(ours.key, m))
    made["a signature with a byte more"] = ours.token(sign=lambda m: signature(ours.key, m) + b"\0")
    made["its own key in the header"] = ours.token(ours.header(jwk=evil.as_dict(private=False)), sign=by_evil)
    made["its own key and a kid of its own"] = ours.token(
        ours.header(jwk=evil.as_dict(private=False), kid="evil"), sign=by_evil
    )
    for name, kid in {
        "a path": "../../../../dev/null",
        "SQL": "x' UNION SELECT 'k' --",
        "ten kilobytes": "k" * 10_240,
        "empty": "",
        "a number": 1,
        "a list": ["k1"],
        "null": None,
        "left out": ...,
        "in capitals": "K1",
        "a null byte": "k1\0",
    }.items():
        made[f"kid: {name}"] = ours.token(ours.header(kid=kid))
    for name, typ in {
        "JWT": "JWT",
        "left out": ...,
        "of an ID token": "id+jwt",
        "of a logout": "logout+jwt",
        "a number": 1,
    }.items():
        made[f"typ: {name}"] = ours.token(ours.header(typ=typ))
    made["crit that nobody knows"] = ours.token(ours.header(crit=["x"], x=1))
    made["crit that is no list"] = ours.token(ours.header(crit=1))
    made["unencoded payload"] = ours.token(ours.header(b64=False, crit=["b64"]))
    made["alg left out"] = ours.token(ours.header(alg=...))
    made["alg as a list"] = ours.token(ours.header(alg=["ES256"]))
    made["alg twice"] = ours.token(b'{"alg":"none","alg":"ES256","kid":"k1","typ":"at+jwt"}')
    made["claims changed after signing"] = _changed(ours)
    made["header changed after signing"] = _changed_header(ours)
    return made


def _der(key: Any, signed: bytes) -> bytes:
    return bytes(key.private_key.sign(signed, ec.ECDSA(SHA256())))


def _changed(ours: Issuer) -> str:
    head, _, sign = ours.says().split(".")
    return f"{head}.{segment(ours.claims(sub=str(clock.new_id())))}.{sign}"


def _changed_header(ours: Issuer) -> str:
    _, body, sign = ours.says().split(".")
    return f"{segment({**ours.header(), 'x': 1})}.{body}.{sign}"


@pytest.mark.parametrize("name", forgeries(Issuer()))
def test_no_forgery_is_believed(name: str, verifier: Verifier, ours: Issuer) -> None:
    asked = ours.asked
    assert refusal(verifier, forgeries(ours)[name])
    assert ours.asked <= asked + 1  # the first fetch of all; a forgery causes no other


@pytest.mark.parametrize("alg", ["none", "HS256", "ES384", "RS256", "nonsense"])
def test_an_algorithm_that_is_not_ours_is_not_worth_a_look_at_the_keys(
    alg: str, verifier: Verifier, ours: Issuer
) -> None:
    assert "algorithm" in refusal(verifier, ours.token(ours.header(alg=alg)))
    assert ours.asked == 0


@pytest.mark.parametrize("member", ["jku", "x5u"])
def test_no_address_in_a_token_is_ever_visited(member: str, verifier: Verifier, ours: Issuer) -> None:
    evil = Issuer(OURS)
    with serving(lambda page: _send(page, evil.key_set())) as (canary, visited):
        forged = evil.token(evil.header(**{member: f"{canary}/keys", "kid": "evil"}))
        assert refusal(verifier, forged)
        assert refusal(verifier, evil.token(evil.header(**{member: f"{canary}/keys"})))
        assert refusal(verifier, evil.says(iss=canary))
        assert visited == []


def test_a_key_of_the_foreign_issuer_does_not_sign_for_us(verifier: Verifier, theirs: Issuer) -> None:
    assert refusal(verifier, theirs.says(iss=OURS))
    forged = theirs.token(theirs.header(alg="RS256", kid="shop-1"), theirs.claims(iss=OURS))
    assert refusal(verifier, forged)


def test_our_key_does_not_sign_for_the_foreign_issuer(verifier: Verifier, ours: Issuer) -> None:
    assert refusal(verifier, ours.says(iss=THEIRS, sub="junho", aud="shop-chat"))


def test_two_issuers_may_use_one_kid_without_sharing_a_key(hands: Hands) -> None:
    ours, theirs = Issuer(OURS, kid="same"), Issuer(THEIRS, kid="same")
    own = OwnIssuer(OURS, audience="doran", keys=ring(ours, hands))
    verifier = Verifier([own, foreign(theirs, hands)], is_revoked=lambda _: False)
    assert verifier.verify(ours.says()).issuer == OURS
    assert verifier.verify(theirs.says(sub="junho", aud="shop-chat")).issuer == THEIRS
    assert refusal(verifier, theirs.says(iss=OURS))


# -- the foreign issuer's people ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sub",
    [
        MINJI,
        MINJI.upper(),
        MINJI.replace("-", ""),
        f"urn:uuid:{MINJI}",
        f"{{{MINJI}}}",
        "junho kim",
        "준호",
        "a" * 256,
        "a/b",
        "junho\n",
        "",
    ],
)
def test_a_foreign_person_may_not_look_like_one_of_ours_or_like_nobody(
    sub: str, verifier: Verifier, theirs: Issuer
) -> None:
    assert refusal(verifier, theirs.says(sub=sub, aud="shop-chat"))
    assert not verifier.may_be_foreign(sub)


@pytest.mark.parametrize("sub", ["junho", "auth0|5f7c", "123e4567-e89b-42d3-a456-426614174000", "a" * 255])
def test_ids_as_other_providers_make_them_are_fine(sub: str, verifier: Verifier, theirs: Issuer) -> None:
    assert verifier.verify(theirs.says(sub=sub, aud="shop-chat")).user_id == sub
    assert verifier.may_be_foreign(sub)


def test_even_the_widest_pattern_lets_no_foreign_person_be_one_of_ours(theirs: Issuer, hands: Hands) -> None:
    verifier = Verifier([foreign(theirs, hands, people=r"(?s).*")], is_revoked=lambda _: False)
    assert verifier.verify(theirs.says(sub="준호", aud="shop-chat")).user_id == "준호"
    for sub in (MINJI, "a\0b", "a\ud800b", "a\u202eb", "a" * 256):
        assert refusal(verifier, theirs.says(sub=sub, aud="shop-chat"))


def test_a_session_id_of_a_foreign_token_means_nothing_here(
    verifier: Verifier, theirs: Issuer, ended: EndedSessions
) -> None:
    ended.add("session-1")
    assert verifier.verify(theirs.says(sub="junho", aud="shop-chat", sid="session-1")).session_id is None


@pytest.mark.parametrize("claims", [{"at_hash": "x"}, {"c_hash": "x"}])
def test_an_id_token_is_no_access_token(claims: dict[str, str], verifier: Verifier, theirs: Issuer) -> None:
    assert (
        refusal(verifier, theirs.says(sub="junho", aud="shop-chat", **claims))
        == "This is an ID token, not an access token."
    )


@pytest.mark.parametrize("typ", ["id+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt"])
def test_a_foreign_token_of_another_type_is_no_access_token(typ: str, verifier: Verifier, theirs: Issuer) -> None:
    claims = theirs.claims(sub="junho", aud="shop-chat")
    assert refusal(verifier, theirs.token(theirs.header(typ=typ), claims)) == "This is not an access token."


@pytest.mark.parametrize("wrong", [{"aud": "doran"}, {"exp": ...}, {"exp": "1"}, {"iat": "1"}, {"exp": 5}])
def test_foreign_claims_are_checked_as_strictly(wrong: dict[str, Any], verifier: Verifier, theirs: Issuer) -> None:
    assert refusal(verifier, theirs.says(**{"sub": "junho", "aud": "shop-chat", **wrong}))


def test_the_foreign_algorithm_must_be_on_the_list_and_be_the_keys_own(theirs: Issuer, hands: Hands) -> None:
    es_only = Verifier([foreign(theirs, hands, algorithms=("ES256",))], is_revoked=lambda _: False)
    assert refusal(es_only, theirs.says(sub="junho", aud="shop-chat"))
    theirs.members = [theirs.member(alg="RS512")]
    rs_only = Verifier([foreign(theirs, hands, algorithms=("RS256", "RS512"))], is_revoked=lambda _: False)
    assert refusal(rs_only, theirs.says(sub="junho", aud="shop-chat"))


def test_hmac_with_a_foreign_rsa_key_as_secret_is_refused(verifier: Verifier, theirs: Issuer) -> None:
    pem = theirs.key.as_pem(private=False)
    claims = theirs.claims(sub="junho", aud="shop-chat")
    assert refusal(verifier, theirs.token(theirs.header(alg="HS256"), claims, sign=lambda m: hs256(pem, m)))


@pytest.mark.parametrize("algorithms", [("HS256",), ("none",), ("ES256", "HS512"), (), ("ES257",)])
def test_an_algorithm_that_is_no_signature_cannot_be_set(
    algorithms: tuple[str, ...], theirs: Issuer, hands: Hands
) -> None:
    with pytest.raises(BadSetting, match="FOREIGN_ALGORITHMS"):
        foreign(theirs, hands, algorithms=algorithms)


# -- sessions that ended, tokens that age ---------------------------------------------------------------------


def test_an_ended_session_is_refused_at_the_next_use_even_if_remembered(
    verifier: Verifier, ours: Issuer, ended: EndedSessions
) -> None:
    token, other = ours.says(), ours.says(sid="session-2")
    verifier.verify(token)
    ended.add("session-1")
    for look in (verifier.verify, verifier.remembered):
        with pytest.raises(Problem, match="not_authenticated"):
            look(token)
    assert verifier.verify(other).session_id == "session-2"


def test_ends_are_kept_as_long_as_a_token_may_live_and_no_longer(hands: Hands, ended: EndedSessions) -> None:
    ended.add("session-1")
    hands.forward = 600
    ended.add("session-2")
    assert ended.has("session-1")
    hands.forward = 700
    ended.add("session-3")
    assert (ended.has("session-1"), ended.has("session-2"), ended.has("session-3")) == (False, True, True)


def test_a_remembered_token_expires_on_time(verifier: Verifier, ours: Issuer, hands: Hands) -> None:
    token = ours.says()
    verifier.verify(token)
    hands.forward = 661
    assert verifier.remembered(token) is None
    with pytest.raises(Problem) as refused:
        verifier.verify(token)
    assert refused.value.detail == "The access token has expired."


def test_memory_of_tokens_is_bounded_and_keeps_the_ones_in_use(ours: Issuer, hands: Hands) -> None:
    own = OwnIssuer(OURS, audience="doran", keys=ring(ours, hands))
    verifier = Verifier([own], is_revoked=lambda _: False, remember=3)
    often = ours.says(jti="often")
    verifier.verify(often)
    others = [ours.says(jti=str(number)) for number in range(10)]
    for token in others:
        verifier.verify(token)
        assert verifier.remembered(often) is not None
    assert sum(verifier.remembered(token) is not None for token in others) == 2


def test_a_token_that_was_never_seen_is_not_remembered_and_nobody_is_asked(verifier: Verifier, ours: Issuer) -> None:
    assert verifier.remembered(ours.says()) is None
    assert verifier.remembered("nonsense") is None
    assert ours.asked == 0


# -- the key set: fetched seldom, by one, and never trusted too far ---------------------------------------------


def outcome(verifier: Verifier, token: str) -> int:
    """The status of the answer; who is not refused for good is told when to come back."""
    try:
        verifier.verify(token)
    except Problem as problem:
        status, wait = problem.kind.status, problem.retry_after
    else:
        status, wait = 200, None
    assert (wait in range(1, 6)) if status == 503 else wait is None
    return status


def test_a_hundred_unknown_kids_at_once_cause_one_fetch(verifier: Verifier, ours: Issuer, hands: Hands) -> None:
    verifier.verify(ours.says())
    hands.forward = 61
    made_up = [ours.token(ours.header(kid=f"made-up-{number}")) for number in range(100)]
    assert [outcome(verifier, token) for token in made_up] == [401] + [503] * 99
    assert ours.asked == 2


def test_one_unknown_kid_causes_one_fetch_a_minute(verifier: Verifier, ours: Issuer, hands: Hands) -> None:
    verifier.verify(ours.says())
    made_up = ours.token(ours.header(kid="made-up"))
    for second in range(6, 180, 2):
        hands.forward = second
        assert outcome(verifier, made_up) == 401
    assert ours.asked == 1 + 3


def test_made_up_kids_do_not_keep_an_honest_new_key_waiting(verifier: Verifier, ours: Issuer, hands: Hands) -> None:
    verifier.verify(ours.says())
    hands.forward = 61
    assert outcome(verifier, ours.token(ours.header(kid="made-up"))) == 401
    ours.turns("k2")
    honest = ours.says()
    assert outcome(verifier, honest) == 503
    for number in range(5):
        hands.forward += 1
        outcome(verifier, ours.token(ours.header(kid=f"made-up-{number}")))
    assert outcome(verifier, honest) == 200


def test_a_withdrawn_kid_is_refused_without_asking_again(verifier: Verifier, ours: Issuer, hands: Hands) -> None:
    old = ours.says()
    verifier.verify(old)
    ours.turns("k2")
    ours.members = ours.members[1:]
    hands.forward = 301
    assert outcome(verifier, ours.says()) == 200
    assert [outcome(verifier, old) for _ in range(3)] == [401] * 3
    assert ours.asked == 2


def test_an_expired_token_is_refused_whatever_its_key(verifier: Verifier, ours: Issuer, hands: Hands) -> None:
    """Its holder is to renew it. To come back with it would help nobody."""
    verifier.verify(ours.says())
    now = int(time.time())
    for number in range(3):
        old = ours.token(ours.header(kid=f"old-{number}"), ours.claims(iat=now - 700, exp=now - 100))
        assert refusal(verifier, old) == "The access token has expired."
    ours.is_down = True
    hands.forward = 400
    assert refusal(verifier, ours.token(ours.header(kid="old"), ours.claims(iat=now - 700, exp=now - 100)))
    assert ours.asked == 1


# -- keys and tokens without a name ------------------------------------------------------------------------------


def nameless(issuer: Issuer, **header: Any) -> str:
    return issuer.token(issuer.header(kid=..., **header), issuer.claims(sub="junho", aud="shop-chat"))


@pytest.fixture
def alone(theirs: Issuer, hands: Hands) -> Verifier:
    """Only the provider of the shop is believed."""
    return Verifier([foreign(theirs, hands)], is_revoked=lambda _: False, now=hands.now)


@pytest.mark.parametrize("kid", [..., "shop-1", ""])
def test_the_only_key_needs_no_name(kid: Any, alone: Verifier, theirs: Issuer, hands: Hands) -> None:
    theirs.members = [{name: value for name, value in theirs.member(kid=kid).items() if value is not ...}]
    token = nameless(theirs)
    assert alone.verify(token).user_id == "junho"
    assert alone.remembered(token) is not None
    hands.forward = 61
    stranger = Issuer(THEIRS, key=RSAKey.generate_key(2048))
    assert refusal(alone, nameless(stranger)) == "The signature of the access token does not hold."


def test_the_only_key_without_a_name_answers_to_any(alone: Verifier, theirs: Issuer) -> None:
    theirs.members = [{name: value for name, value in theirs.member().items() if name not in ("kid", "alg")}]
    named = theirs.token(theirs.header(kid="shop-7"), theirs.claims(sub="junho", aud="shop-chat"))
    assert alone.verify(named).user_id == "junho"


def test_a_key_of_another_kind_beside_it_does_not_matter(alone: Verifier, theirs: Issuer) -> None:
    theirs.members.append(Issuer(THEIRS, kid="es").member(alg=None))
    theirs.members.append(OKPKey.generate_key("Ed25519").as_dict(private=False))
    assert alone.verify(nameless(theirs)).user_id == "junho"


def test_where_two_keys_fit_the_refusal_says_so_to_all_who_need_to_know(
    alone: Verifier, theirs: Issuer, hands: Hands, caplog: pytest.LogCaptureFixture
) -> None:
    theirs.members.append(rsa_member(2048) | {"kid": "shop-2"})
    assert "several keys of its issuer fit" in refusal(alone, nameless(theirs))
    assert alone.verify(theirs.says(sub="junho", aud="shop-chat")).user_id == "junho"
    assert "several keys fit" in alone.rings[THEIRS].check()
    assert caplog.text.count("it names no key and several fit") == 1
    hands.forward = 3600
    assert alone.rings[THEIRS].check() == ""


@pytest.mark.parametrize("name", [{}, {"kid": "shop-7"}])
def test_where_several_fit_the_issuer_is_asked_again_before_a_token_is_refused(
    name: dict[str, str], alone: Verifier, theirs: Issuer, hands: Hands
) -> None:
    """It may have named its keys, or withdrawn all but one, since its set was fetched."""
    theirs.members = [rsa_member(2048), rsa_member(2048)]
    assert "several keys of its issuer fit" in refusal(alone, nameless(theirs))
    theirs.members = [{key: value for key, value in theirs.member().items() if key != "kid"} | name]
    hands.forward = 1
    honest = theirs.token(theirs.header(kid=name.get("kid", ...)), theirs.claims(sub="minji", aud="shop-chat"))
    assert outcome(alone, honest) == 503
    hands.forward = 6
    assert alone.verify(honest).user_id == "minji"
    assert theirs.asked == 2


def test_a_nameless_key_that_was_rotated_is_found(alone: Verifier, theirs: Issuer, hands: Hands) -> None:
    theirs.members = [{name: value for name, value in theirs.member().items() if name != "kid"}]
    old = nameless(theirs)
    assert alone.verify(old).user_id == "junho"
    theirs.key = RSAKey.generate_key(2048)
    theirs.members = [{name: value for name, value in theirs.member().items() if name != "kid"}]
    assert outcome(alone, nameless(theirs)) == 503
    hands.forward = 6
    assert outcome(alone, nameless(theirs)) == 200
    assert outcome(alone, old) == 503
    assert theirs.asked == 2
    hands.forward = 12
    assert [outcome(alone, old) for _ in range(2)] == [401, 401]
    assert theirs.asked == 3


def test_our_own_tokens_name_their_key(verifier: Verifier, ours: Issuer) -> None:
    assert refusal(verifier, ours.token(ours.header(kid=...))) == "The access token cannot be read."
    assert ours.asked == 0


# -- clocks that disagree are told ------------------------------------------------------------------------------


@pytest.fixture
def unnoticed() -> Any:
    clock.forget_disagreements()
    yield
    clock.forget_disagreements()


@pytest.mark.usefixtures("unnoticed")
def test_who_is_refused_for_the_clocks_sake_is_told_by_health_and_log(
    verifier: Verifier, ours: Issuer, theirs: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    now = int(time.time())
    assert "clock that is ahead" in refusal(verifier, ours.says(iat=now + 7200, exp=now + 7800))
    assert "not valid yet" in refusal(verifier, theirs.says(sub="junho", aud="shop-chat", nbf=now + 500, exp=now + 900))
    found = re.findall(r"(-\d+) s from the clock that makes tokens of ([^;]+)", clock.disagreements())
    assert {name: round(int(seconds), -2) for seconds, name in found} == {OURS: -7200, THEIRS: -500}
    assert caplog.text.count("clock disagrees") == 2


@pytest.mark.usefixtures("unnoticed")
def test_a_strangers_signature_proves_nothing_about_clocks(verifier: Verifier, ours: Issuer) -> None:
    now = int(time.time())
    stranger = Issuer(key=ECKey.generate_key("P-256"))
    assert refusal(verifier, stranger.says(iat=now + 7200, exp=now + 7800))
    assert clock.disagreements() == ""


@pytest.mark.usefixtures("unnoticed")
@pytest.mark.parametrize("ahead", [7200, -7200])
def test_a_key_sets_date_shows_which_clock_is_wrong(
    ahead: int, ours: Issuer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + timedelta(seconds=ahead))
    with serving(lambda page: _send(page, ours.key_set())) as (address, _):
        JwksUrl(f"{address}/keys")()
    found = re.search(r"clock is ([+-]\d+) s from the clock of 127.0.0.1", clock.disagreements())
    assert found
    assert round(int(found[1]), -2) == ahead
    assert "clock disagrees" in caplog.text
    monkeypatch.setattr(clock, "now", real)
    with serving(lambda page: _send(page, ours.key_set())) as (address, _):
        JwksUrl(f"{address}/keys")()
    assert clock.disagreements() == ""


# -- the key set, again -----------------------------------------------------------------------------------------


def test_a_new_key_is_found_by_its_kid(verifier: Verifier, ours: Issuer, hands: Hands) -> None:
    verifier.verify(ours.says())
    hands.forward = 61
    ours.turns("k2")
    assert verifier.verify(ours.says()).user_id == MINJI
    assert ours.asked == 2


def test_keys_are_asked_for_again_when_their_time_is_over(verifier: Verifier, ours: Issuer, hands: Hands) -> None:
    verifier.verify(ours.says())
    hands.forward = 299
    verifier.verify(ours.says())
    assert ours.asked == 1
    hands.forward = 301
    verifier.verify(ours.says(iat=int(hands.now()), exp=int(hands.now()) + 60))
    assert ours.asked == 2


def test_a_withdrawn_key_takes_its_tokens_with_it_when_the_set_is_read_again(
    verifier: Verifier, ours: Issuer, hands: Hands
) -> None:
    token = ours.says()
    verifier.verify(token)
    ours.turns("k2")
    ours.members = ours.members[1:]
    hands.forward = 301
    assert verifier.remembered(token) is None
    with pytest.raises(Problem) as refused:
        verifier.verify(token)
    assert refused.value.code == "not_authenticated"


def test_old_keys_stay_good_for_a_day_when_the_issuer_is_away(verifier: Verifier, ours: Issuer, hands: Hands) -> None:
    verifier.verify(ours.says())
    ours.is_down = True
    hands.forward = 301 + 23 * 3600
    now = int(hands.now())
    assert verifier.verify(ours.says(iat=now, exp=now + 60)).user_id == MINJI
    hands.forward = 301 + 25 * 3600
    now = int(hands.now())
    with pytest.raises(Problem) as refused:
        verifier.verify(ours.says(iat=now, exp=now + 60))
    assert refused.value.code == "unavailable"


def test_an_issuer_that_is_away_is_asked_every_five_seconds_at_most(
    verifier: Verifier, ours: Issuer, hands: Hands
) -> None:
    verifier.verify(ours.says())
    ours.is_down = True
    hands.forward = 301
    now = int(hands.now())
    for number in range(50):
        verifier.verify(ours.says(iat=now, exp=now + 60, jti=str(number)))
    assert ours.asked == 2
    hands.forward = 307
    verifier.verify(ours.says(iat=now, exp=now + 60))
    assert ours.asked == 3
    ours.is_down = False
    hands.forward = 313
    verifier.verify(ours.says(iat=now, exp=now + 60))
    assert ours.asked == 4


def test_without_any_keys_the_answer_is_later_not_never(verifier: Verifier, ours: Issuer) -> None:
    ours.is_down = True
    with pytest.raises(Problem) as refused:
        verifier.verify(ours.says())
    assert (refused.value.code, refused.value.retry_after) == ("unavailable", 5)


class WatchedLock:
    """A lock that notes who wants it, and whether they would wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.wanted: list[bool] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self.wanted.append(blocking)
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        self._lock.release()


def test_one_thread_asks_for_all(ours: Issuer) -> None:
    release = threading.Event()

    def slowly() -> bytes:
        release.wait(30)
        return ours.key_set()

    keys = KeyRing(slowly, cache_seconds=300)
    keys._asking = lock = WatchedLock()  # type: ignore[assignment]
    with ThreadPoolExecutor(20) as pool:
        asking = [pool.submit(keys.get, "k1") for _ in range(20)]
        while len(lock.wanted) < 20:
            assert not any(answer.done() for answer in asking)
        release.set()
        assert all(answer.result() is not None for answer in asking)
    assert ours.asked == 1


def test_who_has_a_key_does_not_wait_for_who_asks(ours: Issuer, hands: Hands) -> None:
    inside, release, slow = threading.Event(), threading.Event(), threading.Event()

    def source() -> bytes:
        if slow.is_set():
            inside.set()
            release.wait(30)
        return ours.key_set()

    keys = KeyRing(source, cache_seconds=300, ticks=hands.ticks)
    assert keys.get("k1") is not None
    keys._asking = lock = WatchedLock()  # type: ignore[assignment]
    slow.set()
    hands.forward = 301
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(keys.get, "k1")
        assert inside.wait(30)
        assert keys.get("k1") is not None  # the key as it was
        assert lock.wanted == [False, False]
        assert not asking.done()
        release.set()
        assert asking.result() is not None


# -- what a key set may be -----------------------------------------------------------------------------------------


def test_sixteen_keys_are_enough(ours: Issuer) -> None:
    assert len(parse(json.dumps({"keys": [ours.member(kid=str(n)) for n in range(16)]}).encode())) == 16
    with pytest.raises(BadKeySet, match="more than 16"):
        parse(json.dumps({"keys": [ours.member(kid=str(n)) for n in range(17)]}).encode())


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": null}',
        b"nonsense",
        b"[" * 10_000,
        b'{"keys":[],"x":"' + b"x" * MAX_BYTES + b'"}',
    ],
)
def test_what_is_no_key_set_is_refused_whole(document: bytes) -> None:
    with pytest.raises(BadKeySet):
        parse(document)


def test_keys_that_cannot_be_trusted_are_left_out(ours: Issuer) -> None:
    left_out = [
        OctKey.generate_key(256).as_dict(private=True) | {"kid": "symmetric"},
        rsa_member(1024) | {"kid": "weak"},
        {"kty": "RSA", "kid": "huge", "n": b64(b"\xff" * 2048), "e": "AQAB"},
        rsa_member(2048) | {"kid": "slow", "e": b64(b"\x01" * 200)},
        ours.member(kid="for encryption", use="enc"),
        ours.member(kid=7),
        ours.member(kid="x" * 256),
        ours.member(kid="alg is a list", alg=["ES256"]),
        ours.member(kid="not on the curve", x=b64(bytes(32))),
        ours.member(kid="half", y=None),
        ours.member(kid="unknown kind", kty="XX"),
        {"kid": "empty", "kty": "EC"},
        "no object",
        None,
    ]
    for half in (left_out[:7], left_out[7:]):
        members = [*half, ours.member(kid="good")]
        assert set(parse(json.dumps({"keys": members}).encode())) == {"good"}


def rsa_member(bits: int) -> dict[str, str]:
    numbers = rsa.generate_private_key(65537, bits).public_key().public_numbers()
    return {"kty": "RSA", "n": b64(numbers.n.to_bytes(bits // 8, "big")), "e": "AQAB"}


def test_of_two_keys_with_one_kid_the_first_counts(ours: Issuer) -> None:
    other = Issuer(kid=ours.kid)
    found = parse(json.dumps({"keys": [ours.member(), other.member()]}).encode())
    assert found["k1"].key.as_dict(private=False)["x"] == ours.member()["x"]


def test_a_private_part_that_leaked_into_a_set_is_not_kept(ours: Issuer) -> None:
    leaked = ours.member(**ours.key.as_dict(private=True))
    assert not parse(json.dumps({"keys": [leaked]}).encode())["k1"].key.is_private


def _send(page: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    page.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        page.send_header(name.replace("_", "-"), value)
    page.end_headers()
    page.wfile.write(body)


def test_keys_come_over_http(ours: Issuer) -> None:
    with serving(lambda page: _send(page, ours.key_set())) as (address, asked):
        keys = KeyRing(JwksUrl(f"{address}/.well-known/jwks.json"), cache_seconds=300)
        assert keys.get("k1") is not None
        assert asked == ["/.well-known/jwks.json"]


def lying_servers() -> dict[str, Callable[[BaseHTTPRequestHandler], None]]:
    good = Issuer().key_set()

    def redirects(page: BaseHTTPRequestHandler) -> None:
        if page.path == "/elsewhere":
            _send(page, good)
        else:
            _send(page, b"", 302, Location="/elsewhere")

    def endless(page: BaseHTTPRequestHandler) -> None:
        page.send_response(200)
        page.end_headers()
        for _ in range(10_000):
            page.wfile.write(b" " * 65_536)

    def drips(page: BaseHTTPRequestHandler) -> None:
        page.send_response(200)
        page.end_headers()
        for _ in range(200):
            page.wfile.write(b" ")
            time.sleep(0.05)

    def silent(_: BaseHTTPRequestHandler) -> None:
        time.sleep(1)

    def drips_headers(page: BaseHTTPRequestHandler) -> None:
        for sign in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200:
            page.wfile.write(bytes([sign]))
            time.sleep(0.05)

    return {
        "redirects": redirects,
        "error": lambda page: _send(page, good, 500),
        "not found": lambda page: _send(page, good, 404),
        "empty": lambda page: _send(page, b"", 204),
        "a byte more than 64 KiB": lambda page: _send(page, good + b" " * (MAX_BYTES + 1 - len(good))),
        "endless": endless,
        "drips its body": drips,
        "drips its headers": drips_headers,
        "silent": silent,
        "hangs up": lambda page: page.connection.close(),
        "speaks something else": lambda page: page.wfile.write(b"220 mail\r\n") and None,
    }


@pytest.mark.parametrize("name", lying_servers())
def test_a_server_that_lies_or_sleeps_costs_little_and_gives_nothing(name: str) -> None:
    with serving(lying_servers()[name]) as (address, asked):
        begun = time.monotonic()
        with pytest.raises(KeysUnavailable):
            JwksUrl(f"{address}/keys", seconds=0.4)()
        assert time.monotonic() - begun < 8
        assert "/elsewhere" not in asked


def test_while_a_request_hangs_no_other_is_begun() -> None:
    inside, release = threading.Event(), threading.Event()

    def hangs(page: BaseHTTPRequestHandler) -> None:
        page.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        inside.set()
        while not release.wait(0.05):  # one letter at a time, for ever
            page.wfile.write(b"x")

    with serving(hangs) as (address, asked):
        source = JwksUrl(address, seconds=1.0)
        with pytest.raises(KeysUnavailable, match="took too long"):
            source()
        assert inside.wait(30)
        for _ in range(3):
            with pytest.raises(KeysUnavailable, match="has not ended"):
                source()
        release.set()
        assert len(asked) == 1


def test_nobody_at_home() -> None:
    with serving(lambda page: None) as (address, _):
        pass
    with pytest.raises(KeysUnavailable):
        JwksUrl(address)()


# -- what the settings build -----------------------------------------------------------------------------------------


@pytest.fixture
def process_wide() -> Any:
    yield
    auth.use(None)


def settings(**values: Any) -> config.Config:
    return config.load({}).replace(public_url=OURS, **values)


def test_core_in_this_process_gives_its_keys_itself(ours: Issuer, process_wide: None) -> None:
    auth.use(auth.verifier(settings(), own_keys=ours.key_set))
    token = ours.says()
    assert auth.verify(token) == auth.remembered(token)
    auth.ended.add("session-1")
    with pytest.raises(Problem, match="not_authenticated"):
        auth.verify(token)


def test_core_elsewhere_is_asked_at_its_address(ours: Issuer) -> None:
    with serving(lambda page: _send(page, ours.key_set())) as (address, asked):
        verifier = auth.verifier(settings(core_url=address))
        assert verifier.verify(ours.says()).user_id == MINJI
        assert asked == ["/.well-known/jwks.json"]


def test_the_foreign_issuer_comes_from_the_settings(ours: Issuer, theirs: Issuer, process_wide: None) -> None:
    with serving(lambda page: _send(page, theirs.key_set())) as (address, _):
        auth.use(
            auth.verifier(
                settings(foreign_issuer=THEIRS, foreign_jwks_url=f"{address}/keys", foreign_audience="shop-chat"),
                own_keys=ours.key_set,
            )
        )
        assert auth.verify(theirs.says(sub="junho", aud="shop-chat")).issuer == THEIRS
        assert auth.may_be_foreign("junho")
        assert not auth.may_be_foreign(MINJI)


def test_where_there_is_no_core_only_the_foreign_issuer_is_believed(ours: Issuer, theirs: Issuer) -> None:
    with serving(lambda page: _send(page, theirs.key_set())) as (address, _):
        chosen = {"foreign_issuer": THEIRS, "foreign_jwks_url": f"{address}/keys", "foreign_audience": "shop-chat"}
        verifier = auth.verifier(settings(**chosen))
        assert verifier.verify(theirs.says(sub="junho", aud="shop-chat")).user_id == "junho"
        with pytest.raises(Problem, match="not_authenticated"):
            verifier.verify(ours.says())


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({}, "CORE_URL"),
        ({"core_url": "http://core", "foreign_issuer": THEIRS}, "FOREIGN_JWKS_URL"),
        ({"core_url": "http://core", "foreign_issuer": THEIRS, "foreign_jwks_url": "https://x"}, "FOREIGN_AUDIENCE"),
        ({"core_url": "http://core", "foreign_issuer": OURS}, "our own issuer"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_start(values: dict[str, str], word: str) -> None:
    with pytest.raises(BadSetting, match=word):
        auth.verifier(settings(**values))


def test_without_a_verifier_nobody_is_let_in_by_mistake() -> None:
    auth.use(None)
    for ask in (auth.verify, auth.remembered, auth.may_be_foreign):
        with pytest.raises(RuntimeError, match="no verifier"):
            ask("x")
