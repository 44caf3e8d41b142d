"""민지 and 준호, already talking: they sign up and write through the same REST calls as everybody else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import ipaddress
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Final

from doran.kernel.config import Config
from doran.server.exits import Refused
from doran.server.telling import say

Answer = dict[str, Any]

# Who says what. Written once: each line's client_message_id makes a second start find what is there.
TALK: Final = (
    ("minji", "준호야, 오늘 저녁에 시간 돼?"),
    ("junho", "응! 일곱 시 이후면 괜찮아."),
    ("minji", "그럼 한강 쪽에서 걷자. 날씨가 정말 좋대."),
    ("junho", "좋아. 여의나루역 2번 출구 어때?"),
    ("minji", "완벽해. 치킨은 내가 살게!"),
    ("junho", "그럼 음료수는 내가. 콜라? 사이다?"),
    ("minji", "사이다! 돗자리도 챙길게."),
    ("junho", "역시 민지. 이따 보자 :)"),
    ("minji", "참, 소라도 온대. 자리 하나 더 있지?"),
    ("minji", "See you at seven!"),
)
CAST: Final = (("minji", "민지"), ("junho", "준호"))
READ_BY_JUNHO: Final = 8  # the last two are still new to him
QUESTION: Final = "Hi! What is a good snack for an evening walk?"  # small models speak English
ANSWER_SECONDS: Final = 120.0


@dataclass(slots=True)
class Guest:
    """One of the cast, as a client of a running server."""

    address: str
    username: str
    display_name: str
    password: str
    user_id: str = ""
    token: str = ""

    def arrive(self) -> None:
        """Sign up, unless that was done at an earlier start, then log in."""
        self._say("POST", "core/users/", username=self.username, password=self.password, display_name=self.display_name)
        status, pair = self._say("POST", "core/tokens/", username=self.username, password=self.password)
        if status != 200:
            raise Refused(
                "failed",
                f"The demo cannot log in as {self.username} ({pair.get('code', status)}): "
                "somebody else may have that name, or sign-up is not open. Choose another folder with --data.",
            )
        self.user_id, self.token = pair["user_id"], pair["access_token"]

    def call(self, method: str, path: str, **body: Any) -> Answer:
        """One REST call that has to succeed."""
        status, answer = self._say(method, path, **body)
        if status >= 400:
            raise Refused("failed", f"The demo was refused at {path}: {answer.get('code', status)}.")
        return answer

    def _say(self, method: str, path: str, **body: Any) -> tuple[int, Answer]:
        request = urllib.request.Request(  # noqa: S310  our own server
            f"{self.address}/api/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method
        )
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with _direct.open(request, timeout=20) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read() or b"{}")


_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def play(config: Config) -> str:
    """Let the cast talk on the server of this process; twice is the same as once. Returns how to log in."""
    cast = _cast(config)
    for guest in cast:
        guest.arrive()
        guest.call("PATCH", "core/users/me/", locale="ko", time_zone="Asia/Seoul")
    _talk(*cast)
    _ask_the_assistant(cast[0])
    logins = [f"  {one.display_name}: user name {one.username}, password {one.password}" for one in cast]
    address = cast[0].address
    where = (
        [f"Open {address} and press a name; press the other one in a private window.", "Or log in as either:"]
        if Door(config).is_of_this_machine
        else [f"Open {address} and log in as either:"]
    )
    return "\n".join(["", "민지 and 준호 are talking.", *where, *logins, ""])


class Door:
    """Lets the welcome page log in as one of the cast by a button, as long as only this machine can reach it."""

    PATH: Final = "/demo/"

    def __init__(self, config: Config) -> None:
        self._cast = {guest.username: guest for guest in _cast(config)}
        self.is_of_this_machine = _is_loopback(config.host)
        names = [{"username": one.username, "display_name": one.display_name} for one in self._cast.values()]
        content = html.escape(json.dumps(names, ensure_ascii=False))
        self.head = f'<meta name="doran-demo" content="{content}">'

    def login(self, body: bytes) -> Answer | None:
        """User name and password of whom the body names; None if it names nobody of the demo."""
        try:
            guest = self._cast.get(json.loads(body)["username"])
        except (ValueError, KeyError, TypeError):
            return None
        return {"username": guest.username, "password": guest.password} if guest else None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _cast(config: Config) -> list[Guest]:
    return [_guest(config, username, shown) for username, shown in CAST]


def _guest(config: Config, username: str, display_name: str) -> Guest:
    here = config.replace(host=_reachable(config.host), public_url="")
    return Guest(here.url, username, display_name, _password(config.secret_key, username))


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  not bound, reached


def _password(secret: str, username: str) -> str:
    """The same at every start of one data folder, and nobody else's guess."""
    digest = hmac.digest(secret.encode(), f"demo {username}".encode(), hashlib.sha256)
    letters = base64.b32encode(digest).decode().lower()
    return "-".join(letters[start : start + 4] for start in (0, 4, 8))


def _talk(minji: Guest, junho: Guest) -> None:
    conversation = minji.call("POST", "chat/conversations/", participant_id=junho.user_id)["id"]
    people = {guest.username: guest for guest in (minji, junho)}
    said = [
        people[who].call(
            "POST", f"chat/conversations/{conversation}/messages/send/", content=text, client_message_id=f"demo-{n}"
        )
        for n, (who, text) in enumerate(TALK, start=1)
    ]
    junho.call("POST", f"chat/messages/{said[READ_BY_JUNHO - 1]['id']}/read/")
    minji.call("POST", f"chat/messages/{said[-1]['id']}/read/")


def _ask_the_assistant(minji: Guest) -> None:
    """Where somebody inside this deployment answers; nobody's words leave it for a demo."""
    shown = minji.call("GET", "ai/")
    assistant, provider = shown["assistant"], shown["provider"]
    if assistant is None or provider is None or provider["is_outside"]:
        return
    chat = minji.call("POST", "chat/conversations/", participant_id=assistant["user_id"])["id"]
    began, name = time.perf_counter(), assistant["display_name"]
    minji.call("POST", f"chat/conversations/{chat}/messages/send/", content=QUESTION, client_message_id="demo-question")
    is_answered = _waits_for_an_answer(minji, chat)
    told = f"{name} has answered 민지" if is_answered else f"{name} has not answered yet: 민지's page shows why"
    say(f"{told:<46} {time.perf_counter() - began:.2f} s")


def _waits_for_an_answer(minji: Guest, chat: str) -> bool:
    until = time.monotonic() + ANSWER_SECONDS
    while minji.call("GET", f"chat/conversations/{chat}/")["last_seq"] < 2:
        if time.monotonic() > until or _has_failed(minji):
            return False
        time.sleep(0.2)
    return True


def _has_failed(minji: Guest) -> bool:
    jobs = minji.call("GET", "ai/jobs/")["results"]
    return bool(jobs) and jobs[0]["state"] in ("failed", "cancelled")
