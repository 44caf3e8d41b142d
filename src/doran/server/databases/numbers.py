"""Automatic keys: where a table that was filled by other means goes on counting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_GO_ON: Final[Mapping[str, Sequence[str]]] = {
    "sqlite": (
        "DELETE FROM sqlite_sequence WHERE name = '{table}'",
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('{table}', {last})",
    ),
    "mysql": ("ALTER TABLE {table} AUTO_INCREMENT = {next}",),
    "postgresql": ("SELECT setval(pg_get_serial_sequence('\"{table}\"', '{key}'), {last})",),
}


def continue_after(connection: Any, table: Any, *, last: int) -> None:
    """The next automatic key of this table comes after `last`, and after every key that is there."""
    name, key = table._meta.db_table, table._meta.pk.column
    newest = table._base_manager.using(connection.alias).order_by("-pk").values_list("pk", flat=True).first() or 0
    if last := max(last, newest):
        with connection.cursor() as cursor:
            for statement in _GO_ON[connection.vendor]:
                cursor.execute(statement.format(table=name, key=key, last=last, next=last + 1))


def last_given(connection: Any, table: Any) -> int:
    """The last automatic key that a SQLite table gave, also if its row is gone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table._meta.db_table])
        found = cursor.fetchone()
    return 0 if found is None else int(found[0])
