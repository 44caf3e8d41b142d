"""What was spent, as the operator sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django.db.models import Sum

from doran.ai.models import Spending
from doran.ai.money.budgets import EVERYBODY, PERSON
from doran.kernel import clock


class Spent(NamedTuple):
    """Of everybody in a month, or of one person in a day; amounts in millionths of the currency."""

    who: str
    period: str
    jobs: int
    tokens: int
    spent: int
    reserved: int


def months(most: int = 12) -> Sequence[Spent]:
    """What everybody together spent, the newest month first. Its jobs are those of its people's days, and of who is gone."""
    rows = Spending.objects.filter(scope=EVERYBODY).order_by("-period")[:most]
    return [_spent(one)._replace(jobs=one.jobs + _jobs_of(one.period)) for one in rows]


def _jobs_of(month: str) -> int:
    days = Spending.objects.filter(scope__startswith=PERSON, period__startswith=month)
    return days.aggregate(jobs=Sum("jobs"))["jobs"] or 0


def today(most: int = 20) -> Sequence[Spent]:
    """Who spent most today (UTC), by their id."""
    rows = Spending.objects.filter(period=f"{clock.now():%Y-%m-%d}", scope__startswith=PERSON)
    return [_spent(one) for one in rows.order_by("-spent_micros", "-jobs", "scope")[:most]]


def _spent(row: Spending) -> Spent:
    who = row.scope.removeprefix(PERSON)
    return Spent(who, row.period, row.jobs, row.tokens, row.spent_micros, row.reserved_micros)
