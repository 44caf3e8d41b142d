"""The event of a new message, written to the log as the plain design does before it has a broker."""

import json
import logging
from datetime import UTC, datetime

logger = logging.getLogger(__name__)


def publish_message_created(message):
    event = {
        "event_type": "message.created",
        "timestamp": datetime.now(UTC).isoformat(),
        "data": {
            "message_id": str(message.id),
            "conversation_id": str(message.conversation_id),
            "sender_id": message.sender_id,
            "content": message.content,
            "message_type": message.message_type,
            "created_at": message.created_at.isoformat(),
        },
    }
    logger.info(f"Publishing event: {json.dumps(event, indent=2)}")
