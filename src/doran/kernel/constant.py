"""Answers that stay the same while the process runs: compressed once, chosen by `Accept-Encoding`, known by an ETag."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple

# Content codings by preference, and what their ETags end with.
CODINGS: Final = ("br", "gzip")
IDENTITY: Final = "identity"
# Below this a compressed answer saves no packet.
WORTHWHILE: Final = 1024


class Answer(NamedTuple):
    """What goes out: names of headers in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Constant:
    """One resource in its encodings. `coded` brings those that were made at build time; without, gzip is made here."""

    def __init__(self, body: bytes, headers: Mapping[str, str], *, coded: Mapping[str, bytes] | None = None) -> None:
        self._bodies = {IDENTITY: body, **(_coded(body) if coded is None else coded)}
        digest = hashlib.sha256(body).hexdigest()[:20]
        self._headers = {coding: self._headers_of(coding, digest, headers) for coding in self._bodies}
        self._tags = {coding: _tag(digest, coding) for coding in self._bodies}

    def _headers_of(self, coding: str, digest: str, headers: Mapping[str, str]) -> list[tuple[str, str]]:
        encoding = [] if coding == IDENTITY else [("content-encoding", coding)]
        return [*headers.items(), ("etag", _tag(digest, coding)), ("vary", "accept-encoding"), *encoding]

    def answer(self, method: str, *, accept_encoding: str | None, if_none_match: str | None) -> Answer:
        """The answer to GET or HEAD; 304 where the asker has this very representation."""
        coding = self._chosen(accept_encoding)
        headers, body = self._headers[coding], self._bodies[coding]
        if if_none_match is not None and _matches(if_none_match, self._tags[coding]):
            return Answer(304, [one for one in headers if one[0] not in ("content-type", "content-encoding")], b"")
        headers = [*headers, ("content-length", str(len(body)))]
        return Answer(200, headers, b"" if method == "HEAD" else body)

    def _chosen(self, accept_encoding: str | None) -> str:
        """The best that is accepted, compressed before not; identity where nothing else is, also where it is refused."""
        if accept_encoding is None:
            return IDENTITY
        wanted = _qualities(accept_encoding)
        other = wanted.get("*")
        best, most = IDENTITY, wanted.get(IDENTITY, 0.0)
        for coding in CODINGS:
            quality = wanted.get(coding, 0.0 if other is None else other)
            if coding in self._bodies and quality > 0 and (quality > most or (best == IDENTITY and quality == most)):
                best, most = coding, quality
        return best


def _coded(body: bytes) -> dict[str, bytes]:
    if len(body) < WORTHWHILE:
        return {}
    small = gzip.compress(body, 9, mtime=0)
    return {"gzip": small} if len(small) < len(body) else {}


def _tag(digest: str, coding: str) -> str:
    return f'"{digest}"' if coding == IDENTITY else f'"{digest}-{coding}"'


def _qualities(header: str) -> dict[str, float]:
    """What `Accept-Encoding` says, by coding. What cannot be read is not accepted."""
    found = {}
    for part in header.split(","):
        name, _, rest = part.partition(";")
        coding = name.strip().lower().removeprefix("x-")
        if coding:
            found[coding] = _quality(rest)
    return found


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0


def _matches(header: str, tag: str) -> bool:
    """Compared weakly, as RFC 9110 has it: a proxy that compresses makes tags weak."""
    said = [one.strip().removeprefix("W/") for one in header.split(",")]
    return "*" in said or tag in said
