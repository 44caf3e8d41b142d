"""What was once said about an event stays true: within a version its schema only grows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from jsonschema import Draft202012Validator

from doran.contracts import events
from doran.contracts.events import EVENTS, FORMER, Envelope, Event
from doran.kernel import schemas
from doran.kernel.inbox import Consumer, Outcome, Replayed
from tests.kernel.shop import DeadLetter, Inbox, envelope, sent

PUBLISHED = Path(__file__).parents[2] / "docs" / "reference" / "schemas"
EVERY_EVENT = pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS)


@EVERY_EVENT
def test_the_published_schema_is_that_of_the_code(kind: type[Event]) -> None:
    path = PUBLISHED / schemas.file_name(kind)
    assert path.exists(), f"publish it: python -m doran.kernel.schemas {PUBLISHED.name}"
    assert schemas.differences(json.loads(path.read_text()), schemas.schema(kind)) == []
    assert path.read_text() == schemas.text(kind), "the schema has grown: publish it"


def test_every_version_that_was_ever_published_is_still_understood() -> None:
    known = [*EVENTS.values(), *(old for kinds in FORMER.values() for old in kinds)]
    assert {path.name for path in PUBLISHED.glob("*.json")} == set(map(schemas.file_name, known))


def test_the_names_of_the_envelope_are_kept_for_ever() -> None:
    names = ("event_type", "timestamp", "data", "event_id", "schema_version", "producer", "key", "trace_id")
    assert Envelope.__struct_fields__ == names


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


class Verse(msgspec.Struct, frozen=True):
    line: str


class Refrain(msgspec.Struct, frozen=True):
    line: str | None


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    line: str


def event(*fields: object, of: str = "Sung", **attributes: object) -> type[Event]:
    """A version of the event that says: Minji sang."""
    namespace = {"NAME": "user.sang", "KEY": "user_id", **attributes}
    return msgspec.defstruct(of, fields, bases=(Event,), frozen=True, namespace=namespace)  # type: ignore[arg-type, return-value]


def verse(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The part of an event after somebody changed it: of the same name."""
    kind.__name__ = "Verse"
    return kind


USER, SONG, VERSES = ("user_id", str), ("song", str), ("verses", int, 1)
MOOD = ("mood", Literal["glad", "sad"])
STARS = ("stars", Annotated[int, msgspec.Meta(ge=1, le=5)])
LINES, FIRST = ("lines", list[str]), ("first", Verse)
SUNG = (USER, SONG, MOOD, STARS, LINES, FIRST, VERSES)


def changed(*fields: tuple[object, ...], **attributes: object) -> type[Event]:
    """The event with these fields in place of those of the same name, or beside them."""
    new = {name: (name, *rest) for name, *rest in (*SUNG, *fields)}
    required = [one for one in new.values() if len(one) == 2]
    return event(*required, *(one for one in new.values() if len(one) > 2), **attributes)


def lacking(name: str) -> type[Event]:
    return event(*(one for one in SUNG if one[0] != name))


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (lacking("song"), "Sung.song is gone"),
        (lacking("verses"), "Sung.verses is gone"),
        (event(*(("tune", str) if one is SONG else one for one in SUNG)), "Sung.song is gone"),
        (changed(("song", int)), "Sung.song has another type"),
        (changed(("song", str | None)), "Sung.song has another type"),
        (changed(("tune", str)), "Sung.tune is required now"),
        (changed(("verses", int)), "Sung.verses is required now"),
        (changed(("song", str, "")), "Sung.song may be left out now"),
        (changed(("verses", int, 2)), "Sung.verses means something else where it is left out"),
        (changed(("mood", Literal["glad"])), "Sung.mood has another type"),
        (changed(("mood", Literal["glad", "sad", "wild"])), "Sung.mood has another type"),
        (changed(("stars", Annotated[int, msgspec.Meta(ge=1, le=4)])), "Sung.stars has another type"),
        (changed(("stars", Annotated[int, msgspec.Meta(ge=1, le=6)])), "Sung.stars has another type"),
        (changed(("stars", Annotated[int, msgspec.Meta(ge=2, le=5)])), "Sung.stars has another type"),
        (changed(("stars", int)), "Sung.stars has another type"),
        (changed(("lines", list[int])), "Sung.lines has another type"),
        (changed(("first", verse(Refrain))), "Verse.line has another type"),
        (changed(("first", verse(Closed))), "Verse is of another kind"),
        (changed(KEY="song"), "x-key changed"),
        (changed(of="Sang"), "$ref changed"),
    ],
    ids=[
        "removed", "optional one removed", "renamed", "retyped", "nullable", "new required", "required", "optional",
        "other default", "choice removed", "choice added", "upper bound lowered", "upper bound raised",
        "lower bound raised", "bounds dropped", "other items", "nullable inside", "closed inside", "other key",
        "other type of event",
    ],
)  # fmt: skip
def test_a_change_that_would_break_somebody_is_named_and_not_published(
    after: type[Event], said: str, singing: Callable[[type[Event]], list[str]], tmp_path: Path
) -> None:
    singing(changed())
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(schemas.Incompatible) as wrong:
        singing(after)
    assert f"user.sang: {said}" in str(wrong.value)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_an_event_may_grow_by_what_can_be_left_out(singing: Callable[[type[Event]], list[str]], tmp_path: Path) -> None:
    singing(changed())
    assert singing(changed(("key", str, "C"))) == ["user.sang.v1.json"]
    assert '"key"' in (tmp_path / "user.sang.v1.json").read_text()


def test_a_new_version_stands_beside_the_old(singing: Callable[[type[Event]], list[str]], tmp_path: Path) -> None:
    singing(changed())
    first = (tmp_path / "user.sang.v1.json").read_text()
    assert singing(event(USER, VERSION=2)) == ["user.sang.v2.json"]
    assert (tmp_path / "user.sang.v1.json").read_text() == first


# -- read by older and by newer code ------------------------------------------------------------------


def wrapped(kind: type[Event], version: int, data: bytes) -> Envelope:
    return msgspec.structs.replace(
        envelope(sent(1)), event_type=kind.NAME, schema_version=version, data=msgspec.Raw(data)
    )


@EVERY_EVENT
def test_a_consumer_of_today_reads_an_event_that_has_grown(kind: type[Event]) -> None:
    old = example(kind)
    grown = {**json.loads(events.encode(old)), "from_the_future": {"anything": [1, None]}}
    assert wrapped(kind, kind.VERSION, msgspec.json.encode(grown)).event() == old


@EVERY_EVENT
def test_a_consumer_that_has_grown_reads_the_events_of_today(kind: type[Event]) -> None:
    fields = [("new_field", str, "what it meant before")]
    newer = msgspec.defstruct(kind.__name__, fields, bases=(kind,), frozen=True)  # type: ignore[arg-type]
    read = msgspec.json.decode(events.encode(example(kind)), type=newer)
    assert (read.new_field, read.key()) == ("what it meant before", example(kind).key())


def example(kind: type[Event]) -> Event:
    """One that fits."""
    values: dict[type, object] = {str: "word", int: 1, bool: True}
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    made = {
        name: values.get(what, None if what not in values and "None" in str(what) else "text")
        for name, what in types.items()
    }  # type: ignore[call-overload]
    return kind(**made)


class Sang(Event, frozen=True):
    """Nobody says it any more."""

    NAME, KEY, VERSION = "user.sang", "user_id", 1
    user_id: str
    song: str

    def later(self) -> Event:
        return SangLater(self.user_id, [self.song])


class SangLater(Event, frozen=True):
    NAME, KEY, VERSION = "user.sang", "user_id", 2
    user_id: str
    songs: list[str]


@pytest.fixture
def second_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A house that says the second version and remembers the first."""
    monkeypatch.setattr(events, "EVENTS", {**EVENTS, SangLater.NAME: SangLater})
    monkeypatch.setattr(events, "FORMER", {Sang.NAME: (Sang,)})
    for kind in (Sang, SangLater):
        monkeypatch.setitem(events._decoders, kind, msgspec.json.Decoder(kind))


def test_a_former_version_is_brought_up_to_date(second_version: None) -> None:
    old = wrapped(Sang, 1, events.encode(Sang("minji", "봄비")))
    assert old.event() == SangLater("minji", ["봄비"])
    assert wrapped(Sang, 2, events.encode(SangLater("minji", ["봄비", "첫눈"]))).event() == SangLater(
        "minji", ["봄비", "첫눈"]
    )


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_that_never_was_is_refused(version: int) -> None:
    with pytest.raises(events.BadEvent, match="never said"):
        msgspec.structs.replace(envelope(sent(1)), schema_version=version).event()


def test_a_newer_version_waits_until_the_upgrade(
    database: str, second_version: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sung: list[Event] = []
    ear = Consumer("shop", {"user.sang": sung.append}, Inbox, DeadLetter, pauses=())
    newer = wrapped(Sang, 2, events.encode(SangLater("minji", ["봄비"])))
    with monkeypatch.context() as before:
        before.setattr(events, "EVENTS", {**EVENTS, Sang.NAME: Sang})
        assert ear.handle(newer) is Outcome.BURIED
        assert [letter.reason for letter in ear.letters.listed()] == ["NewerEvent: user.sang 2, understood up to 1"]
        assert ear.replay() == Replayed(handled=0, stuck=1)
    assert ear.replay() == Replayed(handled=1, stuck=0)
    assert sung == [SangLater("minji", ["봄비"])]


@pytest.fixture
def singing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Event]], list[str]]:
    """Publish a house in which this is what singing means."""

    def publish(kind: type[Event]) -> list[str]:
        monkeypatch.setattr(schemas, "PRODUCERS", {"core": (kind,)})
        monkeypatch.setattr(schemas, "EVENTS", {kind.NAME: kind})
        return schemas.publish(tmp_path)

    return publish
