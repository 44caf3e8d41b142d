"""민지 writes, 준호 reads: sending by REST and by socket, and what is refused."""

from __future__ import annotations

from tests.cast import Person


async def test_a_message_reaches_both_people_by_both_doors(minji: Person, junho: Person) -> None:
    talk = await minji.starts(junho)
    hers, his = await minji.opens(talk), await junho.opens()

    hers.says(type="chat_message", content="안녕하세요!", client_message_id="m-1", ref=7)
    ack = await hers.hears("ack")
    assert (ack["ref"], ack["message"]["seq"], ack["message"]["content"]) == (7, 1, "안녕하세요!")
    assert (await his.hears("chat_message"))["message"] == ack["message"]

    answer = await junho.sends(talk, "네, 반가워요")
    assert (await hers.hears("chat_message"))["message"] == answer
    assert answer["seq"] == 2
