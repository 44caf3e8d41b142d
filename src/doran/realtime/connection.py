"""One socket: authenticate, read, hand over, answer with the same ref."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from doran.contracts import frames
from doran.contracts.errors import Problem
from doran.kernel import faults, json_errors, telemetry
from doran.kernel.auth import Principal
from doran.kernel.config import Config
from doran.kernel.limits.memory import MemoryLimiter
from doran.realtime.hub import Delivery, Hub
from doran.realtime.limits import HIDDEN_FRAMES_PER_ADDRESS, FrameRate, UnauthenticatedSockets
from doran.realtime.outbound import Outbound
from doran.realtime.presence import Presence

log = logging.getLogger(__name__)

STRIKES = 3
REASON_LENGTH = 500
RESTARTING = 1012
OVERLOADED = 1013
_REFUSED = {401: 4401, 404: 4404, 503: 1013}
Handler = Callable[["Connection", Any], Awaitable[None] | None]

_numbers = itertools.count(secrets.randbits(62))  # no two sockets of all processes have the same
_frames = msgspec.json.Decoder(frames.AnyClientFrame)


class _JustRef(msgspec.Struct):
    ref: frames.Ref | None = None


_refs = msgspec.json.Decoder(_JustRef)


class Wire(Protocol):
    """What a transport must do. Text only; `receive` raises `Gone` when the other side left.

    `send_at_once` sends what can be sent without waiting, and says whether it did; False: use `send`.
    """

    @property
    def send_at_once(self) -> Callable[[str], bool]: ...

    def allow_frames_of(self, size: int) -> None: ...

    async def receive(self) -> str: ...

    async def send(self, text: str) -> None: ...

    async def close(self, code: int, reason: str) -> None: ...

    def abort(self) -> None: ...


class Gone(Exception):
    """The other side is not there any more."""


class BinaryFrame(Exception):
    """The other side sent a binary frame; only text is spoken here."""


@dataclass(slots=True)
class Gateway:
    """What all sockets of a process share, and what frames mean (given by the service behind).

    `settled` returns when everything that was handed over before is answered.
    """

    config: Config
    hub: Hub
    presence: Presence
    verify: Callable[[str], Awaitable[Principal]]
    handlers: Mapping[type, Handler]
    open_conversation: Callable[[Connection], Awaitable[History]]
    epoch: Callable[[], str]
    settled: Callable[[], Awaitable[object]]
    is_draining: bool = False
    unauthenticated: UnauthenticatedSockets = field(init=False)
    hidden_frames: MemoryLimiter = field(init=False)

    def __post_init__(self) -> None:
        config = self.config
        self.unauthenticated = UnauthenticatedSockets(
            limit=config.unready_sockets, per_address=config.unready_sockets_per_address
        )
        self.hidden_frames = MemoryLimiter("hidden_frames_per_address", HIDDEN_FRAMES_PER_ADDRESS)


class Connection:
    """One open socket of one person.

    Anything may call `offer`, `take` and `end` at any time on the event loop; none of them waits.
    """

    __slots__ = (
        "_address",
        "_ending",
        "_gateway",
        "_held",
        "_is_hearing",
        "_outbound",
        "_rate",
        "_reading",
        "_shown",
        "_shown_seq",
        "_strikes",
        "_token",
        "_wire",
        "conversation_id",
        "expires_at",
        "id",
        "principal",
        "session_id",
        "user_id",
        "watching",
    )

    def __init__(
        self, wire: Wire, gateway: Gateway, *, conversation_id: str | None, token: str | None = None, address: str = ""
    ) -> None:
        config = gateway.config
        self.id = next(_numbers)
        self.conversation_id = conversation_id
        self.user_id = ""
        self.session_id: str | None = None
        self.principal: Principal | None = None
        self.expires_at = 0.0
        self.watching: set[str] | None = None
        self._wire = wire
        self._token = token
        self._address = address
        self._gateway = gateway
        self._held: list[Delivery] | None = None
        self._shown = self._shown_seq = 0
        self._strikes = 0
        self._ending: int | None = None
        self._is_hearing = False
        self._reading: asyncio.Task[Any] | None = None
        self._rate = FrameRate(config.frames_per_second)
        self._outbound = Outbound(
            wire.send,
            wire.send_at_once,
            limit=config.send_queue_bytes,
            seconds=config.send_seconds,
            on_slow=self._slow,
        )

    # -- what others may do with it ------------------------------------------------------------

    def offer(self, frame: Any) -> None:
        """Say this to the client, after everything said before."""
        self._outbound.offer(frames.encode(frame).decode())

    def hears(self, delivery: Delivery) -> bool:
        return self.conversation_id is None or self.conversation_id == delivery.conversation_id

    def take(self, delivery: Delivery) -> None:
        """Something live: now, or after the history that is just being read.

        A commit is seen by a reader before it is told here, so what the history showed can still come.
        """
        if self._held is not None:
            self._held.append(delivery)
        elif delivery.change_seq == 0 or (
            delivery.change_seq > self._shown and (delivery.seq == 0 or delivery.seq > self._shown_seq)
        ):
            self._outbound.offer(delivery.text)

    def end(self, code: int) -> None:
        """Close with this code as soon as what waits is written; with 1012, when what was said is answered."""
        if self._ending is None:
            self._ending = code
            finishes_first = code == RESTARTING and self._is_hearing
            if self._reading is not None and self._reading is not asyncio.current_task() and not finishes_first:
                self._reading.cancel()

    def refuse(self, problem: Problem, *, ref: str | int | None, client_message_id: str | None = None) -> None:
        """Say no to one frame; the socket stays."""
        self.offer(
            frames.Error(
                ref=ref,
                code=problem.code,
                detail=problem.detail,
                retry_after_ms=None if problem.retry_after is None else max(1, round(problem.retry_after * 1000)),
                client_message_id=client_message_id,
            )
        )

    # -- its life --------------------------------------------------------------------------------

    async def live(self) -> None:
        """From the accepted handshake to the close frame."""
        self._reading = asyncio.current_task()
        telemetry.socket_opened()
        code = 1011
        try:
            code = await self._live()
        except asyncio.CancelledError:
            if self._ending is None or self._reading is None:
                raise
            self._reading.uncancel()
            code = self._ending
        except Gone:
            code = 0
        except Exception:
            log.exception("a socket failed")
        finally:
            self._leave()
            await self._close(code)

    async def _live(self) -> int:
        try:
            await self._enter()
        except Problem as no:
            return _REFUSED.get(no.kind.status, 1011)
        except TimeoutError:
            return OVERLOADED
        while self._ending is None:
            text = await self._next()
            self._is_hearing = True
            await self._hear(text)
            self._is_hearing = False
        return self._ending

    async def _enter(self) -> None:
        gateway = self._gateway
        ref = await self._authenticate()
        self._held = []
        gateway.hub.join(self)
        faults.hit("connection.after_subscribe_before_history")
        history = await gateway.open_conversation(self) if self.conversation_id else None
        gateway.presence.arrive(self.user_id)
        self._wire.allow_frames_of(frames.FRAME_BYTES)
        self._outbound.offer(self._ready(ref))
        self._release(history)

    async def _authenticate(self) -> str | int | None:
        """Authenticate by the header, or else by the first frame, and return its `ref`.

        Raises TimeoutError where the token came in time and we could not look at it in time.
        """
        token, self._token, ref = self._token, None, None
        if token is None:
            with self._gateway.unauthenticated.waiting(self._address):
                said = await self._first_frame()
                token, ref = said.token, said.ref
        async with asyncio.timeout(self._gateway.config.auth_seconds):
            self._become(await self._gateway.verify(token))
        return ref

    async def _first_frame(self) -> frames.Auth:
        try:
            async with asyncio.timeout(self._gateway.config.auth_seconds):
                frame = _frames.decode(await self._wire.receive())
        except (msgspec.DecodeError, RecursionError, BinaryFrame, TimeoutError):
            raise Problem("not_authenticated") from None
        if not isinstance(frame, frames.Auth):
            raise Problem("not_authenticated")
        return frame

    def _become(self, principal: Principal) -> None:
        self.principal = principal
        self.user_id = principal.user_id
        self.session_id = principal.session_id
        self.expires_at = self._end_of(principal)

    def _end_of(self, principal: Principal) -> float:
        """When its token expires; where that was accepted after its end, because clocks differ, when it no longer is."""
        ends = principal.expires_at
        return ends if ends > time.time() else ends + self._gateway.config.token_leeway_seconds

    def _ready(self, ref: str | int | None) -> str:
        return frames.encode(
            frames.Ready(
                user_id=self.user_id,
                session_id=self.session_id,
                epoch=self._gateway.epoch(),
                server_time=telemetry.server_time(),
                heartbeat=self._gateway.config.heartbeat,
                ref=ref,
            )
        ).decode()

    def _release(self, history: History | None) -> None:
        """Live from here: what came meanwhile follows the history, less what the history shows."""
        held, self._held = self._held or [], None
        if history is not None:
            self._shown, self._shown_seq = history.change_seq, history.last_seq
            self._outbound.offer(history.text)
        for delivery in held:
            self.take(delivery)

    async def _next(self) -> str | None:
        """The next frame, or None for one that is not text."""
        try:
            return await self._wire.receive()
        except BinaryFrame:
            return None

    async def _hear(self, text: str | None) -> None:
        try:
            if wait := self._rate.over(time.monotonic()):
                return self._too_fast(text, wait)
            frame = _frames.decode(text or "")
        except (msgspec.DecodeError, RecursionError) as wrong:
            return self._strike(text, wrong)
        telemetry.frame_heard(type(frame).__name__)
        await self._hand_over(frame)

    async def _hand_over(self, frame: frames.ClientFrame) -> None:
        try:
            if isinstance(frame, frames.Ping):
                return self.offer(frames.Pong(ref=frame.ref))
            if isinstance(frame, frames.Auth):
                return await self._renew(frame)
            answer = self._gateway.handlers[type(frame)](self, frame)
            if answer is not None:
                await answer
        except Problem as no:
            self.refuse(no, ref=frame.ref)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a frame could not be handled")
            self.refuse(Problem("internal_error"), ref=frame.ref)

    async def _renew(self, frame: frames.Auth) -> None:
        principal = await self._gateway.verify(frame.token)
        if (principal.user_id, principal.issuer) != (self.user_id, self.principal and self.principal.issuer):
            raise Problem("not_authenticated", "The token belongs to somebody else.")
        self._become(principal)
        self._outbound.offer(self._ready(frame.ref))

    def _strike(self, text: str | None, wrong: Exception) -> None:
        self._strikes += 1
        why = "Frames are text." if text is None else _safe_reason(wrong)
        self.refuse(Problem("invalid_frame", why), ref=_ref_of(text))
        if self._strikes >= STRIKES:
            self.end(4400)

    def _too_fast(self, text: str | None, wait: float) -> None:
        telemetry.rate_limited("frames_per_second")
        self.refuse(Problem("too_many_requests", retry_after=wait), ref=_ref_of(text))
        if self._rate.is_hopeless:
            self.end(4429)

    def _slow(self) -> None:
        self.end(4408)

    def _leave(self) -> None:
        if self.user_id:
            gateway = self._gateway
            gateway.hub.leave(self)
            gateway.presence.leave(self)

    async def _close(self, code: int) -> None:
        if code == 4408:
            self._wire.abort()
        if code and code != 4408:
            await self._farewell(code)
        self._outbound.close()
        telemetry.socket_closed(code)

    async def _farewell(self, code: int) -> None:
        try:
            async with asyncio.timeout(self._gateway.config.send_seconds):
                if code == RESTARTING:
                    await self._gateway.settled()
                await self._outbound.finish()
                await self._wire.close(code, "")
        except Exception:
            self._wire.abort()


@dataclass(frozen=True, slots=True)
class History:
    """What a conversation socket shows first, and up to which change and which message it is complete."""

    text: str
    change_seq: int
    last_seq: int


def _ref_of(text: str | None) -> str | int | None:
    try:
        return _refs.decode(text or "").ref
    except (msgspec.DecodeError, RecursionError):
        return None


def _safe_reason(wrong: Exception) -> str:
    """Names of fields go to nobody but who sent them."""
    return json_errors.of_text(wrong)[:REASON_LENGTH]
