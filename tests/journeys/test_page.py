"""민지 and 준호 on the page, each in a window of a real Chromium; 소라 looks in from outside."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.house.running import Running, running
from tests.journeys.windows import PHONE, Visitor, box, menu, opens, said, violations, word

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

ROWS_AT_MOST = 200
COLOUR = "one => getComputedStyle(one).backgroundColor"
NO_MOUSE = "const asked = matchMedia; window.matchMedia = (query) => asked(query.replace(/pointer: \\w+/, 'width: 0'))"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(folder=tmp_path_factory.mktemp("page")) as one:
        yield one


def test_two_people_meet_and_talk(chromium: Browser, server: Running, minji: Visitor, junho: Visitor) -> None:
    left = minji.window(chromium)
    right = junho.window(chromium, size=PHONE)
    left.get_by_role("button", name="사람 찾기").first.click()
    left.get_by_placeholder("아이디").fill(junho.username)
    left.get_by_role("button", name="찾기", exact=True).click()
    left.get_by_role("button", name="대화하기").click()
    box(left).fill("준호야, 저녁에 한강에서 걷자")
    box(left).press("Enter")

    link = right.get_by_role("navigation").get_by_role("link").filter(has_text="민지")
    expect(link).to_contain_text("안 읽은 메시지 1개")
    expect(left.locator(".mark")).to_have_attribute("title", "도착")
    opens(right, "민지")
    expect(said(right)).to_have_text(["준호야, 저녁에 한강에서 걷자"])
    expect(left.locator(".mark")).to_have_attribute("title", "읽음")

    box(right).press_sequentially("좋아")
    expect(left.get_by_role("main").get_by_text("입력 중")).to_be_visible()
    right.get_by_role("button", name="보내기").click()
    expect(said(left)).to_have_text(["준호야, 저녁에 한강에서 걷자", "좋아"])
    expect(left.get_by_role("main").get_by_text("입력 중")).to_have_count(0)


def test_a_message_is_answered_changed_and_taken_back(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    junho.says(junho.with_(minji), "몇 시에 볼까?")
    left, right = minji.window(chromium), junho.window(chromium)
    opens(left, "준호")
    opens(right, "민지")
    menu(left, "몇 시에 볼까?", "답장")
    expect(box(left)).to_be_focused()
    left.keyboard.type("여섯 시")
    left.keyboard.press("Enter")
    expect(said(right).last.get_by_role("button")).to_contain_text("몇 시에 볼까?")

    box(left).press("ArrowUp")
    expect(box(left)).to_have_value("여섯 시")
    box(left).fill("일곱 시")
    box(left).press("Enter")
    expect(said(right).last).to_contain_text("일곱 시")
    expect(right.get_by_text("수정됨")).to_be_visible()

    menu(left, "일곱 시", "모두에게서 삭제")
    left.get_by_role("dialog").get_by_role("button", name="삭제").click()
    expect(said(right).last).to_have_text("삭제된 메시지예요")
    menu(left, "몇 시에 볼까?", "나에게서만 삭제")
    expect(said(left)).to_have_text(["삭제된 메시지예요"])
    expect(said(right).first).to_have_text("몇 시에 볼까?")


def test_enter_sends_the_syllable_one_sees_once(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    conversation = minji.with_(junho)
    page = minji.window(chromium)
    opens(page, "준호")
    box(page).focus()
    hands = page.context.new_cdp_session(page)

    def compose(*steps: str) -> None:
        for step in steps:
            hands.send("Input.imeSetComposition", {"text": step, "selectionStart": 1, "selectionEnd": 1})

    def press(kind: str, key: int) -> None:
        more = {"text": "\r"} if kind == "keyDown" else {}
        hands.send("Input.dispatchKeyEvent", {"type": kind, "key": "Enter", "windowsVirtualKeyCode": key, **more})

    compose("ㅇ", "아", "안")
    hands.send("Input.insertText", {"text": "안"})
    compose("ㄴ", "녀", "녕")
    press("rawKeyDown", 229)
    hands.send("Input.insertText", {"text": "녕"})
    press("keyDown", 13)
    press("keyUp", 13)
    expect(said(page)).to_have_text(["안녕"])
    compose("ㄱ", "가")
    page.get_by_role("button", name="보내기").click()
    expect(said(page)).to_have_text(["안녕", "가"])
    expect(page.locator(".pending")).to_have_count(0)
    expect(box(page)).to_have_value("")
    assert [one["content"] for one in minji.asks(conversation)["messages"]] == ["안녕", "가"]


@pytest.mark.judged
def test_what_is_written_without_a_network_arrives_once(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    conversation = minji.with_(junho)
    page = minji.window(chromium)
    opens(page, "준호")
    page.context.set_offline(True)
    for text in ("터널 안에서", "아직 터널"):
        box(page).fill(text)
        box(page).press("Enter")
    expect(page.get_by_role("status").filter(has_text="메시지 2개가 기다리고 있어요")).to_be_visible()
    expect(page.get_by_text("연결되면 보내요")).to_have_count(2)
    assert minji.asks(conversation)["messages"] == []

    page.keyboard.press("Shift+Tab")
    expect(page.locator("doran-timeline article").last).to_be_focused()
    page.context.set_offline(False)
    expect(page.locator(".pending")).to_have_count(0)
    expect(
        page.locator("doran-timeline article").last
    ).to_be_focused()  # it is drawn anew, and whoever stood on it stays there
    expect(said(page)).to_have_text(["터널 안에서", "아직 터널"])
    assert [one["content"] for one in junho.asks(conversation)["messages"]] == ["터널 안에서", "아직 터널"]


def test_a_long_conversation_stays_light_down_to_its_first_word(
    chromium: Browser, minji: Visitor, junho: Visitor
) -> None:
    conversation = minji.with_(junho)
    minji.says(conversation, *(f"{number}번째 말" for number in range(1, 421)))
    page = minji.window(chromium)
    opens(page, "준호")
    expect(word(page, "420번째 말")).to_be_in_viewport()
    page.mouse.move(760, 400)
    beginning = page.get_by_text("여기서 시작돼요")
    for _ in range(200):
        page.mouse.wheel(0, -1_500)
        page.evaluate("() => new Promise(requestAnimationFrame)")
        assert page.locator("doran-timeline [data-seq]").count() <= ROWS_AT_MOST
        if beginning.count() and page.locator(".scroller").evaluate("one => one.scrollTop") == 0:
            break
    expect(word(page, "1번째 말")).to_be_in_viewport()
    page.get_by_role("button", name="최신 메시지로").click()
    expect(word(page, "420번째 말")).to_be_in_viewport()


def test_the_keyboard_reads_back_to_the_first_word(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    minji.says(minji.with_(junho), *(f"{number}번째 말" for number in range(1, 281)))
    page = minji.window(chromium)
    opens(page, "준호")
    expect(word(page, "280번째 말")).to_be_in_viewport()
    page.keyboard.press("Shift+Tab")
    beginning = page.get_by_text("여기서 시작돼요")
    for _ in range(200):
        page.keyboard.press("PageUp")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        if beginning.count() and page.locator(".scroller").evaluate("one => one.scrollTop") == 0:
            break
    expect(word(page, "1번째 말")).to_be_in_viewport()
    expect(page.locator("doran-timeline article:focus")).to_have_count(1)


def test_one_begins_to_read_where_one_stopped(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    conversation = junho.with_(minji)
    junho.says(conversation, *(f"{number}번째 말" for number in range(1, 81)))
    page = minji.window(chromium, size=PHONE)
    opens(page, "준호")
    expect(page.get_by_text("여기부터 새 메시지")).to_be_in_viewport()
    expect(word(page, "1번째 말")).to_be_in_viewport()
    unread = minji.asks(conversation)["unread_count"]
    assert unread > 40, "what was not in sight is not read"
    page.get_by_role("button", name=re.compile("새 메시지 .*개")).click()
    expect(word(page, "80번째 말")).to_be_in_viewport()
    expect(page.get_by_role("button", name=re.compile("새 메시지 .*개"))).to_have_count(0)


def test_the_last_word_stays_in_sight_while_the_box_grows(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    minji.says(minji.with_(junho), *(f"{number}번째 말" for number in range(1, 31)))
    page = minji.window(chromium, size=PHONE)
    opens(page, "준호")
    for line in ("하나", "둘", "셋", "넷"):
        box(page).press_sequentially(line)
        box(page).press("Shift+Enter")
        page.evaluate("() => new Promise(requestAnimationFrame)")
    expect(word(page, "30번째 말")).to_be_in_viewport(ratio=1)
    expect(page.get_by_role("button", name="최신 메시지로")).to_have_count(0)


def test_words_stay_words(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    conversation = junho.with_(minji)
    junho.says(
        conversation,
        "<img src=x onerror=alert(1)><script>alert(2)</script>",
        "javascript:alert(3)",
        "여기 https://example.org/길 봐",
    )
    page = minji.window(chromium, size=PHONE)
    opens(page, "준호")
    expect(said(page).first).to_have_text("<img src=x onerror=alert(1)><script>alert(2)</script>")
    links = said(page).get_by_role("link")
    expect(links).to_have_count(1)
    expect(links).to_have_attribute("rel", "noopener noreferrer nofollow")
    assert page.locator("doran-timeline img, doran-timeline script").count() == 0


def test_nothing_of_the_ai_is_there_without_a_provider(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    junho.says(junho.with_(minji), "안녕", *(f"{number}번째 말" for number in range(1, 20)))
    page = minji.window(chromium)
    opens(page, "준호")
    expect(page.get_by_text("여기부터 새 메시지")).to_be_visible()
    box(page).fill("응")
    for name in ("답장 추천", "다듬기", "요약", "물어보"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
        expect(page.get_by_role("link", name=name)).to_have_count(0)
    page.get_by_role("main").get_by_role("button", name="준호 대화 메뉴").click()
    expect(page.get_by_role("menuitem")).to_have_text(["위에 고정", "알림 끄기", "보관", "대화 내용 비우기", "차단"])
    page.keyboard.press("Escape")
    page.get_by_role("link", name="내 정보와 설정").click()
    expect(page.get_by_text("이 기기")).to_be_visible()
    expect(page.get_by_text("AI")).to_have_count(0)


def test_sora_finds_nothing_at_their_address(
    chromium: Browser, server: Running, minji: Visitor, junho: Visitor
) -> None:
    conversation = minji.with_(junho)
    minji.says(conversation, "우리끼리 하는 말")
    sora = Visitor(server, "소라")
    page = sora.window(chromium)
    page.goto(f"{server.url}/#/c/{conversation.split('/')[-2]}")
    expect(page.get_by_text("이 대화를 찾을 수 없어요")).to_be_visible()
    expect(page.get_by_text("우리끼리 하는 말")).to_have_count(0)


def test_ending_a_session_closes_its_window_and_keeps_the_other(chromium: Browser, minji: Visitor) -> None:
    phone, desk = minji.window(chromium, size=PHONE), minji.window(chromium)
    desk.get_by_role("link", name="내 정보와 설정").click()
    devices = desk.get_by_role("listitem").filter(has_text="Chrome").filter(has_not_text="이 기기")
    expect(devices).to_have_count(1)
    devices.get_by_role("button").click()
    expect(desk.get_by_text("그 기기를 로그아웃했어요")).to_be_visible()
    expect(phone.get_by_text("로그인이 끝났어요")).to_be_visible()
    minji.complaints[:] = [one for one in minji.complaints if "401" not in one]


@pytest.mark.parametrize("looks", ["light", "dark"])
def test_everybody_can_use_it(chromium: Browser, minji: Visitor, junho: Visitor, looks: str) -> None:
    junho.says(junho.with_(minji), "안녕")
    page = minji.window(chromium, color_scheme=looks, reduced_motion="reduce", bypass_csp=True)
    found = list(violations(page, "the list"))
    opens(page, "준호")
    expect(said(page)).to_have_text(["안녕"])
    found += violations(page, "the chat")
    page.get_by_role("main").get_by_role("button", name="준호 대화 메뉴").click()
    found += violations(page, "a menu")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="내 정보와 설정").click()
    expect(page.get_by_text("이 기기")).to_be_visible()
    found += violations(page, "me")
    assert found == []


def test_what_is_chosen_shows_without_colours(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    junho.says(junho.with_(minji), "안녕")
    page = minji.window(chromium, forced_colors="active")
    junho.window(chromium)
    opens(page, "준호")
    expect(page.locator("doran-list li.chosen")).to_have_css("outline-style", "solid")
    here, ground = page.locator("doran-list .here"), page.locator("doran-list li.chosen")
    expect(here).to_be_visible()
    assert here.evaluate(COLOUR) not in (ground.evaluate(COLOUR), page.locator("body").evaluate(COLOUR))
    page.get_by_role("link", name="내 정보와 설정").click()
    expect(page.get_by_role("radio", name="한국어").locator("+ span")).to_have_css("outline-style", "solid")


def test_the_keyboard_alone_is_enough(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    junho.says(junho.with_(minji), "안녕")
    page = minji.window(chromium)
    page.add_init_script(NO_MOUSE)
    page.reload()
    expect(page.get_by_role("navigation", name="대화").get_by_role("link")).to_have_count(1)
    page.get_by_role("link", name="내 정보와 설정").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(box(page)).to_be_focused()
    page.keyboard.type("반가워")
    page.keyboard.press("Enter")
    expect(said(page)).to_have_text(["안녕", "반가워"])
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="답장")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("응")
    page.keyboard.press("Enter")
    expect(said(page).last.get_by_role("button")).to_contain_text("안녕")


def test_nothing_is_wider_than_a_phone(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    junho.says(junho.with_(minji), "가" * 900, "a" * 300, "https://example.org/" + "b" * 200)
    page = minji.window(chromium, size=PHONE)
    opens(page, "준호")
    expect(said(page)).to_have_count(3)
    scroller = page.locator("doran-timeline .scroller")
    assert scroller.evaluate("one => one.scrollWidth - one.clientWidth") == 0
    assert page.evaluate("() => document.scrollingElement.scrollWidth") == PHONE["width"]
