"""Hidden reasoning: many models write it into their answer, between marks of their own. It is taken out while it streams.

The marks are those of the model families' templates (`_SORTS`). A template may give the opening mark itself, so that an
answer begins with reasoning and only its end is marked: whatever was passed on until then is retracted, and the next
answer of that provider is kept back until its reasoning has ended. Marks in code are words; a backtick that nothing
closes on its line begins no code.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from doran.ai.providers import End, EndReason, Piece, Retracted, Text, Usage

_NAMES: Final = (
    "think|thinking|thinking_process|thought|thoughts|thought_process|reasoning|reasoning_content|reflection|scratchpad"
    "|analysis|inner_monologue|chain_of_thought"
)
_CLOSES_TAG: Final = rf"</(?:[\w-]{{1,20}}:)?(?:{_NAMES})\s{{0,5}}>"
_SORTS: Final = (
    (rf"<(?:[\w-]{{1,20}}:)?(?:{_NAMES})(?:\s[^<>\n]{{0,100}})?>", _CLOSES_TAG),
    (r"\[(?-i:THINK|THINKING|REASONING)\]", r"\[/(?-i:THINK|THINKING|REASONING)\]"),
    ("◁think▷", "◁/think▷"),
    (r"<\|(?:START_THINKING|begin_of_thought|thinking)\|>", r"<\|(?:END_THINKING|end_of_thought|/thinking)\|>"),
    (r"<\|channel>\s{0,5}thought", r"<channel\|>"),
    ("<unused94>", "<unused95>"),  # MedGemma
    (
        r"<\|channel\|>\s{0,5}(?:analysis|commentary)[^<]{0,200}<\|message\|>",
        r"<\|(?:end|call|return)\|>|(?=<\|start\|>)|(?=<\|channel\|>\s{0,5}final)",
    ),
)
"""How reasoning begins, and how it ends."""
_FIRST: Final = (
    (r"here(?:'s| is) my thought process:", r"here(?:'s| is) my response:"),
    (r"analysis(?=[a-z가-힣\"'“{])", r"assistantfinal"),  # harmony, whose marks a server has dropped
)
"""The same where they are words, and count only as the first of an answer."""
_FRAMES: Final = (
    r"<\|start\|>(?:assistant)?(?=[^a-z])|<\|channel\|>\s{0,5}final[^<]{0,50}<\|message\|>|<\|(?:end|return|message)\|>"
    r"|<\|(?:START|END)_(?:RESPONSE|TEXT)\|>|<\|(?:begin|end)_of_solution\|>"
)
"""What stands around the answer itself."""


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_CLOSES: Final = tuple(_compiled(closes) for _, closes in (*_SORTS, *_FIRST))
_ANY_CLOSE: Final = _compiled("|".join(closes for _, closes in _SORTS[:6]))
_MARK: Final = _compiled(
    "|".join(f"(?P<o{at}>{opens})" for at, (opens, _) in enumerate(_SORTS))
    + f"|(?P<bare>{_ANY_CLOSE.pattern})|(?P<frame>{_FRAMES})"
)
_AT_FIRST: Final = _compiled("|".join(rf"(?P<o{at}>{opens})" for at, (opens, _) in enumerate(_FIRST, len(_SORTS))))
_BEGUN: Final = _compiled(
    r"(?:<\|channel\|>[^<]{0,200}(?:<(?:\|[a-z|]{0,10})?)?|<\|channel>\s{0,5}[a-z]{0,7}|<\|start\|>[a-z]{0,9}|<(?:[|/a-z][^<>\n]{0,120})?"
    r"|\[(?-i:/?[A-Z]{0,10})|◁[^▷\n]{0,10})\Z"
)
"""What at the end of a piece may become a mark."""
_FIRST_WORDS: Final = ("here is my thought process:", "here's my thought process:", "analysis")
_LONGEST: Final = 300
"""No mark is longer."""
_LINE_OR_CODE_ENDS: Final = re.compile(r"[`\n]")
_ANSWER: Final = re.compile(r"</?(?:answer|response|solution|final_answer)>\s*", re.IGNORECASE)
_JSON: Final = ("{", "[", "```")


@dataclass(slots=True)
class Habit:
    """What is known of a provider: `is_bare` where its reasoning begins without a mark."""

    is_bare: bool = False


class Thoughts:
    """One answer that comes in pieces. What of it is answer, comes out; reasoning does not."""

    def __init__(self, habit: Habit) -> None:
        self._habit = habit
        self._held = ""  # not decided yet; while it thinks, all of the reasoning
        self._said = ""
        self._closes = _ANY_CLOSE if habit.is_bare else None
        self._mark = ""  # by which the reasoning was begun
        self._looked = 0  # up to where it was looked for its end
        self._has_thought = False
        self._is_over = False  # nothing more comes

    def more(self, piece: str) -> Iterator[Piece]:
        """What can be passed on now that this came."""
        self._held += piece
        while True:
            found = self._thought() if self._closes else self._answered()
            if found is None:
                return
            yield from found

    def rest(self, end: EndReason) -> Iterator[Piece]:
        """What is left when the answer ended. Reasoning without an end is none of it, unless it was plainly a word."""
        self._is_over = True
        yield from self.more("")
        if self._closes is None:
            yield from self._passed(self._held)
        elif end == "stop" and not self._mark:  # it did not think this time
            yield from self._passed_whole(self._held)
        elif end == "stop" and self._said.rpartition("\n")[2].strip() and self._is_word():
            yield from self._passed(self._mark + self._held)
        self._held = ""

    # -- while it thinks -----------------------------------------------------------------------------

    def _thought(self) -> list[Piece] | None:
        assert self._closes is not None
        end = self._closes.search(self._held, max(0, self._looked - _LONGEST))
        if end is None:
            self._looked = len(self._held)
            return None
        self._held, self._closes, self._mark, self._looked = self._held[end.end() :], None, "", 0
        self._has_thought = True
        return []

    def _is_word(self) -> bool:
        """Of a sentence about such a mark; what goes on over several lines is reasoning."""
        return "\n" not in self._held.strip()

    # -- while it answers ----------------------------------------------------------------------------

    def _answered(self) -> list[Piece] | None:
        if not self._said.strip() and (mark := self._first()) is not None:
            return self._begins(mark) if mark else None
        for mark in _MARK.finditer(self._held):
            before, after = self._held[: mark.start()], self._held[mark.start() :]
            is_code = self._is_code(before, after[len(mark[0]) :])
            if is_code:
                continue
            self._held = after
            passed = list(self._passed(before))
            return (passed or None) if is_code is None else passed + self._taken(mark)
        begun = _BEGUN.search(self._held, max(0, len(self._held) - _LONGEST))
        cut = begun.start() if begun else len(self._held)
        before, self._held = self._held[:cut], self._held[cut:]
        return list(self._passed(before)) or None if before else None

    def _first(self) -> re.Match[str] | str | None:
        """How reasoning begins by words; "" where it may, None where it does not."""
        begins = self._held.lstrip()
        if mark := _AT_FIRST.match(begins):
            self._held = begins
            return mark
        may = begins and any(words.startswith(begins.lower()) for words in _FIRST_WORDS)
        return "" if may else None

    def _taken(self, mark: re.Match[str]) -> list[Piece]:
        """`_held` begins with this mark."""
        if mark.lastgroup == "bare":
            return self._retracted(mark[0])
        if mark.lastgroup == "frame":
            self._held = self._held[len(mark[0]) :]
            self._has_thought = True
            return []
        return self._begins(mark)

    def _begins(self, mark: re.Match[str] | str) -> list[Piece]:
        assert isinstance(mark, re.Match)
        self._closes = _CLOSES[int(str(mark.lastgroup)[1:])]
        self._mark, self._held, self._looked = mark[0], self._held[len(mark[0]) :], 0
        return []

    def _retracted(self, mark: str) -> list[Piece]:
        """Reasoning ends that never began: what came before was no answer. JSON is one, whatever stands in it."""
        if self._said.lstrip().startswith(_JSON):
            self._held = self._held[len(mark) :]
            return list(self._passed(mark))
        is_new = bool(self._said.strip())
        self._held, self._said, self._has_thought = self._held[len(mark) :], "", True
        self._habit.is_bare = self._habit.is_bare or is_new
        return [Retracted()] if is_new else []

    def _is_code(self, before: str, after: str) -> bool | None:
        """Return whether a mark between these texts is in code; None if text that has not come yet decides."""
        text = self._said + before
        if text.count("```") % 2 == 1:
            return True
        if text.rpartition("\n")[2].count("`") % 2 == 0:
            return False
        closes = _LINE_OR_CODE_ENDS.search(after)
        return None if closes is None and not self._is_over else closes is not None and closes[0] == "`"

    def _passed(self, text: str) -> Iterator[Piece]:
        if self._has_thought:
            text = _ANSWER.sub("", text)
            text = text if self._said else text.lstrip()
        if text:
            self._said += text
            yield Text(text)

    def _passed_whole(self, text: str) -> Iterator[Piece]:
        whole = Thoughts(Habit())
        yield from whole.more(text)
        yield from whole.rest("stop")


async def hidden(pieces: AsyncGenerator[Piece, None], habit: Habit) -> AsyncGenerator[Piece, None]:
    """The same answer without its reasoning. Empty texts say meanwhile that it goes on; counts come right before the end."""
    thoughts, counted = Thoughts(habit), list[Usage]()
    async with aclosing(pieces) as given:
        async for piece in given:
            if isinstance(piece, Text):
                some = list(thoughts.more(piece.text))
                for one in some or [Text("")]:
                    yield one
            elif isinstance(piece, Usage):
                counted = [piece]
            elif isinstance(piece, End):
                for one in (*thoughts.rest(piece.reason), *counted, piece):
                    yield one
            else:
                yield piece


def without(text: str) -> str:
    """A whole answer without its reasoning."""
    said, thoughts = "", Thoughts(Habit())
    for piece in (*thoughts.more(text), *thoughts.rest("stop")):
        said = "" if isinstance(piece, Retracted) else said + piece.text if isinstance(piece, Text) else said
    return said.strip() if said != text else text
