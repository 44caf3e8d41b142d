"""The translation engines' servers as their documentation describes them: strict about what they are asked.

    with translators() as them:
        them.says = lambda text: text.upper()
        ... staged(services=("core", "chat", "ai"), ai_providers=them.toml("papago"))

A request that the vendor's documentation does not allow is answered with 400 and noted in `wrong`.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

Body = dict[str, Any]
KEY: Final = "only the engine knows this key"


class Wrong(Exception):
    """Not what the documentation describes."""


class Translators:
    """`status` other than 200 is answered to everything, with this `retry_after`; `next` are the statuses of the next
    answers, one each. `hangs` for so many seconds before it answers."""

    def __init__(self) -> None:
        self.says: Callable[[str], str] = str.upper
        self.source = "ko"
        self.status = 200
        self.next: list[int] = []
        self.retry_after = ""
        self.hangs = 0.0
        self.body: bytes | None = None
        self.asked: list[tuple[str, Body]] = []
        self.wrong: list[str] = []
        self.url = ""

    def toml(self, *engines: str, outside: bool = False, price: float = 0) -> str:
        """These engines as the setting `ai_providers` names them."""
        lines = (
            f'[[translator]]\nname = "{one}"\nengine = "{one}"\nurl = "{self.url}"\nkey = "{KEY}"\n'
            f'key_id = "{"id" if one == "papago" else ""}"\noutside = {str(outside).lower()}\n'
            f"price = {price}\n"
            for one in engines
        )
        return "".join(lines)

    def answer(self, path: str, headers: Mapping[str, str], body: Body) -> tuple[int, bytes]:
        self.asked.append((path, body))
        time.sleep(self.hangs)
        status = self.next.pop(0) if self.next else self.status
        if status != 200 or self.body is not None:
            return status, self.body or b'{"message": "no"}'
        try:
            speak = next(speak for begin, speak in _PATHS.items() if path.startswith(begin))
            return 200, json.dumps(speak(self, headers, body)).encode()
        except (Wrong, StopIteration) as wrong:
            self.wrong.append(f"{path}: {wrong}")
            return 400, b"{}"


def _deepl(them: Translators, headers: Mapping[str, str], body: Body) -> Body:
    _needs(headers.get("authorization") == f"DeepL-Auth-Key {KEY}", "key")
    _only(body, {"text": list, "target_lang": str}, {"source_lang": str, "formality": str})
    _needs(
        body["target_lang"] == body["target_lang"].upper() and body["target_lang"] not in ("EN", "PT", "ZH"),
        "target_lang",
    )
    found = {"detected_source_language": them.source.upper(), "text": them.says(body["text"][0])}
    return {"translations": [found]}


def _papago(them: Translators, headers: Mapping[str, str], body: Body) -> Body:
    _needs(headers.get("x-ncp-apigw-api-key-id") == "id" and headers.get("x-ncp-apigw-api-key") == KEY, "key")
    _only(body, {"source": str, "target": str, "text": str}, {"honorific": bool})
    result = {"srcLangType": them.source, "tarLangType": body["target"], "translatedText": them.says(body["text"])}
    return {"message": {"result": result}}


def _google_v2(them: Translators, headers: Mapping[str, str], body: Body) -> Body:
    _needs(headers.get("x-goog-api-key") == KEY, "key")
    _only(body, {"q": list, "target": str, "format": str}, {"source": str})
    found = {"translatedText": them.says(body["q"][0]), "detectedSourceLanguage": them.source}
    return {"data": {"translations": [found]}}


def _google_v3(them: Translators, headers: Mapping[str, str], body: Body) -> Body:
    _needs(headers.get("authorization") == f"Bearer {KEY}", "token")
    _only(body, {"contents": list, "targetLanguageCode": str, "mimeType": str}, {"sourceLanguageCode": str})
    return {"translations": [{"translatedText": them.says(body["contents"][0]), "detectedLanguageCode": them.source}]}


def _libre(them: Translators, headers: Mapping[str, str], body: Body) -> Body:
    _only(body, {"q": str, "source": str, "target": str, "format": str, "api_key": str}, {})
    _needs(body["api_key"] == KEY, "key")
    return {"translatedText": them.says(body["q"]), "detectedLanguage": {"confidence": 90, "language": them.source}}


def _needs(holds: bool, what: str) -> None:
    if not holds:
        raise Wrong(what)


def _only(body: Body, needed: Mapping[str, type], possible: Mapping[str, type]) -> None:
    _needs(not needed.keys() - body.keys(), "a field is missing")
    for name, value in body.items():
        _needs(isinstance(value, {**needed, **possible}.get(name, Wrong)), name)


_PATHS: Final[Mapping[str, Callable[[Translators, Mapping[str, str], Body], Body]]] = {
    "/v2/translate": _deepl,
    "/nmt/v1/translation": _papago,
    "/language/translate/v2": _google_v2,
    "/v3/projects/doran:translateText": _google_v3,
    "/translate": _libre,
}


@contextmanager
def translators() -> Iterator[Translators]:
    them = Translators()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, answer = them.answer(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            if them.retry_after:
                self.send_header("Retry-After", them.retry_after)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        them.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield them
        finally:
            server.shutdown()
            thread.join()
