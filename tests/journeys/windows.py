"""People with an account, and the windows of a real Chromium that they have open."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

from tests.house.running import Running

PASSWORD = "봄비가 내리는 밤에"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
DESKTOP = {"width": 1180, "height": 760}
PHONE = {"width": 360, "height": 720}

_numbers = itertools.count(1)


class Visitor:
    """Somebody with an account, and the windows they have open."""

    def __init__(self, server: Running, name: str) -> None:
        self.server, self.name = server, name
        self.username = f"visitor{next(_numbers)}"
        self.complaints: list[str] = []
        named = {"username": self.username, "password": PASSWORD}
        assert server.asks("/api/core/users/", {**named, "display_name": name})[0] == 201
        _, pair = server.asks("/api/core/tokens/", named)
        self.user_id, self.token = pair["user_id"], pair["access_token"]

    def asks(self, path: str, body: Any = None) -> Any:
        status, answer = self.server.asks(path, body, token=self.token)
        assert status < 300, answer
        return answer

    def puts(self, path: str, body: Any) -> Any:
        status, answer = self.server.asks(path, body, token=self.token, method="PUT")
        assert status < 300, answer
        return answer

    def with_(self, other: Visitor) -> str:
        """The conversation with somebody, as a path."""
        return (
            f"/api/chat/conversations/{self.asks('/api/chat/conversations/', {'participant_id': other.user_id})['id']}/"
        )

    def says(self, conversation: str, *texts: str) -> None:
        for text in texts:
            self.asks(f"{conversation}messages/send/", {"content": text})

    def window(self, chromium: Browser, *, size: dict[str, int] = DESKTOP, **more: Any) -> Page:
        """A fresh window, logged in."""
        page = chromium.new_context(viewport=size, locale="ko-KR", timezone_id="Asia/Seoul", **more).new_page()  # type: ignore[arg-type]
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._heard)
        page.goto(self.server.url)
        page.get_by_label("아이디").fill(self.username)
        page.locator("#password").fill(PASSWORD)
        page.locator("#password").press("Enter")
        expect(page.get_by_role("heading", name="대화", exact=True)).to_be_visible()
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "ERR_INTERNET_DISCONNECTED" not in message.text:
            self.complaints.append(message.text)


def without_complaints(visitor: Visitor) -> Iterator[Visitor]:
    """The browser complains on its console about what its policy refused and about errors of ours."""
    yield visitor
    assert visitor.complaints == []


def box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="메시지 입력")


def said(page: Page) -> Locator:
    return page.locator("doran-timeline .log .bubble")


def word(page: Page, text: str) -> Locator:
    return page.get_by_role("log").get_by_text(text, exact=True)


def opens(page: Page, name: str) -> None:
    page.get_by_role("navigation").get_by_role("link").filter(has_text=name).click()
    expect(box(page)).to_be_visible()


def menu(page: Page, text: str, choice: str) -> None:
    line = page.locator("doran-timeline article").filter(has_text=text).last
    line.hover()
    line.get_by_role("button", name="메시지 메뉴").click()
    page.get_by_role("menuitem", name=choice, exact=True).click()


def violations(page: Page, where: str) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{where}: {one['id']} {one['nodes'][0]['target']}" for one in found]
