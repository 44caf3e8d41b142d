"""A door: whoever owns a database's write lock lets others' changes into its transactions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from django.db import connections, router, transaction
from django.db.models import Model

T = TypeVar("T")


class Door(Protocol):
    """Runs a change where a transaction may be opened or is open, and returns when it is committed."""

    def __call__(self, change: Callable[[], Any], /) -> Any: ...


def directly(change: Callable[[], T]) -> T:
    """The door of a database that nobody guards: the change opens its own transaction, here."""
    return change()


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
