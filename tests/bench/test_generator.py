"""The generator counts honestly: what was not answered, came twice, was refused or cut off is noticed."""

import pytest

from bench import generator
from bench.generator import RefusedError
from bench.scenarios import CountsError, add_up
from tests.bench.toy import SPEECH, Toy


async def talk(toy: Toy, *, messages: int = 20) -> generator.Talk:
    async with toy.running() as pair, generator.talking([pair], SPEECH, quota=messages) as (said, voices):
        said.measured = True
        voices[0].begin(window=3)
        await generator.settled(said, sent=messages, seconds=0.5)
    return said


async def test_minji_says_what_she_may_and_junho_has_and_marks_all_of_it():
    toy = Toy()
    said = await talk(toy)
    assert (said.sent, said.answered, said.received, len(said.latencies)) == (20, 20, 20, 20)
    assert toy.marked == [f"m{number}" for number in range(1, 21)]
    assert {len(content) for content in toy.messages} == {100}
    assert len(set(toy.messages)) == 20


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Toy(forget_answer=7), "answered 19"),
        (Toy(repeat_message=7), "received 21"),
        (Toy(refuse=7), "too_many_requests"),
        (Toy(hang_up=7), "closed with 4408"),
    ],
)
async def test_what_went_wrong_with_one_message_is_told(fault: Toy, told: str):
    with pytest.raises(RefusedError, match=told):
        await talk(fault)


async def test_arriving_waits_for_the_history_of_everyone():
    async with Toy().running() as pair:
        async with generator.arriving([pair.a, pair.b] * 5, SPEECH, at_once=4) as arrivals:
            assert len(arrivals.frames) == len(arrivals.latencies) == 10
        assert arrivals.history_lengths() == {1}


def test_a_store_that_holds_less_than_was_answered_is_told():
    said = generator.Talk(sent=5, answered=5, received=5)
    add_up("Doran", said, stored=5)
    with pytest.raises(CountsError, match="4 stored"):
        add_up("Doran", said, stored=4)
