"""What a start looks at before it touches anything: settings that are read late, and files with secrets.

A server that will not come up because of them must not have brought a database up to date first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from doran.kernel import config as settings
from doran.kernel import secret_files
from doran.kernel.config import Config
from doran.server import databases, folder
from doran.server.exits import Refused
from doran.server.telling import say


def refuse_unsafe(config: Config) -> None:
    """Raises `Refused` for what production mode does not run with."""
    if config.production and (found := [*settings.unsafe(config), *exposed(config)]):
        raise Refused("bad_setting", f"production mode refuses these settings: {'; '.join(found)}.")


def exposed(config: Config) -> Iterator[str]:
    """A sentence for each file with a secret that others can reach, but for those that only ai's table names."""
    return _sentences(_named(config))


def look(config: Config) -> None:
    """Raises `BadSetting` for what could not be opened later. In development, says what production would refuse."""
    from doran.kernel import auth
    from doran.kernel.bus.opening import open_bus

    open_bus(config.bus, listeners=config.listeners)
    auth.verifier(config, own_keys=bytes if "core" in config.services else None)
    if "core" in config.services:
        _try_name(config)
    files = _key_files(config) if "ai" in config.services else []
    for sentence in () if config.production else _sentences([*_named(config), *files]):
        say(f"Warning: {sentence}")


def _try_name(config: Config) -> None:
    """The assistant's name, which core reads when its database is there."""
    from doran.core import assistant_name

    assistant_name.told(config)


def _sentences(files: Iterator[tuple[str, Path]] | list[tuple[str, Path]]) -> Iterator[str]:
    return (f"{name} {said}" for name, file in files if (said := secret_files.exposed(file)))


def _named(config: Config) -> Iterator[tuple[str, Path]]:
    for variable, file in config.files.items():
        yield f"the file of {variable}", file
    for service in config.services:
        yield from _database_key(settings.SETTINGS[f"{service}_database"], config)
    if folder.is_needed(config):
        yield "the secret key", Path(config.data) / folder.SECRET


def _database_key(setting: settings.Setting, config: Config) -> Iterator[tuple[str, Path]]:
    url = getattr(config, setting.name)
    if url and (key := databases.key_file(url, setting.variable)):
        yield f"the key in {setting.variable}", key


def _key_files(config: Config) -> list[tuple[str, Path]]:
    """Those of the table of providers, which is read for it, as are the models of this machine."""
    from doran.ai.providers import table

    table.told(config)
    return [(f"the key_file of {whose!r}", file) for whose, file in table.read(config).key_files]
