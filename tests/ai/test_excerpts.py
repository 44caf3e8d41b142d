"""The words of one field, out of JSON that is still being written."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doran.ai.excerpts import Excerpt, Unescaped

pytestmark = pytest.mark.stateless

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def read(answer: str, cuts: list[int]) -> list[str]:
    """What each piece shows."""
    excerpt, places = Excerpt("summary"), sorted({0, *cuts, len(answer) + 200})
    return [excerpt.more(answer[start:end]) for start, end in pairwise(places)]


@given(TEXT, st.lists(st.integers(0, 200)), st.booleans(), st.booleans())
def test_however_it_is_cut_the_field_is_read_and_nothing_else(
    words: str, cuts: list[int], is_ascii: bool, is_last: bool
) -> None:
    fields = {"cited": [1, 2], "summary": words, "more": words}
    answer = json.dumps(
        dict(sorted(fields.items(), reverse=is_last)), ensure_ascii=is_ascii, indent=1 if is_last else None
    )
    assert "".join(read(f"물론이죠:\n```json\n{answer}\n```", cuts)) == words


def test_words_are_shown_as_soon_as_they_can_be_read() -> None:
    half = r'{"summary": "일곱 시\n\ud83d\udc4d'
    assert read(half, [3, 14, 17, 22, 26]) == ["", "일", "곱 시", "\n", "", "👍"]


@pytest.mark.parametrize(
    "answer", ["그냥 말", '{"summary": 7}', '{"summary"', '{"other": "summary"}', "", "{" * 10_000]
)
def test_an_answer_of_another_form_shows_nothing(answer: str) -> None:
    assert "".join(read(answer, list(range(200)))) == ""


def test_what_no_json_holds_ends_it() -> None:
    assert "".join(read('{"summary": "여기까지\n아니", "summary": "다시"}', [14, 20, 25])) == "여기까지"
    assert "".join(read(r'{"summary": "여기까지\x 아니"}', [14, 20, 25])) == "여기까지"


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30), st.lists(st.integers(0, 200), max_size=8)
)
def test_escaped_letters_are_letters_and_the_json_is_the_same(text: str, places: list[int]) -> None:
    answer = json.dumps({"summary": text, "path": "C:\\\\u27e6"})
    at = sorted({0, len(answer), *(place % (len(answer) + 1) for place in places)})
    unescaped = Unescaped()
    plain = "".join(unescaped.more(answer[one:other]) for one, other in pairwise(at)) + unescaped.rest()
    assert json.loads(plain) == json.loads(answer)
    assert "\\ud55c" not in plain
