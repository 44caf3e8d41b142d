"""What everybody is told at once. The last of it stays stored, for processes that did not hear of it."""

from __future__ import annotations

from functools import partial

from doran.chat.models import Announcement
from doran.chat.shop import shop
from doran.chat.writer import DATABASE
from doran.contracts import frames


def say(frame: frames.AiOffer) -> None:
    """Show it on all screens for everything, here and by other processes, in the order in which it was stored."""
    text = frames.encode(frame).decode()
    number = shop().writer.run(partial(_keep, text))
    shop().screens.show_everybody(number, text)


def last() -> tuple[int, str]:
    """What was said last, and how many times something was."""
    row = Announcement.objects.using(DATABASE).first()
    return (0, "") if row is None else (row.number, row.frame)


def _keep(text: str) -> int:
    row, _ = Announcement.objects.using(DATABASE).select_for_update().get_or_create(id=1)
    row.number, row.frame = row.number + 1, text
    row.save()
    return row.number
