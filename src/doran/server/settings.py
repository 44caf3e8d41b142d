"""Django's settings, all of them derived from Doran's own (`doran.kernel.config`)."""

from __future__ import annotations

from doran.kernel import config as _config
from doran.server import admin as _admin
from doran.server.databases import databases as _databases

_now = _config.current()

SECRET_KEY = _now.secret_key or "sealed elsewhere: Django signs nothing here"
DEBUG = False
ALLOWED_HOSTS = ["*"]  # hosts are checked in front of Django, in doran.server.asgi
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
USE_I18N = False
APPEND_SLASH = False
ROOT_URLCONF = "doran.server.urls"
MIDDLEWARE: list[str] = []
INSTALLED_APPS = [f"doran.{service}" for service in _now.services]
DATABASES = _databases(_now)
DATABASE_ROUTERS = ["doran.server.databases.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = None  # the body limit is kept in front of Django
LOGGING_CONFIG = None  # doran.kernel.telemetry configures logging
SILENCED_SYSTEM_CHECKS: list[str] = []

if _admin.is_on(_now):
    _more = _admin.settings(_now)
    INSTALLED_APPS += _more.pop("APPS")
    globals().update(_more)
