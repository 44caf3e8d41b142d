"""One policy for text: what a keyboard offers is accepted, what deceives is not, on every Python."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doran.text import policy

CASES: dict[str, Any] = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))

EMOJI = [
    "🩷", "🩵", "🫨", "🪿",  # Unicode 15.0
    "🙂‍↔️", "🐦‍⬛", "🍋‍🟩", "🧑‍🧑‍🧒", "⛓️‍💥", "🏃🏽‍♀️‍➡️",  # 15.1
    "🫩", "🪉", "🫆", "🪾",  # 16.0
    "\U0001faea", "\U0001faef", "\U0001f6d8", "\U0001fa8a",  # 17.0
    "\U0001facc", "\U0001f93f", "\U0001fb00",  # room that is left
    "👨‍👩‍👧‍👦", "👩‍❤️‍💋‍👨", "👩🏽‍🚀", "🏳️‍🌈", "🏴‍☠️", "🏳️‍⚧️", "❤️‍🔥", "👍🏿", "☝🏼",
    "🇰🇷", "🇺🇦", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "1️⃣", "#️⃣", "*️⃣", "©️", "™️", "☺️", "☺︎", "〰️", "㊗️", "🅰️",
]  # fmt: skip
NAMES = [
    "민지", "김민지 🌸", "a" * 100, "가" * 100, "नमस्ते", "क्‍ष", "سارا", "می‌خواهم", "ਪੰਜਾਬੀ", "สวัสดี", "שָׁלוֹם", "བོད་ཡིག", "ཧཱུྃ",
    "Nguyễn", "ｍｉｎｊｉ", "邊\U000e0101", "葛\ufe00", "ㅋㅋ", "ㅏ", "\u1112\u119e\u11ab\u1100\u1173\u11af", "\u115f\u1161", "\u1112\u1160\u11ab",
    "é̂", "Zoë", "\u0600\u0661", "𐒲", "<b>민지</b>", "\u4e00\u3000\u4e01", "\ufffc", "👩 & 👨",
]  # fmt: skip
DECEIVING = [
    "a\u202eb", "a\u2066b", "\u200fa", "a\u200eb", "\u061ca", "a\u200bb", "민\u200d지", "minji\u200c", "min\u2060ji", "\ufeff민지",
    "민지\u3164", "\uffa0민지", "민\u115f지", "\u1160민지", "민지\ufe0f", "a\ufe00", "a\U000e0101", "민\u00ad지", "민\u034f지",
    "민지\U000e0041", "🏴\U000e0067\U000e0062", "🏳\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "🏴" + "\U000e0061" * 40 + "\U000e007f", "👍\u200d", "\u200d👍", "👍\u200d\u200d👍", "a\nb", "a\tb", "a\0b", "a\x85b",
    "a\u2028b", "\ue000", "\uf8ff", "\U000f0000", "\U0010fffd", "\ufdd0", "\uffff", "\U0001fffe", "a\ud800", "\ufff9a", "a\u2065b",
    "a" + "\u0301" * 60, "\u0301a", "가" + "\u0489" * 6, "x\u1acf\u1ad0\u1ad1\u1ad2\u1ad3\u1ad4", "\u0897" * 2, "\u2800", "\u3164",
]  # fmt: skip


def refusal(name: str) -> str | None:
    return policy.refusal_of_name(policy.one_line(name), most=100, least=1)


@pytest.mark.parametrize("text", EMOJI)
def test_what_a_keyboard_offers_is_a_name_a_file_and_a_message(text: str) -> None:
    for typed in (text, f"민지{text}", text * 3):
        assert refusal(typed) is None
        assert policy.refusal_of_text(typed, most=4000) is None
        assert policy.refusal_of_file_name(f"{typed}.png") is None if "*" not in typed else True
        assert policy.visible(typed) == typed


@pytest.mark.parametrize("name", NAMES)
def test_names_of_all_writings_are_names(name: str) -> None:
    assert refusal(name) is None
    assert policy.visible(name) == name


@pytest.mark.parametrize("name", DECEIVING)
def test_what_deceives_is_no_name(name: str) -> None:
    assert refusal(name) is not None
    assert policy.refusal_of_file_name(f"{name}.txt") is not None or "\u2800" in name


@pytest.mark.parametrize("text", [*EMOJI, *NAMES, *DECEIVING, *CASES["seen"], *CASES["blank"]])
def test_no_answer_depends_on_what_this_python_knows(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that knows less: what came after Unicode 14, of Python 3.11, is not assigned there."""

    def answers() -> list[object]:
        return [
            policy.refusal_of_name(text, most=100), policy.refusal_of_text(text, most=100),
            policy.refusal_of_file_name(text), policy.is_visible(text), policy.visible(text),
        ]  # fmt: skip

    known = answers()
    older = SimpleNamespace(
        normalize=unicodedata.normalize, category=lambda sign: "Cn" if _is_later(sign) else unicodedata.category(sign)
    )
    monkeypatch.setattr(policy, "unicodedata", older)
    assert answers() == known


def _is_later(sign: str) -> bool:
    return policy._LATER_MARKS.match(sign) is not None or unicodedata.category(sign) in ("So", "Cn")


@pytest.mark.parametrize("name", ["../x", "a/b", "a\\b", "C:x", "con?", "a|b", "..", ".", "", "  ", "a.", "x" * 256])
def test_a_file_name_is_no_path(name: str) -> None:
    assert policy.refusal_of_file_name(name) is not None


@pytest.mark.parametrize("name", ["사진 1.png", "보고서(최종).hwp", ".profile", "a.tar.gz", "x" * 255])
def test_file_names(name: str) -> None:
    assert policy.refusal_of_file_name(name) is None


@pytest.mark.parametrize("text", CASES["blank"])
def test_what_is_blank_is_nothing(text: str) -> None:
    assert not policy.is_visible(text)
    assert policy.refusal_of_text(text, most=100) is not None


@pytest.mark.parametrize("text", CASES["seen"])
def test_what_is_seen_is_something(text: str) -> None:
    assert policy.is_visible(text)
    assert policy.refusal_of_text(text, most=100) is None


@pytest.mark.parametrize(("text", "number"), CASES["counts"])
def test_characters_are_counted_composed(text: str, number: int) -> None:
    assert policy.count(text) == number
    assert not policy.is_longer(text, number)
    assert policy.is_longer(text + "x", number)


@settings(deadline=None)
@given(st.text(max_size=40), st.integers(0, 50))
def test_longer_means_a_greater_count(text: str, most: int) -> None:
    assert policy.is_longer(text, most) == (policy.count(text) > most)


def test_syllables_count_as_one_however_they_were_typed() -> None:
    typed = unicodedata.normalize("NFD", "각" * 1500)
    assert len(typed) == 4500
    assert policy.refusal_of_text(typed, most=1500) is None
    assert policy.refusal_of_text(typed, most=1499) == "At most 1499 characters, not 1500."


TRICKY = st.text(
    st.one_of(st.characters(), st.sampled_from("👍🏴❤a민نक\u200d\u200c\ufe0f\u115f\u1160\U000e0067\U000e007f")),
    max_size=30,
)


@settings(deadline=None)
@given(TRICKY)
def test_only_what_draws_nothing_is_taken_away(text: str) -> None:
    seen = policy.visible(text)
    assert policy.visible(seen) == seen
    assert [sign for sign in seen if policy.is_visible(sign)] == [sign for sign in text if policy.is_visible(sign)]


@settings(deadline=None)
@given(TRICKY)
def test_an_accepted_name_is_stored_as_it_is_and_accepted_again(text: str) -> None:
    name = policy.one_line(text)
    if policy.refusal_of_name(name, most=40, least=1) is None:
        assert policy.one_line(name) == name
        assert policy.is_visible(name)
        assert not any(unicodedata.category(sign) in ("Cc", "Cs", "Co", "Zl", "Zp") for sign in name)
