"""Which language a message is in: chat is short, mixed and full of ㅋㅋ."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from doran.ai import languages
from doran.ai.languages import UNDETERMINED, language_of

pytestmark = pytest.mark.stateless

SNIPPETS = [
    ("ko", "밥 먹었어?"),
    ("ko", "ㅋㅋㅋㅋ"),
    ("ko", "ㅇㅋ"),
    ("ko", "ㄱㄱ"),
    ("ko", "API키 재발급 받았어요"),
    ("ko", "github에 올려뒀어"),
    ("ko", "deploy 끝남"),
    ("ko", "네"),
    ("ko", "PR 리뷰 부탁드립니다 https://git.example/pr/1"),
    ("ko", "안냥하세요 ㅎㅎ"),
    ("ko", "Docker 컨테이너가 자꾸 죽어요"),
    ("en", "we deployed the new version last night"),
    ("en", "see you at the station"),
    ("en", "ok"),
    ("en", "lol"),
    ("en", "brb"),
    ("en", "The meeting was moved to Friday"),
    ("en", "Let's grab lunch tomorrow"),
    ("en", "thanks a lot!"),
    ("en", "I met 민지 yesterday at the station"),
    ("en", "two meetings in a row, so tired"),
    ("en", "what time is it?"),
    ("ja", "会議は三時からです"),
    ("ja", "東京に着いたら連絡してください"),
    ("ja", "ラーメン食べたい"),
    ("ja", "ありがとう"),
    ("ja", "草"),
    ("ja", "今日会議"),
    ("ja", "明日ラーメン食べに行こう"),
    ("ja", "おはよう"),
    ("ja", "PCが壊れた"),
    ("ja", "マジで"),
    ("ja", "なるほどですね"),
    ("zh", "我明天去上海开会"),
    ("zh", "上海的天气很好"),
    ("zh", "你好"),
    ("zh", "谢谢"),
    ("zh", "哈哈哈"),
    ("zh", "在吗"),
    ("zh", "我在用Python写代码"),
    ("zh", "好的"),
    ("zh", "今天晚上吃什么"),
    ("zh", "没问题"),
    ("th", "สวัสดีครับ"),
    ("ru", "привет, как дела?"),
    ("uk", "Привіт, як справи?"),
    ("es", "¿Dónde está la estación de tren?"),
    ("fr", "On se retrouve à la gare demain matin"),
    ("de", "Wir treffen uns morgen am Bahnhof"),
    ("vi", "Hẹn gặp lại bạn ngày mai nhé"),
    ("id", "Sampai jumpa besok di stasiun"),
    ("ar", "كيف حالك؟"),
    ("und", "👍👍"),
    ("und", "010-1234-5678"),
    ("und", "https://example.com/a"),
    ("und", "???"),
]
TELL_LITTLE = {"lol", "brb", "草", "今日会議"}
"""Only who writes them tells what these are."""
LIKELY = {"en": "en", "ja": "ja"}


@pytest.fixture
def without_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(languages, "has_model", lambda: False)
    languages._guess.cache_clear()
    yield
    languages._guess.cache_clear()


def test_nearly_all_are_told_from_the_text_alone() -> None:
    assert {text for language, text in SNIPPETS if language_of(text) != language} == TELL_LITTLE


@pytest.mark.parametrize(("language", "text"), SNIPPETS)
def test_who_writes_settles_the_rest(language: str, text: str) -> None:
    assert language_of(text, likely=LIKELY.get(language, "ko")) == language


@pytest.mark.usefixtures("without_model")
def test_without_the_model_only_other_latin_languages_are_missed() -> None:
    missed = {
        language for language, text in SNIPPETS if language_of(text, likely=LIKELY.get(language, "ko")) != language
    }
    assert missed == {"es", "fr", "de", "vi", "id"}


@pytest.mark.usefixtures("without_model")
def test_what_is_likely_counts_where_its_letters_fit() -> None:
    assert language_of("Sampai jumpa besok di stasiun", likely="id-ID") == "id"
    assert language_of("Sampai jumpa besok di stasiun", likely="ko") == UNDETERMINED


@pytest.mark.parametrize("text", ["", " \n", "👍🏽❤️", "12:30 ~ 14:00", "@minji https://한국.example/밥"])
def test_no_letters_no_language(text: str) -> None:
    assert language_of(text, likely="ko") == UNDETERMINED
