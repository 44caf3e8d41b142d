"""One service asks another: here or over the network, it reads the same."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from doran.contracts.errors import Problem
from doran.kernel import config, siblings, telemetry
from doran.kernel.siblings import Question
from tests.neighbour import Neighbour, Says, next_door

pytestmark = pytest.mark.stateless

MINJI = "/api/core/users/minji/"


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    with next_door() as there:
        yield there


class AtHome:
    """A core in this process that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []

    def __call__(self, question: Question) -> tuple[int, bytes]:
        if question.method == "POST":
            return 200, b'{"access_token":"token 1","expires_in":300}'
        self.asked.append((question.path, {name.lower(): value for name, value in question.headers.items()}))
        return (200, b'{"id":"minji"}') if question.path == MINJI else (404, b'{"code":"not_found"}')


@pytest.fixture
def at_home() -> Iterator[AtHome]:
    core = AtHome()
    siblings.register_local("core", core)
    yield core
    siblings.register_local("core", None)
    siblings.close()


@pytest.fixture(params=["at_home", "neighbour"])
def core(request: pytest.FixtureRequest) -> AtHome | Neighbour:
    """A core that knows 민지 and nobody else, in this process or on the network."""
    there: AtHome | Neighbour = request.getfixturevalue(request.param)
    return there


def is_unavailable(path: str = MINJI, **more: object) -> Problem:
    with pytest.raises(Problem) as refused:
        siblings.get("core", path, **more)  # type: ignore[arg-type]
    assert refused.value.code == "unavailable"
    assert refused.value.retry_after
    return refused.value


def test_a_question_is_the_same_wherever_core_is(core: AtHome | Neighbour) -> None:
    with telemetry.with_trace("a" * 32):
        answer = siblings.get("core", MINJI, asker="chat", acting_for="junho")
    assert answer == (200, {"id": "minji"})
    ((path, headers),) = core.asked
    assert path == MINJI
    assert headers["authorization"] == "Bearer token 1"
    assert headers["doran-acting-for"] == "junho"
    assert headers["traceparent"].startswith(f"00-{'a' * 32}-")


def test_who_asks_in_no_name_shows_no_token(core: AtHome | Neighbour) -> None:
    siblings.get("core", MINJI)
    assert not {"authorization", "doran-acting-for"} & core.asked[0][1].keys()


def test_a_refusal_comes_back_as_it_was_said(core: AtHome | Neighbour) -> None:
    if isinstance(core, Neighbour):
        core.always = Says(404, b'{"code":"not_found"}')
    assert siblings.get("core", "/api/core/users/nobody/") == (404, {"code": "not_found"})


@pytest.mark.parametrize(
    "says",
    [
        Says(body=b"<html>"),
        Says(body=b'{"id": "minji"'),
        Says(body=b"{}", headers={"Content-Length": "9"}),
        Says(500, b"{}"),
        Says(503, b"{}"),
        Says(429, b"{}"),
        Says(302, b"", {"Location": "/api/core/elsewhere/"}),
        Says(body=json.dumps("x" * 2_000_000).encode()),
        Says(hangs_up=True),
        Says(wait=30),
        Says(drip=0.02, body=json.dumps("x" * 1000).encode()),
    ],
    ids=lambda says: f"{says.status}-{len(says.body)}-{says.wait}-{says.drip}-{says.hangs_up}",
)
def test_a_sibling_that_does_not_answer_well_is_unavailable(neighbour: Neighbour, says: Says) -> None:
    neighbour.always = says
    is_unavailable(seconds=0.4)


def test_an_endless_row_of_headers_is_given_up_in_time(neighbour: Neighbour) -> None:
    """Each of them comes soon enough; all of them never end."""
    neighbour.always = Says(headers={f"X-{number}": "x" for number in range(1000)}, drip=0.02)
    begun = time.monotonic()
    is_unavailable(seconds=0.3)
    assert time.monotonic() - begun < 10


def test_a_sibling_that_is_gone_is_unavailable(neighbour: Neighbour) -> None:
    neighbour.close()
    is_unavailable()


def test_a_sibling_nobody_set_up_is_unavailable_and_not_there() -> None:
    assert not siblings.is_there("core")
    is_unavailable()


def test_a_sibling_is_there_in_this_process_or_at_an_address(core: AtHome | Neighbour) -> None:
    assert siblings.is_there("core")


def test_a_sibling_in_this_process_that_fails_is_unavailable_too(at_home: AtHome) -> None:
    siblings.register_local("core", lambda question: (503, b"{}"))
    is_unavailable()


@pytest.mark.parametrize(
    "path", ["", "//evil.example/", "api/core/", "/api/core/#x", "/a b/", "/a\r\nX: y/", "@evil.example/"]
)
def test_only_a_path_of_ours_is_asked(neighbour: Neighbour, path: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        siblings.get("core", path)
    assert neighbour.asked == []


@pytest.mark.parametrize("name", [".", ".."])
def test_an_id_of_dots_is_nobody_and_leads_nowhere_else(neighbour: Neighbour, name: str) -> None:
    assert siblings.get("core", f"/api/core/users/{name}/") == (404, None)
    assert neighbour.asked == []


def test_a_new_address_is_asked_from_then_on(neighbour: Neighbour) -> None:
    siblings.get("core", MINJI)
    with next_door() as moved:
        siblings.get("core", MINJI)
        assert (len(neighbour.asked), len(moved.asked)) == (1, 1)


def test_who_stops_meanwhile_hears_that_it_is_unavailable(neighbour: Neighbour) -> None:
    neighbour.always = Says(wait=30)
    refused: list[Problem] = []
    asking = threading.Thread(target=lambda: refused.append(is_unavailable(seconds=60)))
    config.use(config.current().replace(sibling_seconds=60.0))
    asking.start()
    while not neighbour.asked:
        pass
    siblings.close()
    asking.join(30)
    assert len(refused) == 1


def test_what_is_told_comes_with_its_words_and_a_token_that_is_believed(at_home: AtHome) -> None:
    heard: list[Question] = []

    def chat(question: Question) -> tuple[int, bytes]:
        heard.append(question)
        return (401, b'{"code":"not_authenticated"}') if len(heard) == 1 else (204, b"")

    siblings.register_local("chat", chat)
    try:
        told = siblings.tell("chat", "/api/chat/screens/", b'{"frame":{}}', asker="ai")
    finally:
        siblings.register_local("chat", None)
    assert told == (204, None)
    assert [(one.method, one.body, one.headers["Content-Type"]) for one in heard] == [
        ("POST", b'{"frame":{}}', "application/json")
    ] * 2
    assert heard[1].headers["Authorization"].startswith("Bearer token")
