"""Events arrive by the inbox: handled twice happens once, and what cannot be handled waits."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest
from django.db import OperationalError, connections, transaction

from doran.contracts import events
from doran.contracts.errors import Problem
from doran.kernel import clock, telemetry
from doran.kernel.bus import Unavailable
from doran.kernel.bus.memory import MemoryBus
from doran.kernel.dead_letters import Letters
from doran.kernel.inbox import Consumer, Outcome, Replayed, Replayer, handle_once
from doran.kernel.inbox import consumer as hearing
from doran.kernel.telemetry.logs import JsonFormatter
from tests.kernel.conftest import Crash
from tests.kernel.shop import DeadLetter, Heard, Inbox, deleted, envelope, erased, greetings, hear, heard, sent

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.judged]

SORA = "sora-minji"
AT_ONCE = (0.0, 0.0)


def consumer(*, effect: Callable[[events.MessageCreated], object] = hear, **more: object) -> Consumer:
    return Consumer("shop", {"message.created": effect}, Inbox, DeadLetter, pauses=AT_ONCE, **more)  # type: ignore[arg-type]


class Sick:
    """An effect that fails for some messages until it is healed, after it has already written."""

    def __init__(self, *numbers: int, wrong: Exception | None = None) -> None:
        self.numbers, self.tries = set(numbers), 0
        self.wrong = wrong or ValueError("비밀 안녕")

    def __call__(self, event: events.MessageCreated) -> None:
        self.tries += 1
        hear(event)
        if event.seq in self.numbers:
            raise self.wrong


# -- once -------------------------------------------------------------------------------------------


def test_an_event_that_arrives_twice_takes_effect_once() -> None:
    arrived = envelope(sent(1))
    assert consumer().handle(arrived) is Outcome.HANDLED
    assert consumer().handle(arrived) is Outcome.REPEATED
    assert heard() == greetings(1)


def test_two_listeners_each_hear_an_event_once() -> None:
    arrived = envelope(sent(1))
    assert handle_once(Inbox, DeadLetter, "one", arrived, hear) is Outcome.HANDLED
    assert handle_once(Inbox, DeadLetter, "two", arrived, hear) is Outcome.HANDLED
    assert handle_once(Inbox, DeadLetter, "two", arrived, hear) is Outcome.REPEATED
    assert heard() == greetings(1, 1)


def test_one_event_in_many_hands_at_once_takes_effect_once() -> None:
    arrived = envelope(sent(1))
    together = threading.Barrier(8)

    def handle(_: int) -> Outcome:
        together.wait()
        try:
            return consumer().handle(arrived)
        finally:
            connections["shop"].close()

    with ThreadPoolExecutor(8) as hands:
        outcomes = list(hands.map(handle, range(8)))
    assert outcomes.count(Outcome.HANDLED) == 1
    assert outcomes.count(Outcome.REPEATED) == 7
    assert heard() == greetings(1)


def test_a_crash_between_effect_and_mark_undoes_both(crash_at: Callable[[str], None]) -> None:
    arrived = envelope(sent(1))
    crash_at("inbox.before_commit")
    with pytest.raises(Crash):
        consumer().handle(arrived)
    assert heard() == []
    assert consumer().handle(arrived) is Outcome.HANDLED
    assert heard() == greetings(1)


def test_the_effect_belongs_to_the_trace_of_its_event() -> None:
    traces: list[str] = []
    arrived = msgspec.structs.replace(envelope(sent(1)), trace_id="c" * 32)
    consumer(effect=lambda event: traces.append(telemetry.trace_id())).handle(arrived)
    assert traces == ["c" * 32]


# -- failing ----------------------------------------------------------------------------------------


def test_an_effect_that_fails_for_a_moment_is_tried_again() -> None:
    tries = []

    def flaky(event: events.MessageCreated) -> None:
        hear(event)
        tries.append(event)
        if len(tries) < 3:
            raise OperationalError("database is locked")

    assert consumer(effect=flaky).handle(envelope(sent(1))) is Outcome.HANDLED
    assert heard() == greetings(1)
    assert not DeadLetter.objects.exists()


def test_an_event_that_cannot_be_handled_waits_and_leaves_no_effect() -> None:
    sick, arrived = Sick(1), envelope(sent(1))
    ear = consumer(effect=sick)
    assert ear.handle(arrived) is Outcome.BURIED
    assert sick.tries == 1 + len(AT_ONCE)
    assert heard() == []
    [letter] = ear.letters.listed()
    assert (letter.event_id, letter.event_type, letter.subscription) == (arrived.event_id, "message.created", "shop")


def test_its_redelivery_changes_nothing() -> None:
    ear, arrived = consumer(effect=Sick(1)), envelope(sent(1))
    ear.handle(arrived)
    before = ear.letters.listed()
    assert ear.handle(arrived) is Outcome.WAITING
    assert ear.letters.listed() == before


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (ValueError("비밀"), "ValueError"),
        (Problem("not_found", "비밀"), "Problem not_found"),
        (OperationalError("비밀"), "OperationalError"),
    ],
)
def test_the_reason_names_class_and_place_and_never_content(
    wrong: Exception, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    ear = consumer(effect=Sick(1, wrong=wrong), patience=0)
    with caplog.at_level(logging.DEBUG):
        ear.handle(envelope(sent(1)))
    [letter] = ear.letters.listed()
    assert letter.reason.startswith(f"{word} at ")
    assert "test_inbox.py" in letter.reason
    lines = str([json.loads(JsonFormatter().format(record)) for record in caplog.records])
    assert "could not be handled" in lines
    for secret in ("비밀", "안녕", "minji"):
        assert secret not in letter.reason
        assert secret not in lines


@pytest.mark.parametrize(
    "strange",
    [
        envelope(sent(1), event_type="message.smelled"),
        envelope(sent(1), data=b'{"content": "hello"}'),
        envelope(sent(1), data=b"{"),
    ],
    ids=["unknown type", "wrong shape", "not json"],
)
def test_an_event_nobody_understands_waits_for_somebody_who_does(strange: events.Envelope) -> None:
    ear = consumer()
    assert ear.handle(strange) is Outcome.BURIED
    assert len(ear.letters.listed()) == 1
    assert heard() == []


def test_a_failing_effect_does_not_disturb_those_who_share_the_transaction() -> None:
    def shared(change: Callable[[], object]) -> object:
        with transaction.atomic(using="shop"):
            Heard.objects.create(key="others", what="something else")
            return change()

    assert consumer(effect=Sick(1), run_in_transaction=shared).handle(envelope(sent(1))) is Outcome.BURIED
    assert heard() == []
    assert len(heard("others")) == 2 + len(AT_ONCE)  # each try, and the burial


def test_trouble_of_the_database_is_shown_to_whoever_keeps_the_door() -> None:
    seen: list[type[Exception]] = []

    def watched(change: Callable[[], object]) -> object:
        try:
            return change()
        except Exception as wrong:
            seen.append(type(wrong))
            raise

    full = Sick(1, wrong=OperationalError("full"))
    consumer(effect=full, run_in_transaction=watched, patience=0).handle(envelope(sent(1)))
    consumer(effect=Sick(2), run_in_transaction=watched).handle(envelope(sent(2, SORA)))
    assert seen == [OperationalError] * (1 + len(AT_ONCE))


def test_when_the_database_is_away_nothing_is_claimed() -> None:
    def shut(change: Callable[[], object]) -> object:
        raise OperationalError("away")

    arrived = envelope(sent(1))
    with pytest.raises(Unavailable):
        consumer(run_in_transaction=shut).handle(arrived)
    assert not DeadLetter.objects.exists()
    assert consumer().handle(arrived) is Outcome.HANDLED


def test_events_that_met_an_absence_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another copy may have handled them meanwhile."""

    def shut(change: Callable[[], object]) -> object:
        raise OperationalError("away")

    monkeypatch.setattr(hearing, "_TROUBLED_AT_MOST", 3)
    ear = consumer(run_in_transaction=shut)
    for number in range(8):
        with pytest.raises(Unavailable):
            ear.handle(envelope(sent(number)))
    assert len(ear._troubled) == 3


def test_when_the_effect_has_no_room_it_waits_outside() -> None:
    def busy(change: Callable[[], object]) -> object:
        raise Problem("unavailable", retry_after=1)

    with pytest.raises(Unavailable):
        consumer(run_in_transaction=busy).handle(envelope(sent(1)))
    assert heard() == []


@pytest.mark.parametrize("wrong", [OperationalError("gone away"), Problem("unavailable", retry_after=1)])
def test_a_restart_of_the_database_buries_nothing(wrong: Exception) -> None:
    sick, arrived = Sick(1, wrong=wrong), envelope(sent(1))
    ear = consumer(effect=sick)
    for _ in range(ear.patience):
        with pytest.raises(Unavailable):
            ear.handle(arrived)
    assert ear.letters.listed() == []
    sick.numbers.clear()
    assert ear.handle(arrived) is Outcome.HANDLED
    assert heard() == greetings(1)


def test_what_the_database_refuses_for_good_is_buried_at_last() -> None:
    ear, arrived = consumer(effect=Sick(1, wrong=OperationalError("no such column")), patience=2), envelope(sent(1))
    for _ in range(2):
        with pytest.raises(Unavailable):
            ear.handle(arrived)
    assert ear.handle(arrived) is Outcome.BURIED
    assert [letter.reason.partition(" ")[0] for letter in ear.letters.listed()] == ["OperationalError"]


@pytest.mark.parametrize(
    "stranger",
    [
        msgspec.structs.replace(envelope(sent(1)), event_id="not-one-of-ours"),
        msgspec.structs.replace(envelope(sent(1)), key="k\0" * 300),
    ],
    ids=["no uuid", "a key no column holds"],
)
def test_an_envelope_of_a_foreign_make_is_handled_once_or_waits(stranger: events.Envelope) -> None:
    assert consumer().handle(stranger) is Outcome.HANDLED
    assert consumer().handle(stranger) is Outcome.REPEATED
    other = msgspec.structs.replace(stranger, event_id=stranger.event_id[::-1])
    assert consumer(effect=Sick(1)).handle(other) is Outcome.BURIED
    assert consumer().replay() == Replayed(handled=1, stuck=0)
    assert heard() == greetings(1, 1)


def test_what_another_process_handled_meanwhile_is_not_put_aside() -> None:
    arrived, tries = envelope(sent(1)), []

    def busy_then_too_late(change: Callable[[], object]) -> object:
        tries.append(change)
        if len(tries) <= len(AT_ONCE):
            raise Problem("unavailable")
        if len(tries) == 1 + len(AT_ONCE):
            consumer().handle(arrived)
            raise Problem("unavailable")
        return change()

    assert consumer(run_in_transaction=busy_then_too_late, patience=0).handle(arrived) is Outcome.REPEATED
    assert not DeadLetter.objects.exists()
    assert heard() == greetings(1)


# -- waiting behind ---------------------------------------------------------------------------------


def test_later_events_of_a_key_wait_behind_and_other_keys_go_on() -> None:
    ear = consumer(effect=Sick(1))
    outcomes = [ear.handle(envelope(sent(number))) for number in (1, 2, 3)]
    assert outcomes == [Outcome.BURIED, Outcome.WAITING, Outcome.WAITING]
    assert ear.handle(envelope(sent(2, SORA))) is Outcome.HANDLED
    assert (heard(), heard(SORA)) == ([], greetings(2))
    assert [letter.key for letter in ear.letters.listed()] == ["minji-junho"] * 3


def test_other_subscriptions_go_on() -> None:
    one, two = replace(consumer(effect=Sick(1)), subscription="one"), replace(consumer(), subscription="two")
    arrived = envelope(sent(1))
    assert (one.handle(arrived), two.handle(arrived)) == (Outcome.BURIED, Outcome.HANDLED)
    assert [letter.subscription for letter in one.letters.listed()] == ["one"]
    assert two.letters.listed() == []


def test_an_event_handled_before_is_not_put_behind_later_trouble() -> None:
    early = envelope(sent(2))
    ear = consumer(effect=Sick(1))
    ear.handle(early)
    ear.handle(envelope(sent(1)))
    assert ear.handle(early) is Outcome.REPEATED
    assert len(ear.letters.listed()) == 1


# -- replay, discard --------------------------------------------------------------------------------


def test_a_replay_after_the_repair_happens_in_order_and_once() -> None:
    sick = Sick(1)
    ear = consumer(effect=sick)
    arrived = [envelope(sent(number)) for number in (1, 2, 3)]
    for one in arrived:
        ear.handle(one)
    sick.numbers.clear()
    assert ear.replay() == Replayed(handled=3, stuck=0)
    assert heard() == greetings(1, 2, 3)
    assert ear.letters.listed() == []
    assert [ear.handle(one) for one in arrived] == [Outcome.REPEATED] * 3
    assert ear.handle(envelope(sent(4))) is Outcome.HANDLED


def test_a_replay_stops_a_key_at_the_first_that_fails_again() -> None:
    sick = Sick(1, 2)
    ear = consumer(effect=sick)
    for number in (1, 2, 3):
        ear.handle(envelope(sent(number)))
        ear.handle(envelope(sent(number, SORA)))
    sick.numbers = {2}
    sick.wrong = KeyError("비밀")
    assert ear.replay() == Replayed(handled=2, stuck=2)
    assert (heard(), heard(SORA)) == (greetings(1), greetings(1))
    assert [letter.reason.partition(" ")[0] for letter in ear.letters.listed()][:2] == ["KeyError", "KeyError"]
    assert len(ear.letters.listed()) == 4


def test_a_replay_can_be_for_some_only() -> None:
    sick = Sick(1)
    ear = consumer(effect=sick)
    for key in ("minji-junho", SORA):
        ear.handle(envelope(sent(1, key)))
    sick.numbers.clear()
    [number] = [letter.id for letter in ear.letters.listed() if letter.key == SORA]
    assert ear.replay([number]) == Replayed(handled=1, stuck=0)
    assert (heard(), heard(SORA)) == ([], greetings(1))
    assert ear.replay([number]) == Replayed(handled=0, stuck=0)


def test_a_replay_that_meets_a_crash_leaves_the_letter(crash_at: Callable[[str], None]) -> None:
    sick = Sick(1)
    ear = consumer(effect=sick)
    ear.handle(envelope(sent(1)))
    sick.numbers.clear()
    crash_at("inbox.before_commit")
    with pytest.raises(Crash):
        ear.replay()
    assert (heard(), len(ear.letters.listed())) == ([], 1)
    ear.replay()
    assert (heard(), ear.letters.listed()) == (greetings(1), [])


def test_a_letter_whose_event_took_effect_after_all_is_only_thrown_away() -> None:
    sick, arrived = Sick(1), envelope(sent(1))
    ear = consumer(effect=sick)
    ear.handle(arrived)
    Inbox.objects.create(event_id=arrived.event_id, subscription="shop", handled_at=clock.now())
    sick.numbers.clear()
    ear.replay()
    assert (heard(), ear.letters.listed()) == ([], [])


def test_a_letter_of_a_type_without_handler_stays() -> None:
    consumer(effect=Sick(1)).handle(envelope(sent(1)))
    deaf = Consumer("shop", {}, Inbox, DeadLetter)
    assert deaf.replay() == Replayed(handled=0, stuck=1)
    assert len(deaf.letters.listed()) == 1


def test_what_is_discarded_is_gone_and_those_behind_it_go_on() -> None:
    ear = consumer(effect=Sick(1))
    for number in (1, 2, 3):
        ear.handle(envelope(sent(number)))
    first, second, _ = ear.letters.listed()
    assert ear.letters.discard([second.id]) == 1
    assert ear.replay_asked() == Replayed(handled=0, stuck=0)
    assert ear.letters.discard([first.id, second.id]) == 1
    assert ear.letters.discard([first.id]) == 0
    assert ear.replay_asked() == Replayed(handled=1, stuck=0)
    assert heard() == greetings(3)


def test_a_wish_is_fulfilled_by_whoever_runs() -> None:
    """An operator's command only asks; the service that runs tries, and what fails again waits for the next wish."""
    sick = Sick(1)
    ear = consumer(effect=sick)
    for number in (1, 2):
        ear.handle(envelope(sent(number)))
    replayer = Replayer(ear, poll=0.01)
    replayer.start()
    operator = Letters(DeadLetter, "shop")
    assert len(operator.ask()) == 2
    until(lambda: not operator.asked())
    assert len(operator.listed()) == 2
    sick.numbers.clear()
    operator.ask()
    until(lambda: not operator.listed())
    replayer.stop()
    assert heard() == greetings(1, 2)


def test_a_replayer_outlives_trouble_of_its_database() -> None:
    troubles = [OperationalError("gone away"), OperationalError("still away")]

    def flaky(event: events.MessageCreated) -> None:
        if troubles:
            raise troubles.pop()
        hear(event)

    consumer(effect=Sick(1)).handle(envelope(sent(1)))
    replayer = Replayer(consumer(effect=flaky), poll=0.01)
    replayer.start()
    Letters(DeadLetter, "shop").ask()
    until(lambda: heard() == greetings(1))
    replayer.stop()
    assert (troubles, consumer().letters.listed()) == ([], [])


def until(true: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


# -- forgetting -------------------------------------------------------------------------------------


def test_a_deleted_message_is_emptied_in_the_dead_letters_and_in_their_replay() -> None:
    sick = Sick(1, 2)
    ear = consumer(effect=sick)
    for number in (1, 2):
        ear.handle(envelope(sent(number)))
    ear.handle(envelope(sent(1, SORA)))
    assert ear.handle(envelope(deleted(1))) is Outcome.UNASKED
    stored = [row.envelope for row in DeadLetter.objects.order_by("id")]
    assert ["안녕" in text for text in stored] == [False, True, True]

    contents: list[str | None] = []
    replace(ear, handlers={"message.created": lambda event: contents.append(event.content)}).replay()
    assert contents == [None, *greetings(2), *greetings(1)]


def test_a_deletion_empties_also_where_it_must_wait_itself() -> None:
    ear = consumer(effect=Sick(1))
    both = replace(ear, handlers={**ear.handlers, "message.deleted": lambda event: None})
    both.handle(envelope(sent(1)))
    assert both.handle(envelope(deleted(1))) is Outcome.WAITING
    assert "안녕" not in "".join(row.envelope for row in DeadLetter.objects.all())
    assert len(both.letters.listed()) == 2


def test_an_erased_person_leaves_no_word_in_the_dead_letters() -> None:
    ear = consumer(effect=Sick(1))
    ear.handle(envelope(sent(1)))
    sora_wrote = msgspec.structs.replace(sent(1, SORA), sender_id="sora")
    ear.handle(envelope(sora_wrote))
    ear.handle(envelope(erased("minji")))
    stored = {row.key: row.envelope for row in DeadLetter.objects.all()}
    assert "안녕" not in stored["minji-junho"]
    assert "안녕" in stored[SORA]


def test_a_listener_to_messages_also_hears_of_deletions() -> None:
    bus = MemoryBus()
    ear = consumer(effect=Sick(1))
    ear.attach(bus)
    bus.start()
    bus.publish([envelope(sent(1)), envelope(deleted(1))])
    bus.stop()
    assert bus.wants(envelope(erased("minji")))
    assert "안녕" not in DeadLetter.objects.get().envelope


def test_who_listens_to_nothing_personal_is_not_bothered_with_deletions() -> None:
    bus = MemoryBus()
    Consumer("shop", {"message.read": lambda event: None}, Inbox, DeadLetter).attach(bus)
    assert not bus.wants(envelope(deleted(1)))


def test_what_does_not_concern_a_listener_costs_nothing_and_leaves_no_mark() -> None:
    bus = MemoryBus()
    ear = consumer(concerns=lambda said: said.key == SORA)
    ear.attach(bus)
    bus.start()
    bus.publish([envelope(sent(1)), envelope(sent(2, SORA))])
    bus.stop()
    assert (bus.wants(envelope(sent(1))), bus.wants(envelope(sent(2, SORA)))) == (False, True)
    assert ear.handle(envelope(sent(3))) is Outcome.UNASKED
    assert (heard(), heard(SORA), Inbox.objects.count()) == ([], greetings(2), 1)


# -- pruning ----------------------------------------------------------------------------------------


def test_old_marks_are_forgotten_and_new_ones_kept() -> None:
    ear = consumer()
    arrived = [envelope(sent(number)) for number in range(5)]
    for one in arrived:
        ear.handle(one)
    ids = list(Inbox.objects.order_by("id").values_list("id", flat=True))
    Inbox.objects.filter(id__in=ids[:3]).update(handled_at=clock.now() - timedelta(days=31))
    assert ear.prune(batch=2) == 3
    assert ear.prune(batch=2) == 0
    assert Inbox.objects.count() == 2
    assert ear.handle(arrived[4]) is Outcome.REPEATED


def test_the_inbox_stays_small_by_itself() -> None:
    consumer().handle(envelope(sent(1)))
    Inbox.objects.update(handled_at=clock.now() - timedelta(days=31))
    assert consumer().handle(envelope(sent(2))) is Outcome.HANDLED
    assert Inbox.objects.count() == 1


def test_an_inbox_that_cannot_be_pruned_still_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> int:
        raise OperationalError("away")

    monkeypatch.setattr(Consumer, "prune", away)
    assert consumer().handle(envelope(sent(1))) is Outcome.HANDLED
