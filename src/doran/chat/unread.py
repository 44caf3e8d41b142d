"""Unread counts: messages after a member's mark that are not the member's own, not deleted, not hidden and not lost.

A send moves its author's mark, so no message after the mark is the member's own. `Member.unread_deleted` is how many
messages after the mark were deleted for everyone or hidden by the member. Whatever deletes a message or moves a mark
part of the way also moves that number, in the same transaction; a read never counts messages. The number holds only
while the mark stands at `unread_deleted_after`: a mark moved to the newest message, as by a send, needs no write to
make it zero.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from doran.chat.counters import Counter, MarksRow
from doran.chat.models import HiddenMessage, LostRange, Member, Message
from doran.chat.writer import DATABASE


def count(
    last_seq: int, *, read: int, hidden_before: int, lost: Iterable[LostRange], deleted: int, deleted_after: int
) -> int:
    """Return how many messages are unread.

    The mark may have been read a moment later than the conversation, so it can be ahead of `last_seq`.
    """
    mark = max(read, hidden_before - 1)
    gone = deleted if deleted_after == mark else 0
    return max(0, last_seq - mark - gone - sum(max(0, one.last_seq - max(mark, one.first_seq - 1)) for one in lost))


def of(member: Member, last_seq: int, lost: Iterable[LostRange]) -> int:
    """Return how many messages are unread for this member."""
    return count(
        last_seq, read=member.last_read_seq, hidden_before=member.hidden_before_seq, lost=lost,
        deleted=member.unread_deleted, deleted_after=member.unread_deleted_after,
    )  # fmt: skip


def note_deleted(member: Member, seq: int) -> bool:
    """Count this message as unread no more, once it is deleted or hidden. Return whether it was unread.

    In the writer's transaction, with the conversation locked.
    """
    mark = _mark(member)
    if seq <= mark:
        return False
    member.unread_deleted, member.unread_deleted_after = _deleted(member) + 1, mark
    member.save(using=DATABASE, update_fields=["unread_deleted", "unread_deleted_after"])
    return True


def hide_before(member: Member, seq: int, *, last_seq: int) -> dict[str, int]:
    """Return the values that hiding every message before `seq` changes. In the writer's transaction."""
    before, after = _mark(member), max(_mark(member), seq - 1)
    left = _left(_deleted(member), member.conversation_id, member.user_id, before, after, last_seq)
    return {"hidden_before_seq": seq, "unread_deleted": left, "unread_deleted_after": after}


def read_up_to(marks: MarksRow, counter: Counter, user_id: str, seq: int) -> bool:
    """Take off what the read mark passes on its way to `seq`. Return whether anything is to be written.

    Call it before the mark moves, in the writer's transaction.
    """
    before, after = marks.mark, max(marks.mark, seq)
    if not marks.unread_deleted or marks.unread_deleted_after != before:
        return False
    marks.unread_deleted = _left(marks.unread_deleted, counter.db_id, user_id, before, after, counter.last_seq)
    marks.unread_deleted_after = after
    return True


def _mark(member: Member) -> int:
    return max(member.last_read_seq, member.hidden_before_seq - 1)


def _deleted(member: Member) -> int:
    return member.unread_deleted if member.unread_deleted_after == _mark(member) else 0


def _left(deleted: int, conversation_id: uuid.UUID | str, user_id: str, before: int, after: int, last_seq: int) -> int:
    """Of the deleted messages after `before`, return how many come after `after`: each position is passed only once."""
    if not deleted or after >= last_seq:
        return 0
    passed = {"conversation_id": conversation_id, "seq__gt": before, "seq__lte": after}
    hidden = HiddenMessage.objects.using(DATABASE).filter(user_id=user_id, **passed)
    gone = Message.objects.using(DATABASE).filter(is_deleted=True, **passed)
    seqs = {*hidden.values_list("seq", flat=True), *gone.values_list("seq", flat=True)}
    return max(0, deleted - len(seqs))
