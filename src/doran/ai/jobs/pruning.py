"""What is kept no longer: jobs that ended long ago, with their answers, and the days that nobody counts any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q

from doran.ai.models import AiJob, AiResponse, Source, Spending
from doran.kernel import clock, config

DATABASE: Final = "ai"
PERIODS_KEPT: Final = timedelta(days=400)
_BATCH: Final = 500


def prune() -> int:
    """Let go of jobs that ended more than `ai_days` ago, in batches, so that nobody waits long; how many.

    What was asked for under a key is forgotten with its job: after so long nobody repeats it.
    """
    before = clock.now() - timedelta(days=config.current().ai_days)
    old = AiJob.objects.filter(_has_ended(), finished_at__lt=before, reserved_micros=0).order_by("finished_at")
    count = 0
    while ids := list(old.values_list("id", flat=True)[:_BATCH]):
        with transaction.atomic(using=DATABASE):
            Source.objects.filter(job_id__in=ids).delete()
            AiResponse.objects.filter(job_id__in=ids).delete()
            count += AiJob.objects.filter(id__in=ids).delete()[0]
    Spending.objects.filter(period__lt=f"{clock.now() - PERIODS_KEPT:%Y-%m-%d}", reserved_micros=0).delete()
    return count


def _has_ended() -> Q:
    return Q(state__in=(AiJob.State.SUCCEEDED, AiJob.State.FAILED, AiJob.State.CANCELLED))
