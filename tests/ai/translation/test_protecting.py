"""What a translation must not touch comes back as it was, or the translation is none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doran.ai.translation.protecting import Lost, protect

pytestmark = pytest.mark.stateless

KEPT = {
    "https://naver.me/abc?x=1 봐": ["https://naver.me/abc?x=1"],
    "@junho.kim 어디야?": ["@junho.kim"],
    "`rm -rf /tmp` 하지 마": ["`rm -rf /tmp`"],
    "```\nx = 1\n``` 돌려 봐": ["```\nx = 1\n```"],
    "좋아 👍🏽👨‍👩‍👧 ❤️": ["👍🏽👨‍👩‍👧", "❤️"],
    "오후 3:30, 2026-11-23, 12,000원": ["3:30", "2026-11-23", "12,000"],
    "010-1234-5678로 전화 줘": ["010-1234-5678"],
    "메일은 minji@example.com": ["minji@example.com"],
    "2026년에 봐": ["2026"],
    "⟦0⟧ 이게 뭐야": ["⟦0⟧"],
    "3시에 25명": [],
    "그냥 말": [],
}


@pytest.mark.parametrize("text", KEPT)
def test_what_must_not_be_touched_travels_behind_signs(text: str) -> None:
    protected = protect(text)
    assert list(protected.kept) == KEPT[text]
    assert protected.restored(protected.text) == text


def test_signs_may_change_places_and_spaces() -> None:
    protected = protect("@junho 3:30에 https://x.example 봐 👍")
    assert protected.text == "⟦0⟧ ⟦1⟧에 ⟦2⟧ 봐 ⟦3⟧"
    assert protected.restored("See ⟦ 2 ⟧ at ⟦1⟧, ⟦0⟧ ⟦3⟧") == "See https://x.example at 3:30, @junho 👍"


@pytest.mark.parametrize("translation", ["Look", "Look ⟦0⟧", "Look ⟦0⟧ ⟦1⟧ ⟦2⟧", "Look [0] [1]", "⟦1⟧ ⟦1⟧"])
def test_a_lost_or_an_invented_sign_is_a_failure(translation: str) -> None:
    with pytest.raises(Lost):
        protect("https://x.example 봐 👍").restored(translation)


@pytest.mark.parametrize(
    ("text", "translation", "survives"),
    [
        ("학생이 25명", "25 students", True),
        ("학생이 25명", "52 students", False),
        ("학생이 25명", "many students", False),
        ("3시에 만나", "Let's meet at three", True),
        ("3만 원", "30,000 won", True),
        ("30분 뒤", "in half an hour", True),
        ("13층과 14층", "floors 13 and 14", True),
        ("13층과 14층", "floor 13", False),
    ],
)
def test_numbers_survive_unless_languages_write_them_differently(text: str, translation: str, survives: bool) -> None:
    if survives:
        assert protect(text).restored(translation) == translation
    else:
        with pytest.raises(Lost):
            protect(text).restored(translation)


def test_where_nothing_is_left_there_is_nothing_to_translate() -> None:
    assert all(protect(one).is_all for one in ("👍", "https://x.example", "@junho", "123", "!!", "12:30 👍"))
    assert not any(protect(one).is_all for one in ("ㅋㅋ", "ok", "👍 좋아", "3시"))


@given(
    st.lists(
        st.one_of(st.sampled_from([*KEPT]), st.text(max_size=20), st.text("⟦0123⟧ 가@`👍", max_size=10)), max_size=6
    )
)
def test_any_text_comes_back_from_a_translator_who_does_nothing(parts: list[str]) -> None:
    text = " ".join(parts)
    protected = protect(text)
    assert protected.restored(protected.text) == text
    assert protected.restored(re.sub(r"⟦(\d+)⟧", r"⟦ \1 ⟧", protected.text)) == text
