"""A small HTTP client that keeps its connection open and says what was answered when it is not what was expected."""

import http.client
import json
import time
from typing import Any

IDLE = 2.0
"""Seconds after which a connection is opened anew: servers close those that say nothing for some seconds."""


class UnexpectedAnswerError(Exception):
    """The service answered something else; carries the status and the Retry-After seconds (0 when none)."""

    def __init__(self, call: str, status: int, body: bytes, retry_after: float) -> None:
        super().__init__(f"{call} answered {status}: {body[:300].decode(errors='replace')}")
        self.status, self.retry_after = status, retry_after


class Rest:
    """One person's calls to one service over one connection; not for use by two threads."""

    def __init__(self, host: str, port: int, *, token: str | None = None) -> None:
        self.connection = http.client.HTTPConnection(host, port, timeout=60)
        self.token = token
        self.used = 0.0

    def get(self, path: str) -> Any:
        return json.loads(self.raw("GET", path))

    def post(self, path: str, body: object) -> Any:
        return json.loads(self.raw("POST", path, json.dumps(body).encode()))

    def raw(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The bytes of a 2xx answer; UnexpectedAnswerError otherwise."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if time.monotonic() - self.used > IDLE:
            self.connection.close()
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        data = answer.read()
        self.used = time.monotonic()
        if not 200 <= answer.status < 300:
            retry_after = answer.headers.get("Retry-After", "0")
            raise UnexpectedAnswerError(f"{method} {path}", answer.status, data, float(retry_after))
        return data

    def close(self) -> None:
        self.connection.close()
