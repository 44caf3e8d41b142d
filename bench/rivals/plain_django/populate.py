"""Fill the plain Django design: `populate.py PEOPLE HISTORY` migrates, adds pairs with history, prints them as JSON lines.

`populate.py --stored` prints how many messages the database holds.
"""

import json
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from chat.models import Conversation, Message  # noqa: E402  (models load only after Django is set up)
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.core.management import call_command  # noqa: E402


def log_in(name):
    """The session cookie that a log-in form would have set."""
    user, _ = User.objects.get_or_create(username=name, defaults={"password": "!"})
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session.session_key


def pair(number, history):
    a, b = f"a{number}", f"b{number}"
    conversation, _ = Conversation.objects.get_or_create(participant1_id=a, participant2_id=b)
    Message.objects.bulk_create(
        Message(conversation=conversation, sender_id=a, content="hello".ljust(100, "x")) for _ in range(history)
    )
    return {"conversation": str(conversation.id), "a": a, "a_session": log_in(a), "b": b, "b_session": log_in(b)}


def main(arguments):
    if arguments == ["--stored"]:
        print(Message.objects.count())
        return
    people, history = map(int, arguments)
    call_command("migrate", verbosity=0)
    for number in range(people // 2):
        print(json.dumps(pair(number, history)))


main(sys.argv[1:])
