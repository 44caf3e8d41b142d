"""Django's admin, where the settings ask for it: what it needs of Django, and that it stays behind its own door.

Whoever does not switch it on has none of its tables, paths or middleware. Its tables live in ai's database, because
ai's prompts are what is looked after there.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from doran.kernel import origins
from doran.kernel.config import Config
from doran.kernel.constant import Constant

PATH: Final = "/admin/"
LABELS: Final = ("contenttypes", "auth", "admin", "sessions")
"""Apps with tables of their own, in the order in which they lean on each other."""
HOME: Final = "ai"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_APPS: Final = [
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
]
_WORKING_DAY: Final = 8 * 3600


def is_on(config: Config) -> bool:
    """Whether this process has it."""
    return config.admin and HOME in config.services


def settings(config: Config) -> dict[str, Any]:
    """Django's settings for it."""
    is_https = config.url.startswith("https://")
    return {
        "APPS": _APPS,
        "MIDDLEWARE": ["doran.server.admin.behind_its_door"],
        "TEMPLATES": [_templates()],
        "STATIC_URL": f"{PATH}static/",
        "USE_I18N": True,
        "LANGUAGES": [("ko", "한국어"), ("en", "English")],
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.Argon2PasswordHasher"],
        "AUTH_PASSWORD_VALIDATORS": [{"NAME": f"django.contrib.auth.password_validation.{one}"} for one in _VALIDATORS],
        "CSRF_TRUSTED_ORIGINS": [origins.origin_of(config.url)],
        "CSRF_COOKIE_NAME": "doran_admin_csrf",
        "CSRF_COOKIE_PATH": PATH,
        "CSRF_COOKIE_SECURE": is_https,
        "CSRF_COOKIE_HTTPONLY": True,
        "CSRF_COOKIE_SAMESITE": "Strict",
        "SESSION_COOKIE_NAME": "doran_admin",
        "SESSION_COOKIE_PATH": PATH,
        "SESSION_COOKIE_SECURE": is_https,
        "SESSION_COOKIE_SAMESITE": "Strict",
        "SESSION_COOKIE_AGE": _WORKING_DAY,
        "SESSION_EXPIRE_AT_BROWSER_CLOSE": True,
    }


_VALIDATORS: Final = ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")


def _templates() -> dict[str, Any]:
    processors = ("django.template.context_processors.request", "django.contrib.auth.context_processors.auth")
    return {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": [*processors, "django.contrib.messages.context_processors.messages"]},
    }


# -- its door ----------------------------------------------------------------------------------------


def behind_its_door(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Sessions, log-ins and the like for the admin's paths; every other request goes by untouched."""
    inner = _middleware(get_response)

    def answer(request: Any) -> Any:
        if not request.path.startswith(PATH):
            return get_response(request)
        response = inner(request)
        response["Content-Security-Policy"] = POLICY
        response["Referrer-Policy"] = "same-origin"  # or browsers would hide from Django's forms where they come from
        return response

    return answer


def _middleware(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    from django.contrib.auth.middleware import AuthenticationMiddleware
    from django.contrib.messages.middleware import MessageMiddleware
    from django.contrib.sessions.middleware import SessionMiddleware
    from django.middleware.csrf import CsrfViewMiddleware
    from django.middleware.locale import LocaleMiddleware

    outermost_last = (
        MessageMiddleware,
        AuthenticationMiddleware,
        CsrfViewMiddleware,
        LocaleMiddleware,
        SessionMiddleware,
    )
    for one in outermost_last:
        get_response = one(get_response)
    return get_response


# -- its paths ---------------------------------------------------------------------------------------


def paths() -> list[Any]:
    """Where it answers."""
    from django.urls import path

    from doran.ai.admin import site

    return [path("admin/static/<path:name>", _static), path("admin/", site.urls)]


def _static(request: Any, name: str) -> Any:
    """A file of Django's own admin: its styles and scripts come with Django, nothing is built."""
    from django.http import HttpResponseNotFound

    from doran.kernel.http.docs import constant_response

    if request.method not in ("GET", "HEAD") or not _is_file(name):
        return HttpResponseNotFound()
    return constant_response(_file(name), request)


@cache
def _file(name: str) -> Constant:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Constant(
        (_static_root() / name).read_bytes(), {"Content-Type": kind, "Cache-Control": "public, max-age=3600"}
    )


@cache
def _static_root() -> Path:
    from django.contrib import admin

    return Path(admin.__file__).parent / "static"


def _is_file(name: str) -> bool:
    root = _static_root().resolve()
    file = (root / name).resolve()
    return file.is_relative_to(root) and file.is_file()
