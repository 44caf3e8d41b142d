"""The `doran ai` command: a table of words, each with its arguments and what it does.

It works on ai's database, beside a running server or while none runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from doran.kernel.config import Config
from doran.server.exits import Refused
from doran.server.telling import say, table
from doran.server.words import Arguments, Word

if TYPE_CHECKING:
    from doran.ai.evaluation.cases import Case
    from doran.ai.models import Prompt
    from doran.contracts.frames import JobResult


# -- what is kept of somebody ------------------------------------------------------------------------


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("person", metavar="USERNAME|ID", help="whose; a user name where core's database is here, too")


def _export(arguments: Arguments, config: Config) -> int:
    import msgspec

    from doran.ai.privacy.export import export
    from doran.contracts.errors import Problem

    user_id = _named(arguments.person) if "core" in config.services else None
    found = export(user_id or arguments.person)
    if user_id is None and found.is_empty:
        raise Problem("not_found", f"Nobody is called {arguments.person}, and nothing is kept under this id.")
    say(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    return 0


def _named(username: str) -> str | None:
    """The id of the person with this user name."""
    from doran.core import texts
    from doran.core.models import User

    found = User.objects.filter(handle=texts.handle(username), erased_at=None).values_list("id", flat=True).first()
    return str(found) if found else None


# -- how good the answers are ------------------------------------------------------------------------


def _eval_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cases", type=Path, metavar="FILE", help="TOML with cases (those that come with Doran)")
    parser.add_argument("--prompt", metavar="KEY", help="try another version of this prompt than the one in force")
    parser.add_argument("--version", type=int, metavar="N", help="which version of it")
    parser.add_argument("--locale", choices=("ko", "en"), default="ko", help="in which language (ko)")
    parser.add_argument("--answers", action="store_true", help="show the answers, too")


def _eval(arguments: Arguments, config: Config) -> int:
    """Cases that need a prompt on trial are the only ones run for it."""
    import asyncio

    from doran.ai.evaluation import cases as saved
    from doran.ai.prompts import planting, versions
    from doran.ai.service import furnished
    from doran.ai.shop import open_shop

    if (arguments.prompt is None) != (arguments.version is None):
        raise Refused("bad_setting", "--prompt and --version belong together.")
    planting.plant()
    trying = versions.of(arguments.prompt, arguments.locale, arguments.version) if arguments.prompt else None
    chosen = [one for one in saved.read(arguments.cases) if trying is None or _is_about(one, trying)]
    shop = furnished(config)
    if not shop.chain.can("complete", outside=True):
        raise Refused(
            "bad_setting", "No provider is set up: name one in DORAN_AI_PROVIDERS, or set DORAN_AI_LOCAL=yes."
        )
    open_shop(shop)
    return asyncio.run(_evaluated(chosen, trying, shows=arguments.answers))


def _is_about(case: Case, prompt: Prompt) -> bool:
    return case.locale == prompt.locale and case.kind == prompt.key.partition(".")[0]


async def _evaluated(cases: Sequence[Case], trying: Prompt | None, *, shows: bool) -> int:
    from doran.ai.evaluation.running import run
    from doran.ai.shop import shop

    outcomes = []
    async for outcome in run(cases, trying=trying):
        outcomes.append(outcome)
        say(f"{'NO' if outcome.wrong else 'ok':<3} {outcome.case.name}  {'; '.join(outcome.wrong)}".rstrip())
        if shows:
            say(f"    {_shown(outcome.answer)}")
    await shop().chain.close()
    for engine in shop().translators:
        await engine.close()
    wrong = sum(bool(outcome.wrong) for outcome in outcomes)
    tokens = sum(sum(outcome.usage) for outcome in outcomes)
    say(
        f"{len(outcomes) - wrong} of {len(outcomes)} went well, {sum(one.seconds for one in outcomes):.1f} s, {tokens} tokens."
    )
    return 1 if wrong else 0


def _shown(answer: JobResult | str) -> str:
    if isinstance(answer, str):
        return answer
    verdict = " ".join(answer.verdict.categories) if answer.verdict else ""
    return " | ".join(filter(None, [answer.text, *answer.replies, verdict])).replace("\n", "\n    ")


# -- the switch --------------------------------------------------------------------------------------


def _nothing(parser: argparse.ArgumentParser) -> None:
    """Takes no arguments of its own."""


def _off(arguments: Arguments, config: Config) -> int:
    from doran.ai.money import switch

    switch.turn(off=True)
    say("The AI is off: nothing is taken on or asked any more, in any process. Back with: doran ai on")
    return 0


def _on(arguments: Arguments, config: Config) -> int:
    from doran.ai.money import switch

    switch.turn(off=False)
    say("The AI is on.")
    return 0


# -- how it goes -------------------------------------------------------------------------------------


def _hours(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hours", type=_whole, default=24, help="of how many hours (24)")


def _whole(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hours from 1 to 100000")
    return int(text)


def _jobs(arguments: Arguments, config: Config) -> int:
    from doran.ai.jobs import overview

    lines, failures = overview.lines(arguments.hours), overview.failures(arguments.hours)
    if not lines:
        say(f"Nobody asked for anything in the last {arguments.hours} h.")
        return 0
    heading = ("kind", "waiting", "running", "succeeded", "failed", "cancelled", "cost")
    say(table([heading, *((*map(str, line[:-1]), _amount(line.cost)) for line in lines)]))
    if failures:
        say("\n" + table([("failure", "jobs"), *((one.code, str(one.jobs)) for one in failures)]))
    return 0


def _spending(arguments: Arguments, config: Config) -> int:
    from doran.ai.money import overview

    found = [*overview.months(), *overview.today()]
    if not found:
        say("Nothing was spent yet.")
        return 0
    rows = [(*map(str, one[:-2]), _amount(one.spent), _amount(one.reserved)) for one in found]
    say(table([("who", "period", "jobs", "tokens", "spent", "reserved"), *rows]))
    return 0


def _amount(micros: int) -> str:
    """In the currency of the prices."""
    return f"{micros / 1_000_000:.4f}"


WORDS: Final = (
    Word("off", "switch the AI off at once, in every process", _off, _nothing),
    Word("on", "switch it on again", _on, _nothing),
    Word("jobs", "how many jobs wait, run and ended, by kind, and why jobs failed", _jobs, _hours),
    Word("spending", "what was spent: by month, and today by person", _spending, _nothing),
    Word("eval", "put saved cases to the models and say what holds of the answers", _eval, _eval_arguments),
    Word(
        "export", "all that the AI keeps of somebody, and where their words went, as JSON", _export, _export_arguments
    ),
)
