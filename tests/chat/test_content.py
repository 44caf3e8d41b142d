"""What a message may say: visible plain text of any language, and nothing that hides or breaks."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doran.chat import content
from doran.contracts.errors import Problem
from tests.cast import Person
from tests.chat.conftest import Play
from tests.wire import refuses

FILLERS = "\u3164\u115f\u1160\uffa0"
INVISIBLE = [
    "", " ", "\n\t ", "\u200b", "\u200d\u200c", "\ufeff", "\u2060", "\u00ad", "\u00a0\u3000", FILLERS, f" {FILLERS}\n",
    "\u2800", "\u202e\u202c", "\u2066\u2069", "\ufe0f", "\U000e0020\U000e007f", "\U000e0100", "\u180e", "\u17b4",
    "\u034f", "\u061c", "\U0001d173", "\U0001bca0",
]  # fmt: skip
FORBIDDEN = ["a\0b", "\x07", "a\rb", "\x1b[31m", "\x7f", "\x85", "\x9b", "a\x0bb", "a\x0cb"]
KEPT = [
    "<script>alert(1)</script>", "a\nb\tc", "안녕하세요", "ㅋㅋㅋ", "👨‍👩‍👧‍👦", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "\u200f\u05e9\u05dc\u05d5\u05dd\u200e",
    "\u202eabc\u202c", "x\u200by", "\ufffd", "é", "  앞뒤  ", "\u1112", "0", "☃️",
]  # fmt: skip


async def test_what_shows_nothing_is_not_a_message(play: Play, minji: Person, talk: str) -> None:
    socket = await minji.opens(talk)
    for text in INVISIBLE:
        refuses(await minji.tries_to_send(talk, text), 422, "validation_failed", "content")
        socket.says(type="chat_message", content=text, ref=text)
        refused = await socket.hears("error")
        assert (refused["code"], refused["ref"]) == ("validation_failed", text)
    assert play.rows("message") == []


async def test_control_characters_are_refused(play: Play, minji: Person, talk: str) -> None:
    socket = await minji.opens(talk)
    for text in FORBIDDEN:
        refuses(await minji.tries_to_send(talk, text), 422, "validation_failed", "content")
        socket.says(type="chat_message", content=text)
        assert (await socket.hears("error"))["code"] == "validation_failed"
    assert play.rows("message") == []


async def test_lone_surrogates_are_not_json(play: Play, minji: Person, talk: str) -> None:
    raw = rb'{"content": "a\ud800b"}'
    answer = await minji.asks("POST", f"/api/chat/conversations/{talk}/messages/send/", raw=raw)
    refuses(answer, 400, "malformed_json")
    socket = await minji.opens(talk)
    socket.says_text(r'{"type":"chat_message","content":"a\udc00b"}')
    assert (await socket.hears("error"))["code"] == "invalid_frame"
    assert play.rows("message") == []


async def test_everything_else_is_kept_as_it_was_written(minji: Person, talk: str) -> None:
    for text in KEPT:
        assert (await minji.sends(talk, text))["content"] == text
    assert [one["content"] for one in (await minji.sees(talk))["messages"]] == KEPT


async def test_what_was_typed_is_read_code_point_by_code_point(minji: Person, junho: Person, talk: str) -> None:
    """Decomposed syllables (macOS, file names), hanja that NFC would exchange, a sign of Kelvin: none is touched."""
    typed = [
        unicodedata.normalize("NFD", "안녕하세요 é"),
        "\uf914\u6a02",
        "300 \u212a",
        "  들여 쓴 말\n\n끝 ",
        "\u0344",
    ]
    for text in typed:
        assert (await minji.sends(talk, text))["content"] == text
    assert [one["content"] for one in (await junho.sees(talk))["messages"]] == typed
    edited = await minji.sends(talk, "고칠 말")
    for text in typed:
        assert (await minji.edits(edited, text)).json["content"] == text


async def test_both_forms_of_a_text_are_one_message(play: Play, minji: Person, talk: str) -> None:
    """A client that composes repeats what one that did not has sent; what it says first is what stays."""
    written = unicodedata.normalize("NFD", "안녕하세요 é")
    first = await minji.sends(talk, written, client_message_id="m")
    assert await minji.sends(talk, "안녕하세요 é", client_message_id="m") == first
    refuses(await minji.tries_to_send(talk, "안녕하세요 e", client_message_id="m"), 409, "idempotency_conflict")
    assert len(play.rows("message")) == 1


@pytest.mark.parametrize("character", ["a", "가", "👍"])
async def test_four_thousand_characters_and_not_one_more(play: Play, minji: Person, talk: str, character: str) -> None:
    assert (await minji.sends(talk, character * 4000))["content"] == character * 4000
    refuses(await minji.tries_to_send(talk, character * 4001), 422, "validation_failed", "content")
    assert len(play.rows("message")) == 1


async def test_characters_are_counted_composed(play: Play, minji: Person, talk: str) -> None:
    decomposed = unicodedata.normalize("NFD", "한" * 4000)
    assert len(decomposed) == 12_000
    sent = await minji.sends(talk, decomposed)
    assert sent["content"] == decomposed
    assert (await minji.edits(sent, decomposed[:-3] + "á")).status == 200
    assert (await minji.changes(talk, draft=decomposed * 2))["me"]["draft"] == decomposed * 2
    before = play.stored()
    refuses(await minji.tries_to_send(talk, decomposed + "x"), 422, "validation_failed", "content")
    refuses(await minji.edits(sent, decomposed + "x"), 422, "validation_failed", "content")
    assert play.stored() == before


def test_what_grows_when_composed_stays_within_the_limit() -> None:
    growing = "\U0001d160"
    assert len(unicodedata.normalize("NFC", growing)) == 3
    with pytest.raises(Problem):
        content.checked(growing * 4000, limit=4000)


@pytest.mark.settings(content_limit=10)
async def test_the_limit_is_a_setting(minji: Person, talk: str) -> None:
    await minji.sends(talk, "x" * 10)
    refuses(await minji.tries_to_send(talk, "x" * 11), 422, "validation_failed", "content")


# Format characters that draw something: number signs and their like in Arabic, Syriac, Kaithi and hieroglyphs.
SHOWN_FORMATS = "".join(
    chr(code)
    for code in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD, *range(0x13430, 0x13440))
)


@settings(deadline=None)
@given(st.text(st.characters(categories=("Cf", "Zs", "Zl", "Zp", "Cc"), exclude_characters=SHOWN_FORMATS), max_size=20))
def test_nothing_but_format_characters_is_nothing(text: str) -> None:
    with pytest.raises(Problem):
        content.checked(text, limit=4000)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_what_is_accepted_is_stable(text: str) -> None:
    """Stored text is what was sent, holds no control character, and is accepted again as it is."""
    try:
        stored = content.checked(text, limit=30)
    except Problem:
        return
    assert len(unicodedata.normalize("NFC", stored)) <= 30
    assert content.checked(stored, limit=30) == stored == text == json.loads(json.dumps(stored))
    assert not any(unicodedata.category(one) in ("Cc", "Cs") and one not in "\n\t" for one in stored)
