"""Each engine speaks as its vendor documents it, over real HTTP, and says honestly when it cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from doran.ai.providers import Trouble
from doran.ai.providers.table import Translator
from doran.ai.translation.engine import Engine, Translated, Wish
from doran.ai.translation.opening import open_engine
from tests.servers.translators import KEY, Translators

pytestmark = pytest.mark.stateless

ALL = ["deepl", "papago", "google", "google v3", "libre"]


@pytest.fixture
async def engine(request: Any, them: Translators) -> AsyncIterator[Engine]:
    name = request.param.partition(" ")[0]
    key_id = {"papago": "id", "google v3": "doran"}.get(request.param, "")
    engine = open_engine(Translator(name, name, them.url, False, KEY, key_id), connect_seconds=1)
    yield engine
    await engine.close()


@pytest.mark.parametrize("engine", ALL, indirect=True)
async def test_an_engine_translates_and_says_from_what(engine: Engine, them: Translators) -> None:
    assert await engine.translate("hello ⟦0⟧", Wish("en")) == Translated("HELLO ⟦0⟧", "ko")
    assert await engine.translate("hello", Wish("zh-TW", source="en", is_honorific=True)) == Translated("HELLO", "ko")
    assert await engine.translate("hello", Wish("ko", source="zh", is_honorific=True)) == Translated("HELLO", "ko")
    assert them.wrong == []


@pytest.mark.parametrize("engine", ALL, indirect=True)
@pytest.mark.parametrize("status", [400, 403, 429, 456, 500, 503])
async def test_a_refusal_is_no_translation(engine: Engine, them: Translators, status: int) -> None:
    them.status = status
    with pytest.raises(Trouble) as trouble:
        await engine.translate("비밀", Wish("en"))
    assert trouble.value.code == "provider_unavailable"
    assert trouble.value.is_passing == (status in (429, 500, 503))
    assert "비밀" not in str(trouble.value)
    assert KEY not in str(trouble.value)


@pytest.mark.parametrize("engine", ALL, indirect=True)
@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"null", b"<html>", b'{"translations": []}', b'{"message": {"result": {}}}', b'{"translatedText": 7}'],
)
async def test_another_answer_than_documented_is_no_translation(engine: Engine, them: Translators, body: bytes) -> None:
    them.body = body
    with pytest.raises(Trouble, match="provider_unavailable"):
        await engine.translate("hello", Wish("en"))


async def test_where_nobody_answers_the_engine_is_unavailable() -> None:
    engine = open_engine(Translator("l", "libre", "http://127.0.0.1:9", False, ""), connect_seconds=1)
    with pytest.raises(Trouble) as trouble:
        await engine.translate("hello", Wish("en"))
    assert (trouble.value.code, trouble.value.is_passing) == ("provider_unavailable", True)
    await engine.close()


def test_an_engine_says_which_languages_it_lacks() -> None:
    papago = open_engine(Translator("p", "papago", "", True, KEY, "id"), connect_seconds=1)
    assert papago.can(Wish("ko"))
    assert papago.can(Wish("zh-TW", source="ko"))
    assert not papago.can(Wish("uz"))
    assert papago.about.host == "papago.apigw.ntruss.com"
    assert papago.about.is_outside


def test_a_free_key_goes_to_the_free_host() -> None:
    hosts = [
        open_engine(Translator("d", "deepl", "", True, key), connect_seconds=1).about.host for key in ("a:fx", "a")
    ]
    assert hosts == ["api-free.deepl.com", "api.deepl.com"]
