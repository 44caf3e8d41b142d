"""`doran verify` tells a shell what it found: by its exit code, in words, in JSON, without any text."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from doran.verify.cli import free_port, main
from doran.verify.history import Heard, Holds, Operation, Send
from doran.verify.rules import RULES
from tests.verify.people import spend, write

Capture = pytest.CaptureFixture[str]


@pytest.fixture(name="clean_run", scope="module")
def _clean_run() -> list[Operation]:
    return spend(seed=5, seconds=2.0)


def test_a_clean_run(tmp_path: Path, clean_run: list[Operation], capsys: Capture) -> None:
    write(tmp_path / "run.jsonl", clean_run)
    assert main(["judge", str(tmp_path / "run.jsonl")]) == 0
    assert f"Clean: none of {len(RULES)} rules is broken." in capsys.readouterr().out


def test_a_guilty_run_shows_the_operations_and_no_text(tmp_path: Path, capsys: Capture) -> None:
    operations = spend(seed=5, faults=["resumes from the start"])
    write(tmp_path / "run.jsonl", operations)
    assert main(["judge", str(tmp_path / "run.jsonl")]) == 1
    said = capsys.readouterr().out
    assert "REDELIVERED" in said
    assert "source=changes" in said
    assert not [send.body for send in operations if isinstance(send, Send) and send.body in said]


def test_json_for_machines(tmp_path: Path, capsys: Capture) -> None:
    write(tmp_path / "run.jsonl", spend(seed=5, faults=["resumes from the start"]))
    assert main(["judge", "--json", str(tmp_path / "run.jsonl")]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["exit_code"] == 1
    assert told["by_rule"]["REDELIVERED"] == sum(one["rule"] == "REDELIVERED" for one in told["violations"])


def test_a_run_without_an_end_proves_nothing(tmp_path: Path, clean_run: list[Operation], capsys: Capture) -> None:
    write(tmp_path / "run.jsonl", [one for one in clean_run if not isinstance(one, Holds)])
    assert main(["judge", str(tmp_path / "run.jsonl")]) == 3
    assert "Inconclusive" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "nonsense\nnonsense\n"])
def test_a_file_that_is_no_history(tmp_path: Path, content: str | None, capsys: Capture) -> None:
    file = tmp_path / "run.jsonl"
    if content is not None:
        file.write_text(content)
    assert main(["judge", str(file)]) == 2
    assert "run.jsonl" in capsys.readouterr().err


def test_a_recorded_stream_is_judged_with_the_run(tmp_path: Path, clean_run: list[Operation], capsys: Capture) -> None:
    write(tmp_path / "run.jsonl", [one for one in clean_run if not isinstance(one, Heard)])
    told = [_envelope(one) for one in clean_run if isinstance(one, Heard)]
    stream = tmp_path / "events.jsonl"
    stream.write_text("\n".join(told))
    assert main(["judge", "--events", str(stream), str(tmp_path / "run.jsonl")]) == 0
    stream.write_text("\n".join(told[1:]))
    assert main(["judge", "--events", str(stream), str(tmp_path / "run.jsonl")]) == 1
    assert "EVENT-set" in capsys.readouterr().out


def _envelope(event: Heard) -> str:
    facts = {"conversation_id": event.conversation, "message_id": event.message_id, "seq": event.seq}
    return json.dumps({"event_id": event.event_id, "event_type": event.event_type, "data": facts})


def test_a_stream_that_is_none(tmp_path: Path, clean_run: list[Operation], capsys: Capture) -> None:
    write(tmp_path / "run.jsonl", clean_run)
    (tmp_path / "events.jsonl").write_text('{"data": 1}\n')
    assert main(["judge", "--events", str(tmp_path / "events.jsonl"), str(tmp_path / "run.jsonl")]) == 2
    assert "line 1 of events.jsonl" in capsys.readouterr().err


def test_nobody_at_the_address(capsys: Capture) -> None:
    assert main(["--url", f"http://127.0.0.1:{free_port()}"]) == 2
    assert "does not answer" in capsys.readouterr().err


def test_a_command_that_ends_at_once(capsys: Capture) -> None:
    assert main(["--command", f"{sys.executable} -c pass"]) == 2
    assert "ended before it was ready" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [[], ["--url", "a", "--command", "b"], ["--url", "a", "--people", "1"]])
def test_a_wrong_question_is_refused(wrong: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(wrong)
    assert stopped.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_the_rules_can_be_read(capsys: Capture) -> None:
    assert main(["rules"]) == 0
    said = capsys.readouterr().out
    assert all(rule.name in said and rule.sentence in said for rule in RULES.values())
