"""The last good key set of each issuer, in a service's own database: a restart while the issuer is away costs nobody."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models

from doran.kernel import clock
from doran.kernel.doors import commit, directly, home, look


class AbstractKeySet(models.Model):
    """What an issuer published when it was last asked. Every copy of the service writes and may read it."""

    issuer = models.CharField(primary_key=True, max_length=255)
    document = models.TextField()
    fetched_at = models.DateTimeField()

    class Meta:
        abstract = True


@dataclass(frozen=True)
class KeptKeys:
    """One issuer's row, as `kernel.jwks.Keep`."""

    model: type[AbstractKeySet]
    issuer: str

    def save(self, document: bytes) -> None:
        values = {"document": document.decode(), "fetched_at": clock.now()}
        database = home(self.model)
        rows = self.model._base_manager.using(database)
        look(database, lambda: commit(directly, database, lambda: rows.update_or_create(values, issuer=self.issuer)))

    def load(self) -> tuple[bytes, float] | None:
        database = home(self.model)
        row = look(database, lambda: self.model._base_manager.using(database).filter(issuer=self.issuer).first())
        if row is None:
            return None
        return row.document.encode(), max(0.0, (clock.now() - row.fetched_at).total_seconds())
