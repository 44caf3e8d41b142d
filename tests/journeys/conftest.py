"""A Chromium for each file of journeys; 민지 and 준호 on the `server` that the file has, new for each story."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.house.running import Running
from tests.journeys.windows import QUIET, Visitor, without_complaints

expect.set_options(timeout=30_000)  # a page on a busy machine


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def minji(server: Running) -> Iterator[Visitor]:
    yield from without_complaints(Visitor(server, "민지"))


@pytest.fixture
def junho(server: Running) -> Iterator[Visitor]:
    yield from without_complaints(Visitor(server, "준호"))
