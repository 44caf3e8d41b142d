"""What an inbox remembers: events that took effect, and events that could not."""

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


class AbstractDeadLetter(models.Model):
    """An event that could not be handled, with the reason; it and later ones of its key wait."""

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField()
    subscription = models.CharField(max_length=128)
    event_type = models.CharField(max_length=64)
    key = models.CharField(max_length=255)
    envelope = models.TextField()
    reason = models.TextField()
    failed_at = models.DateTimeField()

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(fields=["event_id", "subscription"], name="%(app_label)s_dead_letter_once"),
        ]
        indexes = [models.Index(fields=["subscription", "key"], name="%(app_label)s_dead_letter_key")]
