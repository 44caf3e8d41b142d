"""A door: whoever owns a database's write lock lets others' changes into its transactions."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from django.db import DatabaseError, connections, router, transaction
from django.db.models import Model

from doran.kernel import trouble

T = TypeVar("T")

_LONGEST_REST = 0.1


class Door(Protocol):
    """Runs a change where a transaction may be opened or is open, and returns when it is committed."""

    def __call__(self, change: Callable[[], Any], /) -> Any: ...


def directly(change: Callable[[], T]) -> T:
    """The door of a database that nobody guards: the change opens its own transaction, here."""
    return change()


@dataclass(slots=True)
class _Wish:
    """A change that waits at a door, and what became of it."""

    change: Callable[[], Any]
    is_done: bool = False
    result: Any = None
    wrong: Exception | None = None


class Together:
    """A door for threads that write much: what comes while one transaction is written shares the next.

    Who comes first keeps the door for those behind. If a transaction fails, each change is made alone. On
    SQLite, where all writers ask for one lock without standing in line, it stays open for others for as long
    as each transaction took, so that nobody in a hurry is starved by those who are not.
    """

    def __init__(self, database: str) -> None:
        self._database = database
        self._waiting: deque[_Wish] = deque()
        self._writing = threading.Lock()

    def __call__(self, change: Callable[[], T], /) -> T:
        wish = _Wish(change)
        self._waiting.append(wish)
        with self._writing:
            if not wish.is_done:
                self._write([self._waiting.popleft() for _ in range(len(self._waiting))])
        if wish.wrong is not None:
            raise wish.wrong
        done: T = wish.result
        return done

    def _write(self, wishes: Sequence[_Wish]) -> None:
        begun = time.monotonic()
        try:
            results = _whole(self._database, lambda: [wish.change() for wish in wishes])
        except Exception as wrong:
            reopen_if_broken(self._database)
            self._each_alone(wishes, wrong)
        else:
            for wish, result in zip(wishes, results, strict=True):
                wish.result, wish.is_done = result, True
        if connections[self._database].vendor == "sqlite":
            time.sleep(min(_LONGEST_REST, time.monotonic() - begun))

    def _each_alone(self, wishes: Sequence[_Wish], wrong: Exception) -> None:
        if len(wishes) == 1:
            wishes[0].wrong, wishes[0].is_done = wrong, True
        else:
            for wish in wishes:
                self._write([wish])


def home(model: type[Model]) -> str:
    """The database this model lives in."""
    return router.db_for_write(model)


def commit(door: Door, database: str, change: Callable[[], T]) -> T:
    """Make the change through the door, whole or not at all. A lost connection is opened anew next time."""
    try:
        done: T = door(lambda: _whole(database, change))
    except Exception:
        reopen_if_broken(database)
        raise
    return done


def again_if_in_the_way(database: str, change: Callable[[], T]) -> T:
    """The change in a transaction of its own; once more, twice at most, where another transaction was in its way."""
    for _ in range(2):
        try:
            return _whole(database, change)
        except DatabaseError as wrong:
            if not trouble.is_conflict(wrong):
                raise
    return _whole(database, change)


def reopen_if_broken(database: str) -> None:
    """Drop a connection that does not work any more, unless somebody's transaction is open on it."""
    connection = connections[database]
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


def _whole(database: str, change: Callable[[], T]) -> T:
    with transaction.atomic(using=database):
        return change()


def look(database: str, ask: Callable[[], T]) -> T:
    """A question from a thread that asks seldom: leave no connection open behind it."""
    connection = connections[database]
    was_open = connection.connection is not None
    try:
        return ask()
    finally:
        if not was_open:
            connection.close()
