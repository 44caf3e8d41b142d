"""Fails when a model says something its migrations do not."""

from __future__ import annotations

import os
import tempfile

os.environ["DJANGO_SETTINGS_MODULE"] = "doran.server.settings"
os.environ["DORAN_DATA"] = tempfile.mkdtemp(prefix="doran-migrations-")

import django
from django.core.management import call_command

django.setup()
call_command("makemigrations", check=True, dry_run=True)
