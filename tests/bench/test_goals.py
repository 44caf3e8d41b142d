"""A goal is met or not by the medians of both sides of one run."""

from bench import goals


def rounds(**figures: tuple[float, ...]) -> list[dict[str, float]]:
    return [dict(zip(figures, values, strict=True)) for values in zip(*figures.values(), strict=True)]


def met(scenario: str, rival: list[dict[str, float]], doran: list[dict[str, float]]) -> list[bool]:
    return [verdict.met for verdict in goals.judge(scenario, rival, doran)]


def test_a_message_must_cost_35_times_less_cpu_in_the_median():
    doran = rounds(cpu_us=(100.0, 900.0, 90.0))
    assert met("messages", rounds(cpu_us=(3500.0, 3500.0, 10.0)), doran) == [True]
    assert met("messages", rounds(cpu_us=(3499.0, 3499.0, 9999.0)), doran) == [False]


def test_connects_are_judged_by_the_clock_and_by_cpu():
    rival, doran = rounds(per_second=(100.0,), cpu_us=(8000.0,)), rounds(per_second=(1000.0,), cpu_us=(801.0,))
    assert met("connects", rival, doran) == [True, False]


def test_memory_may_be_half_and_a_deep_page_a_fifth_more():
    assert met("memory", rounds(kib_per_connection=(40.0,)), rounds(kib_per_connection=(20.0,))) == [True]
    assert met("memory", rounds(kib_per_connection=(40.0,)), rounds(kib_per_connection=(20.1,))) == [False]
    assert met("pages", [], rounds(deep_to_first=(1.0, 1.2, 9.0))) == [True]
    assert met("pages", [], rounds(deep_to_first=(1.21,))) == [False]


def test_nothing_is_judged_with_one_side_missing():
    assert met("messages", [], rounds(cpu_us=(100.0,))) == []
    assert met("messages", rounds(cpu_us=(100.0,)), []) == []
