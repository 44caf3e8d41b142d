"""The scaled compose file with its secrets: every process finds what it needs, and may do no more than it must."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.sync.client import connect

from doran.ai.providers import table
from doran.kernel import config
from doran.server import admin, folder, neighbours
from tests.house.deployment import DEPLOY, commands_of, composed, image_environment, judged, tool
from tests.house.running import doran, running
from tests.servers.databases import MariaDB, private_database
from tests.servers.redis import RedisServer

SCALE = DEPLOY / "scale"
CERTIFICATES = {"fullchain.pem", "privkey.pem"}
HOUSE = '[[provider]]\nname = "house"\nwire = "openai"\nurl = "http://10.0.0.5:8080/v1"\nmodel = "qwen3-8b"\n'


def made(folder: Path) -> Path:
    """The secrets of a deployment, and a certificate of its own."""
    told = subprocess.run([sys.executable, SCALE / "make-secrets", folder], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return folder


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("scale") / "secrets")


@pytest.fixture(scope="module")
def box() -> Any:
    return composed(SCALE / "compose.yaml", DOMAIN="chat.example.com")


def environment(box: Any, name: str, secrets: Path) -> dict[str, str]:
    """What a service of ours is told, with its secrets where they are here."""
    told = {**image_environment(), **box["services"][name]["environment"]}
    mounted = {f"/run/secrets/{one['source']}" for one in box["services"][name].get("secrets", ())}
    assert {value for value in told.values() if value.startswith("/run/secrets/")} == mounted, name
    return {key: value.replace("/run/secrets", str(secrets)) for key, value in told.items() if key.startswith("DORAN_")}


def test_secrets_are_made_once_and_for_their_owner_alone(secrets: Path) -> None:
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    before = {file.name: file.read_text() for file in secrets.iterdir()}
    again = subprocess.run(
        [sys.executable, SCALE / "make-secrets", secrets], capture_output=True, text=True, check=False
    )
    assert (again.returncode, "once" in again.stderr) == (1, True)
    assert {file.name: file.read_text() for file in secrets.iterdir()} == before


def test_every_secret_that_is_mounted_is_made(box: Any, secrets: Path) -> None:
    assert box["secrets"].keys() == {file.name for file in secrets.iterdir()} | CERTIFICATES


def test_every_process_finds_what_it_needs(box: Any, secrets: Path) -> None:
    ours = [name for name, one in box["services"].items() if one["image"] == "doran"]
    assert len(ours) == 7
    for name in ours:
        (words,) = commands_of([box["services"][name]["command"]])
        found = config.load(environment(box, name, secrets))
        found = found.replace(services=tuple(words[1:]) or found.services)
        assert config.unsafe(found) == [], name
        if words[0] != "migrate":
            assert neighbours.missing(found) == [], name


def test_nobody_but_core_knows_the_keys_and_nobody_who_serves_an_owner(box: Any) -> None:
    seen = {name: {secret["source"] for secret in one.get("secrets", ())} for name, one in box["services"].items()}
    assert {name for name, known in seen.items() if "secret_key" in known} == {"core", "core-work", "migrate"}
    assert {name for name, known in seen.items() if any(one.endswith("_owner") for one in known)} == {"migrate"}
    for service in ("core", "chat", "ai"):
        others = {f"{one}_database" for one in ("core", "chat", "ai") if one != service}
        assert not (seen[service] | seen[f"{service}-work"]) & others


def test_what_keeps_data_is_out_of_reach(box: Any) -> None:
    assert box["networks"]["inside"]["internal"] is True
    for name in ("mariadb", "redis", "rabbitmq"):
        assert box["services"][name]["networks"].keys() == {"inside"}
    assert box["services"]["chat"]["deploy"]["replicas"] == 2


def test_who_calls_others_has_a_way_out(box: Any) -> None:
    """Webhooks are sent, and providers asked, by those who work."""
    ways_out = {name for name, one in box["networks"].items() if not one.get("internal")}
    for name in ("core-work", "ai-work"):
        assert ways_out & box["services"][name]["networks"].keys(), name


def test_nobody_answers_as_ai_until_somebody_is_named(box: Any, secrets: Path) -> None:
    for name in ("ai", "ai-work"):
        told = environment(box, name, secrets)
        assert table.read(config.load(told)) == table.Table(), name
        Path(told["DORAN_AI_PROVIDERS_FILE"]).write_text(HOUSE)
        assert [one.about.name for one in table.read(config.load(told)).providers] == ["house"], name
        Path(told["DORAN_AI_PROVIDERS_FILE"]).write_text("# nobody\n")


def test_the_admin_opens_by_one_word_with_a_key_of_its_own(secrets: Path) -> None:
    box = composed(SCALE / "compose.yaml", DOMAIN="chat.example.com", DORAN_ADMIN="yes")
    opened = {name for name, one in box["services"].items() if one.get("environment", {}).get("DORAN_ADMIN") == "yes"}
    assert opened == {"ai", "migrate"}
    found = config.load(environment(box, "ai", secrets)).replace(services=("ai",))
    assert admin.is_on(found)
    assert not folder.is_needed(found)  # nothing can be written where it runs
    assert found.secret_key != (secrets / "secret_key").read_text()


def test_the_accounts_can_do_what_they_must_and_no_more(secrets: Path, tmp_path: Path) -> None:
    with private_database(MariaDB) as server:
        for statement in (secrets / "mariadb_accounts").read_text().splitlines():
            server.say(statement)
        owners, plain = _addresses(secrets, server, "_owner"), _addresses(secrets, server, "")
        brought = doran("migrate", cwd=tmp_path, **owners)
        assert brought.returncode == 0, brought.stderr
        looked = doran("migrate", cwd=tmp_path, **plain)
        assert (looked.returncode, looked.stdout) == (0, "Every database is up to date.\n")
        rights = {row[0] for row in server.say("SHOW GRANTS FOR doran_chat")}
        assert any("GRANT SELECT, INSERT, UPDATE, DELETE ON `doran_chat`" in right for right in rights)
        assert not any("ALL PRIVILEGES" in right or "CREATE" in right for right in rights)


def _addresses(secrets: Path, server: MariaDB, kind: str) -> dict[str, str]:
    here = {"DORAN_SECRET_KEY": (secrets / "secret_key").read_text()}
    for service in ("core", "chat", "ai"):
        there = (secrets / f"{service}_database{kind}").read_text()
        here[f"DORAN_{service.upper()}_DATABASE"] = (
            there.replace("@mariadb:3306/", f"@127.0.0.1:{server.port}/") + "?ssl-mode=DISABLED"
        )
    return here


def test_redis_asks_for_the_password_that_the_processes_have(secrets: Path) -> None:
    tool("redis-server")
    server = RedisServer(str(secrets / "redis_conf"))
    try:
        server.start()
        password = re.search(r":(\w+)@", (secrets / "redis").read_text())
        assert password is not None
        assert server.says("PING").startswith("-NOAUTH")
        assert server.says(f"AUTH {password[1]}").startswith("+OK")
    finally:
        server.close()


# -- the proxy -------------------------------------------------------------------------------------------


def test_the_proxy_is_accepted(secrets: Path, tmp_path: Path) -> None:
    _certify(tmp_path)
    text = (SCALE / "nginx.conf").read_text("utf-8").replace("/tmp/", f"{tmp_path}/")
    (tmp_path / "nginx.conf").write_text(text.replace("/run/secrets", str(tmp_path)))
    told = judged(tool("nginx"), "-t", "-e", "stderr", "-c", tmp_path / "nginx.conf")
    assert told.returncode == 0, told.stderr


def test_people_talk_through_the_proxy(tmp_path: Path) -> None:
    """Real nginx with our file before a real Doran: TLS, the page, REST, a socket; and nothing of what is inside."""
    ours = {"DORAN_TRUSTED_PROXIES": "127.0.0.1", "DORAN_ALLOWED_HOSTS": "chat.example.com"}
    with running(folder=tmp_path, **ours) as server, _proxied(tmp_path, server.url) as port:
        assert [_asked(port, "GET", path)[0] for path in ("/", "/health/ready", "/metrics")] == [200, 404, 404]
        me = {"username": "minji", "password": "봄비가 내리는 밤"}
        assert _asked(port, "POST", "/api/core/users/", me)[0] == 201
        token = _asked(port, "POST", "/api/core/tokens/", me)[1]["access_token"]
        assert _asked(port, "GET", "/api/chat/users/me/conversations/", token=token)[0] == 200
        headers = {"Authorization": f"Bearer {token}"}
        for door in ("wss://chat.example.com/ws/", "wss://chat.example.com/ws"):
            there = socket.create_connection(("127.0.0.1", port))
            with connect(door, sock=there, ssl=_trusting(), additional_headers=headers) as screen:
                assert json.loads(screen.recv(timeout=10))["type"] == "ready"
        for other in ("junho", "sora"):
            person = _asked(port, "POST", "/api/core/users/", {**me, "username": other})[1]
            assert (
                _asked(port, "POST", "/api/chat/conversations/", {"participant_id": person["id"]}, token=token)[0]
                == 201
            )
        page = _asked(port, "GET", "/api/chat/users/me/conversations/?page_size=1", token=token)[1]
        assert page["next"] == "https://chat.example.com/api/chat/users/me/conversations/?page_size=1&page=2"


@contextmanager
def _proxied(folder: Path, url: str) -> Iterator[int]:
    """Our nginx.conf with every service at one address, on free ports."""
    nginx = tool("nginx")
    _certify(folder)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        plain, secure = one.getsockname()[1], other.getsockname()[1]
    text = re.sub(r"http://(core|chat|ai):8000", url, (SCALE / "nginx.conf").read_text("utf-8"))
    text = text.replace("/tmp/", f"{folder}/").replace("/run/secrets", str(folder))
    text = text.replace("listen 8080", f"listen 127.0.0.1:{plain}").replace("listen 8443", f"listen 127.0.0.1:{secure}")
    (folder / "nginx.conf").write_text(
        text.replace("worker_processes auto;", "worker_processes 1;\ndaemon off;\nuser root;")
    )
    process = subprocess.Popen([nginx, "-e", "stderr", "-c", folder / "nginx.conf"])
    try:
        until = time.monotonic() + 10
        while not _listens(secure):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
        yield secure
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _asked(port: int, method: str, path: str, body: Any = None, *, token: str = "") -> tuple[int, Any]:
    asked = http.client.HTTPSConnection("127.0.0.1", port, context=_trusting(), timeout=20)
    headers = {"Host": "chat.example.com", "Content-Type": "application/json"}
    headers |= {"Authorization": f"Bearer {token}"} if token else {}
    asked.request(method, path, None if body is None else json.dumps(body), headers)
    answer = asked.getresponse()
    said = answer.read()
    asked.close()
    is_json = "json" in (answer.getheader("Content-Type") or "")
    return answer.status, json.loads(said) if is_json else said


def _trusting() -> ssl.SSLContext:
    """The certificate is made for this test."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def test_each_path_goes_to_the_service_that_owns_it() -> None:
    text = (SCALE / "nginx.conf").read_text("utf-8")
    routed = dict(re.findall(r"location (?:~ )?(\S+) \{\s+set \$\w+ http://(\w+):8000;", text))
    assert routed == {"^/ws(/|$)": "chat", "/api/chat/": "chat", "/api/ai/": "ai", "/admin/": "ai", "/": "core"}


def _certify(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "chat.example.com")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    (folder / "fullchain.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "privkey.pem").write_bytes(pem)
