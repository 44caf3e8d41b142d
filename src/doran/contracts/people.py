"""People whom every service knows before anybody has signed up."""

from typing import Final

ASSISTANT_ID: Final = "00000000-0000-7000-8000-000000000001"
"""The assistant: a person of kind `bot`, the same in every deployment. Of the form of core's own ids, and before all of
them, so that nobody else can ever be given it."""
