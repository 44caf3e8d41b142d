"""Fingers, mouse and the way back on the page: every menu within reach, nothing covered, nothing lost on the way."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.house.running import Running, running
from tests.journeys.windows import Visitor, box, opens, said, violations, word

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

PHONES = ({"width": 320, "height": 640}, {"width": 390, "height": 844})
LINK = "https://example.com/docs"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(folder=tmp_path_factory.mktemp("hands")) as one:
        yield one


def phone(chromium: Browser, visitor: Visitor, size: dict[str, int]) -> Page:
    return visitor.window(chromium, size=size, has_touch=True, is_mobile=True)


def rests(page: Page, place: Locator) -> Locator:
    """A finger rests on something until a menu is there, and is lifted; the menu."""
    place.scroll_into_view_if_needed()
    at = place.bounding_box()
    assert at is not None
    finger = page.context.new_cdp_session(page)
    point = {"x": at["x"] + at["width"] / 2, "y": at["y"] + at["height"] / 2}
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    menu = page.get_by_role("menu")
    expect(menu).to_be_visible()
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.evaluate("() => new Promise(requestAnimationFrame)")
    expect(menu).to_be_visible()
    return menu


def overlap(one: Locator, other: Locator) -> bool:
    a, b = one.bounding_box(), other.bounding_box()
    assert a is not None
    assert b is not None
    return (
        a["x"] < b["x"] + b["width"]
        and b["x"] < a["x"] + a["width"]
        and a["y"] < b["y"] + b["height"]
        and b["y"] < a["y"] + a["height"]
    )


@pytest.mark.parametrize("size", PHONES)
def test_a_finger_that_rests_opens_the_menu_of_a_message(
    chromium: Browser, minji: Visitor, junho: Visitor, size: dict[str, int]
) -> None:
    conversation = junho.with_(minji)
    junho.says(conversation, "몇 시에 볼까?", LINK, *(f"{number}번째 말" for number in range(1, 6)))
    asked = junho.asks(conversation)["messages"][0]["id"]
    minji.asks(f"{conversation}messages/send/", {"content": "여섯 시", "reply_to": asked})
    page = phone(chromium, minji, size)
    opens(page, "준호")
    places = (word(page, "3번째 말"), page.locator("doran-timeline .bubble a"), page.locator("doran-timeline .quote"))
    for place in places:
        menu = rests(page, place)
        held = page.locator("doran-timeline .held .bubble")
        expect(held).to_have_count(1)
        assert not overlap(menu, held)
        page.keyboard.press("Escape")
        expect(menu).to_have_count(0)
        expect(held).to_have_count(0)
    assert len(page.context.pages) == 1, "the link was not followed"
    expect(page.locator("doran-timeline .flash")).to_have_count(0)
    rests(page, places[1]).get_by_role("menuitem", name="링크 복사").tap()
    expect(page.locator(".toast")).to_have_text("복사했어요.")


def test_a_listed_conversation_has_its_menu_for_fingers_and_for_who_hears_the_page(
    chromium: Browser, minji: Visitor, junho: Visitor
) -> None:
    junho.says(junho.with_(minji), "안녕")
    page = phone(chromium, minji, PHONES[0])
    row = page.locator("doran-list li")
    menu = rests(page, row.get_by_role("link"))
    assert not overlap(menu, row)
    menu.get_by_role("menuitem", name="위에 고정").tap()
    expect(row.get_by_text("고정됨")).to_be_attached()
    assert not page.url.endswith("/c/"), "the conversation was not opened"
    expect(box(page)).to_have_count(0)
    row.get_by_role("button", name="준호 대화 메뉴").tap()
    page.get_by_role("menuitem", name="고정 해제").tap()
    expect(row.get_by_text("고정됨")).to_have_count(0)
    opens(page, "준호")
    expect(page.get_by_role("button", name="메시지 메뉴")).to_have_count(1)


def test_the_mouse_over_a_row_covers_no_number(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    junho.says(junho.with_(minji), *(f"{number}번째 말" for number in range(1, 13)))
    page = minji.window(chromium)
    row = page.locator("doran-list li")
    row.hover()
    button = row.get_by_role("button", name="준호 대화 메뉴")
    expect(button).to_have_css("opacity", "1")
    expect(row.locator(".badge")).to_contain_text("12")
    assert not overlap(button, row.locator(".badge"))


def test_the_way_back_leads_to_where_one_was(
    chromium: Browser, server: Running, minji: Visitor, junho: Visitor
) -> None:
    minji.says(minji.with_(junho), *(f"{number}번째 말" for number in range(1, 121)))
    sora = Visitor(server, "소라")
    minji.says(minji.with_(sora), "소라야")
    page = minji.window(chromium)
    opens(page, "준호")
    scroller = page.locator("doran-timeline .scroller")
    expect(word(page, "120번째 말")).to_be_in_viewport()
    page.mouse.move(760, 400)
    for _ in range(6):
        page.mouse.wheel(0, -500)
        page.evaluate("() => new Promise(requestAnimationFrame)")
    expect(word(page, "120번째 말")).not_to_be_in_viewport()
    page.wait_for_function(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
    )
    seen = next(one for one in said(page).all() if one.evaluate("one => one.getBoundingClientRect().top > 80"))
    text, at = seen.inner_text(), seen.bounding_box()
    assert at is not None
    opens(page, "소라")
    expect(said(page)).to_have_text(["소라야"])
    page.go_back()
    expect(word(page, text)).to_be_in_viewport()
    there = said(page).filter(has_text=re.compile(f"^{text}$")).bounding_box()
    assert there is not None
    assert abs(there["y"] - at["y"]) < 3
    assert scroller.count() == 1
    page.go_forward()
    expect(said(page)).to_have_text(["소라야"])
    opens(page, "준호")
    expect(word(page, "120번째 말")).to_be_in_viewport()


def test_settings_opened_without_a_network_recover(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    junho.says(junho.with_(minji), "안녕")
    page = minji.window(chromium)
    page.context.set_offline(True)
    page.get_by_role("link", name="내 정보와 설정").click()
    expect(page.get_by_role("alert").filter(has_text="불러오지 못했어요")).to_be_visible()
    expect(page.get_by_role("heading", name="로그인한 기기")).to_have_count(0)
    page.context.set_offline(False)
    expect(page.get_by_text("이 기기")).to_be_visible()
    expect(page.locator("#display_name")).to_have_value("민지")


@pytest.mark.parametrize("size", PHONES)
def test_everything_on_a_phone_stands_in_a_landmark(
    chromium: Browser, server: Running, minji: Visitor, size: dict[str, int]
) -> None:
    for number in range(1, 8):
        other = Visitor(server, f"사람{number}")
        other.says(other.with_(minji), "안녕")
    page = minji.window(chromium, size=size, has_touch=True, is_mobile=True, bypass_csp=True)
    expect(page.get_by_role("searchbox", name="대화 검색")).to_be_visible()
    found = violations(page, "the list")
    expect(page.get_by_role("main")).to_have_count(1)
    opens(page, "사람1")
    expect(page.get_by_role("main")).to_have_count(1)
    found += violations(page, "the chat")
    assert found == []
