"""Passwords: which ones are refused, and how they are hashed.

A hash takes tens of milliseconds of all cores. Calls that hash have threads and a queue of their own (`server/pools.py`,
where a new one is named), so that a flood of log-ins leaves the threads of other calls alone.
"""

from __future__ import annotations

import threading
import unicodedata
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from doran.contracts.errors import FieldError, Problem
from doran.core import texts

LEAST: Final = 8
MOST: Final = 256


def check(password: str, *, username: str) -> None:
    """Refuse what can be guessed. Raises `Problem("weak_password")` with the reason."""
    reason = _weakness(_normal(password), username)
    if reason:
        raise Problem("weak_password", reason, errors=(FieldError("password", reason),))


def _weakness(password: str, username: str) -> str | None:
    plain = password.casefold()
    if len(password) < LEAST:
        return f"Use at least {LEAST} characters."
    if len(password) > MOST:
        return f"Use at most {MOST} characters."
    if plain == texts.handle(username):
        return "The password must not be the user name."
    if plain in _common() or plain.rstrip("0123456789!.") in _common():
        return "This is one of the passwords that are tried first."
    return "Use a less regular password." if _is_regular(plain) else None


def _is_regular(text: str) -> bool:
    """One or two characters over and over, or a plain run such as abcdefgh or 87654321."""
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    return len(set(text)) <= 2 or steps in ({1}, {-1})


@cache
def _common() -> frozenset[str]:
    text = files("doran.core").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(word for word in text.split("\n") if word and not word.startswith("#"))


def _normal(password: str) -> str:
    """One spelling of what was typed, whatever keyboard it came from (NFC)."""
    return unicodedata.normalize("NFC", password)


class Passwords:
    """Hashes and compares with Argon2id."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._decoy = self._hasher.hash("nobody has this password")

    def hash(self, password: str) -> str:
        """Return what is stored."""
        return self._hasher.hash(_normal(password))

    def fits(self, password: str, stored: str | None) -> bool:
        """Whether this is the password. Costs the same when there is none (`stored` is None)."""
        return self._compare(stored or self._decoy, password) and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _compare(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, _normal(password))
        except (VerificationError, InvalidHashError):
            return False


_lock = threading.Lock()
_passwords: Passwords | None = None


def use(passwords: Passwords | None) -> None:
    """Make this the hasher of the process; None: the default one."""
    global _passwords
    _passwords = passwords


def in_use() -> Passwords:
    """The hasher of this process: Argon2id with the library's parameters."""
    global _passwords
    with _lock:
        if _passwords is None:
            _passwords = Passwords()
        return _passwords
