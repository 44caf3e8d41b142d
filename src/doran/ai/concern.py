"""Which events are any business of ai: of the messages people send each other, as good as none.

Whoever pays for a message pays for every look at it. So this one hardly asks a database: it looks for the assistant's id
in the text, and for the conversation among those that may be searched by meaning.
"""

from __future__ import annotations

from typing import Final

import msgspec

from doran.ai.privacy import searched
from doran.contracts.events import MessageCreated
from doran.contracts.people import ASSISTANT_ID
from doran.kernel.bus import Said

_ASSISTANT: Final = ASSISTANT_ID.encode()


def concerns(said: Said) -> bool:
    """Whether ai has to hear this event. Deletions and edits always: something may rest on the words they take away."""
    if said.event_type != MessageCreated.NAME:
        return True
    return _names_assistant(said.data) or _may_be_searched(said.key)


def _may_be_searched(conversation_id: str) -> bool:
    """True as well where that is not known at once: it is asked again on the thread that the event is handed to."""
    known = searched.lately()
    return known is None or conversation_id in known


def _names_assistant(data: str | msgspec.Raw) -> bool:
    return ASSISTANT_ID in data if isinstance(data, str) else _ASSISTANT in bytes(data)
