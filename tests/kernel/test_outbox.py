"""Events leave by the outbox: said with their change or not at all, and never lost on the way."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest
from django.db import connections, transaction

from doran.contracts import events
from doran.kernel import clock, outbox, telemetry
from doran.kernel.bus import Unavailable
from doran.kernel.dead_letters import WAITS
from doran.kernel.lanes import LANES
from doran.kernel.outbox import Relay, sending
from doran.kernel.outbox import relay as relaying
from doran.kernel.telemetry.logs import JsonFormatter
from tests.kernel.conftest import Crash
from tests.kernel.shop import Courier, Outbox, deleted, envelope, erased, greetings, parked, put, say, sent, waiting

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.judged]

SORA = "sora-minji"


@pytest.fixture
def courier() -> Courier:
    return Courier()


@pytest.fixture
def relay(courier: Courier) -> Relay:
    """A relay whose passes the test makes itself."""
    return Relay(Outbox, courier, batch=3)


# -- saying -----------------------------------------------------------------------------------------


def test_an_event_is_said_when_its_change_commits(relay: Relay, courier: Courier) -> None:
    with telemetry.with_trace("a" * 32):
        say(sent(1))
    assert relay.publish_waiting() == 1
    assert waiting() == []
    taken = courier.taken[0]
    assert taken.event() == sent(1)
    assert (taken.event_type, taken.key, taken.producer) == ("message.created", "minji-junho", "shop")
    assert (taken.schema_version, taken.trace_id) == (1, "a" * 32)
    assert events.read_cloud_event(events.cloud_event(taken)) == taken


def test_an_event_of_a_change_that_is_undone_was_never_said(relay: Relay, courier: Courier) -> None:
    with transaction.atomic(using="shop"):
        Outbox.add(sent(1))
        transaction.set_rollback(True, using="shop")
    assert relay.publish_waiting() == 0
    assert courier.taken == []


def test_an_event_cannot_be_said_outside_of_a_change() -> None:
    with pytest.raises(transaction.TransactionManagementError, match=r"message\.created"):
        Outbox.add(sent(1))
    assert waiting() == []


@pytest.mark.parametrize(
    "event",
    [
        msgspec.structs.replace(sent(1), seq="one"),
        msgspec.structs.replace(sent(1), message_type="smell"),
        events.AiJobCompleted(job_id="j", kind="reply", completed_at="now"),
    ],
    ids=["wrong type", "wrong choice", "another service's"],
)
def test_what_does_not_fit_the_schema_is_not_said(event: events.Event) -> None:
    with pytest.raises(events.BadEvent) as wrong, transaction.atomic(using="shop"):
        Outbox.add(event)
    assert waiting() == []
    assert "안녕" not in str(wrong.value)


# -- publishing -------------------------------------------------------------------------------------


def test_events_of_one_conversation_leave_in_the_order_they_were_said(relay: Relay, courier: Courier) -> None:
    for number in range(1, 9):
        say(sent(number), sent(number, SORA))
    relay.publish_waiting()
    assert courier.contents() == greetings(*range(1, 9))
    assert courier.contents(SORA) == greetings(*range(1, 9))
    assert waiting() == []


def test_what_an_earlier_process_left_is_published_by_the_next(courier: Courier) -> None:
    say(sent(1), sent(2))
    relay = Relay(Outbox, courier)
    relay.start()
    assert relay.drain()
    relay.stop()
    assert courier.contents() == greetings(1, 2)


def test_a_commit_wakes_the_relay(courier: Courier) -> None:
    relay = Relay(Outbox, courier, poll=3600)
    relay.start()
    relay.drain()
    arrived = threading.Event()
    courier.publish = lambda envelopes: arrived.set() or frozenset()  # type: ignore[method-assign, func-returns-value]
    say(sent(1))
    assert arrived.wait(30)
    relay.stop()


def test_an_event_said_by_another_process_is_found_without_a_wake_up(courier: Courier) -> None:
    relay = Relay(Outbox, courier, poll=0.01)
    arrived = threading.Event()
    courier.publish = lambda envelopes: arrived.set() or frozenset()  # type: ignore[method-assign, func-returns-value]
    relay.start()
    put(sent(1))
    assert arrived.wait(30)
    relay.stop()


def test_nobody_is_bothered_with_events_that_nobody_wants(relay: Relay, courier: Courier) -> None:
    courier.wanted = {"message.deleted"}
    say(*(sent(number) for number in range(1, 8)), deleted(1))
    assert relay.publish_waiting() == 8
    assert [one.event_type for one in courier.taken] == ["message.deleted"]
    assert courier.calls == 1
    assert waiting() == []


def test_a_crash_before_the_outbox_knows_repeats_the_event_under_its_own_id(
    relay: Relay, courier: Courier, crash_at: Callable[[str], None]
) -> None:
    say(sent(1))
    crash_at("outbox.after_publish_before_mark")
    with pytest.raises(Crash):
        relay.publish_waiting()
    Relay(Outbox, courier).publish_waiting()
    first, again = courier.taken
    assert first == again
    assert waiting() == []


def test_an_event_that_commits_late_with_a_smaller_id_is_not_thrown_away(relay: Relay, courier: Courier) -> None:
    put(sent(1), id=1)
    put(sent(3), id=3)
    publish = courier.publish

    def meanwhile(envelopes: list[events.Envelope]) -> frozenset[str]:
        if not Outbox.objects.filter(id=2).exists() and not courier.taken:
            put(sent(1, SORA), id=2)
        return publish(envelopes)

    courier.publish = meanwhile  # type: ignore[method-assign, assignment]
    relay.publish_waiting()
    assert waiting() == [SORA]
    relay.publish_waiting()
    assert courier.contents(SORA) == greetings(1)


def test_rows_are_deleted_by_the_door_of_whoever_owns_the_database(courier: Courier) -> None:
    say(sent(1), sent(2))
    inside: list[bool] = []

    def door(change: Callable[[], object]) -> object:
        with transaction.atomic(using="shop"):
            before = len(waiting())
            done = change()
            inside.append(before > len(waiting()))
            return done

    Relay(Outbox, courier, run_in_transaction=door).publish_waiting()
    assert inside == [True]
    assert waiting() == []


def test_a_door_that_refuses_loses_nothing(courier: Courier) -> None:
    say(sent(1))

    def shut(change: Callable[[], object]) -> object:
        raise ConnectionError

    relay = Relay(Outbox, courier, run_in_transaction=shut)
    with pytest.raises(ConnectionError):
        relay.publish_waiting()
    assert not relay.drain()
    assert waiting() == ["minji-junho"]


# -- a bus in trouble -------------------------------------------------------------------------------


def test_a_bus_that_is_down_gets_everything_when_it_is_back(courier: Courier, impatient: None) -> None:
    relay = Relay(Outbox, courier, poll=0.01)
    courier.down = True
    relay.start()
    say(sent(1), sent(1, SORA))
    assert not relay.drain()
    assert courier.taken == []
    say(sent(2))
    courier.down = False
    assert relay.drain()
    relay.stop()
    assert courier.contents() == greetings(1, 2)
    assert courier.contents(SORA) == greetings(1)


def test_an_event_that_is_not_taken_holds_up_only_its_own_key(relay: Relay, courier: Courier, impatient: None) -> None:
    courier.refuses = {SORA}
    for number in range(1, 5):
        say(sent(number, SORA), sent(number))
    assert relay.publish_waiting() == 4
    assert courier.contents() == greetings(1, 2, 3, 4)
    assert waiting() == [SORA] * 4
    courier.refuses = set()
    relay.publish_waiting()
    assert courier.contents(SORA) == greetings(1, 2, 3, 4)


def test_a_bus_that_takes_nothing_does_not_fill_the_memory(
    relay: Relay, courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a long row of keys only so many are remembered; each pass ends there, and none is lost."""
    monkeypatch.setattr(relaying, "_HELD_AT_MOST", 20)
    relay._batch = 10
    keys = [f"key-{number}" for number in range(100)]
    courier.refuses = set(keys)
    for key in keys:
        say(sent(1, key))
    with pytest.raises(Unavailable):
        relay.publish_waiting()
    assert len(relay._held) <= 30
    assert len(waiting()) == 100


def test_what_another_copy_has_published_is_not_remembered_for_ever(
    relay: Relay, courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    courier.refuses = {SORA}
    say(sent(1, SORA), sent(1))
    relay.publish_waiting()
    assert set(relay._held) == {SORA}
    Outbox.objects.all().delete()
    monkeypatch.setattr(relaying, "_FORGOTTEN_AFTER", -60.0)
    relay.publish_waiting()
    assert relay._held == {}


def test_what_is_held_up_is_left_alone_until_its_time(relay: Relay, courier: Courier) -> None:
    courier.refuses = {SORA}
    say(sent(1, SORA), sent(1))
    relay.publish_waiting()
    courier.refuses = set()
    calls = courier.calls
    assert relay.publish_waiting() == 0
    assert courier.calls == calls
    assert waiting() == [SORA]


def test_a_driver_that_stumbles_over_one_key_still_carries_the_others(
    relay: Relay, courier: Courier, impatient: None
) -> None:
    courier.trips_over = {SORA}
    say(sent(1, SORA), sent(1), sent(2, SORA))
    relay.publish_waiting()
    assert courier.contents() == greetings(1)
    assert waiting() == [SORA, SORA]
    courier.trips_over = set()
    relay.publish_waiting()
    assert courier.contents(SORA) == greetings(1, 2)


def test_a_bus_that_takes_nothing_is_reported(relay: Relay, courier: Courier) -> None:
    courier.refuses = {SORA, "minji-junho"}
    say(sent(1, SORA), sent(1))
    with pytest.raises(Unavailable):
        relay.publish_waiting()
    assert len(waiting()) == 2


@pytest.mark.parametrize("attempts", [1, 2, 5, 30, 10_000])
def test_pauses_grow_with_jitter_but_not_for_ever(attempts: int) -> None:
    pauses = {relaying.backoff(attempts, 5.0) for _ in range(50)}
    assert len(pauses) > 1
    assert all(0.5 * min(5.0, 0.05 * 2 ** min(attempts, 30)) <= pause <= 5.0 for pause in pauses)


# -- poison -----------------------------------------------------------------------------------------

POISON = [
    {"data": '{"content": "비밀"}'},
    {"data": "비밀 {"},
    {"event_type": "message.smelled"},
    {"schema_version": 2},
]


@pytest.mark.parametrize("columns", POISON, ids=["wrong shape", "not json", "unknown type", "newer"])
def test_a_poisoned_row_leaves_the_outbox_with_those_behind_it(relay: Relay, courier: Courier, columns: dict) -> None:
    put(sent(1, SORA), **columns)
    say(sent(2, SORA), sent(1), sent(2))
    relay.publish_waiting()
    say(sent(3, SORA))
    relay.publish_waiting()
    assert courier.contents() == greetings(1, 2)
    assert waiting() == []
    letters = parked().listed()
    assert [letter.key for letter in letters] == [SORA] * 3
    assert letters[0].reason != letters[1].reason == letters[2].reason == WAITS


def test_a_newer_version_is_named_as_the_reason(relay: Relay) -> None:
    put(sent(1), schema_version=2)
    relay.publish_waiting()
    assert [letter.reason for letter in parked().listed()] == [
        "NewerEvent: message.created 2, understood up to 1",
    ]


def test_what_is_parked_holds_its_key_after_a_restart(relay: Relay, courier: Courier) -> None:
    put(sent(1, SORA), data="{}")
    relay.publish_waiting()
    say(sent(2, SORA), sent(1))
    Relay(Outbox, courier).publish_waiting()
    assert (courier.contents(SORA), courier.contents()) == ([], greetings(1))
    assert len(parked().listed()) == 2


def test_what_was_poison_is_published_in_order_when_an_operator_asks_after_the_repair(
    relay: Relay, courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(events, "EVENTS", {})
        older.setattr(sending, "EVENTS", {})
        put(sent(1, SORA))
        relay.publish_waiting()
        say(sent(2, SORA))
        relay.publish_waiting()
        asked = parked().ask()
        relay.publish_waiting()
        assert len(asked) == 2
        assert (parked().ids(), parked().asked()) == (set(asked), [])
    relay.publish_waiting()
    assert courier.taken == []
    say(sent(3, SORA))
    parked().ask()
    relay.publish_waiting()
    relay.publish_waiting()
    assert courier.contents(SORA) == greetings(1, 2, 3)
    assert parked().listed() == []
    say(sent(4, SORA))
    relay.publish_waiting()
    assert courier.contents(SORA)[-1:] == greetings(4)


def test_what_is_given_up_lets_those_behind_it_go(relay: Relay, courier: Courier) -> None:
    put(sent(1, SORA), data="{}")
    say(*(sent(number, SORA) for number in range(2, 9)))
    relay.publish_waiting()
    first = parked().listed()[0]
    assert parked().discard([first.id]) == 1
    for _ in range(3):
        relay.publish_waiting()
    assert courier.contents(SORA) == greetings(*range(2, 9))
    assert parked().listed() == []


def test_a_bus_that_is_away_during_a_replay_loses_nothing(relay: Relay, courier: Courier, impatient: None) -> None:
    put(sent(1, SORA), data="{}")
    say(sent(2, SORA), sent(3, SORA))
    relay.publish_waiting()
    parked().discard([parked().listed()[0].id])
    courier.down = True
    with pytest.raises(Unavailable):
        relay.publish_waiting()
    courier.down, courier.refuses = False, {SORA}
    with pytest.raises(Unavailable):
        relay.publish_waiting()
    assert len(parked().listed()) == 2
    courier.refuses = set()
    relay.publish_waiting()
    assert courier.contents(SORA) == greetings(2, 3)


def test_an_event_over_which_the_bus_stumbles_for_ever_is_parked_at_last(
    relay: Relay, courier: Courier, impatient: None
) -> None:
    courier.trips_over = {SORA}
    say(sent(1, SORA), sent(2, SORA))
    for number in range(relaying._PATIENCE):
        say(sent(number))
        relay.publish_waiting()
        assert waiting() == [SORA, SORA]
    say(sent(99))
    relay.publish_waiting()
    assert waiting() == []
    letters = parked().listed()
    assert [letter.reason.partition(" ")[0] for letter in letters] == ["RuntimeError", "waits"]
    courier.trips_over = set()
    parked().ask()
    relay.publish_waiting()
    assert courier.contents(SORA) == greetings(1, 2)


def test_what_the_bus_will_never_take_is_parked_at_once(relay: Relay, courier: Courier) -> None:
    def refuse(envelopes: list[events.Envelope]) -> frozenset[str]:
        raise events.BadEvent("more than any reader would take")

    courier.publish = refuse  # type: ignore[method-assign, assignment]
    say(sent(1, SORA), sent(2, SORA))
    relay.publish_waiting()
    assert waiting() == []
    assert [letter.reason.partition(" ")[0] for letter in parked().listed()] == ["BadEvent", "waits"]


def test_a_bus_that_stumbles_over_everything_parks_nothing(relay: Relay, courier: Courier, impatient: None) -> None:
    courier.trips_over = {SORA, "minji-junho"}
    say(sent(1, SORA), sent(1))
    for _ in range(2 * relaying._PATIENCE):
        with pytest.raises(Unavailable):
            relay.publish_waiting()
    assert (waiting(), parked().listed()) == ([SORA, "minji-junho"], [])


def test_a_long_row_behind_poison_does_not_hide_the_others(relay: Relay, courier: Courier) -> None:
    put(sent(1, SORA), data="{}")
    say(*(sent(number, SORA) for number in range(2, 30)))
    say(sent(1))
    relay.publish_waiting()
    say(sent(2))
    relay.publish_waiting()
    assert courier.contents() == greetings(1, 2)
    assert courier.contents(SORA) == []
    assert len(parked().listed()) == 29


def test_a_relay_that_is_alone_asks_for_rows_and_deletes_them_and_nothing_else(relay: Relay) -> None:
    relay.publish_waiting()
    say(sent(1), sent(2))
    asked: list[str] = []

    def note(execute: Callable[..., object], sql: str, *rest: object) -> object:
        asked.append(sql.split()[0])
        return execute(sql, *rest)

    with connections["shop"].execute_wrapper(note):
        relay.publish_waiting()
    assert [word for word in asked if word not in ("BEGIN", "START")] == ["SELECT", "DELETE"]


def test_no_log_line_says_what_a_poisoned_event_says(
    relay: Relay, caplog: pytest.LogCaptureFixture, courier: Courier
) -> None:
    put(sent(1), data='{"content": "비밀"}')
    with caplog.at_level(logging.DEBUG):
        relay.publish_waiting()
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    assert [line["event"] for line in lines] == ["an event cannot be published and waits as a dead letter"]
    assert lines[0]["reason"].startswith("BadEvent at ")
    for seen in (str(lines), str(parked().listed())):
        assert "비밀" not in seen
    assert "minji" not in str(lines)


# -- forgetting -------------------------------------------------------------------------------------


def test_a_deletion_empties_what_still_waits_of_the_message(relay: Relay, courier: Courier) -> None:
    say(sent(1), sent(2), sent(1, SORA))
    say(deleted(1))
    relay.publish_waiting()
    assert courier.taken[0].event() == msgspec.structs.replace(sent(1), content=None)
    assert courier.taken[1].event() == sent(2)
    assert courier.contents(SORA) == greetings(1)
    assert courier.taken[3].event_type == "message.deleted"


def test_a_deletion_empties_also_what_is_parked(relay: Relay) -> None:
    put(sent(1), data="{}")
    say(sent(2), sent(3))
    relay.publish_waiting()
    say(deleted(2))
    words = [row.envelope for row in parked().rows().order_by("id")]
    assert ["안녕" in text for text in words] == [False, False, True]


def test_a_deletion_between_reading_and_parking_is_not_forgotten(relay: Relay, courier: Courier) -> None:
    put(sent(1), data="{}")
    say(sent(2), sent(1, SORA))
    publish = courier.publish

    def meanwhile(envelopes: list[events.Envelope]) -> frozenset[str]:
        if not courier.taken:
            say(deleted(2))
        return publish(envelopes)

    courier.publish = meanwhile  # type: ignore[method-assign, assignment]
    relay.publish_waiting()
    assert len(parked().listed()) == 3
    assert not any("안녕" in row.envelope for row in parked().rows())


def test_an_erased_person_leaves_nothing_that_waits(relay: Relay, courier: Courier) -> None:
    born = events.UserCreated(user_id="minji", username="minji", display_name="민지", created_at="now")
    other = events.UserCreated(user_id="junho", username="junho", display_name="준호", created_at="now")
    say(born, other, sent(1))
    say(erased("minji"))
    relay.publish_waiting()
    told = [bytes(one.data).decode() for one in courier.taken]
    assert "민지" not in "".join(told)
    assert "안녕" not in "".join(told)
    assert courier.taken[1].event() == other
    assert all(one.event() for one in courier.taken)


# -- watching ---------------------------------------------------------------------------------------


def test_a_relay_tells_how_many_wait_and_how_long(relay: Relay, courier: Courier) -> None:
    relay.publish_waiting()
    assert relay.state() == (0, 0.0, 0, LANES)
    put(sent(1), timestamp=clock.now() - timedelta(seconds=90))
    put(sent(2))
    count, age, parked, _ = relay.state()
    assert (count, parked) == (2, 0)
    assert 90 <= age < 120
    put(sent(1, SORA), data="{}")
    relay.publish_waiting()
    assert relay.state() == (0, 0.0, 1, LANES)


def test_health_names_what_waits_and_sends_nobody_away(courier: Courier) -> None:
    courier.down = True
    relay = Relay(Outbox, courier, poll=3600)
    relay.start()
    assert telemetry.health.ready()[1]["shop outbox"] == {"ok": True, "needed": False, "detail": ""}
    put(sent(1), timestamp=clock.now() - timedelta(seconds=90))
    assert relay._remark() == "1 waiting, the oldest for 90 s; 0 dead letters"
    relay.stop()
    assert "shop outbox" not in telemetry.health.ready()[1]


def test_stopping_leaves_what_waits_for_the_next_start(courier: Courier) -> None:
    relay = Relay(Outbox, courier, poll=3600)
    relay.start()
    relay.drain()
    relay.stop()
    say(sent(1))
    assert courier.taken == []
    assert waiting() == ["minji-junho"]


def test_a_relay_works_on_while_its_database_is_troubled(courier: Courier, impatient: None) -> None:
    relay = Relay(Outbox, courier, poll=0.01)
    say(sent(1))
    with connections["shop"].cursor() as cursor:
        cursor.execute("ALTER TABLE shop_outbox RENAME TO elsewhere")
    relay.start()
    relay._await_pass(time.monotonic() + 10)
    with connections["shop"].cursor() as cursor:
        cursor.execute("ALTER TABLE elsewhere RENAME TO shop_outbox")
    assert relay.drain()
    relay.stop()
    assert courier.contents() == greetings(1)


def test_rows_written_by_other_means_are_the_same(relay: Relay, courier: Courier) -> None:
    Outbox.objects.create(**outbox.row("shop", sent(1), trace_id="b" * 32))
    relay.publish_waiting()
    assert courier.taken[0].event() == sent(1)
    assert courier.taken[0].trace_id == "b" * 32
    assert msgspec.structs.replace(courier.taken[0], event_id="", timestamp="", producer="") == msgspec.structs.replace(
        envelope(sent(1)), event_id="", timestamp="", producer="", trace_id="b" * 32
    )
