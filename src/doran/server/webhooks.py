"""The `doran webhooks` command: a table of words, each with its arguments and what it does.

It works on core's database, beside a running server or while none runs.
"""

from __future__ import annotations

import argparse
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from doran.server.telling import say, table
from doran.server.words import Arguments, Word

if TYPE_CHECKING:
    from doran.core.webhooks.replays import Replayed
    from doran.core.webhooks.views import DeliveryView

_LOOK_EVERY: Final = 0.2
_SHOWN: Final = 10


# -- registering -------------------------------------------------------------------------------------


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", help="where events are sent: https, on the public internet")
    parser.add_argument(
        "--events", default="*", metavar="NAMES", help="event types with commas between; all by default"
    )
    parser.add_argument("--description", default="", help="a line for people")
    parser.add_argument(
        "--ordering", choices=("key", "endpoint"), default="key",
        help="events of one key one after another (key), or all events of the endpoint",
    )  # fmt: skip


def _add(arguments: Arguments) -> int:
    from doran.core.webhooks import endpoints

    types = [name.strip() for name in arguments.events.split(",") if name.strip()]
    made, secret = endpoints.register(
        arguments.url, types, description=arguments.description, ordering=arguments.ordering
    )
    say(f"{made.id} is registered. A running server hears of it within two seconds.")
    _say_secret(secret)
    return 0


def _rotate_arguments(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument("--at-once", action="store_true", help="the secret got into wrong hands: it signs no more")


def _rotate(arguments: Arguments) -> int:
    from doran.core.webhooks import endpoints

    secret, ends_at = endpoints.rotate(arguments.id, at_once=arguments.at_once)
    _say_secret(secret)
    say(f"The one before signs as well until {ends_at}.")
    return 0


def _say_secret(secret: str) -> None:
    say(f"Its secret, which is not shown again: {secret}")


def _remove(arguments: Arguments) -> int:
    from doran.core.webhooks import pruning

    pruning.remove(arguments.id)
    say(f"{arguments.id} is removed.")
    return 0


def _enable(arguments: Arguments) -> int:
    return _switch(arguments.id, enabled=True)


def _disable(arguments: Arguments) -> int:
    return _switch(arguments.id, enabled=False)


def _switch(endpoint_id: str, *, enabled: bool) -> int:
    from doran.core.webhooks import endpoints

    endpoints.change(endpoint_id, {"enabled": enabled})
    say(f"{endpoint_id} is {'enabled' if enabled else 'disabled'}.")
    return 0


# -- looking -----------------------------------------------------------------------------------------


def _list(_arguments: Arguments) -> int:
    from doran.core.webhooks import endpoints, views

    found = [views.endpoint(one) for one in endpoints.listed()]
    rows = [
        (one.id, one.health.state, str(one.health.waiting), str(one.health.failed), " ".join(one.event_types), one.url)
        for one in found
    ]
    say(table([("id", "state", "waiting", "failed", "events", "url"), *rows]) if rows else "No endpoint is registered.")
    return 0


def _show(arguments: Arguments) -> int:
    import msgspec

    from doran.core.webhooks import deliveries, endpoints, views

    shown = views.endpoint(endpoints.get(arguments.id))
    facts = msgspec.structs.asdict(shown) | msgspec.structs.asdict(shown.health)
    say(table([("field", "value"), *((name, _plain(value)) for name, value in facts.items() if name != "health")]))
    latest, _ = deliveries.listed(arguments.id, page_size=_SHOWN)
    if latest:
        say("\n" + table([("event", "type", "state", "attempts", "outcome", "at"), *map(_delivery_row, latest)]))
    return 0


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return {None: "", True: "yes", False: "no"}.get(value, str(value))


def _delivery_row(row: Any) -> tuple[str, ...]:
    from doran.core.webhooks import views

    one = views.delivery(row)
    return one.event_id, one.event_type, one.state, str(one.attempts), one.outcome or "", one.attempted_at or ""


# -- sending -----------------------------------------------------------------------------------------


def _test_arguments(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument("--wait", type=float, default=20.0, metavar="SECONDS", help="how long to wait for it (20)")


def _test(arguments: Arguments) -> int:
    """Owed like any event, so it also shows that a server runs and sends."""
    from doran.core.webhooks import replays

    event_id = replays.test(arguments.id)
    until = time.monotonic() + arguments.wait
    while not (tried := _delivery(arguments.id, event_id)).attempts and time.monotonic() < until:
        time.sleep(_LOOK_EVERY)
    if not tried.attempts:
        say(f"webhook.test waits: no server has sent it within {arguments.wait:g} s.")
    else:
        say(f"webhook.test is {tried.state} ({tried.outcome}).")
    return 0 if tried.state == "delivered" else 1


def _delivery(endpoint_id: str, event_id: str) -> DeliveryView:
    from doran.core.webhooks import deliveries, views

    [found], _ = deliveries.listed(endpoint_id, event_id=event_id, page_size=1)
    return views.delivery(found)


def _replay_arguments(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--event", metavar="ID", help="one event")
    chosen.add_argument("--failed", action="store_true", help="all that was given up")
    chosen.add_argument("--since", type=_moment, metavar="TIME", help="all from then on, such as 2026-11-23T12:00:00Z")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2026-11-23T12:00:00Z") from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no time zone: write 2026-11-23T12:00:00Z for UTC")
    return moment


def _replay(arguments: Arguments) -> int:
    count, since = 0, arguments.since
    while True:
        done = _replayed(arguments, since)
        count, since = count + done.count, done.next_since
        if since is None:
            say(f"{count} events are sent again.")
            return 0


def _replayed(arguments: Arguments, since: datetime | None) -> Replayed:
    from doran.core.webhooks import replays

    if arguments.event:
        return replays.event(arguments.id, arguments.event)
    if arguments.failed:
        return replays.failed(arguments.id)
    assert since is not None
    return replays.since(arguments.id, since)


def _id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help="the endpoint's id, from the list")


def _nothing(_parser: argparse.ArgumentParser) -> None:
    """Takes nothing of its own."""


WORDS: Final = (
    Word("add", "register an endpoint; prints its secret", _add, _add_arguments),
    Word("list", "all endpoints and how they are", _list, _nothing),
    Word("show", "one endpoint with its health and latest deliveries", _show, _id),
    Word("remove", "forget an endpoint and all that it was owed", _remove, _id),
    Word(
        "rotate", "give an endpoint a new secret; the old one signs beside it for a while", _rotate, _rotate_arguments
    ),
    Word("enable", "send again to an endpoint that was disabled", _enable, _id),
    Word("disable", "send nothing more to an endpoint", _disable, _id),
    Word("test", "send a webhook.test and say what became of it", _test, _test_arguments),
    Word("replay", "send events again", _replay, _replay_arguments),
)
