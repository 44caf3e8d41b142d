"""Fails when a model says something its migrations do not."""

from __future__ import annotations

import os
import tempfile


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="doran-migrations-") as folder:
        os.environ["DJANGO_SETTINGS_MODULE"] = "doran.server.settings"
        os.environ["DORAN_DATA"] = folder
        import django
        from django.core.management import call_command

        django.setup()
        call_command("makemigrations", check=True, dry_run=True)


if __name__ == "__main__":
    main()
