from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "doran.chat"
    label = "chat"
