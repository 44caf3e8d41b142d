"""Many rows at once, as each engine does it best: the same rows afterwards, whatever the engine.

SQLite runs one prepared statement again and again, without a way to go. Over a connection each
statement is a round trip and is parsed anew: there all rows go in one. MariaDB 10.11 spent 220 µs
on the two updates of a message one by one, and 55 in joined ones (docs/adr/0008-databases.md).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, Protocol

from django.db import connections, models
from django.db.backends.utils import CursorWrapper

from doran.chat.statements.literals import literal, row
from doran.chat.statements.names import DATABASE, column, columns, kind, table

Names = tuple[str, ...]
Rows = Sequence[tuple[Any, ...]]
Model = type[models.Model]

_CHOSEN_AT_ONCE: Final = 64
"""Rows whose values are chosen in one statement: the server looks through their keys for each of them."""
_LONGEST: Final = 4_000_000
"""Characters of rows in one statement; a server takes at least 16 MiB unless it was told otherwise."""


class Many(Protocol):
    """`update` is given rows with the values of `names`, then of `where`; no two rows mean the same row."""

    def insert(self, cursor: CursorWrapper, model: Model, names: Names, rows: Rows) -> None: ...

    def update(self, cursor: CursorWrapper, model: Model, names: Names, where: Names, rows: Rows) -> None: ...


class OneByOne:
    """SQLite."""

    def insert(self, cursor: CursorWrapper, model: Model, names: Names, rows: Rows) -> None:
        cursor.executemany(_insert(model, names), rows)

    def update(self, cursor: CursorWrapper, model: Model, names: Names, where: Names, rows: Rows) -> None:
        cursor.executemany(_update(model, names, where), rows)


class Joined:
    """MySQL and MariaDB: all rows in one statement; updates by one key choose their values, others join with the rows."""

    def insert(self, cursor: CursorWrapper, model: Model, names: Names, rows: Rows) -> None:
        begin = f"INSERT INTO {table(model)} ({columns(model, names)}) VALUES "  # noqa: S608
        for some in _in_reach(f"({one})" for one in _literals(rows)):
            cursor.execute(begin + ", ".join(some))

    def update(self, cursor: CursorWrapper, model: Model, names: Names, where: Names, rows: Rows) -> None:
        if len(where) == 1:
            for start in range(0, len(rows), _CHOSEN_AT_ONCE):
                cursor.execute(_choosing_update(model, names, where[0], rows[start : start + _CHOSEN_AT_ONCE]))
        else:
            head, tail = _joined_update(model, names, where)
            for some in _in_reach(_literals(rows)):
                cursor.execute(f"{head} UNION ALL SELECT {' UNION ALL SELECT '.join(some)}{tail}")


class Unnested:
    """PostgreSQL: each column is one array."""

    def insert(self, cursor: CursorWrapper, model: Model, names: Names, rows: Rows) -> None:
        cursor.execute(_unnested_insert(model, names), _columns(rows))

    def update(self, cursor: CursorWrapper, model: Model, names: Names, where: Names, rows: Rows) -> None:
        cursor.execute(_unnested_update(model, names, where), _columns(rows))


MANY: Final[Mapping[str, Many]] = {"sqlite": OneByOne(), "mysql": Joined(), "postgresql": Unnested()}


# Every part of these texts is a name from a model, a placeholder, or a literal in which nothing can hide.


@cache
def _insert(model: Model, names: Names) -> str:
    marks = ", ".join(["%s"] * len(names))
    return f"INSERT INTO {table(model)} ({columns(model, names)}) VALUES ({marks})"  # noqa: S608


@cache
def _update(model: Model, names: Names, where: Names) -> str:
    new = ", ".join(f"{column(model, name)} = %s" for name in names)
    key = " AND ".join(f"{column(model, name)} = %s" for name in where)
    return f"UPDATE {table(model)} SET {new} WHERE {key}"  # noqa: S608


@cache
def _joined_update(model: Model, names: Names, where: Names) -> tuple[str, str]:
    """What stands before and after the rows. An empty row, which nothing matches, names their columns."""
    every = (*names, *where)
    named = ", ".join(f"NULL AS {column(model, name)}" for name in every)
    new = ", ".join(f"t.{column(model, name)} = v.{column(model, name)}" for name in names)
    return f"UPDATE {table(model)} t JOIN (SELECT {named}", f") v ON {_same(model, where)} SET {new}"


def _choosing_update(model: Model, names: Names, key: str, rows: Rows) -> str:
    """Each column takes, of the values written down, the one at the place of its row's key: half the price of a join.

    A value that is the same for all rows is written once, and so is a column whose values another has already taken.
    """
    *values, keys = zip(*rows, strict=True)
    texts = [literal(one, collation=_collation()) for one in keys]
    shown = [f"'{uuid.UUID(one)}'" for one in keys] if kind(model, key) == "uuid" else texts  # as the column compares
    place = f"FIELD({column(model, key)}, {', '.join(shown)})"
    taken: dict[tuple[Any, ...], str] = {}
    new = [_choice(column(model, name), chosen, place, taken) for name, chosen in zip(names, values, strict=True)]
    return f"UPDATE {table(model)} SET {', '.join(new)} WHERE {column(model, key)} IN ({', '.join(texts)})"  # noqa: S608


def _choice(name: str, values: tuple[Any, ...], place: str, taken: dict[tuple[Any, ...], str]) -> str:
    if values.count(values[0]) == len(values):
        return f"{name} = {literal(values[0], collation=_collation())}"
    before = taken.setdefault(values, name)
    return f"{name} = {before if before != name else f'ELT({place}, {row(values, collation=_collation())})'}"


def _literals(rows: Rows) -> Iterator[str]:
    collation = _collation()
    return (row(values, collation=collation) for values in rows)


def _collation() -> str:
    found: str = connections[DATABASE].collation  # type: ignore[attr-defined]  # of our backend
    return found


def _in_reach(rows: Iterable[str]) -> Iterator[list[str]]:
    """As many rows at once as any server takes in one statement."""
    some: list[str] = []
    length = 0
    for one in rows:
        if some and length + len(one) > _LONGEST:
            yield some
            some, length = [], 0
        some.append(one)
        length += len(one)
    yield some


@cache
def _unnested_insert(model: Model, names: Names) -> str:
    return f"INSERT INTO {table(model)} ({columns(model, names)}) SELECT * FROM {_arrays(model, names)}"  # noqa: S608


@cache
def _unnested_update(model: Model, names: Names, where: Names) -> str:
    new = ", ".join(f"{column(model, name)} = v.{column(model, name)}" for name in names)
    rows = f"{_arrays(model, (*names, *where))} AS v ({columns(model, (*names, *where))})"
    return f"UPDATE {table(model)} t SET {new} FROM {rows} WHERE {_same(model, where)}"  # noqa: S608


def _arrays(model: Model, names: Names) -> str:
    return f"unnest({', '.join(f'%s::{kind(model, name)}[]' for name in names)})"


def _same(model: Model, where: Names) -> str:
    return " AND ".join(f"t.{column(model, name)} = v.{column(model, name)}" for name in where)


def _columns(rows: Rows) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
