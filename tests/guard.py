"""Tests talk to this machine only: a connection to anywhere else fails at once. The options are for CI."""

from __future__ import annotations

import ipaddress
import re
import socket
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex
_lookup = socket.getaddrinfo


class OutsideWorld(AssertionError):
    """A test tried to leave this machine."""


def _is_here(host: object) -> bool:
    if host in (None, "", "localhost"):
        return True
    text = host.decode() if isinstance(host, bytes) else str(host)
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _only_here(address: Any) -> None:
    if isinstance(address, tuple) and not _is_here(address[0]):
        raise OutsideWorld(f"a test tried to reach {address[0]}")


def connect(self: socket.socket, address: Any) -> None:
    _only_here(address)
    _connect(self, address)


def connect_ex(self: socket.socket, address: Any) -> int:
    _only_here(address)
    return _connect_ex(self, address)


def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
    _only_here((host,))
    return _lookup(host, *rest, **more)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        if kept := config.getoption("--unsteady"):
            config.pluginmanager.register(Unsteady(kept))
        if counted := config.getoption("--counted"):
            config.pluginmanager.register(Counted(counted))
    socket.socket.connect = connect  # type: ignore[method-assign, assignment]
    socket.socket.connect_ex = connect_ex  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = getaddrinfo


_AT_MOST = 2000  # characters of a failure


class Unsteady:
    """Keeps which tests are tried again, and why, over several runs of pytest."""

    def __init__(self, kept: Path) -> None:
        self._kept = kept

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == "rerun":  # type: ignore[comparison-overlap]  # a word of pytest-rerunfailures
            self._kept.parent.mkdir(exist_ok=True)
            with self._kept.open("a", encoding="utf-8") as kept:
                kept.write(f"{report.nodeid}\n{report.longreprtext[-_AT_MOST:]}\n")


class Counted:
    """Append one line to a file for each test that ran, and for each test or module that was skipped, with the reason."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._add(f"skipped\t{_reason(report)}")
        elif report.when == "call":
            self._add("ran")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._add(f"skipped\t{_reason(report)}")

    def _add(self, line: str) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return " ".join(said.removeprefix("Skipped: ").split())


_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """A fresh id or mask in a test's name would differ between the processes that share the tests."""
    is_fresh = isinstance(val, bytes) or (isinstance(val, str | uuid.UUID) and _UUID.search(str(val)))
    return argname if is_fresh else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="what this machine lacks is a failure, not a skip")
    parser.addoption("--counted", type=Path, help="a file to which is added what ran and what was skipped")
    parser.addoption("--unsteady", type=Path, help="a file to which every test that is tried again is added")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What was lost once is lost: no second try makes it good."""
    for item in items:
        if item.get_closest_marker("judged"):
            item.add_marker(pytest.mark.flaky(reruns=0))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    report = (yield).get_result()
    if not hasattr(report, "wasxfail"):
        _refuse_skip(item, report)


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, None]:
    """A whole module may be skipped, too."""
    _refuse_skip(collector, (yield).get_result())


def _refuse_skip(node: pytest.Item | pytest.Collector, report: Any) -> None:
    if report.skipped and node.config.getoption("--no-skips"):
        report.outcome = "failed"
        report.longrepr = f"{node.nodeid} was skipped, and nothing may be: {report.longrepr}"
