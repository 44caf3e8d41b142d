"""What the page shows, says aloud and copies: each word, once, and nothing that only stands beside it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.house.running import Running, running
from tests.journeys.windows import Visitor, menu, opens, said, word

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

PILE = "\u0336\u0301" * 60
CLIPBOARD = ["clipboard-read", "clipboard-write"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(folder=tmp_path_factory.mktemp("shown")) as one:
        yield one


def copied(page: Page) -> str:
    text: str = page.evaluate("navigator.clipboard.readText()")
    return text


def test_equal_and_quick_messages_are_each_read_aloud(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    conversation = junho.with_(minji)
    junho.says(conversation, "전에 한 말")
    page = minji.window(chromium)
    opens(page, "준호")
    told = page.locator("doran-timeline [aria-live=polite] p")
    expect(told).to_have_count(0)
    junho.says(conversation, "응", "응", "아니")
    minji.says(minji.with_(junho), "내가 한 말")
    expect(told).to_have_text(["준호: 응", "준호: 응", "준호: 아니"])
    page.context.set_offline(True)
    junho.says(conversation, "끊긴 동안 한 말")
    page.context.set_offline(False)
    expect(told.last).to_have_text("준호: 끊긴 동안 한 말")


def test_what_is_said_in_passing_twice_is_heard_twice(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    junho.says(junho.with_(minji), "하나")
    page = minji.window(chromium)
    opens(page, "준호")
    menu(page, "하나", "복사")
    first = page.locator(".toast").element_handle()
    assert first is not None
    menu(page, "하나", "복사")
    page.wait_for_function("one => !one.isConnected", arg=first)
    expect(page.locator(".toast")).to_have_text("복사했어요.")


def test_several_messages_copy_as_their_words(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    conversation = minji.with_(junho)
    minji.says(conversation, "하나")
    junho.says(conversation, "둘", "셋")
    page = minji.window(chromium)
    page.context.grant_permissions(CLIPBOARD)
    opens(page, "준호")
    expect(page.get_by_text("여기부터 새 메시지")).to_be_visible()
    minji.says(conversation, "넷")
    expect(said(page)).to_have_text(["하나", "둘", "셋", "넷"])
    first, last = word(page, "하나").bounding_box(), word(page, "넷").bounding_box()
    assert first is not None
    assert last is not None
    page.mouse.move(first["x"], first["y"] + 5)
    page.mouse.down()
    page.mouse.move(last["x"] + last["width"] + 4, last["y"] + last["height"] - 4, steps=8)
    page.mouse.up()
    page.keyboard.press("ControlOrMeta+C")
    assert copied(page).split() == ["하나", "둘", "셋", "넷"]


def test_copying_works_where_the_browser_hides_the_clipboard(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    junho.says(junho.with_(minji), "두 줄\n이에요 <b>")
    page = minji.window(chromium)
    page.context.grant_permissions(CLIPBOARD)
    opens(page, "준호")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    menu(page, "두 줄", "복사")
    expect(page.locator(".toast")).to_have_text("복사했어요.")
    page.reload()
    expect(said(page)).to_have_count(1)
    page.bring_to_front()
    assert copied(page) == "두 줄\n이에요 <b>"


def test_piled_up_marks_stay_in_their_place(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    junho.says(junho.with_(minji), f"가{PILE}", "다음 말")
    page = minji.window(chromium)
    opens(page, "준호")
    for place in (said(page).first, page.locator("doran-list .face").first):
        expect(place).to_have_css("overflow-x", "clip")


def test_a_block_is_told_as_it_is(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    junho.says(junho.with_(minji), "안녕")
    page, other = minji.window(chromium), junho.window(chromium)
    opens(page, "준호")
    opens(other, "민지")
    page.get_by_role("main").get_by_role("button", name="준호 대화 메뉴").click()
    page.get_by_role("menuitem", name="차단").click()
    expect(page.get_by_role("dialog")).to_contain_text("상대도 보낼 수 없다는 건 알게 되지만, 이유는 보이지 않아요")
    page.get_by_role("dialog").get_by_role("button", name="차단").click()
    expect(other.get_by_text("지금은 이 대화에 메시지를 보낼 수 없어요")).to_be_visible()
    expect(other.get_by_text("차단")).to_have_count(0)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("password", "너무 쉽게 맞힐 수 있는"),
        ("passwor", "8자 이상"),
        ("{handle}", "아이디와 같은"),
        ("ababababab", "너무 쉽게"),
    ],
)
def test_a_weak_password_is_told_why(chromium: Browser, server: Running, password: str, reason: str) -> None:
    page = chromium.new_context(locale="ko-KR").new_page()
    page.goto(server.url)
    page.get_by_role("button", name="처음이신가요? 가입하기").click()
    page.get_by_label("아이디").fill("weakling1")
    page.locator("#password").fill(password.format(handle="weakling1"))
    page.get_by_role("button", name="가입하기").click()
    expect(page.locator("#password-note")).to_contain_text(reason)


@pytest.mark.parametrize(("locale", "heading"), [("fr-FR", "Log in"), ("ja-JP", "Log in"), ("ko-KR", "로그인")])
def test_who_prefers_neither_language_gets_english(
    chromium: Browser, server: Running, locale: str, heading: str
) -> None:
    page = chromium.new_context(locale=locale).new_page()
    page.goto(server.url)
    expect(page.get_by_role("button", name=heading, exact=True)).to_be_visible()
