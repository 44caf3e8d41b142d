"""The OpenAPI 3.1 document of the services that run here, from their tables of routes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from dmr.metadata import EndpointMetadata
from dmr.openapi import OpenAPIConfig, OpenAPIContext, build_schema
from dmr.openapi.generators import OperationIdGenerator
from dmr.openapi.objects import License, Server, Tag
from dmr.routing import Router

from doran import __version__
from doran.contracts.errors import PROBLEMS
from doran.kernel.http.problems import MEDIA_TYPE, RETRY_STATUSES
from doran.kernel.http.routes import Route, urls

Document = dict[str, Any]
Services = Mapping[str, Sequence[Route]]

ABOUT: Final = (
    "Self-hosted one-to-one chat. Times are RFC 3339 in UTC, ids are opaque strings, refusals are RFC 9457 problem "
    "details whose `code` is stable. Every path answers with and without its trailing slash."
)
ALWAYS: Final = (429, 500, 503)
READS_BODY: Final = (408, 413)
WANTS_BODY: Final = (400, 415, 422)
VERBS: Final = frozenset({"get", "post", "put", "patch", "delete"})
_PROBLEM_REFERENCE: Final = {"$ref": "#/components/schemas/ProblemDetails"}


class ReadableIds(OperationIdGenerator):
    """Operation ids that make good names in generated clients; `_complete` turns the module into the service."""

    def __call__(self, path: str, metadata: EndpointMetadata, controller_cls: type[Any]) -> str:
        name = f"{controller_cls.__name__}{metadata.method.title()}@{controller_cls.__module__}"
        self._context.registries.operation_id.register(name)
        return name


class _Context(OpenAPIContext):
    __slots__ = ()
    operation_id_cls = ReadableIds


def document(services: Services) -> Document:
    """The document as plain data. `services` gives each running service's table of routes under its name."""
    root = Router("")
    for name, routes in services.items():
        root.include(Router("", urls(routes), tags=[name]))
    found: Document = build_schema(root, context=_Context(_config(services))).convert(skip_validation=True)
    for path, verb, operation in operations(found):
        _complete(operation, in_path="{" in path, reads_body=verb != "get")
        if "requestBody" in operation:
            _say_whether_needed(operation["requestBody"], found["components"]["schemas"])
    _say_media(found, [line for routes in services.values() for line in routes])
    found["components"].setdefault("responses", {}).update(_shared_refusals())
    return found


def operations(found: Document) -> Iterator[tuple[str, str, Document]]:
    """Every operation of a document: its path, its verb and what is said of it."""
    for path, item in found["paths"].items():
        yield from ((path, verb, said) for verb, said in item.items() if verb in VERBS)


def _config(services: Services) -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Doran",
        version=__version__,
        summary="REST calls of " + ", ".join(services),
        description=ABOUT,
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        servers=[Server(url="/", description="this deployment")],
        tags=[Tag(name=name) for name in services],
    )


def _complete(operation: Document, *, in_path: bool, reads_body: bool) -> None:
    """Say what every call may answer beside its own: the general refusals, all as problem details."""
    operation["operationId"] = operation["tags"][0] + operation["operationId"].partition("@")[0]
    responses = {status: said for status, said in operation["responses"].items() if _is_ours(status, said)}
    responses.get("204", {}).pop("content", None)
    general = {*ALWAYS, *(READS_BODY if reads_body else ()), *((404,) if in_path else ())}
    if "requestBody" in operation:
        general.update(WANTS_BODY)
    if operation.setdefault("security", []):
        general.add(401)
    if any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        general.add(422)
    for said in responses.values():
        _as_problem(said)
    for status in general:
        _add_general(responses, status)
    operation["responses"] = dict(sorted(responses.items()))


def _say_media(found: Document, routes: Sequence[Route]) -> None:
    """What is answered in another form than JSON."""
    for line in routes:
        path = "/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", line.path)
        if line.media is not None:
            content = found["paths"][path]["get"]["responses"]["200"]["content"]
            content[line.media] = content.pop("application/json")


def _say_whether_needed(body: Document, types: Document) -> None:
    """A body of which no field is required may be left out."""
    name = body["content"]["application/json"]["schema"].get("$ref", "").rpartition("/")[2]
    body["required"] = not name or bool(types[name].get("required"))


def _add_general(responses: Document, status: int) -> None:
    """A status with codes of its own keeps them and adds the general ones to its words."""
    own = responses.get(str(status))
    if own is None:
        responses[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}
        return
    own["headers"] = _headers(status)
    if _words(status) not in own["description"]:
        own["description"] += f" {_words(status)}"


def _is_ours(status: str, said: Document) -> bool:
    """An answer, or a refusal that `offers` documented; the library's own words for the others are replaced."""
    return status < "400" or said["description"].startswith("`")


def _as_problem(response: Document) -> None:
    content = response.get("content", {})
    if content.get("application/json", {}).get("schema") == _PROBLEM_REFERENCE:
        content[MEDIA_TYPE] = content.pop("application/json")


_GENERAL_CODES: Final[Mapping[int, tuple[str, ...]]] = {
    400: ("malformed_json", "bad_request"),
    401: ("not_authenticated",),
    404: ("not_found",),
    408: ("request_timeout",),
    413: ("payload_too_large",),
    415: ("unsupported_media_type",),
    422: ("validation_failed",),
    429: ("too_many_requests",),
    500: ("internal_error",),
    503: ("unavailable",),
}


def _shared_refusals() -> Document:
    return {
        _name(status): {
            "description": _words(status),
            "headers": _headers(status),
            "content": {MEDIA_TYPE: {"schema": dict(_PROBLEM_REFERENCE)}},
        }
        for status in _GENERAL_CODES
    }


def _name(status: int) -> str:
    return "".join(word.title() for word in _GENERAL_CODES[status][0].split("_"))


def _words(status: int) -> str:
    return " ".join(f"`{code}`: {PROBLEMS[code].title}." for code in _GENERAL_CODES[status])


def _headers(status: int) -> Document:
    if status == 401:
        return {"WWW-Authenticate": _header("How to authenticate.", "string")}
    if status in RETRY_STATUSES:
        return {"Retry-After": _header("Seconds to wait.", "integer")}
    return {}


def _header(words: str, kind: str) -> Document:
    return {"description": words, "required": True, "schema": {"type": kind}}
