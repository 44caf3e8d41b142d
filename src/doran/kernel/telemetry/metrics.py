"""What is counted and timed, in Prometheus' terms. No label ever names a person or a conversation.

Callers say what happened in plain functions; names and labels are decided here. What happens per
message is told per batch, and costs one lock and a few additions.
"""

from __future__ import annotations

import platform
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import doran
from doran.contracts import frames
from doran.contracts.errors import CLOSES
from doran.kernel.telemetry.readings import Reading, refresh

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY: Final = CollectorRegistry()

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
READ_SECONDS: Final = 1.0
STALE_SECONDS: Final = 60.0
_GLANCE: Final = 0.25  # so long a reader of metrics waits for what can be told at once
_CLOSE_CODES = frozenset({*CLOSES, *range(1000, 1016)})


class BatchHistogram(Collector):
    """A histogram to which `count` equal observations are added at the price of one."""

    def __init__(self, name: str, documentation: str, bounds: Sequence[float]) -> None:
        self._name, self._documentation = name, documentation
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()
        REGISTRY.register(self)

    def observe(self, value: float, count: int = 1) -> None:
        bucket = bisect_left(self._bounds, value)
        with self._lock:
            self._counts[bucket] += count
            self._sum += value * count

    def describe(self) -> Iterable[Metric]:
        return [HistogramMetricFamily(self._name, self._documentation)]

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            counts, total = list(self._counts), self._sum
        buckets, seen = [], 0
        for bound, count in zip([*map(float, self._bounds), float("inf")], counts, strict=True):
            seen += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), float(seen)))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=total)


class Tally(Collector):
    """A counter by one label for what happens very often, on one thread: an addition, no lock."""

    def __init__(self, name: str, documentation: str, label: str, values: Iterable[str]) -> None:
        self._name, self._documentation, self._label = name, documentation, label
        self.counts = dict.fromkeys(values, 0)
        REGISTRY.register(self)

    def describe(self) -> Iterable[Metric]:
        return [CounterMetricFamily(self._name, self._documentation, labels=[self._label])]

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._documentation, labels=[self._label])
        for value, count in self.counts.items():
            family.add_metric([value], count)
        return [family]


class Watched(Collector):
    """Gauges that are asked for only when somebody reads the metrics. One that fails is left out, and counted.

    What a `source` must be asked for, such as a database, is read beside: metrics never wait for it. While it does
    not answer, what it said last is shown for a minute; `doran_reading_age_seconds` says how old that is.
    """

    def __init__(self, names: Sequence[tuple[str, str]], label: str | None) -> None:
        self._names, self._label = names, label
        self._asked: dict[str, Callable[[], Sequence[float]]] = {}
        REGISTRY.register(self)

    def watch(self, whose: str, ask: Callable[[], Sequence[float]], *, source: str = "") -> Callable[[], None]:
        """Show what `ask` answers, until what is returned is called."""
        reading = _Beside(ask, source) if source else None
        shown = self._asked[whose] = ask if reading is None else reading.shown

        def end() -> None:
            """Safe to call twice."""
            if self._asked.get(whose) is shown:
                del self._asked[whose]
            if reading is not None:
                reading.end()

        return end

    def describe(self) -> Iterable[Metric]:
        return self._families()

    def collect(self) -> Iterable[Metric]:
        families = self._families()
        for whose, ask in list(self._asked.items()):
            for family, value in zip(families, self._answer(ask), strict=False):
                family.add_metric([whose] if self._label else [], value)
        return families

    def _families(self) -> list[GaugeMetricFamily]:
        labels = [self._label] if self._label else []
        return [GaugeMetricFamily(name, text, labels=labels) for name, text in self._names]

    @staticmethod
    def _answer(ask: Callable[[], Sequence[float]]) -> Sequence[float]:
        try:
            return ask()
        except Exception:
            _unreadable.inc()
            return ()


class _Beside(Reading[Sequence[float]]):
    """Gauges that a dependency must be asked for."""

    all: ClassVar[dict[int, _Beside]] = {}

    def __init__(self, ask: Callable[[], Sequence[float]], source: str) -> None:
        super().__init__(ask, source=source, timeout=READ_SECONDS, fresh=0.0)
        _Beside.all[id(self)] = self

    def end(self) -> None:
        if _Beside.all.pop(id(self), None) is not None:
            self.close()

    @property
    def age(self) -> float:
        return time.monotonic() - self.answered_at

    def shown(self) -> Sequence[float]:
        """What was answered last, if that is not too long ago."""
        if self.error is not None or self.is_pending:
            _unreadable.inc()
        return self.answer if self.answer is not None and self.age < STALE_SECONDS else ()


class _Ages(Collector):
    """How old the oldest thing is that a dependency has said of itself."""

    def describe(self) -> Iterable[Metric]:
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        ages: dict[str, float] = {}
        for reading in list(_Beside.all.values()):
            if reading.answer is not None:
                ages[reading.source] = max(ages.get(reading.source, 0.0), reading.age)
        family = self._family()
        for source, age in ages.items():
            family.add_metric([source], age)
        return [family]

    @staticmethod
    def _family() -> GaugeMetricFamily:
        text = "Age of what a dependency said when it was asked last; grows while it does not answer"
        return GaugeMetricFamily("doran_reading_age_seconds", text, labels=["source"])


REGISTRY.register(_Ages())
_requests = Histogram(
    "doran_http_request_duration_seconds",
    "REST calls by route template, method and status class",
    ("route", "method", "status"),
    buckets=_SECONDS,
    registry=REGISTRY,
)
_sockets = Gauge("doran_ws_connections", "Open sockets", registry=REGISTRY)
_closes = Counter("doran_ws_closes_total", "Closed sockets by close code", ("code",), registry=REGISTRY)
_frame_kinds = {kind.__name__: str(kind.__struct_config__.tag) for kind in frames.CLIENT_FRAMES}
_frames = Tally("doran_ws_frames_received", "Frames heard by kind", "type", (*_frame_kinds.values(), "other"))
_batch_sizes = BatchHistogram("doran_commit_batch_size", "Changes in one commit of the chat writer", _SIZES)
_commits = BatchHistogram("doran_commit_duration_seconds", "Time of one commit of the chat writer", _SECONDS)
_repeated = Counter(
    "doran_commits_repeated_total", "Commits tried again: away, conflict, doubt", ("reason",), registry=REGISTRY
)
_deliveries = BatchHistogram("doran_message_delivery_seconds", "From commit to written to a socket", _SECONDS)
_limited = Counter("doran_rate_limited_total", "Refusals by limit", ("limit",), registry=REGISTRY)
_alone = Gauge(
    "doran_limits_alone", "1 while Redis is away and limits are counted by this process alone", registry=REGISTRY
)
_published = Counter(
    "doran_outbox_published_total", "Events the bus took or could not take", ("service", "outcome"), registry=REGISTRY
)
_buried = Counter("doran_dead_lettered_total", "Events put aside", ("subscription",), registry=REGISTRY)
_siblings = Counter(
    "doran_sibling_calls_total",
    "Questions to another service by how they went",
    ("service", "outcome"),
    registry=REGISTRY,
)
_ill_siblings = Gauge(
    "doran_sibling_state", "0 asked as usual, 1 tried with one question, 2 not asked", ("service",), registry=REGISTRY
)
_dropped = Counter("doran_log_keys_dropped_total", "Log facts that were not on the allow list", registry=REGISTRY)
_unreadable = Counter("doran_metrics_unreadable_total", "Gauges that could not be read", registry=REGISTRY)
_bus = Gauge("doran_bus_connected", "1 while the broker can be reached to publish", registry=REGISTRY)
_sent = BatchHistogram("doran_bus_publish_seconds", "Until the broker answered for an event", _SECONDS)
_tried_again = Counter(
    "doran_bus_retries_total",
    "Events that a subscriber could not take and gets again",
    ("subscription",),
    registry=REGISTRY,
)
_deaf = Counter(
    "doran_bus_listening_failures_total",
    "How often listening to the broker broke off",
    ("subscription",),
    registry=REGISTRY,
)
_parked = Counter(
    "doran_bus_parked_total", "What came from the broker and is no event of ours", ("subscription",), registry=REGISTRY
)
_outboxes = Watched(
    [
        ("doran_outbox_unpublished", "Events that wait to be published"),
        ("doran_outbox_oldest_unpublished_age_seconds", "Age of the oldest event that waits"),
        ("doran_outbox_parked", "Events that cannot be published and wait as dead letters"),
        ("doran_outbox_lanes", "Lanes of the outbox that this process carries"),
    ],
    "service",
)
_hints_heard = Counter("doran_hints_heard_total", "What other processes said at once and was heard", registry=REGISTRY)
_hints_dropped = Counter("doran_hints_dropped_total", "What could not be said at once to others", registry=REGISTRY)
_commits_unheard = Counter(
    "doran_commits_unheard_total", "Commits of others found in the database before they were heard", registry=REGISTRY
)
_holes_read = Counter("doran_holes_read_total", "Conversations read because a step was missing", registry=REGISTRY)
_hints_up = Watched([("doran_hints_up", "1 while other processes can be told at once and heard")], None)
_dead_letters = Watched([("doran_dead_letters", "Events that could not be handled and wait")], "service")
_writer_queue = Watched([("doran_writer_queue", "Changes that wait for the chat writer")], None)
_memory = Watched(
    [("doran_memory_entries", "What this process keeps in memory, by kind; all of it is bounded")], "kind"
)
_memory_bounds = Watched([("doran_memory_entries_bound", "How many of a kind there may be, for queues")], "kind")
_wal = Watched([("doran_sqlite_wal_bytes", "Size of the write-ahead log of a SQLite database")], "service")
_webhooks = Watched(
    [
        ("doran_webhook_waiting", "Events that wait for an endpoint that is enabled"),
        ("doran_webhook_oldest_waiting_age_seconds", "How long the longest of them has waited"),
    ],
    None,
)
_webhook_attempts = Histogram(
    "doran_webhook_attempt_seconds",
    "Requests to endpoints by what they met: a class of status, or why no answer came",
    ("outcome",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
_webhooks_given_up = Counter("doran_webhook_given_up_total", "Events put aside as failed", registry=REGISTRY)
_webhooks_disabled = Counter("doran_webhook_disabled_total", "Endpoints disabled", ("reason",), registry=REGISTRY)
_build = Gauge("doran_build_info", "What runs here", ("version", "python"), registry=REGISTRY)
_build.labels(doran.__version__, platform.python_version()).set(1)
ProcessCollector(registry=REGISTRY)


def request_served(method: str, route: str, status: int, seconds: float) -> None:
    """`route` is the template of the path, never the path itself."""
    known = method if method in _METHODS else "other"
    _requests.labels(route or "none", known, f"{status // 100}xx").observe(seconds)


def socket_opened() -> None:
    _sockets.inc()


def socket_closed(code: int) -> None:
    _sockets.dec()
    _closes.labels(str(code) if code in _CLOSE_CODES else "other").inc()


def frame_heard(kind: str) -> None:
    """`kind` is the name of the frame's class in `contracts.frames`. On the event loop only."""
    _frames.counts[_frame_kinds.get(kind, "other")] += 1


def batch_committed(size: int, seconds: float) -> None:
    _batch_sizes.observe(size)
    _commits.observe(seconds)


def commit_repeated(reason: str) -> None:
    """The database was `away`, somebody was in the way (`conflict`), or did it happen (`doubt`)?"""
    _repeated.labels(reason).inc()


def delivered(count: int, seconds: float) -> None:
    """`count` frames were written to sockets, `seconds` after their commit."""
    _deliveries.observe(seconds, count)


def rate_limited(limit: str) -> None:
    """`limit` is the name of the setting that was passed."""
    _limited.labels(limit).inc()


def limits_alone(is_alone: bool) -> None:
    """Whether the limits that processes share are now counted by this one for itself."""
    _alone.set(is_alone)


def hints_heard(count: int) -> None:
    """Something another process said at once, such as its commit, arrived here."""
    _hints_heard.inc(count)


def hints_dropped(count: int) -> None:
    """Something was not said, because Redis was away or too slow; others find it in the database."""
    _hints_dropped.inc(count)


def commits_unheard(count: int) -> None:
    """A commit of another process was found in the feed instead of being heard."""
    _commits_unheard.inc(count)


def holes_read(count: int) -> None:
    """What a conversation's screens here were not told in time was read from the tables."""
    _holes_read.inc(count)


def watch_hints(are_heard: Callable[[], bool]) -> None:
    """`are_heard` tells whether other processes can be told at once, and heard."""
    _hints_up.watch("", lambda: (1.0 if are_heard() else 0.0,))


def events_published(service: str, count: int, *, outcome: str = "ok") -> None:
    _published.labels(service, outcome).inc(count)


def event_dead_lettered(subscription: str) -> None:
    _buried.labels(subscription).inc()


def sibling_asked(service: str, outcome: str) -> None:
    """`outcome`: ok, failed, retried, busy, open."""
    _siblings.labels(service, outcome).inc()


def sibling_state(service: str, state: int) -> None:
    _ill_siblings.labels(service).set(state)


def bus_connected(is_connected: bool) -> None:
    """Whether a broker can be reached to publish; without one this is never said."""
    _bus.set(is_connected)


def events_sent(count: int, seconds: float) -> None:
    """A broker has answered for `count` events, `seconds` after it was asked."""
    _sent.observe(seconds, count)


def event_tried_again(subscription: str) -> None:
    _tried_again.labels(subscription).inc()


def listening_failed(subscription: str) -> None:
    _deaf.labels(subscription).inc()


def event_parked(subscription: str) -> None:
    _parked.labels(subscription).inc()


def webhook_attempted(outcome: str, seconds: float) -> None:
    """`outcome` is a status, or a word of ours for why there is none."""
    _webhook_attempts.labels(f"{outcome[0]}xx" if outcome.isdigit() else outcome).observe(seconds)


def webhook_given_up(count: int) -> None:
    _webhooks_given_up.inc(count)


def webhook_disabled(reason: str) -> None:
    _webhooks_disabled.labels(reason).inc()


def log_keys_dropped(count: int) -> None:
    _dropped.inc(count)


def watch_outbox(
    service: str, ask: Callable[[], tuple[int, float, int, int]], *, source: str = ""
) -> Callable[[], None]:
    """`ask` tells how many events wait, the age of the oldest in seconds, how many are parked, how many lanes are ours."""
    return _outboxes.watch(service, ask, source=source)


def watch_dead_letters(service: str, ask: Callable[[], int], *, source: str = "") -> Callable[[], None]:
    return _dead_letters.watch(service, lambda: (ask(),), source=source)


def watch_webhooks(ask: Callable[[], tuple[int, float]], *, source: str = "") -> Callable[[], None]:
    """`ask` tells how many events wait for endpoints and the age of the oldest in seconds."""
    return _webhooks.watch("", ask, source=source)


def watch_memory(kind: str, count: Callable[[], int]) -> Callable[[], None]:
    """`count` tells how many entries there are of what may grow with users, conversations or events."""
    return _memory.watch(kind, lambda: (count(),))


def watch_memory_bound(kind: str, most: int) -> Callable[[], None]:
    return _memory_bounds.watch(kind, lambda: (most,))


def watch_wal(service: str, size: Callable[[], int]) -> Callable[[], None]:
    return _wal.watch(service, lambda: (size(),))


def watch_writer_queue(ask: Callable[[], int]) -> None:
    _writer_queue.watch("", lambda: (ask(),))


def render() -> tuple[bytes, str]:
    """Everything as Prometheus text, and its content type. Asks databases, but waits only for a glance: not for the
    event loop."""
    refresh(_Beside.all.values(), seconds=_GLANCE)
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
