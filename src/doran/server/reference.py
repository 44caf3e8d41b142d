"""The reference pages: every table in the code as Markdown, and the two machine-readable documents."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from doran.contracts import errors, events, frames, scopes
from doran.kernel import asyncapi
from doran.kernel import config as settings
from doran.server.exits import EXITS
from doran.server.telling import table

_MADE: Final = "<!-- Made by `doran reference` from the code; a test fails where the two differ. -->"


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {name: make() for name, make in _PAGES.items()}


def write(folder: Path) -> None:
    """Write every page into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


def _page(title: str, words: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", _MADE, words, *parts]) + "\n"


def _settings() -> str:
    groups: dict[str, list[settings.Setting]] = {}
    for setting in settings.SETTINGS.values():
        groups.setdefault(setting.group, []).append(setting)
    return _page(
        "Settings",
        "Every setting is read from the environment when Doran starts. A secret may instead be in a file, named by "
        "the same variable with `_FILE` at its end. A `DORAN_` name that is not in these tables stops the start, and so "
        "does a value that cannot be used. `doran config` prints what is in force.",
        *(f"## {group.capitalize()}\n\n{_setting_table(rows)}" for group, rows in groups.items()),
    )


def _setting_table(rows: Iterable[settings.Setting]) -> str:
    lines = [
        (
            f"`{row.variable}`",
            f"`{row.default}`" if row.default else "",
            row.sentence + (" (secret)" if row.secret else ""),
        )
        for row in rows
    ]
    return table([("variable", "default", "meaning"), *lines], markdown=True)


def _errors() -> str:
    problems = [
        (f"`{errors.Problem(kind.code).code}`", str(kind.status), kind.title, kind.advice)
        for kind in errors.PROBLEMS.values()
    ]
    failures = [(f"`{code}`", sentence) for code, sentence in errors.JOB_FAILURES.items()]
    closes = [
        (str(kind.code), f"`{kind.name}`", "yes" if kind.come_back else "no", kind.meaning)
        for kind in errors.CLOSES.values()
    ]
    return _page(
        "Errors",
        "A refused REST call answers with problem details (RFC 9457, `application/problem+json`), a refused frame with an "
        "`error` frame. `code` is stable: branch on it, not on the words.",
        "## Codes\n\n" + table([("code", "status", "title", "what to do"), *problems], markdown=True),
        "## Close codes of sockets\n\n" + table([("code", "name", "come back", "meaning"), *closes], markdown=True),
        "## Failure codes of AI jobs\n\nThe `failure_code` of a job whose `state` is `failed`.\n\n"
        + table([("failure_code", "meaning"), *failures], markdown=True),
    )


def _scopes() -> str:
    rows = [(f"`{one.name}`", one.audience, ", ".join(one.askers), one.sentence) for one in scopes.SCOPES.values()]
    return _page(
        "Scopes",
        "What one service may ask of another with a token of its own; everything else is refused. A token is for one "
        "service that answers and carries every scope its holder has there. See [services apart](../guides/services-apart.md).",
        table([("scope", "who answers", "who may ask", "meaning"), *rows], markdown=True),
    )


def _frames() -> str:
    return _page(
        "Frames",
        "What the two WebSocket doors, `/ws/chat/{conversation_id}/` and `/ws/`, say and hear: one JSON object a text "
        "frame, `type` decides. A field with `?` may be left out. What a client says is refused if it has a field that is "
        "not listed. `message` is always a MessageView. The same in machine-readable form: [asyncapi.json](asyncapi.json).",
        "## What a client says\n\nAny of these may carry `ref`; the answer carries it back.",
        *(_struct(_tag(kind), kind, without=("ref",)) for kind in frames.CLIENT_FRAMES),
        "## What the server says",
        *(_struct(_tag(kind), kind) for kind in frames.SERVER_FRAMES),
        "## What frames and REST show",
        *(_struct(kind.__name__, kind) for kind in _VIEWS),
    )


_VIEWS: Final = (
    frames.MessageView,
    frames.ConversationView,
    frames.MyState,
    frames.Marks,
    frames.ChangedConversation,
    frames.ChangesPage,
)


def _events() -> str:
    parts = []
    for producer, kinds in events.PRODUCERS.items():
        parts.append(f"## Said by {producer}")
        parts += [
            _struct(kind.NAME, kind, note=f"Ordered by `{kind.KEY}`; schema version {kind.VERSION}.") for kind in kinds
        ]
    return _page(
        "Events",
        "What the services tell each other: written in the same transaction as the change, delivered at least once, in "
        "order per key. These are the fields of `data`; the envelope around it is also a CloudEvents 1.0 event. "
        "Consumers ignore fields they do not know. The same in machine-readable form: [asyncapi.json](asyncapi.json).",
        _struct("The envelope", events.Envelope, level=2),
        *parts,
    )


def _tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def _struct(
    name: str, kind: type[msgspec.Struct], *, note: str = "", without: tuple[str, ...] = (), level: int = 3
) -> str:
    fields = [field for field in msgspec.structs.fields(kind) if field.name not in without]
    rows = [(f"`{field.encode_name}`{'' if field.required else '?'}", _type(field.type)) for field in fields]
    words = " ".join(part for part in (_words(kind), note) if part)
    shown = table([("field", "type"), *rows], markdown=True) if rows else "No further fields."
    return "\n\n".join(
        part
        for part in (f"{'#' * level} `{name}`" if " " not in name else f"{'#' * level} {name}", words, shown)
        if part
    )


def _words(kind: type[msgspec.Struct]) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").split())


def _type(kind: Any) -> str:
    """A type as JSON people say it."""
    if kind is msgspec.Raw:
        return "object"
    if isinstance(kind, type):
        return _JSON.get(kind, kind.__name__)
    return str(_spoken(kind))


def _spoken(kind: Any) -> str:
    arguments: tuple[Any, ...] = getattr(kind, "__args__", ())
    origin = str(getattr(kind, "__origin__", type(kind)))
    if "Literal" in origin:
        return " or ".join(f"`{value}`" for value in arguments)
    if "Union" in origin:
        return " or ".join(_type(argument) for argument in arguments)
    if "dict" in origin:
        return f"object of {_type(arguments[1])}"
    return f"list of {_type(arguments[0])}"


_JSON: Final[Mapping[type, str]] = {str: "string", int: "integer", bool: "boolean", float: "number", type(None): "null"}


def _commands() -> str:
    from doran.server import cli

    words = [(f"`doran {command.name}`", command.sentence) for command in cli.COMMANDS]
    words.append(("`doran verify`", "judge a running Doran by its guarantees"))
    codes = [(str(code), meaning) for code, meaning in EXITS.values()]
    return _page(
        "Commands",
        "`doran COMMAND --help` says what each takes. Every foreseen failure is one sentence and its own exit code.",
        table([("command", "what it does"), *words], markdown=True),
        "## Exit codes\n\n" + table([("code", "meaning"), *codes], markdown=True),
    )


def _openapi() -> str:
    from doran.kernel.http.openapi import document

    tables = {service: import_module(f"doran.{service}.http").ROUTES for service in ("core", "chat", "ai")}
    return _json(document(tables))


def _asyncapi() -> str:
    return _json(asyncapi.document())


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


_PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": _settings,
    "commands.md": _commands,
    "errors.md": _errors,
    "scopes.md": _scopes,
    "frames.md": _frames,
    "events.md": _events,
    "asyncapi.json": _asyncapi,
    "openapi.json": _openapi,
}
