"""A claim: that a job is in these hands, for as long as its lease lasts."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet

from doran.ai.models import AiJob


class Lost(Exception):
    """The job is not in these hands any more: whatever comes of it is nobody's."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Every change that belongs to an attempt goes through `rows`, which are none once it is lost."""

    job_id: UUID
    token: str
    attempt: int

    @property
    def rows(self) -> QuerySet[AiJob]:
        """The job, if it is still held."""
        return AiJob.objects.filter(id=self.job_id, claim=self.token, state=AiJob.State.RUNNING)
