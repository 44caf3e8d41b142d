"""An older copy of the databases was put back: another timeline begins, and a journal remembers it.

A copy knows nothing of the times it was put back before. Those are in the journal beside the
databases, so that numbers of every earlier timeline are left out, not only of the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from doran.kernel import clock
from doran.kernel.config import Config
from doran.server import folder, serving
from doran.server.databases import in_use
from doran.server.exits import Refused, database_refusal, plainly
from doran.server.folder import whole
from doran.server.telling import say

JOURNAL = "restores.json"


class Restore(msgspec.Struct, frozen=True):
    """A line of the journal: timeline `lost` was given up for timeline `began`, so many positions later."""

    at: str
    lost: str | None
    began: str
    reserve: int


def restored(config: Config, *, reserve: int) -> None:
    """Begin another timeline from what is in the databases now, and say what people will see of it."""
    folder.hold(config)
    in_use.accept(config)
    serving.migrate(config)
    _refuse_living(config)
    data = Path(config.data)
    say(begun(data, reserve=reserve))
    if not folder.is_needed(config):
        say(f"{data.resolve() / JOURNAL} remembers it: keep that file, and name its folder with --data the next time.")


def _refuse_living(config: Config) -> None:
    """Raises `Refused` where chat processes use the database: they would go on in the timeline that is given up."""
    from django.db import DatabaseError

    from doran.chat import nodes

    try:
        found = nodes.living(
            waiting=lambda: say("A chat process was here lately: looking for half a minute whether it still is.")
        )
    except DatabaseError as wrong:
        raise database_refusal(wrong, "chat", Path(config.data)) from wrong
    if found:
        raise Refused(
            "in_use", f"Chat processes use this database: {', '.join(found)}. Stop every process of Doran first."
        )


def begun(data: Path, *, reserve: int) -> str:
    """Begin another timeline; what was done, in words. The journal comes first: too much in it does no harm."""
    from doran.chat import timelines

    lost, new, earlier = timelines.epoch(), clock.new_id().hex, journal(data)
    before = sum(one.reserve for one in descendants(lost, earlier))
    keep(data, [*earlier, Restore(clock.rfc3339(clock.now()), lost, new, reserve)])
    conversations = timelines.begin(new, reserve=before + reserve)
    again = f", {before} of them because this copy was put back before" if before else ""
    return (
        "Another timeline begins. Devices will forget what they knew and read what is here.\n"
        f"In each conversation ({conversations}) the next message leaves out {before + reserve} positions that the lost "
        f"timeline may have used{again}; people see one line there."
    )


def descendants(epoch: str | None, restores: Iterable[Restore]) -> Iterator[Restore]:
    """The restores that began with a copy of this timeline, or with a copy of what came of it."""
    known = {epoch}
    for one in restores:
        if one.lost in known:
            known.add(one.began)
            yield one


def journal(data: Path) -> list[Restore]:
    """Every restore that was made here, oldest first."""
    file = data / JOURNAL
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[Restore]) if file.exists() else []
    except msgspec.DecodeError as wrong:
        raise Refused("failed", f"{file} is damaged: {wrong}. It says which copies were put back before.") from None


def merged(data: Path, copy: Path) -> list[Restore]:
    """What the journals of a data folder and of a copy know together, oldest first."""
    both = {one.began: one for one in (*journal(copy), *journal(data))}
    return sorted(both.values(), key=lambda one: one.at)


def keep(data: Path, restores: Sequence[Restore]) -> None:
    """Write the journal anew, whole or not at all."""
    with plainly(data / JOURNAL):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        whole(data / JOURNAL, msgspec.json.format(msgspec.json.encode(restores), indent=1))
