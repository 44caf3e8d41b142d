"""The files of `deploy/`: their own tools accept them, and every name in them is one of ours."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from doran.kernel.config import SETTINGS
from doran.server import cli
from doran.server.exits import EXITS
from tests.house import deployment
from tests.house.deployment import DEPLOY, composed, image_environment, image_words, instructions, judged, said, tool

BOXES = {name: {"DOMAIN": "chat.example.com"} for name in ("compose.yaml", "scale/compose.yaml")}
BY_VARIABLE = {setting.variable: setting for setting in SETTINGS.values()}


@pytest.fixture(params=BOXES)
def box(request: pytest.FixtureRequest) -> Any:
    """One compose file as compose understands it."""
    return composed(DEPLOY / request.param, **BOXES[request.param])


def ours(box: Any) -> dict[str, Any]:
    """The services of a compose file that run our image."""
    return {name: one for name, one in box["services"].items() if one.get("image") == "doran"}


# -- every file ----------------------------------------------------------------------------------------


def test_every_setting_that_is_named_exists() -> None:
    named = {name for file in deployment.files() for name in re.findall(r"DORAN_[A-Z_]+", file.read_text("utf-8"))}
    assert len(named) >= 5
    unknown = {name for name in named if name not in BY_VARIABLE and not _is_file_of_a_secret(name)}
    assert unknown == set()


def _is_file_of_a_secret(name: str) -> bool:
    setting = BY_VARIABLE.get(name.removesuffix("_FILE"))
    return name.endswith("_FILE") and setting is not None and setting.secret


def test_no_secret_is_written_down() -> None:
    """Secrets come as files; no address carries a password."""
    for file in deployment.files():
        text = file.read_text("utf-8")
        assert re.findall(r"://[^/\s:@]*:[^@\s/{$]+@", text) == [], file
        given = re.findall(r"(DORAN_[A-Z_]+)\s*[:=]\s*[^\s{]", text)
        plain = [name for name in given if name in BY_VARIABLE and BY_VARIABLE[name].secret]
        assert plain == [], file


# -- the image -----------------------------------------------------------------------------------------


def test_the_dockerfile_is_accepted() -> None:
    told = judged(tool("hadolint"), "--failure-threshold", "style", DEPLOY / "Dockerfile")
    assert (told.returncode, told.stdout) == (0, "")


def test_a_careless_dockerfile_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:latest\nRUN pip install doran\nENTRYPOINT doran up\n")
    assert judged(tool("hadolint"), tmp_path / "Dockerfile").returncode != 0


def test_the_image_starts_as_nobody_in_particular() -> None:
    assert said("USER") == "10001:10001"
    assert image_environment()["DORAN_MODE"] == "production"
    assert said("EXPOSE") == image_environment()["DORAN_PORT"]
    assert [word for word, _ in deployment.last_stage() if word in ("RUN", "ADD", "SHELL")] == []


def test_what_the_image_runs_are_commands_of_doran() -> None:
    assert image_words("ENTRYPOINT") == ["doran"]
    parser = cli._parser()
    for words in deployment.commands_of([image_words("CMD"), image_words("HEALTHCHECK")]):
        parser.parse_args(words)


def test_the_image_is_made_of_files_that_are_there() -> None:
    named = [
        path for word, rest in instructions() if word == "COPY" and "--from" not in rest for path in rest.split()[:-1]
    ]
    assert len(named) >= 6
    assert [path for path in named if not (deployment.ROOT / path).exists()] == []
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert {f"!{path}" for path in named} <= set(allowed)


# -- compose -------------------------------------------------------------------------------------------


def test_a_misspelt_compose_file_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {doran: {image: doran, readonly: true}}")
    told = judged(deployment.composer(), "-f", tmp_path / "compose.yaml", "config", "-q")
    assert told.returncode != 0


@pytest.mark.parametrize("name", BOXES)
def test_what_has_to_be_told_is_asked_for(name: str) -> None:
    told = judged(deployment.composer(), "-f", DEPLOY / name, "config", "-q")
    assert told.returncode != 0
    assert "is missing a value" in told.stderr


def test_every_service_may_do_no_more_than_it_must(box: Any) -> None:
    for name, one in box["services"].items():
        assert one["read_only"] is True, name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one["deploy"]["resources"]["limits"].keys() >= {"memory", "pids"}, name
        assert one["restart"] in ("unless-stopped", "on-failure"), name
        assert one["logging"]["options"]["max-size"], name


def test_our_services_run_commands_of_doran(box: Any) -> None:
    parser = cli._parser()
    checks = [one["healthcheck"]["test"][1:] for one in ours(box).values() if "test" in one["healthcheck"]]
    for words in deployment.commands_of([*(one["command"] for one in ours(box).values()), *checks]):
        parser.parse_args(words)
    assert checks


def test_our_services_have_time_to_drain_and_room_for_sockets(box: Any) -> None:
    drain = float(SETTINGS["drain_seconds"].default)
    for name, one in ours(box).items():
        assert _seconds(one["stop_grace_period"]) >= 2 * drain, name
        assert one["ulimits"]["nofile"] >= 65_536, name


def _seconds(text: str) -> float:
    minutes, seconds = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", text).groups(default="0")  # type: ignore[union-attr]
    return 60 * int(minutes) + int(seconds)


def test_only_the_proxy_can_be_reached_from_outside(box: Any) -> None:
    assert [name for name, one in box["services"].items() if one.get("ports")] == ["proxy"]


def test_the_proxy_is_believed_and_nobody_else(box: Any) -> None:
    (address,) = [net["ipv4_address"] for net in box["services"]["proxy"]["networks"].values()]
    for one in ours(box).values():
        assert one["environment"].get("DORAN_TRUSTED_PROXIES", address) == address


def test_one_box_is_told_who_answers_as_ai_by_a_file_of_its_own() -> None:
    whole = deployment.composed(DEPLOY / "compose.yaml", DEPLOY / "ai.yaml", **BOXES["compose.yaml"])
    told = whole["services"]["doran"]
    assert told["environment"]["DORAN_AI_PROVIDERS_FILE"] == f"/run/secrets/{told['secrets'][0]['source']}"
    assert told["read_only"] is True
    assert not whole["networks"]["front"].get("internal")


# -- the proxy and systemd -----------------------------------------------------------------------------


def test_the_proxy_of_one_box_is_accepted() -> None:
    words = ("validate", "--adapter", "caddyfile", "--config", DEPLOY / "Caddyfile")
    told = judged(tool("caddy"), *words, DOMAIN="chat.example.com", XDG_DATA_HOME="/nonexistent")
    assert told.returncode == 0, told.stderr


def test_the_systemd_unit_is_accepted(tmp_path: Path) -> None:
    """Verified with a program that is there, in place of the one that will be."""
    text = (DEPLOY / "doran.service").read_text("utf-8")
    (start,) = re.findall(r"^ExecStart=(.*)$", text, flags=re.MULTILINE)
    cli._parser().parse_args(start.split()[1:])
    (final,) = re.findall(r"^RestartPreventExitStatus=(.*)$", text, flags=re.MULTILINE)
    refusals = ("usage", "unwritable", "bad_setting", "in_use", "lost_database")
    assert final.split() == [str(EXITS[one][0]) for one in refusals], "what trying again does not change"
    unit = tmp_path / "doran.service"
    unit.write_text(text.replace(start.split()[0], str(shutil.which("true"))))
    told = judged(tool("systemd-analyze"), "verify", unit)
    assert (told.returncode, told.stderr) == (0, "")
