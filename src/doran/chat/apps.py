"""Conversations, as Django registers the service."""

from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "doran.chat"
    label = "chat"
