"""Tables and columns as the database writes them, taken from the models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import connections, models

DATABASE = "chat"


def table(model: type[models.Model]) -> str:
    return connections[DATABASE].ops.quote_name(model._meta.db_table)


def column(model: type[models.Model], name: str) -> str:
    stored: Any = model._meta.get_field(name)
    return connections[DATABASE].ops.quote_name(stored.column)


def columns(model: type[models.Model], names: Iterable[str], *, of: str = "") -> str:
    prefix = f"{of}." if of else ""
    return ", ".join(prefix + column(model, name) for name in names)


def kind(model: type[models.Model], name: str) -> str:
    """The column's type in this database."""
    stored: Any = model._meta.get_field(name)
    return str(stored.db_type(connections[DATABASE]))
