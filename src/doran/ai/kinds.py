"""The kinds of jobs: what each works on, what may be said with it, how long it may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

import msgspec

from doran.contracts.errors import invalid
from doran.contracts.frames import JobKind
from doran.kernel import config

Locale = Literal["ko", "en"]
Need = Literal["complete", "embed", "translate", "vectors"]

Language = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?$", description="As in BCP 47.")]
Seq = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Options(msgspec.Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """What may be said with a job of any kind: `locale` is the language of the asker."""

    locale: Locale | None = None


class TranslateOptions(Options, frozen=True):
    """Into which language (the asker's by default), and whether to speak to an elder."""

    target: Language | None = None
    honorific: bool | None = None


class RewriteOptions(Options, frozen=True, kw_only=True):
    style: Literal["polite", "casual", "shorter", "spelling"]


class SummarizeOptions(Options, frozen=True):
    """Only what came after this seq; by default what the asker has not read."""

    since_seq: Seq | None = None


class SearchOptions(Options, frozen=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=50)] = 10


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the table.

    `needs` are groups of fields of which one each must be given. `by` says what must be there to do it, one of them
    is enough; `also` what must be there as well. `prompt` is the key of its prompt. `seconds` is how long it may take in all, where that is not the
    setting `ai_seconds`. Of an `is_streamed` kind the asker sees the answer grow; of others it means nothing before it
    is whole and was looked at: citations bear it (`ask`), or nothing may be lost in it (`translate`). Of an `is_ordered` kind only one job runs in a conversation at a time; `is_background` ones
    run when nobody waits for another. `scope` is the consent it needs of people whose words it reads.
    """

    name: JobKind
    needs: tuple[tuple[str, ...], ...]
    options: type[Options] = Options
    by: tuple[Need, ...] = ("complete",)
    prompt: str = ""
    max_tokens: int = 1024
    seconds: float = 0
    also: tuple[Need, ...] = ()
    is_streamed: bool = False
    is_ordered: bool = False
    is_background: bool = False
    scope: Literal["on_demand", "history"] = "on_demand"

    @property
    def longest(self) -> timedelta:
        """From the question to the end of the job, waiting included."""
        return timedelta(seconds=self.seconds or config.current().ai_seconds)

    @property
    def reads_chat(self) -> bool:
        """Whether it cannot be done without asking chat what was said."""
        return self.scope == "history" or not any("input" in group for group in self.needs)

    def check(self, given: Mapping[str, Any]) -> None:
        """Raises `Problem("validation_failed")` that names the field which is missing."""
        for group in self.needs:
            if not any(given.get(name) for name in group):
                raise invalid(group[0], f"A {self.name} job needs {' or '.join(group)}.")

    def understood(self, options: Any) -> Options:
        """The options of a job of this kind. Raises `msgspec.ValidationError`."""
        return msgspec.convert(options, self.options)


_KINDS = (
    Kind("reply", (("conversation_id",),), prompt="reply", max_tokens=1500, is_streamed=True, is_ordered=True),
    Kind("smart_replies", (("conversation_id",),), prompt="smart_replies", max_tokens=300),
    Kind("summarize", (("conversation_id",),), SummarizeOptions, prompt="summarize", max_tokens=1200, is_streamed=True),
    Kind("translate", (("message_id", "input"),), TranslateOptions, ("complete", "translate"), "translate", 2500),
    Kind("rewrite", (("input",),), RewriteOptions, prompt="rewrite", max_tokens=2500, is_streamed=True),
    Kind("ask", (("input",),), prompt="ask", also=("embed", "vectors"), max_tokens=1200, scope="history"),
    Kind("moderate", (("message_id", "input"),), prompt="moderate", max_tokens=200),
    Kind(
        "embed",
        (("conversation_id", "message_id"),),
        by=("embed",),
        also=("vectors",),
        seconds=3600,
        is_ordered=True,
        is_background=True,
        scope="history",
    ),
    Kind("semantic_search", (("input",),), SearchOptions, by=("embed",), also=("vectors",), scope="history"),
)

KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in _KINDS}
