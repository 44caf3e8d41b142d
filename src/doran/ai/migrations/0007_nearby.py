"""Vectors where PostgreSQL can compare them. Where it cannot, this does nothing, and a later `doran migrate` looks again."""

from typing import Any

from django.db import migrations

from doran.ai.retrieval.pgvector import table


def make(apps: Any, editor: Any) -> None:
    if table.make():
        table.complete()


def drop(apps: Any, editor: Any) -> None:
    table.drop()


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("ai", "0006_said")]

    operations = [migrations.RunPython(make, drop)]
