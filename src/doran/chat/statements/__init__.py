"""The few statements of the hot path, derived once from the models, so that neither can drift."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connections, models
from django.db.backends.utils import CursorWrapper

from doran.chat.statements.many import MANY, Many, Rows
from doran.chat.statements.names import DATABASE, column, columns, table

__all__ = ["DATABASE", "Rows", "column", "columns", "table"]


def cursor() -> CursorWrapper:
    return connections[DATABASE].cursor()


def keep_pages_for_writing() -> None:
    """The writer's connection meets the same pages again and again, and has room for them."""
    if connections[DATABASE].vendor == "sqlite":
        cursor().execute("PRAGMA cache_size=-8000")


def insert_many(model: type[models.Model], names: tuple[str, ...], rows: Rows) -> None:
    """New rows, in their order: the values of `names`."""
    if rows:
        _engine().insert(cursor(), model, names, rows)


def update_many(model: type[models.Model], names: tuple[str, ...], rows: Rows, *, where: tuple[str, ...]) -> None:
    """Existing rows anew: each the values of `names`, then of `where`. The last word on a row is the one that stays."""
    last = list({row[len(names) :]: row for row in rows}.values())
    if last:
        _engine().update(cursor(), model, names, where, last)


def _engine() -> Many:
    return MANY[connections[DATABASE].vendor]


def waiting_for_commit() -> list[Any]:
    """What `transaction.on_commit` was given in the transaction around, less what a savepoint took back."""
    return [waiting[1] for waiting in connections[DATABASE].run_on_commit]


def marks(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))


def locking() -> str:
    """What makes a SELECT hold its rows until the commit; SQLite's transaction holds everything."""
    return " FOR UPDATE" if connections[DATABASE].features.has_select_for_update else ""


def db_uuid(value: uuid.UUID) -> str:
    """A UUID as every engine takes it: columns of type uuid read the digits as well."""
    return value.hex


def db_time(value: datetime) -> Any:
    return connections[DATABASE].ops.adapt_datetimefield_value(value)


def read_uuid(value: Any) -> uuid.UUID:
    """A UUID as the driver gave it."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)


def wire_time(value: datetime) -> str:
    """A stored moment (UTC, naive or not) as the border shows it; `strftime` costs nearly twice as much."""
    return value.isoformat(timespec="microseconds")[:26] + "Z"


def wire_time_or_none(value: Any) -> str | None:
    return None if value is None else wire_time(value)


def wire_uuid(value: Any) -> str:
    """A stored id as the border shows it."""
    if isinstance(value, str) and len(value) == 32:
        return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"
    return str(value)
