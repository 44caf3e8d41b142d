"""A newcomer starts the demo, opens the address, and is talking after one press."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.house.running import running
from tests.journeys.windows import box, opens, said, violations

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def test_one_press_logs_in_as_either(chromium: Browser, tmp_path: Path) -> None:
    with running("--demo", folder=tmp_path) as server:
        pages = []
        for name, other in (("민지", "준호"), ("준호", "민지")):
            page = chromium.new_context(locale="ko-KR", bypass_csp=True).new_page()
            page.goto(server.url)
            enter = page.get_by_role("button", name=f"{name}로 들어가기")
            expect(enter).to_be_visible()
            assert violations(page, "the welcome") == []
            enter.click()
            opens(page, other)
            expect(said(page)).to_have_count(10)
            assert "password" not in page.url
            pages.append(page)
        minji, junho = pages
        box(minji).fill("금방 갈게")
        box(minji).press("Enter")
        expect(said(junho).last).to_have_text("금방 갈게")


def test_without_the_demo_nobody_is_offered(chromium: Browser, tmp_path: Path) -> None:
    with running(folder=tmp_path) as server:
        page = chromium.new_context(locale="ko-KR").new_page()
        page.goto(server.url)
        expect(page.get_by_role("button", name="로그인", exact=True)).to_be_visible()
        expect(page.get_by_text("시연용 서버예요")).to_have_count(0)
