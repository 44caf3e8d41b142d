"""The trace id: 32 hex digits that follow one request through every part (W3C Trace Context)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from doran.kernel import clock

_current: ContextVar[str] = ContextVar("doran_trace_id", default="")
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def trace_id() -> str:
    """The trace id of what is being done now; empty outside of any trace."""
    return _current.get()


@contextmanager
def with_trace(trace: str) -> Iterator[str]:
    """Everything inside belongs to this trace."""
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)


def new_trace_id() -> str:
    return secrets.token_hex(16)


def incoming(traceparent: str | None) -> str:
    """The trace id a `traceparent` header brings, or a new one where it is absent or malformed."""
    found = _TRACEPARENT.fullmatch((traceparent or "").strip())
    if found is None or (found[1] == "00" and found[3]):
        return new_trace_id()
    return found[2]


def traceparent(trace: str = "") -> str:
    """The header to send on: this trace (the current one if not given) with a new span id."""
    return f"00-{trace or trace_id() or new_trace_id()}-{secrets.token_hex(8)}-01"


def server_time() -> str:
    """The present moment as every border shows it."""
    return clock.rfc3339(clock.now())
