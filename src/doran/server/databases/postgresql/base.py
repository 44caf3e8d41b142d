"""Django's backend for PostgreSQL, whose connections are tried before they are taken up again."""

from __future__ import annotations

from django.db.backends.postgresql import base

from doran.server.databases.waking import Waking


class DatabaseWrapper(Waking, base.DatabaseWrapper):
    pass
