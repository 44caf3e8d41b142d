"""What an inbox remembers: the events that took effect."""

from __future__ import annotations

from django.db import models


class AbstractInbox(models.Model):
    """An event this service has handled; written in the same transaction as its effect."""

    event_id = models.UUIDField()
    subscription = models.CharField(max_length=128)
    handled_at = models.DateTimeField()

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(fields=["event_id", "subscription"], name="%(app_label)s_inbox_once"),
        ]
