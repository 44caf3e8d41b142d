"""The data block: what people wrote, between marks that nobody could know, with letters for who wrote it.

No instruction can come out of it by its form: a mark is drawn anew for each request, and again while the data holds
it; each message is one line of JSON; who wrote it is a letter of ours; characters that nobody sees are taken out.
What a model makes of the words inside is another matter, and why it has no tools and its answers are not trusted.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from doran.ai import cleaning
from doran.contracts.frames import Citation, MessageView

ME, OTHERS = "A", "BCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Block:
    """`text` is the data with its marks; `messages` are those that are in it, numbered from 1 in this order."""

    mark: str
    text: str
    messages: tuple[MessageView, ...] = ()

    def cited(self, numbers: Iterable[int]) -> tuple[Citation, ...]:
        """The messages behind these numbers, each once. Numbers of no message count for nothing."""
        known = [self.messages[one - 1] for one in dict.fromkeys(numbers) if 1 <= one <= len(self.messages)]
        return tuple(Citation(one.id, one.conversation_id, one.seq) for one in known)


def fence(messages: Sequence[MessageView], *, me: str, room: int) -> Block:
    """As many of the newest messages as `room` tokens hold, oldest first. The author `me` is always A."""
    kept = newest_within(messages, room)
    letters = _letters(kept, me)
    lines = [_line(number, letters[one.sender_id], one) for number, one in enumerate(kept, start=1)]
    return _closed("\n".join(lines), tuple(kept))


def fence_text(text: str) -> Block:
    """One text, as it is."""
    return _closed(cleaning.visible(text))


def newest_within(messages: Sequence[MessageView], room: int) -> list[MessageView]:
    """The newest messages that fit into so many tokens, oldest first."""
    kept: list[MessageView] = []
    for one in reversed(messages):
        room -= tokens(one.content) + _AROUND
        if room < 0:
            break
        kept.append(one)
    return kept[::-1]


def tokens(text: str) -> int:
    """About how many tokens a text takes, rather too many than too few: no tokenizer of any model is asked."""
    plain = sum(map(str.isascii, text))
    return plain // 3 + 3 * (len(text) - plain) // 2 + 1


_AROUND: Final = 24
"""Tokens of a line without its words."""


def _letters(messages: Sequence[MessageView], me: str) -> dict[str, str]:
    others = dict.fromkeys(one.sender_id for one in messages if one.sender_id != me)
    return {me: ME, **dict(zip(others, OTHERS, strict=False))}


def _line(number: int, author: str, message: MessageView) -> str:
    facts = {"n": number, "from": author, "at": message.created_at[:16], "text": cleaning.visible(message.content)}
    return json.dumps(facts, ensure_ascii=False)


def _closed(data: str, messages: tuple[MessageView, ...] = ()) -> Block:
    mark = secrets.token_hex(8)
    while mark in data:
        mark = secrets.token_hex(8)
    return Block(mark, f"<<<{mark}\n{data}\n{mark}>>>", messages)
