"""The cast: 민지 and 준호 talk, 소라 is the outsider. Each can call, open screens, speak and listen."""

from __future__ import annotations

import itertools
import time
import uuid
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from tests.wire import Answer, Socket, call

_numbers = itertools.count(1)


class Mint:
    """Makes access tokens as core would, for stages on which core does not stand."""

    def __init__(self, *, issuer: str = "http://127.0.0.1:8000", audience: str = "doran") -> None:
        self.key = ECKey.generate_key("P-256", {"kid": f"test-{next(_numbers)}", "alg": "ES256", "use": "sig"})
        self.issuer = issuer
        self.audience = audience

    def published(self) -> bytes:
        import json

        return json.dumps({"keys": [self.key.as_dict(private=False)]}).encode()

    def token(self, user_id: str, *, session_id: str = "", seconds: int = 600, **claims: Any) -> str:
        now = int(time.time())
        said = {
            "iss": self.issuer, "aud": self.audience, "sub": user_id, "sid": session_id or str(uuid.uuid4()),
            "jti": uuid.uuid4().hex, "iat": now, "exp": now + seconds, **claims,
        }  # fmt: skip
        header = {"alg": "ES256", "kid": self.key.kid, "typ": "at+jwt"}
        return jwt.encode(header, said, self.key, algorithms=["ES256"])


class Person:
    """Somebody with an id and a token, at the outer border of an application."""

    def __init__(self, app: Any, name: str, user_id: str, token: str) -> None:
        self.app, self.name, self.id, self.token = app, name, user_id, token

    async def asks(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return await call(self.app, method, path, body, headers=headers, **more)

    async def gets(self, path: str) -> Any:
        """The JSON of a call that must work."""
        answer = await self.asks("GET", path)
        assert answer.status == 200, answer.body
        return answer.json

    async def starts(self, other: Person) -> str:
        """The id of the conversation with somebody."""
        answer = await self.asks("POST", "/api/chat/conversations/", {"participant_id": other.id})
        assert answer.status in (200, 201), answer.body
        return str(answer.json["id"])

    async def sends(self, conversation_id: str, content: str, **more: Any) -> Any:
        """A message by REST that must be stored; the message."""
        answer = await self.asks(
            "POST", f"/api/chat/conversations/{conversation_id}/messages/send/", {"content": content, **more}
        )
        assert answer.status in (200, 201), answer.body
        return answer.json

    async def tries_to_send(self, conversation_id: str, content: str = "여보세요", **more: Any) -> Answer:
        headers = more.pop("headers", {})
        path = f"/api/chat/conversations/{conversation_id}/messages/send/"
        return await self.asks("POST", path, {"content": content, **more}, headers=headers)

    async def edits(self, message: Any, content: str) -> Answer:
        return await self.asks("PATCH", f"/api/chat/messages/{message['id']}/", {"content": content})

    async def deletes(self, message: Any, *, scope: str = "everyone") -> Answer:
        return await self.asks("DELETE", f"/api/chat/messages/{message['id']}/?for={scope}")

    async def marks(self, message: Any, status: str = "read") -> Any:
        """Where the mark stands after claiming that this message was read (or delivered)."""
        answer = await self.asks("POST", f"/api/chat/messages/{message['id']}/{status}/", {})
        assert answer.status == 200, answer.body
        return answer.json

    async def changes(self, conversation_id: str, **state: Any) -> Any:
        """Change one's own side of a conversation; the conversation as it then is."""
        answer = await self.asks("PATCH", f"/api/chat/conversations/{conversation_id}/", state)
        assert answer.status == 200, answer.body
        return answer.json

    async def sees(self, conversation_id: str) -> Any:
        """The conversation with its newest messages."""
        return await self.gets(f"/api/chat/conversations/{conversation_id}/")

    async def syncs(self, **known: Any) -> Any:
        answer = await self.asks("POST", "/api/chat/sync/", known)
        assert answer.status == 200, answer.body
        return answer.json

    async def opens(self, conversation_id: str | None = None) -> Socket:
        """A screen: the conversation's socket, or the one for everything; past `ready`."""
        socket = await self.connects(conversation_id)
        await socket.hears("ready")
        return socket

    async def connects(self, conversation_id: str | None = None) -> Socket:
        path = "/ws/" if conversation_id is None else f"/ws/chat/{conversation_id}/"
        return await Socket(self.app, path, headers={"Authorization": f"Bearer {self.token}"}).accepted()
