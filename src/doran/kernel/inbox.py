"""Events arrive by the inbox: handled twice happens once, and what cannot be handled waits."""

from __future__ import annotations

from django.db import models


class AbstractInbox(models.Model):
    """An event this service has handled; written in the same transaction as its effect."""

    event_id = models.UUIDField()
    subscription = models.CharField(max_length=128)
    handled_at = models.DateTimeField()

    class Meta:
        abstract = True


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
