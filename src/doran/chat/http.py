"""REST calls of chat: each is one call inward. Ends with the table of its paths."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from doran.chat import announcing, conversations, history, listing, members, messages, people, receipts, sight, sync
from doran.chat.conversations import Side
from doran.chat.members import StateChange
from doran.chat.people import Asker
from doran.chat.receipts import Status
from doran.chat.screens import Shown
from doran.chat.shop import shop
from doran.chat.sight import Sight
from doran.contracts.errors import Problem, invalid
from doran.contracts.frames import (
    AiOffer,
    ChangesPage,
    ConversationView,
    MessageType,
    MessageView,
    ReceiptView,
    SyncAnswer,
)
from doran.kernel.http import Answer, Api, Json, Page, PageQuery, Query, offers, route

SHOWN_AT_FIRST = 20

Seq = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class StartConversation(msgspec.Struct, forbid_unknown_fields=True):
    """The other person alone is enough; both may be named, then the caller must be one."""

    participant_id: str | None = None
    participant1_id: str | None = None
    participant2_id: str | None = None


class NewMessage(msgspec.Struct, forbid_unknown_fields=True):
    content: str
    message_type: MessageType = "text"
    client_message_id: str | None = None
    reply_to: str | None = None
    sender_id: str | None = None


class EditedMessage(msgspec.Struct, forbid_unknown_fields=True):
    content: str


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """An empty object; the caller may say who they are."""

    user_id: str | None = None


class DeleteQuery(msgspec.Struct, forbid_unknown_fields=True):
    scope: Literal["everyone", "me"] = msgspec.field(name="for", default="everyone")


class MessagesQuery(PageQuery, frozen=True, forbid_unknown_fields=True):
    """A page by number, or the messages next to a seq."""

    before_seq: Seq | None = None
    after_seq: Seq | None = None


class ChangesQuery(msgspec.Struct, forbid_unknown_fields=True):
    """With the store's `epoch` under which the mark `since` was issued, it counts also for rows from before a restore."""

    since: Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)] = 0
    epoch: str | None = None


class Known(msgspec.Struct, forbid_unknown_fields=True):
    """What a device has: the store's epoch, and for each conversation the last change_seq it applied.

    With `after` or `until`, only conversations whose id is greater than `after` and not greater than `until` are
    compared.
    """

    epoch: str | None = None
    known: dict[str, Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]] = {}
    state_since: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0
    after: str = ""
    until: str = ""


class TellScreens(msgspec.Struct, forbid_unknown_fields=True):
    """A frame for the open screens of these people; with a `conversation_id` also for that conversation's own.

    No `user_ids` at all (null): for everybody who is connected, which only an `ai.offer` is.
    """

    user_ids: (
        Annotated[tuple[Annotated[str, msgspec.Meta(max_length=255)], ...], msgspec.Meta(min_length=1, max_length=10)]
        | None
    )
    frame: Shown
    conversation_id: str | None = None


class Conversations(Api):
    @offers({201: ConversationView, 200: ConversationView}, problems=("person_unavailable", "sender_mismatch"))
    def post(self, parsed_body: Json[StartConversation]) -> Answer:
        """Start a conversation with somebody, or find the one there is."""
        caller = self.principal
        asker = Asker(caller.user_id, caller.issuer)
        view, is_new = conversations.between(asker=asker, other=_other(parsed_body, caller.user_id))
        return self.answer(view, status=201 if is_new else 200)


def _other(body: StartConversation, caller: str) -> str:
    """Who the caller wants to talk with."""
    named = [one for one in (body.participant1_id, body.participant2_id) if one is not None]
    if body.participant_id is not None and not named:
        return body.participant_id
    if body.participant_id is not None or not named:
        raise invalid("participant_id", "Either participant_id, or participant1_id and participant2_id.")
    if len(named) == 1:
        return named[0]
    if caller not in named:
        raise Problem("sender_mismatch", "You must be one of the two.")
    named.remove(caller)
    return named[0]


class _Reading(Api):
    """What a service may read as well: it sees what the person would for whom it asks."""

    def _reader(self) -> str:
        if self.service is not None:
            people.require_active(self.principal.user_id)
        return self.principal.user_id


class OneConversation(_Reading):
    @offers(scope="conversations.read")
    def get(self) -> ConversationView:
        """One conversation with its newest messages, oldest first."""
        return _detail(conversations.for_member(self.kwargs["conversation_id"], self._reader()))

    @offers()
    def patch(self, parsed_body: Json[StateChange]) -> ConversationView:
        """Change one's own side: mute, archive, pin, hide, mark unread, draft."""
        conversation_id, user_id = self.kwargs["conversation_id"], self.principal.user_id
        shop().writer.run(lambda: members.change(conversation_id=conversation_id, user_id=user_id, wanted=parsed_body))
        return _detail(conversations.for_member(conversation_id, user_id))


def _detail(side: Side) -> ConversationView:
    shown = history.newest(sight.of(side), SHOWN_AT_FIRST)
    return msgspec.structs.replace(conversations.summary(side), messages=tuple(shown))


class ConversationsOfPerson(Api):
    @offers()
    def get(self, parsed_query: Query[PageQuery]) -> Page[ConversationView]:
        """Return one's own conversations, newest activity first.

        The list moves while it is walked: a conversation that becomes active meanwhile moves to a page that was
        already read. Whoever must not miss one asks `sync`.
        """
        me = self.principal.user_id
        if self.kwargs["user_id"] not in ("me", me):
            raise Problem("not_found")
        found, count = listing.listed(me, page=parsed_query.page, page_size=parsed_query.page_size)
        return self.page(found, count=count, **_neighbours(parsed_query, count))


class Messages(_Reading):
    @offers(scope="conversations.read")
    def get(self, parsed_query: Query[MessagesQuery]) -> Page[MessageView]:
        """Messages, newest first: by page number, or before or after a seq."""
        seen = sight.sight(self.kwargs["conversation_id"], self._reader())
        if parsed_query.before_seq is not None or parsed_query.after_seq is not None:
            return self._beside(seen, parsed_query)
        found = history.page(seen, number=parsed_query.page, size=parsed_query.page_size)
        return self.page(found, count=seen.count, **_neighbours(parsed_query, seen.count))

    def _beside(self, seen: Sight, wanted: MessagesQuery) -> Page[MessageView]:
        if wanted.before_seq is not None and wanted.after_seq is not None:
            raise invalid("before_seq", "Either before_seq or after_seq.")
        first, last = seen.first_seq, seen.last_seq
        low, high = _window(wanted, first, last)
        found = history.between(seen, low=low, high=high)[::-1]
        older = {"before_seq": low, "after_seq": None} if low > first and high >= low else None
        newer = {"after_seq": high, "before_seq": None} if high < last and high >= low else None
        return self.page(found, count=seen.count, next=older, previous=newer)


def _window(wanted: MessagesQuery, first: int, last: int) -> tuple[int, int]:
    """The seqs next to the one named, both ends included."""
    if wanted.after_seq is not None:
        low = max(wanted.after_seq + 1, first)
        return low, min(low + wanted.page_size - 1, last)
    high = min((wanted.before_seq or 0) - 1, last)
    return max(high - wanted.page_size + 1, first), high


def _neighbours(wanted: PageQuery, count: int) -> dict[str, Any]:
    has_next = wanted.page * wanted.page_size < count
    return {
        "next": {"page": wanted.page + 1} if has_next else None,
        "previous": {"page": wanted.page - 1} if wanted.page > 1 else None,
    }


class SendMessage(Api):
    @offers(
        {201: MessageView, 200: MessageView},
        problems=("sender_mismatch", "recipient_unavailable", "idempotency_conflict"),
    )
    def post(self, parsed_body: Json[NewMessage]) -> Answer:
        """Send a message. The same client_message_id again answers 200 with the message there is."""
        if parsed_body.sender_id not in (None, self.principal.user_id):
            raise Problem("sender_mismatch")
        sent = messages.send_and_wait(
            conversation_id=self.kwargs["conversation_id"],
            sender_id=self.principal.user_id,
            text=parsed_body.content,
            message_type=parsed_body.message_type,
            client_message_id=self._client_message_id(parsed_body),
            reply_to=parsed_body.reply_to,
        )
        return self.answer(msgspec.Raw(sent.payload), status=201 if sent.is_new else 200)

    def _client_message_id(self, body: NewMessage) -> str | None:
        """`Idempotency-Key` is the same thing by another name; two names must not disagree."""
        key = self.idempotency_key
        if key is not None and body.client_message_id not in (None, key):
            raise invalid("client_message_id", "It differs from the Idempotency-Key header.")
        return key or body.client_message_id


class OneMessage(_Reading):
    @offers(scope="conversations.read")
    def get(self) -> MessageView:
        """One message, as it now stands; a tombstone where it was deleted."""
        return messages.seen(message_id=self.kwargs["message_id"], user_id=self._reader())

    @offers(problems=("not_author", "too_late", "message_deleted", "recipient_unavailable"))
    def patch(self, parsed_body: Json[EditedMessage]) -> MessageView:
        """Edit a message of one's own."""
        message_id, user_id = self.kwargs["message_id"], self.principal.user_id
        view: MessageView = shop().writer.run(
            lambda: messages.edit(message_id=message_id, user_id=user_id, text=parsed_body.content),
            fault_point="edit.before_commit",
        )
        return view

    @offers(problems=("not_author", "too_late"))
    def delete(self, parsed_query: Query[DeleteQuery]) -> MessageView:
        """Delete for everyone (its author), or for oneself; answers the tombstone."""
        message_id, user_id = self.kwargs["message_id"], self.principal.user_id
        view: MessageView = shop().writer.run(
            lambda: messages.delete(message_id=message_id, user_id=user_id, scope=parsed_query.scope),
            fault_point="edit.before_commit",
        )
        return view


class _Marking(Api):
    status: Status

    def _mark(self, user_id: str | None) -> ReceiptView:
        if user_id not in (None, self.principal.user_id):
            raise Problem("sender_mismatch")
        return receipts.mark_and_wait(
            user_id=self.principal.user_id, status=self.status, message_id=self.kwargs["message_id"]
        )


class ReadMessage(_Marking):
    status = "read"

    @offers(problems=("sender_mismatch",))
    def post(self, parsed_body: Json[Nothing]) -> ReceiptView:
        """I have seen this message and all before it."""
        return self._mark(parsed_body.user_id)


class DeliveredMessage(_Marking):
    status = "delivered"

    @offers(problems=("sender_mismatch",))
    def post(self, parsed_body: Json[Nothing]) -> ReceiptView:
        """This message and all before it reached a device of mine."""
        return self._mark(parsed_body.user_id)


class Changes(_Reading):
    @offers(scope="conversations.read")
    def get(self, parsed_query: Query[ChangesQuery]) -> ChangesPage:
        """What changed in a conversation after a mark, each row in its final state."""
        seen = sight.sight(self.kwargs["conversation_id"], self._reader())
        page = sync.changes(seen, since=parsed_query.since, epoch=parsed_query.epoch)
        return msgspec.structs.replace(page, epoch=shop().epoch)


class Sync(Api):
    @offers()
    def post(self, parsed_body: Json[Known]) -> SyncAnswer:
        """Which conversations differ from what a device knows, with their first changes."""
        return sync.sync(
            self.principal.user_id,
            epoch=parsed_body.epoch,
            known=parsed_body.known,
            state_since=parsed_body.state_since,
            after=parsed_body.after,
            until=parsed_body.until,
        )


class Screens(Api):
    @offers(status=204, scope="screens.tell")
    def post(self, parsed_body: Json[TellScreens]) -> None:
        """Show a frame on people's open screens. For services only; it is a hint, and only the last for everybody is kept."""
        if self.service is None:
            raise Problem("insufficient_scope")
        if parsed_body.user_ids is None:
            if not isinstance(parsed_body.frame, AiOffer):
                raise invalid("user_ids", "Only an offer is for everybody.")
            return announcing.say(parsed_body.frame)
        shop().screens.show(parsed_body.user_ids, parsed_body.frame, parsed_body.conversation_id)


ROUTES = (
    route("api/chat/conversations/", Conversations),
    route("api/chat/conversations/<id:conversation_id>/", OneConversation),
    route("api/chat/conversations/<id:conversation_id>/messages/", Messages),
    route("api/chat/conversations/<id:conversation_id>/messages/send/", SendMessage),
    route("api/chat/conversations/<id:conversation_id>/changes/", Changes),
    route("api/chat/users/<id:user_id>/conversations/", ConversationsOfPerson),
    route("api/chat/messages/<id:message_id>/", OneMessage),
    route("api/chat/messages/<id:message_id>/read/", ReadMessage),
    route("api/chat/messages/<id:message_id>/delivered/", DeliveredMessage),
    route("api/chat/sync/", Sync),
    route("api/chat/screens/", Screens),
)
