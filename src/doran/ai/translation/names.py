"""What languages are called, for a model that is told which one to write in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_KO: Final = {
    "ko": "한국어", "en": "영어", "ja": "일본어", "zh": "중국어(간체)", "zh-TW": "중국어(번체)", "vi": "베트남어", "th": "태국어",
    "id": "인도네시아어", "ms": "말레이어", "tl": "타갈로그어", "mn": "몽골어", "uz": "우즈베크어", "ru": "러시아어", "uk": "우크라이나어",
    "kk": "카자흐어", "ne": "네팔어", "hi": "힌디어", "bn": "벵골어", "km": "크메르어", "my": "미얀마어", "lo": "라오어", "fr": "프랑스어",
    "de": "독일어", "es": "스페인어", "pt": "포르투갈어", "it": "이탈리아어", "nl": "네덜란드어", "pl": "폴란드어", "tr": "튀르키예어",
    "ar": "아랍어", "he": "히브리어", "fa": "페르시아어", "sv": "스웨덴어", "da": "덴마크어", "nb": "노르웨이어", "fi": "핀란드어",
    "cs": "체코어", "hu": "헝가리어", "ro": "루마니아어", "el": "그리스어",
}  # fmt: skip
_EN: Final = {
    "ko": "Korean", "en": "English", "ja": "Japanese", "zh": "Chinese (simplified)", "zh-TW": "Chinese (traditional)",
    "vi": "Vietnamese", "th": "Thai", "id": "Indonesian", "ms": "Malay", "tl": "Tagalog", "mn": "Mongolian", "uz": "Uzbek",
    "ru": "Russian", "uk": "Ukrainian", "kk": "Kazakh", "ne": "Nepali", "hi": "Hindi", "bn": "Bengali", "km": "Khmer",
    "my": "Burmese", "lo": "Lao", "fr": "French", "de": "German", "es": "Spanish", "pt": "Portuguese", "it": "Italian",
    "nl": "Dutch", "pl": "Polish", "tr": "Turkish", "ar": "Arabic", "he": "Hebrew", "fa": "Persian", "sv": "Swedish",
    "da": "Danish", "nb": "Norwegian", "fi": "Finnish", "cs": "Czech", "hu": "Hungarian", "ro": "Romanian", "el": "Greek",
}  # fmt: skip
_NAMES: Final[Mapping[str, Mapping[str, str]]] = {"ko": _KO, "en": _EN}


def name(language: str, locale: str) -> str:
    """The language's name in this locale; its code where we know no name."""
    names = _NAMES[locale]
    return names.get(language) or names.get(language.partition("-")[0].lower()) or language
