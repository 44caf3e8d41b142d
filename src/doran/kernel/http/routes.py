"""Paths of the API: a table of routes becomes Django's URL patterns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.urls import URLPattern, register_converter
from django.urls.resolvers import RoutePattern
from dmr.openapi.generators.component_parsers import ConverterSchema

from doran.kernel.http.edge import Api

ID_PATTERN: Final = r"[^/\x00-\x1f\x7f]{1,255}"


class OpaqueId:
    """`<id:…>` in a route: any id of any service or issuer, byte for byte; what cannot be one is a 404."""

    regex = ID_PATTERN
    __dmr_converter_schema__: ClassVar = ConverterSchema(str, f"^{ID_PATTERN}$", "An opaque id.")

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(OpaqueId, "id")


class EitherSlash(RoutePattern):
    """A whole path that answers with and without its trailing slash."""

    def __init__(self, route: str, name: str | None = None) -> None:
        super().__init__(route, name, is_endpoint=True)
        self._start = route.partition("<")[0]
        self._ends_in_slash = route.endswith("/")

    def match(self, path: str) -> Any:
        path = path.removesuffix("/")
        if self._ends_in_slash:
            path += "/"
        return super().match(path) if path.startswith(self._start) else None


@dataclass(frozen=True, slots=True)
class Route:
    """One line of a service's table of contents. `media` is what it answers, where that is not JSON."""

    path: str
    endpoint: type[Api]
    name: str | None = None
    media: str | None = None

    def pattern(self) -> URLPattern:
        return URLPattern(EitherSlash(self.path, self.name), self.endpoint.as_view(), name=self.name)


def route(path: str, endpoint: type[Api], *, name: str | None = None, media: str | None = None) -> Route:
    """`path` is whole, from the root, without a leading slash."""
    return Route(path, endpoint, name, media)


def urls(routes: Iterable[Route]) -> list[URLPattern]:
    """The URL patterns of a table of routes, in its order."""
    return [line.pattern() for line in routes]
