"""What is counted of AI providers. Their names are those of the settings; no label ever holds a word of a question."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from doran.kernel.telemetry.metrics import REGISTRY

_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0)

_asked = Counter(
    "doran_ai_provider_calls_total",
    "Questions to a provider by how they went",
    ("provider", "outcome"),
    registry=REGISTRY,
)
_states = Gauge(
    "doran_ai_provider_state",
    "0 asked as usual, 1 tried with one question, 2 not asked",
    ("provider",),
    registry=REGISTRY,
)
_first_tokens = Histogram(
    "doran_ai_first_token_seconds",
    "From the question until a provider began its answer",
    ("provider",),
    buckets=_SECONDS,
    registry=REGISTRY,
)
_letters = Counter(
    "doran_ai_translated_letters_total",
    "Letters that a translation engine got and translated",
    ("provider",),
    registry=REGISTRY,
)


def provider_asked(provider: str, outcome: str) -> None:
    """`outcome`: ok, failed, refused, retried, busy, open, left."""
    _asked.labels(provider, outcome).inc()


def letters_translated(provider: str, letters: int) -> None:
    _letters.labels(provider).inc(letters)


def provider_state(provider: str, state: int) -> None:
    _states.labels(provider).set(state)


def provider_began(provider: str, seconds: float) -> None:
    """The first words of an answer came, `seconds` after it was asked for."""
    _first_tokens.labels(provider).observe(seconds)
