"""Taking something away on the page, and taking that back: all tabs, devices and lists agree."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.house.running import Running, running
from tests.journeys.windows import PHONE, Visitor, box, menu, opens, said, violations

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(folder=tmp_path_factory.mktemp("taken")) as one:
        yield one


def preview(page: Page) -> Locator:
    return page.locator("doran-list .last").first


def test_deleted_for_me_is_gone_everywhere_of_mine_and_nowhere_else(
    chromium: Browser, minji: Visitor, junho: Visitor
) -> None:
    conversation = junho.with_(minji)
    junho.says(conversation, "하나", "둘", "셋")
    page, phone, other = minji.window(chromium), minji.window(chromium, size=PHONE), junho.window(chromium)
    for one, name in ((page, "준호"), (phone, "준호"), (other, "민지")):
        opens(one, name)
    tab = page.context.new_page()
    tab.goto(page.url)
    menu(page, "셋", "나에게서만 삭제")
    for one in (page, tab):
        expect(said(one)).to_have_text(["하나", "둘"])
        expect(preview(one)).to_have_text("둘", use_inner_text=True)
    page.reload()
    expect(said(page)).to_have_text(["하나", "둘"])
    expect(said(phone)).to_have_text(["하나", "둘"])
    page.reload()
    expect(said(page)).to_have_text(["하나", "둘"])
    for one in (page, tab):
        expect(preview(one)).to_have_text("둘", use_inner_text=True)
    expect(said(other)).to_have_text(["하나", "둘", "셋"])
    assert [one.get("hidden", False) for one in minji.asks(conversation)["messages"]] == [False, False, True]


def test_it_can_be_undone_by_hand_and_by_keys(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    conversation = junho.with_(minji)
    junho.says(conversation, "하나", "둘")
    page = minji.window(chromium, reduced_motion="reduce", bypass_csp=True)
    opens(page, "준호")
    tab = page.context.new_page()
    tab.goto(page.url)
    menu(page, "하나", "나에게서만 삭제")
    menu(page, "둘", "나에게서만 삭제")
    expect(page.get_by_role("status").filter(has_text="메시지 2개를 내 화면에서 삭제했어요")).to_be_visible()
    expect(said(tab)).to_have_count(0)
    assert violations(page, "undo") == []
    page.get_by_role("button", name="되돌리기").click()
    for one in (page, tab):
        expect(said(one)).to_have_text(["하나", "둘"])
    menu(page, "하나", "나에게서만 삭제")
    expect(page.locator("doran-timeline article")).to_be_focused()
    page.keyboard.press("ControlOrMeta+Z")
    expect(said(page)).to_have_text(["하나", "둘"])
    expect(page.get_by_role("button", name="되돌리기")).to_have_count(0)
    assert [one["is_deleted"] for one in minji.asks(conversation)["messages"]] == [False, False]


def test_what_was_deleted_is_gone_after_a_log_out_at_once(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    conversation = junho.with_(minji)
    junho.says(conversation, "하나")
    page = minji.window(chromium)
    opens(page, "준호")
    menu(page, "하나", "나에게서만 삭제")
    page.get_by_role("link", name="내 정보와 설정").click()
    page.get_by_role("button", name="로그아웃", exact=True).last.click()
    expect(page.get_by_role("button", name="로그인", exact=True)).to_be_visible()
    assert minji.asks(conversation)["messages"][0]["hidden"] is True


def test_the_marks_of_a_run_stay_when_its_last_message_goes(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    conversation = minji.with_(junho)
    minji.says(conversation, "하나", "둘", "셋")
    page, other = minji.window(chromium), junho.window(chromium)
    opens(page, "준호")
    opens(other, "민지")
    shown = page.locator("doran-timeline .mark:not(.unseen)")
    expect(shown).to_have_count(1)
    expect(shown).to_have_attribute("title", "읽음")
    menu(page, "셋", "모두에게서 삭제")
    page.get_by_role("dialog").get_by_role("button", name="삭제").click()
    expect(said(page).last).to_have_text("삭제된 메시지예요")
    expect(shown).to_have_count(1)
    expect(page.locator("doran-timeline article").nth(1).locator(".mark:not(.unseen)")).to_have_count(1)
    menu(page, "둘", "나에게서만 삭제")
    expect(page.locator("doran-timeline article").first.locator(".mark:not(.unseen)")).to_have_attribute(
        "title", "읽음"
    )
    box(page).focus()
