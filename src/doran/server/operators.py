"""The `doran operator` command: who may look after Doran in its admin. Operators are not among core's people."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Any, Final

from doran.kernel import secret_files
from doran.server import admin
from doran.server.exits import Refused
from doran.server.telling import say, table

MOST_BYTES: Final = 1024


def add(name: str, password_file: Path | None, *, production: bool) -> None:
    """A new operator, or a new password for one that is known: it ends their sessions."""
    operators = _operators()
    known = operators.objects.filter(username=name).first()
    operator = known or operators(username=name, is_staff=True, is_superuser=True)
    _check(operator, password := _password(password_file, production=production))
    operator.set_password(password)
    operator.save()
    say(f"{name} has a new password." if known else f"{name} may log in at {admin.PATH}.")


def remove(name: str) -> None:
    """Nobody of this name may log in any more. What they did stays in the admin's history, without them."""
    operator = _operators().objects.filter(username=name).first()
    if operator is None:
        raise Refused("not_found", f"No operator is called {name}.")
    operator.is_active = False
    operator.set_unusable_password()
    operator.save()
    say(f"{name} may not log in any more.")


def list_all() -> None:
    found = _operators().objects.order_by("username")
    rows = [(one.username, "yes" if one.is_active else "no", str(one.last_login or "")[:19]) for one in found]
    say(table([("operator", "may log in", "last log-in (UTC)"), *rows]) if rows else "There is no operator yet.")


def may_be_here() -> bool:
    """Whether the settings ask for an admin in this process."""
    from django.apps import apps

    return apps.is_installed("django.contrib.auth")


def _operators() -> Any:
    from django.apps import apps

    if not may_be_here():
        raise Refused("bad_setting", "There is no admin here: set DORAN_ADMIN=yes for processes that serve ai.")
    users: Any = apps.get_app_config("auth").get_model("User")
    return users


def _check(operator: Any, password: str) -> None:
    from django.contrib.auth.password_validation import validate_password
    from django.core.exceptions import ValidationError

    try:
        operator.full_clean(exclude=["password"], validate_unique=False)
        validate_password(password, operator)
    except ValidationError as wrong:
        raise Refused("bad_setting", " ".join(wrong.messages)) from None


def _password(file: Path | None, *, production: bool) -> str:
    if file is not None:
        _look_who_reads(file, production=production)
        return _read(file)
    if not sys.stdin.isatty():
        raise Refused("bad_setting", "Nobody can be asked for a password here: name a file with --password-file.")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise Refused("bad_setting", "These are two different passwords.")
    return password


def _look_who_reads(file: Path, *, production: bool) -> None:
    if said := secret_files.exposed(file):
        if production:
            raise Refused("bad_setting", f"production mode refuses this password: its file {said}.")
        say(f"Warning: the file of the password {said}")


def _read(file: Path) -> str:
    try:
        return file.read_bytes()[:MOST_BYTES].decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise Refused("not_found", f"{file} cannot be read as a password.") from None
