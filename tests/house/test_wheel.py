"""The built wheel holds the page: installed anywhere, `doran up` serves it without Node."""

from __future__ import annotations

import gzip
import urllib.request
from pathlib import Path

import pytest

from tests.house.running import running

pytestmark = pytest.mark.timeout(240)


def test_a_wheel_serves_the_page_without_node(installed: Path, tmp_path: Path) -> None:
    with running(folder=tmp_path, PYTHONPATH=str(installed), PATH="/nowhere") as server:
        with urllib.request.urlopen(server.url, timeout=10) as answer:
            page = answer.read().decode()
        assert "<title>도란</title>" in page
        assert page == (installed / "doran/web/index.html").read_text(encoding="utf-8")
        for coding, ending in (("br", ".br"), ("gzip", ".gz")):
            script = next((installed / "doran/web/assets").glob("*.js"))
            asked = urllib.request.Request(f"{server.url}/assets/{script.name}", headers={"Accept-Encoding": coding})
            with urllib.request.urlopen(asked, timeout=10) as answer:
                assert answer.headers["Content-Encoding"] == coding
                assert answer.headers["Cache-Control"].endswith("immutable")
                assert answer.read() == script.with_name(script.name + ending).read_bytes()
        assert server.asks("/health/ready")[1]["status"] == "ok"


def test_a_wheel_brings_what_is_not_python(installed: Path) -> None:
    assert (installed / "doran/py.typed").exists()
    assert any((installed / "doran/web/assets").glob("*.js"))
    for script in (installed / "doran/web/assets").glob("*.js"):
        assert gzip.decompress(script.with_name(script.name + ".gz").read_bytes()) == script.read_bytes()
        assert script.with_name(script.name + ".br").stat().st_size * 3 < script.stat().st_size
    assert (installed / "doran/kernel/http/docs.css").exists()
    assert not any(installed.rglob("node_modules"))
    assert list(installed.glob("doran-*.dist-info/licenses/LICENSE"))
