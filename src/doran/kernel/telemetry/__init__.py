"""What the operator sees: one trace id from socket to push, logs without content, metrics, health."""

from doran.kernel.telemetry import health
from doran.kernel.telemetry.logs import configure
from doran.kernel.telemetry.metrics import (
    batch_committed,
    delivered,
    event_dead_lettered,
    events_published,
    frame_heard,
    rate_limited,
    render,
    request_served,
    socket_closed,
    socket_opened,
    watch_dead_letters,
    watch_outbox,
    watch_writer_queue,
)
from doran.kernel.telemetry.trace import incoming, new_trace_id, server_time, trace_id, traceparent, with_trace

__all__ = [
    "batch_committed",
    "configure",
    "delivered",
    "event_dead_lettered",
    "events_published",
    "frame_heard",
    "health",
    "incoming",
    "new_trace_id",
    "rate_limited",
    "render",
    "request_served",
    "server_time",
    "socket_closed",
    "socket_opened",
    "trace_id",
    "traceparent",
    "watch_dead_letters",
    "watch_outbox",
    "watch_writer_queue",
    "with_trace",
]
