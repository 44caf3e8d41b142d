from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "doran.core"
    label = "core"
