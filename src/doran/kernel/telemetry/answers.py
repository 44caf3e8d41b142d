"""What is counted of the AI's jobs and what they cost. No label ever names a person, a conversation or a word."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter, Histogram

from doran.kernel.telemetry.metrics import REGISTRY, Watched

_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)

_asked = Counter("doran_ai_jobs_asked_total", "Jobs that were asked for", ("kind",), registry=REGISTRY)
_ended = Counter("doran_ai_jobs_total", "Jobs that ended, by how", ("kind", "state"), registry=REGISTRY)
_failures = Counter("doran_ai_failures_total", "Jobs that failed, by their failure_code", ("code",), registry=REGISTRY)
_seconds = Histogram(
    "doran_ai_job_seconds",
    "From the question to the end of a job, waiting included",
    ("kind",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
_cost = Counter(
    "doran_ai_cost_total", "What answers cost, in the currency of the prices", ("provider",), registry=REGISTRY
)
_tokens = Counter(
    "doran_ai_tokens_total",
    "Tokens that a provider counted: read (`in`) and written (`out`)",
    ("provider", "direction"),
    registry=REGISTRY,
)
_told = Counter("doran_ai_frames_total", "Frames for the screens of who asked", ("outcome",), registry=REGISTRY)
_jobs = Watched(
    [
        ("doran_ai_jobs_waiting", "Jobs that wait"),
        ("doran_ai_jobs_running", "Jobs that somebody works on"),
        ("doran_ai_oldest_waiting_age_seconds", "For how long the oldest job that waits has been due"),
        ("doran_ai_off", "1 while the operator has switched the AI off"),
    ],
    None,
)


def job_asked(kind: str) -> None:
    _asked.labels(kind).inc()


def job_ended(kind: str, state: str, code: str, seconds: float) -> None:
    _ended.labels(kind, state).inc()
    _seconds.labels(kind).observe(seconds)
    if code:
        _failures.labels(code).inc()


def answer_paid(provider: str, *, cost_micros: int, tokens_in: int, tokens_out: int) -> None:
    """What one request took, also where its answer was thrown away."""
    _cost.labels(provider).inc(cost_micros / 1e6)
    _tokens.labels(provider, "in").inc(tokens_in)
    _tokens.labels(provider, "out").inc(tokens_out)


def screens_told(outcome: str) -> None:
    """`ok`, `lost` where chat was away, `dropped` where too many waited."""
    _told.labels(outcome).inc()


def watch_jobs(ask: Callable[[], tuple[float, ...]], *, source: str = "") -> Callable[[], None]:
    """How many wait and run, the age of the oldest in seconds, and whether the AI is off."""
    return _jobs.watch("", ask, source=source)
