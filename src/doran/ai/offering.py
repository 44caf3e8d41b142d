"""What can be asked of the AI here and now."""

from __future__ import annotations

from doran.ai.kinds import KINDS, Kind
from doran.ai.money import switch
from doran.ai.providers import About
from doran.ai.retrieval import vectors
from doran.ai.shop import shop
from doran.contracts.errors import Problem
from doran.contracts.frames import AssistantView, JobKind, ProviderView, ShopWindow
from doran.contracts.people import ASSISTANT_ID
from doran.kernel import auth


def window() -> ShopWindow:
    """Everything that a page has to know before it shows anything of the AI."""
    is_off = switch.is_off()
    kinds = [] if is_off else [kind.name for kind in KINDS.values() if _can(kind)]
    return ShopWindow(kinds, _assistant(kinds), _provider(), [one.about.name for one in shop().translators], is_off)


def require(kind: Kind) -> None:
    """Raises `Problem`: `ai_off` while it is switched off, `no_provider` where nobody can do it."""
    if switch.is_off():
        raise Problem("ai_off", retry_after=60)
    if not _can(kind):
        raise Problem("no_provider", retry_after=60)


def provider() -> About | None:
    """Who would be asked first, wherever that is."""
    return shop().chain.first("complete", outside=True) or shop().chain.first("embed", outside=True)


def _assistant(kinds: list[JobKind]) -> AssistantView | None:
    name: str = shop().config.ai_assistant
    return AssistantView(ASSISTANT_ID, name) if name and "reply" in kinds else None


def _provider() -> ProviderView | None:
    first = provider()
    return None if first is None else ProviderView(first.name, first.is_outside)


def _can(kind: Kind) -> bool:
    is_there = any(map(_is_there, kind.by)) and all(map(_is_there, kind.also))
    is_heard = auth.knows_services() or not kind.reads_chat
    return is_there and is_heard and kind.name in shop().recipes


def _is_there(need: str) -> bool:
    if need == "translate":
        return bool(shop().translators)
    if need == "vectors":
        return vectors.can()
    return shop().chain.can(need, outside=True)  # type: ignore[arg-type]
