"""Every command of `doran` with exactly what the guide for services apart gives a process, and with nothing at all."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from doran.server.cli import COMMANDS
from doran.server.exits import EXITS
from tests.house.commands import Ended, run_each
from tests.house.running import doran
from tests.servers.databases import MariaDB, PostgreSQL, private_database

pytestmark = pytest.mark.timeout(400)  # many processes, on a machine that may be busy

SERVICES = ("core", "chat", "ai")
DONE, FAILED, USAGE = EXITS["done"][0], EXITS["failed"][0], EXITS["usage"][0]
REFUSED, MISSING, DATABASE = EXITS["bad_setting"][0], EXITS["not_found"][0], EXITS["bad_database"][0]

# What docs/guides/services-apart.md tells all processes, and each of them. Nobody listens at these addresses.
EVERYBODY = {
    "DORAN_MODE": "production",
    "DORAN_PUBLIC_URL": "https://chat.example.com",
    "DORAN_TRUSTED_PROXIES": "10.0.0.2",
    "DORAN_CORE_URL": "http://127.0.0.1:9",
    "DORAN_CHAT_URL": "http://127.0.0.1:9",
    "DORAN_AI_URL": "http://127.0.0.1:9",
    "DORAN_BUS": "amqp://doran:q8Zx0u3VkR5n@127.0.0.1:9/",
    "DORAN_REDIS": "redis://:q8Zx0u3VkR5n@127.0.0.1:9/0",
    "DORAN_HOST": "0.0.0.0",
    "DORAN_DRAIN_DELAY_SECONDS": "2",
}
OWN = {
    "core": {
        "DORAN_SECRET_KEY": "q8Zx0u3VkR5nB1tYw7LsE9aJd2Hf4GmC",
        "DORAN_SERVICE_SECRETS": f"chat:{'0123456789abcdef' * 4},ai:{'fedcba9876543210' * 4}",
    },
    "chat": {"DORAN_SERVICE_SECRET": "Wm3pT9xKc6VbN0zQh5RgYs1LdJf7UeA2"},
    "ai": {"DORAN_SERVICE_SECRET": "Ht4kPz8nXw2MqB6vCj0RyFs5LgDe9Ua1"},
}

# Each command, whose database it works on, and how it ends with the settings of that service.
TABLE: tuple[tuple[str, str, int], ...] = (
    ("users deactivate minji", "core", MISSING),
    ("users reactivate minji", "core", MISSING),
    ("users erase minji", "core", MISSING),
    ("keys list", "core", DONE),
    ("keys rotate", "core", DONE),
    ("keys rotate --at-once", "core", DONE),
    ("webhooks add https://hooks.example.com/doran", "core", DONE),
    ("webhooks list", "core", DONE),
    ("webhooks show nobody", "core", MISSING),
    ("webhooks remove nobody", "core", MISSING),
    ("webhooks rotate nobody", "core", MISSING),
    ("webhooks enable nobody", "core", MISSING),
    ("webhooks disable nobody", "core", MISSING),
    ("webhooks test nobody", "core", MISSING),
    ("webhooks replay nobody --failed", "core", MISSING),
    ("dead-letters list --service core", "core", DONE),
    ("migrate core", "core", DONE),
    ("dead-letters list --service chat", "chat", DONE),
    ("dead-letters replay --service chat", "chat", DONE),
    ("dead-letters discard 7 --service chat", "chat", MISSING),
    ("restored --data journal", "chat", DONE),
    ("migrate chat", "chat", DONE),
    ("operator list", "ai", REFUSED),  # the guide does not switch the admin on
    ("operator add sora --password-file nowhere", "ai", REFUSED),
    ("operator remove sora", "ai", REFUSED),
    ("ai off", "ai", DONE),
    ("ai on", "ai", DONE),
    ("ai jobs", "ai", DONE),
    ("ai spending", "ai", DONE),
    ("ai export minji", "ai", MISSING),
    ("ai eval", "ai", REFUSED),
    ("dead-letters list --service ai", "ai", DONE),
    ("migrate ai", "ai", DONE),
)
# Those that work with the settings of any service, or need none.
ANYWHERE: tuple[tuple[str, int], ...] = (
    ("migrate", DONE),
    ("dead-letters list", DONE),
    ("dead-letters replay", DONE),
    ("dead-letters replay 7", MISSING),
    ("config", DONE),
    ("service-secret chat", DONE),
    ("restore nowhere", MISSING),
    ("move", REFUSED),
    ("health --port 9", FAILED),
    ("verify rules", DONE),
    ("verify --url http://127.0.0.1:9 --seconds 1", USAGE),
    ("up --look --port 0", REFUSED),
)


@pytest.fixture(scope="module", params=[MariaDB, PostgreSQL, None], ids=["mariadb", "postgresql", "files"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Where each service's database is: its URL."""
    if request.param is None:
        folder = tmp_path_factory.mktemp("files")
        yield lambda service: f"sqlite://{folder}/{service}.db"
        return
    with private_database(request.param) as server:
        for service in SERVICES:
            server.say(f"CREATE DATABASE doran_{service}")
        yield lambda service: str(server.url(f"doran_{service}"))


def of_process(service: str, place: Callable[[str], str]) -> dict[str, str]:
    """What the guide gives the processes of one service."""
    return {**EVERYBODY, **OWN[service], f"DORAN_{service.upper()}_DATABASE": place(service)}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def in_one_sentence(ended: Ended, *expected: int) -> None:
    assert "Traceback" not in ended.err, ended
    assert ended.code in expected, ended
    if ended.code not in (DONE, USAGE):
        assert ended.err.count("\n") == 1, ended
        assert ended.err.endswith(".\n"), ended


@pytest.mark.parametrize("service", SERVICES)
def test_each_command_works_with_the_settings_of_its_service_and_makes_nothing_else(
    place: Callable[[str], str], service: str, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    is_on_files = place(service).startswith("sqlite")
    table = [row for row in TABLE if is_on_files or row[1] == service]  # others are refused before a server is asked
    words = ["migrate", *(command for command, _, _ in table), *(command for command, _ in ANYWHERE)]
    first, *told = run_each(
        [one.split() for one in words], cwd=here, logs=tmp_path / "logs", settings=of_process(service, place)
    )
    in_one_sentence(first, DONE)
    assert f"{service}'s database is up to date." in first.out
    for ended, (_, whose, code) in zip(told, table, strict=False):
        if whose == service:
            in_one_sentence(ended, code)
        else:
            in_one_sentence(ended, REFUSED)
            assert f"works on {whose}'s database" in ended.err
            assert f"these settings are for {service}" in ended.err
    for ended, (_, code) in zip(told[len(table) :], ANYWHERE, strict=True):
        in_one_sentence(ended, code)
    assert files(here) == ({"journal", "journal/restores.json"} if service == "chat" else set())


@pytest.mark.parametrize("service", SERVICES)
def test_a_look_at_a_process_is_with_its_own_eyes(place: Callable[[str], str], service: str, tmp_path: Path) -> None:
    settings = {**of_process(service, place), "DORAN_PORT": "0"}
    here = tmp_path / "here"
    here.mkdir()
    _, plain, named = run_each(
        [["migrate"], ["check"], ["check", service]], cwd=here, logs=tmp_path / "logs", settings=settings
    )
    assert plain.out == named.out
    assert {one for one in SERVICES if f"{one} database" in plain.out} == {service}
    assert "Traceback" not in plain.err
    assert files(here) == set()


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_on_a_file_of_its_own_is_known_by_its_folder(service: str, tmp_path: Path) -> None:
    settings = {**EVERYBODY, **OWN[service]}
    here = tmp_path / "here"
    (here / "data").mkdir(parents=True)
    nobody_knows, made, *told, copied = run_each(
        [["migrate"], ["migrate", service], *(words.split() for words, _, _ in TABLE), ["backup", "copy"]],
        cwd=here, logs=tmp_path / "logs", settings=settings,
    )  # fmt: skip
    in_one_sentence(nobody_knows, REFUSED)
    in_one_sentence(made, DONE)
    for ended, (_, whose, code) in zip(told, TABLE, strict=True):
        if ended.words[0] != "restored":  # its journal is not in the folder of the database here
            in_one_sentence(ended, code if whose == service else REFUSED)
    in_one_sentence(copied, DONE)
    made_here = {path for path in files(here) if path.endswith((".sqlite3", "secret_key"))}
    assert made_here == {f"data/{service}.sqlite3", f"copy/{service}.sqlite3"}


def test_an_empty_folder_is_named_and_stays_empty(tmp_path: Path) -> None:
    """As in the image: DORAN_DATA names a folder that is there, and nothing is in it."""
    here = tmp_path / "here"
    (here / "data").mkdir(parents=True)
    commands = [words.split() for words, _, _ in TABLE if not words.startswith(("migrate", "restored --data"))]
    more = [["dead-letters", "list"], ["dead-letters", "replay"], ["restored"], ["backup", "copy"]]
    for ended in run_each(
        commands + more, cwd=here, logs=tmp_path / "logs", settings={"DORAN_DATA": str(here / "data")}
    ):
        in_one_sentence(ended, MISSING)
        assert f"There is no database {here}/data/" in ended.err
    assert files(here) == {"data"}


def test_a_database_that_was_not_brought_up_to_date_is_named(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    settings = of_process("chat", lambda service: f"sqlite://{here}/{service}.db")
    (here / "chat.db").touch()
    commands = [["dead-letters", "list"], ["dead-letters", "replay"], ["dead-letters", "discard", "7"]]
    for ended in run_each(commands, cwd=here, logs=tmp_path / "logs", settings=settings):
        in_one_sentence(ended, DATABASE)
        assert "run `doran migrate chat` first" in ended.err
    with closing(sqlite3.connect(here / "chat.db")) as database:
        assert database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_a_secret_key_that_is_nowhere_is_not_made_by_a_command(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    settings = {"DORAN_CORE_DATABASE": f"sqlite://{here}/core.db", "DORAN_DATA": str(here / "data")}
    made, *told = run_each(
        [["migrate"], ["keys", "list"], ["webhooks", "add", "https://hooks.example.com"]],
        cwd=here, logs=tmp_path / "logs", settings={**settings, "DORAN_SECRET_KEY": OWN["core"]["DORAN_SECRET_KEY"]},
    )  # fmt: skip
    assert [one.code for one in (made, *told)] == [DONE] * 3
    for ended in run_each([["keys", "list"], ["keys", "rotate"], ["webhooks", "list"]], cwd=here, logs=tmp_path / "more", settings=settings):  # fmt: skip
        in_one_sentence(ended, REFUSED)
        assert "The secret key is neither in DORAN_SECRET_KEY nor in" in ended.err
    assert not (here / "data").exists()


def test_another_secret_key_than_the_servers_have_is_named(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    settings = of_process("core", lambda service: f"sqlite://{here}/{service}.db")
    run_each([["migrate"], ["keys", "list"]], cwd=here, logs=tmp_path / "logs", settings=settings)
    other = {**settings, "DORAN_SECRET_KEY": OWN["chat"]["DORAN_SERVICE_SECRET"]}
    for ended in run_each([["keys", "list"], ["keys", "rotate"]], cwd=here, logs=tmp_path / "more", settings=other):
        in_one_sentence(ended, REFUSED)
        assert ended.err.startswith("DORAN_SECRET_KEY: does not open the signing keys")


def test_the_reference_is_the_same_wherever_it_is_written(tmp_path: Path) -> None:
    settings = of_process("chat", lambda service: f"sqlite://{tmp_path}/{service}.db")
    assert doran("reference", "apart", cwd=tmp_path, **settings).returncode == DONE
    assert doran("reference", "plain", cwd=tmp_path).returncode == DONE
    assert files(tmp_path / "apart") == files(tmp_path / "plain")
    for path in (tmp_path / "apart").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "plain" / path.relative_to(tmp_path / "apart")).read_bytes()
    shutil.rmtree(tmp_path / "apart")


def test_the_table_knows_every_command() -> None:
    known = {words.split()[0] for words in (*(one for one, _, _ in TABLE), *(one for one, _ in ANYWHERE))}
    elsewhere = {"serve", "work", "check", "backup", "reference"}  # in stories of their own, here and in test_apart
    assert {command.name for command in COMMANDS} | {"verify"} == known | elsewhere
    from doran.server import ai, webhooks

    for table, name in ((webhooks.WORDS, "webhooks"), (ai.WORDS, "ai")):
        tried: set[Any] = {words.split()[1] for words, _, _ in TABLE if words.split()[0] == name}
        assert tried == {word.name for word in table}


def test_what_an_operator_mistypes_is_one_sentence(tmp_path: Path) -> None:
    here = tmp_path / "here"
    (here / "broken").mkdir(parents=True)
    (here / "broken" / "core.sqlite3").write_bytes(b"no database " * 1000)
    (here / "no text").write_bytes(b"\xff\xfe")
    broken, beyond, word = run_each(
        [["backup", "copy", "--data", "broken"], ["dead-letters", "discard", "9" * 30], ["dead-letters", "replay", "x"]],
        cwd=here, logs=tmp_path / "logs", settings={},
    )  # fmt: skip
    in_one_sentence(broken, DATABASE)
    in_one_sentence(beyond, USAGE)
    in_one_sentence(word, USAGE)
    for number, setting in enumerate(
        ({"DORAN_REDIS": "redis://[bad"}, {"DORAN_REDIS": "redis://h:hunter2/0"}, {"DORAN_SECRET_KEY_FILE": "no text"})
    ):
        (ended,) = run_each([["check", "--production"]], cwd=here, logs=tmp_path / f"more-{number}", settings=setting)
        in_one_sentence(ended, REFUSED)
        assert "hunter2" not in ended.err
    assert not (here / "copy").exists()
