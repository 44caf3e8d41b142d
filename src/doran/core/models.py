"""What core stores. Only core's nouns touch these tables."""

from __future__ import annotations

from django.db import models

from doran.core.texts import DISPLAY_NAME_LENGTH
from doran.kernel.dead_letters import AbstractDeadLetter
from doran.kernel.inbox import AbstractInbox
from doran.kernel.outbox import AbstractOutbox, AbstractOutboxLease

HUMAN, BOT = "human", "bot"
STATUS_MESSAGE_LENGTH = 200
AVATAR_URL_LENGTH = 500
DEVICE_NAME_LENGTH = 100
WEBHOOK_DESCRIPTION_LENGTH = 200


class User(models.Model):
    """A person with a way to prove it. `username` is shown as typed, `handle` is what makes it unique.

    An erased person's row stays as an empty shell, so that the id is never given to anybody else.
    """

    id = models.UUIDField(primary_key=True)
    username = models.CharField(max_length=32)
    handle = models.CharField(max_length=64, unique=True)
    password = models.CharField(max_length=255)
    kind = models.CharField(max_length=10, default=HUMAN)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    erased_at = models.DateTimeField(null=True)


class RestingHandle(models.Model):
    """The handle of an erased person, which nobody may take for a while, as a keyed digest (`core/handles.py`)."""

    digest = models.CharField(max_length=64, primary_key=True)
    erased_at = models.DateTimeField()


class Profile(models.Model):
    """How a person shows themselves. `locale` and `time_zone` are for the person alone."""

    user = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="profile")
    display_name = models.CharField(max_length=DISPLAY_NAME_LENGTH)
    avatar_url = models.CharField(max_length=AVATAR_URL_LENGTH, null=True)
    status_message = models.CharField(max_length=STATUS_MESSAGE_LENGTH, default="")
    locale = models.CharField(max_length=35, default="en")
    time_zone = models.CharField(max_length=64, default="UTC")


class AuthToken(models.Model):
    """One log-in: a session and the one refresh token that is good for it now.

    Tokens are stored as SHA-256 only. `generation` counts refreshes, so that an older token of the
    session is known again without keeping it. `retry_digest` and `salt` serve
    one retry of a refresh whose answer was lost (docs/adr/0006-tokens-and-keys.md).
    `address_tag` and `device_tag` are keyed hashes of where, and with what, the person logged in.
    """

    id = models.UUIDField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions", db_index=False)
    device_name = models.CharField(max_length=DEVICE_NAME_LENGTH, default="")
    address_tag = models.CharField(max_length=32)
    device_tag = models.CharField(max_length=32, default="", db_default="")
    generation = models.PositiveIntegerField(default=1)
    digest = models.BinaryField(max_length=32)
    retry_digest = models.BinaryField(max_length=32, null=True)
    salt = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=16, default="")

    class Meta:
        indexes = [
            models.Index(fields=["user", "ended_at", "last_used_at"], name="session_of_person"),
            models.Index(fields=["ended_at"], name="session_ended"),
        ]


class Block(models.Model):
    """`user` does not want to hear `blocked_user`."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+", db_index=False)
    blocked_user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "blocked_user"], name="core_block_once")]


class SigningKey(models.Model):
    """A key that signs access tokens. Keys follow each other by `number`; the newest one is next.

    It signs from `active_from` until its successor does. It is published from `published_at`, long
    before it signs, until every token it signed has expired. `sealed` is the private part.
    """

    number = models.PositiveIntegerField(primary_key=True)
    kid = models.CharField(max_length=64, unique=True)
    public = models.TextField()
    sealed = models.BinaryField()
    published_at = models.DateTimeField()
    active_from = models.DateTimeField(null=True)
    withdrawn_at = models.DateTimeField(null=True)


class WebhookEndpoint(models.Model):
    """Where an integrator hears events, and how it has been lately (docs/adr/0013-webhooks.md).

    `event_types` are names with a blank between, or `*`. `strikes` counts fresh events that failed in a
    row: from two on the endpoint fails as a whole, and `held_until` is when it is asked again.
    """

    id = models.UUIDField(primary_key=True)
    url = models.TextField()
    event_types = models.TextField()
    description = models.CharField(max_length=WEBHOOK_DESCRIPTION_LENGTH, default="")
    ordering = models.CharField(max_length=8, default="key")
    is_enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=8, default="")
    disabled_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    last_success_at = models.DateTimeField(null=True)
    last_failure_at = models.DateTimeField(null=True)
    last_failure = models.CharField(max_length=32, default="")
    failing_since = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)
    strikes = models.PositiveIntegerField(default=0)
    held_until = models.DateTimeField(null=True)
    gave_up_at = models.DateTimeField(null=True)


class WebhookSecret(models.Model):
    """A secret that signs for an endpoint, until `ends_at` once a newer one is there."""

    id = models.BigAutoField(primary_key=True)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="secrets")
    sealed = models.BinaryField()
    created_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)


class WebhookEvent(models.Model):
    """An event as it was heard, kept some days for those who are owed it and for replays.

    `person` is whose words or names are in it, so that an erasure finds them.
    """

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField(unique=True)
    event_type = models.CharField(max_length=64)
    key = models.CharField(max_length=255)
    person = models.CharField(max_length=255, default="")
    envelope = models.TextField()
    recorded_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["key"], name="webhook_event_key"),
            models.Index(fields=["person"], name="webhook_event_person"),
            models.Index(fields=["recorded_at"], name="webhook_event_recorded"),
        ]


class WebhookLine(models.Model):
    """What waits for one endpoint under one name, first come, first served. An empty line is gone.

    Whoever has the `claim` may send from it until `held_until`; it is due for that from `due_at` on.
    `joined` moves with each event that joins, so that a line is not taken for empty too early.
    """

    id = models.BigAutoField(primary_key=True)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="+", db_index=False)
    name = models.CharField(max_length=255)
    due_at = models.DateTimeField()
    claim = models.CharField(max_length=32, default="")
    held_until = models.DateTimeField()
    joined = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["endpoint", "name"], name="webhook_line_once")]
        indexes = [models.Index(fields=["endpoint", "due_at"], name="webhook_line_due")]


class WebhookDelivery(models.Model):
    """One event owed to one endpoint, in the line of this name: waiting, delivered or failed.

    `since` is when it began to wait; `outcome` says in a word what the last attempt met.
    """

    id = models.BigAutoField(primary_key=True)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="+", db_index=False)
    event = models.ForeignKey(WebhookEvent, on_delete=models.CASCADE, related_name="deliveries")
    line = models.CharField(max_length=255)
    state = models.CharField(max_length=10, default="waiting")
    since = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    attempted_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=32, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["endpoint", "event"], name="webhook_delivery_once")]
        indexes = [
            models.Index(fields=["endpoint", "line", "state", "event"], name="webhook_delivery_line"),
            models.Index(fields=["endpoint", "state", "since"], name="webhook_delivery_state"),
        ]


class Inbox(AbstractInbox):
    """Events that core has handled."""


class DeadLetter(AbstractDeadLetter):
    """Events that core could not handle or publish."""


class OutboxLease(AbstractOutboxLease):
    """Which copy carries which lane of core's events."""


class Outbox(AbstractOutbox):
    """Core's events that wait to be published."""

    DEAD_LETTERS, LEASES = DeadLetter, OutboxLease
