"""`doran check --production` asks each dependency for real: what is away, frozen or refuses us is a `NO`, and no secret is told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import aio_pika
import pytest
from aio_pika.exceptions import ChannelNotFoundEntity

from doran.kernel.siblings import fingerprint
from tests.house.commands import run_each
from tests.house.running import Running, running
from tests.servers.ports import free_port
from tests.servers.process import private
from tests.servers.rabbitmq import RabbitMQServer
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.timeout(300)  # processes of their own, on a machine that may be busy

KEY = "q8Zx0u3VkR5nB1tYw7LsE9aJd2Hf4GmC"
SECRET = "Wm3pT9xKc6VbN0zQh5RgYs1LdJf7UeA2"
OTHER = "Ht4kPz8nXw2MqB6vCj0RyFs5LgDe9Ua1"
PASSWORD = "vB7nQ2xLk9Rt4ZpW"
PRODUCTION = {"DORAN_MODE": "production", "DORAN_PUBLIC_URL": "https://chat.example.com", "DORAN_PORT": "0"}
CHAT = {**PRODUCTION, "DORAN_SERVICE_SECRET": SECRET, "DORAN_CORE_URL": "http://127.0.0.1:9"}


@dataclass
class Looked:
    """What `doran check` found: the grade and sentence of each finding, by its name."""

    code: int
    said: str
    findings: list[tuple[str, str, str]]

    def of(self, name: str) -> tuple[str, str]:
        """The gravest grade under this name, and its sentence."""
        found = [(grade, sentence) for one, grade, sentence in self.findings if one == name]
        return max(found, key=lambda one: ["ok", "note", "NO"].index(one[0]))


def looks(folder: Path, service: str, **settings: str) -> Looked:
    logs = folder / f"logs-{len(list(folder.iterdir()))}"
    words = ["check", "--production", "--json", service]
    (ended,) = run_each([words], cwd=folder, logs=logs, settings={"DORAN_DATA": str(folder / "data"), **settings})
    assert "Traceback" not in ended.err, ended.err
    for secret in (KEY, SECRET, OTHER, PASSWORD, "not-the-password"):
        assert secret not in ended.out + ended.err
    found = [(one["name"], one["grade"], one["sentence"]) for one in json.loads(ended.out)]
    return Looked(ended.code, ended.out, found)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with private(RedisServer) as server:
        server.ask("CONFIG", "SET", "requirepass", PASSWORD)
        yield server


@pytest.mark.parametrize(("setting", "name"), [("DORAN_REDIS", "Redis"), ("DORAN_BUS", "bus")])
def test_a_redis_is_asked_with_its_password(redis: RedisServer, setting: str, name: str, tmp_path: Path) -> None:
    def asked(password: str, port: int) -> Looked:
        return looks(tmp_path, "chat", **{**CHAT, setting: f"redis://:{password}@127.0.0.1:{port}/0"})

    grade, sentence = asked(PASSWORD, redis.port).of(name)
    assert (grade, sentence) == ("ok", f"127.0.0.1:{redis.port} answers and takes our account")
    refused = asked("not-the-password", redis.port)
    assert refused.of(name) == ("NO", f"127.0.0.1:{redis.port} refuses the account or its password")
    assert refused.code == 1
    away = asked(PASSWORD, port := free_port())
    assert away.of(name)[0] == "NO"
    assert f"127.0.0.1:{port} cannot be reached" in away.of(name)[1]
    redis.freeze()
    try:
        assert asked(PASSWORD, redis.port).of(name) == ("NO", f"127.0.0.1:{redis.port} does not answer within 3 s")
    finally:
        redis.thaw()


@pytest.mark.broker
def test_a_rabbitmq_is_asked_with_its_password_and_nothing_is_declared(tmp_path: Path) -> None:
    with private(RabbitMQServer) as rabbit:
        good = looks(tmp_path, "chat", **CHAT, DORAN_BUS=rabbit.url)
        assert good.of("bus")[0] == "ok"
        assert ("bus", "ok", f"127.0.0.1:{rabbit.port} answers and takes our account") in good.findings
        wrong = rabbit.url.replace("guest:guest@", "guest:not-the-password@")
        grade, sentence = looks(tmp_path, "chat", **CHAT, DORAN_BUS=wrong).of("bus")
        assert (grade, sentence) == ("NO", f"127.0.0.1:{rabbit.port} refuses the account or its password")
        assert not asyncio.run(has_exchange(rabbit.url))


async def has_exchange(url: str) -> bool:
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        try:
            await channel.get_exchange("doran.events")
        except ChannelNotFoundEntity:
            return False
        return True


@pytest.mark.parametrize(
    "url", ["amqp://doran:{}@127.0.0.1:{}/", "kafka://127.0.0.1:{1}", "redis://:{}@127.0.0.1:{}/0"]
)
def test_a_bus_that_is_away_is_found(url: str, tmp_path: Path) -> None:
    grade, sentence = looks(tmp_path, "chat", **CHAT, DORAN_BUS=url.format(PASSWORD, port := free_port())).of("bus")
    assert grade == "NO"
    assert sentence.startswith(f"127.0.0.1:{port} ")


# -- core --------------------------------------------------------------------------------------------


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Running]:
    """Core as a process of its own, which knows chat by a secret."""
    folder = tmp_path / "core"
    folder.mkdir()
    port = free_port()
    settings = {
        "DORAN_SECRET_KEY": KEY,
        "DORAN_SERVICE_SECRETS": f"chat:{fingerprint(SECRET)}",
        "DORAN_ISSUER": "https://chat.example.com",
    }
    with running("core", folder=folder, command="serve", port=str(port), says=r"ready at (\S+) ", **settings) as server:
        yield server


def test_core_is_asked_for_its_keys_and_whether_it_knows_us(core: Running, tmp_path: Path) -> None:
    there = {**CHAT, "DORAN_CORE_URL": core.url}
    good = looks(tmp_path, "chat", **there)
    assert good.of("core") == ("ok", f"{core.url} answers; 2 of 2 keys can be used")
    assert good.of("service secret") == ("ok", "core knows chat by it")
    wrong = looks(tmp_path, "chat", **{**there, "DORAN_SERVICE_SECRET": OTHER})
    assert wrong.of("service secret")[0] == "NO"
    assert "core does not know chat by DORAN_SERVICE_SECRET (401)" in wrong.of("service secret")[1]
    assert wrong.code == 1
    named = looks(tmp_path, "chat", **{**there, "DORAN_PUBLIC_URL": "https://talk.example.com"})
    assert named.of("core")[0] == "NO"
    assert "signs tokens as https://chat.example.com, and https://talk.example.com is expected" in named.of("core")[1]


class Stranger(BaseHTTPRequestHandler):
    """Not a Doran."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        pass


def test_a_core_that_is_away_or_is_none_is_found(tmp_path: Path) -> None:
    away = looks(tmp_path, "chat", **CHAT)
    assert away.of("core") == ("NO", "http://127.0.0.1:9 does not answer as a Doran does")
    assert away.code == 1
    with HTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{stranger.server_port}"
        found = looks(tmp_path, "chat", **{**CHAT, "DORAN_CORE_URL": url})
        assert found.of("core") == ("NO", f"{url} answers 200, not as a Doran does")
        stranger.shutdown()


def test_a_core_that_knows_no_service_is_found(tmp_path: Path) -> None:
    apart = {**PRODUCTION, "DORAN_SECRET_KEY": KEY, "DORAN_CHAT_URL": "http://127.0.0.1:9"}
    grade, sentence = looks(tmp_path, "core", **apart).of("service secret")
    assert grade == "NO"
    assert "DORAN_SERVICE_SECRETS has no hash for chat at http://127.0.0.1:9" in sentence
    known = {**apart, "DORAN_SERVICE_SECRETS": f"chat:{fingerprint(SECRET)}"}
    assert not [one for one in looks(tmp_path, "core", **known).findings if one[0] == "service secret"]


def test_another_secret_key_than_the_one_that_sealed_is_found(tmp_path: Path) -> None:
    core = {"DORAN_CORE_DATABASE": f"sqlite://{tmp_path}/core.db"}
    run_each(
        [["migrate", "core"], ["keys", "list"]], cwd=tmp_path, logs=tmp_path / "made", settings={**core, "DORAN_SECRET_KEY": KEY}
    )  # fmt: skip
    before = (tmp_path / "core.db").read_bytes()
    good = looks(tmp_path, "core", **PRODUCTION, **core, DORAN_SECRET_KEY=KEY)
    assert good.of("secret key") == ("ok", "opens what is sealed (2 keys)")
    wrong = looks(tmp_path, "core", **PRODUCTION, **core, DORAN_SECRET_KEY=OTHER)
    assert wrong.of("secret key")[0] == "NO"
    assert "does not open the signing keys in core's database" in wrong.of("secret key")[1]
    assert wrong.code == 1
    assert (tmp_path / "core.db").read_bytes() == before
