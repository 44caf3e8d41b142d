"""One service per process, from the command line."""

from __future__ import annotations

import json
import re
import shutil
import signal
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from doran.kernel import config as settings
from doran.kernel import siblings
from doran.server import neighbours
from doran.server.exits import EXITS
from tests.house.running import ROOT, doran, running
from tests.kernel.issuers import serving

pytestmark = pytest.mark.timeout(240)  # processes of their own, on a machine that may be busy

NOWHERE = "http://127.0.0.1:9"
SECRET = {"DORAN_SERVICE_SECRET": "known to chat and to nobody else"}
BUS = {"DORAN_BUS": "redis://127.0.0.1:9/0"}
APART = {"DORAN_PUBLIC_URL": "http://localhost", "DORAN_CORE_URL": NOWHERE, **SECRET, **BUS}


@pytest.mark.parametrize(
    ("services", "given", "wanted"),
    [
        ("core,chat,ai", {}, []),
        ("core", {}, []),
        ("chat", {}, ["DORAN_CORE_URL", "DORAN_PUBLIC_URL", "DORAN_SERVICE_SECRET", "DORAN_BUS"]),
        ("core", {"DORAN_CHAT_URL": NOWHERE}, ["DORAN_BUS"]),
        ("core", {"DORAN_CHAT_URL": NOWHERE, **BUS}, []),
        ("core,chat", {}, []),
        (
            "ai",
            {"DORAN_CORE_URL": NOWHERE, "DORAN_ISSUER": "https://chat.example.com", **SECRET, **BUS},
            ["DORAN_CHAT_URL"],
        ),
        ("ai", {"DORAN_CHAT_URL": NOWHERE, "DORAN_FOREIGN_ISSUER": "https://login.example.com", **BUS}, []),
        ("chat", {"DORAN_FOREIGN_ISSUER": "https://login.example.com"}, []),
        (
            "chat",
            {"DORAN_FOREIGN_ISSUER": "https://login.example.com", "DORAN_CORE_URL": NOWHERE},
            ["DORAN_PUBLIC_URL", "DORAN_SERVICE_SECRET", "DORAN_BUS"],
        ),
        ("chat", APART, []),
    ],
)
def test_what_a_process_needs_of_others_is_known_before_it_starts(
    services: str, given: dict[str, str], wanted: list[str]
) -> None:
    config = settings.load({"DORAN_SERVICES": services, **given})
    assert [sentence.partition(":")[0] for sentence in neighbours.missing(config)] == wanted


@pytest.mark.parametrize("command", ["serve", "work"])
def test_a_service_that_cannot_find_its_neighbour_does_not_start(tmp_path: Path, command: str) -> None:
    refused = doran(command, "chat", "--data", "data", cwd=tmp_path, DORAN_PUBLIC_URL="http://localhost")
    assert refused.returncode == EXITS["bad_setting"][0]
    assert refused.stderr.startswith("DORAN_CORE_URL: chat ")
    assert refused.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_the_check_names_a_neighbour_that_is_not_set(tmp_path: Path) -> None:
    lacking = doran("check", "chat", cwd=tmp_path)
    assert lacking.returncode == EXITS["failed"][0]
    assert "NO   neighbours     DORAN_CORE_URL" in lacking.stdout
    assert f"ok   neighbours     core at {NOWHERE}" in doran("check", "chat", cwd=tmp_path, **APART).stdout


@pytest.mark.parametrize(
    ("service", "given", "said"),
    [
        ("chat", APART, "core serves it"),
        ("ai", {"DORAN_CHAT_URL": NOWHERE, **APART}, "core serves it"),
        ("chat", {"DORAN_FOREIGN_ISSUER": "https://login.example.com"}, "none without core"),
    ],
)
def test_the_check_wants_the_page_of_core_alone(tmp_path: Path, service: str, given: dict[str, str], said: str) -> None:
    clone = tmp_path / "clone"  # whose page nobody has built
    shutil.copytree(ROOT / "src", clone / "src", ignore=shutil.ignore_patterns("__pycache__", "web"))
    there = {"PYTHONPATH": str(clone / "src"), "DORAN_PORT": "0"}
    found = doran("check", service, cwd=tmp_path, **there, **given)
    assert f"ok   page           {said}" in found.stdout
    assert "NO " not in found.stdout
    assert found.returncode == EXITS["done"][0]
    of_core = doran("check", "core", cwd=tmp_path, **there)
    assert "NO   page           not built" in of_core.stdout
    assert of_core.returncode == EXITS["failed"][0]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ([{"kid": "a"}, {"kid": "b"}], "ok   issuer's keys  2 of 2 keys can be used"),
        ([{}], "ok   issuer's keys  1 of 1 keys can be used"),
        ([{"kid": "a"}, {}], "NO   issuer's keys  DORAN_FOREIGN_JWKS_URL gives no"),
        ([{"kid": "a", "use": "enc"}], "(no usable key), so"),
        (None, "(status 404), so"),
    ],
)
def test_the_check_fetches_the_keys_of_the_identity_provider(tmp_path: Path, keys: Any, said: str) -> None:
    def answer(page: BaseHTTPRequestHandler) -> None:
        members = [ECKey.generate_key("P-256").as_dict(private=False) | more for more in keys or []]
        body = json.dumps({"keys": members}).encode()
        page.send_response(200 if keys else 404)
        page.send_header("Content-Length", str(len(body)))
        page.end_headers()
        page.wfile.write(body)

    with serving(answer) as (address, _asked):
        foreign = {"DORAN_FOREIGN_ISSUER": "https://login.example.com", "DORAN_FOREIGN_JWKS_URL": address}
        checked = doran("check", "chat", cwd=tmp_path, DORAN_FOREIGN_AUDIENCE="chat", DORAN_PORT="0", **foreign)
    assert said in checked.stdout
    assert checked.returncode == EXITS["failed" if "so" in said or said.startswith("NO") else "done"][0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DORAN_CORE_URL", "core:8000"),
        ("DORAN_CHAT_URL", "ftp://chat"),
        ("DORAN_AI_URL", "http://ai/?x=1"),
        ("DORAN_TRUSTED_PROXIES", "10.0.0.0/33"),
        ("DORAN_TRUSTED_PROXIES", "proxy"),
    ],
)
def test_an_address_that_is_none_is_refused(name: str, value: str) -> None:
    with pytest.raises(settings.BadSetting, match=name):
        settings.load({name: value})


def test_a_worker_works_and_answers_only_its_operator(tmp_path: Path) -> None:
    with running("chat", folder=tmp_path, command="work", says=r"health at port (\d+)", **APART) as worker:
        assert worker.asks("/health/ready")[1]["status"] == "ok"
        assert worker.asks("/api/chat/users/me/conversations/")[0] == 404
        assert worker.is_told(signal.SIGTERM) == EXITS["done"][0]
    assert "Stopped." in worker.said()


def test_a_worker_without_a_port_listens_nowhere(tmp_path: Path) -> None:
    with running("core", folder=tmp_path, command="work", port="", says="Doran works for core ") as worker:
        assert "port" not in worker.said()
        assert worker.is_told(signal.SIGTERM) == EXITS["done"][0]


def test_a_service_with_its_own_database_and_secret_needs_no_folder(tmp_path: Path) -> None:
    given = {"DORAN_CORE_DATABASE": f"sqlite://{tmp_path}/core.db", "DORAN_SECRET_KEY": "s" * 40}
    with running("core", folder=tmp_path, command="serve", **given) as one:
        assert one.asks("/health/ready")[0] == 200
        with running("core", folder=tmp_path, command="serve", **given) as other:
            assert other.asks("/.well-known/jwks.json") == one.asks("/.well-known/jwks.json")
    assert not (tmp_path / "data").exists()


def test_another_copy_of_core_with_another_secret_is_refused(tmp_path: Path) -> None:
    given = {"DORAN_CORE_DATABASE": f"sqlite://{tmp_path}/core.db"}
    with running("core", folder=tmp_path, command="serve", **given):
        refused = doran("serve", "core", "--port", "0", "--data", "elsewhere", cwd=tmp_path, **given)
    assert refused.returncode == EXITS["bad_setting"][0], refused.stderr
    assert "does not open the signing keys" in refused.stderr


def test_a_secret_is_made_with_the_hash_that_core_is_to_know(tmp_path: Path) -> None:
    said = doran("service-secret", "chat", cwd=tmp_path).stdout
    secret = re.search(r"DORAN_SERVICE_SECRET=(\S+)", said)
    hashes = re.search(r"DORAN_SERVICE_SECRETS=(\S+)", said)
    assert secret
    assert hashes
    assert settings.load({"DORAN_SERVICE_SECRET": secret[1]}).service_secret == secret[1]
    known = settings.load({"DORAN_SERVICE_SECRETS": hashes[1]}).service_secrets
    assert known == (("chat", siblings.fingerprint(secret[1])),)
    assert doran("service-secret", "chat", cwd=tmp_path).stdout != said
