"""Events leave by the outbox: written in the change's own transaction, published afterwards."""

from __future__ import annotations

from django.db import models


class AbstractOutbox(models.Model):
    """An event that waits to be published. Each service has its own table; a published row is gone.

    Rows of one `key` are published in the order of `id`, which is the order of their commits,
    because whoever writes for a key holds that key's row.
    """

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField()
    event_type = models.CharField(max_length=64)
    schema_version = models.PositiveSmallIntegerField(default=1)
    key = models.CharField(max_length=255)
    data = models.TextField()
    timestamp = models.DateTimeField()
    trace_id = models.CharField(max_length=32, default="")
    attempts = models.PositiveIntegerField(default=0)
    retry_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True
