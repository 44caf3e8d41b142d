"""What core does when another service says something: nothing yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

SUBSCRIPTIONS: Final[Mapping[str, Callable[[Any], None]]] = {}
