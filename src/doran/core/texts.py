"""User names and their unique form, and the text policy as errors of fields."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from doran.contracts.errors import FieldError
from doran.text import policy

_HANDLE: Final = re.compile(r"[a-z0-9가-힣][a-z0-9가-힣_.-]{1,31}")

DISPLAY_NAME_LENGTH: Final = 100
USERNAME_RULE: Final = "Use 2 to 32 letters (a to z, 가 to 힣), digits, or _ . - and begin with a letter or digit."

line = policy.one_line


def shown_username(typed: str) -> str:
    """A user name in one spelling, its capitals kept."""
    return unicodedata.normalize("NFKC", typed)


def handle(typed: str) -> str:
    """What makes a user name unique: NFKC, without capitals; and without NUL, which no PostgreSQL can be asked for."""
    return unicodedata.normalize("NFKC", shown_username(typed).casefold()).replace("\0", "\ufffd")


def wrong_username(typed: str) -> FieldError | None:
    fits = len(typed) <= 128 and _HANDLE.fullmatch(handle(typed)) and len(shown_username(typed)) <= 32
    return None if fits else FieldError("username", USERNAME_RULE)


def wrong_display_name(text: str) -> FieldError | None:
    return wrong_line("display_name", text, most=DISPLAY_NAME_LENGTH, least=1)


def wrong_line(field: str, text: str, *, most: int, least: int = 0) -> FieldError | None:
    """Return the refusal of a name by the text policy as an error of this field."""
    refusal = policy.refusal_of_name(text, most=most, least=least)
    return None if refusal is None else FieldError(field, refusal)
