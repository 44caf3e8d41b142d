"""The built page: where it is, and how it is served."""

from __future__ import annotations

import mimetypes
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

import doran
from doran.kernel.constant import Constant

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_PACKAGE = Path(doran.__file__).parent

# Only our own files, no inline script or style, no frames, no plug-ins, and no string that is
# taken for HTML. 'self' covers wss:// to our own host in current browsers.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'; trusted-types lit-html"
)

# What the page never asks a browser for, so that injected script cannot either.
_UNUSED = (
    "accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "hid", "magnetometer", "microphone", "midi",
    "payment", "publickey-credentials-get", "screen-wake-lock", "serial", "usb", "xr-spatial-tracking",
)  # fmt: skip
PERMISSIONS = ", ".join(f"{feature}=()" for feature in _UNUSED)

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


# What the build leaves beside each file, by the ending of its name.
_CODED: Final = {".br": "br", ".gz": "gzip"}


class Page:
    """The page's few files, read once. Named by their content, assets never change."""

    def __init__(self, *, head: str = "") -> None:
        """`head` is put into the head of the page."""
        root = page_root()
        self._files = {} if root is None else {path: _read(root, path) for path in _paths(root)}
        if head and root is not None:
            body = (root / "index.html").read_bytes().replace(b"</head>", head.encode() + b"</head>", 1)
            self._files["/index.html"] = Constant(body, _headers("text/html", "/"))
        self._files["/"] = self._files.get("/index.html") or Constant(_NOT_BUILT, _headers("text/html", "/"))

    async def serve(self, scope: Scope, send: Send) -> bool:
        """Answer if this is a file of the page; say whether it was."""
        found = self._files.get(scope["path"])
        if found is None or scope["method"] not in ("GET", "HEAD"):
            return False
        await send_constant(found, scope, send)
        return True


async def send_constant(constant: Constant, scope: Scope, send: Send) -> None:
    """Answer GET or HEAD with what the asker accepts of it."""
    status, headers, body = constant.answer(
        scope["method"],
        accept_encoding=_said(scope, b"accept-encoding"),
        if_none_match=_said(scope, b"if-none-match"),
    )
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _said(scope: Scope, name: bytes) -> str | None:
    """A list in one header or in several of the same name."""
    said = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return ",".join(said) if said else None


def _paths(root: Path) -> list[str]:
    found = (path for path in root.rglob("*") if path.is_file() and path.suffix not in _CODED)
    files = (path.relative_to(root) for path in found)
    return [f"/{path.as_posix()}" for path in files if not path.name.startswith(".") and ".vite" not in path.parts]


def _read(root: Path, path: str) -> Constant:
    file = root / path[1:]
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    beside = {coding: file.with_name(file.name + ending) for ending, coding in _CODED.items()}
    coded = {coding: one.read_bytes() for coding, one in beside.items() if one.is_file()}
    return Constant(file.read_bytes(), _headers(kind, path), coded=coded)


def _headers(kind: str, path: str) -> dict[str, str]:
    lasting = path.startswith("/assets/")
    charset = "; charset=utf-8" if kind.startswith("text/") or "javascript" in kind else ""
    return {
        "content-type": f"{kind}{charset}",
        "cache-control": "public, max-age=31536000, immutable" if lasting else "no-cache",
        "content-security-policy": POLICY,
        "permissions-policy": PERMISSIONS,
    }
