"""What ai does when it hears of something. Without a provider there is nothing to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

SUBSCRIPTIONS: Final[Mapping[str, Callable[[Any], None]]] = {}
