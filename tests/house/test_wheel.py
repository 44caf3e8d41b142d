"""The built wheel holds the page: installed anywhere, `doran up` serves it without Node."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.house.running import ROOT, running

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not (ROOT / "web/dist/index.html").is_file(), reason="the page is not built: bin/test page"),
]


def pip(*words: str) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")
    subprocess.run([sys.executable, "-m", "pip", words[0], *quiet, *words[1:]], check=True, cwd=ROOT, timeout=200)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing in it but what the wheel installs."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), ".")
    (wheel,) = folder.glob("doran-*.whl")
    pip("install", "--target", str(folder / "site"), str(wheel))
    return folder / "site"


def test_a_wheel_serves_the_page_without_node(installed: Path, tmp_path: Path) -> None:
    with running(folder=tmp_path, PYTHONPATH=str(installed), PATH="/nowhere") as server:
        with urllib.request.urlopen(server.url, timeout=10) as answer:
            page = answer.read().decode()
        assert "<title>도란</title>" in page
        assert page == (installed / "doran/web/index.html").read_text(encoding="utf-8")
        assert server.asks("/health/ready")[1]["status"] == "ok"


def test_a_wheel_brings_what_is_not_python(installed: Path) -> None:
    assert (installed / "doran/py.typed").exists()
    assert any((installed / "doran/web/assets").glob("*.js"))
    assert (installed / "doran/kernel/http/docs.css").exists()
    assert not any(installed.rglob("node_modules"))
    assert list(installed.glob("doran-*.dist-info/licenses/LICENSE"))
