"""The smallest service: it says events, hears events, and keeps what it heard in one table."""

from __future__ import annotations

from django.db import models

from doran.kernel.inbox import AbstractDeadLetter, AbstractInbox
from doran.kernel.outbox import AbstractOutbox

LABEL = "shop"


class Outbox(AbstractOutbox):
    class Meta:
        app_label = LABEL


class Inbox(AbstractInbox):
    class Meta(AbstractInbox.Meta):
        app_label = LABEL


class DeadLetter(AbstractDeadLetter):
    class Meta(AbstractDeadLetter.Meta):
        app_label = LABEL


class Heard(models.Model):
    """An effect: what was heard, in the order in which it was heard."""

    key = models.CharField(max_length=255)
    what = models.TextField()

    class Meta:
        app_label = LABEL


MODELS = (Outbox, Inbox, DeadLetter, Heard)
