"""The one door by which webhooks write beside the people of core: many events and results share a commit."""

from __future__ import annotations

from typing import Final

from doran.kernel.doors import Together

together: Final = Together("core")
