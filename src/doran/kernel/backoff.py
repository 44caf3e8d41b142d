"""How long to wait before trying again: longer each time, and never all at the same moment."""

from __future__ import annotations

import random


def backoff(attempts: int, longest: float) -> float:
    """Seconds: doubling from 50 ms, never above `longest`, with jitter so that many do not return as one."""
    return min(longest, 0.05 * 2.0 ** min(attempts, 30)) * random.uniform(0.5, 1.0)  # noqa: S311
