"""What a conversation socket shows first."""

from __future__ import annotations

from doran.chat import conversations, messages
from doran.chat.views import my_state, shown_marks
from doran.contracts import frames
from doran.realtime.connection import History

MESSAGES = 50


def history(conversation_id: str, user_id: str) -> History:
    """The newest messages, oldest first, and up to which change they are complete.

    Raises 404 for what is not this person's.
    """
    side = conversations.for_member(conversation_id, user_id)
    shown = messages.newest(side, MESSAGES)
    frame = frames.ConversationHistory(
        conversation_id=conversation_id,
        messages=tuple(shown),
        has_more=bool(shown) and shown[0].seq > max(1, side.me.hidden_before_seq),
        last_seq=side.conversation.last_seq,
        change_seq=side.conversation.change_seq,
        peer=shown_marks(side.peer),
        me=my_state(side.me),
    )
    return History(frames.encode(frame).decode(), side.conversation.change_seq)
