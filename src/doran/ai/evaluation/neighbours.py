"""Chat and core for one case: they know its two people, its conversation, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from doran.ai.evaluation.cases import Case
from doran.contracts.frames import ConversationView, Marks, MessageView, MyState
from doran.contracts.people import ASSISTANT_ID
from doran.kernel import clock, siblings
from doran.kernel.siblings import Question

ASKER, OTHER, TALK = "evaluation-a", "evaluation-b", "evaluation"
_NOT_FOUND: Final = (404, b"{}")


@contextmanager
def neighbours(case: Case) -> Iterator[None]:
    """While this lasts, whoever reads of chat reads this case."""
    chat = _Chat(case)
    siblings.register_local("chat", chat)
    siblings.register_local("core", _core)
    try:
        yield
    finally:
        siblings.register_local("chat", None)
        siblings.register_local("core", None)


class _Chat:
    def __init__(self, case: Case) -> None:
        self._other = ASSISTANT_ID if case.kind == "reply" else OTHER
        self._at = clock.rfc3339(clock.now())
        self._messages = [self._said(seq, line) for seq, line in enumerate(case.messages, start=1)]

    def __call__(self, question: Question) -> tuple[int, bytes]:
        path, _, query = question.path.removeprefix("/api/chat/").partition("?")
        found = self._found(path.strip("/").split("/"), dict(parse_qsl(query)))
        return _NOT_FOUND if found is None else (200, msgspec.json.encode(found))

    def _found(self, path: list[str], query: dict[str, str]) -> Any:
        if path[:1] == ["messages"]:
            return next((one for one in self._messages if [one.id] == path[1:]), None)
        if path == ["conversations", TALK]:
            return self._conversation()
        if path == ["conversations", TALK, "messages"]:
            after, before = int(query.get("after_seq", 0)), int(query.get("before_seq", 2**53))
            shown = [one for one in reversed(self._messages) if after < one.seq < before]
            return {"count": len(shown), "next": None, "previous": None, "results": shown}
        return None

    def _conversation(self) -> ConversationView:
        last, me = len(self._messages), MyState(0, 0, None, False, None, 0, False, "")
        return ConversationView(
            TALK, ASKER, self._other, self._at, self._at, True, last, last, last, None, me, Marks(self._other, 0, 0)
        )

    def _said(self, seq: int, line: str) -> MessageView:
        author, _, words = line.partition(": ")
        sender = ASKER if author == "A" else self._other
        return MessageView(
            f"{TALK}-{seq}", TALK, seq, seq, sender, words, "text", self._at, self._at, None, False, None, None
        )


def _core(question: Question) -> tuple[int, bytes]:
    """Gives a token for questions to the chat above."""
    return (200, b'{"access_token":"evaluation","expires_in":300}') if question.method == "POST" else _NOT_FOUND
