"""A goal is met or not by the medians of both sides of one run."""

from bench import goals


def rounds(**figures: tuple[float, ...]) -> list[dict[str, float]]:
    return [dict(zip(figures, values, strict=True)) for values in zip(*figures.values(), strict=True)]


def met(scenario: str, rival: list[dict[str, float]], doran: list[dict[str, float]]) -> list[bool]:
    sides = {"plain Django (daphne, mariadb)": rival, "Doran": doran}
    return [verdict.met for verdict in goals.judge(scenario, {name: one for name, one in sides.items() if one})]


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


def test_on_its_own_database_each_rival_has_its_own_bound():
    sides = {
        "plain Django (daphne, mariadb)": rounds(cpu_us=(4000.0,)),
        "ejabberd (mod_mam, mariadb)": rounds(cpu_us=(600.0,)),
        "Doran (mariadb, redis)": rounds(cpu_us=(201.0,)),
    }
    judged = goals.judge("messages", sides)
    assert [(one.bound, one.met) for one in judged] == [("≥ 20", False), ("≥ 3", False)]
    sides["Doran (mariadb, redis)"] = rounds(cpu_us=(200.0,))
    assert [one.met for one in goals.judge("messages", sides)] == [True, True]


def test_two_processes_are_judged_by_the_clock_or_by_their_cost_on_one_core():
    def judged(**figures: tuple[object, ...]) -> list[tuple[float, bool]]:
        one = rounds(cpu_us=(300.0,), per_second=(1000.0,))
        sides = {"Doran, 1 chat process": one, "Doran, 2 chat processes": rounds(**figures)}
        return [(round(verdict.measured, 2), verdict.met) for verdict in goals.judge("copies", sides)]

    assert judged(cpu_us=(900.0,), per_second=(1700.0,), shared_core=("",)) == [(1.7, True)]
    assert judged(cpu_us=(352.0,), per_second=(1.0,), shared_core=("two cores",)) == [(1.7, True)]
    assert judged(cpu_us=(360.0,), per_second=(9999.0,), shared_core=("two cores",)) == [(1.67, False)]
