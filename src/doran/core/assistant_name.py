"""How the assistant is called: read before there is any database, so nothing here asks for one."""

from __future__ import annotations

from doran.core import texts
from doran.kernel.config import BadSetting, Config


def told(config: Config) -> str | None:
    """The name in the settings, empty where there is to be no assistant; None where they tell core of no ai.

    Raises `BadSetting` for a name nobody could have.
    """
    if not ("ai" in config.services or config.ai_url):
        return None
    name = texts.line(config.ai_assistant)
    wrong = texts.wrong_display_name(name) if name else None
    if wrong is not None:
        raise BadSetting(f"DORAN_AI_ASSISTANT: nobody can be called {name!r}: {wrong.detail}")
    return name
