"""What a message may say: plain text, never HTML, never invisible, never a control character."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from doran.contracts.errors import invalid

PARTS = 4  # of how many characters a composed one may be written: a Hangul syllable of three

GOES_ON = " …"

_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’)」』]*(?=\s)|\n")
_WORD_END = re.compile(r"(?<=\S)(?=\s)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

# Anything but blanks, zero-width characters, direction marks, variation selectors, tags and the
# fillers of Hangul, Khmer, Mongolian and Braille, all of which draw nothing.
_VISIBLE = re.compile(
    r"[^\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f"
    r"\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    r"\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def checked(text: str, *, limit: int, field: str = "content") -> str:
    """The text as it is stored: NFC. Raises a 422 that names `field`; `limit` counts stored characters."""
    if len(text) > PARTS * limit or len(text := unicodedata.normalize("NFC", text)) > limit:
        raise invalid(field, f"At most {limit} characters, not {len(text)}.")
    if _CONTROL.search(text):
        raise invalid(field, "Control characters other than newline and tab are not allowed.")
    if not _VISIBLE.search(text):
        raise invalid(field, "There is nothing to see in it.")
    return text


def fitted(text: str, *, limit: int) -> str:
    """What a machine wrote, as a person could have sent it: without control characters, and cut where it is too long,
    after a whole sentence if there is one, with a sign that it goes on."""
    text = unicodedata.normalize("NFC", _CONTROL.sub("", text.replace("\r\n", "\n"))).strip()
    return text if len(text) <= limit else _cut(text, limit - len(GOES_ON))


def _cut(text: str, room: int) -> str:
    """In the last half a sentence has to end for the cut to be there, else a word, else anything."""
    for end in (_SENTENCE_END, _WORD_END):
        places = [found.end() for found in end.finditer(text, 0, room) if found.end() > room // 2]
        if places:
            return text[: places[-1]].rstrip() + GOES_ON
    return text[:room] + GOES_ON


def digest(key: bytes, content: str, message_type: str, reply_to: str | None) -> bytes:
    """Remembers what was sent without keeping it: 16 bytes, keyed with the store's own key."""
    mixed = f"{message_type}\0{reply_to or ''}\0{content}".encode()
    return hashlib.blake2b(mixed, digest_size=16, key=key).digest()
