"""Every path of the services in this process, and the documents that describe them."""

from __future__ import annotations

from importlib import import_module

from doran.kernel import config
from doran.kernel.http import documents, handler400, handler403, handler404, handler500, urls
from doran.server import admin

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

_routes = {service: import_module(f"doran.{service}.http").ROUTES for service in config.current().services}

urlpatterns = [*(path for routes in _routes.values() for path in urls(routes)), *documents(_routes)]
if admin.is_on(config.current()):
    urlpatterns += admin.paths()
