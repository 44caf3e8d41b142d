"""The table of providers: read strictly, and said clearly where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from doran.ai.providers import Price, table
from doran.kernel import config as settings
from doran.kernel.config import BadSetting

WHOLE = """
[[provider]]
name = "house"
wire = "openai"
url = "http://10.0.0.5:8080/v1/"
model = "qwen"
embedding_model = "e5"
context_tokens = 32768

[[provider]]
name = "vendor"
wire = "anthropic"
url = "https://api.anthropic.com"
model = "claude"
key = "sk-1"
price_in = 0.15
price_out = 15

[[translator]]
name = "papago"
engine = "papago"
key_id = "id"
key = "secret"
price = 20_000
"""


def read(toml: str, **changes: object) -> table.Table:
    return table.read(settings.load({}).replace(ai_providers=toml, **changes))


def refuses(toml: str, **changes: object) -> str:
    with pytest.raises(BadSetting) as wrong:
        read(toml, **changes)
    said = str(wrong.value)
    assert said.startswith("DORAN_AI_PROVIDERS: ")
    return said.removeprefix("DORAN_AI_PROVIDERS: ")


def line(**changes: str) -> str:
    said = {"name": '"a"', "wire": '"openai"', "url": '"http://localhost:1/v1"', "model": '"m"', **changes}
    return "[[provider]]\n" + "\n".join(f"{name} = {value}" for name, value in said.items() if value)


def test_a_table_in_its_order() -> None:
    house, vendor = read(WHOLE).providers
    assert (house.about.name, house.about.is_outside, house.url) == ("house", False, "http://10.0.0.5:8080/v1")
    assert (house.about.context_tokens, house.about.embedding_model) == (32768, "e5")
    assert (vendor.about.is_outside, vendor.about.host) == (True, "api.anthropic.com")
    assert vendor.about.price == Price(150_000, 15_000_000)


def test_translators_stand_beside() -> None:
    (papago,) = read(WHOLE).translators
    assert (papago.engine, papago.is_outside, papago.key_id, papago.key) == ("papago", True, "id", "secret")
    assert papago.price == 20_000_000_000
    assert "secret" not in repr(papago)


def test_nothing_is_an_empty_table() -> None:
    assert read("") == table.Table()


@pytest.mark.parametrize(
    ("host", "inside"),
    [("localhost", True), ("127.0.0.1", True), ("[::1]", True), ("192.168.1.5", True), ("[fd00::7]", True),
     ("llm.example.com", False), ("8.8.8.8", False), ("169.254.169.254", False), ("llm", False)],
)  # fmt: skip
def test_what_is_plainly_here_is_inside(host: str, inside: bool) -> None:
    (one,) = read(line(url=f'"https://{host}/v1"')).providers
    assert one.about.is_outside is not inside


def test_the_operator_knows_better() -> None:
    (one,) = read(line(url='"https://llm.internal/v1"', outside="false")).providers
    assert not one.about.is_outside


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("[[provider]\n", "this is not TOML (at line 1, column 11)"),
        ("provider = 5", "write [[provider]] and [[translator]] tables, and nothing else"),
        ("[[providers]]\n", "write [[provider]] and [[translator]] tables, and nothing else"),
        (line(wire=""), "provider 'a': say its wire"),
        (line(wire='"grpc"'), "provider 'a': wire: Invalid enum value 'grpc'"),
        (line(name='"A b"'), "provider 'A b': name: Expected `str` matching regex '^[a-z0-9][a-z0-9._-]{0,63}$'"),
        (line(colour='"red"'), "provider 'a': there is no key colour"),
        (line(model=""), "provider 'a': give it a model, an embedding_model, or both"),
        (line(wire='"anthropic"', embedding_model='"e"'), "provider 'a': Anthropic's wire makes no embeddings: leave embedding_model out"),
        (line(name='"local"'), "provider 'local': this name is that of the models of doran[local]; take another"),
        (line(price_in="-1"), "provider 'a': price_in: Expected `float` >= 0.0"),
        (line(url='"ftp://x"'), "provider 'a': url must be an address such as https://api.example.com/v1, without name, password or query"),
        (line(url='"https://me:pass@x/v1"'), "provider 'a': url must be an address such as https://api.example.com/v1, without name, password or query"),
        (line(url='"https://x:99999/v1"'), "provider 'a': url must be an address such as https://api.example.com/v1, without name, password or query"),
        (line(key='"k"', key_file='"/f"'), "provider 'a': give key or key_file, not both"),
        (line(key='"k\\nX-Evil: 1"'), "provider 'a': its key has signs that no key has"),
        (line(key_file='"/nowhere/key"'), "provider 'a': key_file /nowhere/key cannot be read: No such file or directory"),
        (line() + "\n" + line(), "two are called 'a': give each a name of its own"),
        ('[[translator]]\nname = "t"\nengine = "libre"', "translator 't': say the url of your LibreTranslate"),
        ('[[translator]]\nname = "t"\nengine = "deepl"', "translator 't': deepl wants a key: name its file in key_file"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_sentence(toml: str, sentence: str) -> None:
    assert refuses(toml) == sentence


def test_a_mistake_does_not_show_the_key() -> None:
    assert "sk-1" not in refuses(WHOLE.replace('"sk-1"', '"sk-1" sk-1'))
    assert "sk-1" not in refuses(WHOLE.replace('"sk-1"', '"sk-1\\u0007"'))


def test_who_checks_is_told_where_words_would_go() -> None:
    told = table.told(settings.load({}).replace(ai_providers=WHOLE, ai_local=True))
    assert told == "house (inside), vendor (outside), papago (translates, outside), local (this machine)"
    assert table.told(settings.load({})) == "none: nothing of the AI is offered"


def test_keys_come_from_files(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-from-file\n")
    (one,) = read(line(key_file=f'"{file}"')).providers
    assert one.key == "sk-from-file"
    assert "sk-from-file" not in repr(one)
    file.write_text(" \n")
    assert refuses(line(key_file=f'"{file}"')) == f"provider 'a': key_file {file} is empty"


def test_production_sends_no_key_in_the_open() -> None:
    toml = line(url='"http://llm.example.com/v1"')
    assert read(toml).providers
    said = refuses(toml, mode="production")
    assert said == "provider 'a': in production, words and keys go to llm.example.com by https:// only"
    assert read(line(), mode="production").providers
