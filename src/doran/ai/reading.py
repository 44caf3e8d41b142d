"""What ai reads of others: of chat as the person it reads for, of core by a service's right to see anybody."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from doran.contracts.errors import Problem
from doran.contracts.frames import ChangesPage, ConversationView, MessageView
from doran.kernel import siblings

T = TypeVar("T")

PAGE: Final = 100
LONGEST_WALK: Final = 100
"""How many pages are turned at most in search of messages that still have words."""


class Person(NamedTuple):
    """Somebody as everybody may see them. `kind` is `human` or `bot`."""

    display_name: str
    kind: str


class _Messages(msgspec.Struct, frozen=True):
    """A page of chat's messages, newest first; `next` leads to older ones."""

    next: str | None
    results: list[MessageView]


class _Profile(msgspec.Struct, frozen=True):
    display_name: str = ""


class _User(msgspec.Struct, frozen=True):
    profile: _Profile
    kind: str = "human"


def conversation(conversation_id: str, user_id: str) -> ConversationView:
    """The conversation as this person sees it.

    Like all of these, raises `Problem`: `not_found` when it is not theirs, `unavailable` when chat is away.
    """
    return _chat(f"conversations/{_name(conversation_id)}/", user_id, ConversationView)


def newest(conversation_id: str, user_id: str, *, most: int, since_seq: int | None = None) -> list[MessageView]:
    """The newest messages that still have words, oldest first; with `since_seq` only those after it."""
    after = since_seq or 0
    found = takewhile(lambda one: one.seq > after, backwards(conversation_id, user_id, size=min(most, PAGE)))
    return list(islice(filter(has_words, found), most))[::-1]


def backwards(conversation_id: str, user_id: str, *, size: int = PAGE) -> Iterator[MessageView]:
    """Every message from the newest on, deleted ones too."""
    page = _page(conversation_id, user_id, page_size=size)
    yield from page.results
    for _ in range(LONGEST_WALK):
        if page.next is None or not page.results:
            return
        page = _page(conversation_id, user_id, before_seq=page.results[-1].seq, page_size=size)
        yield from page.results


def has_words(one: MessageView) -> bool:
    return bool(one.content) and not one.is_deleted


def message(message_id: str, user_id: str) -> MessageView:
    """The message as it now stands; a deleted one has no words."""
    return _chat(f"messages/{_name(message_id)}/", user_id, MessageView)


def around(conversation_id: str, user_id: str, seq: int, *, before: int, after: int) -> list[MessageView]:
    """The message at `seq` and its neighbours, as far as they have words, oldest first."""
    first = max(1, seq - before)
    page = _page(conversation_id, user_id, after_seq=first - 1, page_size=seq + after - first + 1)
    return [one for one in reversed(page.results) if has_words(one)]


def changes(conversation_id: str, user_id: str, since: int, *, epoch: str = "") -> ChangesPage:
    """Return what changed after the mark `since`, each message in its final state; or `reset`.

    `epoch` is the one of the page that gave the mark, where that is known.
    """
    path = f"conversations/{_name(conversation_id)}/changes/?since={since}"
    return _chat(f"{path}&epoch={_name(epoch)}" if epoch else path, user_id, ChangesPage)


def person(user_id: str) -> Person:
    """Somebody's name and kind. Who comes from an identity provider of the operator's has no name here."""
    if not siblings.is_there("core"):
        return Person("", "human")
    found = _understood(siblings.get("core", f"/api/core/users/{_name(user_id)}/", asker="ai"), _User, "core")
    return Person(found.profile.display_name, found.kind)


def _page(conversation_id: str, user_id: str, **query: int) -> _Messages:
    return _chat(f"conversations/{_name(conversation_id)}/messages/?{urlencode(query)}", user_id, _Messages)


def _chat(path: str, user_id: str, kind: type[T]) -> T:
    return _understood(siblings.get("chat", f"/api/chat/{path}", asker="ai", acting_for=user_id), kind, "chat")


def _name(id: str) -> str:
    return quote(id, safe="")


def _understood(answer: tuple[int, Any], kind: type[T], service: str) -> T:
    """What was asked for. A refusal that is not about rights, and an answer of another form, are no answer."""
    status, said = answer
    if status == 404:
        raise Problem("not_found")
    try:
        if status == 200:
            return msgspec.convert(said, kind)
    except msgspec.ValidationError:
        pass
    raise Problem("unavailable", f"{service} does not answer ai's question.", retry_after=1)
