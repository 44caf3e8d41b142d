"""The operator's admin: not there unless asked for, hard to get into, and unable to change what was in force."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import connect
from typing import Any
from uuid import UUID

import httpx2
import pytest

from tests.house.running import Running, doran, running

PASSWORD = "김치찌개-kimchi-77"
WORDS = "Translate what stands in $fence into $language."
ON = {"DORAN_ADMIN": "yes", "DORAN_FAILED_LOGINS_PER_MINUTE": "5"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("admin")
    (folder / "password").write_text(f"{PASSWORD}\n")
    (folder / "password").chmod(0o600)
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Running]:
    with running(folder=place, **ON) as server:
        made = doran("operator", "add", "soyeon", "--password-file", str(place / "password"), cwd=place, **ON)
        assert (made.returncode, made.stdout) == (0, "soyeon may log in at /admin/.\n"), made.stderr
        yield server


def visitor(server: Running, **more: Any) -> httpx2.Client:
    return httpx2.Client(base_url=f"{server.url}/admin", trust_env=False, **more)


def posts(client: httpx2.Client, path: str, **fields: Any) -> httpx2.Response:
    """A form as the page has it, filled in."""
    page = client.get(path).text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token, page
    return client.post(
        path, data={"csrfmiddlewaretoken": token[1], **fields}, headers={"Origin": str(client.base_url)[:-7]}
    )


def logs_in(client: httpx2.Client, name: str = "soyeon", password: str = PASSWORD) -> httpx2.Response:
    return posts(client, "/login/", username=name, password=password, next="/admin/")


@pytest.fixture
def operator(server: Running) -> Iterator[httpx2.Client]:
    with visitor(server) as client:
        assert logs_in(client).status_code == 302
        yield client


def versions(place: Path, key: str = "translate", locale: str = "en") -> list[tuple[int, str, str]]:
    with closing(connect(place / "data" / "ai.sqlite3")) as database:
        asked = "SELECT version, status, template FROM ai_prompt WHERE key = ? AND locale = ? ORDER BY version"
        return database.execute(asked, (key, locale)).fetchall()


def prompt_id(place: Path, version: int, key: str = "translate") -> str:
    with closing(connect(place / "data" / "ai.sqlite3")) as database:
        asked = "SELECT id FROM ai_prompt WHERE key = ? AND locale = 'en' AND version = ?"
        return str(UUID(database.execute(asked, (key, version)).fetchone()[0]))


def test_without_the_setting_there_is_neither_path_nor_table(tmp_path: Path) -> None:
    with running(folder=tmp_path) as server, httpx2.Client(trust_env=False) as client:
        for path in ("/admin/", "/admin/login/", "/admin/static/admin/css/base.css"):
            assert client.get(server.url + path).status_code == 404
    with closing(connect(tmp_path / "data" / "ai.sqlite3")) as database:
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    assert "ai_prompt" in names
    assert not [name for name in names if name.startswith(("auth_", "django_session", "django_admin"))]
    refused = doran("operator", "add", "soyeon", cwd=tmp_path)
    assert "DORAN_ADMIN" in refused.stderr
    assert refused.returncode != 0


def test_an_operator_may_be_made_before_the_admin_is_first_opened(tmp_path: Path, place: Path) -> None:
    assert doran("migrate", cwd=tmp_path).returncode == 0
    made = doran("operator", "add", "soyeon", "--password-file", str(place / "password"), cwd=tmp_path, **ON)
    assert made.returncode == 0, made.stderr
    assert made.stdout.endswith("soyeon may log in at /admin/.\n")


def test_its_tables_are_in_the_database_of_ai_alone(server: Running, place: Path) -> None:
    for service in ("core", "chat", "ai"):
        with closing(connect(place / "data" / f"{service}.sqlite3")) as database:
            names = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        assert ("auth_user" in names) == (service == "ai")


def test_a_stranger_sees_only_the_log_in(server: Running) -> None:
    with visitor(server) as client:
        for path in ("/", "/ai/prompt/", "/ai/prompt/add/", "/nonsense/"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["location"].split("?")[0]) == (302, "/admin/login/")
        page = client.get("/login/")
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["referrer-policy"] == "same-origin"
        assert re.findall(r"<script(?![^>]*src=)", page.text) == []
        cookie = page.headers["set-cookie"]
        assert all(flag in cookie for flag in ("HttpOnly", "SameSite=Strict", "Path=/admin/"))
        assert client.get("/static/admin/css/base.css").headers["content-type"] == "text/css"
        assert client.get("/static/admin/").status_code == 404
        assert client.get("/static/%2e%2e/options.py").status_code == 404
        assert client.post("/static/admin/css/base.css").status_code in (403, 404)


def test_nobody_guesses_a_password_for_long(server: Running) -> None:
    with visitor(server) as client:
        answers = [logs_in(client, "jiwon", f"guess {number}") for number in range(7)]
        assert [answer.status_code for answer in answers] == [200] * 7
        assert "Too many attempts" not in answers[0].text
        assert "Too many attempts" in answers[-1].text
        assert "시도가 너무 많습니다" in posts_in_korean(client)


def posts_in_korean(client: httpx2.Client) -> str:
    client.headers["Accept-Language"] = "ko"
    return logs_in(client, "jiwon", "guess").text


def test_another_page_cannot_speak_for_the_operator(operator: httpx2.Client, place: Path) -> None:
    before = versions(place)
    path = f"/ai/prompt/{prompt_id(place, 1)}/change/"
    token = operator.cookies["doran_admin_csrf"]
    for origin in ("https://evil.example", "null"):
        forged = {"csrfmiddlewaretoken": token, "template": WORDS}
        assert operator.post(path, data=forged, headers={"Origin": origin}).status_code == 403
    assert operator.post(path, data={"template": WORDS}).status_code == 403
    assert versions(place) == before


def test_what_is_in_force_is_followed_never_changed(operator: httpx2.Client, place: Path) -> None:
    ((_, _, first),) = versions(place)
    path = f"/ai/prompt/{prompt_id(place, 1)}/change/"
    wrong = posts(operator, path, template="No mark.", schema="", model_hint="", _save="Save")
    assert "use $fence" in wrong.text
    forged = {"status": "draft", "version": "9", "key": "reply", "sha256": "0"}
    saved = posts(operator, path, template=WORDS, schema="", model_hint="", _continue="Save", **forged)
    assert saved.headers["location"] == f"/admin/ai/prompt/{prompt_id(place, 2)}/change/"
    assert versions(place) == [(1, "active", first), (2, "draft", f"{WORDS}\n")]

    acted = posts(operator, "/ai/prompt/", action="activate", _selected_action=prompt_id(place, 2), index="0")
    assert acted.status_code == 302
    assert [(number, state) for number, state, _ in versions(place)] == [(1, "retired"), (2, "active")]
    refused = posts(operator, "/ai/prompt/", action="retire", _selected_action=prompt_id(place, 2), index="0")
    assert "Activate another one" in operator.get("/ai/prompt/").text
    assert refused.status_code == 302
    assert [state for _, state, _ in versions(place)] == ["retired", "active"]
    assert operator.get(f"/ai/prompt/{prompt_id(place, 1)}/delete/").status_code == 403
    assert "in force" in operator.get(f"/ai/prompt/{prompt_id(place, 2)}/history/").text


def test_a_new_prompt_is_a_draft(operator: httpx2.Client, place: Path) -> None:
    new = {"key": "rewrite.shorter", "locale": "en", "template": "Shorten $fence.", "schema": "", "model_hint": ""}
    assert posts(operator, "/ai/prompt/add/", **new, _save="Save").status_code == 302
    assert [one[1] for one in versions(place, "rewrite.shorter")] == ["active", "draft"]


def test_whoever_was_removed_is_out_at_once(server: Running, place: Path) -> None:
    password = str(place / "password")
    weak = place / "weak"
    weak.write_text("password")
    weak.chmod(0o644)
    refused = doran("operator", "add", "haneul", "--password-file", str(weak), cwd=place, **ON)
    assert refused.returncode != 0
    assert f"Warning: the file of the password can be read by others: chmod 600 {weak}" in refused.stdout
    assert doran("operator", "add", "haneul", "--password-file", password, cwd=place, **ON).returncode == 0
    with visitor(server) as client:
        assert logs_in(client, "haneul").status_code == 302
        assert client.get("/ai/prompt/").status_code == 200
        removed = doran("operator", "remove", "haneul", cwd=place, **ON)
        assert removed.stdout == "haneul may not log in any more.\n"
        assert client.get("/ai/prompt/").status_code == 302
        assert logs_in(client, "haneul").status_code == 200
    listed = doran("operator", "list", cwd=place, **ON).stdout
    assert re.search(r"soyeon\s+yes", listed)
    assert re.search(r"haneul\s+no", listed)
    assert doran("operator", "remove", "nobody", cwd=place, **ON).stderr == "No operator is called nobody.\n"
