"""Values written into a statement for MySQL and MariaDB, so that no text of anybody can be read as SQL.

The drivers escape each value by itself in Python: 7 to 30 µs for the rows of one message. Here a text
that could mean anything else goes as the hexadecimal digits of its UTF-8, in which nothing can hide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

_is_plain: Final = re.compile(r"[A-Za-z0-9_.:|@+ -]*").fullmatch


def row(values: Iterable[Any], *, collation: str) -> str:
    """The values of one row, with commas between."""
    return ", ".join([literal(value, collation=collation) for value in values])


def literal(value: Any, *, collation: str) -> str:
    """One value: text, bytes, a whole number, a truth or nothing. Raises TypeError for anything else."""
    if value is None:
        return "NULL"
    kind = type(value)
    if kind is str:
        return f"'{value}'" if _is_plain(value) else f"_utf8mb4 x'{value.encode().hex()}' COLLATE {collation}"
    if kind is int:
        return str(value)
    if kind is bool:
        return "1" if value else "0"
    if kind is bytes:
        return f"x'{value.hex()}'"
    raise TypeError(f"no literal is made of {kind.__name__}")
