"""Text policy: which characters names, messages, file names and searches may hold, and how they are counted.

The same on every Python: decisions rest on ranges of code points that Unicode does not change, never on whether the
`unicodedata` of this Python knows a character. A code point that is not assigned yet is a character like any other, so
new emoji are accepted at once. What is refused in names is what draws nothing or turns the text around, except where a
keyboard puts it: in emoji sequences, flags, keycaps, and in scripts that join letters.

Each `refusal_*` returns why a text is refused, or None.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MARKS_PER_BASE: Final = 5
"""Combining marks on one character of a name. Hebrew, Thai, Tibetan and Indic words need up to four or five."""
FILE_NAME_LENGTH: Final = 255

_LONGEST_COMPOSED: Final = 4
"""The most code points that compose to one: a Hangul syllable takes three, a Greek letter with its marks four."""

_MOST_GROWTH: Final = 3
"""The most code points that one becomes when it is composed (NFC)."""

_CONTROL: Final = r"\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff"
_DRAWS_NOTHING: Final = (
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Default-ignorable code points, reserved ones included, and separators of lines: they hide, or turn text around."""
_NOBODYS: Final = (
    r"\ue000-\uf8ff\ufdd0-\ufdef\U000f0000-\U0010ffff"
    + "".join(f"\\U{plane:04x}fffe\\U{plane:04x}ffff" for plane in range(15))
)  # fmt: skip
"""Private use and noncharacters."""

_EMOJI: Final = (
    r"\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff"
    r"\u3030\u303d\u3297\u3299\U0001f000-\U0001faff\U0001fc00-\U0001fffd"
)
"""Blocks of emoji and pictographs, with the room that is left in them."""
_JOINING: Final = (
    r"\u0590-\u109f\u1700-\u18af\u1900-\u1aaf\u1b00-\u1c7f\ua800-\uaaff\uabc0-\uabff\ufb1d-\ufdcf\ufdf0-\ufdff"
    r"\ufe70-\ufefc\U00010800-\U00011fff\U0001e900-\U0001e95f"
)
"""Scripts of the Near East, India and South-East Asia, whose words need joiners."""
_IDEOGRAPH: Final = r"\u2e80-\u2fdf\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"

_IN_PLACE: Final = re.compile(
    rf"(?<=[{_EMOJI}\ufe0f\U000e007f])\u200d(?=[{_EMOJI}])"
    rf"|(?<=[{_JOINING}])[\u200c\u200d](?![\u200c\u200d])"
    rf"|(?<=[{_EMOJI}0-9#*])[\ufe0e\ufe0f]"
    rf"|(?<=[{_IDEOGRAPH}])[\ufe00-\ufe0f\U000e0100-\U000e01ef]"
    r"|(?<=[\u1000-\u109f\u1800-\u18af\ua840-\ua87f])[\u180b-\u180d\u180f\ufe00]"
    r"|(?<=\U0001f3f4)[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
    r"|\u115f(?=[\u1161-\u11a7\ud7b0-\ud7c6])"
    r"|(?<=[\u1100-\u115e\ua960-\ua97c])\u1160(?=[\u11a8-\u11ff\ud7cb-\ud7fb])"
)
"""What draws nothing by itself and is needed where it stands: emoji sequences, joined letters, subdivision flags, old Hangul."""

_UNSEEN: Final = re.compile(rf"[{_CONTROL}{_DRAWS_NOTHING}]")
_NOT_IN_NAMES: Final = re.compile(rf"[\t\n{_CONTROL}{_DRAWS_NOTHING}{_NOBODYS}]")
_CONTROLS: Final = re.compile(rf"[{_CONTROL}]")
_SEEN: Final = re.compile(rf"[^\s\u2800\ufffe\uffff{_CONTROL}{_DRAWS_NOTHING}]")
_NOT_IN_FILE_NAMES: Final = re.compile(r'[/\\:*?"<>|]')

_LATER_MARKS: Final = re.compile(
    r"[\u0897\u0ece\u1ab0-\u1aff\U00010efa-\U00010eff\U000113bb-\U000113c0\U000113ce\U000113d0\U000113d2\U000113e1\U000113e2"
    r"\U00011241\U00011f00\U00011f01\U00011f36-\U00011f3a\U00011f40\U00011f42\U00011f5a\U0001611e-\U00016129"
    r"\U0001612d-\U0001612f\U0001e08f\U0001e4ec-\U0001e4ef\U0001e5ee\U0001e5ef\U0001e6e3\U0001e6e6\U0001e6ee\U0001e6ef"
    r"\U0001e6f5\U00013440\U00013447-\U00013455]"
)
"""Combining marks of Unicode 15 to 17, which the oldest supported Python does not know as such."""


def compose(text: str) -> str:
    """Return the text in its composed form (NFC), in which it is counted and compared."""
    return unicodedata.normalize("NFC", text)


def count(text: str) -> int:
    """Return how many characters a person is told: code points of the composed form, whatever keyboard typed them."""
    return len(compose(text))


def is_longer(text: str, most: int) -> bool:
    """Return whether the text has more than `most` characters, without composing what cannot be too long, or must be."""
    if len(text) * _MOST_GROWTH <= most:
        return False
    return len(text) > _LONGEST_COMPOSED * most or count(text) > most


def is_visible(text: str) -> bool:
    """Return whether there is anything to see: blanks, zero-width characters and Hangul fillers alone are nothing."""
    return _SEEN.search(text) is not None


def visible(text: str) -> str:
    """Return the text without what draws nothing, except where it is needed. Newlines and tabs stay."""
    kept = {found.span() for found in _IN_PLACE.finditer(text)}
    places = {place for start, end in kept for place in range(start, end)}
    seen = _UNSEEN.sub(lambda found: found[0] if found.start() in places else "", text)
    return seen if seen == text else visible(seen)  # what was needed beside something that is gone


def one_line(text: str) -> str:
    """Return a name, status or description as it is stored: composed, without blanks around it."""
    return compose(text).strip()


# -- refusals --------------------------------------------------------------------------------------------


def refusal_of_text(text: str, *, most: int) -> str | None:
    """Judge a message or a search: plain text of any language, not empty to the eye, without control characters."""
    if is_longer(text, most):
        return f"At most {most} characters, not {count(text)}."
    if _CONTROLS.search(text):
        return "Control characters other than newline and tab are not allowed."
    return None if is_visible(text) else "There is nothing to see in it."


def refusal_of_name(text: str, *, most: int, least: int = 0) -> str | None:
    """Judge one line that stands for somebody or something: it must look like what it is, and stay in its place."""
    if is_longer(text, most):
        return f"Use at most {most} characters."
    if _NOT_IN_NAMES.search(_IN_PLACE.sub("", text)):
        return "Control, direction and other invisible characters are not allowed."
    if text and not is_visible(text):
        return "Use characters that can be seen."
    if text and _has_stray_marks(text):
        return f"Use at most {MARKS_PER_BASE} combining marks on a character."
    return "Use at least one character." if len(text) < least else None


def refusal_of_file_name(text: str) -> str | None:
    """Judge the name of a file: as a name, and no path on any system."""
    if _NOT_IN_FILE_NAMES.search(text) or text.strip(". ") == "" or text.endswith((".", " ")):
        return "Use a file's name without a path."
    return refusal_of_name(text, most=FILE_NAME_LENGTH, least=1)


def is_opaque_id(text: str, *, most: int) -> bool:
    """Return whether this can be an id from outside: something that is seen whole, on one line."""
    return 0 < len(text) <= most and _NOT_IN_NAMES.search(text) is None and not text.isspace()


def _has_stray_marks(text: str) -> bool:
    """Return whether a mark has no character to stand on, or one carries too many."""
    marks = MARKS_PER_BASE  # so that the first character is none
    for sign in text:
        marks = marks + 1 if _is_mark(sign) else 0
        if marks > MARKS_PER_BASE:
            return True
    return False


def _is_mark(sign: str) -> bool:
    return unicodedata.category(sign) in ("Mn", "Me") or _LATER_MARKS.match(sign) is not None
