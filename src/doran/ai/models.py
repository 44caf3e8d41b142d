"""What ai stores. Only ai's nouns touch these tables."""

from __future__ import annotations

from django.db import models

from doran.kernel.inbox import AbstractDeadLetter, AbstractInbox
from doran.kernel.outbox import AbstractOutbox

FOREIGN_ID_LENGTH = 255
IDEMPOTENCY_KEY_LENGTH = 64


class Prompt(models.Model):
    """The words a kind of job is put to a provider with. A version never changes once it was used."""

    id = models.UUIDField(primary_key=True)
    kind = models.CharField(max_length=32)
    version = models.PositiveIntegerField()
    text = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "version"], name="prompt_version_once")]


class AiJob(models.Model):
    """One question to a provider, asked by `user_id`, whose rights are checked when it runs."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True)
    user_id = models.CharField(max_length=FOREIGN_ID_LENGTH)
    kind = models.CharField(max_length=32)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    conversation_id = models.CharField(max_length=FOREIGN_ID_LENGTH, null=True)
    message_id = models.CharField(max_length=FOREIGN_ID_LENGTH, null=True)
    input = models.TextField(default="")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, null=True, related_name="+")
    idempotency_key = models.CharField(max_length=IDEMPOTENCY_KEY_LENGTH, null=True)
    failure_code = models.CharField(max_length=32, default="")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user_id", "idempotency_key"], name="job_asked_once")]


class AiResponse(models.Model):
    """What a provider answered to a job."""

    id = models.UUIDField(primary_key=True)
    job = models.OneToOneField(AiJob, on_delete=models.CASCADE, related_name="response")
    content = models.TextField()
    provider = models.CharField(max_length=64)
    created_at = models.DateTimeField()


class Embedding(models.Model):
    """A message as a vector of one model: little-endian 32-bit floats."""

    id = models.UUIDField(primary_key=True)
    message_id = models.CharField(max_length=FOREIGN_ID_LENGTH)
    conversation_id = models.CharField(max_length=FOREIGN_ID_LENGTH, db_index=True)
    model = models.CharField(max_length=64)
    vector = models.BinaryField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["message_id", "model"], name="embedding_once")]


class Outbox(AbstractOutbox):
    pass


class Inbox(AbstractInbox):
    pass


class DeadLetter(AbstractDeadLetter):
    pass
