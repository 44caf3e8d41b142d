"""What ai stores. Only ai's nouns touch these tables."""

from __future__ import annotations

from django.db import models

from doran.kernel.dead_letters import AbstractDeadLetter
from doran.kernel.inbox import AbstractInbox
from doran.kernel.keysets import AbstractKeySet
from doran.kernel.outbox import AbstractOutbox, AbstractOutboxLease

FOREIGN_ID_LENGTH = 255
IDEMPOTENCY_KEY_LENGTH = 64
NAME_LENGTH = 64
MODEL_LENGTH = 128


def foreign_id(**options: object) -> models.CharField[str, str]:
    """Another service's id: opaque, compared byte by byte."""
    return models.CharField(max_length=FOREIGN_ID_LENGTH, **options)  # type: ignore[arg-type]


class Prompt(models.Model):
    """The words a kind of job is put to a provider with, in one language. A version that was active never changes.

    `schema` is the JSON Schema of a structured answer, empty where plain text is asked for. `sha256` is over
    template and schema, so that what answered can be told from what stands here.
    """

    class Status(models.TextChoices):
        DRAFT = "draft"
        ACTIVE = "active"
        RETIRED = "retired"

    id = models.UUIDField(primary_key=True)
    key = models.CharField(max_length=32)
    locale = models.CharField(max_length=8)
    version = models.PositiveIntegerField()
    template = models.TextField()
    schema = models.TextField(default="")
    model_hint = models.CharField(max_length=MODEL_LENGTH, default="")
    sha256 = models.CharField(max_length=64)
    status = models.CharField(max_length=8, choices=Status, default=Status.DRAFT)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "locale", "version"], name="prompt_version_once")]

    def __str__(self) -> str:
        return f"{self.key} ({self.locale}) {self.version}"


class AiJob(models.Model):
    """One question, asked by `user_id`, whose rights are checked when it runs.

    Who works on it holds `claim` until `held_until`, and renews it; whoever lost it changes nothing any more.
    `asked_digest` tells a repetition from another question under the same key. `partial` is what streamed so far
    in this attempt. Money is in millionths of the currency of the prices.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True)
    user_id = foreign_id()
    kind = models.CharField(max_length=32)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    conversation_id = foreign_id(null=True)
    message_id = foreign_id(null=True)
    input = models.TextField(default="")
    options = models.TextField(default="{}")
    idempotency_key = models.CharField(max_length=IDEMPOTENCY_KEY_LENGTH, null=True)
    asked_digest = models.BinaryField(max_length=32)
    attempts = models.PositiveIntegerField(default=0)
    claim = models.CharField(max_length=32, default="")
    held_until = models.DateTimeField(null=True)
    due_at = models.DateTimeField()
    deadline_at = models.DateTimeField()
    cancel_requested_at = models.DateTimeField(null=True)
    partial = models.TextField(default="")
    partial_seq = models.PositiveIntegerField(default=0)
    provider = models.CharField(max_length=NAME_LENGTH, default="")
    model = models.CharField(max_length=MODEL_LENGTH, default="")
    tokens_in = models.PositiveIntegerField(default=0)
    tokens_out = models.PositiveIntegerField(default=0)
    reserved_micros = models.BigIntegerField(default=0)
    cost_micros = models.BigIntegerField(default=0)
    failure_code = models.CharField(max_length=32, default="")
    trace_id = models.CharField(max_length=32, default="")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user_id", "idempotency_key"], name="job_asked_once")]
        indexes = [
            models.Index(fields=["state", "due_at"], name="job_due"),
            models.Index(fields=["user_id", "created_at"], name="job_of_person"),
            models.Index(fields=["conversation_id", "kind"], name="job_of_conversation"),
        ]


class AiResponse(models.Model):
    """What was answered to a job, and what it was answered with. `data` is a `JobResult` as JSON.

    `said_at`: the assistant's answer stands in its conversation. `forgotten_at`: a message it rested on was deleted
    since; its words are gone.
    """

    id = models.UUIDField(primary_key=True)
    job = models.OneToOneField(AiJob, on_delete=models.CASCADE, related_name="response")
    data = models.TextField()
    finish_reason = models.CharField(max_length=16, default="")
    prompt = models.ForeignKey(Prompt, on_delete=models.PROTECT, null=True, related_name="+")
    prompt_sha256 = models.CharField(max_length=64, default="")
    provider = models.CharField(max_length=NAME_LENGTH, default="")
    model = models.CharField(max_length=MODEL_LENGTH, default="")
    request_id = models.CharField(max_length=128, default="")
    created_at = models.DateTimeField()
    said_at = models.DateTimeField(null=True)
    forgotten_at = models.DateTimeField(null=True)


class Source(models.Model):
    """A message whose words a job read: so a deletion finds every answer that rests on it."""

    job = models.ForeignKey(AiJob, on_delete=models.CASCADE, related_name="sources", db_index=False)
    message_id = foreign_id(db_index=True)
    conversation_id = foreign_id()
    sender_id = foreign_id()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "message_id"], name="source_once")]


class Disclosure(models.Model):
    """Words of a conversation went to a provider: whose, how much, to whom, when; never which words.

    One row for each request and each person whose words were in it. `asked_by` is empty once they were erased.
    """

    id = models.UUIDField(primary_key=True)
    user_id = foreign_id()
    job_id = models.UUIDField()
    asked_by = foreign_id()
    kind = models.CharField(max_length=32)
    conversation_id = foreign_id(null=True)
    provider = models.CharField(max_length=NAME_LENGTH)
    model = models.CharField(max_length=MODEL_LENGTH)
    host = models.CharField(max_length=255)
    is_outside = models.BooleanField()
    messages = models.PositiveIntegerField()
    characters = models.PositiveIntegerField()
    masked = models.PositiveIntegerField(default=0)
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["user_id", "at"], name="disclosure_of_person")]


class Conversation(models.Model):
    """Who talks where: a projection of chat's events, so that what ai keeps can be limited to its people in SQL.

    Empty is the place of somebody who was erased.
    """

    id = foreign_id(primary_key=True)
    participant1_id = foreign_id(db_index=True)
    participant2_id = foreign_id(db_index=True)

    @property
    def people(self) -> tuple[str, str]:
        return self.participant1_id, self.participant2_id


class Consent(models.Model):
    """What one person allows in one conversation. No row means off."""

    class Scope(models.TextChoices):
        OFF = "off"
        ON_DEMAND = "on_demand"
        HISTORY = "history"

    conversation_id = foreign_id()
    user_id = foreign_id(db_index=True)
    scope = models.CharField(max_length=10, choices=Scope)
    changed_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conversation_id", "user_id"], name="consent_once")]


class Embedding(models.Model):
    """A message as a vector of one model (little-endian 32-bit floats, length 1), and its hashed lexical tokens.

    `grams` are sorted little-endian unsigned 32-bit integers. `message_version` is the message's `change_seq`.
    """

    id = models.UUIDField(primary_key=True)
    message_id = foreign_id()
    message_version = models.BigIntegerField()
    model = models.CharField(max_length=MODEL_LENGTH)
    conversation_id = foreign_id(db_index=True)
    seq = models.BigIntegerField()
    sender_id = foreign_id(db_index=True)
    vector = models.BinaryField()
    grams = models.BinaryField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["message_id", "model"], name="embedding_once")]


class EmbeddedUpTo(models.Model):
    """How far a conversation was embedded, as one of its people sees it: the `change_seq` of chat."""

    conversation_id = foreign_id()
    user_id = foreign_id()
    model = models.CharField(max_length=MODEL_LENGTH)
    change_seq = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversation_id", "user_id", "model"], name="embedded_up_to_once")
        ]


class Translation(models.Model):
    """One version of a message in another language, made by one engine."""

    id = models.UUIDField(primary_key=True)
    message_id = foreign_id()
    message_version = models.BigIntegerField()
    conversation_id = foreign_id()
    sender_id = foreign_id(db_index=True)
    target = models.CharField(max_length=16)
    engine = models.CharField(max_length=NAME_LENGTH)
    source = models.CharField(max_length=16)
    text = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["message_id", "message_version", "target", "engine"], name="translation_once"
            )
        ]


class Forgotten(models.Model):
    """What is kept of a message no more, however late it comes: its versions up to this one, or all of them."""

    message_id = foreign_id(primary_key=True)
    up_to_version = models.BigIntegerField(null=True)
    at = models.DateTimeField(db_index=True)


class Spending(models.Model):
    """What was spent and what is reserved: of one person in a day, of the deployment in a month.

    `jobs` are the person's own; of the deployment, those of people who were erased.
    """

    scope = models.CharField(max_length=FOREIGN_ID_LENGTH + 8)
    period = models.CharField(max_length=10)
    reserved_micros = models.BigIntegerField(default=0)
    spent_micros = models.BigIntegerField(default=0)
    jobs = models.PositiveIntegerField(default=0)
    tokens = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "period"], name="spending_once")]


class Switch(models.Model):
    """The one row by which the operator stops everything at once."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    is_off = models.BooleanField(default=False)
    changed_at = models.DateTimeField()


class Inbox(AbstractInbox):
    pass


class DeadLetter(AbstractDeadLetter):
    pass


class OutboxLease(AbstractOutboxLease):
    pass


class Outbox(AbstractOutbox):
    DEAD_LETTERS, LEASES = DeadLetter, OutboxLease


class KeySet(AbstractKeySet):
    pass
