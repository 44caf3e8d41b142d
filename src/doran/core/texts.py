"""What people may call themselves: handles, display names, status lines, and what is refused in them."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from doran.contracts.errors import FieldError

_HANDLE: Final = re.compile(r"[a-z0-9가-힣][a-z0-9가-힣_.-]{1,31}")
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_JOINERS: Final = frozenset("\u200c\u200d")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

DISPLAY_NAME_LENGTH: Final = 100
USERNAME_RULE: Final = "Use 2 to 32 letters (a to z, 가 to 힣), digits, or _ . - and begin with a letter or digit."


def shown_username(typed: str) -> str:
    """A user name in one spelling, its capitals kept."""
    return unicodedata.normalize("NFKC", typed)


def handle(typed: str) -> str:
    """What makes a user name unique: NFKC, without capitals; and without NUL, which no PostgreSQL can be asked for."""
    return unicodedata.normalize("NFKC", shown_username(typed).casefold()).replace("\0", "\ufffd")


def wrong_username(typed: str) -> FieldError | None:
    fits = len(typed) <= 128 and _HANDLE.fullmatch(handle(typed)) and len(shown_username(typed)) <= 32
    return None if fits else FieldError("username", USERNAME_RULE)


def line(typed: str) -> str:
    """One line of text as it is kept: composed, without blanks around it."""
    return unicodedata.normalize("NFC", typed).strip()


def wrong_display_name(text: str) -> FieldError | None:
    return wrong_line("display_name", text, most=DISPLAY_NAME_LENGTH, least=1)


def wrong_line(field: str, text: str, *, most: int, least: int = 0) -> FieldError | None:
    """Refuse control, direction and other unseen characters: a name must look like what it is."""
    if len(text) > most:
        return FieldError(field, f"Use at most {most} characters.")
    if any(unicodedata.category(sign) in _UNSEEN and sign not in _JOINERS for sign in text):
        return FieldError(field, "Control, direction and other invisible characters are not allowed.")
    if text and not _can_be_seen(text):
        return FieldError(field, "Use characters that can be seen.")
    return FieldError(field, "Use at least one character.") if len(text) < least else None


def _can_be_seen(text: str) -> bool:
    return any(
        not sign.isspace() and sign not in _BLANK and unicodedata.category(sign)[0] not in "CZM" for sign in text
    )
