"""An answer that grows is clean at every moment, goes only forward, and in the end is what the whole of it is."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doran.ai import cleaning
from doran.ai.growing import Clean, Growing
from tests.ai.test_cleaning import KEPT, REDUCED

HONEST = [
    "안녕하세요! 오늘은 **비가 와요**. 우산을 챙기세요.",
    "## 요약\n- **중요**: 7시에 만나요\n* 둘째\n\n\n\n1. 셋째 [1] 그리고 [2](근거) 끝",
    "[1]: hello world\n**제목**\n***굵게*** 끝, 5 * 3 ** 2",
    "你好世界，这是一个测试。好！一つ、二つ",
    "각각 \u1100\u1161\u11a8 말, if (a[0](b)) { List<String> } a < b > c\r\n",
    *KEPT,
]
HOSTILE = [
    "보세요 http://evil.example/steal?q=비밀 지금, or [here](https://evil.example/x(1)) ok",
    "![그림](https://evil.example/p.png) [![x](https://a.example/1.png)](https://b.example/?q=1) 끝",
    "[1]: https://evil.example/?q=1\n<script>alert(1)</script> javascript:alert(1) data:text/html,<b>x",
    "你好世界，www.evil.example/x。끝 <img src=x onerror=alert(1)> <\nimg src=x>",
]


def grown(text: str, sizes: Iterator[int], clean: Clean = cleaning.plain) -> list[str]:
    """The text as it stood on the page after each piece, and at its end."""
    growing, at, shown = Growing(clean), 0, []
    for size in sizes:
        shown.append(growing.more(text[at : at + size]))
        at += size
        if at >= len(text):
            break
    return list(accumulate([*shown, growing.rest()]))


def steps(size: int) -> Iterator[int]:
    while True:
        yield size


@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("text", [*HONEST, *HOSTILE, *(one for one in REDUCED if "<im<img>" not in one)])
def test_it_becomes_the_whole_answer_without_a_hostile_moment(text: str, size: int) -> None:
    *moments, end = grown(text, steps(size))
    assert end == cleaning.plain(text)
    for moment in moments:
        assert end.startswith(moment)
        assert not [one for one in ("http", "script:", "data:", "<img", "](") if one in moment and one not in end]


@given(
    st.text(alphabet=st.sampled_from("!<>[]()/:w.ahtpsimg*#\"' x\n가\u200b"), max_size=80),
    st.lists(st.integers(1, 9), min_size=80, max_size=80),
)
def test_whatever_comes_is_clean_at_every_moment_and_only_grows(text: str, sizes: list[int]) -> None:
    moments = grown(f"[x](https://e.example/{text}) <img {text}> {text}", iter(sizes))
    for before, after in zip(["", *moments], moments, strict=False):
        assert after.startswith(before)
        assert cleaning.plain(after) == after


@pytest.mark.parametrize(
    "text", ["See you at 7:30, says Junho (maybe). Bring it!", "일곱 시에 봐요! 3 < 5, 그리고 12:30 끝"]
)
def test_no_more_than_the_last_word_waits(text: str) -> None:
    growing, said = Growing(cleaning.plain), ""
    for word in text.split():
        said += f"{word} "
        growing.more(f"{word} ")
        assert growing.shown == said.removesuffix(" < ").strip()


def test_a_word_without_an_end_is_shown_at_last() -> None:
    growing = Growing(cleaning.plain)
    assert growing.more("a" * 200) == ""
    assert growing.more("a") == "a" * 201


def test_an_address_that_was_there_before_comes_whole() -> None:
    known = cleaning.addresses("https://naver.me/abc")
    moments = grown(
        "지도는 https://naver.me/abc 그리고 https://naver.me/abd", steps(1), partial(cleaning.inert, known=known)
    )
    assert moments[-1] == "지도는 https://naver.me/abc 그리고 naver.me"
    assert {one for one in moments if "naver" in one and "https://naver.me/abc" not in one} == set()
