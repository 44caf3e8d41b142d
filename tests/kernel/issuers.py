"""Issuers of the stories: they make tokens, honest ones and every kind of forgery."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import ECKey, OKPKey, RSAKey

from doran.kernel import clock

OURS = "https://chat.example.test"
THEIRS = "https://login.shop.example"
MINJI = str(clock.new_id())

Key = ECKey | RSAKey | OKPKey


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def segment(value: Any) -> str:
    return b64(value if isinstance(value, bytes) else json.dumps(value).encode())


def signature(key: Key, signed: bytes) -> bytes:
    """What an honest signer with this key would write."""
    private = key.private_key
    if isinstance(private, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(private.sign(signed, ec.ECDSA(SHA256())))
        size = (private.curve.key_size + 7) // 8
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if isinstance(private, rsa.RSAPrivateKey):
        return private.sign(signed, padding.PKCS1v15(), SHA256())
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    return private.sign(signed)


def hs256(secret: bytes, signed: bytes) -> bytes:
    return hmac.new(secret, signed, hashlib.sha256).digest()


class Issuer:
    """An issuer with one key. `asked` counts how often its key set was fetched."""

    def __init__(self, name: str = OURS, *, key: Key | None = None, kid: str = "k1") -> None:
        self.name = name
        self.key: Key = key or ECKey.generate_key("P-256")
        self.kid = kid
        self.alg = {"EC": "ES256", "RSA": "RS256", "OKP": "EdDSA"}[self.key.key_type]
        self.members: list[dict[str, Any]] = [self.member()]
        self.asked = 0
        self.is_down = False

    def member(self, **more: Any) -> dict[str, Any]:
        return {**self.key.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": self.alg, **more}

    def key_set(self) -> bytes:
        self.asked += 1
        if self.is_down:
            raise ConnectionError("nobody answers")
        return json.dumps({"keys": self.members}).encode()

    def turns(self, kid: str) -> None:
        """Publish another key beside the old ones and sign with it from now on."""
        self.key, self.kid = ECKey.generate_key("P-256"), kid
        self.members.append(self.member())

    def claims(self, **other: Any) -> dict[str, Any]:
        now = int(time.time())
        said = {"iss": self.name, "aud": "doran", "sub": MINJI, "sid": "session-1", "jti": "token-1"}
        return {
            name: value for name, value in {**said, "iat": now, "exp": now + 600, **other}.items() if value is not ...
        }

    def header(self, **other: Any) -> dict[str, Any]:
        said = {"alg": self.alg, "kid": self.kid, "typ": "at+jwt", **other}
        return {name: value for name, value in said.items() if value is not ...}

    def token(self, header: Any = None, claims: Any = None, *, sign: Callable[[bytes], bytes] | None = None) -> str:
        """Signed by this issuer over whatever is given, dictionaries or raw bytes."""
        head = segment(self.header() if header is None else header)
        body = segment(self.claims() if claims is None else claims)
        signed = f"{head}.{body}".encode()
        return f"{head}.{body}.{b64(sign(signed) if sign else signature(self.key, signed))}"

    def says(self, **claims: Any) -> str:
        return self.token(claims=self.claims(**claims))


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[tuple[str, list[str]]]:
    """A web server on this machine: its address and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            try:
                answer(self)
            except (BrokenPipeError, ConnectionResetError):
                pass

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
