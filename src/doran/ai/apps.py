"""Answers, as Django registers the service."""

from django.apps import AppConfig


class AiConfig(AppConfig):
    name = "doran.ai"
    label = "ai"
