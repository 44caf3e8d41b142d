"""The few statements of the hot path, derived once from the models, so that neither can drift."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connections, models
from django.db.backends.utils import CursorWrapper

DATABASE = "chat"


def cursor() -> CursorWrapper:
    return connections[DATABASE].cursor()


def keep_pages_for_writing() -> None:
    """The writer's connection meets the same pages again and again, and has room for them."""
    if connections[DATABASE].vendor == "sqlite":
        cursor().execute("PRAGMA cache_size=-8000")


def table(model: type[models.Model]) -> str:
    return connections[DATABASE].ops.quote_name(model._meta.db_table)


def column(model: type[models.Model], name: str) -> str:
    stored: Any = model._meta.get_field(name)
    return connections[DATABASE].ops.quote_name(stored.column)


def columns(model: type[models.Model], names: Iterable[str], *, of: str = "") -> str:
    prefix = f"{of}." if of else ""
    return ", ".join(prefix + column(model, name) for name in names)


@cache
def insert(model: type[models.Model], names: tuple[str, ...]) -> str:
    marks = ", ".join(["%s"] * len(names))
    return f"INSERT INTO {table(model)} ({columns(model, names)}) VALUES ({marks})"  # noqa: S608


@cache
def update(model: type[models.Model], names: tuple[str, ...], *, where: tuple[str, ...]) -> str:
    new = ", ".join(f"{column(model, name)} = %s" for name in names)
    key = " AND ".join(f"{column(model, name)} = %s" for name in where)
    return f"UPDATE {table(model)} SET {new} WHERE {key}"  # noqa: S608


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
