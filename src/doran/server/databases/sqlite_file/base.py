"""Django's connection to a SQLite file, with a look at the path before each transaction and after each commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base

from doran.server.databases import served_files


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        """A file that is served is opened, and never made anew."""
        params: dict[str, Any] = super().get_connection_params()
        if served_files.is_watched(self._path):
            params["database"] = f"{Path(self._path).absolute().as_uri()}?mode=rw"
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        served_files.refuse_lost(self._path)
        return super().get_new_connection(conn_params)

    def create_cursor(self, name: str | None = None) -> Any:
        """Look once for each transaction, when it begins, and once for each statement outside of one."""
        if not self.in_atomic_block:
            served_files.refuse_lost(self._path)
        return super().create_cursor(name)

    def _commit(self) -> None:
        """Raise `LostFile` if the file was lost by the time of the commit: what is in it is nobody's promise."""
        super()._commit()  # type: ignore[misc]  # Django's, which the stubs leave out
        served_files.refuse_lost(self._path)

    @property
    def _path(self) -> str:
        return str(self.settings_dict["NAME"])
