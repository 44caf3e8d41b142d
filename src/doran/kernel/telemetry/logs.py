"""Log lines: fixed words and allow-listed facts, never content, names or tokens.

Our own loggers (`doran.*`) say fixed sentences and put facts into `extra=`; a key that is not in
`FACTS` is dropped and counted. Of a foreign library only the first line of its template is shown, with
numbers, and of all other values only their kind, because those may come from a request. An exception is shown
by its class and the places it passed, not by its text.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from doran.kernel.clock import rfc3339
from doran.kernel.config import Config
from doran.kernel.telemetry import metrics
from doran.kernel.telemetry.trace import trace_id

FACTS: Final = frozenset(
    {
        "address", "attempts", "batch", "bytes", "check", "close_code", "code", "count", "database", "endpoint_id",
        "error_class", "event_id", "event_type", "fault", "host", "job", "job_id", "kind", "limit", "method", "places", "port", "provider", "queue", "reason",
        "retry_in", "route", "schema_version", "seconds", "service", "services", "size", "sockets", "state", "status",
        "subscription", "threads", "url", "version", "waiting", "worker",
    }
)  # fmt: skip
_HOLE = re.compile(r"%(?:\((\w+)\))?[-#0 +]*\d*(?:\.\d+)?[hlL]?([a-zA-Z%])")
_LONGEST = 300
_LONGEST_OWN = 2000  # a refused start names every setting that is wrong
_PLACES = 12
_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return self.line(_shown(record))

    def line(self, shown: Mapping[str, Any]) -> str:
        raise NotImplementedError


class JsonFormatter(_Formatter):
    """One JSON object a line, ASCII only, so that no control character reaches a terminal."""

    def line(self, shown: Mapping[str, Any]) -> str:
        return json.dumps(shown)


class TextFormatter(_Formatter):
    """One readable line for a person who develops."""

    def line(self, shown: Mapping[str, Any]) -> str:
        facts = dict(shown)
        head = f"{facts.pop('ts')[11:23]} {facts.pop('level'):7} {facts.pop('logger')}: {_safe(facts.pop('event'))}"
        return " ".join([head, *(f"{name}={_safe(value)}" for name, value in facts.items())])


def configure(config: Config, *, stream: TextIO | None = None) -> None:
    """Send all logs of this process to standard error (or `stream`) as the settings say."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if is_json(config) else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("doran").setLevel(config.log_level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "django", "django.request", "django.server"):
        foreign = logging.getLogger(name)
        foreign.handlers, foreign.propagate = [], True
        foreign.setLevel(logging.WARNING)


def is_json(config: Config) -> bool:
    """Return whether logs are JSON, as the settings say."""
    return bool((config.log_format or ("json" if config.production else "text")) == "json")


def _shown(record: logging.LogRecord) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "ts": rfc3339(datetime.fromtimestamp(record.created, UTC)),
        "level": record.levelname,
        "logger": record.name,
        "event": _words(record),
    }
    if trace := trace_id():
        shown["trace_id"] = trace
    return shown | _facts(record) | _exception(record)


def _words(record: logging.LogRecord) -> str:
    ours = record.name == "doran" or record.name.startswith("doran.")
    if ours:
        return record.getMessage()[:_LONGEST_OWN]
    return _filled(str(record.msg).partition("\n")[0], record.args)[:_LONGEST]


def _filled(template: str, given: Any) -> str:
    """The template of a library with its holes filled: numbers as they are, of all else only what kind of thing it is."""
    if not given:
        return template
    values = iter(given if isinstance(given, tuple) else ())

    def fill(hole: re.Match[str]) -> str:
        if hole[2] == "%":
            return "%"
        value = given.get(hole[1]) if isinstance(given, Mapping) else next(values, None)
        return str(value) if isinstance(value, int | float) else f"<{type(value).__name__}>"

    return _HOLE.sub(fill, template)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    given = {name: value for name, value in vars(record).items() if name not in _ORDINARY}
    dropped = given.keys() - FACTS
    if dropped:
        metrics.log_keys_dropped(len(dropped))
    return {name: _plain(value) for name, value in given.items() if name in FACTS}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value[:_PLACES]]
    return str(value)[:_LONGEST] if isinstance(value, str) else type(value).__name__


def _exception(record: logging.LogRecord) -> dict[str, Any]:
    if not record.exc_info or record.exc_info[0] is None:
        return {}
    kind, _, trail = record.exc_info
    return {"error_class": kind.__name__, "places": places(trail)}


def places(trail: Any) -> list[str]:
    """Where an exception passed: file, line and function, the innermost last; none of its values."""
    return [
        f"{frame.filename.rpartition('/site-packages/')[2].rpartition('/src/')[2]}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(trail)[-_PLACES:]
    ]


def _safe(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
