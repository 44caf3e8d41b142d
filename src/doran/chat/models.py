"""What chat stores. Only chat's nouns touch these tables."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from doran.kernel.dead_letters import AbstractDeadLetter
from doran.kernel.inbox import AbstractInbox
from doran.kernel.keysets import AbstractKeySet
from doran.kernel.outbox import AbstractOutbox, AbstractOutboxLease

USER_ID_LENGTH = 255
CLIENT_MESSAGE_ID_LENGTH = 64


def user_id_field(**options: object) -> models.CharField[str, str]:
    """Another service's id: opaque, compared byte by byte."""
    return models.CharField(max_length=USER_ID_LENGTH, **options)  # type: ignore[arg-type]


class Store(models.Model):
    """The one row that names this timeline. A restore gives it another `epoch` (guarantee 8)."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    epoch = models.CharField(max_length=32)
    digest_key = models.BinaryField(max_length=32)
    created_at = models.DateTimeField()


class Conversation(models.Model):
    """Two people. Its row is the counter of everything that happens between them.

    `pair_key` makes the unordered pair unique; `last_seq` numbers messages; `change_seq` numbers
    changes of any kind that both may see; `is_active` says whether anything can be sent;
    `bucket` is the virtual shard, so that a send is always one shard's transaction. After a restore
    `lost_seq` is the last position that a lost timeline may have used, and no mark of a change
    below `reset_before` counts any more (docs/adr/0014-timelines.md).
    """

    id = models.UUIDField(primary_key=True)
    pair_key = models.CharField(max_length=64, unique=True)
    participant1_id = user_id_field()
    participant2_id = user_id_field()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    is_active = models.BooleanField(default=True)
    last_seq = models.BigIntegerField(default=0)
    change_seq = models.BigIntegerField(default=0)
    lost_seq = models.BigIntegerField(default=0)
    reset_before = models.BigIntegerField(default=0)
    bucket = models.PositiveSmallIntegerField()

    @property
    def people(self) -> tuple[str, str]:
        return self.participant1_id, self.participant2_id


class Member(models.Model):
    """One person's side of a conversation: marks that only move forward, and private state.

    `shown_*` is how far the other person may know the marks; they stand still while one blocks
    the other. `state_seq` is the person's own change counter when the private state last changed.
    `undelivered_seq` is up to where `message.undelivered` was said. `unread_deleted` of the messages after
    the mark `unread_deleted_after` are deleted or hidden (chat/unread.py).
    """

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="members", db_index=False)
    user_id = user_id_field()
    last_delivered_seq = models.BigIntegerField(default=0)
    last_read_seq = models.BigIntegerField(default=0)
    shown_delivered_seq = models.BigIntegerField(default=0)
    shown_read_seq = models.BigIntegerField(default=0)
    undelivered_seq = models.BigIntegerField(default=0)
    muted_until = models.DateTimeField(null=True)
    archived = models.BooleanField(default=False)
    pinned_at = models.DateTimeField(null=True)
    hidden_before_seq = models.BigIntegerField(default=0)
    marked_unread = models.BooleanField(default=False)
    draft = models.TextField(default="")
    state_seq = models.BigIntegerField(default=0)
    unread_deleted = models.BigIntegerField(default=0, db_default=0)
    unread_deleted_after = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversation", "user_id"], name="member_once"),
            models.CheckConstraint(
                condition=models.Q(last_read_seq__lte=models.F("last_delivered_seq")),
                name="member_read_is_delivered",
            ),
        ]
        indexes = [models.Index(fields=["user_id", "state_seq"], name="member_of_person")]


class Message(models.Model):
    """One message for ever. `seq` is dense in its conversation; a deleted one stays as a tombstone.

    `change_seq` is the conversation's change counter when the row last changed. `sent_digest`
    remembers what was first sent under a `client_message_id`, also after an edit or deletion.
    """

    id = models.UUIDField(primary_key=True)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="+", db_index=False)
    seq = models.BigIntegerField()
    change_seq = models.BigIntegerField()
    sender_id = user_id_field()
    client_message_id = models.CharField(max_length=CLIENT_MESSAGE_ID_LENGTH, null=True)
    sent_digest = models.BinaryField(max_length=16, null=True)
    content = models.TextField()
    message_type = models.CharField(max_length=10)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    edited_at = models.DateTimeField(null=True)
    is_deleted = models.BooleanField(default=False)
    reply_to = models.UUIDField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="message_seq_once"),
            # The client's id leads: clients that make it from the time (ours do) append to this index.
            models.UniqueConstraint(
                fields=["client_message_id", "conversation", "sender_id"], name="message_sent_once"
            ),
        ]


class MessageChange(models.Model):
    """A message was changed after it was sent. New messages are found by `seq`; these rows find the rest.

    An index of all messages by `change_seq` would cost every send a page; few messages are changed.
    """

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="+", db_index=False)
    change_seq = models.BigIntegerField()
    seq = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conversation", "change_seq"], name="message_change_once")]


class LostRange(models.Model):
    """Positions that a lost timeline may have used: nothing of it is issued again, and nothing stands there.

    To everybody each is a tombstone that nobody sent. Their ids and changes count up from `id` and
    `change_seq`; the last 32 bits of `id` are zero.
    """

    id = models.UUIDField(primary_key=True)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="+", db_index=False)
    first_seq = models.BigIntegerField()
    last_seq = models.BigIntegerField()
    change_seq = models.BigIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conversation", "first_seq"], name="lost_range_once")]


class HiddenMessage(models.Model):
    """A message one person deleted for themselves: to them a tombstone, to the other untouched."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="+", db_index=False)
    user_id = user_id_field()
    seq = models.BigIntegerField()
    state_seq = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conversation", "user_id", "seq"], name="hidden_once")]


class DeliveryReceipt(models.Model):
    """A mark as it was claimed: covers its message and all before. Status only rises."""

    class Status(models.TextChoices):
        SENT = "sent"
        DELIVERED = "delivered"
        READ = "read"

    id = models.UUIDField(primary_key=True)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="+", db_index=False)
    user_id = user_id_field()
    status = models.CharField(max_length=10, choices=Status)
    timestamp = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["message", "user_id"], name="receipt_once")]


class Person(models.Model):
    """What chat knows of a person of core, fed by core's events. `state_seq` counts their private changes."""

    user_id = user_id_field(primary_key=True)
    display_name = models.CharField(max_length=100, default="")
    kind = models.CharField(max_length=10, default="human")
    is_active = models.BooleanField(default=True)
    is_erased = models.BooleanField(default=False)
    state_seq = models.BigIntegerField(default=0)
    known_at = models.DateTimeField()


class Block(models.Model):
    """`user_id` does not want to hear `blocked_user_id`; a copy of core's fact."""

    user_id = user_id_field()
    blocked_user_id = user_id_field(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user_id", "blocked_user_id"], name="chat_block_once")]


class EndedSession(models.Model):
    """A session of core that ended while access tokens of it may still look valid."""

    session_id = user_id_field(primary_key=True)
    user_id = user_id_field()
    ended_at = models.DateTimeField(db_index=True)


class Announcement(models.Model):
    """The one row of what everybody was told last. `number` grows with each."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    number = models.BigIntegerField(default=0)
    frame = models.TextField(default="")


class LastCommit(models.Model):
    """How far a writer has got: the number of its last transaction, by which it knows whether that took place."""

    writer_id = models.UUIDField(primary_key=True)
    number = models.BigIntegerField()
    at = models.DateTimeField()


class Node(models.Model):
    """A chat process on a database server, or one of several that share it. It renews its row while it lives.

    `name`: its machine and number there. `is_missed`: it has not for a while, and another has taken over what it had still to say.
    """

    id = models.BigAutoField(primary_key=True)
    renewed_at = models.DateTimeField(db_default=Now())
    is_missed = models.BooleanField(default=False)
    name = models.CharField(max_length=64, db_default="")


class Feed(models.Model):
    """What one commit moved, for the processes that did not hear of it: conversations and numbers, no words.

    A node's numbers have no hole and commit in their order.
    """

    pk = models.CompositePrimaryKey("node", "number")
    node = models.BigIntegerField()
    number = models.BigIntegerField()
    steps = models.BinaryField()


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
