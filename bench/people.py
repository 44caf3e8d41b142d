"""People of a running Doran, made as anyone would be: sign-up, log-in and one conversation per pair, through REST."""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bench.rest import Rest, UnexpectedAnswerError
from bench.seats import BODY, STAMP, Dialect, Pair, Seat

CALLERS = 4
"""Threads that sign people up; Argon2 on the server is what takes the time."""
GOOD_FOR = 240.0
"""Seconds after which an access token is renewed before it is used again (they live 600 s at most)."""


@dataclass
class Person:
    """Someone who signed up here; `access` was given at `since` on the monotonic clock."""

    id: str
    access: str
    refresh: str
    since: float


@dataclass(frozen=True)
class Couple:
    """Two people and their conversation."""

    conversation: str
    a: Person
    b: Person


class Town:
    """Makes people and keeps them logged in; `notice` hears of every wait that a limit imposes."""

    def __init__(self, host: str, port: int, *, notice: Callable[[str], None] = print) -> None:
        self.host, self.port, self.notice = host, port, notice
        self.threads = threading.local()
        self.couples: list[Couple] = []

    def settle(self, people: int) -> None:
        """Add pairs until `people` live here."""
        missing = range(len(self.couples), people // 2)
        with ThreadPoolExecutor(CALLERS) as callers:
            self.couples += callers.map(lambda _number: self._couple(), missing)

    def renew(self, couples: Iterable[Couple], *, older_than: float = GOOD_FOR) -> None:
        """Give everyone of them whose access token is older than this, in seconds, a new one."""
        old = [person for couple in couples for person in (couple.a, couple.b) if _age(person) > older_than]
        with ThreadPoolExecutor(CALLERS) as callers:
            list(callers.map(self._refresh, old))

    def last_seq(self, couple: Couple) -> int:
        """How many messages the conversation holds: its sequence has no holes."""
        conversation = self._call(
            lambda rest: rest.get(f"/api/chat/conversations/{couple.conversation}/"), couple.a.access
        )
        return int(conversation["last_seq"])

    def _couple(self) -> Couple:
        a, b = self._person(), self._person()
        body = {"participant_id": b.id}
        made = self._call(lambda rest: rest.post("/api/chat/conversations/", body), a.access)
        return Couple(conversation=made["id"], a=a, b=b)

    def _person(self) -> Person:
        name, password = f"bench_{secrets.token_hex(6)}", secrets.token_urlsafe(16)
        proof = {"username": name, "password": password}
        self._call(lambda rest: rest.post("/api/core/users/", proof))
        return _person(self._call(lambda rest: rest.post("/api/core/tokens/", proof)))

    def _refresh(self, person: Person) -> None:
        body = {"refresh_token": person.refresh}
        new = _person(self._call(lambda rest: rest.post("/api/core/tokens/refresh/", body)))
        person.access, person.refresh, person.since = new.access, new.refresh, new.since

    def _call(self, call: Callable[[Rest], Any], token: str | None = None) -> Any:
        """One call over this thread's connection; waits as long as a 429 says, then repeats."""
        while True:
            rest = self._rest()
            rest.token = token
            try:
                return call(rest)
            except UnexpectedAnswerError as answer:
                if answer.status != 429:
                    raise
                self.notice(f"limited; waiting {answer.retry_after:.0f} s")
                time.sleep(max(1.0, answer.retry_after))

    def _rest(self) -> Rest:
        if not hasattr(self.threads, "rest"):
            self.threads.rest = Rest(self.host, self.port)
        return self.threads.rest


def seats(couple: Couple, *, host: str, port: int, door: str) -> Pair:
    """The pair's sockets at the door `one` (its conversation) or `all` (everything of theirs)."""
    path = "/ws/" if door == "all" else f"/ws/chat/{couple.conversation}/"
    url = f"ws://{host}:{port}{path}"
    return Pair(a=_seat(url, couple.a), b=_seat(url, couple.b), frame=_frame(couple, door=door))


def dialect(*, door: str, marks: bool) -> Dialect:
    """Doran's frames; the door for everything sends no history, so there `ready` ends the first frames."""
    return Dialect(
        history=b'"ready"' if door == "all" else b'"conversation_history"',
        answer=b'"ack"',
        message=b'"chat_message"',
        refusal=b'"error"',
        mark=mark_as_delivered if marks else None,
    )


def mark_as_delivered(frame: bytes) -> bytes:
    """What a client says of a message that reached it."""
    key = b'"id":"'
    start = frame.index(key) + len(key)
    return b'{"type":"mark_as_delivered","message_id":"%s"}' % frame[start : frame.index(b'"', start)]


def _seat(url: str, person: Person) -> Seat:
    return Seat(url, (("Authorization", f"Bearer {person.access}"),))


def _frame(couple: Couple, *, door: str) -> bytes:
    frame = {"type": "chat_message", "client_message_id": f"bench-{STAMP.decode()}", "content": BODY}
    if door == "all":
        frame["conversation_id"] = couple.conversation
    return json.dumps(frame).encode()


def _person(tokens: dict[str, str]) -> Person:
    return Person(tokens["user_id"], tokens["access_token"], tokens["refresh_token"], time.monotonic())


def _age(person: Person) -> float:
    return time.monotonic() - person.since
