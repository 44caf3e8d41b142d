"""`doran webhooks`: everything an operator needs, beside a running server or while none runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doran.server.exits import EXITS
from tests.house.running import doran, environment, running
from tests.receiver import Receiver, Reply, receiving
from tests.webhooks.town import verified

pytestmark = pytest.mark.timeout(240)  # processes of their own, on a machine that may be busy

MINJI = {"username": "minji", "password": "walking by the river"}
HERE = {"DORAN_OUTWARD_LOOPBACK": "yes"}
Words = Callable[..., str]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def words(tmp_path: Path) -> Words:
    """What a word of `doran webhooks` prints; its exit code must be this one."""

    def said(*words: str, code: str = "done") -> str:
        result = doran("webhooks", *words, "--data", "data", cwd=tmp_path, **HERE)
        assert result.returncode == EXITS[code][0], result.stdout + result.stderr
        return result.stderr if code not in ("done", "failed") else result.stdout

    return said


def registered(said: str) -> tuple[str, str]:
    """Id and secret."""
    found = re.search(r"^(\S+) is registered\..*: (whsec_\S+)$", said, re.DOTALL | re.MULTILINE)
    assert found, said
    return found[1], found[2]


def test_an_endpoint_is_added_tested_rotated_replayed_and_removed(
    receiver: Receiver, words: Words, tmp_path: Path
) -> None:
    with running(folder=tmp_path, **HERE) as server:
        endpoint_id, secret = registered(words("add", receiver.url, "--events", "user.created, webhook.disabled"))
        assert words("test", endpoint_id) == "webhook.test is delivered (204).\n"
        assert verified(receiver.requests[0], secret)["event_type"] == "webhook.test"
        assert server.asks("/api/core/users/", MINJI)[0] == 201
        created = verified(receiver.waits_for(2)[1], secret)
        rotated = words("rotate", endpoint_id)
        newer = rotated.split(": ")[1].split("\n")[0]
        assert "The one before signs as well until " in rotated
        since = words("replay", endpoint_id, "--since", "2026-01-01T00:00:00Z")
        assert since == "1 events are sent again.\n"
        assert verified(receiver.waits_for(3)[2], secret, newer) == created
        shown = words("show", endpoint_id)
        assert re.search(r"^state +healthy$", shown, re.MULTILINE)
        assert re.search(rf"^{created['event_id']} +user\.created +delivered ", shown, re.MULTILINE)
        assert secret not in shown
        assert words("remove", endpoint_id) == f"{endpoint_id} is removed.\n"
        assert words("list") == "No endpoint is registered.\n"


def test_what_was_given_up_is_sent_again_when_the_receiver_is_repaired(
    receiver: Receiver, words: Words, tmp_path: Path
) -> None:
    receiver.answers = lambda _: Reply(410)
    with running(folder=tmp_path, **HERE):
        endpoint_id, _ = registered(words("add", receiver.url))
        assert words("test", endpoint_id, code="failed") == "webhook.test is failed (410).\n"
        assert re.search(rf"^{endpoint_id} +disabled +0 +1 ", words("list"), re.MULTILINE)
        receiver.answers = lambda _: Reply()
        assert words("enable", endpoint_id) == f"{endpoint_id} is enabled.\n"
        assert words("replay", endpoint_id, "--failed") == "1 events are sent again.\n"
        receiver.waits_for(2)


REFUSED = [
    (["add", "http://hooks.example.com/"], "failed", "Use https."),
    (["add", "https://10.0.0.1/"], "failed", "This address is not on the public internet."),
    (["add", "https://hooks.example.com/", "--events", "message.smelled"], "failed", "Use names of the events"),
    (["show", "x"], "not_found", "There is no such endpoint."),
    (["remove", "01a20ac1-4a2d-7ac3-9529-ef69a23da50c"], "not_found", "There is no such endpoint."),
    (["replay", "x"], "usage", "one of the arguments --event --failed --since is required"),
    (["replay", "x", "--since", "yesterday"], "usage", "is not a time such as"),
    (["replay", "x", "--since", "2026-11-23T12:00:00"], "usage", "has no time zone"),
    (["smell"], "usage", "invalid choice"),
]

# One after another in one process: a start takes longer than all of them.
ASK = """
import contextlib, io, json, sys
from doran.server import cli

for words in json.loads(sys.argv[1]):
    said, refused = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(refused):
        try:
            code = cli.main(["webhooks", *words, "--data", "data"])
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, said.getvalue(), refused.getvalue()]))
"""


def test_what_cannot_be_done_is_one_sentence(tmp_path: Path) -> None:
    assert doran("migrate", "--data", "data", cwd=tmp_path).returncode == 0
    asked = json.dumps([words for words, _, _ in REFUSED])
    told = subprocess.run(
        [sys.executable, "-c", ASK, asked],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    answers = [json.loads(line) for line in told.stdout.splitlines()]
    for (words, code, why), (answered, said, refused) in zip(REFUSED, answers, strict=True):
        assert (answered, said) == (EXITS[code][0], ""), words
        assert why in refused, words


def test_a_test_that_no_server_sends_says_so(receiver: Receiver, words: Words, tmp_path: Path) -> None:
    assert doran("migrate", "--data", "data", cwd=tmp_path).returncode == 0
    endpoint_id, _ = registered(words("add", receiver.url, "--events", "webhook.disabled"))
    waits = words("test", endpoint_id, "--wait", "0", code="failed")
    assert waits == "webhook.test waits: no server has sent it within 0 s.\n"
    assert receiver.requests == []
    with running(folder=tmp_path, **HERE):
        assert len(receiver.waits_for(1)) == 1
