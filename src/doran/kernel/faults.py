"""Named places where a process can be made to die, so that tests can prove nothing is lost there.

`DORAN_FAULT=<name>:<n>` kills this process with SIGKILL the n-th time it comes by. Without it
`hit` is a dictionary look-up in an empty dictionary. Production mode refuses the setting.
"""

from __future__ import annotations

import os
import signal
from typing import Final

FAULT_POINTS: Final = {
    "send.received": "a send was accepted and waits for the writer",
    "send.before_transaction": "the writer took a batch, nothing is written",
    "send.after_counter": "the conversation's counter moved, the message is not inserted",
    "send.after_insert": "the message is inserted, its event is not",
    "send.before_commit": "everything is written, nothing is committed",
    "send.after_commit_before_ack": "committed, nobody was told",
    "send.after_ack_before_fanout": "the sender knows, the screens do not",
    "edit.before_commit": "an edit or deletion is written, not committed",
    "mark.before_commit": "a mark is written, not committed",
    "connection.after_subscribe_before_history": "a socket is subscribed and has read nothing yet",
    "outbox.after_publish_before_mark": "an event was published, the outbox does not know yet",
    "inbox.before_commit": "an event took effect and is marked, neither is committed",
    "ai.claimed": "a job is held, nothing is done for it",
    "ai.words_sent": "a provider has begun to answer, nothing of it is kept",
    "ai.answered_before_commit": "a job is done, its end is not written",
    "ai.ending_before_commit": "the end of a job is written, not committed",
    "ai.after_commit": "a job has ended, nobody was told",
    "webhook.after_send_before_mark": "a receiver was told, its endpoint's line does not know yet",
}

_armed: dict[str, int] = {}


def arm(setting: str) -> None:
    """Read `name:n` (or `name` for the first time). Raises ValueError for an unknown name."""
    name, _, nth = setting.partition(":")
    if name not in FAULT_POINTS:
        raise ValueError(f"unknown fault point {name!r}; known: {', '.join(FAULT_POINTS)}")
    _armed[name] = int(nth or 1)


def hit(name: str) -> None:
    """Die here if this is the time."""
    if name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
