"""Somebody's HTTP server on this machine: it behaves as it is told and remembers what it was asked."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Request:
    """One request as it arrived; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)


class Reply:
    """What to answer. `hang` says nothing until the receiver closes; `raw` is sent instead of HTTP."""

    def __init__(
        self, status: int = 204, body: bytes = b"", *, hang: bool = False, raw: bytes | None = None, **headers: str
    ) -> None:
        self.status, self.body, self.hang, self.raw = status, body, hang, raw
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


Decide = Callable[[Request], Reply]


class Receiver:
    """`answers` decides what each request gets; 204 for all by default."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.answers: Decide = lambda request: Reply()
        self.requests: list[Request] = []
        self.heard = threading.Condition()
        self.closed = threading.Event()
        self._server = _Server(("127.0.0.1", port), _door(self))
        self.port = self._server.server_port
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def take(self, request: Request) -> Reply:
        reply = self.answers(request)
        with self.heard:
            self.requests.append(request)
            self.heard.notify_all()
        return reply

    def waits_for(self, count: int, *, seconds: float = 30.0) -> list[Request]:
        """The requests, as soon as there are so many."""
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.requests) >= count, seconds), f"{len(self.requests)} of {count}"
            return list(self.requests)

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def receiving(*, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[Receiver]:
    receiver = Receiver(tls=tls, port=port)
    try:
        yield receiver
    finally:
        receiver.close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """The other side may go at any time; that is what some stories are about."""


def _door(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if len(body) < length:  # who asked has died meanwhile
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = receiver.take(Request(self.path, headers, body))
            if reply.hang:
                receiver.closed.wait(30)
                self.close_connection = True
            elif reply.raw is not None:
                self.wfile.write(reply.raw)
                self.close_connection = True
            else:
                self._say(reply)

        def do_GET(self) -> None:
            self.do_POST()

        def _say(self, reply: Reply) -> None:
            self.send_response(reply.status)
            length = {} if reply.status in (204, 304) else {"Content-Length": str(len(reply.body))}
            for name, value in {**length, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            pass

    return Door


# -- certificates ------------------------------------------------------------------------------------


class Authority:
    """A certificate authority of the tests: who trusts it trusts the names it vouches for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the tests")])
        own = self._certificate(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))
        self.file = folder / "authority.pem"
        self.file.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def trusted(self) -> ssl.SSLContext:
        """For the side that connects."""
        return ssl.create_default_context(cafile=str(self.file))

    def vouches_for(self, name: str) -> ssl.SSLContext:
        """For the side that is connected to. Remembers in `asked` which name it was asked for."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signed = self._certificate(subject, key, x509.SubjectAlternativeName([x509.DNSName(name)]))
        file = self._folder / f"{name}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number()).add_extension(extension, critical=False)
        made = made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        return made.sign(self._key, hashes.SHA256())
