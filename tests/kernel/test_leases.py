"""Copies of a relay share lanes: each in one hand, fairly, and none is left lying for long."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections, transaction
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doran.kernel import clock
from doran.kernel.lanes import LANES, lane
from doran.kernel.outbox import Relay
from doran.kernel.outbox.leases import ALL_LANES, Leases
from tests.kernel.shop import LABEL, Courier, Outbox, OutboxLease, greetings, parked, put, say, sent, waiting

pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.judged]

SORA = "sora-minji"
ROUNDS = 4  # a look each: enough for asking, handing over and noticing


def a_copy() -> Leases:
    return Leases(OutboxLease, seconds=10)


def looks(copy: Leases) -> frozenset[int]:
    """What this copy holds when it looks again now."""
    copy._look_at = float("-inf")
    return copy.held()


def settle(*copies: Leases) -> list[frozenset[int]]:
    for _ in range(ROUNDS):
        held = [looks(copy) for copy in copies]
    return held


def passes(seconds: float) -> None:
    """Time passes for those who are not heard of."""
    OutboxLease.objects.exclude(until=None).update(until=F("until") - timedelta(seconds=seconds))


def is_fair(held: list[frozenset[int]]) -> bool:
    """Every lane in exactly one hand, nobody with two more than another."""
    counts = Counter(number for mine in held for number in mine)
    sizes = [len(mine) for mine in held]
    return set(counts) == ALL_LANES and set(counts.values()) == {1} and max(sizes) - min(sizes) <= 1


# -- sharing ------------------------------------------------------------------------------------------


def test_who_is_alone_takes_every_lane_at_once() -> None:
    assert a_copy().held() == ALL_LANES


def test_between_looks_nobody_asks_the_database() -> None:
    copy = a_copy()
    copy.held()
    OutboxLease.objects.update(owner="somebody else")
    assert copy.held() == ALL_LANES
    assert looks(copy) == frozenset()


@pytest.mark.parametrize("copies", [2, 3, 5, LANES, LANES + 3])
def test_who_joins_gets_a_fair_share_and_no_lane_is_ever_in_two_hands(copies: int) -> None:
    here: list[Leases] = []
    for _ in range(copies):
        here.append(a_copy())
        for _ in range(ROUNDS):
            held = {one.owner: looks(one) for one in here}
            now_held = [one.held() for one in here]
            assert sum(map(len, now_held)) == len(frozenset().union(*now_held))
        assert is_fair(list(held.values()))


def test_who_leaves_gives_at_once() -> None:
    one, two = a_copy(), a_copy()
    settle(one, two)
    one.give_up()
    assert looks(two) == ALL_LANES


def test_a_copy_that_died_is_inherited_when_its_leases_end_and_not_before() -> None:
    dead, living = a_copy(), a_copy()
    mine = settle(dead, living)[1]
    passes(9)
    assert looks(living) == mine
    passes(2)
    assert looks(living) == ALL_LANES


def test_the_heirs_of_a_copy_share_what_it_left() -> None:
    dead, one, two = (a_copy() for _ in range(3))
    settle(dead, one, two)
    passes(8)
    for heir in (one, two):
        looks(heir)
    passes(3)
    assert (len(looks(one)), len(looks(two))) == (LANES // 2, LANES // 2)


def test_a_copy_that_asked_and_died_keeps_nothing_for_good() -> None:
    owner, asker = a_copy(), a_copy()
    looks(owner)
    looks(asker)
    assert len(looks(owner)) == LANES // 2
    passes(11)
    assert looks(owner) == ALL_LANES


def test_a_paused_owner_wakes_without_its_lanes() -> None:
    paused, other = a_copy(), a_copy()
    looks(paused)
    passes(11)
    assert looks(other) == ALL_LANES
    with transaction.atomic(using=LABEL):
        assert not paused.are_mine({1})
        assert other.are_mine(ALL_LANES)
    assert looks(paused) == frozenset()


def test_a_database_clock_that_was_ahead_for_a_while_holds_up_nobody() -> None:
    dead = a_copy()
    looks(dead)
    passes(-3600)
    assert looks(a_copy()) == ALL_LANES


def test_of_many_who_come_at_once_each_lane_gets_one() -> None:
    copies = [a_copy() for _ in range(4)]
    together = threading.Barrier(4)

    def come(copy: Leases) -> None:
        together.wait()
        try:
            looks(copy)
        finally:
            connections[LABEL].close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(come, copies))
    held = [copy.held() for copy in copies]
    assert sum(map(len, held)) == LANES
    assert is_fair(settle(*copies))


EVENTS = st.lists(
    st.tuples(st.sampled_from(["look", "look", "look", "join", "leave", "die", "time"]), st.integers(0, 7)),
    max_size=40,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS)
def test_whatever_happens_the_living_share_everything_in_the_end(story: list[tuple[str, int]]) -> None:
    OutboxLease.objects.all().delete()
    here = [a_copy()]
    for what, which in story:
        one = here[which % len(here)] if here else None
        if what == "join" and len(here) < LANES:
            here.append(a_copy())
        elif what == "look" and one:
            looks(one)
        elif what == "time":
            passes(4)
            for each in here:  # the living look often enough
                looks(each)
        elif what in ("leave", "die") and one:
            here.remove(one)
            if what == "leave":
                one.give_up()
        held = [each._mine for each in here]
        assert sum(map(len, held)) == len(frozenset().union(*held))
    here = here or [a_copy()]
    for _ in range(4):
        passes(4)
        settle(*here)
    assert is_fair(settle(*here))


# -- relays that share --------------------------------------------------------------------------------


class Street:
    """Two copies of one relay, with the buses that they carry to."""

    def __init__(self) -> None:
        self.couriers = [Courier(), Courier()]
        self.relays = [Relay(Outbox, courier, shared=True, batch=3) for courier in self.couriers]
        self.leases: list[Leases] = [relay._lanes for relay in self.relays]  # type: ignore[misc]

    def carry(self) -> None:
        for relay in self.relays:
            relay.publish_waiting()


def keys_of_every_lane() -> list[str]:
    found: dict[int, str] = {}
    number = 0
    while len(found) < LANES:
        found.setdefault(lane(f"room-{number}"), f"room-{number}")
        number += 1
    return [found[number] for number in range(LANES)]


def test_two_relays_carry_each_lane_in_order_and_nothing_twice() -> None:
    street = Street()
    settle(*street.leases)
    rooms = keys_of_every_lane()
    for number in range(1, 6):
        say(*(sent(number, room) for room in rooms))
    street.carry()
    one, two = street.couriers
    assert waiting() == []
    for room in rooms:
        assert sorted([one.contents(room), two.contents(room)]) == [[], greetings(1, 2, 3, 4, 5)]
    assert all(len({lane(envelope.key) for envelope in courier.taken}) == LANES // 2 for courier in street.couriers)


def test_a_relay_without_lanes_leaves_everything_to_the_others() -> None:
    street = Street()
    looks(street.leases[0])
    say(sent(1))
    assert street.relays[1].publish_waiting() == 0
    assert street.relays[1].state()[3] == 0
    assert waiting() == ["minji-junho"]


@pytest.mark.parametrize("how", ["left", "died", "gave"])
def test_who_gets_a_lane_knows_what_is_parked_there(how: str) -> None:
    street = Street()
    settle(*street.leases)
    street.carry()
    [owner] = [number for number in (0, 1) if lane(SORA) in street.leases[number].held()]
    put(sent(1, SORA), data="{}")
    street.carry()
    heir = 1 - owner
    if how == "left":
        street.leases[owner].give_up()
    elif how == "died":
        passes(11)
    else:
        OutboxLease.objects.filter(lane=lane(SORA)).update(wanted_by=street.leases[heir].owner)
        looks(street.leases[owner])
        OutboxLease.objects.update(wanted_by="")  # or it is asked for again at once
    assert lane(SORA) in looks(street.leases[heir])
    say(sent(2, SORA), sent(1))
    street.relays[heir].publish_waiting()
    street.relays[owner].publish_waiting()
    assert [courier.contents(SORA) for courier in street.couriers] == [[], []]
    assert (waiting(), len(parked().listed())) == ([], 2)


def test_who_was_paused_parks_nothing_that_is_not_its_own_any_more() -> None:
    street = Street()
    looks(street.leases[0])
    put(sent(1, SORA), data="{}")
    passes(11)
    looks(street.leases[1])
    street.relays[0].publish_waiting()
    assert (waiting(), parked().listed()) == ([SORA], [])
    street.relays[1].publish_waiting()
    assert (waiting(), len(parked().listed())) == ([], 1)


def test_who_was_paused_while_carrying_only_says_again_what_was_said() -> None:
    street = Street()
    one, two = street.couriers
    looks(street.leases[0])
    say(sent(1, SORA), sent(2, SORA))
    publish = one.publish

    def late(envelopes: list[object]) -> frozenset[str]:
        """Asleep between reading and handing over, for longer than a lease."""
        one.publish = publish  # type: ignore[method-assign]
        passes(11)
        looks(street.leases[1])
        say(sent(3, SORA))
        street.relays[1].publish_waiting()
        say(sent(4, SORA))
        return publish(envelopes)  # type: ignore[arg-type]

    one.publish = late  # type: ignore[method-assign, assignment]
    street.relays[0].publish_waiting()
    street.relays[1].publish_waiting()
    assert two.contents(SORA) == greetings(1, 2, 3, 4)
    assert one.contents(SORA) == greetings(1, 2)
    assert {each.event_id for each in one.taken} < {each.event_id for each in two.taken}
    assert waiting() == []


def test_a_relay_that_stops_gives_its_lanes_up() -> None:
    relay = Relay(Outbox, Courier(), shared=True, poll=0.01)
    relay.start()
    say(sent(1))
    assert relay.drain()
    assert relay.state()[3] == LANES
    relay.stop()
    assert set(OutboxLease.objects.values_list("owner", "until")) == {("", None)}


def test_a_lease_that_ended_long_ago_costs_no_waiting() -> None:
    looks(a_copy())
    OutboxLease.objects.update(until=clock.now() - timedelta(hours=1))
    assert looks(a_copy()) == ALL_LANES
