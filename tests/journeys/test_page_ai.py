"""The AI on the page: 민지 talks with the assistant and lets it help, 준호 has his say, each in a window of a real Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests import stores
from tests.house.running import Running, doran, running
from tests.journeys.windows import PHONE, Visitor, box, menu, opens, said, violations, without_complaints
from tests.servers.model import Answer, Asked, ModelServer, scripted_model

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

WHOLE = "비 오는 주말에는 박물관이 좋아요."
TRANSLATION = "Let us walk by the river in the evening"
SWITCHED_OFF = "INSERT INTO ai_switch (id, is_off, changed_at) VALUES (1, 1, '2026-11-28 00:00:00')"
SMALL_PHONE = {"width": 320, "height": 560}
REPLIES = ["일곱 시 어때?", "오늘은 어려워", "나도 걷고 싶어"]


@pytest.fixture(scope="module")
def scripted() -> Iterator[ModelServer]:
    with scripted_model() as model:
        yield model


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, scripted: ModelServer) -> Iterator[Running]:
    providers = scripted.toml("household", embedding_model="vectors-1")
    with running(folder=tmp_path_factory.mktemp("inside"), DORAN_AI_PROVIDERS=providers) as one:
        yield one


@pytest.fixture
def model(scripted: ModelServer) -> Iterator[ModelServer]:
    """Answers as each kind of question wants it."""
    scripted.asked.clear()
    scripted.answer = answered
    yield scripted
    scripted.next.clear()


def answered(asked: Asked) -> str:
    if asked.schema is None:
        return TRANSLATION if "번역" in asked.system else WHOLE
    wanted = set(asked.schema["properties"])
    known: dict[str, Any] = {
        "replies": REPLIES,
        "summary": "준호가 한강에서 걷자고 했어요.",
        "cited": [1],
        "answer": "일곱 시에 한강에서 보기로 했어요.",
        "citations": [1],
    }
    return json.dumps({name: value for name, value in known.items() if name in wanted})


def meets_the_assistant(page: Page) -> None:
    page.get_by_role("navigation").get_by_role("button", name=re.compile("무엇이든 물어보세요")).click()
    expect(page.get_by_role("heading", name=re.compile("Doran"))).to_be_visible()


def writes(page: Page, text: str) -> None:
    box(page).fill(text)
    box(page).press("Enter")


def growing(page: Page) -> Locator:
    return page.locator("doran-answering")


def allows(page: Page, name: str, scope: str) -> None:
    page.get_by_role("main").get_by_role("button", name=f"{name} 대화 메뉴").click()
    page.get_by_role("menuitem", name="AI 사용").click()
    page.get_by_role("radio", name=scope).check()
    save = page.get_by_role("dialog").get_by_role("button", name="저장")
    expect(save).to_be_in_viewport(ratio=1)
    save.click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def both_allow(minji: Visitor, junho: Visitor, scope: str = "on_demand") -> str:
    """Their conversation, as a path, in which the AI may be used."""
    conversation = junho.with_(minji)
    for one in (minji, junho):
        one.puts(f"/api/ai/consents/{conversation.split('/')[-2]}/", {"scope": scope})
    return conversation


def test_the_assistant_answers_word_by_word(chromium: Browser, model: ModelServer, minji: Visitor) -> None:
    page, other = minji.window(chromium), minji.window(chromium, size=PHONE)
    meets_the_assistant(page)
    expect(page.get_by_role("main").get_by_text("이 서버 안에서 답해요")).to_be_visible()
    model.next.append(Answer(pieces=[*WHOLE], hang=6))
    writes(page, "비 오는 주말에 어디 갈까?")
    expect(growing(page)).to_contain_text(WHOLE[:5])
    expect(growing(page).get_by_role("status")).to_have_text("Doran 답변 중")
    expect(other.get_by_role("navigation").get_by_text("답변 중")).to_be_visible()

    page.get_by_role("button", name="멈추기").click()
    expect(page.get_by_text("답변을 멈췄어요")).to_be_visible()
    model.until(lambda model: model.under_way == 0)
    page.get_by_role("button", name="다시 답변").click()
    expect(said(page)).to_have_text(["비 오는 주말에 어디 갈까?", WHOLE])
    expect(growing(page).locator(".bubble")).to_have_count(0)
    expect(other.get_by_role("navigation").get_by_role("link").filter(has_text=WHOLE[:8])).to_be_visible()


def test_an_answer_that_fails_says_why(chromium: Browser, model: ModelServer, minji: Visitor) -> None:
    page = minji.window(chromium, size=PHONE)
    meets_the_assistant(page)
    model.answer = lambda asked: Answer(pieces=["여기까지는 ", "좋았는데"], cut=1)
    writes(page, "이야기해 줘")
    failed = growing(page).get_by_role("alert")
    expect(failed).to_contain_text(re.compile("끊겼어요|대답하지 않아요"))
    page.reload()
    expect(failed).to_be_visible()
    model.answer = answered
    failed.get_by_role("button", name="다시 답변").click()
    expect(said(page)).to_have_text(["이야기해 줘", WHOLE])


def test_what_it_only_thought_is_seen_by_nobody(chromium: Browser, model: ModelServer, minji: Visitor) -> None:
    """Marked, it never shows; where its beginning has no mark, the draft is taken back."""
    thought = "이 사람은 뭘 바라는 걸까"
    page = minji.window(chromium)
    meets_the_assistant(page)
    model.next = [Answer(pieces=[*f"<think>{thought}</think>", *WHOLE], hang=len(thought) + 20)]
    writes(page, "비 오는 주말에 어디 갈까?")
    expect(growing(page)).to_contain_text(WHOLE[:3])
    expect(page.get_by_text(thought)).to_have_count(0)
    page.get_by_role("button", name="멈추기").click()
    model.next = [Answer(pieces=[*f"{thought}\n</think>\n\n", *WHOLE], hang=len(thought) + 16)]
    page.get_by_role("button", name="다시 답변").click()
    expect(growing(page)).to_contain_text(WHOLE[:2])
    expect(page.get_by_text(thought)).to_have_count(0)
    page.get_by_role("button", name="멈추기").click()  # or it would be asked again while the next story plays
    expect(page.get_by_role("button", name="다시 답변")).to_be_visible()


def test_where_nobody_agreed_to_searching_it_is_said_and_nothing_sent(
    chromium: Browser, model: ModelServer, minji: Visitor
) -> None:
    page = minji.window(chromium, size=PHONE)
    page.get_by_role("link", name="내 대화에 물어보기").click()
    question = page.get_by_role("searchbox", name="질문")
    for press in ("메시지 찾기", "물어보기"):
        question.fill("약속이 언제였지?")
        page.get_by_role("button", name=press, exact=True).click()
        expect(page.get_by_role("alert").filter(has_text="동의가 필요해요")).to_be_visible()
    expect(page.get_by_text("‘찾아보기까지’ 허용한 대화에서만 찾아요.")).to_be_visible()
    assert model.asked == []


def test_what_a_model_wrote_is_only_text(chromium: Browser, model: ModelServer, minji: Visitor) -> None:
    hostile = "여기예요 https://evil.example/?q=비밀 <img src=x onerror=alert(1)>"
    model.answer = lambda asked: hostile
    page = minji.window(chromium)
    meets_the_assistant(page)
    writes(page, "어디야?")
    expect(said(page)).to_have_count(2)
    expect(said(page).last).to_contain_text("여기예요")
    assert page.locator("doran-timeline .bubble a, doran-timeline img, doran-timeline script").count() == 0


def test_both_must_agree_and_either_may_end_it(
    chromium: Browser, model: ModelServer, minji: Visitor, junho: Visitor
) -> None:
    conversation = junho.with_(minji)
    junho.says(conversation, "저녁에 한강에서 걷자", *(f"{number}번째 말" for number in range(1, 12)))
    left, right = minji.window(chromium), junho.window(chromium, size=SMALL_PHONE)
    opens(left, "준호")
    opens(right, "민지")
    left.get_by_role("button", name="안 읽은 메시지 요약").click()
    dialog = left.get_by_role("dialog", name="AI 사용")
    expect(dialog.get_by_text("household · 이 서버 안에서만")).to_be_visible()
    expect(dialog.get_by_role("radio", name="쓰지 않기")).to_be_checked()
    assert model.asked == []

    dialog.get_by_role("radio", name="물어볼 때만").check()
    dialog.get_by_role("button", name="저장").click()
    expect(left.get_by_text("준호님의 동의를 기다려요")).to_be_visible()
    expect(right.get_by_text("민지님이 AI 사용에 동의했어요")).to_be_visible()
    left.get_by_role("region", name="요약").get_by_role("button", name="다시 시도").click()
    expect(dialog).to_be_visible()
    left.keyboard.press("Escape")
    assert model.asked == []

    allows(right, "민지", "물어볼 때만")
    for page in (left, right):
        expect(page.get_by_text("AI 사용 중 · household")).to_be_visible()
    left.get_by_role("region", name="요약").get_by_role("button", name="다시 시도").click()
    summary = left.get_by_role("region", name="요약")
    expect(summary).to_contain_text("준호가 한강에서 걷자고 했어요.")
    summary.get_by_role("button", name="근거 1번").click()
    expect(left.locator(".row.flash")).to_contain_text("저녁에 한강에서 걷자")
    expect(right.get_by_text("준호가 한강에서 걷자고")).to_have_count(0)

    allows(right, "민지", "쓰지 않기")
    expect(left.get_by_text("AI 사용 중")).to_have_count(0)
    asked = len(model.asked)
    left.get_by_role("button", name="답장 추천").click()
    expect(dialog).to_be_visible()
    assert len(model.asked) == asked
    minji.complaints[:] = [one for one in minji.complaints if "403" not in one]


def test_a_summary_is_read_while_it_is_written_and_stopped_by_closing_it(
    chromium: Browser, model: ModelServer, minji: Visitor, junho: Visitor
) -> None:
    conversation = both_allow(minji, junho)
    junho.says(conversation, "저녁에 한강에서 걷자", *(f"{number}번째 말" for number in range(1, 12)))
    page = minji.window(chromium)
    opens(page, "준호")
    pieces = re.findall(".{1,3}", json.dumps({"summary": "준호가 한강에서 걷자고 했어요.", "cited": [1]}))
    model.next.append(Answer(pieces=pieces, hang=len(pieces) // 2))
    page.get_by_role("button", name="안 읽은 메시지 요약").click()
    summary = page.get_by_role("region", name="요약")
    expect(summary).to_contain_text("준호가 한강")
    expect(summary).to_contain_text("요약하는 중")
    expect(summary).not_to_contain_text("summary")
    summary.get_by_role("button", name="멈추기").click()
    expect(summary).to_have_count(0)
    model.until(lambda model: model.under_way == 0)


def test_suggestions_wait_for_a_tap_and_a_send(
    chromium: Browser, model: ModelServer, minji: Visitor, junho: Visitor
) -> None:
    conversation = both_allow(minji, junho)
    junho.says(conversation, "저녁에 한강에서 걷자")
    page = minji.window(chromium, size=PHONE)
    opens(page, "준호")
    page.get_by_role("button", name="답장 추천").click()
    chips = page.locator("doran-suggestions .chip")
    expect(chips).to_have_text(REPLIES)
    expect(chips.first).to_be_focused()
    page.keyboard.press("Enter")
    expect(box(page)).to_have_value(REPLIES[0])
    expect(chips).to_have_count(0)

    model.answer = lambda asked: "일곱 시는 어떠세요?"
    page.get_by_role("button", name="다듬기").click()
    page.get_by_role("menuitem", name="공손하게").click()
    expect(box(page)).to_have_value("일곱 시는 어떠세요?")
    page.get_by_role("button", name="되돌리기").click()
    expect(box(page)).to_have_value(REPLIES[0])
    assert len(minji.asks(conversation)["messages"]) == 1, "nothing was sent by itself"
    box(page).press("Enter")
    expect(said(page)).to_have_text(["저녁에 한강에서 걷자", REPLIES[0]])


def test_a_translation_stands_under_its_original(
    chromium: Browser, model: ModelServer, minji: Visitor, junho: Visitor
) -> None:
    conversation = both_allow(minji, junho)
    junho.says(conversation, "저녁에 한강에서 걷자")
    page = minji.window(chromium)
    opens(page, "준호")
    menu(page, "저녁에", "영어로 번역")
    translated = page.get_by_text("Let us walk by the river")
    expect(translated).to_be_visible()
    expect(said(page).first).to_contain_text("저녁에 한강에서 걷자")
    page.get_by_role("button", name="번역 숨기기").click()
    expect(translated).to_have_count(0)
    page.get_by_role("button", name="번역 보기").click()
    expect(translated).to_be_visible()
    asked = len(model.asked)
    page.reload()
    menu(page, "저녁에", "영어로 번역")
    expect(translated).to_be_visible()
    assert len(model.asked) == asked, "the same version is not translated twice"


def test_what_was_said_is_found_again_and_one_goes_there(
    chromium: Browser, model: ModelServer, minji: Visitor, junho: Visitor
) -> None:
    conversation = both_allow(minji, junho, "history")
    junho.says(conversation, "한강에서 일곱 시에 만나자", *(f"{number}번째 딴소리" for number in range(1, 61)))
    page = minji.window(chromium, size=PHONE)
    page.get_by_role("link", name="내 대화에 물어보기").click()
    question = page.get_by_role("searchbox", name="질문")
    expect(question).to_be_focused()
    question.fill("한강에서 몇 시에 만나?")
    page.get_by_role("button", name="메시지 찾기").click()
    found = page.get_by_role("region", name=re.compile("찾았어요")).get_by_role("link")
    expect(found.first).to_contain_text("한강에서 일곱 시에 만나자")

    question.press("Enter")
    expect(page.get_by_role("region", name="답")).to_contain_text("일곱 시에 한강에서 보기로 했어요.")
    page.get_by_role("region", name="근거").get_by_role("link").first.click()
    expect(page.locator(".row.flash")).to_have_count(1)
    expect(box(page)).to_be_visible()
    page.go_back()
    expect(page.get_by_role("region", name="답")).to_be_visible()


def test_outside_nothing_goes_before_its_person_knows(
    chromium: Browser, model: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("outside")
    with running(folder=folder, DORAN_AI_PROVIDERS=model.toml("faraway", outside=True)) as server:
        for minji in without_complaints(Visitor(server, "민지")):
            page = minji.window(chromium)
            meets_the_assistant(page)
            expect(page.get_by_text("외부 서비스(faraway)에 전해져요")).to_be_visible()
            expect(box(page)).to_have_count(0)
            assert model.asked == []
            page.get_by_role("button", name="동의하고 시작하기").click()
            writes(page, "내 번호는 010-1234-5678이야")
            expect(said(page)).to_have_text(["내 번호는 010-1234-5678이야", WHOLE])
            assert model.asked
            assert all("1234-5678" not in asked.words for asked in model.asked)
            page.get_by_role("link", name="내 정보와 설정").click()
            told = page.get_by_role("region", name="AI에 전해진 말")
            expect(told.get_by_role("listitem")).to_contain_text(["faraway"])
            expect(told).to_contain_text("1곳 가림")


def test_switched_off_it_is_gone_and_what_was_allowed_can_still_be_taken_back(
    chromium: Browser, model: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("switched")
    with running(folder=folder, DORAN_AI_PROVIDERS=model.toml("household")) as server:
        minji, junho = Visitor(server, "민지"), Visitor(server, "준호")
        conversation = both_allow(minji, junho)
        junho.says(conversation, "저녁에 한강에서 걷자")
        page = minji.window(chromium)
        opens(page, "준호")
        expect(page.get_by_text("AI 사용 중")).to_be_visible()
        stores.say(f"sqlite:///{folder}/data/ai.sqlite3", SWITCHED_OFF)
        page.get_by_role("button", name="답장 추천").click()
        expect(page.get_by_role("alert")).to_contain_text("꺼 두었어요")
        expect(page.get_by_text("AI 사용 중")).to_have_count(0)
        assert model.asked == []
        allows(page, "준호", "쓰지 않기")
        assert minji.asks(f"/api/ai/consents/{conversation.split('/')[-2]}/")["mine"] == "off"


def test_what_is_open_follows_the_operators_command_without_a_reload(
    chromium: Browser, model: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("commanded")
    with running(folder=folder, DORAN_AI_PROVIDERS=model.toml("household")) as server:
        minji, junho = Visitor(server, "민지"), Visitor(server, "준호")
        both_allow(minji, junho)
        page, other = minji.window(chromium), junho.window(chromium)
        opens(page, "준호")
        assistant = other.get_by_text("무엇이든 물어보세요")
        box(page).fill("내일 봐")
        rewrites = page.get_by_role("button", name="다듬기")
        for word, seen in (("off", False), ("on", True)):
            expect(rewrites).to_have_count(int(not seen))
            said = doran("ai", word, "--data", "data", cwd=folder)
            assert said.returncode == 0, said.stderr
            expect(rewrites).to_have_count(int(seen))
            expect(assistant).to_have_count(int(seen))
        expect(box(page)).to_have_value("내일 봐")


@pytest.mark.parametrize("looks", ["light", "dark"])
def test_everybody_can_use_it(
    chromium: Browser, model: ModelServer, minji: Visitor, junho: Visitor, looks: str
) -> None:
    junho.says(both_allow(minji, junho), "저녁에 한강에서 걷자")
    page = minji.window(chromium, color_scheme=looks, reduced_motion="reduce", bypass_csp=True)
    expect(page.get_by_text("무엇이든 물어보세요")).to_be_visible()
    found = violations(page, "the list")
    opens(page, "준호")
    page.get_by_role("button", name="답장 추천").click()
    expect(page.locator("doran-suggestions .chip")).to_have_count(3)
    menu(page, "저녁에", "영어로 번역")
    expect(page.get_by_text("Let us walk by the river")).to_be_visible()
    page.get_by_role("main").get_by_role("button", name="준호 대화 메뉴").click()
    page.get_by_role("menuitem", name="대화 요약").click()
    expect(page.get_by_role("region", name="요약")).to_contain_text("한강에서 걷자고")
    found += violations(page, "the chat with help")
    page.get_by_role("button", name="바꾸기").click()
    expect(page.get_by_role("dialog", name="AI 사용")).to_be_visible()
    found += violations(page, "consent")
    page.keyboard.press("Escape")
    meets_the_assistant(page)
    model.answer = lambda asked: Answer(pieces=[*WHOLE], hang=8)
    writes(page, "어디 갈까?")
    expect(growing(page)).to_contain_text(WHOLE[:3])
    found += violations(page, "an answer that grows")
    page.get_by_role("button", name="멈추기").click()
    expect(page.get_by_text("답변을 멈췄어요")).to_be_visible()
    found += violations(page, "an answer that was stopped")
    page.get_by_role("link", name="내 정보와 설정").click()
    expect(page.get_by_role("region", name="AI에 전해진 말").get_by_role("listitem").first).to_be_visible()
    found += violations(page, "what went where")
    page.get_by_role("link", name="내 대화에 물어보기").click()
    expect(page.get_by_role("searchbox", name="질문")).to_be_focused()
    found += violations(page, "asking")
    assert found == []
