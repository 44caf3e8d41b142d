"""What a conversation socket shows first."""

from __future__ import annotations

from doran.chat.history import newest
from doran.chat.sight import sight
from doran.chat.views import lost_view
from doran.contracts import frames
from doran.realtime.connection import History

MESSAGES = 50


def history(conversation_id: str, user_id: str) -> History:
    """The newest messages, oldest first, and up to which change they are complete.

    Raises 404 for what is not this person's.
    """
    seen = sight(conversation_id, user_id)
    lost = lost_view(seen.lost)
    shown = newest(seen, MESSAGES, room=frames.LIST_BYTES - len(frames.encode((seen.me, lost))))
    frame = frames.ConversationHistory(
        conversation_id=conversation_id,
        messages=tuple(shown),
        has_more=bool(shown) and shown[0].seq > seen.first_seq,
        last_seq=seen.last_seq,
        change_seq=seen.change_seq,
        peer=seen.peer,
        me=seen.me,
        lost=lost,
    )
    return History(frames.encode(frame).decode(), seen.change_seq, seen.last_seq)
