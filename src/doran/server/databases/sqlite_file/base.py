"""Django's connection to a SQLite file, which checks for a lost file before each transaction and after each commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.db.backends.sqlite3 import base

from doran.server.databases import served_files


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        """Return parameters that open a served file and never create it."""
        params: dict[str, Any] = super().get_connection_params()
        if served_files.is_watched(self._path):
            params["database"] = f"{Path(self._path).absolute().as_uri()}?mode=rw"
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        served_files.refuse_lost(self._path)
        return super().get_new_connection(conn_params)

    def create_cursor(self, name: str | None = None) -> Any:
        """Check the file once when a transaction begins, and before each statement outside of one."""
        if not self.in_atomic_block:
            served_files.refuse_lost(self._path)
        return super().create_cursor(name)

    def _commit(self) -> None:
        """Commit, then raise `LostFile` if the file is lost: such a commit must not be acknowledged."""
        super()._commit()  # type: ignore[misc]  # Django's, which the stubs leave out
        served_files.refuse_lost(self._path)

    @property
    def _path(self) -> str:
        return str(self.settings_dict["NAME"])
