"""Every way Doran says no: problem codes for REST and frames, close codes for sockets.

Both are tables. The reference in `docs/reference/errors.md` is generated from them, and clients
may branch on `code` for ever: a code is never renamed and never changes its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec


class ProblemKind(msgspec.Struct, frozen=True):
    """One line of the table: a stable word, its HTTP status, a title, and what a caller does next."""

    code: str
    status: int
    title: str
    advice: str


class CloseKind(msgspec.Struct, frozen=True):
    """One reason a socket ends. `come_back` tells a client whether reconnecting can help."""

    code: int
    name: str
    come_back: bool
    meaning: str


_PROBLEMS = (
    ("bad_request", 400, "The request cannot be read", "Send what the schema describes."),
    ("malformed_json", 400, "The body is not JSON", "Send one UTF-8 JSON object."),
    (
        "invalid_frame",
        400,
        "The frame cannot be read",
        "Send one JSON object of a known type; the third bad frame closes.",
    ),
    ("not_authenticated", 401, "No valid access token", "Send a current access token; refresh it if it expired."),
    ("invalid_credentials", 401, "User name or password is wrong", "Try again with other credentials."),
    ("invalid_refresh_token", 401, "The refresh token is not valid", "Log in again."),
    (
        "refresh_token_reused",
        401,
        "The refresh token was used before",
        "The session was ended for safety; log in again.",
    ),
    ("insufficient_scope", 403, "The service may not do this", "Services have fixed scopes; see the table of scopes."),
    ("sender_mismatch", 403, "The sender is not you", "Leave sender_id and user_id out, or send your own."),
    (
        "recipient_unavailable",
        403,
        "This person cannot be reached",
        "Nothing can be sent here for now; history stays readable.",
    ),
    ("person_unavailable", 404, "This person cannot be reached", "Check the id; the person may not exist for you."),
    (
        "consent_needed",
        403,
        "Not everybody here has agreed to the AI",
        "Both people can allow it for this conversation; until then none of their words go there.",
    ),
    ("not_author", 403, "Only the author may do this", "Ask the author."),
    ("too_late", 403, "The time for this has passed", "Edits and deletions are possible for a limited time."),
    ("signups_closed", 403, "Signing up is closed", "Ask the operator for an account."),
    ("invite_required", 403, "Signing up needs an invitation", "Send a valid invite_code."),
    ("origin_not_allowed", 403, "This web page may not connect", "The operator must allow its origin."),
    ("not_found", 404, "There is no such thing for you", "Check the id."),
    ("user_erased", 404, "This account was deleted", "Whoever has the same name now is another person."),
    (
        "operator_api_off",
        404,
        "The operator's calls are off",
        "The operator can set DORAN_OPERATOR_TOKEN, or use the doran command.",
    ),
    ("method_not_allowed", 405, "The method is not offered here", "See the Allow header."),
    ("not_acceptable", 406, "The wanted media type is not offered", "Accept application/json."),
    ("request_timeout", 408, "The request took too long to arrive", "Send it again, faster."),
    ("username_taken", 409, "The user name is taken", "Choose another."),
    (
        "idempotency_conflict",
        409,
        "This id was used for something else",
        "Use a new client_message_id for a new message, a new idempotency_key for a new job.",
    ),
    ("conflict", 409, "The request contradicts the present state", "Read again, then decide."),
    ("payload_too_large", 413, "The body is too large", "Send less."),
    ("unsupported_media_type", 415, "The body is not application/json", "Set Content-Type: application/json."),
    ("expectation_failed", 417, "The expectation cannot be met", "Expect 100-continue, or nothing."),
    ("validation_failed", 422, "Some fields are wrong", "See errors for each field."),
    (
        "weak_password",
        422,
        "The password is too easy to guess",
        "Use at least 8 characters that are not a common password.",
    ),
    ("message_deleted", 422, "The message is deleted", "A deleted message cannot be changed."),
    (
        "upgrade_required",
        426,
        "Another version of the protocol is needed",
        "See the headers Upgrade and Sec-WebSocket-Version.",
    ),
    (
        "budget_exhausted",
        429,
        "The allowance for the AI is used up",
        "Wait as long as Retry-After says; the operator sets the allowance.",
    ),
    ("too_many_requests", 429, "Too many requests", "Wait as long as Retry-After or retry_after_ms says."),
    (
        "headers_too_large",
        431,
        "The headers are too long",
        "Send fewer and shorter headers; 64 KiB together are taken.",
    ),
    ("internal_error", 500, "Something went wrong here", "Try again; the trace id helps the operator."),
    ("not_implemented", 501, "The request needs what is not offered", "Send the body plain or chunked."),
    (
        "unavailable",
        503,
        "The service cannot answer now",
        "Try again after Retry-After; a send keeps its client_message_id.",
    ),
    ("ai_off", 503, "The AI is switched off", "The operator has switched it off for now."),
    ("no_provider", 503, "No AI provider is set up", "The operator must configure one."),
    ("storage_full", 507, "The disk is full", "Reading works; the operator must free space."),
)

_CLOSES = (
    (1000, "normal", False, "The client is done."),
    (1008, "too_many_hidden_frames", False, "Too many pings, pongs or pieces of messages; send fewer."),
    (1009, "frame_too_long", False, "A frame was over 256 KiB or, before `ready`, over 20 KiB."),
    (1011, "internal_error", True, "Something went wrong here."),
    (1012, "restarting", True, "The server restarts; come back with jitter."),
    (1013, "unavailable", True, "Something needed for the answer is away or too slow; come back, backing off."),
    (4400, "bad_frames", False, "The third frame that could not be read."),
    (
        4401,
        "not_authenticated",
        True,
        "No valid token in time, or it expired or was revoked; come back with a new one.",
    ),
    (4404, "not_found", False, "There is no such conversation for you."),
    (4408, "too_slow", True, "The client did not read fast enough; come back and ask for what was missed."),
    (4409, "replaced", False, "Too many sockets of one person: the oldest made room."),
    (4429, "too_fast", True, "The client went on past its limits; come back later."),
)

_JOB_FAILURES = (
    ("no_provider", "No provider can do this kind of job, or none may be asked without consent."),
    ("consent_needed", "Somebody took their consent back before the job ran."),
    ("not_found", "What the job is about is gone, or not the asker's any more."),
    ("ai_off", "The operator switched the AI off before the job ran."),
    ("budget_exhausted", "The allowance was used up before the job ran."),
    ("provider_unavailable", "No provider answered in time, or all of them failed; asking again later may help."),
    ("provider_refused", "The provider refuses to answer this."),
    ("too_long", "There is more text than the model can read at once."),
    ("cut_off", "The answer broke off before its end; `partial` shows what came."),
    ("invalid_answer", "The provider's answer is not of the form that was asked for."),
    ("deadline", "The job was not done in the time it had."),
    ("worker_lost", "The process that worked on it was lost too often."),
    ("internal_error", "Something went wrong here."),
)

PROBLEMS: Final[Mapping[str, ProblemKind]] = {row[0]: ProblemKind(*row) for row in _PROBLEMS}
CLOSES: Final[Mapping[int, CloseKind]] = {row[0]: CloseKind(*row) for row in _CLOSES}
JOB_FAILURES: Final[Mapping[str, str]] = dict(_JOB_FAILURES)
"""Why a job of the AI failed, by its `failure_code`."""


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field: where (dotted path) and why, in words fit for a person."""

    field: str
    detail: str


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every refusal (RFC 9457, `application/problem+json`)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[FieldError, ...] = ()
    trace_id: str = ""


class Problem(Exception):
    """Raised anywhere inward of an edge; each edge turns it into its own kind of refusal.

    `wire_code` lets two kinds with different statuses share one public word
    (`recipient_unavailable` is 404 when opening and 403 when sending).
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        errors: tuple[FieldError, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        self.kind = PROBLEMS[code]
        self.detail = detail or self.kind.advice
        self.errors = errors
        self.retry_after = retry_after
        super().__init__(code)

    @property
    def code(self) -> str:
        return _WIRE_CODES.get(self.kind.code, self.kind.code)

    def body(self, *, trace_id: str = "") -> ProblemDetails:
        return ProblemDetails(
            type=f"urn:doran:problem:{self.code}",
            title=self.kind.title,
            status=self.kind.status,
            detail=self.detail,
            code=self.code,
            errors=self.errors,
            trace_id=trace_id,
        )


# The contract gives both refusals one word; only the status differs by where it is said.
_WIRE_CODES: Final[Mapping[str, str]] = {"person_unavailable": "recipient_unavailable"}


def invalid(field: str, detail: str) -> Problem:
    """One field is wrong: a 422 that names it."""
    return Problem("validation_failed", detail, errors=(FieldError(field, detail),))
