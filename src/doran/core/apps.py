"""People, as Django registers the service."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "doran.core"
    label = "core"
