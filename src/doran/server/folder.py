"""The data folder: private, held by one running server, home of the key that seals secrets."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from doran.kernel.config import Config
from doran.server import admin, databases
from doran.server.exits import Refused, plainly

SECRET = "secret_key"  # noqa: S105  a file name
RESTORING = "restoring"
MADE = "made"
"""Names the services whose databases were made in this folder, so that a missing file is not made anew."""
_held: list[int] = []


def look(folder: Path) -> None:
    """Refuse a folder that cannot be used, without making anything."""
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise Refused("unwritable", f"{nearest.resolve()} is not a folder: choose another with --data.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise Refused(
            "unwritable", f"{nearest.resolve()} cannot be written by this user: choose another folder with --data."
        )


def is_needed(config: Config) -> bool:
    """Whether anything of these services lives in it: a database without a URL, or a secret that was not given."""
    return _holds_database(config) or _needs_secret(config)


def prepare(config: Config) -> Config:
    """Make the folder and its secret where they are missing. The settings come back with the secret.

    Refuses a folder whose databases are only half put back, or lack a file.
    """
    if not is_needed(config):
        return config
    folder = Path(config.data)
    refuse_half_restored(folder)
    refuse_lost(config)
    with plainly(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return config.replace(secret_key=_secret(folder)) if _needs_secret(config) else config


def refuse_half_restored(folder: Path) -> None:
    if (folder / RESTORING).exists():
        raise Refused("bad_database", f"A restore into {folder} did not come to its end: run `doran restore` again.")


def refuse_lost(config: Config) -> None:
    """Raise `Refused` where a database that was made in this folder is missing or empty."""
    folder = Path(config.data)
    for service in _made(folder) & _kept_here(config):
        file = folder / f"{service}.sqlite3"
        if not file.exists() or not file.stat().st_size:
            raise Refused(
                "lost_database",
                f"{file} was made here and is {'empty' if file.exists() else 'missing'}: put it back, or a copy by `doran "
                f"restore COPY --data {folder} --replace`; to start with a new, empty one, remove {folder / MADE} first.",
            )


def note_made(config: Config) -> None:
    """Note which databases this folder holds from now on."""
    folder = Path(config.data)
    if here := _kept_here(config) - _made(folder):
        with plainly(folder):
            whole(folder / MADE, "".join(f"{name}\n" for name in sorted(_made(folder) | here)).encode("ascii"))


def _made(folder: Path) -> set[str]:
    with plainly(folder / MADE):
        return set((folder / MADE).read_text("ascii").split()) if (folder / MADE).exists() else set()


def _kept_here(config: Config) -> set[str]:
    return {service for service in config.services if not getattr(config, f"{service}_database")}


def found(config: Config) -> Config:
    """The settings with the secret that is in the folder. Makes nothing.

    Raises `Refused` where a database that should be a file, or a secret that these services need, is not there.
    """
    folder = Path(config.data)
    refuse_half_restored(folder)
    for service in config.services:
        refuse_missing(service, config)
    if not _needs_secret(config):
        return config
    with plainly(folder / SECRET):
        if not (folder / SECRET).exists():
            raise Refused(
                "bad_setting",
                f"The secret key is neither in DORAN_SECRET_KEY nor in {folder}: give the one that the servers have.",
            )
        return config.replace(secret_key=_secret(folder))


def refuse_missing(service: str, config: Config) -> None:
    """Raises `Refused` where the database of this service is a file, and there is none."""
    if not is_there(service, config):
        raise Refused(
            "not_found",
            f"There is no database {databases.database(service, config)['NAME']}: name its folder with --data or its URL "
            f"with DORAN_{service.upper()}_DATABASE, or start Doran there first.",
        )


def is_there(service: str, config: Config) -> bool:
    """Whether the database of this service is on a server, or a file that exists."""
    opened = databases.database(service, config)
    return "sqlite" not in opened["ENGINE"] or Path(opened["NAME"]).exists()


def _holds_database(config: Config) -> bool:
    return not all(getattr(config, f"{service}_database") for service in config.services)


def _needs_secret(config: Config) -> bool:
    """Core seals things, the admin signs its sessions: every copy with the same secret."""
    return ("core" in config.services or admin.is_on(config)) and not config.secret_key


@contextmanager
def whole_or_not(folder: Path) -> Iterator[None]:
    """A folder that is not there yet is made completely in this block, or taken away again."""
    was_there = folder.exists()
    try:
        yield
    except BaseException:
        if not was_there:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def hold(config: Config) -> None:
    """Keep other servers out of a folder with databases until this process ends.

    Two would not see each other's people.
    """
    folder = Path(config.data)
    if not _holds_database(config):
        return
    with plainly(folder):
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as wrong:
        os.close(lock)
        if wrong.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise Refused(
            "in_use", f"Another Doran is using {folder}: stop it, or choose another folder with --data."
        ) from None
    _held.append(lock)


def whole(file: Path, content: bytes) -> None:
    """The file appears with all of its content, in the place of what was there, or stays as it was."""
    handle, unfinished = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    with os.fdopen(handle, "wb") as new:
        new.write(content)
        new.flush()
        os.fsync(new.fileno())
    os.replace(unfinished, file)


def _secret(folder: Path) -> str:
    path = folder / SECRET
    if not path.exists():
        _write_once(path, secrets.token_urlsafe(48))
    return path.read_text(encoding="ascii").strip()


def _write_once(path: Path, text: str) -> None:
    """The file appears whole or not at all, and never replaces one that is there."""
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)
    except FileExistsError:
        pass  # another start was faster; its secret is as good
    finally:
        os.unlink(unfinished)
