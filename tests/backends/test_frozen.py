"""What a deployment needs stands still (SIGSTOP): every call ends in its promised time, and so does a stop."""

from __future__ import annotations

import json
import secrets
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from doran.kernel import clock
from doran.kernel.siblings import fingerprint
from tests.buses import KINDS, one
from tests.house.running import Running, running
from tests.servers.ports import free_port
from tests.servers.process import private
from tests.servers.redis import LastingRedisServer, RedisServer

pytestmark = [pytest.mark.timeout(240), pytest.mark.judged]

PROMISED = 5.0
"""Seconds that any call may wait for another service, or for an answer of Redis (docs/operate.md)."""
STOPPED = 2 * 5.0 + 5.0
"""Seconds after which a process is gone that is told to stop, with the settings as they come."""
MARGIN = 8.0
"""What a loaded machine may add. Whatever waits for a frozen process without an end waits for ever."""
PASSWORD = "봄비가 내리는 밤"
OPEN = {"DORAN_LOGINS_PER_MINUTE": "1000", "DORAN_SIGNUPS_PER_MINUTE": "1000"}

Said = int | str
Way = Callable[[], Said]


class Person:
    """Somebody with an account: `core` knows them, `chat` carries what they say."""

    def __init__(self, core: Running, chat: Running, name: str) -> None:
        self.me = {"username": name, "password": PASSWORD}
        self.sent: list[str] = []
        self.id = core.asks("/api/core/users/", self.me)[1]["id"]
        self.comes_to(core, chat)

    def comes_to(self, core: Running, chat: Running) -> None:
        self.core, self.chat = core, chat
        self.token = core.asks("/api/core/tokens/", self.me)[1]["access_token"]

    def logs_in(self, password: str = PASSWORD) -> int:
        return self.core.asks("/api/core/tokens/", {**self.me, "password": password})[0]

    def starts(self, other_id: str) -> tuple[int, Any]:
        return self.chat.asks("/api/chat/conversations/", {"participant_id": other_id}, token=self.token)

    def sends(self, talk: str) -> int:
        self.sent.append(cmid := clock.new_id_hex())
        body = {"content": "거기 있어?", "client_message_id": cmid}
        return self.chat.asks(f"/api/chat/conversations/{talk}/messages/send/", body, token=self.token)[0]

    def reads(self, talk: str) -> list[str]:
        path = f"/api/chat/conversations/{talk}/messages/?page_size=100"
        return [row["client_message_id"] for row in self.chat.asks(path, token=self.token)[1]["results"]]

    @contextmanager
    def online(self) -> Iterator[ClientConnection]:
        where = f"ws{self.chat.url.removeprefix('http')}/ws/"
        with connect(where, additional_headers={"Authorization": f"Bearer {self.token}"}, proxy=None) as wire:
            assert json.loads(wire.recv(timeout=60))["type"] == "ready"
            yield wire

    def looks_in(self) -> str:
        with self.online():
            return "ready"

    def says(self, wire: ClientConnection, talk: str) -> str:
        """Send over a socket, and return what the answer is called."""
        self.sent.append(cmid := clock.new_id_hex())
        frame = {"type": "chat_message", "conversation_id": talk, "content": "여보세요", "client_message_id": cmid}
        wire.send(json.dumps({**frame, "ref": "r"}))
        while "ref" not in (heard := json.loads(wire.recv(timeout=60))):
            pass
        return str(heard["type"])


def status(server: Running, path: str) -> int:
    """Of an answer that need not be JSON."""
    try:
        with urllib.request.urlopen(server.url + path, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def watched(server: Running, ready: int = 200) -> dict[str, tuple[Way, Said]]:
    """What probes and operators ask, and the status each gets."""
    expected = {"/health/live": 200, "/health/ready": ready, "/metrics": 200}
    return {f"{server.url}{path}": (lambda path=path: status(server, path), code) for path, code in expected.items()}  # type: ignore[misc]


def all_at_once(ways: Mapping[str, tuple[Way, Said]]) -> None:
    """Each ends as expected, in its promised time, also while all the others wait."""

    def timed(way: Way) -> tuple[Said, float]:
        began = time.monotonic()
        return way(), time.monotonic() - began

    with ThreadPoolExecutor(len(ways)) as pool:
        found = dict(zip(ways, pool.map(timed, [way for way, _ in ways.values()]), strict=True))
    assert {name: said for name, (said, _) in found.items()} == {name: expected for name, (_, expected) in ways.items()}
    assert max(seconds for _, seconds in found.values()) < PROMISED + MARGIN, found


def stops(server: Running) -> None:
    """In its promised time: with 0, or with 1 where something under way had to be given up."""
    began = time.monotonic()
    code = server.is_told(signal.SIGTERM)
    assert code in (0, 1), server.said()
    assert time.monotonic() - began < STOPPED + MARGIN, server.said()
    assert "Traceback" not in server.said()


# -- buses and Redis -----------------------------------------------------------------------------------

ENGINES = {"DORAN_REDIS": RedisServer, **{f"DORAN_BUS on {kind}": make for kind, make in KINDS.items() if make}}
PARAMS = [
    pytest.param("DORAN_REDIS", marks=(pytest.mark.broker, pytest.mark.xdist_group("Redis"))),
    *(pytest.param(f"DORAN_BUS on {kind}", marks=one(kind).marks) for kind in KINDS if KINDS[kind]),
]


@pytest.mark.parametrize("engine", PARAMS)
def test_a_frozen_engine_keeps_nobody_and_no_stop(tmp_path: Path, engine: str) -> None:
    with private(ENGINES[engine]) as server:
        settings = {engine.partition(" ")[0]: server.url, **OPEN}
        with running(folder=tmp_path, **settings) as house, ExitStack() as up:
            minji, junho, sora = (Person(house, house, name) for name in ("minji", "junho", "sora"))
            talk = minji.starts(junho.id)[1]["id"]
            wire = up.enter_context(minji.online())
            server.freeze()
            for known in (201, 200):  # the second time the conversation is there
                all_at_once(
                    {
                        "a log-in": (minji.logs_in, 200),
                        "a guess": (lambda: junho.logs_in("아닌 것 같은데"), 401),
                        "a new conversation": (lambda: minji.starts(sora.id)[0], known),
                        "a send": (lambda: minji.sends(talk), 201),
                        "a send over a socket": (lambda: minji.says(wire, talk), "ack"),
                        "a new socket": (junho.looks_in, "ready"),
                        "the page": (lambda: status(house, "/"), 200),
                        **watched(house),
                    }
                )
            assert sorted(minji.reads(talk)) == sorted(minji.sent)
            stops(house)
        server.thaw()
        with running(folder=tmp_path, **settings) as house:
            minji.comes_to(house, house)
            assert sorted(minji.reads(talk)) == sorted(minji.sent)


# -- services apart ------------------------------------------------------------------------------------


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[dict[str, Running]]:
    """Core, chat and ai, each a process of its own with a SQLite file of its own."""
    ports = {name: str(free_port()) for name in ("core", "chat", "ai")}
    proofs = {name: secrets.token_urlsafe(32) for name in ("chat", "ai")}
    with private(LastingRedisServer) as bus, ExitStack() as up:
        told = {
            **OPEN,
            "DORAN_BUS": bus.url,
            "DORAN_PUBLIC_URL": f"http://127.0.0.1:{ports['core']}",
            "DORAN_SECRET_KEY": secrets.token_urlsafe(32),
            "DORAN_SERVICE_SECRETS": ",".join(f"{name}:{fingerprint(proof)}" for name, proof in proofs.items()),
            **{f"DORAN_{name.upper()}_URL": f"http://127.0.0.1:{port}" for name, port in ports.items()},
        }
        found = {}
        for name, port in ports.items():
            own = {"DORAN_SERVICE_SECRET": proofs[name]} if name in proofs else {}
            (tmp_path / name).mkdir()
            begun = running(name, command="serve", folder=tmp_path / name, port=port, **told, **own)
            found[name] = up.enter_context(begun)
            found[name].url = f"http://127.0.0.1:{port}"  # it says the one that people take
        for server in found.values():
            while status(server, "/health/ready") != 200:
                time.sleep(0.1)
        yield found


@pytest.mark.broker
@pytest.mark.xdist_group("Redis")
def test_a_frozen_core_keeps_nobody_and_no_stop_of_the_others(apart: dict[str, Running]) -> None:
    core, chat, ai = apart.values()
    minji, junho = Person(core, chat, "minji"), Person(core, chat, "junho")
    code, made = minji.starts(junho.id)
    assert code == 201, made
    talk = made["id"]
    with minji.online() as wire:
        core.process.send_signal(signal.SIGSTOP)
        for _ in range(2):
            all_at_once(
                {
                    "a conversation with somebody unknown": (lambda: minji.starts(str(clock.new_id()))[0], 503),
                    "a conversation with somebody known": (lambda: minji.starts(junho.id)[0], 200),
                    "a send": (lambda: minji.sends(talk), 201),
                    "a send over a socket": (lambda: minji.says(wire, talk), "ack"),
                    "a new socket": (junho.looks_in, "ready"),
                    **watched(chat),
                    **watched(ai),
                }
            )
        assert sorted(minji.reads(talk)) == sorted(minji.sent)
        stops(chat)
    stops(ai)


@pytest.mark.broker
@pytest.mark.xdist_group("Redis")
def test_a_frozen_chat_keeps_nobody_and_no_stop_of_the_others(apart: dict[str, Running]) -> None:
    core, chat, ai = apart.values()
    minji, junho = Person(core, chat, "minji"), Person(core, chat, "junho")
    talk = minji.starts(junho.id)[1]["id"]
    asked = {"kind": "summarize", "conversation_id": talk}
    chat.process.send_signal(signal.SIGSTOP)
    for _ in range(2):
        all_at_once(
            {
                "a summary": (lambda: ai.asks("/api/ai/jobs/", asked, token=minji.token)[0], 503),
                "a log-in": (minji.logs_in, 200),
                "the page": (lambda: status(core, "/"), 200),
                **watched(core),
                **watched(ai),
            }
        )
    stops(core)
    stops(ai)
