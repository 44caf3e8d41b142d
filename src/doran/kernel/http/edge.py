"""One REST path of a service: `Api` and what its methods declare and use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Generic, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec
from django.http import HttpRequest, HttpResponse
from dmr import Controller, ResponseSpec, modify, validate
from dmr.cookies import NewCookie
from dmr.endpoint import Endpoint
from dmr.exceptions import RequestSerializationError
from dmr.negotiation import ResponseNegotiator
from dmr.openapi.objects import Reference, SecurityRequirement, SecurityScheme
from dmr.plugins.msgspec import MsgspecJsonRenderer
from dmr.renderers import Renderer
from dmr.security import SyncAuth
from dmr.types import EMPTY

from doran.contracts.errors import PROBLEMS, Problem, ProblemDetails
from doran.kernel import auth, config
from doran.kernel.addresses import client_address
from doran.kernel.auth import Principal, Service
from doran.kernel.config import Config
from doran.kernel.http import problems
from doran.kernel.http.bodies import Bodies, JsonOnly, StrictJson
from doran.kernel.limits import Limiter, limiter

Item = TypeVar("Item")
Method = TypeVar("Method", bound=Callable[..., Any])

Answer: TypeAlias = HttpResponse

_SERVICE_TOKEN = SecurityScheme(type="http", scheme="bearer", bearer_format="JWT", description="A service's own token.")


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """One page of a longer list; `next` and `previous` are addresses, or null at the ends."""

    count: int
    next: str | None
    previous: str | None
    results: list[Item]


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page is wanted."""

    page: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1, description="Which page, from 1.")] = 1
    page_size: Annotated[int, msgspec.Meta(ge=1, le=100, description="How many on a page.")] = 20


def _is_second_name(host: str, now: Config) -> bool:
    """Tell a name that people use beside that of `public_url` from names of the network behind a proxy."""
    name = urlsplit(f"//{host}").hostname
    return name in now.allowed_hosts and name != urlsplit(now.public_url).hostname


class BearerToken(SyncAuth):
    """Asks `kernel.auth` who sends this token, and remembers the answer on the request.

    Without a `scope`, who sends it is a person; with one it may also be a service that has it.
    """

    __slots__ = ("_scope",)

    def __init__(self, scope: str | None = None) -> None:
        self._scope = scope

    @property
    def www_authenticate_challenge(self) -> str | None:
        return "Bearer"

    def security_schemes(self, *_: Any) -> dict[str, SecurityScheme | Reference]:
        person = {"bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")}
        return {**person, **({} if self._scope is None else {"service": _SERVICE_TOKEN})}

    def security_requirements(self, *_: Any) -> list[SecurityRequirement]:
        return [{"bearer": []}] if self._scope is None else [{"bearer": []}, {"service": [self._scope]}]

    def __call__(self, endpoint: Endpoint, controller: Controller[Any]) -> BearerToken:
        request: Any = controller.request
        try:
            token = auth.bearer(request.META.get("HTTP_AUTHORIZATION"))
            if self._scope is not None and auth.calls_itself_service(token):
                request.service = auth.verify_service(token, scope=self._scope)
                return self
            request.principal = auth.verify(token)
        except Problem:
            count_call(controller.client_address)  # type: ignore[attr-defined]  # every controller here is an Api
            raise
        count_call(f"person {request.principal.user_id}")
        return self


class Anyone(SyncAuth):
    """Admits every caller and counts calls by `Api.caller`: the address, unless an endpoint has a better key."""

    __slots__ = ()

    @property
    def www_authenticate_challenge(self) -> str | None:
        return None

    def security_schemes(self, *_: Any) -> dict[str, SecurityScheme | Reference]:
        return {}

    def security_requirements(self, *_: Any) -> list[SecurityRequirement]:
        return []

    def __call__(self, endpoint: Endpoint, controller: Controller[Any]) -> Anyone:
        count_call(controller.caller)  # type: ignore[attr-defined]  # every controller here is an Api
        return self


def count_call(who: str) -> None:
    """One call of a person or, before log-in, of an address. Raises `Problem` past the limit."""
    _calls(config.current()).check(who)


@lru_cache(maxsize=1)
def _calls(now: Config) -> Limiter:
    return limiter("requests_per_second", now.requests_per_second, burst=4 * now.requests_per_second, exact=False)


class AlwaysJson(ResponseNegotiator):
    """We answer in JSON whatever `Accept` says (RFC 9110, 12.5.1 allows it); no call can fail for that."""

    __slots__ = ()

    def __call__(self, request: HttpRequest) -> Renderer:
        request.__dmr_renderer__ = self._default  # type: ignore[attr-defined]
        return self._default


class JsonEndpoint(Endpoint):
    """One method of a path, with our readings of Content-Type and Accept."""

    __slots__ = ()
    request_negotiator_cls: ClassVar[type[JsonOnly]] = JsonOnly
    response_negotiator_cls: ClassVar[type[AlwaysJson]] = AlwaysJson


class Api(Controller[Bodies]):
    """One path of the API. A bearer token is needed unless a method says `public=True`."""

    is_abstract: ClassVar[bool] = True
    endpoint_cls = JsonEndpoint
    error_model = ProblemDetails
    auth: ClassVar[tuple[SyncAuth, ...]] = (BearerToken(),)
    parsers = (StrictJson(),)
    renderers = (MsgspecJsonRenderer(),)
    validate_responses = False

    @property
    def service(self) -> Service | None:
        """The service that asks, where services may; None for a person."""
        return getattr(self.request, "service", None)

    @property
    def principal(self) -> Principal:
        """Who asks, or for whom a service does. Only where a token was required."""
        if self.service is not None:
            return auth.acting_for(self.service, self.request.META.get("HTTP_DORAN_ACTING_FOR", ""))
        principal: Principal = self.request.principal  # type: ignore[attr-defined]
        return principal

    @property
    def client_address(self) -> str:
        """Where the request came from, behind the proxies the operator trusts."""
        said = self.request.META
        return client_address(
            said.get("REMOTE_ADDR", ""), said.get("HTTP_X_FORWARDED_FOR", ""), trusted=config.current().trusted_proxies
        )

    @property
    def caller(self) -> str:
        """Return the rate-limit key of calls before log-in."""
        return self.client_address

    @property
    def idempotency_key(self) -> str | None:
        """The `Idempotency-Key` header, with or without the quotes of a structured field."""
        key = self.request.META.get("HTTP_IDEMPOTENCY_KEY", "").strip()
        if len(key) >= 2 and key[0] == key[-1] == '"':
            key = key[1:-1]
        return key or None

    def answer(self, body: Any = None, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """A response with a status chosen at run time; `None` is an empty body."""
        return self.to_response(body, status_code=HTTPStatus(status), headers=headers)

    def link(self, **query: Any) -> str:
        """The address of this same path with some query values replaced; `None` takes one away."""
        wanted = self.request.GET.copy()
        for name, value in query.items():
            wanted.pop(name, None)
            if value is not None:
                wanted[name] = str(value)
        return f"{self._origin()}{self.request.path}?{wanted.urlencode()}".rstrip("?")

    def page(
        self,
        results: list[Item],
        *,
        count: int,
        next: Mapping[str, Any] | None,
        previous: Mapping[str, Any] | None,
    ) -> Page[Item]:
        """A page whose neighbours are this path with other query values (`next={"page": 3}`)."""
        return Page(
            count=count,
            next=None if next is None else self.link(**next),
            previous=None if previous is None else self.link(**previous),
            results=results,
        )

    def _origin(self) -> str:
        """Return where links lead: to `public_url`, or to the name that was asked where the operator gave several."""
        now, host = config.current(), self.request.get_host()
        if now.public_url and not _is_second_name(host, now):
            return str(now.public_url)
        is_https = self.request.is_secure() or now.public_url.startswith("https:")
        return f"{'https' if is_https else 'http'}://{host}"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        wanted = "GET" if request.method == "HEAD" else str(request.method)
        endpoint = self.api_endpoints.get(wanted)
        if endpoint is None:
            return self.handle_method_not_allowed(wanted)
        response = endpoint.func(self, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "no-store")
        return response  # type: ignore[return-value]

    def handle_method_not_allowed(self, method: str) -> HttpResponse:
        if method == "OPTIONS":
            return HttpResponse(status=204, headers={"Allow": self._allowed()})
        response = problems.refusal(Problem("method_not_allowed"), self.request)
        response.headers["Allow"] = self._allowed()
        return response

    def handle_error(self, endpoint: Endpoint, controller: Controller[Any], exc: Exception) -> HttpResponse:
        if isinstance(exc, Problem):
            return problems.refusal(exc, self.request)
        if isinstance(exc, RequestSerializationError):
            return problems.refusal(Problem("malformed_json"), self.request)
        return problems.crashed(exc, self.request)

    def to_error(
        self,
        raw_data: Any,
        *,
        status_code: HTTPStatus,
        headers: Mapping[str, str] | None = None,
        cookies: Mapping[str, NewCookie] | None = None,
        renderer: Renderer | None = None,
    ) -> HttpResponse:
        """What is left when an answer cannot be written as JSON."""
        problems.logger.error("an answer of %s could not be rendered", type(self).__qualname__)
        return problems.refusal(Problem("internal_error"), self.request)

    def _allowed(self) -> str:
        offered = {*self.api_endpoints, "OPTIONS"} | ({"HEAD"} if "GET" in self.api_endpoints else set())
        return ", ".join(sorted(offered))


def offers(
    answers: Mapping[int, Any] | None = None,
    *,
    status: int = 200,
    problems: Sequence[str] = (),
    public: bool = False,
    scope: str | None = None,
) -> Callable[[Method], Method]:
    """Declare one method of a path: its answers, the problems particular to it, and whether it is open to all.

    With a `scope` (of `contracts.scopes`) it is offered to services as well as to people.

    Without `answers`, the method returns the body itself, of the type it is annotated with, under `status`.
    With `answers` (status to body type) it returns `self.answer(body, status=…)`.
    """
    refusals = _documented([*problems, "insufficient_scope"] if scope else problems)
    asked: Any = (Anyone(),) if public else (BearerToken(scope),) if scope else EMPTY
    decorate: Any
    if answers is None:
        decorate = modify(status_code=HTTPStatus(status), extra_responses=refusals, auth=asked)
    else:
        kinds = [ResponseSpec(kind, status_code=HTTPStatus(code)) for code, kind in answers.items()]
        decorate = validate(kinds[0], *kinds[1:], *refusals, auth=asked)
    return decorate  # type: ignore[no-any-return]


def _documented(codes: Sequence[str]) -> list[ResponseSpec]:
    """One response per status, whose description lists the codes that share it."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        kind = PROBLEMS[code]
        by_status.setdefault(kind.status, []).append(f"`{Problem(code).code}`: {kind.title}.")
    return [
        ResponseSpec(ProblemDetails, status_code=HTTPStatus(status), description=" ".join(lines))
        for status, lines in by_status.items()
    ]
