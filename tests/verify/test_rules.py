"""Every rule can fire and can stay silent: one correct story, spoiled in one place at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from doran.verify.history import (
    Closed,
    Delete,
    Edit,
    Fault,
    Garbled,
    Heard,
    Holds,
    Looked,
    Mark,
    Opened,
    Pried,
    Row,
    Saw,
    Send,
    Spilled,
    in_order,
)
from doran.verify.judge import judge
from doran.verify.rules import RULES
from tests.verify.story import EDITED, FINAL, FIRST, GONE, HOME, JUNHO, MINJI, OTHER, SECOND, SORA, THIRD, Story, row

Spoiler = Callable[[Story], None]
SPOILERS: list[tuple[str, Spoiler]] = []

AT_JUNHOS = {"user": JUNHO, "device": "junho/phone", "conversation": HOME}
AT_MINJIS = {"user": MINJI, "device": "minji/phone", "conversation": HOME}


def spoils(rule: str) -> Callable[[Spoiler], Spoiler]:
    def keep(spoiler: Spoiler) -> Spoiler:
        SPOILERS.append((rule, spoiler))
        return spoiler

    return keep


def ending(story: Story, *rows: Row) -> None:
    """Everybody holds something else at the end."""
    for number in range(3):
        story.put(story.find(Holds, number), rows=rows)


# -- writes ------------------------------------------------------------------------------------


@spoils("LOST-ack")
def the_last_message_is_gone(story: Story) -> None:
    ending(story, EDITED, GONE)


@spoils("LOST-ack")
def a_send_was_answered_with_another_message(story: Story) -> None:
    story.add(Send(**AT_MINJIS, cmid="c9", body="t-9", outcome="ok", row=THIRD))


@spoils("DUPLICATE")
def a_text_exists_twice(story: Story) -> None:
    ending(story, *FINAL, row(THIRD, seq=4, id="m4", change_seq=7, cmid=None))


@spoils("DUPLICATE")
def one_id_names_two_messages(story: Story) -> None:
    ending(story, *FINAL, Row(seq=4, id="m4", sender=MINJI, body="", deleted=True, change_seq=7, cmid="c3"))


@spoils("CMID-reused")
def another_text_under_a_used_id_is_taken(story: Story) -> None:
    story.add(Send(**AT_MINJIS, cmid="c1", body="t-9", trick="conflict", outcome="ok", row=EDITED))


@spoils("ACK-lied-seq")
def a_retry_names_another_seq(story: Story) -> None:
    story.add(Send(**AT_MINJIS, cmid="c3", body="t-4", outcome="ok", row=row(THIRD, seq=4)))


@spoils("ACK-lied-seq")
def the_only_answer_names_a_wrong_seq(story: Story) -> None:
    story.put(story.find(Send, 2), row=row(THIRD, seq=4))


@spoils("CORRUPT-body")
def a_text_lost_its_end(story: Story) -> None:
    story.put(story.find(Saw, 5), rows=(EDITED, GONE, row(THIRD, body="t-")))


@spoils("PHANTOM")
def nobody_sent_this(story: Story) -> None:
    ending(story, *FINAL, Row(seq=4, id="m4", sender=MINJI, body="boo", change_seq=7))


@spoils("PHANTOM")
def nobody_deleted_this(story: Story) -> None:
    ending(story, EDITED, GONE, row(THIRD, body="", deleted=True, change_seq=7))


@spoils("FORGED-author")
def a_message_changed_its_author(story: Story) -> None:
    story.put(story.find(Saw, 5), rows=(EDITED, GONE, row(THIRD, sender=JUNHO)))


@spoils("FORGED-author")
def a_forged_sender_was_accepted(story: Story) -> None:
    forged = row(THIRD, seq=4, id="m4", body="t-9")
    story.add(Send(**AT_MINJIS, cmid="c9", body="t-9", trick="forged", outcome="ok", row=forged))


@spoils("FAILED-but-visible")
def what_was_refused_is_there(story: Story) -> None:
    ending(story, *FINAL, Row(seq=4, id="m4", sender=MINJI, body="t-5", change_seq=7, cmid="c4"))


@spoils("TIME-TRAVEL")
def a_text_is_seen_before_it_is_sent(story: Story) -> None:
    story.put(story.find(Saw, 0), rows=(row(FIRST, body="t-4"),))


@spoils("REFUSED")
def an_honest_send_is_refused(story: Story) -> None:
    story.add(Send(**AT_MINJIS, cmid="c9", body="t-9", outcome="fail", code="not_authenticated"))


@spoils("GARBLED")
def a_frame_has_no_message(story: Story) -> None:
    story.add(Garbled(user=JUNHO, device="junho/phone", what="chat_message: KeyError 'message'"))


# -- order -------------------------------------------------------------------------------------


@spoils("DIVERGENT-order")
def one_seq_means_two_messages(story: Story) -> None:
    story.put(story.find(Saw, 4), rows=(EDITED, GONE, row(THIRD, id="m9")))


@spoils("DIVERGENT-order")
def one_message_has_two_seqs(story: Story) -> None:
    story.put(story.find(Saw, 4), rows=(EDITED, GONE, row(THIRD, seq=4)))


@spoils("DIVERGENT-state")
def one_change_has_two_texts(story: Story) -> None:
    story.put(story.find(Saw, 4), rows=(row(EDITED, body="t-1"), GONE, THIRD))


@spoils("DIVERGENT-final")
def the_two_read_different_ends(story: Story) -> None:
    story.put(story.find(Holds, 2), rows=(EDITED, GONE))


@spoils("HOLE")
def a_seq_is_missing(story: Story) -> None:
    story.put(story.find(Send, 2), row=row(THIRD, seq=4))
    ending(story, EDITED, GONE, row(THIRD, seq=4))


@spoils("REALTIME-order")
def a_later_send_got_an_earlier_seq(story: Story) -> None:
    story.put(story.find(Send, 0), row=row(FIRST, seq=2))
    story.put(story.find(Send, 1), row=row(SECOND, seq=1))


@spoils("CAUSAL-order")
def an_answer_stands_before_its_question(story: Story) -> None:
    story.put(story.find(Saw, 1), rows=(row(FIRST, seq=2),))
    story.put(story.find(Send, 1), row=row(SECOND, seq=1))


@spoils("LIVE-order")
def frames_overtake_each_other(story: Story) -> None:
    first, second = story.find(Saw, 1), story.find(Saw, 3)
    story.put(first, rows=second.rows)
    story.put(second, rows=first.rows)


# -- resume ------------------------------------------------------------------------------------


@spoils("GAP")
def changes_leave_something_out(story: Story) -> None:
    story.put(story.find(Saw, 4), rows=(EDITED, THIRD))


@spoils("GAP")
def a_page_is_torn(story: Story) -> None:
    story.put(story.find(Saw, 5), rows=(EDITED, THIRD))


@spoils("GAP")
def a_page_ends_too_early(story: Story) -> None:
    story.put(story.find(Saw, 5), rows=(EDITED, GONE))


@spoils("GAP")
def a_socket_skips_a_message(story: Story) -> None:
    story.cut(story.find(Saw, 1))


@spoils("REDELIVERED")
def changes_repeat_what_was_known(story: Story) -> None:
    story.put(story.find(Saw, 4), since=3)


@spoils("REDELIVERED")
def a_page_shows_a_message_twice(story: Story) -> None:
    story.put(story.find(Saw, 5), rows=(*FINAL, THIRD))


@spoils("REDELIVERED")
def a_socket_shows_a_message_twice(story: Story) -> None:
    story.add(Saw(**AT_JUNHOS, link=1, source="live", frame="chat_message", rows=(THIRD,)))


@spoils("REDELIVERED")
def a_send_comes_back_to_its_socket(story: Story) -> None:
    story.put(story.find(Saw, 3), rows=(SECOND,))


@spoils("CHANGE-order")
def changes_come_shuffled(story: Story) -> None:
    story.put(story.find(Saw, 4), rows=(GONE, EDITED, THIRD))


@spoils("CHANGE-order")
def the_next_mark_lies_before_what_was_shown(story: Story) -> None:
    story.put(story.find(Saw, 4), next_since=5)


@spoils("NOT-CAUGHT-UP")
def a_device_holds_an_old_text(story: Story) -> None:
    story.put(story.find(Holds, 0), rows=(FIRST, GONE, THIRD))


@spoils("NOT-CAUGHT-UP")
def a_device_needed_too_long(story: Story) -> None:
    late = story.find(Holds, 0)
    story.put(late, ret=late.ret + 8 * 10**9)


@spoils("NOT-CAUGHT-UP")
def an_open_socket_stayed_silent(story: Story) -> None:
    story.cut(story.find(Saw, 3))


@spoils("STALE-read")
def a_read_does_not_know_the_last_message(story: Story) -> None:
    story.put(story.find(Saw, 5), rows=(EDITED, GONE), last_seq=2)


@spoils("STALE-read")
def a_read_shows_the_text_before_my_edit(story: Story) -> None:
    story.put(story.find(Saw, 5), rows=(FIRST, GONE, THIRD))


@spoils("STALE-read")
def changes_end_before_what_i_had_seen(story: Story) -> None:
    story.put(story.find(Saw, 4), rows=(EDITED, GONE), next_since=5)


@spoils("EPOCH-moved")
def the_epoch_changes(story: Story) -> None:
    story.add(Opened(user=MINJI, device="minji/phone", link=2, epoch="f"))


@spoils("EPOCH-moved")
def a_good_mark_is_answered_with_reset(story: Story) -> None:
    story.add(Saw(**AT_MINJIS, source="changes", since=6, next_since=0, reset=True))


@spoils("CLOSE-code")
def a_stopping_server_just_goes(story: Story) -> None:
    story.add(Closed(user=JUNHO, device="junho/phone", link=1, room=HOME, code=0))
    story.add(Fault(name="restart"))
    story.put(story.find(Fault), inv=story.find(Closed).inv)


# -- changes -----------------------------------------------------------------------------------


@spoils("EDIT-lost")
def the_first_text_is_back(story: Story) -> None:
    ending(story, FIRST, GONE, THIRD)


@spoils("EDIT-lost")
def an_earlier_edit_won(story: Story) -> None:
    later = row(EDITED, body="t-9", change_seq=7)
    story.add(Edit(**AT_MINJIS, message_id="m1", body="t-9", outcome="ok", row=later))


@spoils("UNDELETED")
def a_deleted_message_is_back(story: Story) -> None:
    ending(story, EDITED, row(SECOND, change_seq=7), THIRD)


@spoils("DELETED-body-served")
def a_page_shows_a_deleted_text(story: Story) -> None:
    story.put(story.find(Saw, 5), rows=(EDITED, row(SECOND, change_seq=4), THIRD))


@spoils("DELETED-body-served")
def a_tombstone_keeps_its_text(story: Story) -> None:
    story.put(story.find(Saw, 5), rows=(EDITED, row(GONE, body="t-2"), THIRD))


@spoils("FOREIGN-change")
def the_other_person_edits(story: Story) -> None:
    edited = row(EDITED, body="t-9", change_seq=7)
    story.add(Edit(**AT_JUNHOS, message_id="m1", body="t-9", trick="foreign", outcome="ok", row=edited))


@spoils("FOREIGN-change")
def the_other_person_deletes(story: Story) -> None:
    story.add(Delete(**AT_JUNHOS, message_id="m1", trick="foreign", outcome="ok"))


# -- marks -------------------------------------------------------------------------------------


@spoils("MARKER-phantom")
def a_mark_above_every_claim(story: Story) -> None:
    story.put(story.find(Looked, 0), read=3, delivered=3)


@spoils("MARKER-lost")
def an_acknowledged_mark_is_gone(story: Story) -> None:
    story.put(story.find(Looked, 0), read=1)


@spoils("MARKER-lost")
def an_author_has_not_read_their_own_message(story: Story) -> None:
    story.add(Looked(**AT_JUNHOS, source="newest", whose=MINJI, read=2, delivered=2))


@spoils("MARKER-backwards")
def a_mark_goes_back_between_two_looks(story: Story) -> None:
    story.add(Looked(**AT_JUNHOS, source="newest", whose=MINJI, read=1, delivered=3))


@spoils("MARKER-backwards")
def a_mark_goes_back_on_a_socket(story: Story) -> None:
    story.add(Looked(**AT_JUNHOS, link=1, source="live", whose=MINJI, read=2))
    story.add(Looked(**AT_JUNHOS, link=1, source="live", whose=MINJI, read=1))


@spoils("READ-undelivered")
def read_is_ahead_of_delivered(story: Story) -> None:
    story.put(story.find(Looked, 0), delivered=1)


@spoils("UNREAD-wrong")
def two_unread_where_one_is(story: Story) -> None:
    story.put(story.find(Looked, 1), unread=2)


# -- leaks -------------------------------------------------------------------------------------


@spoils("LEAK-conv")
def sora_is_shown_a_message(story: Story) -> None:
    story.add(Saw(user=SORA, device="sora/phone", conversation=HOME, source="live", rows=(THIRD,)))


@spoils("LEAK-conv")
def sora_gets_an_answer(story: Story) -> None:
    story.put(story.find(Pried), outcome="ok")


@spoils("LEAK-conv")
def sora_opens_the_socket(story: Story) -> None:
    story.add(Opened(user=SORA, device="sora/phone", link=2, room=HOME, epoch="e"))


@spoils("LEAK-conv")
def a_row_names_another_conversation(story: Story) -> None:
    story.put(story.find(Saw, 5), rows=(EDITED, GONE, row(THIRD, elsewhere=OTHER)))


@spoils("LEAK-body")
def a_text_shows_up_in_another_conversation(story: Story) -> None:
    stray = Row(seq=1, id="x1", sender=SORA, body="t-4", change_seq=1)
    at_home = {"user": JUNHO, "device": "junho/phone", "conversation": OTHER}
    story.add(Saw(**at_home, source="page", rows=(stray,)))


@spoils("LEAK-body")
def a_message_shows_the_text_of_another(story: Story) -> None:
    story.put(story.find(Saw, 5), rows=(EDITED, GONE, row(THIRD, body="t-1")))


@spoils("LEAK-marker")
def sora_is_shown_a_mark(story: Story) -> None:
    story.add(Looked(user=SORA, device="sora/phone", conversation=HOME, source="live", whose=MINJI, read=1))


@spoils("LEAK-marker")
def the_mark_of_sora_shows_up(story: Story) -> None:
    story.add(Looked(**AT_JUNHOS, source="live", whose=SORA, read=0))


@spoils("LEAK-side")
def a_text_stands_in_the_log(story: Story) -> None:
    story.add(Spilled(where="server.log", what="a text", place="line 3"))


@spoils("EVENT-set")
def an_event_is_missing(story: Story) -> None:
    story.cut(story.find(Heard, 1))


@spoils("EVENT-set")
def two_events_tell_of_one_message(story: Story) -> None:
    story.add(Heard(conversation=HOME, event_id="e9", event_type="message.created", message_id="m3", seq=3))


@spoils("EVENT-set")
def events_come_out_of_order(story: Story) -> None:
    story.put(story.find(Heard, 0), message_id="m3", seq=3)
    story.put(story.find(Heard, 2), message_id="m1", seq=1)


@spoils("EVENT-set")
def an_event_tells_of_nothing(story: Story) -> None:
    story.add(Heard(conversation=HOME, event_id="e9", event_type="message.created", message_id="m9", seq=9))


@pytest.mark.parametrize(("rule", "spoil"), SPOILERS, ids=[f"{rule}: {spoil.__name__}" for rule, spoil in SPOILERS])
def test_a_spoiled_story_is_caught(rule: str, spoil: Spoiler) -> None:
    story = Story()
    spoil(story)
    assert rule in judge(story.operations).by_rule()


def test_every_rule_has_been_seen_to_fire() -> None:
    assert {rule for rule, _ in SPOILERS} == set(RULES)


def test_the_story_itself_is_clean() -> None:
    verdict = judge(Story().operations)
    assert verdict.violations == ()
    assert verdict.silent == ()


# -- what must not be held against a server ------------------------------------------------------


BEFORE_THE_END = 22 * 10**9


def clean(story: Story) -> bool:
    return judge(in_order(story.operations)).clean


def test_an_unanswered_send_may_be_there_or_not() -> None:
    story = Story()
    story.add(Send(**AT_MINJIS, cmid="c9", body="t-9", outcome="info"))
    story.put(story.find(Send, 4), inv=BEFORE_THE_END)
    assert clean(story)
    ending(story, *FINAL, Row(seq=4, id="m9", sender=MINJI, body="t-9", change_seq=9, cmid="c9"))
    story.add(Heard(conversation=HOME, event_id="e4", event_type="message.created", message_id="m9", seq=4))
    assert clean(story)


def test_the_same_event_may_come_twice() -> None:
    story = Story()
    story.add(story.find(Heard, 2))
    assert clean(story)


def test_an_unanswered_edit_may_win_or_lose() -> None:
    story = Story()
    story.add(Edit(**AT_MINJIS, message_id="m3", body="t-9", outcome="info"))
    story.put(story.find(Edit, 1), inv=BEFORE_THE_END)
    assert clean(story)
    ending(story, EDITED, GONE, row(THIRD, body="t-9", change_seq=9))
    assert clean(story)


def test_a_socket_that_closed_owes_nothing() -> None:
    story = Story()
    story.cut(story.find(Saw, 3))
    closed = Closed(user=JUNHO, device="junho/phone", link=1, room=HOME)
    story.add(closed)
    story.put(story.find(Closed), inv=18 * 10**9, ret=18 * 10**9)
    assert clean(story)


def test_a_stalled_server_is_given_time() -> None:
    story = Story()
    story.cut(story.find(Saw, 3))
    story.add(Fault(name="stall"))
    story.put(story.find(Fault), inv=15 * 10**9)
    assert clean(story)


def test_two_people_may_use_the_same_client_id() -> None:
    story = Story()
    story.put(story.find(Send, 1), cmid="c1", row=row(SECOND, cmid="c1"))
    gone = row(GONE, cmid="c1")
    story.put(story.find(Delete), row=gone)
    ending(story, EDITED, gone, THIRD)
    assert clean(story)


def test_a_delete_for_good_may_meet_a_frame_under_way() -> None:
    story = Story()
    late = Saw(**AT_JUNHOS, link=1, source="live", frame="message_updated", rows=(SECOND,))
    story.add(late)
    story.put(story.find(Saw, 6), inv=story.find(Delete).ret + 10**9)
    assert clean(story)


def test_without_a_final_reading_some_rules_say_that_they_cannot_judge() -> None:
    story = Story()
    for _ in range(2):
        story.cut(next(holds for holds in story.operations if isinstance(holds, Holds) and holds.fresh))
    assert "LOST-ack" in judge(story.operations).silent


def test_a_read_mark_covers_delivered() -> None:
    story = Story()
    story.add(Mark(**AT_JUNHOS, level="read", up_to=3, outcome="ok", reached=3))
    story.add(Looked(**AT_MINJIS, source="newest", whose=JUNHO, read=3, delivered=3))
    assert clean(story)
