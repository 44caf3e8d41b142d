"""What core stores. Only core's nouns touch these tables."""

from __future__ import annotations

from django.db import models

from doran.kernel.inbox import AbstractDeadLetter, AbstractInbox
from doran.kernel.outbox import AbstractOutbox

DISPLAY_NAME_LENGTH = 100
STATUS_MESSAGE_LENGTH = 200
AVATAR_URL_LENGTH = 500
DEVICE_NAME_LENGTH = 100


class User(models.Model):
    """A person with a way to prove it. `username` is shown as typed, `handle` is what makes it unique.

    An erased person's row stays as an empty shell, so that the id is never given to anybody else.
    """

    id = models.UUIDField(primary_key=True)
    username = models.CharField(max_length=32)
    handle = models.CharField(max_length=64, unique=True)
    password = models.CharField(max_length=255)
    kind = models.CharField(max_length=10, default="human")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    erased_at = models.DateTimeField(null=True)


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
    `address_tag` is a keyed hash of where the person logged in from.
    """

    id = models.UUIDField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions", db_index=False)
    device_name = models.CharField(max_length=DEVICE_NAME_LENGTH, default="")
    address_tag = models.CharField(max_length=32)
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


class Outbox(AbstractOutbox):
    """Core's events that wait to be published."""


class Inbox(AbstractInbox):
    """Events that core has handled."""


class DeadLetter(AbstractDeadLetter):
    """Events that core could not handle."""
