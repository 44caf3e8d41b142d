"""What was once said about an event stays true: within a version its schema only grows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator

from doran.contracts import events
from doran.contracts.events import EVENTS, Event
from doran.kernel import schemas
from tests.kernel.shop import sent

PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "schemas"
EVERY_EVENT = pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS)


@EVERY_EVENT
def test_the_published_schema_is_that_of_the_code(kind: type[Event]) -> None:
    path = PUBLISHED / schemas.file_name(kind)
    assert path.exists(), f"publish it: python -m doran.kernel.schemas {PUBLISHED.name}"
    assert schemas.differences(json.loads(path.read_text()), schemas.schema(kind)) == []
    assert path.read_text() == schemas.text(kind), "the schema has grown: publish it"


def test_no_event_that_was_published_has_disappeared() -> None:
    known = {schemas.file_name(kind).rpartition(".v")[0] for kind in EVENTS.values()}
    assert {path.name.rpartition(".v")[0] for path in PUBLISHED.glob("*.json")} == known


@EVERY_EVENT
def test_every_schema_is_valid_and_orders_by_a_field_it_has(kind: type[Event]) -> None:
    schema = schemas.schema(kind)
    Draft202012Validator.check_schema(schema)
    fields = schema["$defs"][kind.__name__]
    assert kind.KEY in fields["required"]


def test_an_event_that_is_said_fits_its_published_schema() -> None:
    published = json.loads((PUBLISHED / "message.created.v1.json").read_text())
    validator = Draft202012Validator(published)
    assert validator.is_valid(json.loads(events.encode(sent(1))))
    assert not validator.is_valid({**json.loads(events.encode(sent(1))), "seq": "one"})


class Sung(Event, frozen=True):
    """Minji sang."""

    NAME, KEY = "user.sang", "user_id"
    user_id: str
    song: str
    verses: int = 1


def changed(*fields: object, **attributes: object) -> type[Event]:
    """The event after somebody changed it."""
    namespace = {"NAME": "user.sang", "KEY": "user_id", **attributes}
    return msgspec.defstruct("Sung", fields, bases=(Event,), frozen=True, namespace=namespace)  # type: ignore[arg-type, return-value]


USER, SONG, VERSES = ("user_id", str), ("song", str), ("verses", int, 1)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (changed(USER, VERSES), ["Sung.song is gone"]),
        (changed(USER, ("tune", str), VERSES), ["Sung.song is gone", "Sung.tune is required now"]),
        (changed(USER, ("song", int), VERSES), ["Sung.song has another type"]),
        (changed(USER, ("song", str | None), VERSES), ["Sung.song has another type"]),
        (changed(USER, SONG, ("key", str), VERSES), ["Sung.key is required now"]),
        (changed(USER, SONG, ("verses", int)), ["Sung.verses is required now"]),
        (changed(USER, ("song", str, ""), VERSES), ["Sung.song may be left out now"]),
        (changed(USER, SONG, VERSES, KEY="song"), ["x-key changed"]),
    ],
    ids=["removed", "renamed", "retyped", "nullable", "new required", "required", "optional", "other key"],
)
def test_a_change_that_would_break_somebody_is_named_and_not_published(
    after: type[Event], said: list[str], singing: Callable[[type[Event]], list[str]], tmp_path: Path
) -> None:
    singing(Sung)
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(schemas.Incompatible) as wrong:
        singing(after)
    assert all(f"user.sang: {one}" in str(wrong.value) for one in said)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_an_event_may_grow_by_what_can_be_left_out(singing: Callable[[type[Event]], list[str]], tmp_path: Path) -> None:
    singing(Sung)
    assert singing(changed(USER, SONG, VERSES, ("key", str, "C"))) == ["user.sang.v1.json"]
    assert '"key"' in (tmp_path / "user.sang.v1.json").read_text()


def test_a_new_version_stands_beside_the_old(singing: Callable[[type[Event]], list[str]], tmp_path: Path) -> None:
    singing(Sung)
    first = (tmp_path / "user.sang.v1.json").read_text()
    assert singing(changed(USER, VERSION=2)) == ["user.sang.v2.json"]
    assert (tmp_path / "user.sang.v1.json").read_text() == first


@pytest.fixture
def singing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Event]], list[str]]:
    """Publish a house in which this is what singing means."""

    def publish(kind: type[Event]) -> list[str]:
        monkeypatch.setattr(schemas, "PRODUCERS", {"core": (kind,)})
        monkeypatch.setattr(schemas, "EVENTS", {kind.NAME: kind})
        return schemas.publish(tmp_path)

    return publish
