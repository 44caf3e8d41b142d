import uuid

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Conversation",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("participant1_id", models.CharField(db_index=True, max_length=255)),
                ("participant2_id", models.CharField(db_index=True, max_length=255)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("is_active", models.BooleanField(default=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["participant1_id", "participant2_id"], name="conversation_pair"),
                    models.Index(fields=["created_at"], name="conversation_created"),
                ],
                "unique_together": {("participant1_id", "participant2_id")},
            },
        ),
        migrations.CreateModel(
            name="Message",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("sender_id", models.CharField(db_index=True, max_length=255)),
                ("content", models.TextField()),
                ("message_type", models.CharField(default="text", max_length=10)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("is_deleted", models.BooleanField(default=False)),
                (
                    "conversation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="messages", to="chat.conversation"
                    ),
                ),
            ],
            options={
                "ordering": ["created_at"],
            },
        ),
        migrations.CreateModel(
            name="DeliveryReceipt",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("user_id", models.CharField(db_index=True, max_length=255)),
                ("status", models.CharField(default="sent", max_length=10)),
                ("timestamp", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "message",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="delivery_receipts", to="chat.message"
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(fields=["conversation", "created_at"], name="message_in_order"),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(fields=["sender_id"], name="message_sender"),
        ),
        migrations.AddIndex(
            model_name="deliveryreceipt",
            index=models.Index(fields=["message", "user_id"], name="receipt_of_message"),
        ),
        migrations.AddIndex(
            model_name="deliveryreceipt",
            index=models.Index(fields=["user_id", "status"], name="receipt_status"),
        ),
        migrations.AlterUniqueTogether(
            name="deliveryreceipt",
            unique_together={("message", "user_id")},
        ),
    ]
