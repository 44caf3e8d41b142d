"""A deployment moves from its SQLite files to database servers, row by row, and is compared before it is used.

The state of the move is in the target, in a table that keeps servers away (`databases.MOVING`): it
names the source, and how far each table has got, in the same transactions as the rows. So a move
may be killed at any point and goes on where it was. When everything was read again on both sides
and is the same, the table goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Final

from django.apps import apps
from django.apps.registry import Apps
from django.db import DatabaseError, connections, models, transaction
from django.db.migrations.recorder import MigrationRecorder

from doran.kernel.config import SETTINGS, Config
from doran.server import databases, folder, serving
from doran.server.databases import in_use, numbers, sqlite
from doran.server.exits import Refused
from doran.server.telling import Progress, say

ROWS_AT_ONCE: Final = 500
CHARACTERS_AT_ONCE: Final = 1_000_000
DIFFERENCES_NAMED: Final = 10
PREPARING, COPYING = "preparing", "copying"

Row = tuple[Any, ...]
Model = type[models.Model]


class Step(models.Model):
    """How far a table has got: everything up to the key `place` is in the target. The row `""` is the move itself."""

    name = models.CharField(max_length=64, primary_key=True)
    place = models.CharField(max_length=255, null=True)
    copied = models.BigIntegerField(default=0)
    source = models.CharField(max_length=64, default="")

    objects: ClassVar[models.Manager[Step]] = models.Manager()

    class Meta:
        apps = Apps()
        app_label = "moving"
        db_table = databases.MOVING


def move(config: Config, services: Sequence[str], *, rows_at_once: int = ROWS_AT_ONCE) -> None:
    """Move these services from the files in the data folder to where the settings say their databases are."""
    files = config.replace(services=tuple(services), **{f"{service}_database": "" for service in services})
    folder.hold(files)
    in_use.refuse_torn(files)
    moves = [Move(service, config, rows_at_once) for service in services]
    for one in moves:
        one.check()
    for one in moves:
        one.run()


class Move:
    """One service's database on its way."""

    def __init__(self, service: str, config: Config, rows_at_once: int) -> None:
        self.service, self.source = service, f"{service}_source"
        self.variable = SETTINGS[f"{service}_database"].variable
        self.file = Path(config.data) / f"{service}.sqlite3"
        self.place = Path(config.data)
        self.rows_at_once = rows_at_once
        self.is_done = False
        self.tables = _parents_first(apps.get_app_config(service).get_models(include_auto_created=True))
        databases.open_beside(self.source, sqlite.file(self.file))

    def check(self) -> None:
        """Refuse what cannot be moved, before anything is changed anywhere."""
        if not self.file.exists():
            raise Refused("not_found", f"There is no {self.file} to move: name the data folder with --data.")
        if Path(connections[self.service].settings_dict["NAME"]).resolve() == self.file.resolve():
            raise Refused("bad_setting", f"{self.variable} must say where {self.service}'s database shall go.")
        if waiting := serving.waiting_migrations(self.service, self.place, alias=self.source):
            raise Refused(
                "bad_database",
                f"{self.file} lacks {waiting} migrations: run `doran migrate` without {self.variable} first.",
            )
        with self._plainly():
            if self._state() is None:
                self._check_empty()
            else:
                self._check_source()

    def run(self) -> None:
        """From wherever an earlier run got to, to the end."""
        with self._plainly():
            if not self.is_done:
                self._bring_over()
        say(f"{self.service} has moved: every row was read on both sides and is the same. {self.file} is as it was;")
        say(f"put it away, so that nothing starts on it by mistake where {self.variable} is not set.")

    def _bring_over(self) -> None:
        if self._state() is None:
            self._begin()
        if self._state() == PREPARING:
            self._prepare()
        for table in self.tables:
            self._copy(table)
        if different := list(self._differing_anywhere()):
            raise self._refusal(different)
        for table in self.tables:
            self._continue_numbers(table)
        if self.service == "ai":
            self._let_the_database_compare()
        with connections[self.service].schema_editor() as editor:
            editor.delete_model(Step)

    # -- the state -----------------------------------------------------------------------------------

    def _state(self) -> str | None:
        """None where no move was begun."""
        if not serving.is_half_moved(self.service):
            return None
        return Step.objects.using(self.service).filter(name="").values_list("place", flat=True).first() or PREPARING

    def _identity(self) -> str:
        """What names the source for ever: when its first migration ran, to the microsecond."""
        with connections[self.source].cursor() as cursor:
            cursor.execute(f"SELECT min(applied) FROM {MigrationRecorder.Migration._meta.db_table}")  # noqa: S608
            return str(cursor.fetchone()[0])

    def _begin(self) -> None:
        with connections[self.service].schema_editor() as editor:
            editor.create_model(Step)

    def _prepare(self) -> None:
        """All tables, and nothing in them, whatever migrations put there."""
        Step.objects.using(self.service).update_or_create(
            name="", defaults={"place": PREPARING, "source": self._identity()}
        )
        serving.bring_up_to_date(self.service, self.place)
        with transaction.atomic(using=self.service):
            for table in reversed(self.tables):
                table._base_manager.using(self.service).all().delete()
            Step.objects.using(self.service).filter(name="").update(place=COPYING)

    def _check_source(self) -> None:
        known = Step.objects.using(self.service).filter(name="").values_list("source", flat=True).first()
        if known not in (None, self._identity()):
            raise Refused(
                "in_use", f"The database of {self.variable} holds half a move of another source than {self.file}."
            )

    def _check_empty(self) -> None:
        """Rows that are there already must be those of the source, all of them: an earlier run brought them."""
        if not self._has_rows():
            return
        if any(self._differing_anywhere()):
            raise Refused("in_use", f"The database of {self.variable} has rows: a move needs an empty one.")
        self.is_done = True

    def _has_rows(self) -> bool:
        there = set(connections[self.service].introspection.table_names())
        tables = [table for table in self.tables if table._meta.db_table in there]
        return any(table._base_manager.using(self.service).exists() for table in tables)

    def _differing_anywhere(self) -> Iterator[str]:
        if serving.waiting_migrations(self.service, self.place):
            yield "the tables are of another version"
        else:
            yield from chain.from_iterable(self._compared(table) for table in self.tables)

    # -- copying -------------------------------------------------------------------------------------

    def _copy(self, table: Model) -> None:
        name = table._meta.db_table
        step, _ = Step.objects.using(self.service).get_or_create(name=name)
        progress = Progress(f"Copying {name}", total=self._count(table, self.source), unit="rows")
        progress.skip(step.copied)
        for rows in self._chunks(table, after=step.place):
            step.place, step.copied = str(rows[-1][_key(table)]), step.copied + len(rows)
            with transaction.atomic(using=self.service):
                _insert(table, rows, using=self.service)
                step.save(using=self.service, update_fields=["place", "copied"])
            progress.add(len(rows))
        progress.end()

    def _chunks(self, table: Model, *, after: str | None = None) -> Iterator[list[Row]]:
        """The rows of the source in the order of their keys."""
        key = table._meta.pk
        rows = table._base_manager.using(self.source).order_by("pk")
        place = None if after is None else key.to_python(after)
        while True:
            wanted = rows if place is None else rows.filter(pk__gt=place)
            found = list(wanted.values_list(*_columns(table))[: self.rows_at_once])
            if not found:
                return
            yield found
            place = found[-1][_key(table)]

    def _let_the_database_compare(self) -> None:
        from doran.ai.retrieval import pgvector

        pgvector.complete()

    def _continue_numbers(self, table: Model) -> None:
        """Numbers the source has given and taken away again are not given again."""
        if isinstance(table._meta.pk, models.AutoField):
            last = numbers.last_given(connections[self.source], table)
            numbers.continue_after(connections[self.service], table, last=last)

    # -- comparing -----------------------------------------------------------------------------------

    def _compared(self, table: Model) -> Iterator[str]:
        """Every row of both sides; what differs, by its key and without what it says."""
        name, total = table._meta.db_table, self._count(table, self.source)
        progress = Progress(f"Comparing {name}", total=total, unit="rows")
        for rows in self._chunks(table):
            yield from self._differing(table, rows)
            progress.add(len(rows))
        progress.end()
        if (there := self._count(table, self.service)) != total:
            yield f"{name} has {there} rows in the target and {total} in the source"

    def _differing(self, table: Model, rows: list[Row]) -> Iterator[str]:
        key, columns = _key(table), _columns(table)
        wanted = table._base_manager.using(self.service).filter(pk__in=[row[key] for row in rows])
        there = {row[key]: _plain(row) for row in wanted.values_list(*columns)}
        for row in map(_plain, rows):
            found = there.get(row[key])
            if found is None:
                yield f"{table._meta.db_table} lacks the row {row[key]}"
            elif found != row:
                wrong = [name for name, one, other in zip(columns, row, found, strict=True) if one != other]
                yield f"{table._meta.db_table} has another {', '.join(wrong)} in the row {row[key]}"

    def _count(self, table: Model, database: str) -> int:
        return table._base_manager.using(database).count()

    def _refusal(self, different: list[str]) -> Refused:
        named = "; ".join(different[:DIFFERENCES_NAMED])
        more = f"; and {len(different) - DIFFERENCES_NAMED} more" if len(different) > DIFFERENCES_NAMED else ""
        return Refused(
            "bad_database",
            f"{self.service} has not moved, the two sides differ: {named}{more}. Somebody else wrote to one of them: "
            "empty the database of the target, then begin again.",
        )

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        """What a database says while a move runs, as a refusal that says how to go on."""
        try:
            yield
        except DatabaseError as wrong:
            raise Refused(
                "bad_database",
                f"Moving {self.service} met an error: {type(wrong).__name__}: {wrong}. Nothing is lost: run it again when "
                "the cause is repaired, and it goes on.",
            ) from wrong


# -- tables and rows -------------------------------------------------------------------------------


def _parents_first(tables: Iterable[Model]) -> list[Model]:
    """In an order in which every row finds what it refers to."""
    left, ordered = list(tables), list[Model]()
    while left:
        ready = [one for one in left if not any(parent in left for parent in _parents(one))]
        assert ready, "tables refer to each other in a circle"
        ordered += ready
        left = [one for one in left if one not in ready]
    return ordered


def _parents(table: Model) -> list[Any]:
    related = [field.related_model for field in table._meta.concrete_fields if field.is_relation]
    return [one for one in related if one is not table]


def _columns(table: Model) -> list[str]:
    return [field.attname for field in table._meta.concrete_fields]


def _key(table: Model) -> int:
    return _columns(table).index(table._meta.pk.attname)


def _insert(table: Model, rows: list[Row], *, using: str) -> None:
    """In as few statements as servers take."""
    connection = connections[using]
    fields, quote = table._meta.concrete_fields, connections[using].ops.quote_name
    names = ", ".join(quote(str(field.column)) for field in fields)
    marks = f"({', '.join(['%s'] * len(fields))})"
    into = f"INSERT INTO {quote(table._meta.db_table)} ({names}) VALUES"
    with connection.cursor() as cursor:
        for some in _pieces(rows):
            values = [
                field.get_db_prep_save(value, connection)
                for row in some
                for field, value in zip(fields, row, strict=True)
            ]
            cursor.execute(f"{into} {', '.join([marks] * len(some))}", values)


def _pieces(rows: list[Row]) -> Iterator[list[Row]]:
    """Cut where the words of the rows come to more than one statement should carry."""
    piece, size = list[Row](), 0
    for row in rows:
        piece.append(row)
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if size > CHARACTERS_AT_ONCE:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _plain(row: Row) -> Row:
    """Values as they compare: drivers give bytes in two kinds."""
    return tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
