"""The table that PostgreSQL searches: made where pgvector is, filled with what was kept before, and kept from then on.

Django knows nothing of it, for no other engine has it. A row goes with its `Embedding`, by the database's own hand. The
table is searched once its comment says that nothing lacks. Its numbers have 16 bits: half to read, and the same found.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from sys import byteorder
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import DatabaseError, connections, transaction

from doran.ai.models import Embedding
from doran.ai.privacy.places import DATABASE

AT_ONCE: Final = 500
_COMPLETE: Final = "complete"

_MAKE: Final = """
DROP TABLE IF EXISTS ai_nearby;
CREATE TABLE ai_nearby (
    embedding_id uuid PRIMARY KEY REFERENCES ai_embedding (id) ON DELETE CASCADE,
    conversation_id varchar(255) NOT NULL,
    model varchar(128) NOT NULL,
    message_id varchar(255) NOT NULL,
    message_version bigint NOT NULL,
    vector halfvec,
    grams bytea NOT NULL,
    tokens integer[] NOT NULL
);
ALTER TABLE ai_nearby ALTER vector SET STORAGE MAIN;
CREATE INDEX ai_nearby_place ON ai_nearby (conversation_id, model);
CREATE INDEX ai_nearby_tokens ON ai_nearby USING gin (tokens);
"""
_INSERT: Final = """
INSERT INTO ai_nearby (embedding_id, conversation_id, model, message_id, message_version, vector, grams, tokens)
VALUES (%s, %s, %s, %s, %s, %s::halfvec, %s, %s::integer[]) ON CONFLICT DO NOTHING
"""
_LACKING: Final = """
SELECT id, conversation_id, model, message_id, message_version, vector, grams FROM ai_embedding kept
WHERE id > %(after)s AND NOT EXISTS (SELECT FROM ai_nearby WHERE embedding_id = kept.id AND embedding_id > %(after)s)
ORDER BY id LIMIT %(most)s FOR KEY SHARE OF kept
"""
_STANDING: Final = """
SELECT coalesce(obj_description(made.attrelid, 'pg_class') = %s, false),
       has_table_privilege(made.attrelid, 'SELECT') AND has_table_privilege(made.attrelid, 'INSERT')
FROM pg_attribute made JOIN pg_type kind ON kind.oid = made.atttypid
WHERE made.attrelid = to_regclass('ai_nearby') AND made.attname = 'vector' AND kind.typname = 'halfvec'
"""


class Told(NamedTuple):
    """Whether the database compares vectors; a sentence that says so, or what to do."""

    is_ready: bool
    sentence: str


class _Standing(NamedTuple):
    """The table as it stands: whether nothing lacks, and whether our account may use it."""

    is_complete: bool
    is_ours: bool


# -- as it stands ------------------------------------------------------------------------------------


def is_ready() -> bool:
    """Whether the database can be asked what is near."""
    table = _standing()
    return table is not None and table.is_complete and table.is_ours


def told() -> Told | None:
    """Nothing on another engine."""
    if not _is_postgresql():
        return None
    version = _extension()
    if is_ready():
        return Told(True, f"compared in the database by pgvector {version}")
    return Told(False, f"compared in this process by numpy: {_what_lacks(version)}")


def _what_lacks(version: str | None) -> str:
    if version is None and not _is_available():
        return "this PostgreSQL has no pgvector"
    if version is None:
        return "as an administrator, run CREATE EXTENSION vector in ai's database, then `doran migrate` as the owner of its tables"
    if not _has_halves():
        return f"pgvector {version} is too old, 0.7 or newer is needed"
    table = _standing()
    if table is not None and not table.is_ours:
        return (
            "our account may not use the table ai_nearby: drop it, then run `doran migrate` as the owner of the others"
        )
    return "run `doran migrate` as the owner of the tables"


def _standing() -> _Standing | None:
    rows = _rows(_STANDING, [_COMPLETE]) if _is_postgresql() else []
    return _Standing(*rows[0]) if rows else None


def _extension() -> str | None:
    """The version that stands in this database."""
    rows = _rows("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    return str(rows[0][0]) if rows else None


def _is_available() -> bool:
    return bool(_rows("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"))


def _has_halves() -> bool:
    return bool(_rows("SELECT to_regtype('halfvec') IS NOT NULL")[0][0])


def _is_postgresql() -> bool:
    return connections[DATABASE].vendor == "postgresql"


# -- making and filling ------------------------------------------------------------------------------


def may_come() -> bool:
    """Whether the extension is here, or could be, and the table does not stand ready."""
    return _is_postgresql() and not is_ready() and (_extension() is not None or _is_available())


def make() -> bool:
    """Make the table, if our account is allowed to; whether it has to be completed now. Outside a transaction."""
    if not may_come():
        return False
    return _standing() is not None or (_may("CREATE EXTENSION IF NOT EXISTS vector") and _has_halves() and _may(_MAKE))


def complete() -> None:
    """Bring over what was kept by whoever did not know of the table. Safe to repeat; nothing where there is none."""
    if _standing() is None:
        return
    last: UUID | None = UUID(int=0)
    while last is not None:
        last = _brought(last)
    _may(f"COMMENT ON TABLE ai_nearby IS '{_COMPLETE}'; ANALYZE ai_nearby")


def drop() -> None:
    """As if it had never been; the extension stays, for others may use it."""
    if _is_postgresql():
        with _cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS ai_nearby")


def _brought(after: UUID) -> UUID | None:
    """Bring some over, held so that nobody takes them away meanwhile; where to go on."""
    with transaction.atomic(using=DATABASE):
        rows = list(Embedding.objects.raw(_LACKING, {"after": after, "most": AT_ONCE}, using=DATABASE))
        keep(rows)
    return rows[-1].id if rows else None


def _may(statement: str) -> bool:
    """Whether our account was allowed to do it."""
    from psycopg.errors import InsufficientPrivilege

    try:
        with transaction.atomic(using=DATABASE), _cursor() as cursor:
            cursor.execute(statement)
    except DatabaseError as wrong:
        if not isinstance(wrong.__cause__, InsufficientPrivilege):
            raise
        return False
    return True


# -- keeping -----------------------------------------------------------------------------------------


def keep(rows: Sequence[Embedding]) -> None:
    """These are findable in the database too, if it has the table. In the transaction that stores them, after that:
    so that whoever makes the table either waits for us or is seen."""
    table = _standing() if rows else None
    if table is not None and table.is_ours:
        with _cursor() as cursor:
            cursor.executemany(_INSERT, list(map(_values, rows)))


def _values(row: Embedding) -> tuple[Any, ...]:
    said = bytes(row.grams)
    return (
        row.id, row.conversation_id, row.model, row.message_id, row.message_version, literal(bytes(row.vector)), said,
        signed(_numbers("I", said)),
    )  # fmt: skip


def literal(vector: bytes) -> str | None:
    """A vector as pgvector reads it; none where there is none."""
    return f"[{','.join(map(str, _numbers('f', vector)))}]" if vector else None


def signed(tokens: Iterable[int]) -> list[int]:
    """Unsigned 32-bit numbers as PostgreSQL's integers, which have a sign."""
    return [token - (1 << 32) if token >> 31 else token for token in tokens]


def _numbers(kind: str, packed: bytes) -> array[Any]:
    numbers = array(kind, packed)
    if byteorder == "big":
        numbers.byteswap()
    return numbers


def _cursor() -> Any:
    return connections[DATABASE].cursor()


def _rows(statement: str, values: Sequence[Any] = ()) -> list[Any]:
    with _cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
