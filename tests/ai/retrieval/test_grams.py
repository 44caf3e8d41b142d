"""What two texts have in common: across spaces, endings, capitals and forms."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doran.ai.retrieval import grams, josa

pytestmark = pytest.mark.stateless


def common(one: str, other: str) -> set[str]:
    return {token for token, _ in grams.tokens(one)} & {token for token, _ in grams.tokens(other)}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("생일선물", "생일 선물 고마워"),
        ("강남역2번출구", "강남역 2번 출구에서"),
        ("사진", "사진을 보냈어"),
        ("회의실", "회의실에서는 조용히"),
        ("돈", "돈이 없어"),
        ("API키", "api 키 재발급"),
        ("cafe", "Café 예약"),
        ("GITHUB", "github에 올려뒀어"),
        ("meeting", "two meetings in a row"),
        ("010-1234-5678", "01012345678로 전화"),
        ("1234", "010-1234-5678"),
        ("3시", "3시까지 도착할게"),
        ("👍", "좋아요 👍🏽"),
        ("❤", "사랑해 ❤️"),
        ("ㅋㅋ", "ㅋㅋㅋㅋ"),
        ("会議", "会議室を予約"),
        ("한글", "\u1112\u1161\u11ab\u1100\u1173\u11af 이름"),
        ("full", "ＦＵＬＬ ｗｉｄｔｈ"),
    ],
)
def test_what_belongs_together_has_something_in_common(query: str, said: str) -> None:
    assert common(query, said)


@pytest.mark.parametrize(
    ("query", "said"),
    [("차", "두 모델 차이가 뭐야"), ("배", "배고파 죽겠다"), ("눈", "눈치 좀 챙겨"), ("ㅋ", "가"), ("약", "약속 시간"), ("👍", "🎉")],
)  # fmt: skip
def test_what_only_looks_alike_has_not(query: str, said: str) -> None:
    assert not common(query, said)


@pytest.mark.parametrize(
    ("word", "stems"),
    [
        ("회의실에서는", ["회의실에서는", "회의실", "회의실에서"]),
        ("차이", ["차이"]),
        ("서울로", ["서울로", "서울"]),
        ("집으로", ["집으로", "집", "집으"]),
        ("집로", ["집로"]),
        ("나는", ["나는", "나"]),
        ("이", ["이"]),
        ("3시까지", ["3시까지", "3시"]),
    ],
)
def test_josa_comes_off_by_the_form_of_what_is_before_it(word: str, stems: list[str]) -> None:
    assert josa.stems(word) == stems


@given(st.text())
def test_any_text_has_its_tokens_in_order_and_once(text: str) -> None:
    packed = grams.grams(text)
    found = struct.unpack(f"<{len(packed) // 4}I", packed)
    assert list(found) == sorted(set(found))
    assert set(found) == set(grams.wanted(text))


@given(st.text(alphabet="가나다라ab1 😂"))
def test_a_text_has_all_of_itself(text: str) -> None:
    assert {token for token, _ in grams.tokens(text)} == common(text, text)
