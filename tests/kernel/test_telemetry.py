"""What the operator sees: one trace id, logs without content, metrics without people, honest health."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from doran.contracts import frames
from doran.kernel import config, telemetry
from doran.kernel.telemetry import answers, health, logs, metrics, providers

pytestmark = pytest.mark.stateless

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

# -- the trace --------------------------------------------------------------------------------------


def test_a_trace_from_outside_is_taken_on_and_sent_on() -> None:
    with telemetry.with_trace(telemetry.incoming(f"00-{TRACE}-00f067aa0ba902b7-01")):
        assert telemetry.trace_id() == TRACE
        version, trace, span, flags = telemetry.traceparent().split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert span != "00f067aa0ba902b7"
    assert len(span) == 16
    assert telemetry.trace_id() == ""


def test_a_trace_of_a_later_version_is_understood() -> None:
    assert telemetry.incoming(f"01-{TRACE}-00f067aa0ba902b7-01-what-comes-later") == TRACE


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "hello",
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-01-more",
        f"00-{TRACE}-00f067aa0ba902b7",
        f"00-{TRACE}\n-00f067aa0ba902b7-01",
    ],
)
def test_a_trace_that_is_none_begins_anew(header: str | None) -> None:
    begun = telemetry.incoming(header)
    assert begun != telemetry.incoming(header)
    assert telemetry.incoming(telemetry.traceparent(begun)) == begun


def test_traces_of_threads_do_not_mix() -> None:
    seen: list[str] = []
    with telemetry.with_trace(TRACE):
        thread = threading.Thread(target=lambda: seen.append(telemetry.trace_id()))
        thread.start()
        thread.join()
    assert seen == [""]


# -- logs -------------------------------------------------------------------------------------------

Lines = Callable[[], list[str]]


@pytest.fixture(params=["json", "text"])
def written(request: pytest.FixtureRequest) -> Iterator[Lines]:
    """Logs as they are configured, in both formats; what was written so far."""
    root, names = logging.getLogger(), ("doran", "uvicorn", "django", "uvicorn.access")
    before = (root.handlers, root.level, {name: logging.getLogger(name).level for name in names})
    stream = io.StringIO()
    telemetry.configure(config.load({"DORAN_LOG_FORMAT": request.param}), stream=stream)
    yield lambda: stream.getvalue().splitlines()
    root.handlers, root.level = before[0], before[1]
    for name, level in before[2].items():
        logging.getLogger(name).setLevel(level)


OURS, THEIRS = logging.getLogger("doran.chat.writer"), logging.getLogger("somebody.else")


def test_a_line_tells_allowed_facts_and_drops_all_others(written: Lines) -> None:
    with telemetry.with_trace(TRACE):
        OURS.info("committed", extra={"count": 3, "content": "비밀", "token": "eyJ", "username": "minji"})
    [line] = written()
    assert "committed" in line
    assert TRACE in line
    assert "3" in line
    for secret in ("비밀", "eyJ", "minji", "content", "token", "username"):
        assert secret not in line


def test_a_dropped_fact_is_counted(written: Lines) -> None:
    before = value("doran_log_keys_dropped_total")
    OURS.info("committed", extra={"content": "비밀", "count": 3})
    assert value("doran_log_keys_dropped_total") == before + 1


def test_a_foreign_library_shows_its_template_and_none_of_its_values(written: Lines) -> None:
    THEIRS.warning("Not Found: %s\n%s", "/api/secret-name/", "비밀")
    [line] = written()
    assert "Not Found: <str>" in line
    assert "secret-name" not in line
    assert "비밀" not in line


@pytest.mark.parametrize(
    ("template", "given", "shown"),
    [
        ("Closing channel %r because RPC call %s cancelled", (KeyError("비밀"), "비밀"), "channel <KeyError> because RPC call <str>"),
        ("Cancel %s running task(s), timeout graceful shutdown exceeded", (3,), "Cancel 3 running task(s)"),
        ("%(count)d of %(whose)-5.5s are 100%% gone", ({"count": 2, "whose": "비밀"},), "2 of <str> are 100% gone"),
        ("took %.2f s, %d%%", (1.5, 30), "took 1.5 s, 30%"),
        ("as it is: 100%", (), "as it is: 100%"),
    ],
)  # fmt: skip
def test_the_holes_of_a_foreign_template_are_filled_with_numbers_and_kinds(
    written: Lines, template: str, given: tuple[object, ...], shown: str
) -> None:
    THEIRS.warning(template, *given)
    [line] = written()
    assert shown in line
    assert "비밀" not in line


def test_an_outage_is_told_once_then_each_minute_then_its_end(written: Lines) -> None:
    now = [0.0]
    outage = telemetry.Outage(OURS, "Redis is away", "Redis is back", ticks=lambda: now[0])
    for _ in range(46):  # as many tries as a copy made in 28 seconds
        outage.goes_on(ConnectionRefusedError("비밀"))
        now[0] += 28 / 46
    assert [line.count("Redis is away") for line in written()] == [1]
    now[0] = 61.0
    outage.goes_on(ConnectionRefusedError("비밀"))
    outage.is_over()
    outage.is_over()
    lines = written()
    assert len(lines) == 3
    assert "47" in lines[1] or "46" in lines[1]
    assert "Redis is back" in lines[2]
    assert "비밀" not in str(lines)


def test_what_comes_and_goes_is_told_no_more_than_once_a_minute(written: Lines) -> None:
    now = [0.0]
    outage = telemetry.Outage(OURS, "the broker is away", "the broker is back", ticks=lambda: now[0])
    for _ in range(100):
        outage.goes_on()
        outage.is_over()
        now[0] += 0.5
    assert len(written()) == 2


def test_of_a_foreign_report_only_the_first_line_is_shown(written: Lines) -> None:
    THEIRS.error("Task exception was never retrieved\nfuture: <Task exception=KeyError('비밀')>")
    [line] = written()
    assert "never retrieved" in line
    assert "비밀" not in line


def test_an_exception_is_shown_by_class_and_place(written: Lines) -> None:
    try:
        raise KeyError("비밀")
    except KeyError:
        OURS.exception("the writer met an unexpected error")
    [line] = written()
    assert "KeyError" in line
    assert "test_telemetry.py" in line
    assert "test_an_exception_is_shown_by_class_and_place" in line
    assert "비밀" not in line


def test_a_foreign_library_in_detail_is_not_heard(written: Lines) -> None:
    THEIRS.info("< TEXT '%s'", "비밀")
    THEIRS.debug("state = %s", "비밀")
    logging.getLogger("uvicorn.access").info('%s - "%s %s"', "1.2.3.4", "GET", "/?token=eyJ")
    assert written() == []


def test_our_level_is_a_setting(written: Lines) -> None:
    OURS.debug("too small to tell")
    assert written() == []


@given(st.text(st.characters(codec="utf-8"), max_size=50))
def test_no_fact_breaks_a_line_or_moves_the_cursor(text: str) -> None:
    record = logging.makeLogRecord({"name": "doran.x", "msg": text, "levelname": "INFO", "reason": text})
    for formatter in (logs.JsonFormatter(), logs.TextFormatter()):
        line = formatter.format(record)
        assert len(line.splitlines()) == 1
        assert all(char.isprintable() for char in line)


def test_json_lines_are_json(written: Lines) -> None:
    OURS.warning("said %s", 1, extra={"places": ["a.py:1 f"], "size": 1.5, "state": None, "code": object()})
    [line] = written()
    if line.startswith("{"):
        told = json.loads(line)
        assert told["event"] == "said 1"
        assert told["level"] == "WARNING"
        assert (told["places"], told["size"], told["state"], told["code"]) == (["a.py:1 f"], 1.5, None, "object")
        assert told["ts"].endswith("Z")


def test_production_speaks_json_unless_told_otherwise() -> None:
    stream = io.StringIO()
    before = logging.getLogger().handlers
    telemetry.configure(config.load({"DORAN_MODE": "production"}), stream=stream)
    OURS.warning("hello")
    logging.getLogger().handlers = before
    assert json.loads(stream.getvalue())["event"] == "hello"


# -- metrics ----------------------------------------------------------------------------------------


def value(name: str, **labels: str) -> float:
    """What a reader of /metrics sees now; 0 where there is nothing yet."""
    body, _ = telemetry.render()
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return float(sample.value)
    return 0.0


def moved(name: str, act: Callable[[], object], **labels: str) -> float:
    before = value(name, **labels)
    act()
    return value(name, **labels) - before


def test_requests_are_timed_by_template_method_and_class() -> None:
    labels = {"route": "api/chat/conversations/<id>/", "method": "GET", "status": "4xx"}
    name = "doran_http_request_duration_seconds_count"
    assert moved(name, lambda: telemetry.request_served("GET", labels["route"], 404, 0.02), **labels) == 1


def test_an_invented_method_makes_no_series_of_its_own() -> None:
    telemetry.request_served("EVIL-1234", "", 405, 0.01)
    body = telemetry.render()[0].decode()
    assert "EVIL" not in body
    assert 'method="other",route="none"' in body


def test_sockets_are_counted_open_and_closed_by_code() -> None:
    assert moved("doran_ws_connections", telemetry.socket_opened) == 1
    assert moved("doran_ws_closes_total", lambda: telemetry.socket_closed(4408), code="4408") == 1
    telemetry.socket_opened()
    assert moved("doran_ws_closes_total", lambda: telemetry.socket_closed(4999), code="other") == 1


@pytest.mark.parametrize("kind", frames.CLIENT_FRAMES)
def test_every_frame_is_counted_by_its_type(kind: type[frames.ClientFrame]) -> None:
    tag = str(kind.__struct_config__.tag)
    assert moved("doran_ws_frames_received_total", lambda: telemetry.frame_heard(kind.__name__), type=tag) == 1


def test_a_batch_is_one_observation_of_its_size_and_time() -> None:
    assert moved("doran_commit_batch_size_sum", lambda: telemetry.batch_committed(17, 0.004)) == 17
    assert moved("doran_commit_duration_seconds_count", lambda: telemetry.batch_committed(17, 0.004)) == 1
    assert moved("doran_commit_batch_size_bucket", lambda: telemetry.batch_committed(17, 0.004), le="16.0") == 0
    assert moved("doran_commit_batch_size_bucket", lambda: telemetry.batch_committed(17, 0.004), le="32.0") == 1


def test_deliveries_are_observed_together() -> None:
    deliver = lambda: telemetry.delivered(40, 0.03)  # noqa: E731
    assert moved("doran_message_delivery_seconds_count", deliver) == 40
    assert moved("doran_message_delivery_seconds_bucket", deliver, le="0.025") == 0
    assert moved("doran_message_delivery_seconds_bucket", deliver, le="0.05") == 40
    assert moved("doran_message_delivery_seconds_bucket", deliver, le="+Inf") == 40
    assert moved("doran_message_delivery_seconds_sum", deliver) == pytest.approx(1.2)


def test_what_is_exactly_at_a_bound_is_within_it() -> None:
    assert moved("doran_message_delivery_seconds_bucket", lambda: telemetry.delivered(1, 0.05), le="0.05") == 1


def test_observations_of_many_threads_all_count() -> None:

    def observe() -> None:
        for _ in range(1000):
            telemetry.delivered(2, 0.001)

    def together() -> None:
        threads = [threading.Thread(target=observe) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert moved("doran_message_delivery_seconds_count", together) == 8000


def test_limits_events_and_queues_are_told() -> None:
    assert (
        moved("doran_rate_limited_total", lambda: telemetry.rate_limited("sends_per_second"), limit="sends_per_second")
        == 1
    )
    telemetry.watch_outbox("market", lambda: (7, 12.5))
    telemetry.watch_dead_letters("market", lambda: 3)
    telemetry.watch_writer_queue(lambda: 9)
    assert value("doran_outbox_unpublished", service="market") == 7
    assert value("doran_outbox_oldest_unpublished_age_seconds", service="market") == 12.5
    assert value("doran_dead_letters", service="market") == 3
    assert value("doran_writer_queue") == 9


def test_a_gauge_that_cannot_be_read_leaves_the_others_standing() -> None:
    def broken() -> tuple[int, float]:
        raise OSError("비밀")

    telemetry.watch_outbox("broken", broken)
    telemetry.watch_outbox("market", lambda: (7, 12.5))
    body = telemetry.render()[0].decode()
    assert 'doran_outbox_unpublished{service="market"} 7.0' in body
    assert 'service="broken"' not in body
    assert "비밀" not in body
    assert value("doran_metrics_unreadable_total") > 0


def test_metrics_never_wait_for_a_database() -> None:
    """The last answer is shown with its age; what never answered is absent; both are counted."""
    hangs, thaw = threading.Event(), threading.Event()

    def ask() -> tuple[int, float, int, int]:
        if hangs.is_set():
            thaw.wait(30)
        return 7, 12.5, 0, 8

    ends = [telemetry.watch_outbox("market", ask, source="market database")]
    try:
        assert value("doran_outbox_unpublished", service="market") == 7
        hangs.set()
        ends.append(telemetry.watch_dead_letters("market", lambda: 3, source="market database"))
        unread = value("doran_metrics_unreadable_total")
        begun = time.monotonic()
        told = [telemetry.render()[0].decode() for _ in range(3)]
        assert time.monotonic() - begun < 10, "the database was waited for"
        assert all('doran_outbox_unpublished{service="market"} 7.0' in one for one in told)
        assert all('doran_dead_letters{service="market"}' not in one for one in told)
        assert value("doran_metrics_unreadable_total") > unread
        assert value("doran_reading_age_seconds", source="market database") > 0
    finally:
        thaw.set()
        for end in ends:
            end()
    assert 'service="market"} 7.0' not in telemetry.render()[0].decode()


def test_a_thread_and_what_it_opened_are_kept_for_a_dependency(check: Callable[..., None]) -> None:
    threads: list[int] = []
    check("chat database", lambda: threads.append(threading.get_ident()), source="chat database", fresh=0.0)
    check("chat outbox", lambda: threads.append(threading.get_ident()), source="chat database", fresh=0.0)
    for _ in range(3):
        assert health.ready()[0]
    assert len(threads) == 6
    assert len(set(threads)) == 1


def test_what_hangs_is_waited_for_once(check: Callable[..., None]) -> None:
    thaw = threading.Event()

    def hang() -> None:
        thaw.wait(60)

    check("bus", hang, timeout=3.0)
    health.ready()
    begun = time.monotonic()
    found = [health.ready()[1]["bus"] for _ in range(10)]
    assert time.monotonic() - begun < 15, "each answer waited for it again"
    thaw.set()
    assert found == [{"ok": False, "needed": True, "detail": "no answer in 3 s"}] * 10


def test_the_text_is_what_prometheus_reads() -> None:
    body, kind = telemetry.render()
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert kind.startswith("text/plain")
    assert {"doran_build_info", "process_cpu_seconds", "process_open_fds"} <= families.keys()
    assert all(family.documentation for family in families.values())
    assert all(name.startswith(("doran_", "process_")) for name in families)


def test_no_label_could_name_a_person_or_a_conversation() -> None:
    words_of_ours = {
        "code",
        "direction",
        "kind",
        "le",
        "limit",
        "method",
        "outcome",
        "provider",
        "reason",
        "route",
        "service",
        "source",
        "state",
        "status",
        "subscription",
        "type",
    }
    sampled = {label for family in metrics.REGISTRY.collect() for one in family.samples for label in one.labels}
    declared = {
        label
        for module in (metrics, answers, providers)
        for metric in vars(module).values()
        if isinstance(metric, MetricWrapperBase)
        for label in metric._labelnames
    }
    assert sampled | declared <= words_of_ours | {"version", "python"}


# -- health -----------------------------------------------------------------------------------------


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    monkeypatch.setattr(health, "_registered", {})
    yield health.register
    for name in list(health._registered):
        health.unregister(name)


def no_answer() -> None:
    raise ConnectionRefusedError("비밀")


def test_ready_names_every_dependency(check: Callable[..., None]) -> None:
    check("chat database", lambda: None)
    check("disk", lambda: "12 GB free")
    assert health.ready() == (
        True,
        {
            "chat database": {"ok": True, "needed": True, "detail": ""},
            "disk": {"ok": True, "needed": True, "detail": "12 GB free"},
        },
    )


def test_one_that_is_away_makes_it_unready_and_is_named_without_its_words(check: Callable[..., None]) -> None:
    check("chat database", no_answer)
    check("disk", lambda: None)
    is_ready, found = health.ready()
    assert not is_ready
    assert found["chat database"] == {"ok": False, "needed": True, "detail": "ConnectionRefusedError"}
    assert found["disk"]["ok"]


def test_one_that_can_be_done_without_is_shown_and_changes_nothing(check: Callable[..., None]) -> None:
    check("chat database", lambda: None)
    check("core", no_answer, needed=False)
    is_ready, found = health.ready()
    assert is_ready
    assert found["core"] == {"ok": False, "needed": False, "detail": "ConnectionRefusedError"}


def test_live_asks_nobody(check: Callable[..., None]) -> None:
    check("chat database", no_answer)
    assert health.live() == (True, {})


def test_one_that_hangs_is_given_up_in_time_and_not_asked_twice(check: Callable[..., None]) -> None:
    asked, leave = [], threading.Event()

    def hang() -> None:
        asked.append(1)
        leave.wait(30)

    check("bus", hang, timeout=0.05)
    check("disk", lambda: None)
    begun = time.monotonic()
    answers = [health.ready() for _ in range(3)]
    assert time.monotonic() - begun < 5
    leave.set()
    assert [is_ready for is_ready, _ in answers] == [False] * 3
    assert all(found["bus"] == {"ok": False, "needed": True, "detail": "no answer in 0.05 s"} for _, found in answers)
    assert all(found["disk"]["ok"] for _, found in answers)
    assert len(asked) == 1


def test_an_answer_is_good_for_a_second(check: Callable[..., None]) -> None:
    asked: list[int] = []
    check("disk", lambda: asked.append(1))
    for _ in range(5):
        health.ready()
    assert len(asked) == 1
    check("disk", lambda: asked.append(1), fresh=0.0)
    for _ in range(5):
        health.ready()
    assert len(asked) == 6


def test_what_recovers_is_ready_again(check: Callable[..., None]) -> None:
    ill = [True]
    check("bus", lambda: no_answer() if ill[0] else None, fresh=0.0)
    assert not health.ready()[0]
    ill[0] = False
    assert health.ready()[0]


def test_many_who_ask_at_once_ask_once(check: Callable[..., None]) -> None:
    asked, gate = [], threading.Event()

    def slow() -> None:
        asked.append(1)
        gate.wait(5)

    check("disk", slow, timeout=5)
    answers: list[bool] = []
    askers = [threading.Thread(target=lambda: answers.append(health.ready()[0])) for _ in range(8)]
    for asker in askers:
        asker.start()
    gate.set()
    for asker in askers:
        asker.join()
    assert answers == [True] * 8
    assert len(asked) == 1
