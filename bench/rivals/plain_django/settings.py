"""Settings of the plain Django design: what a project gets from the Channels tutorial, with durable storage.

Environment: RIVAL_DATABASE=mariadb|sqlite, RIVAL_LAYER=redis|pubsub|memory, and where the parts listen:
RIVAL_MARIADB_SOCKET, RIVAL_SQLITE_PATH, RIVAL_REDIS_PORT, RIVAL_CONN_MAX_AGE (seconds, 0 is Django's own default).
"""

import os

SECRET_KEY = "a benchmark on loopback has no secrets"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "channels",
    "chat",
]
ASGI_APPLICATION = "asgi.application"
ROOT_URLCONF = "urls"

MARIADB = {
    "ENGINE": "django.db.backends.mysql",
    "NAME": "rival",
    "USER": "root",
    "HOST": os.environ.get("RIVAL_MARIADB_SOCKET", ""),
    "OPTIONS": {"charset": "utf8mb4"},
    "CONN_MAX_AGE": int(os.environ.get("RIVAL_CONN_MAX_AGE", "0")),
}
SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": os.environ.get("RIVAL_SQLITE_PATH", ""),
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    },
    "CONN_MAX_AGE": int(os.environ.get("RIVAL_CONN_MAX_AGE", "0")),
}
DATABASES = {"default": SQLITE if os.environ.get("RIVAL_DATABASE") == "sqlite" else MARIADB}

REDIS = {"hosts": [("127.0.0.1", int(os.environ.get("RIVAL_REDIS_PORT", "6379")))]}
LAYERS = {
    "redis": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": REDIS},
    "pubsub": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": REDIS},
    "memory": {"BACKEND": "channels.layers.InMemoryChannelLayer"},
}
CHANNEL_LAYERS = {"default": LAYERS[os.environ.get("RIVAL_LAYER", "redis")]}

LOGGING = {
    "version": 1,
    "handlers": {"nowhere": {"class": "logging.NullHandler"}},
    "loggers": {"chat.events": {"handlers": ["nowhere"], "level": "INFO", "propagate": False}},
}
