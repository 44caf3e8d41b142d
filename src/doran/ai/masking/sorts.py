"""The table of what counts as personal data: patterns of Korea first, and a second look where a pattern says too little.

All of them see plain digits, hyphens and spaces (`finding`). Numbers of companies (1588-1234, a business
registration) are public and stay; so do dates, times, prices and the numbers of orders as they are usually written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from doran.ai.masking.placeholders import FORM, LITERAL


def _anything(_match: re.Match[str]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort of personal data. `is_one` takes a second look at a match and at what stands around it."""

    label: str
    pattern: re.Pattern[str]
    is_one: Callable[[re.Match[str]], bool] = _anything


def _sort(label: str, pattern: str, is_one: Callable[[re.Match[str]], bool] = _anything) -> Sort:
    return Sort(label, re.compile(pattern, re.ASCII | re.VERBOSE), is_one)


# -- second looks ------------------------------------------------------------------------------------


def _is_born(match: re.Match[str]) -> bool:
    """The first six digits of a resident's number are a day. (Those issued since October 2020 have no check digit.)"""
    month, day = int(match[0][2:4]), int(match[0][4:6])
    return 1 <= month <= 12 and 1 <= day <= 31


def _is_card(match: re.Match[str]) -> bool:
    """The check digit of cards (Luhn)."""
    number = [int(one) for one in match[0] if one.isdigit()][::-1]
    doubled = (sum(divmod(2 * one, 10)) for one in number[1::2])
    return (sum(number[::2]) + sum(doubled)) % 10 == 0


def _is_iban(match: re.Match[str]) -> bool:
    """The check digits of international accounts (ISO 7064, 97)."""
    number = match[0].replace(" ", "")
    return int("".join(str(int(one, 36)) for one in number[4:] + number[:4])) % 97 == 1


def _is_account(match: re.Match[str]) -> bool:
    """10 to 16 digits that are no date, with a bank or the word for an account beside them."""
    count = sum(one.isdigit() for one in match[0])
    before, after = match.string[: match.start()][-24:], match.string[match.end() :][:12]
    is_near = _MONEY.search(before) or _MONEY.search(after) or _BANK_ENDS.search(before) or _BANK_BEGINS.match(after)
    return 10 <= count <= 16 and not _DATE.match(match[0]) and is_near is not None


def _is_called(match: re.Match[str]) -> bool:
    """A number without its area, with the word for a telephone before it."""
    return _TELEPHONE.search(match.string[: match.start()][-16:]) is not None


_MONEY: Final = re.compile(r"계좌|은행|뱅크|입금|송금|이체|예금주|카뱅|account|bank|\ba/c\b", re.IGNORECASE)
_BANKS: Final = (
    "국민|KB|신한|우리|하나|농협|NH|기업|IBK|토스|카카오|케이뱅크|케뱅|새마을금고|새마을|신협|수협|우체국|SC제일|제일|씨티"
    "|대구|iM|부산|BNK|경남|광주|전북|제주|산업|KDB|외환"
)
_BANK_ENDS: Final = re.compile(rf"(?:{_BANKS})[ :)\]]{{0,3}}\Z", re.IGNORECASE)
_BANK_BEGINS: Final = re.compile(rf"[ :(\[]{{0,3}}(?:{_BANKS})(?![가-힣]{{2}})", re.IGNORECASE)
_DATE: Final = re.compile(r"(?:19|20)\d\d[- .]?(?:0?[1-9]|1[0-2])[- .]?(?:0?[1-9]|[12]\d|3[01])(?!\d{3})")
_TELEPHONE: Final = re.compile(
    r"전화|연락처|휴대폰|핸드폰|폰번|폰 ?번호|팩스|\btel|\bphone|\bcall|\bfax|\bhp\b", re.IGNORECASE
)


# -- the table ---------------------------------------------------------------------------------------

SORTS: Final = (
    Sort(LITERAL, FORM),
    _sort("EMAIL", r"(?<![A-Za-z0-9._%+-]) [A-Za-z0-9._%+-]+ @ [A-Za-z0-9-]+ (?:\.[A-Za-z0-9-]+)* \.[A-Za-z]{2,}"),
    _sort("RRN", r"(?<!\d) \d{6} [ ]?-?[ ]? [1-8]\d{6} (?!\d)", _is_born),
    _sort(
        "CARD",
        r"(?<!\d) (?: [2-69]\d{13,15} | 6\d{18} | [2-69]\d{3} (?:[- ]\d{4}){3} | 3\d{3} [- ]\d{6} [- ]\d{4,5} ) (?!\d)",
        _is_card,
    ),
    _sort("IBAN", r"(?<![A-Za-z0-9]) [A-Z]{2}\d\d (?:[ ]?[A-Z0-9]{4}){2,7} (?:[ ]?[A-Z0-9]{1,3})? (?![A-Za-z0-9])", _is_iban),
    _sort("LICENCE", r"(?<!\d) (?:1[1-9]|2[0-8]) - \d\d - \d{6} - \d\d (?!\d)"),
    _sort("PASSPORT", r"(?<![A-Za-z0-9]) [MSRODG] (?:\d{8} | \d{3}[A-Z]\d{4}) (?![A-Za-z0-9])"),
    # mobile: 010-1234-5678, 01012345678, +82 10 1234 5678, 82-010-…
    _sort(
        "PHONE",
        r"(?<!\d) (?: \+?82[ ]?[-.)]?[ ]? (?:\(0\))? 0? | 0 ) 1[016-9] [-. )]{0,2} \d{3,4} [-. ]{0,2} \d{4} (?!\d)",
    ),
    # at a desk: 02-123-4567, (031) 123-4567, 070-…, 0505-…, +82 2 …
    _sort(
        "PHONE",
        r"(?<!\d) (?: \+82[ ]?[-.]?[ ]? | \(?0 ) (?: 2 | [3-6][1-5] | 70 | 50\d? | 80 ) [-. )]{0,2} \d{3,4} [-. ]{0,2} \d{4} (?!\d)",
    ),
    # other countries: +1 415 555 2671, +81-90-1234-5678; and (415) 555-2671
    _sort("PHONE", r"(?<![\d+]) \+ [1-9]\d{0,2} (?:[-. ()]{0,2}\d){7,12} (?!\d)"),
    _sort("PHONE", r"(?<!\d) (?: \(\d{3}\)[ ]? | \d{3}[-.] ) \d{3} [-.] \d{4} (?!\d)"),
    _sort("PHONE", r"(?<![\d-]) \d{3,4} [- ] \d{4} (?![\d-])", _is_called),
    _sort("ACCOUNT", r"(?<![\d.,]) (?: \d{10,16} | \d{2,6} (?:[- ]\d{1,8}){1,4} ) (?!\d)", _is_account),
)  # fmt: skip
