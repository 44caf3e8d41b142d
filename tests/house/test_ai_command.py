"""`doran ai`: what an operator needs, beside a running server or while none runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from doran.server.exits import EXITS
from tests.house.running import doran, running

pytestmark = pytest.mark.timeout(240)  # processes of their own, on a machine that may be busy

MINJI = {"username": "minji", "password": "walking by the river"}


def test_what_is_kept_of_somebody_is_given_out_by_name(tmp_path: Path) -> None:
    with running(folder=tmp_path) as server:
        _, made = server.asks("/api/core/users/", MINJI)
        said = doran("ai", "export", "minji", "--data", "data", cwd=tmp_path)
        assert said.returncode == EXITS["done"][0], said.stderr
        told = json.loads(said.stdout)
        assert (told["user_id"], told["consents"], told["jobs"]) == (made["id"], [], [])
    refused = doran("ai", "export", "nobody", "--data", "data", cwd=tmp_path)
    assert refused.returncode == EXITS["not_found"][0]
    assert refused.stderr == "Nobody is called nobody, and nothing is kept under this id.\n"


def test_where_ai_is_elsewhere_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    refused = doran("ai", "export", "minji", "--data", "data", cwd=tmp_path, DORAN_SERVICES="core")
    assert refused.returncode == EXITS["bad_setting"][0]
    assert refused.stderr.startswith("This works on ai's database, and these settings are for core: ")


def test_off_is_off_at_once_and_on_is_on(tmp_path: Path) -> None:
    with running(folder=tmp_path) as server:
        server.asks("/api/core/users/", MINJI)
        _, pair = server.asks("/api/core/tokens/", MINJI)
        for word, is_off in (("off", True), ("on", False)):
            said = doran("ai", word, "--data", "data", cwd=tmp_path)
            assert said.returncode == EXITS["done"][0], said.stderr
            _, window = server.asks("/api/ai/", token=pair["access_token"])
            assert window["is_off"] is is_off
        for word, words in (
            ("jobs", "Nobody asked for anything in the last 24 h.\n"),
            ("spending", "Nothing was spent yet.\n"),
        ):
            said = doran("ai", word, "--data", "data", cwd=tmp_path)
            assert (said.returncode, said.stdout) == (EXITS["done"][0], words)
