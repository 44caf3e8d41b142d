"""Placeholders: how we write them, and the many ways in which models write them back.

`⟦PHONE1⟧` comes back in other brackets, without any, in small letters, with spaces, with a particle inside, or translated. Whatever may be read as one is also taken for one on its way out (`sorts.LITERAL`): so somebody's own
`[PHONE1]` does not come back as a number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

LITERAL: Final = "TEXT"
"""The label of what only looks like a placeholder."""
_WORDS: Final[Mapping[str, str]] = {
    "PHONE": "phone|phone number|tel|telephone|mobile|전화|전화번호|휴대폰|휴대폰번호|휴대전화|핸드폰|폰번호|연락처"
    "|電話|電話番号|电话|电话号码|手机|手机号|teléfono|téléphone|telefon",
    "EMAIL": "email|e-mail|mail|이메일|메일|메일주소|이메일주소|전자우편|メール|邮箱|邮件|電子郵件|correo|courriel",
    "RRN": "rrn|resident number|주민번호|주민등록번호|등록번호|외국인등록번호|身份证|住民登録番号",
    "CARD": "card|card number|카드|카드번호|신용카드|カード|クレジットカード|卡号|信用卡|tarjeta|carte|karte",
    "ACCOUNT": "account|account number|계좌|계좌번호|口座|口座番号|账户|账号|帐号|cuenta|compte|konto",
    "IBAN": "iban|아이반",
    "LICENCE": "licence|license|면허|면허번호|운전면허|운전면허번호|免許|免許証|驾照|licencia|permis",
    "PASSPORT": "passport|passport number|여권|여권번호|パスポート|旅券|护照|pasaporte|passeport|reisepass",
    LITERAL: "text|텍스트|글|本文|テキスト|文本|texto|texte",
}
_LABELS: Final = {word: label for label, words in _WORDS.items() for word in words.split("|")}
_NAMES: Final = "|".join(re.escape(one).replace(r"\ ", r"[ _]?") for one in sorted(_LABELS, key=len, reverse=True))
_OPEN: Final = r"(?:⟦|\[{1,2}|[【〔〖「『《〈＜［｛]|\{{1,2}|<)"
_CLOSE: Final = r"(?:⟧|\]{1,2}|[】〕〗」』》〉＞］｝]|\}{1,2}|>)"
_NUMBER: Final = r"[ _#:.-]{0,2}[0-9]{1,6}"
FORM: Final = re.compile(
    rf"(?P<framed>{_OPEN}[ ]{{0,2}}(?:{_NAMES}){_NUMBER}(?P<rest>[가-힣]{{0,4}})[ ]{{0,2}}{_CLOSE})"
    rf"|(?P<round>(?<=[(（])[ ]?(?:{_NAMES}){_NUMBER}[ ]?(?=[)）]))"
    rf"|(?P<bare>⟦?(?<![A-Za-z0-9_])(?-i:{'|'.join(_WORDS)})_?[0-9]{{1,6}}(?![A-Za-z0-9_])⟧?)"
    r"|(?P<unknown>⟦[ ]{0,2}[^\W\d_][^⟦⟧\n]{0,24}[0-9]{1,6}[^⟦⟧\n\d]{0,4}⟧)",
    re.IGNORECASE,
)
"""Everything that may be one."""
BEGUN: Final = re.compile(
    r"(?:(?:\[{1,2}|\{{1,2}|[⟦【〔〖「『《〈＜［｛<(（])[\w #:.-]{0,40}|[A-Za-z0-9_]{1,64})\Z", re.IGNORECASE
)
"""What at the end of a piece may become one."""


class Placeholder(NamedTuple):
    """What one stands for. An empty label: nothing that is known. `is_ours`: nobody but us writes like that."""

    label: str
    number: int
    rest: str
    is_ours: bool


def read(form: re.Match[str]) -> Placeholder:
    """Understand one that was found by `FORM`."""
    written, rest = form[0], form["rest"] or ""
    is_ours = written.startswith("⟦") or written.endswith("⟧")
    number = re.search(r"([0-9]{1,6})\D*\Z", written)
    assert number is not None
    name = written[: number.start()].strip("⟦[【〔〖「『《〈＜［｛{< _#:.-").lower().replace("_", " ")
    return Placeholder(_LABELS.get(name) or _LABELS.get(name.replace(" ", ""), ""), int(number[1]), rest, is_ours)
