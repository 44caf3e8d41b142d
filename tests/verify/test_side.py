"""Logs are searched for what must not stand in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from doran.verify.history import Recorder, Spilled
from doran.verify.judge import judge
from doran.verify.side import search

SECRETS = {"pw-of-minji": "a password", "eyJ.token": "an access token"}


def found(log: Path, text: str) -> list[Spilled]:
    log.write_text(text, encoding="utf-8")
    recorder = Recorder(lambda: 1)
    search(recorder, [log], run="dv1", secrets=SECRETS)
    return [operation for operation in recorder.operations.values() if isinstance(operation, Spilled)]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"message": "got dv1x3-17. 안녕"}', "a text"),
        ("login failed for pw-of-minji", "a password"),
        ("GET /ws/?token=eyJ.token", "an access token"),
    ],
)
def test_a_secret_in_a_log_is_found_and_not_repeated(tmp_path: Path, line: str, what: str) -> None:
    spilled = found(tmp_path / "server.log", f"started\n{line}\nstopped\n")
    assert [(one.what, one.where, one.place) for one in spilled] == [(what, "server.log", "line 2")]
    assert judge(spilled).by_rule() == {"LEAK-side": 1}


def test_a_quiet_log_is_clean(tmp_path: Path) -> None:
    assert found(tmp_path / "server.log", "message stored conversation=dv1 seq=17\n") == []
