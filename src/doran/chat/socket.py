"""Frames of a socket: each is one call inward. Ends with the table of what a client may say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from doran.chat import conversations, messages, receipts, sight, sync
from doran.chat.reading import Readers
from doran.chat.receipts import Status
from doran.chat.shop import shop
from doran.chat.typing import TypingSigns
from doran.chat.writer import Job, Outcome
from doran.contracts import frames
from doran.contracts.errors import Problem, invalid
from doran.realtime.connection import Connection, Handler
from doran.realtime.presence import Presence

PRESENCE_AT_ONCE = 100


class Frames:
    """What frames mean in chat."""

    def __init__(self, *, readers: Readers, signs: TypingSigns, presence: Presence) -> None:
        self._readers = readers
        self._signs = signs
        self._presence = presence

    def send_message(self, connection: Connection, frame: frames.SendMessage) -> None:
        _own(connection, frame.sender_id, "sender_id")

        def answer(outcome: Outcome) -> None:
            if outcome.refusal is not None:
                connection.refuse(outcome.refusal, ref=frame.ref, client_message_id=frame.client_message_id)
            else:
                payload = msgspec.Raw(outcome.result.payload)
                connection.offer(frames.Ack(frame.ref, frame.client_message_id, payload))

        try:
            messages.send(
                conversation_id=_conversation(connection, frame.conversation_id),
                sender_id=connection.user_id,
                text=frame.content,
                message_type=frame.message_type,
                client_message_id=frame.client_message_id,
                reply_to=frame.reply_to,
                but=connection.id,
                reply=answer,
            )
        except Problem as no:
            connection.refuse(no, ref=frame.ref, client_message_id=frame.client_message_id)

    def mark_as_read(self, connection: Connection, frame: frames.MarkAsRead) -> None:
        _mark(connection, frame, "read")

    def mark_as_delivered(self, connection: Connection, frame: frames.MarkAsDelivered) -> None:
        _mark(connection, frame, "delivered")

    async def typing(self, connection: Connection, frame: frames.Typing) -> None:
        _own(connection, frame.user_id, "user_id")
        conversation_id = _conversation(connection, frame.conversation_id)
        seen = await self._readers(lambda: sight.sight(conversation_id, connection.user_id))
        if seen.is_active:
            self._signs.show(
                conversation_id=conversation_id,
                user_id=connection.user_id,
                to=seen.peer.user_id,
                is_typing=frame.is_typing,
            )

    def edit_message(self, connection: Connection, frame: frames.EditMessage) -> None:
        user_id = connection.user_id
        _write(
            lambda: messages.edit(message_id=frame.message_id, user_id=user_id, text=frame.content), connection, frame
        )

    def delete_message(self, connection: Connection, frame: frames.DeleteMessage) -> None:
        user_id = connection.user_id
        _write(
            lambda: messages.delete(message_id=frame.message_id, user_id=user_id, scope=frame.scope), connection, frame
        )

    async def changes(self, connection: Connection, frame: frames.AskChanges) -> None:
        conversation_id = _conversation(connection, frame.conversation_id)
        user_id = connection.user_id
        page = await self._readers(
            lambda: sync.changes(sight.sight(conversation_id, user_id), since=frame.since, epoch=frame.epoch)
        )
        connection.offer(
            frames.Changes(frame.ref, conversation_id, page.results, page.next_since, page.has_more, page.reset)
        )

    async def sync(self, connection: Connection, frame: frames.AskSync) -> None:
        answer = await self._readers(
            lambda: sync.sync(
                connection.user_id,
                epoch=frame.epoch,
                known=frame.known,
                state_since=frame.state_since,
                after=frame.after,
                until=frame.until,
            )
        )
        fields = {name: getattr(answer, name) for name in answer.__struct_fields__}
        connection.offer(frames.Synced(ref=frame.ref, **fields))

    async def presence(self, connection: Connection, frame: frames.AskPresence) -> None:
        if len(frame.user_ids) > PRESENCE_AT_ONCE:
            raise invalid("user_ids", f"At most {PRESENCE_AT_ONCE} at once.")
        wanted = frame.user_ids
        known = await self._readers(lambda: conversations.talking_with(connection.user_id, wanted))
        self._presence.watch(connection, [user_id for user_id in wanted if user_id in known])
        if frame.ref is not None:
            connection.offer(frames.Done(frame.ref))

    def handlers(self) -> Mapping[type, Handler]:
        """The table of what a client may say."""
        table: dict[type, Any] = {
            frames.SendMessage: self.send_message,
            frames.MarkAsRead: self.mark_as_read,
            frames.MarkAsDelivered: self.mark_as_delivered,
            frames.Typing: self.typing,
            frames.EditMessage: self.edit_message,
            frames.DeleteMessage: self.delete_message,
            frames.AskChanges: self.changes,
            frames.AskSync: self.sync,
            frames.AskPresence: self.presence,
        }
        return table


def _mark(connection: Connection, frame: frames.MarkAsRead | frames.MarkAsDelivered, status: Status) -> None:
    """A claim is answered only if it is refused or asked to be (`ref`); its effect is told to all screens."""
    _own(connection, frame.user_id, "user_id")
    conversation_id = frame.conversation_id or connection.conversation_id
    if connection.conversation_id not in (None, conversation_id):
        raise Problem("not_found")

    def answer(outcome: Outcome) -> None:
        if outcome.refusal is not None:
            connection.refuse(outcome.refusal, ref=frame.ref)
        elif frame.ref is not None:
            connection.offer(frames.Done(frame.ref))

    receipts.mark(
        user_id=connection.user_id,
        status=status,
        reply=answer,
        message_id=frame.message_id,
        conversation_id=conversation_id,
        up_to_seq=frame.up_to_seq,
    )


def _own(connection: Connection, claimed: str | None, field: str) -> None:
    """The socket's person is the actor; a frame may say so, but not otherwise."""
    if claimed is not None and claimed != connection.user_id:
        raise Problem("sender_mismatch", f"{field} is not you.")


def _conversation(connection: Connection, named: str | None) -> str:
    """A conversation socket speaks of its own conversation only; `/ws/` must name one."""
    if connection.conversation_id is None and named is None:
        raise invalid("conversation_id", "This socket is for all conversations: name one.")
    if connection.conversation_id is not None and named not in (None, connection.conversation_id):
        raise Problem("not_found")
    return named or connection.conversation_id or ""


def _write(
    change: Callable[[], Outcome], connection: Connection, frame: frames.EditMessage | frames.DeleteMessage
) -> None:
    """Submit a change to the writer, which answers the frame. The socket goes on reading meanwhile.

    If it waited, a database that is locked for a while would leave the client's pongs unread.
    """

    def answer(outcome: Outcome) -> None:
        if outcome.refusal is not None:
            connection.refuse(outcome.refusal, ref=frame.ref)
        else:
            connection.offer(frames.Done(frame.ref))

    shop().writer.submit(Job(change, answer, "edit.before_commit"))
