"""What the services' migrations do to their outboxes alike."""

from __future__ import annotations

from typing import Any

from django.db import migrations

from doran.kernel.lanes import lane


def give_lanes(service: str) -> migrations.RunPython:
    """Rows that wait since before there were lanes get that of their key."""

    def give(apps: Any, editor: Any) -> None:
        waiting = apps.get_model(service, "Outbox")._base_manager.using(editor.connection.alias)
        for key in list(waiting.order_by().values_list("key", flat=True).distinct()):
            waiting.filter(key=key).update(lane=lane(key))

    return migrations.RunPython(give, migrations.RunPython.noop)
