"""The history survives its harness, and says what is wrong with a file that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from doran.verify.history import BadHistory, Healed, Recorder, Send, in_order, read
from tests.verify.people import spend, write


def test_what_was_asked_is_written_before_it_is_answered(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    recorder = Recorder(iter(range(1, 100)).__next__, file)
    send = recorder.begin(Send(conversation="c", cmid="1", body="b", user="minji"))
    begun = read(file)
    send.outcome = "ok"
    recorder.end(send)
    recorder.close()
    assert [(one.outcome, one.ret) for one in begun if isinstance(one, Send)] == [("info", 0)]
    assert [(one.outcome, one.ret) for one in read(file) if isinstance(one, Send)] == [("ok", 2)]


def test_a_recorded_run_reads_back_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    operations = spend(seed=3, seconds=1.0)
    write(file, operations)
    assert read(file) == operations


def test_a_line_cut_short_by_a_crash_is_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    recorder = Recorder(iter(range(1, 100)).__next__, file)
    recorder.note(Healed())
    recorder.close()
    file.write_bytes(file.read_bytes() + b'{"op":"send","conv')
    assert [type(operation) for operation in read(file)] == [Healed]


@pytest.mark.parametrize("line", ["not json", '{"op":"dance"}', '{"op":"send","n":1}', "[]"])
def test_a_wrong_line_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(f'{{"op":"healed","n":1}}\n{line}\n{{"op":"healed","n":2}}\n')
    with pytest.raises(BadHistory, match=r"line 2 of history\.jsonl"):
        read(file)


def test_operations_are_judged_in_the_order_of_their_beginning() -> None:
    late, early = Healed(n=1, inv=5), Healed(n=2, inv=3)
    assert in_order([late, early]) == [early, late]
