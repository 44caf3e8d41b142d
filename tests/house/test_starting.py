"""From one command to an answering server, and back; and every foreseen failure on the way."""

from __future__ import annotations

import signal
import socket
import stat
from pathlib import Path

import pytest

from doran.kernel import config
from doran.server import folder
from doran.server.exits import EXITS, Refused
from tests.house.running import doran, running

pytestmark = pytest.mark.timeout(240)  # processes of their own, on a machine that may be busy


def code_of(kind: str) -> int:
    return EXITS[kind][0]


def is_empty(place: Path) -> bool:
    return not any(place.iterdir())


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_server_starts_answers_and_stops_cleanly(tmp_path: Path, told: signal.Signals) -> None:
    with running(folder=tmp_path) as server:
        assert server.asks("/health/live")[0] == 200
        status, ready = server.asks("/health/ready")
        assert (status, ready["status"]) == (200, "ok")
        needed = {name for name, found in ready["dependencies"].items() if found["needed"]}
        assert needed == {"core database", "chat database", "ai database"}
        assert server.is_told(told) == code_of("done")
    assert "Stopped." in server.said()
    assert "Traceback" not in server.said()


def test_what_it_keeps_is_for_this_user_only(tmp_path: Path) -> None:
    with running(folder=tmp_path):
        data = tmp_path / "data"
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert {path.name for path in data.iterdir()} >= {"secret_key", "core.sqlite3", "chat.sqlite3", "ai.sqlite3"}
        for path in data.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_people_and_tokens_outlive_a_restart(tmp_path: Path) -> None:
    me = {"username": "minji", "password": "봄비가 내리는 밤"}
    with running(folder=tmp_path, DORAN_ISSUER="https://chat.example.test") as server:
        assert server.asks("/api/core/users/", me)[0] == 201
        token = server.asks("/api/core/tokens/", me)[1]["access_token"]
        server.is_told(signal.SIGTERM)
    with running(folder=tmp_path, DORAN_ISSUER="https://chat.example.test") as server:
        assert server.asks("/api/core/users/me/", token=token)[1]["username"] == "minji"
        assert "up to date" not in server.said()


def test_a_taken_port_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = doran("up", "--port", str(port), "--data", str(tmp_path / "data"), cwd=tmp_path)
    assert result.returncode == code_of("port_taken")
    assert result.stderr == f"Port {port} on 127.0.0.1 is taken by another program: choose another with --port.\n"
    assert is_empty(tmp_path)


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    result = doran("up", "--host", "203.0.113.7", "--port", "0", cwd=tmp_path)
    assert result.returncode == code_of("port_taken")
    assert "203.0.113.7 is not an address of this machine" in result.stderr
    assert is_empty(tmp_path)


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("mine")
    result = doran("up", "--port", "0", "--data", "data", cwd=tmp_path)
    assert result.returncode == code_of("unwritable")
    assert result.stderr.count("\n") == 1
    assert (tmp_path / "data").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    result = doran("up", "--port", "0", "--data", "/proc/doran", cwd=tmp_path)
    assert result.returncode == code_of("unwritable")
    assert "/proc/doran" in result.stderr
    assert "--data" in result.stderr
    assert is_empty(tmp_path)


def test_two_servers_never_share_a_folder(tmp_path: Path) -> None:
    with running(folder=tmp_path) as first:
        second = doran("up", "--port", "0", "--data", str(tmp_path / "data"), cwd=tmp_path)
        assert second.returncode == code_of("in_use")
        assert "Another Doran is using" in second.stderr
        assert first.asks("/health/live")[0] == 200


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"DORAN_PROT": "8000"}, "unknown setting DORAN_PROT"),
        ({"DORAN_THREADS": "none"}, "DORAN_THREADS"),
        ({"DORAN_MODE": "production"}, "public_url must be an https:// address"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_start(tmp_path: Path, settings: dict[str, str], words: str) -> None:
    result = doran("up", "--port", "0", cwd=tmp_path, **settings)
    assert result.returncode == code_of("bad_setting")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert is_empty(tmp_path)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"DORAN_AI_PROVIDERS": '[[provider]]\nname = "house"'}, "provider 'house': say its wire"),
        ({"DORAN_AI_LOCAL": "yes", "DORAN_AI_LOCAL_MODEL": "/nowhere.gguf"}, "DORAN_AI_LOCAL"),
        ({"DORAN_BUS": "carrier-pigeon://home"}, "DORAN_BUS: expected memory:"),
        ({"DORAN_AI_ASSISTANT": "도\u202e란"}, "DORAN_AI_ASSISTANT: nobody can be called '도\\u202e란'"),
        ({"DORAN_AI_ASSISTANT": "가" * 101}, "DORAN_AI_ASSISTANT: nobody can be called"),
        ({"DORAN_FOREIGN_ISSUER": "https://id.example.com"}, "DORAN_FOREIGN_ISSUER: needs"),
    ],
)
@pytest.mark.parametrize("command", [("up", "--port", "0"), ("serve", "core", "chat", "ai", "--port", "0")])
def test_what_is_read_late_is_refused_before_a_database_is_touched(
    tmp_path: Path, command: tuple[str, ...], settings: dict[str, str], words: str
) -> None:
    (tmp_path / "data").mkdir()
    result = doran(*command, cwd=tmp_path, **settings)
    assert result.returncode == code_of("bad_setting")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert is_empty(tmp_path / "data")


KEYED = """
[[provider]]
name = "vendor"
wire = "anthropic"
url = "https://models.example.com"
model = "large"
key_file = "key"
"""
STRICT = {"DORAN_MODE": "production", "DORAN_PUBLIC_URL": "https://chat.example.com"}


def test_a_key_that_others_may_read_is_told_and_in_production_refused(tmp_path: Path) -> None:
    for name, text in {"key": "sk-hunter2", "table": KEYED}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o640)
    with running(folder=tmp_path, DORAN_AI_PROVIDERS_FILE="table") as server:
        said = server.said()
    assert "Warning: the file of DORAN_AI_PROVIDERS_FILE can be read by others: chmod 600 table" in said
    assert "Warning: the key_file of 'vendor' can be read by others: chmod 600 key" in said
    refused = doran("up", "--port", "0", "--data", "new", cwd=tmp_path, DORAN_AI_PROVIDERS_FILE="table", **STRICT)
    assert refused.returncode == code_of("bad_setting")
    assert "the file of DORAN_AI_PROVIDERS_FILE can be read by others" in refused.stderr
    (tmp_path / "table").chmod(0o600)
    refused = doran("up", "--port", "0", "--data", "new", cwd=tmp_path, DORAN_AI_PROVIDERS_FILE="table", **STRICT)
    assert refused.returncode == code_of("bad_setting")
    assert "its key_file, which can be read by others: chmod 600 key" in refused.stderr
    checked = doran(
        "check", "--production", "--data", "new", cwd=tmp_path, DORAN_PORT="0", DORAN_AI_PROVIDERS_FILE="table"
    )
    assert "NO   AI providers" in checked.stdout
    assert "chmod 600 key" in checked.stdout
    assert "hunter2" not in said + refused.stderr + checked.stdout
    assert not (tmp_path / "new").exists()


def test_a_secret_in_a_bad_setting_is_not_shown(tmp_path: Path) -> None:
    result = doran("up", "--port", "0", cwd=tmp_path, DORAN_CORE_DATABASE="mysql://minji:hunter2@db/")
    assert result.returncode == code_of("bad_setting")
    assert "hunter2" not in result.stderr + result.stdout


def test_another_secret_key_is_told_and_changes_nothing(tmp_path: Path) -> None:
    with running(folder=tmp_path) as server:
        server.is_told(signal.SIGTERM)
    before = (tmp_path / "data" / "secret_key").read_text()
    result = doran("up", "--port", "0", "--data", "data", cwd=tmp_path, DORAN_SECRET_KEY="x" * 40)
    assert result.returncode == code_of("bad_setting"), result.stderr
    assert "does not open the signing keys" in result.stderr
    assert (tmp_path / "data" / "secret_key").read_text() == before


def test_a_damaged_database_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "chat.sqlite3").write_text("this was never a database, whatever its name says " * 100)
    result = doran("up", "--port", "0", "--data", "data", cwd=tmp_path)
    assert result.returncode == code_of("bad_database")
    assert result.stderr.count("\n") == 1
    assert "chat's database" in result.stderr


def test_the_first_look_makes_nothing(tmp_path: Path) -> None:
    result = doran("up", "--look", "--port", "0", "--data", "data", cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert is_empty(tmp_path)


def test_a_first_start_that_fails_takes_its_folder_away(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with pytest.raises(Refused), folder.whole_or_not(data):
        folder.prepare(config.load({"DORAN_DATA": str(data)}))
        assert (data / "secret_key").exists()
        raise Refused("disk_full", "full")
    assert is_empty(tmp_path)


def test_a_later_start_that_fails_takes_nothing_away(tmp_path: Path) -> None:
    folder.prepare(config.load({"DORAN_DATA": str(tmp_path / "data")}))
    with pytest.raises(Refused), folder.whole_or_not(tmp_path / "data"):
        raise Refused("disk_full", "full")
    assert (tmp_path / "data" / "secret_key").exists()


def test_a_full_disk_leaves_no_half_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Refused, match="is full") as refused:
        folder.prepare(config.load({"DORAN_DATA": str(tmp_path / "data")}))
    assert refused.value.code == code_of("disk_full")
    assert is_empty(tmp_path / "data")
