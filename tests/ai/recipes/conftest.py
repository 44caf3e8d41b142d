"""A recipe on its own: a talk that chat would show, a model that says what it is told to, and what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from doran.ai import reading
from doran.ai.jobs.work import Completed, Prompted, Subject, Work
from doran.ai.models import AiJob
from doran.ai.providers import About, Completion, EndReason, Usage
from doran.ai.recipes import RECIPES
from doran.ai.shop import Shop, open_shop, shop
from doran.contracts.errors import Problem
from doran.contracts.frames import ConversationView, JobResult, Marks, MessageView, MyState
from doran.contracts.people import ASSISTANT_ID
from doran.kernel import clock
from doran.server.wiring import House

TALK, MINJI, JUNHO = "talk", "minji", "junho"
AT = "2026-11-23T10:00:00.000000Z"


def said(seq: int, sender: str, content: str, **more: Any) -> MessageView:
    facts: dict[str, Any] = {
        "id": f"m{seq}", "conversation_id": TALK, "seq": seq, "change_seq": seq, "sender_id": sender, "content": content,
        "message_type": "text", "created_at": AT, "updated_at": AT, "edited_at": None, "is_deleted": False,
        "reply_to": None, "client_message_id": None,
    }  # fmt: skip
    return MessageView(**{**facts, **more})


class Model:
    """Answers what it is told to. `asked` is everything it read."""

    about = About("model", "model.example", model="m", is_outside=False, context_tokens=8192)

    def __init__(self) -> None:
        self.says: str | Sequence[str] = "네."
        self.finish: EndReason = "stop"
        self.asked: list[Completion] = []
        self.subjects: list[Subject] = []
        self.words: list[str] = []
        self.next: list[str] = []
        self.echo: Callable[[str], str] | None = None
        self.silent: list[bool] = []
        self.refuses: Exception | None = None

    async def complete(self, work: Work, prompt: Prompted, about: Subject) -> Completed:
        self.asked.append(prompt.completion)
        self.subjects.append(about)
        self.words.append(prompt.words)
        self.silent.append(prompt.is_silent)
        if self.refuses:
            raise self.refuses
        if self.echo:
            data = prompt.completion.turns[-1].text.split("\n", 1)[1].rpartition(">>>")[0].rpartition("\n")[0]
            return Completed(self.echo(data), self.finish, self.about, Usage(1, 1))
        if self.next:
            return Completed(self.next.pop(0), self.finish, self.about, Usage(1, 1))
        return Completed(
            self.says if isinstance(self.says, str) else json.dumps(self.says), self.finish, self.about, Usage(1, 1)
        )

    async def embed(self, *_: Any, **__: Any) -> list[bytes]:
        raise AssertionError("no recipe here embeds")

    async def ask_engine(self, work: Work, engine: About, text: str, about: Subject, ask: Any) -> str:
        self.subjects.append(about)
        if self.refuses and engine.is_outside:
            raise self.refuses
        answer: str = await ask(text, self._let_in)
        return answer

    async def _let_in(self, _: About) -> None:
        pass

    # as a chain

    def can(self, what: str, *, outside: bool) -> bool:
        return bool(self.about.model)

    def first(self, what: str, *, outside: bool) -> About | None:
        return self.about

    @property
    def read(self) -> str:
        """All that it was given the last time, the instruction aside."""
        return "\n".join(turn.text for turn in self.asked[-1].turns)


@dataclass
class Play:
    """`messages` are what chat shows the asker, `last_read` how far they have read."""

    model: Model = field(default_factory=Model)
    messages: list[MessageView] = field(default_factory=list)
    last_read: int = 0
    with_assistant: bool = False

    async def asks(self, kind: str, **facts: Any) -> JobResult:
        """What the job answers to 민지."""
        options = facts.pop("options", {})
        now = clock.now()
        job = AiJob(
            id=clock.new_id(), user_id=MINJI, kind=kind, options=json.dumps(options), asked_digest=b"", due_at=now,
            deadline_at=now, created_at=now, updated_at=now, **facts,
        )  # fmt: skip
        with ThreadPoolExecutor(1) as threads:
            return await RECIPES[kind](Work(job=job, claim=None, gate=self.model, threads=threads, database=threads))  # type: ignore

    # what chat would answer

    def conversation(self, conversation_id: str, user_id: str) -> ConversationView:
        self._let_in(conversation_id, user_id)
        other = ASSISTANT_ID if self.with_assistant else JUNHO
        me = MyState(0, self.last_read, None, False, None, 0, False, "")
        return ConversationView(TALK, MINJI, other, AT, AT, True, 9, 9, 0, None, me, Marks(other, 0, 0))

    def newest(
        self, conversation_id: str, user_id: str, *, most: int, since_seq: int | None = None
    ) -> list[MessageView]:
        self._let_in(conversation_id, user_id)
        found = [one for one in self.messages if one.seq > (since_seq or 0) and one.content and not one.is_deleted]
        return found[-most:]

    def backwards(self, conversation_id: str, user_id: str, *, size: int) -> Iterator[MessageView]:
        self._let_in(conversation_id, user_id)
        return reversed(self.messages)

    def message(self, message_id: str, user_id: str) -> MessageView:
        for one in self.messages:
            if one.id == message_id and user_id in (MINJI, JUNHO):
                return one
        raise Problem("not_found")

    @staticmethod
    def _let_in(conversation_id: str, user_id: str) -> None:
        if (conversation_id, user_id) != (TALK, MINJI):
            raise Problem("not_found")


@pytest.fixture
async def play(house: House, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Play]:
    play, before = Play(), shop()
    for name in ("conversation", "newest", "backwards", "message"):
        monkeypatch.setattr(reading, name, getattr(play, name))
    open_shop(Shop(house.config, play.model, RECIPES))  # type: ignore
    yield play
    open_shop(before)
    await asyncio.sleep(0)
