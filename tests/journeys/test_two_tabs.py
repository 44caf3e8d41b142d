"""민지 in two tabs of one browser, and on a second device: one truth about who she is, what waits and what she writes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect

from tests.house.running import Running, running
from tests.journeys.windows import PASSWORD, PHONE, Visitor, box, menu, opens, said

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(folder=tmp_path_factory.mktemp("tabs")) as one:
        yield one


def tab_beside(page: Page, url: str) -> Page:
    """Another tab of the same browser."""
    tab = page.context.new_page()
    tab.goto(url)
    return tab


def test_a_draft_is_in_every_tab_and_on_every_device_and_a_sent_one_in_none(
    chromium: Browser, server: Running, minji: Visitor, junho: Visitor
) -> None:
    junho.says(junho.with_(minji), "어디야?")
    left = minji.window(chromium)
    phone = minji.window(chromium, size=PHONE)
    opens(left, "준호")
    right = tab_beside(left, left.url)
    opens(phone, "준호")
    box(left).press_sequentially("지금 가고")
    expect(box(right)).to_have_value("지금 가고")
    expect(box(phone)).to_have_value("지금 가고")
    box(right).focus()
    right.keyboard.press("End")
    right.keyboard.type(" 있어")
    expect(box(left)).to_have_value("지금 가고 있어")
    right.keyboard.press("Enter")
    expect(said(left)).to_have_text(["어디야?", "지금 가고 있어"])
    for window in (left, right, phone):
        expect(box(window)).to_have_value("")


def test_what_was_typed_a_moment_before_closing_is_still_there(
    chromium: Browser, server: Running, minji: Visitor, junho: Visitor
) -> None:
    junho.says(junho.with_(minji), "어디야?")
    left = minji.window(chromium)
    opens(left, "준호")
    address = left.url
    anchor = left.context.new_page()
    box(left).fill("지금 막 쓴 말")
    left.close()
    right = tab_beside(anchor, address)
    expect(box(right)).to_have_value("지금 막 쓴 말")


def test_what_was_typed_offline_is_there_after_a_reload(
    chromium: Browser, server: Running, minji: Visitor, junho: Visitor
) -> None:
    junho.says(junho.with_(minji), "어디야?")
    left = minji.window(chromium)
    opens(left, "준호")
    address = left.url
    left.context.set_offline(True)
    box(left).fill("터널에서 쓴 말")
    anchor = left.context.new_page()
    left.close()
    anchor.context.set_offline(False)
    right = tab_beside(anchor, address)
    expect(box(right)).to_have_value("터널에서 쓴 말")
    phone = minji.window(chromium, size=PHONE)
    opens(phone, "준호")
    expect(box(phone)).to_have_value("터널에서 쓴 말")


def test_a_tab_closed_while_its_log_in_is_renewed_costs_no_log_in(
    chromium: Browser, server: Running, minji: Visitor, junho: Visitor
) -> None:
    """Each page renews as it opens. The server has answered, and the answer never comes."""
    junho.says(junho.with_(minji), "어디야?")
    left = minji.window(chromium)
    anchor = left.context.new_page()
    answered: list[int] = []

    def loses(route: Route) -> None:
        answered.append(route.fetch().status)

    for _ in range(2):
        doomed = left.context.new_page()
        doomed.route("**/tokens/refresh/", loses)
        before = len(answered)
        if before == 0:
            left.close()  # whoever has a token would lend it
        doomed.goto(server.url)
        while len(answered) == before:
            doomed.wait_for_timeout(20)
        doomed.close()
        assert answered[before:] == [200]
    right = tab_beside(anchor, server.url)
    opens(right, "준호")
    assert len(minji.asks("/api/core/sessions/")["results"]) == 2


def logs_in(page: Page, visitor: Visitor) -> None:
    page.get_by_label("아이디").fill(visitor.username)
    page.locator("#password").fill(PASSWORD)
    page.locator("#password").press("Enter")
    expect(page.get_by_role("heading", name="대화", exact=True)).to_be_visible()


def test_a_log_in_wakes_the_other_tabs(chromium: Browser, server: Running, minji: Visitor, junho: Visitor) -> None:
    junho.says(junho.with_(minji), "어디야?")
    left = chromium.new_context(locale="ko-KR").new_page()
    left.goto(server.url)
    expect(left.locator("#password")).to_be_visible()
    right = tab_beside(left, server.url)
    expect(right.locator("#password")).to_be_visible()
    logs_in(right, minji)
    opens(left, "준호")
    expect(said(left)).to_have_text(["어디야?"])


DEAF = "Object.defineProperty(BroadcastChannel.prototype, 'onmessage', { set: () => {} })"


def test_somebody_elses_log_in_ends_who_was_there(
    chromium: Browser, server: Running, minji: Visitor, junho: Visitor
) -> None:
    sora = Visitor(server, "소라")
    sora.says(sora.with_(minji), "민지야")
    right = chromium.new_context(locale="ko-KR").new_page()
    right.add_init_script(DEAF)  # it slept while 민지 logged in, and still shows the form
    right.goto(server.url)
    expect(right.locator("#password")).to_be_visible()
    left = right.context.new_page()
    left.goto(server.url)
    logs_in(left, minji)
    opens(left, "소라")
    box(left).fill("소라에게 쓰던 말")
    assert len(minji.asks("/api/core/sessions/")["results"]) == 2

    logs_in(right, sora)
    opens(left, "민지")
    expect(said(left)).to_have_text(["민지야"])
    expect(box(left)).to_have_value("")
    left.get_by_role("link", name="내 정보와 설정").click()
    expect(left.get_by_label("이름")).to_have_value("소라")
    assert len(minji.asks("/api/core/sessions/")["results"]) == 1  # the window's has ended on the server


def test_an_edit_and_a_reply_wait_while_one_looks_elsewhere(
    chromium: Browser, server: Running, minji: Visitor, junho: Visitor
) -> None:
    sora = Visitor(server, "소라")
    sora.says(sora.with_(minji), "민지야")
    his = junho.with_(minji)
    junho.says(his, "몇 시?")
    minji.says(his, "여섯 시")
    left = minji.window(chromium)
    opens(left, "준호")
    menu(left, "몇 시?", "답장")
    left.keyboard.type("음")
    opens(left, "소라")
    opens(left, "준호")
    expect(left.locator("doran-composer .above")).to_contain_text("몇 시?")
    expect(box(left)).to_have_value("음")
    menu(left, "여섯 시", "수정")
    left.keyboard.type(" 반")
    opens(left, "소라")
    left.reload()
    opens(left, "준호")
    expect(box(left)).to_have_value("여섯 시 반")
    left.keyboard.press("Enter")
    expect(said(left)).to_have_text(["몇 시?", "여섯 시 반"])
    expect(box(left)).to_have_value("음")
    expect(left.locator("doran-composer .above")).to_contain_text("몇 시?")


def test_an_edit_whose_message_goes_keeps_its_words(
    chromium: Browser, server: Running, minji: Visitor, junho: Visitor
) -> None:
    minji.says(minji.with_(junho), "여섯 시")
    left = minji.window(chromium)
    opens(left, "준호")
    right = tab_beside(left, left.url)
    menu(left, "여섯 시", "수정")
    left.keyboard.type(" 반에 보자")
    menu(right, "여섯 시", "모두에게서 삭제")
    right.get_by_role("button", name="삭제", exact=True).click()
    expect(said(left)).to_have_text(["삭제된 메시지예요"])
    expect(left.locator("doran-composer .above")).to_have_count(0)
    for tab in (left, right):
        expect(box(tab)).to_have_value("여섯 시 반에 보자")


def test_a_refused_message_goes_back_into_the_box(
    chromium: Browser, server: Running, minji: Visitor, junho: Visitor
) -> None:
    junho.says(junho.with_(minji), "안녕")
    left = minji.window(chromium)
    left.route_web_socket("**/ws/", refusing)
    left.reload()
    opens(left, "준호")
    right = tab_beside(left, left.url)
    expect(said(right)).to_have_text(["안녕"])
    box(left).fill("거절될 말")
    left.keyboard.press("Enter")
    for tab in (left, right):
        expect(tab.get_by_role("alert")).to_contain_text("보내지 못했어요")
    left.get_by_role("button", name="고쳐 쓰기").click()
    for tab in (left, right):
        expect(tab.get_by_role("alert")).to_have_count(0)
        expect(box(tab)).to_have_value("거절될 말")
    expect(box(left)).to_be_focused()
    right.get_by_role("button", name="보내기", exact=True).click()
    expect(said(left)).to_have_text(["안녕", "거절될 말"])


def refusing(socket: WebSocketRoute) -> None:
    """A server that refuses every message for good."""
    server = socket.connect_to_server()

    def passes(text: str | bytes) -> None:
        frame = json.loads(text)
        if frame["type"] == "chat_message":
            socket.send(json.dumps({"type": "error", "ref": frame["ref"], "code": "validation_failed", "detail": ""}))
        else:
            server.send(text)

    socket.on_message(passes)


def test_a_block_and_a_look_are_the_same_in_every_tab(
    chromium: Browser, server: Running, minji: Visitor, junho: Visitor
) -> None:
    junho.says(junho.with_(minji), "안녕")
    left = minji.window(chromium)
    opens(left, "준호")
    right = tab_beside(left, left.url)
    expect(box(right)).to_be_visible()
    left.get_by_role("main").get_by_role("button", name="준호 대화 메뉴").click()
    left.get_by_role("menuitem", name="차단", exact=True).click()
    left.get_by_role("button", name="차단", exact=True).click()
    for tab in (left, right):
        expect(tab.get_by_role("main").get_by_role("button", name="차단 해제")).to_be_visible()
    right.get_by_role("main").get_by_role("button", name="차단 해제").click()
    for tab in (left, right):
        expect(box(tab)).to_be_visible()
    settings = tab_beside(left, f"{server.url}/#/me")
    settings.get_by_label("어둡게", exact=True).check()
    for tab in (left, right):
        expect(tab.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_new_name_reaches_every_open_list_and_header(
    chromium: Browser, server: Running, minji: Visitor, junho: Visitor
) -> None:
    minji.says(minji.with_(junho), "나 이름 바꿀 거야")
    his_list, his_chat = junho.window(chromium, size=PHONE), junho.window(chromium)
    opens(his_chat, "민지")
    hers = minji.window(chromium)
    settings = tab_beside(hers, f"{server.url}/#/me")
    expect(settings.get_by_label("이름")).to_have_value("민지")
    hers.get_by_role("link", name="내 정보와 설정").click()
    hers.get_by_label("이름").fill("김민지")
    hers.get_by_role("button", name="저장").click()
    expect(his_list.get_by_role("navigation").get_by_role("link")).to_contain_text("김민지")
    expect(his_chat.get_by_role("main").get_by_role("heading", name="김민지")).to_be_visible()
    expect(settings.get_by_label("이름")).to_have_value("김민지")


def test_the_title_counts_what_the_list_shows(
    chromium: Browser, server: Running, minji: Visitor, junho: Visitor
) -> None:
    sora = Visitor(server, "소라")
    his, hers = junho.with_(minji), sora.with_(minji)
    junho.says(his, "하나")
    sora.says(hers, "둘")
    left = minji.window(chromium)
    expect(left).to_have_title("(2) 도란")
    chooses(left, "소라", "보관")
    expect(left).to_have_title("(1) 도란")
    expect(left.get_by_role("button", name="보관한 대화 1개")).to_contain_text("대화 1개에 안 읽은 메시지")
    right = tab_beside(left, server.url)
    expect(right).to_have_title("(1) 도란")
    chooses(left, "준호", "알림 끄기")
    for tab in (left, right):
        expect(tab).to_have_title("도란")
    sora.says(hers, "셋")
    junho.says(his, "넷")
    expect(left.get_by_role("navigation").get_by_role("link").filter(has_text="준호")).to_contain_text(
        "안 읽은 메시지 2개"
    )
    expect(left).to_have_title("도란")
    chooses(left, "준호", "알림 켜기")
    chooses(left, "준호", "읽음으로 표시")
    expect(left).to_have_title("도란")
    chooses(left, "준호", "안 읽음으로 표시")
    for tab in (left, right):
        expect(tab).to_have_title("(1) 도란")


def chooses(page: Page, name: str, choice: str) -> None:
    """An entry of the menu of somebody's line in the list."""
    line = page.get_by_role("navigation").get_by_role("listitem").filter(has_text=name)
    line.click(button="right")
    page.get_by_role("menuitem", name=choice, exact=True).click()
