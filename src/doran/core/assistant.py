"""The assistant as a person: there as long as the settings give it a name, and called by it."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import Final

from doran.contracts.errors import Problem
from doran.contracts.people import ASSISTANT_ID
from doran.core import assistant_name, profiles, users
from doran.core.models import User
from doran.kernel import config

USERNAME: Final = "assistant"


def welcome() -> None:
    """Let the assistant come, go, or change its name, as the settings say. Twice, or by many at once, is the same.

    A core that knows of no ai leaves everything as it is. Raises `BadSetting` for a name nobody could have.
    """
    name = assistant_name.told(config.current())
    if name:
        _come(name)
    elif name is not None and _exists():
        users.switch_bot(ASSISTANT_ID, active=False)


def _come(name: str) -> None:
    while not _exists():
        with suppress(Problem):  # somebody was faster: another copy with the assistant, or a person with the user name
            users.add_bot(ASSISTANT_ID, _free_username(), display_name=name)
    users.switch_bot(ASSISTANT_ID, active=True)
    profiles.change(ASSISTANT_ID, {"display_name": name})


def _exists() -> bool:
    return User.objects.filter(id=ASSISTANT_ID).exists()


def _free_username() -> str:
    names = (USERNAME if number == 1 else f"{USERNAME}-{number}" for number in count(1))
    return next(name for name in names if not User.objects.filter(handle=name).exists())
