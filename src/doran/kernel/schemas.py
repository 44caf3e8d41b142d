"""The published JSON Schema of every event, and what may not change in it.

`docs/reference/schemas/` holds one file per event and version. Events wait in outboxes, dead letters
and brokers, and others read them with older code: within a version a field may be added if it can
be left out, and nothing else may change. `python -m doran.kernel.schemas FOLDER` brings the folder
up to date and refuses what would break somebody.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from doran.contracts.events import EVENTS, FORMER, PRODUCERS, Event

Schema = dict[str, Any]

_WORDS: Final = ("title", "description")
_FIELDS: Final = ("properties", "required")


class Incompatible(ValueError):
    """A change that would break who reads or wrote this event; the text names each."""


def schema(kind: type[Event]) -> Schema:
    """The schema of the event's data, with who says it and which field orders it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:doran:event:{kind.NAME}:{kind.VERSION}",
        "x-producer": next(
            service for service, kinds in PRODUCERS.items() if kind.NAME in (said.NAME for said in kinds)
        ),
        "x-key": kind.KEY,
        **msgspec.json.schema(kind),
    }


def file_name(kind: type[Event]) -> str:
    return f"{kind.NAME}.v{kind.VERSION}.json"


def text(kind: type[Event]) -> str:
    """The file's content."""
    return json.dumps(schema(kind), ensure_ascii=False, indent=2) + "\n"


def differences(published: Schema, now: Schema) -> list[str]:
    """What changed so that somebody would break, one sentence each; empty when all is well.

    Older code reads newer events and newer code reads older ones (they wait in outboxes, brokers and
    dead letters), so no type may become narrower, nor wider.
    """
    found = [f"{name} changed" for name in ("$id", "x-key", "$ref") if published.get(name) != now.get(name)]
    for name, was in published["$defs"].items():
        found += _breaks(name, was, now["$defs"].get(name, {}))
    return found


def _breaks(name: str, was: Schema, now: Schema) -> Iterator[str]:
    had, has = was.get("properties", {}), now.get("properties", {})
    needed, needs = set(was.get("required", ())), set(now.get("required", ()))
    if _without(was, *_FIELDS) != _without(now, *_FIELDS):
        yield f"{name} is of another kind"
    for field, type_was in had.items():
        if field not in has:
            yield f"{name}.{field} is gone"
        elif _without(has[field], "default") != _without(type_was, "default"):
            yield f"{name}.{field} has another type"
        elif {"default"} <= type_was.keys() & has[field].keys() and has[field]["default"] != type_was["default"]:
            yield f"{name}.{field} means something else where it is left out"
    yield from (f"{name}.{field} is required now" for field in sorted(needs - needed))
    yield from (f"{name}.{field} may be left out now" for field in sorted((needed - needs) & has.keys()))


def _without(schema: Mapping[str, Any], *words: str) -> Schema:
    return {word: value for word, value in schema.items() if word not in (*words, *_WORDS)}


def publish(folder: Path) -> list[str]:
    """Write the schemas that are new or have grown; return their file names.

    Raises `Incompatible`, before anything is written, for a change that needs a new `VERSION`.
    """
    every = [*EVENTS.values(), *(old for kinds in FORMER.values() for old in kinds)]
    kinds = [kind for kind in every if _published(folder, kind) != text(kind)]
    wrong = [f"{kind.NAME}: {one}" for kind in kinds for one in _against(folder, kind)]
    if wrong:
        raise Incompatible("; ".join(wrong) + ": give the event a new VERSION, or leave it as it was")
    folder.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        (folder / file_name(kind)).write_text(text(kind), encoding="utf-8")
    return [file_name(kind) for kind in kinds]


def _published(folder: Path, kind: type[Event]) -> str:
    path = folder / file_name(kind)
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _against(folder: Path, kind: type[Event]) -> list[str]:
    published = _published(folder, kind)
    return differences(json.loads(published), schema(kind)) if published else []


def main() -> int:
    try:
        written = publish(Path(sys.argv[1]))
    except Incompatible as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 1
    sys.stdout.writelines(f"{name}\n" for name in written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
