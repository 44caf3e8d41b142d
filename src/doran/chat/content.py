"""What a message may say: plain text, never HTML, never invisible, never a control character."""

from __future__ import annotations

import hashlib
import re

from doran.contracts import frames
from doran.contracts.errors import invalid
from doran.text import policy

CONTENT_BYTES = 80_000
"""As many as 20,000 characters of four bytes take: a frame must hold a conversation's draft and two of its messages."""
GOES_ON = " …"

_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’)」』]*(?=\s)|\n")
_WORD_END = re.compile(r"(?<=\S)(?=\s)")
_REFUSED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def checked(text: str, *, limit: int, field: str = "content") -> str:
    """Return the text exactly as it was sent, which is how it is stored. Raises a 422 that names `field`.

    Characters are counted in the composed form (NFC), whichever form was sent: so a page and a server agree.
    """
    if (refusal := policy.refusal_of_text(text, most=limit)) is not None:
        raise invalid(field, refusal)
    if 4 * len(text) > CONTENT_BYTES and len(frames.encode(text)) - 2 > CONTENT_BYTES:
        raise invalid(field, f"At most {CONTENT_BYTES} bytes of JSON.")
    return text


def fitted(text: str, *, limit: int) -> str:
    """What a machine wrote, as a person could have sent it: without control characters, and cut where it is too long,
    after a whole sentence if there is one, with a sign that it goes on."""
    text = policy.compose(_REFUSED.sub("", text.replace("\r\n", "\n"))).strip()
    return text if len(text) <= limit else _cut(text, limit - len(GOES_ON))


def _cut(text: str, room: int) -> str:
    """In the last half a sentence has to end for the cut to be there, else a word, else anything."""
    for end in (_SENTENCE_END, _WORD_END):
        places = [found.end() for found in end.finditer(text, 0, room) if found.end() > room // 2]
        if places:
            return text[: places[-1]].rstrip() + GOES_ON
    return text[:room] + GOES_ON


def digest(key: bytes, content: str, message_type: str, reply_to: str | None) -> bytes:
    """Return 16 bytes that tell a repetition from another message, keyed with the store's own key.

    Composed and decomposed forms of one text are the same message: a client that composes may repeat one that did not.
    """
    mixed = f"{message_type}\0{reply_to or ''}\0{policy.compose(content)}".encode()
    return hashlib.blake2b(mixed, digest_size=16, key=key).digest()
