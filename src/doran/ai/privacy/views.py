"""What people read of where their words went."""

from __future__ import annotations

import msgspec

from doran.ai.models import AiJob, Consent, Disclosure
from doran.contracts.frames import ConsentScope, JobKind, JobResult, JobState
from doran.kernel.clock import rfc3339, rfc3339_or_none


class DisclosureView(msgspec.Struct, frozen=True):
    """Words of mine went to a provider: `messages` of mine with so many `characters`; none where only a question went.

    `masked` values of personal data had been taken out of the request. `asked_by` is me or who I talk with; empty once
    they were erased.
    """

    id: str
    at: str
    kind: JobKind
    asked_by: str
    conversation_id: str | None
    provider: str
    model: str
    host: str
    is_outside: bool
    messages: int
    characters: int
    masked: int


class DisclosureList(msgspec.Struct, frozen=True):
    """Newest first; `next` is the address of the next page, or null at the end."""

    results: list[DisclosureView]
    next: str | None


class GivenConsent(msgspec.Struct, frozen=True):
    """What I allow in one conversation, and since when."""

    conversation_id: str
    scope: ConsentScope
    changed_at: str


class AskedJob(msgspec.Struct, frozen=True):
    """A job of mine, what I wrote for it, what it cost (millionths of the currency), and what was answered."""

    id: str
    kind: JobKind
    state: JobState
    conversation_id: str | None
    message_id: str | None
    input: str
    provider: str
    model: str
    tokens_in: int
    tokens_out: int
    cost_micros: int
    failure_code: str
    created_at: str
    finished_at: str | None
    result: JobResult | None


class Export(msgspec.Struct, frozen=True):
    """All that the AI keeps of one person."""

    user_id: str
    exported_at: str
    consents: list[GivenConsent]
    jobs: list[AskedJob]
    disclosures: list[DisclosureView]

    @property
    def is_empty(self) -> bool:
        return not (self.consents or self.jobs or self.disclosures)


def disclosure(line: Disclosure) -> DisclosureView:
    return DisclosureView(
        id=str(line.id), at=rfc3339(line.at), kind=line.kind, asked_by=line.asked_by,  # type: ignore[arg-type]
        conversation_id=line.conversation_id, provider=line.provider, model=line.model, host=line.host,
        is_outside=line.is_outside, messages=line.messages, characters=line.characters, masked=line.masked,
    )  # fmt: skip


def consent(row: Consent) -> GivenConsent:
    return GivenConsent(row.conversation_id, row.scope, rfc3339(row.changed_at))  # type: ignore[arg-type]


def job(row: AiJob) -> AskedJob:
    response = getattr(row, "response", None)
    return AskedJob(
        id=str(row.id), kind=row.kind, state=str(row.state), conversation_id=row.conversation_id,  # type: ignore[arg-type]
        message_id=row.message_id, input=row.input, provider=row.provider, model=row.model, tokens_in=row.tokens_in,
        tokens_out=row.tokens_out, cost_micros=row.cost_micros, failure_code=row.failure_code,
        created_at=rfc3339(row.created_at), finished_at=rfc3339_or_none(row.finished_at),
        result=response and msgspec.json.decode(response.data, type=JobResult),
    )  # fmt: skip
