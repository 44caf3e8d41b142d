"""Conversation, Message and DeliveryReceipt as a Django project usually writes them: random keys, one row per receipt."""

import uuid

from django.db import models
from django.utils import timezone


class Conversation(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    participant1_id = models.CharField(max_length=255, db_index=True)
    participant2_id = models.CharField(max_length=255, db_index=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)
    is_active = models.BooleanField(default=True)

    class Meta:
        unique_together = [("participant1_id", "participant2_id")]
        indexes = [
            models.Index(fields=["participant1_id", "participant2_id"], name="conversation_pair"),
            models.Index(fields=["created_at"], name="conversation_created"),
        ]

    def other(self, user_id: str) -> str:
        return self.participant2_id if user_id == self.participant1_id else self.participant1_id


class Message(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    sender_id = models.CharField(max_length=255, db_index=True)
    content = models.TextField()
    message_type = models.CharField(max_length=10, default="text")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)
    is_deleted = models.BooleanField(default=False)

    class Meta:
        ordering = ["created_at"]
        indexes = [
            models.Index(fields=["conversation", "created_at"], name="message_in_order"),
            models.Index(fields=["sender_id"], name="message_sender"),
        ]


class DeliveryReceipt(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="delivery_receipts")
    user_id = models.CharField(max_length=255, db_index=True)
    status = models.CharField(max_length=10, default="sent")
    timestamp = models.DateTimeField(default=timezone.now)

    class Meta:
        unique_together = [("message", "user_id")]
        indexes = [
            models.Index(fields=["message", "user_id"], name="receipt_of_message"),
            models.Index(fields=["user_id", "status"], name="receipt_status"),
        ]
