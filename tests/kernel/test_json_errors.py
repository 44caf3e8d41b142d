"""Refusals of JSON in our words: no type, code or sentence of a library."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta

from doran.kernel import json_errors


class Letter(msgspec.Struct, tag_field="type", tag="letter", forbid_unknown_fields=True):
    words: Annotated[str, Meta(min_length=1, max_length=3)] = "."
    pages: Annotated[int, Meta(ge=1, le=5)] = 1
    weight: Annotated[float, Meta(gt=0.5)] = 1.0
    copies: Annotated[list[str | None], Meta(min_length=1, max_length=2)] | None = None
    marks: dict[str, int] | None = None
    kind: Literal["plain", "urgent"] = "plain"
    code: Annotated[str, Meta(pattern="^a")] = "a"
    reference: UUID | None = None


class Parcel(msgspec.Struct, tag_field="type", tag="parcel"):
    size: int
    inside: Letter | None = None


decoder = msgspec.json.Decoder(Letter | Parcel)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"type": "postcard"}', "type: This value is not known here."),
        (b'{"type": 1}', "type: This must be text."),
        (b"{}", "type: This field is required."),
        (b'{"type": "parcel"}', "size: This field is required."),
        (b'{"type": "parcel", "size": 1, "inside": {"type": "letter", "to": 1}}', "inside.to: This field is not known here."),
        (b'{"type": "letter", "words": "four"}', "words: This must have at most 3 characters."),
        (b'{"type": "letter", "words": ""}', "words: This must have at least 1 character."),
        (b'{"type": "letter", "words": 1}', "words: This must be text, not a whole number."),
        (b'{"type": "letter", "pages": 0}', "pages: This must be at least 1."),
        (b'{"type": "letter", "pages": 6}', "pages: This must be at most 5."),
        (b'{"type": "letter", "pages": 1.5}', "pages: This must be a whole number, not a fraction."),
        (b'{"type": "letter", "weight": 0.1}', "weight: This must be more than 0.5."),
        (b'{"type": "letter", "copies": []}', "copies: This must have at least 1 entry."),
        (b'{"type": "letter", "copies": ["a", "b", "c"]}', "copies: This must have at most 2 entries."),
        (b'{"type": "letter", "copies": ["a", true]}', "copies[1]: This must be text or null, not true or false."),
        (b'{"type": "letter", "marks": {"a": "b"}}', "marks[...]: This must be a whole number, not text."),
        (b'{"type": "letter", "kind": "slow"}', "kind: This value is not known here."),
        (b'{"type": "letter", "code": "b"}', "code: This does not have the form that is expected here."),
        (b'{"type": "letter", "reference": "b"}', "reference: This value is not known here."),
        (b"[1]", "This must be an object, not a list."),
        (b"", "The JSON is cut off, or holds half of a character."),
        (b'{"type": ', "The JSON is cut off, or holds half of a character."),
        (b'{"type": "letter", "words": "\\ud800"}', "The JSON is cut off, or holds half of a character."),
        (b'{"type" "letter"}', "This is not JSON, from byte 8 on."),
        (b'{"type": "letter", "words": "\xff"}', "The JSON is not UTF-8."),
        (b'{"type": "parcel", "x": ' + b"[" * 100_000, "The JSON is nested too deeply."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_our_words(text: bytes, said: str) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError, RecursionError)) as wrong:
        decoder.decode(text)
    assert json_errors.of_text(wrong.value) == said
    assert not {"Expected", "`", "codec", "str", "truncated"} & set(said.split())
