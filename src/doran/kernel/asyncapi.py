"""The AsyncAPI 3.0 document: both socket doors with every frame, and every event, from the tables in the code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from doran import __version__
from doran.contracts import errors, events, frames

Document = dict[str, Any]

_SCHEMAS: Final = "#/components/schemas/{name}"
_CONVERSATION_DOOR: Final = "/ws/chat/{conversation_id}/"
_PERSON_DOOR: Final = "/ws/"
# Frames that only one of the two doors says.
_ONLY_CONVERSATION: Final = (frames.ConversationHistory,)
_ONLY_PERSON: Final = (frames.ConversationCreated, frames.ConversationUpdated)


_DOORS: Final = {"$ref": "#/servers/doors"}
_SECURITY: Final[Document] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of core or of the allowed foreign issuer, in the header. Who cannot set headers "
        "says it in an `auth` frame first. Never in the URL.",
    }
}
_SERVERS: Final[Document] = {
    "doors": {
        "host": "{host}",
        "protocol": "wss",
        "description": "A deployment's own address; ws:// on the machine itself.",
        "variables": {"host": {"default": "127.0.0.1:8000", "description": "Host and port, as public_url names them."}},
        "security": [{"$ref": "#/components/securitySchemes/bearer"}],
    },
    "bus": {
        "host": "in-process",
        "protocol": "memory",
        "description": "Between the services: at least once, in order per key. Nobody outside connects here.",
    },
}


def document() -> Document:
    """The whole document as plain data."""
    found: Document = msgspec.json.decode(msgspec.json.encode(_document()).replace(b"doran.contracts.", b""))
    return found


def _document() -> Document:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Doran",
            "version": __version__,
            "description": "Frames of the two WebSocket doors, and the events between services. " + _closes(),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _SERVERS,
        "channels": _channels(),
        "operations": _operations(),
        "components": {"messages": _messages(), "schemas": _schemas(), "securitySchemes": _SECURITY},
    }


def _closes() -> str:
    kinds = errors.CLOSES.values()
    return "Close codes: " + "; ".join(f"{kind.code} {kind.name}" for kind in kinds) + "."


def _frame(kind: type[msgspec.Struct]) -> str:
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"


def _event(kind: type[events.Event]) -> str:
    return kind.NAME


def _channels() -> Document:
    said = (*frames.CLIENT_FRAMES, *frames.SERVER_FRAMES)
    doors = {
        "conversation": {
            "address": _CONVERSATION_DOOR,
            "servers": [_DOORS],
            "title": "One conversation",
            "parameters": {"conversation_id": {"description": "The conversation, as REST names it."}},
            "messages": _references(kind for kind in said if kind not in _ONLY_PERSON),
            "bindings": {"ws": {"method": "GET"}},
        },
        "person": {
            "address": _PERSON_DOOR,
            "servers": [_DOORS],
            "title": "Everything of mine",
            "messages": _references(kind for kind in said if kind not in _ONLY_CONVERSATION),
            "bindings": {"ws": {"method": "GET"}},
        },
    }
    facts = {
        kind.NAME: {
            "address": kind.NAME,
            "servers": [{"$ref": "#/servers/bus"}],
            "title": f"Said by {producer}, ordered by {kind.KEY}",
            "messages": {_event(kind): {"$ref": f"#/components/messages/{_event(kind)}"}},
        }
        for producer, kinds in events.PRODUCERS.items()
        for kind in kinds
    }
    return {**doors, **facts}


def _references(kinds: Iterable[type[msgspec.Struct]]) -> Document:
    return {_frame(kind): {"$ref": f"#/components/messages/{_frame(kind)}"} for kind in kinds}


def _operations() -> Document:
    doors = {}
    for door, missing in (("conversation", _ONLY_PERSON), ("person", _ONLY_CONVERSATION)):
        heard = [kind for kind in frames.SERVER_FRAMES if kind not in missing]
        doors[f"{door}.clientSays"] = _operation("receive", door, [_frame(kind) for kind in frames.CLIENT_FRAMES])
        doors[f"{door}.serverSays"] = _operation("send", door, [_frame(kind) for kind in heard])
    facts = {f"{name}.said": _operation("send", name, [name]) for name in events.EVENTS}
    return {**doors, **facts}


def _operation(action: str, channel: str, messages: list[str]) -> Document:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def _messages() -> Document:
    said = {
        _frame(kind): {"name": kind.__struct_config__.tag, "summary": _summary(kind), "payload": _reference(kind)}
        for kind in (*frames.CLIENT_FRAMES, *frames.SERVER_FRAMES)
    }
    facts = {
        _event(kind): {"name": kind.NAME, "summary": _summary(kind), "payload": _enveloped(kind)}
        for kind in events.EVENTS.values()
    }
    return {**said, **facts}


def _summary(kind: type[msgspec.Struct]) -> str:
    words = (kind.__doc__ or "").strip().partition("\n")[0]
    return words or f"{kind.__name__}."


def _reference(kind: type[msgspec.Struct]) -> Document:
    return {"$ref": _SCHEMAS.format(name=_names[kind])}


def _enveloped(kind: type[events.Event]) -> Document:
    """The envelope on the wire: our names and those of CloudEvents 1.0, around checked data."""
    words = {name: {"type": "string"} for name in ("type", "time", "id", "source", "subject", "partitionkey")}
    words |= {name: {"type": "string"} for name in ("timestamp", "event_id", "producer", "key", "trace_id")}
    return {
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "datacontenttype": {"const": "application/json"},
            "event_type": {"const": kind.NAME},
            "schema_version": {"type": "integer", "const": kind.VERSION},
            **words,
            "data": _reference(kind),
        },
        "required": ["specversion", "event_type", "schema_version", "data", *words],
    }


def _schemas() -> Document:
    found = dict(_components)
    for kind in (frames.Ack, frames.ChatMessage, frames.MessageUpdated, frames.MessageDeleted):
        found[_names[kind]]["properties"]["message"] = _reference(frames.MessageView)
    return found


_KINDS: Final = (*frames.CLIENT_FRAMES, *frames.SERVER_FRAMES, *events.EVENTS.values(), frames.MessageView)
_roots, _components = msgspec.json.schema_components(_KINDS, ref_template=_SCHEMAS)
_names: Final = {kind: root["$ref"].rpartition("/")[2] for kind, root in zip(_KINDS, _roots, strict=True)}
