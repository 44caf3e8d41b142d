"""One ASGI application: Channels routes sockets to the consumer, with Django's session cookie as the way in."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

from django.core.asgi import get_asgi_application

http = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402  (models load only after Django is set up)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from chat.consumers import ChatConsumer  # noqa: E402
from django.urls import path  # noqa: E402

sockets = URLRouter([path("ws/chat/<uuid:conversation_id>/", ChatConsumer.as_asgi())])
application = ProtocolTypeRouter({"http": http, "websocket": AuthMiddlewareStack(sockets)})
