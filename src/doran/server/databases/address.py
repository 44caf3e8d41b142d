"""A database URL, taken apart and checked. Nothing of it is ever quoted: it holds a password."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from doran.kernel.config import BadSetting


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is, and as whom we come. `variable` is the setting that said so.

    `path` is what follows the host: of a server the name of the database after its slash.
    """

    variable: str
    engine: str
    user: str
    password: str
    host: str
    port: int | None
    path: str
    options: Mapping[str, str]

    @classmethod
    def of(cls, url: str, *, variable: str) -> Address:
        """Raises `BadSetting` for what is no URL."""
        if "#" in url:
            raise BadSetting(f"{variable}: '#' must be written as %23")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise BadSetting(f"{variable}: the host or the port in it cannot be read") from None
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        host = unquote(parts.hostname or "")
        return cls(variable, parts.scheme, user, password, host, port, unquote(parts.path), _options(parts, variable))

    @property
    def name(self) -> str:
        """The database on its server. Raises `BadSetting` if none is named."""
        name = self.path.removeprefix("/")
        if not name or "/" in name:
            self.refuse("the name of the database must follow the host, as in //user:password@host/name")
        return name

    def check(self, *allowed: str, socket: str) -> None:
        """Raises `BadSetting` unless somebody comes somewhere, with options that are known. `socket` is one of them."""
        if unknown := sorted(self.options.keys() - {*allowed, socket}):
            self.refuse(f"unknown option {', '.join(unknown)}; known are {', '.join(sorted({*allowed, socket}))}")
        if not self.user:
            self.refuse("a user must be named, as in //user:password@host/name")
        if not self.host and socket not in self.options:
            self.refuse(f"a host must be named, or a socket on this machine with ?{socket}=/path")

    def file(self, option: str) -> str:
        """The path of a file that must be readable."""
        path = self.options[option]
        if not os.access(path, os.R_OK):
            self.refuse(f"the file of {option} cannot be read")
        return path

    def choice(self, option: str, *choices: str, default: str) -> str:
        """One of these words, whatever its case."""
        word = self.options.get(option, default)
        found = next((one for one in choices if one.lower() == word.lower()), None)
        return found or self.refuse(f"{option} must be one of {', '.join(choices)}")

    def refuse(self, sentence: str) -> NoReturn:
        raise BadSetting(f"{self.variable}: {sentence}")


def _options(parts: SplitResult, variable: str) -> dict[str, str]:
    try:
        found = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise BadSetting(f"{variable}: what follows '?' must be name=value pairs") from None
    if len(dict(found)) < len(found):
        raise BadSetting(f"{variable}: an option is given twice")
    return dict(found)
