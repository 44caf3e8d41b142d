"""From rows to the bus: checked, in order per key, and what became of each key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from doran.contracts.events import EVENTS, BadEvent, Envelope, UnknownEvent
from doran.kernel.bus import Bus, Unavailable
from doran.kernel.outbox.waiting import Row


@dataclass(slots=True)
class Stuck:
    """The rows of a key from the first that could not go, and what is wrong with that one.

    Nothing is wrong with it where the bus only took no more; `is_hopeless` says that no bus will
    ever see it.
    """

    rows: list[Row]
    wrong: Exception | None = None
    is_hopeless: bool = False


@dataclass(slots=True)
class Sent:
    """What became of some rows: those that are gone, and each key that is stuck."""

    gone: list[Row] = field(default_factory=list)
    stuck: dict[str, Stuck] = field(default_factory=dict)


def send(rows: Sequence[Row], service: str, bus: Bus) -> Sent:
    """Hand the rows to the bus, except those that nobody wants. Raises `Unavailable` when it takes nothing."""
    envelopes, bad = _checked(rows, service, bus)
    taken, stumbles = _hand_over(list(envelopes.values()), bus)
    sent = Sent()
    for row in rows:
        if row.key in sent.stuck:
            sent.stuck[row.key].rows.append(row)
        elif row.id in bad:
            sent.stuck[row.key] = Stuck([row], bad[row.id], is_hopeless=True)
        elif row.id in envelopes and envelopes[row.id].event_id not in taken:
            wrong = stumbles.get(row.key)
            sent.stuck[row.key] = Stuck([row], wrong, is_hopeless=isinstance(wrong, BadEvent))
        else:
            sent.gone.append(row)
    return sent


def _checked(rows: Sequence[Row], service: str, bus: Bus) -> tuple[dict[int, Envelope], dict[int, Exception]]:
    """What can be handed over, and the first row of each key that no consumer could understand."""
    envelopes: dict[int, Envelope] = {}
    bad: dict[int, Exception] = {}
    bad_keys: set[str] = set()
    for row in rows:
        if row.key in bad_keys or (row.event_type in EVENTS and not bus.wants(row)):
            continue
        envelope = row.envelope(service)
        try:
            envelope.event()
            envelopes[row.id] = envelope
        except (BadEvent, UnknownEvent) as wrong:
            bad[row.id] = wrong
            bad_keys.add(row.key)
    return envelopes, bad


def _hand_over(envelopes: Sequence[Envelope], bus: Bus) -> tuple[set[str], dict[str, Exception]]:
    """The ids of those the bus took, and the keys over which it stumbled."""
    if not envelopes:
        return set(), {}
    try:
        return _ids(envelopes) - bus.publish(envelopes), {}
    except Unavailable:
        raise
    except Exception as wrong:
        return _one_by_one(envelopes, bus, wrong)


def _one_by_one(envelopes: Sequence[Envelope], bus: Bus, wrong: Exception) -> tuple[set[str], dict[str, Exception]]:
    """A driver that stumbles over one event must not stop the other keys; a `BadEvent` is its last word."""
    taken: set[str] = set()
    untaken: set[str] = set()
    stumbles: dict[str, Exception] = {}
    for envelope in envelopes:
        if envelope.key in untaken or envelope.key in stumbles:
            continue
        try:
            if bus.publish([envelope]):
                untaken.add(envelope.key)
            else:
                taken.add(envelope.event_id)
        except Unavailable:
            break
        except Exception as stumble:
            stumbles[envelope.key] = stumble
    if not taken and not any(isinstance(stumble, BadEvent) for stumble in stumbles.values()):
        raise Unavailable("the bus took nothing") from wrong
    return taken, stumbles


def _ids(envelopes: Iterable[Envelope]) -> set[str]:
    return {envelope.event_id for envelope in envelopes}
