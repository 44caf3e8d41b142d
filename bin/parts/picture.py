"""Takes the README's picture: 민지 and 준호 in two windows of a real Chromium, on a server with the demo.

Run it in a clone after bin/test: `.venv/bin/python bin/parts/picture.py`.
"""

from __future__ import annotations

import base64
import re
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.house.running import Running, running  # noqa: E402  found by the line above

PICTURE = ROOT / "docs" / "images" / "two-people.png"
SIZE = {"width": 470, "height": 800}
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
SIDE_BY_SIDE = """<body style="margin:0;display:flex;gap:24px;padding:24px;background:#cfd8d4">
{}</body>"""
WINDOW = '<img style="border-radius:14px;box-shadow:0 8px 30px #0005" width=470 src="data:image/png;base64,{}">'


def main() -> None:
    """Log both in, open their conversation, let 준호 type, and put both windows side by side."""
    with tempfile.TemporaryDirectory() as folder, running("--demo", folder=Path(folder)) as server:
        people = dict(re.findall(r"user name (\w+), password (\S+)", server.said()))
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
            minji = arrive(chromium, server, "minji", people["minji"], looks="light")
            junho = arrive(chromium, server, "junho", people["junho"], looks="dark")
            junho.get_by_role("textbox").last.type("돗자리는 내가 챙길까?", delay=20)
            minji.get_by_role("main").get_by_text("입력 중").wait_for()
            save(chromium, [minji.screenshot(), junho.screenshot()])
            chromium.close()


def arrive(chromium: Browser, server: Running, username: str, password: str, *, looks: str) -> Page:
    window = chromium.new_context(viewport=SIZE, locale="ko-KR", timezone_id="UTC", color_scheme=looks)  # type: ignore[arg-type]
    page = window.new_page()
    page.goto(server.url)
    page.locator("input[name=username]").fill(username)
    page.locator("input[name=password]").fill(password)
    page.locator("input[name=password]").press("Enter")
    page.locator("nav a").first.click()
    page.get_by_role("log").get_by_text("See you at seven!").wait_for()
    return page


def save(chromium: Browser, shots: list[bytes]) -> None:
    page = chromium.new_page(viewport={"width": 1012, "height": 848})
    windows = "".join(WINDOW.format(base64.b64encode(shot).decode()) for shot in shots)
    page.set_content(SIDE_BY_SIDE.format(windows))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURE)


if __name__ == "__main__":
    main()
