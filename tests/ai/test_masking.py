"""Masking: personal data does not go out, comes back unharmed, and nothing else is touched."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doran.ai.masking import Masking, Unmasking

pytestmark = pytest.mark.stateless

PERSONAL = {
    "제 번호는 010-1234-5678이에요": "010-1234-5678",
    "01012345678로 전화 줘": "01012345678",
    "０１０－１２３４－５６７８": "０１０－１２３４－５６７８",
    "010\u200b1234\u200b5678": "010\u200b1234\u200b5678",
    "+82 10 1234 5678": "+82 10 1234 5678",
    "+82-(0)10-1234-5678": "+82-(0)10-1234-5678",
    "사무실은 02-123-4567": "02-123-4567",
    "(031) 123-4567 로": "(031) 123-4567",
    "070-8888-1234": "070-8888-1234",
    "call me +1 415 555 2671 ok": "+1 415 555 2671",
    "or (415) 555-2671.": "(415) 555-2671",
    "전화는 555-1234": "555-1234",
    "주민번호 900101-1234567": "900101-1234567",
    "9001011234567": "9001011234567",
    "210101-4123456 (2021년생)": "210101-4123456",
    "외국인등록번호는 850505-5123456": "850505-5123456",
    "카드 4111-1111-1111-1111 입니다": "4111-1111-1111-1111",
    "4111111111111111": "4111111111111111",
    "amex 3782 822463 10005": "3782 822463 10005",
    "국민은행 123456-01-123456 으로 보내": "123456-01-123456",
    "신한 110-123-456789": "110-123-456789",
    "110-123-456789 (카카오뱅크)": "110-123-456789",
    "계좌번호: 3333012345678": "3333012345678",
    "IBAN DE89 3704 0044 0532 0130 00 please": "DE89 3704 0044 0532 0130 00",
    "메일은minji.kim+chat@example.co.kr이야": "minji.kim+chat@example.co.kr",
    "mail me: junho@example.com!": "junho@example.com",
    "여권 M12345678": "M12345678",
    "passport M123A4567": "M123A4567",
    "면허 11-24-123456-78": "11-24-123456-78",
}
HARMLESS = [
    "3시에 봐", "내일 15:30 강남역 11번 출구", "2024-11-23 10:30에 시작해", "2024.11.23. 토요일", "20241123",
    "12,000원입니다", "가격은 1,234,567,890원", "주문번호 20241123-0001234", "ORD-123456", "버전 1.2.345.6789",
    "합계 35000 + 12000", "1588-1234 고객센터", "@준호 어디야?", "ㅋㅋㅋㅋㅋㅋ", "로또 3 11 15 29 35 44",
    "우리 2024-11-23 10:30에 만나자", "우리 11월 23일 10시", "https://example.com/2024/11/23", "192.168.100.200",
    "4111-1111-1111-1112", "901301-1234567", "오늘 걸음 수 12345", "010", "우편번호 06236", "2024-2025 시즌",
    "3.14159265358979", "10-20-30 세트", "123-45-67890 사업자", "M1234", "하나 둘 셋 1234",
]  # fmt: skip


@pytest.mark.parametrize("text", PERSONAL)
def test_personal_data_is_hidden_and_comes_back(text: str) -> None:
    masking = Masking()
    hidden = masking.hide(text)
    assert re.fullmatch(re.escape(text).replace(re.escape(PERSONAL[text]), r"⟦[A-Z]+1⟧"), hidden), hidden
    assert masking.count == 1
    assert masking.show(hidden) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_not_personal_stays(text: str) -> None:
    masking = Masking()
    assert masking.hide(text) == text
    assert masking.count == 0


def test_one_value_has_one_placeholder_in_the_whole_request() -> None:
    masking = Masking()
    first, second = masking.hide_all(["민지 010-1111-2222, 준호 010-3333-4444", "준호는 010-3333-4444"])
    assert (first, second) == ("민지 ⟦PHONE1⟧, 준호 ⟦PHONE2⟧", "준호는 ⟦PHONE2⟧")
    assert masking.show("⟦PHONE2⟧에 걸고 ⟦PHONE1⟧은 두세요") == "010-3333-4444에 걸고 010-1111-2222은 두세요"


def test_what_only_one_text_gives_away_is_hidden_in_all() -> None:
    texts = ["110123456789 맞지?", "응 신한 110-123-456789", "2024-11-23 110-123-456789 보냄"]
    masking = Masking()
    hidden = masking.hide_all(texts)
    assert not any("456789" in text for text in hidden)
    assert [masking.show(text) for text in hidden] == texts


NUMBER = "010-1234-5678"
ALTERED = {
    "[PHONE1]": NUMBER, "⟦phone1⟧": NUMBER, "⟦ PHONE 1 ⟧": NUMBER, "[Phone 1]": NUMBER, "PHONE1": NUMBER, "{PHONE_1}": NUMBER,
    "{{PHONE1}}": NUMBER, "<PHONE1>": NUMBER, "【PHONE1】": NUMBER, "[[PHONE1]]": NUMBER, "**⟦PHONE1⟧**": f"**{NUMBER}**",
    "(PHONE1)": f"({NUMBER})", "⟦PHONE1⟧로": f"{NUMBER}로", "⟦PHONE1로⟧": f"{NUMBER}로", "[PHONE1]번으로": f"{NUMBER}번으로",
    "⟦PHONE1": NUMBER, "PHONE1⟧": NUMBER, "⟦전화1⟧": NUMBER, "[전화번호 1]": NUMBER, "(전화번호1)": f"({NUMBER})",
    "「電話番号1」": NUMBER, "[电话1]": NUMBER, "[Telephone 1]": NUMBER, "⟦Phone number 1⟧": NUMBER,
    "⟦EMAIL1⟧": "a@b.kr", "[이메일1]": "a@b.kr", "[E-mail 1]": "a@b.kr", "⟦phone2⟧": "02-123-4567", "[PHONE2], [PHONE1]": f"02-123-4567, {NUMBER}",
}  # fmt: skip
INVENTED = ["⟦PHONE3⟧", "[PHONE3]", "PHONE12", "⟦전화 9⟧", "⟦번호1⟧", "⟦CARD1⟧", "⟦EMAIL2⟧"]
NEITHER = ["[CARD1]", "카드 1장", "[1]", "전화 1통", "⟦1⟧", "PHONE", "iPHONE1X", "「글 1」", "(카드 1)", "[주소 1]"]


def masked() -> Masking:
    masking = Masking()
    masking.hide(f"{NUMBER}, 02-123-4567, a@b.kr")
    return masking


@pytest.mark.parametrize("written", ALTERED)
@pytest.mark.parametrize("around", ["{}", "번호는 {} 입니다", "앞{}뒤", "첫째.\n{}\n둘째."])
def test_a_placeholder_that_a_model_wrote_its_own_way_is_understood(written: str, around: str) -> None:
    masking = masked()
    if around == "앞{}뒤" and written.startswith("⟦PHONE1로"):
        return
    assert masking.show(around.format(written)) == around.format(ALTERED[written])
    assert masking.strays == 0


@pytest.mark.parametrize("written", INVENTED)
def test_one_that_was_never_given_out_is_not_shown_and_counted(written: str) -> None:
    masking = masked()
    assert masking.show(f"번호는 {written} 예요") == "번호는  예요"
    assert masking.strays == 1


@pytest.mark.parametrize("text", NEITHER)
def test_what_only_resembles_one_stays(text: str) -> None:
    masking = masked()
    assert (masking.show(text), masking.strays) == (text, 0)


@given(st.sampled_from(sorted(ALTERED)), st.lists(st.integers(0, 40), max_size=6))
def test_an_altered_placeholder_is_understood_however_the_stream_is_cut(written: str, cuts: list[int]) -> None:
    text = f"번호는 {written} 입니다"
    stream, places = Unmasking(masked()), sorted({0, *cuts, len(text) + 40})
    pieces = [stream.more(text[start:end]) for start, end in pairwise(places)]
    shown = "".join([*pieces, stream.rest()])
    assert shown == f"번호는 {ALTERED[written]} 입니다"
    assert not [one for one in pieces if "PHONE" in one.upper() or "전화" in one]


def test_somebodys_own_placeholder_does_not_become_a_number() -> None:
    masking = Masking()
    text = "⟦PHONE1⟧ 010-1234-5678 ⟦ phone 1 ⟧"
    hidden = masking.hide(text)
    assert hidden == "⟦TEXT1⟧ ⟦PHONE1⟧ ⟦TEXT2⟧"
    assert masking.show(hidden) == text
    assert masking.count == 1


PARTS = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="0123456789-+() .０１⟦⟧PHONEphone@a계좌", max_size=24),
    st.sampled_from([*PERSONAL, *PERSONAL.values(), *HARMLESS, "⟦PHONE1⟧", "⟦TEXT1⟧", "⟦PHO", "NE1⟧", "⟦", "⟧"]),
)
TEXTS = st.lists(PARTS, max_size=8).map("".join)


@given(st.lists(TEXTS, max_size=5))
def test_hidden_and_shown_any_text_is_itself(texts: list[str]) -> None:
    masking = Masking()
    hidden = masking.hide_all(texts)
    assert [masking.show(text) for text in hidden] == texts
    assert Masking().hide("") == ""


@given(st.lists(st.sampled_from(sorted(PERSONAL.values())), min_size=1, max_size=6), TEXTS)
def test_nothing_that_was_found_is_left(values: list[str], filler: str) -> None:
    """Each value stands once where it is known by what stands beside it, and then alone."""
    known = [text for text in PERSONAL if PERSONAL[text] in values]
    hidden = "\n".join(
        Masking().hide_all([*known, *values, filler.translate({ord(one): None for one in "0123456789"})])
    )
    assert not [value for value in values if value in hidden]


@given(TEXTS, st.lists(st.integers(0, 200), max_size=12))
def test_a_stream_shows_what_the_whole_would(text: str, cuts: list[int]) -> None:
    masking = Masking()
    hidden = masking.hide(text) + "⟦PHONE1⟧ ⟦phone 2"
    stream, places = Unmasking(masking), sorted({0, *cuts, len(hidden) + 200})
    shown = "".join(stream.more(hidden[start:end]) for start, end in pairwise(places))
    assert shown + stream.rest() == masking.show(hidden)


def test_a_stream_holds_back_only_what_may_become_a_placeholder() -> None:
    masking = Masking()
    masking.hide("010-1234-5678")
    stream = Unmasking(masking)
    assert [stream.more(one) for one in ("번호는 ⟦PHO", "NE1", "⟧예요 ⟦", "아님")] == [
        "번호는 ",
        "",
        "010-1234-5678예요 ",
        "",
    ]
    assert stream.rest() == "⟦아님"


def test_a_long_hostile_text_takes_no_time() -> None:
    for text in ("a" * 50_000, "a@" * 25_000, "1-" * 25_000, "1 " * 25_000, "⟦A" * 20_000, "계좌 1234567890 " * 3_000):
        assert Masking().hide(text)
