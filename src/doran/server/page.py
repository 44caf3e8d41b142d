"""The built page: where it is, and how it is served."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import doran

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_PACKAGE = Path(doran.__file__).parent

# Only our own files, no inline script or style, no frames, no plug-ins, and no string that is
# taken for HTML. 'self' covers wss:// to our own host in current browsers.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'; trusted-types lit-html"
)

_NOT_BUILT = (
    b"<!doctype html><meta charset=utf-8><title>Doran</title><h1>Doran</h1>"
    b"<p>The server runs, but its page was not built. In a clone, start with <code>bin/up</code>.</p>"
)


def page_root() -> Path | None:
    """The folder with the page's `index.html`; None where it was not built."""
    for folder in (_PACKAGE / "web", _PACKAGE.parent.parent / "web" / "dist"):
        if (folder / "index.html").is_file():
            return folder
    return None


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    headers: list[tuple[bytes, bytes]]


class Page:
    """The page's few files, read once. Named by their content, assets never change."""

    def __init__(self) -> None:
        root = page_root()
        self._files = {} if root is None else {path: _read(root, path) for path in _paths(root)}
        index = self._files.get("/index.html") or _File(_NOT_BUILT, _headers("text/html", "/"))
        self._files["/"] = index

    async def serve(self, scope: Scope, send: Send) -> bool:
        """Answer if this is a file of the page; say whether it was."""
        found = self._files.get(scope["path"])
        if found is None or scope["method"] not in ("GET", "HEAD"):
            return False
        body = b"" if scope["method"] == "HEAD" else found.body
        await send({"type": "http.response.start", "status": 200, "headers": found.headers})
        await send({"type": "http.response.body", "body": body})
        return True


def _paths(root: Path) -> list[str]:
    files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return [f"/{path.as_posix()}" for path in files if not path.name.startswith(".") and ".vite" not in path.parts]


def _read(root: Path, path: str) -> _File:
    body = (root / path[1:]).read_bytes()
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return _File(body, [*_headers(kind, path), (b"content-length", str(len(body)).encode())])


def _headers(kind: str, path: str) -> list[tuple[bytes, bytes]]:
    lasting = path.startswith("/assets/")
    charset = "; charset=utf-8" if kind.startswith("text/") or "javascript" in kind else ""
    return [
        (b"content-type", f"{kind}{charset}".encode()),
        (b"cache-control", b"public, max-age=31536000, immutable" if lasting else b"no-cache"),
        (b"content-security-policy", POLICY.encode()),
    ]
