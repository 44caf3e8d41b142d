"""The API for people: one readable page from the OpenAPI document, without scripts, fonts or calls elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from doran.contracts.errors import Problem
from doran.kernel.constant import Constant
from doran.kernel.http.openapi import Document, Services, document, operations
from doran.kernel.http.problems import refusal
from doran.kernel.http.routes import EitherSlash

NOTHING: Final = SafeString("")
FRESH: Final = "public, max-age=300"
POLICY: Final = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def documents(services: Services) -> list[URLPattern]:
    """`/api/schema/`, `/api/docs/` and its style sheet, for the services that run here; open to all."""

    @cache
    def described() -> Document:
        return document(services)

    return [
        _served("api/schema/", lambda: msgspec.json.format(msgspec.json.encode(described())), "application/json"),
        _served("api/docs/", lambda: str(render(described())).encode(), "text/html; charset=utf-8"),
        _served("api/docs/style.css", lambda: files(__package__).joinpath("docs.css").read_bytes(), "text/css"),
    ]


def _served(path: str, make: Callable[[], bytes], kind: str) -> URLPattern:
    headers = {"Content-Type": kind, "Cache-Control": FRESH, "Content-Security-Policy": POLICY}
    made = cache(lambda: Constant(make(), headers))

    def view(request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            refused = refusal(Problem("method_not_allowed"), request)
            refused.headers["Allow"] = "GET, HEAD"
            return refused
        return constant_response(made(), request)

    return URLPattern(EitherSlash(path), view)


def constant_response(constant: Constant, request: HttpRequest) -> HttpResponse:
    """What Django sends of an answer that stays the same."""
    asked = request.headers
    status, headers, body = constant.answer(
        request.method or "GET",
        accept_encoding=asked.get("Accept-Encoding"),
        if_none_match=asked.get("If-None-Match"),
    )
    response = HttpResponse(body, status=status)
    del response.headers["Content-Type"]
    for name, value in headers:
        response.headers[name] = value
    return response


def render(api: Document) -> SafeString:
    """The whole page."""
    return format_html(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title} API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        '<link rel="stylesheet" href="/api/docs/style.css"></head><body>'
        "<header><h1>{title} <small>{version}</small></h1><p>{about}</p>"
        '<p>Machine-readable: <a href="/api/schema/">OpenAPI {openapi}</a></p></header>'
        '<nav aria-label="Calls">{contents}</nav><main>{sections}<section id="types"><h2>Types</h2>{types}</section></main>'
        "</body></html>\n",
        title=api["info"]["title"],
        version=api["info"]["version"],
        about=_words(api["info"]["description"]),
        openapi=api["openapi"],
        contents=_joined(_contents(api, tag["name"]) for tag in api["tags"]),
        sections=_joined(_section(api, tag["name"]) for tag in api["tags"]),
        types=_joined(_type(name, schema) for name, schema in sorted(api["components"]["schemas"].items())),
    )


def _of(api: Document, tag: str) -> list[tuple[str, str, Document]]:
    return [found for found in operations(api) if tag in found[2].get("tags", ())]


def _contents(api: Document, tag: str) -> SafeString:
    lines = ((said["operationId"], _verb(verb), path.removeprefix(f"/api/{tag}")) for path, verb, said in _of(api, tag))
    return format_html(
        "<h2>{}</h2><ul>{}</ul>", tag, format_html_join("", '<li><a href="#{}">{} <code>{}</code></a></li>', lines)
    )


def _section(api: Document, tag: str) -> SafeString:
    calls = _joined(_call(api, path, verb, said) for path, verb, said in _of(api, tag))
    return format_html('<section id="{}"><h2>{}</h2>{}</section>', tag, tag, calls)


def _call(api: Document, path: str, verb: str, said: Document) -> SafeString:
    return format_html(
        '<article id="{}"><h3>{} <code>{}</code></h3><p class="summary">{} <span class="door">{}</span></p>{}{}{}{}{}</article>',
        said["operationId"],
        _verb(verb),
        path,
        _words(said.get("summary", "")),
        "bearer token" if said["security"] else "open to all",
        format_html("<p>{}</p>", _words(said["description"])) if said.get("description") else NOTHING,
        _parameters(said.get("parameters", [])),
        _body(said.get("requestBody")),
        _responses(said["responses"]),
        format_html('<pre tabindex="0"><code>{}</code></pre>', _curl(api, path, verb, said)),
    )


def _curl(api: Document, path: str, verb: str, said: Document) -> str:
    """The call as it is typed, with the body's required fields."""
    words = ["curl" if verb == "get" else f"curl -X {verb.upper()}", f'"$DORAN{path}"']
    if said["security"]:
        words.append('-H "Authorization: Bearer $TOKEN"')
    for content in said.get("requestBody", {}).get("content", {}).values():
        body = msgspec.json.encode(_example(api, content["schema"])).decode()
        words.append(f"--json '{body}'")
    return " \\\n  ".join(words)


def _example(api: Document, schema: Document) -> Any:
    """The smallest value that fits a schema, with `…` where a person would write."""
    if "$ref" in schema:
        return _example(api, api["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return _example(api, schema[choice][0])
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object":
        fields = schema.get("properties", {})
        plain = [name for name, kind in fields.items() if "$ref" not in str(kind)]
        shown = schema.get("required") or plain[:1]
        return {name: _example(api, fields[name]) for name in shown}
    return {"integer": schema.get("minimum", 1), "number": 1, "boolean": True, "array": [], "null": None}.get(
        schema.get("type", ""), "…"
    )


def _verb(verb: str) -> SafeString:
    return format_html('<b class="verb {}">{}</b>', verb, verb.upper())


def _parameters(parameters: list[Document]) -> SafeString:
    rows = [
        (one["name"], one["in"], _kind(one["schema"]), one.get("description") or one["schema"].get("description") or "")
        for one in parameters
    ]
    return _table("Parameters", ("name", "in", "type", "meaning"), rows)


def _body(body: Document | None) -> SafeString:
    if body is None:
        return NOTHING
    kinds = _joined(_kind(content["schema"]) for content in body["content"].values())
    return format_html("<h4>Body</h4><p>{} as JSON</p>", kinds)


def _responses(responses: Document) -> SafeString:
    rows = [(status, _answer(said), _words(said.get("description", ""))) for status, said in responses.items()]
    plain = [row for row in rows if row[0] < "400"]
    own = [row for row in rows if row[0] >= "400" and "$ref" not in responses[row[0]]]
    general = ", ".join(status for status in responses if "$ref" in responses[status])
    return format_html(
        '{}{}<p class="general">As everywhere: {}</p>',
        _table("Answers", ("status", "type"), [row[:2] for row in plain]),
        _table("Refusals of its own", ("status", "code"), [(status, words) for status, _, words in own]),
        general,
    )


def _answer(said: Document) -> SafeString:
    return _joined(_kind(content["schema"]) for content in said.get("content", {}).values())


def _type(name: str, schema: Document) -> SafeString:
    needed = schema.get("required", [])
    rows = [
        (field, _kind(kind), "yes" if field in needed else _default(kind), _words(kind.get("description", "")))
        for field, kind in schema.get("properties", {}).items()
    ]
    fields = (
        _table("", ("field", "type", "needed", "meaning"), rows) if rows else format_html("<p>{}</p>", _kind(schema))
    )
    about = format_html("<p>{}</p>", _words(schema["description"])) if schema.get("description") else NOTHING
    return format_html('<article id="type-{}"><h3>{}</h3>{}{}</article>', name, name, about, fields)


def _default(kind: Document) -> str:
    return f"no: {msgspec.json.encode(kind['default']).decode()}" if "default" in kind else "no"


def _kind(schema: Document) -> SafeString:
    """A schema in one line; named types are links."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return format_html('<a href="#type-{}">{}</a>', name, name)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return _joined((_kind(one) for one in schema[choice]), between=" or ")
    if "enum" in schema or "const" in schema:
        return format_html_join(
            " or ", "<code>{}</code>", ((one,) for one in schema.get("enum", [schema.get("const")]))
        )
    if schema.get("type") == "array":
        return format_html("list of {}", _kind(schema.get("items", {})))
    return format_html("{}{}", _type_name(schema), _limits(schema))


def _type_name(schema: Document) -> str:
    kind = schema.get("type", "anything")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _limits(schema: Document) -> str:
    said = {
        "minimum": "at least {}",
        "maximum": "at most {}",
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "minItems": "at least {} items",
        "maxItems": "at most {} items",
        "format": "{}",
    }
    found = [words.format(schema[name]) for name, words in said.items() if name in schema]
    return f" ({', '.join(found)})" if found else ""


def _table(caption: str, heads: tuple[str, ...], rows: list[Any]) -> SafeString:
    if not rows:
        return NOTHING
    cells = _joined(
        format_html("<tr>{}</tr>", format_html_join("", "<td>{}</td>", ((cell,) for cell in row))) for row in rows
    )
    head = format_html_join("", '<th scope="col">{}</th>', ((word,) for word in heads))
    title = format_html("<caption>{}</caption>", caption) if caption else NOTHING
    return format_html("<table>{}<thead><tr>{}</tr></thead><tbody>{}</tbody></table>", title, head, cells)


def _words(text: str) -> SafeString:
    """Prose with its `code` marked."""
    pieces = text.split("`")
    return _joined(format_html("<code>{}</code>" if number % 2 else "{}", piece) for number, piece in enumerate(pieces))


def _joined(pieces: Iterable[SafeString], *, between: str = "") -> SafeString:
    return mark_safe(between.join(pieces))  # noqa: S308  every piece comes out of format_html
