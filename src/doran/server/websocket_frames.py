"""Frames of RFC 6455, section 5, as bytes: headers, payloads, close codes."""

from __future__ import annotations

from typing import Final

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN: Final = 0x80
WHOLE_TEXT: Final = FIN | TEXT
CONTROL_BYTES: Final = 125
MASKED: Final = 0x80

_RESERVED: Final = 0x70
_OPCODES: Final = frozenset({CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG})
_CLOSE_CODES: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})


class ProtocolError(Exception):
    """The client broke the protocol; the connection ends with this close code."""

    def __init__(self, code: int) -> None:
        self.code = code


def measure(data: bytes | bytearray, start: int) -> tuple[int, int]:
    """Return the bytes of a frame's header and of its payload; header 0 if it has not wholly arrived."""
    left = len(data) - start
    if left < 2:
        return 0, 0
    size = data[start + 1] & 0x7F
    head = 6 if data[start + 1] & MASKED else 2
    if size < 126:
        return (head, size) if left >= head else (0, 0)
    more = 2 if size == 126 else 8
    if left < head + more:
        return 0, 0
    return head + more, int.from_bytes(data[start + 2 : start + 2 + more], "big")


def check(first: int, second: int, size: int, *, room: int) -> None:
    """Check a frame by its first two bytes and its size, before its payload is waited for.

    `room` is what a data frame may still hold. Raises ProtocolError(1002) or (1009).
    """
    opcode = first & 0x0F
    if first & _RESERVED or opcode not in _OPCODES or not second & MASKED:
        raise ProtocolError(1002)
    if opcode >= CLOSE:
        if size > CONTROL_BYTES or not first & FIN:
            raise ProtocolError(1002)
    elif size > room:
        raise ProtocolError(1009)


def decode(payload: bytes) -> str:
    """Return the text of a payload. Raises ProtocolError(1007) where it is not UTF-8."""
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise ProtocolError(1007) from None


def read_close(payload: bytes) -> tuple[int, str]:
    """Return the code and reason of a close frame; 1005 for an empty one. Raises ProtocolError."""
    if not payload:
        return 1005, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or code not in _CLOSE_CODES:
        raise ProtocolError(1002)
    return code, decode(payload[2:])


def close_frame(code: int, reason: str = "") -> bytes:
    """Return a close frame. A reason longer than a control frame may be is cut at a whole character."""
    said = reason.encode()[: CONTROL_BYTES - 2].decode("utf-8", "ignore").encode()
    return control_frame(CLOSE, code.to_bytes(2, "big") + said)


def control_frame(opcode: int, payload: bytes) -> bytes:
    """Return an unmasked control frame; its payload is at most 125 bytes."""
    return bytes((FIN | opcode, len(payload))) + payload


def header(opcode: int, size: int) -> bytes:
    """Return the header of a whole, unmasked frame (RFC 6455, 5.2)."""
    if size < 126:
        return bytes((FIN | opcode, size))
    if size < 65_536:
        return bytes((FIN | opcode, 126, size >> 8, size & 0xFF))
    return bytes((FIN | opcode, 127)) + size.to_bytes(8, "big")
