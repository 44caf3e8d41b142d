"""One socket of one conversation: history on connecting, then store, receipt, event and a group send per message."""

import json

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from .events import publish_message_created
from .models import Conversation, DeliveryReceipt, Message

HISTORY = 50


class ChatConsumer(AsyncWebsocketConsumer):
    async def connect(self):
        self.conversation = await self.find_conversation()
        if self.conversation is None:
            await self.close()
            return
        self.group = f"chat_{self.conversation.id}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        await self.send(text_data=json.dumps({"type": "message_history", "messages": await self.history()}))

    async def disconnect(self, code):
        if hasattr(self, "group"):
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(self, text_data=None, bytes_data=None):
        frame = json.loads(text_data)
        if frame.get("type") == "chat_message":
            message = await self.store(frame)
            await self.channel_layer.group_send(self.group, {"type": "chat.message", "message": as_json(message)})

    async def chat_message(self, event):
        await self.send(text_data=json.dumps({"type": "chat_message", "message": event["message"]}))

    async def find_conversation(self):
        if not self.scope["user"].is_authenticated:
            return None
        return await self.active_conversation(self.scope["url_route"]["kwargs"]["conversation_id"])

    @database_sync_to_async
    def active_conversation(self, conversation_id):
        return Conversation.objects.filter(id=conversation_id, is_active=True).first()

    @database_sync_to_async
    def history(self):
        newest = Message.objects.filter(conversation=self.conversation, is_deleted=False).order_by("-created_at")
        return [as_json(message) for message in reversed(newest[:HISTORY])]

    @database_sync_to_async
    def store(self, frame):
        sender = frame["sender_id"]
        message = Message.objects.create(
            conversation=self.conversation,
            sender_id=sender,
            content=frame["content"],
            message_type=frame.get("message_type", "text"),
        )
        DeliveryReceipt.objects.create(message=message, user_id=self.conversation.other(sender), status="sent")
        publish_message_created(message)
        return message


def as_json(message):
    return {
        "id": str(message.id),
        "sender_id": message.sender_id,
        "content": message.content,
        "message_type": message.message_type,
        "created_at": message.created_at.isoformat(),
    }
