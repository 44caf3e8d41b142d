"""How a refusal looks over HTTP: one `Problem`, one `application/problem+json` response."""

from __future__ import annotations

import logging
import math
import sys
from typing import Final

import msgspec
from django.core.signals import got_request_exception
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse

from doran.contracts.errors import Problem
from doran.kernel import telemetry
from doran.kernel.telemetry.logs import places

MEDIA_TYPE: Final = "application/problem+json"
RETRY_STATUSES: Final = frozenset({429, 503})

logger = logging.getLogger("doran.http")
_no_database = telemetry.Outage(logger, "a request failed for want of its database", level=logging.ERROR)
_encoder = msgspec.json.Encoder()


def encoded(problem: Problem) -> bytes:
    """The body of a refusal, with the trace id that finds its log lines."""
    return _encoder.encode(problem.body(trace_id=telemetry.trace_id()))


def headers(problem: Problem, *, token_was_sent: bool = False) -> dict[str, str]:
    """What the status obliges us to say beside the body: who may come in, when to come back."""
    said = {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store"}
    if problem.kind.status == 401:
        said["WWW-Authenticate"] = _challenge(token_was_sent=token_was_sent)
    if problem.retry_after is not None or problem.kind.status in RETRY_STATUSES:
        said["Retry-After"] = str(max(1, math.ceil(problem.retry_after or 1)))
    return said


def refusal(problem: Problem, request: HttpRequest | None = None) -> HttpResponse:
    """The response that says no."""
    token_was_sent = request is not None and "HTTP_AUTHORIZATION" in request.META
    response = HttpResponse(
        encoded(problem), status=problem.kind.status, headers=headers(problem, token_was_sent=token_was_sent)
    )
    response._has_been_logged = True  # type: ignore[attr-defined]  # or Django logs it, with the exception's own words
    return response


def from_exception(error: BaseException) -> Problem:
    """The problem behind whatever went wrong; what nobody expected is logged and stays unsaid."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, OperationalError | InterfaceError):
        _no_database.goes_on(error)
        return Problem("storage_full") if "full" in str(error).lower() else Problem("unavailable", retry_after=2)
    log_crash(error)
    return Problem("internal_error")


def crashed(error: Exception, request: HttpRequest) -> HttpResponse:
    """The response to an exception that no code of ours expected; Django's listeners hear of it too."""
    got_request_exception.send(sender=HttpRequest, request=request)
    return refusal(from_exception(error), request)


def log_crash(error: BaseException) -> None:
    """Log where it happened, never the exception's own words: they may quote what people wrote."""
    facts = {"error_class": type(error).__name__, "places": places(error.__traceback__)}
    logger.error("a request failed", extra=facts)


def _challenge(*, token_was_sent: bool) -> str:
    return 'Bearer realm="doran", error="invalid_token"' if token_was_sent else 'Bearer realm="doran"'


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refusal(Problem("bad_request"), request)


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refusal(Problem("origin_not_allowed"), request)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    return refusal(Problem("not_found"), request)


def handler500(request: HttpRequest) -> HttpResponse:
    return refusal(from_exception(sys.exc_info()[1] or Problem("internal_error")), request)
