"""Django awake once for all tests, with the services that `DORAN_SERVICES` names (all by default)."""

from __future__ import annotations

import os

import django
from hypothesis import HealthCheck, settings

from doran.kernel import config
from tests import folders, stores

stores.begin()
_services = os.environ.get("DORAN_SERVICES", "core,chat,ai")
config.use(config.load({"DORAN_DATA": str(folders.lasting("doran-tests-")), "DORAN_SERVICES": _services}))
os.environ["DJANGO_SETTINGS_MODULE"] = "doran.server.settings"
django.setup()

# A busy machine is slow, and no example is wrong for that.
settings.register_profile("doran", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("doran")
