"""What the asker's screens see of a job: that it has another state, and its answer as it grows."""

from __future__ import annotations

from uuid import UUID

from doran.ai import screens
from doran.ai.jobs import views
from doran.ai.models import AiJob
from doran.contracts import frames


def show(job: AiJob) -> None:
    """The job as it stands now, read by who tells it: whoever calls waits for nothing."""
    screens.tell((job.user_id,), lambda: _frame(job.id), job.conversation_id)


def _frame(job_id: UUID) -> frames.AiJob | None:
    job = AiJob.objects.select_related("response").filter(id=job_id).first()
    return None if job is None else frames.AiJob(views.job(job))
