"""Export: all that the AI keeps of one person, for that person."""

from __future__ import annotations

from doran.ai.models import AiJob, Consent, Disclosure
from doran.ai.privacy import views
from doran.ai.privacy.views import Export
from doran.kernel import clock


def export(user_id: str) -> Export:
    """Consents, jobs with their answers, and where this person's words went; the oldest first."""
    jobs = AiJob.objects.filter(user_id=user_id).select_related("response").order_by("created_at", "id")
    consents = Consent.objects.filter(user_id=user_id).order_by("changed_at", "id")
    disclosures = Disclosure.objects.filter(user_id=user_id).order_by("at", "id")
    return Export(
        user_id=user_id,
        exported_at=clock.rfc3339(clock.now()),
        consents=[views.consent(row) for row in consents.iterator()],
        jobs=[views.job(row) for row in jobs.iterator()],
        disclosures=[views.disclosure(row) for row in disclosures.iterator()],
    )
