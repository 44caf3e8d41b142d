"""What is typed, and who is gone: names with new emoji, text exactly as written, deleted messages and deleted accounts."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.house.running import Running, running
from tests.journeys.windows import PASSWORD, PHONE, Visitor, box, opens, said

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(folder=tmp_path_factory.mktemp("typed")) as one:
        yield one


def test_a_name_with_what_the_keyboard_offers(chromium: Browser, minji: Visitor, junho: Visitor) -> None:
    page = minji.window(chromium)
    page.get_by_role("link", name="설정").click()
    for name in (
        "민지 🩷",
        "민지 🙂‍↔️\U0001faea",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f 민지",
    ):
        page.get_by_label("이름", exact=True).fill(name)
        page.get_by_role("button", name="저장").click()
        expect(page.locator(".self strong")).to_have_text(name)
    page.get_by_label("이름", exact=True).fill("민\u3164지")
    page.get_by_role("button", name="저장").click()
    expect(page.get_by_text("눈에 보이는 글자로 100자까지 써 주세요.")).to_be_visible()
    assert minji.asks("/api/core/users/me/")["profile"]["display_name"] == name
    minji.complaints[:] = [one for one in minji.complaints if "422" not in one]


def test_long_decomposed_words_and_blanks_behind_are_sent_and_read_as_they_were_typed(
    chromium: Browser, minji: Visitor, junho: Visitor
) -> None:
    place = minji.with_(junho)
    junho.says(place, "뭐라고?")
    page = minji.window(chromium)
    opens(page, "준호")
    apart = unicodedata.normalize("NFD", "각" * 1500)
    indented = "  들여 쓴 말\n\n\uf914\uf9b4"
    for typed in (apart, "가" * 3990 + " " * 300, f"\n\n{indented} \n"):
        box(page).fill(typed)
        page.keyboard.press("Enter")
        expect(box(page)).to_have_value("")
        expect(page.locator("doran-timeline .refusal")).to_have_count(0)
    expect(said(page)).to_have_count(4)
    expect(page.locator("doran-timeline .late")).to_have_count(0)
    read = [one["content"] for one in junho.asks(place)["messages"]]
    assert read == ["뭐라고?", apart, "가" * 3990, indented]


def test_deleted_messages_are_not_unread_in_list_divider_and_title(
    chromium: Browser, minji: Visitor, junho: Visitor
) -> None:
    place = minji.with_(junho)
    junho.says(place, "잘못 보냈어", "이것도", "오늘 볼래?")
    page = minji.window(chromium)
    expect(page).to_have_title("(1) 도란")
    for message in junho.asks(place)["messages"][:2]:
        status, _ = junho.server.asks(f"/api/chat/messages/{message['id']}/", token=junho.token, method="DELETE")
        assert status < 300
    expect(page.get_by_text("안 읽은 메시지 1개")).to_be_attached()
    other = minji.window(chromium, size=PHONE)
    opens(other, "준호")
    divider = other.locator("doran-timeline .divider")
    expect(divider).to_be_visible()
    expect(divider.locator("xpath=following::article[1]")).to_contain_text("오늘 볼래?")


def test_an_erased_person_is_a_deleted_account_and_the_next_of_that_name_another(
    chromium: Browser, server: Running, minji: Visitor
) -> None:
    junho = Visitor(server, "준호")
    place = minji.with_(junho)
    junho.says(place, "나 탈퇴해")
    page = minji.window(chromium)
    opens(page, "준호")
    status, _ = server.asks("/api/core/users/me/", {"password": PASSWORD}, token=junho.token, method="DELETE")
    assert status == 204
    expect(page.get_by_role("heading", name="삭제된 계정")).to_be_visible()
    expect(page.get_by_text("같은 이름을 쓰는 사람이 있어도 다른 사람이에요.")).to_be_visible()
    expect(said(page)).to_have_text(["나 탈퇴해"])
    expect(page.get_by_text("삭제된 계정과의 대화가 여기서 시작돼요")).to_be_visible()
    named = {"username": junho.username, "password": PASSWORD}
    assert server.asks("/api/core/users/", named)[1]["code"] == "username_taken"
    stranger = Visitor(server, "준호")
    stranger.says(stranger.with_(minji), "안녕, 나야")
    links = page.get_by_role("navigation").get_by_role("link")
    expect(links.filter(has_text="안녕, 나야")).to_contain_text("준호")
    expect(links.filter(has_text="나 탈퇴해")).to_contain_text("삭제된 계정")
    expect(links.filter(has_text="나 탈퇴해")).not_to_contain_text("준호")
    page.reload()
    expect(links.filter(has_text="나 탈퇴해")).to_contain_text("삭제된 계정")
    minji.complaints[:] = [one for one in minji.complaints if "404" not in one]
