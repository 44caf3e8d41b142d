"""The `doran` command: a table of words, each with its arguments and what it does.

Nothing but the standard library is imported until a command runs, so that `--help` and the first
look at a wrong argument work before anything is installed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from doran import __version__
from doran.kernel import config as settings
from doran.kernel.config import BadSetting, Config
from doran.server.exits import EXITS, Refused
from doran.server.telling import say, table

Arguments = argparse.Namespace
SERVICES: Final = ("core", "chat", "ai")


@dataclass(frozen=True, slots=True)
class Command:
    """One word of the command line: its arguments, and what it does; the answer is the exit code."""

    name: str
    sentence: str
    run: Callable[[Arguments], int | None]
    arguments: Callable[[argparse.ArgumentParser], None]


def main(words: Sequence[str] | None = None) -> int:
    """Run one command. Every foreseen failure is one sentence on stderr and its own exit code."""
    words = sys.argv[1:] if words is None else list(words)
    try:
        return _run(words) or 0
    except Refused as refused:
        return _refuse(refused)
    except BadSetting as wrong:
        return _refuse(Refused("bad_setting", f"{wrong}."))
    except KeyboardInterrupt:
        return EXITS["done"][0]


def _refuse(refused: Refused) -> int:
    sys.stderr.write(f"{refused.sentence}\n")
    return refused.code


def _run(words: list[str]) -> int | None:
    if words[:1] == ["verify"]:
        from doran.verify.cli import main as verify

        return verify(words[1:])
    arguments = _parser().parse_args(words)
    run: Callable[[Arguments], int | None] = arguments.run
    return run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="doran",
        description="Doran, self-hosted one-to-one chat. Settings come from the environment: see `doran config`.",
    )
    parser.add_argument("--version", action="version", version=f"doran {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="", required=True)
    for command in COMMANDS:
        described = command.sentence[0].upper() + command.sentence[1:] + "."
        sub = commands.add_parser(command.name, help=command.sentence, description=described)
        command.arguments(sub)
        sub.set_defaults(run=command.run)
    commands.add_parser(
        "verify", help="judge a running Doran by its guarantees; see `doran verify --help`", add_help=False
    )
    return parser


# -- serving -------------------------------------------------------------------------------------


def _address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=_port, help="the port to listen on (8000); 0 takes a free one")
    _data(parser)
    parser.add_argument("--look", action="store_true", help="only see whether port and folder can be used, then stop")


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder of databases, keys and secrets (data)")


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _up_arguments(parser: argparse.ArgumentParser) -> None:
    _address(parser)
    parser.add_argument("--demo", action="store_true", help="with 민지 and 준호 already talking; says how to log in")


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("services", nargs="+", choices=SERVICES, help="core, chat, ai")
    _address(parser)


def _asked_for(arguments: Arguments, **more: Any) -> Config:
    """The settings of the environment, then those of the command line."""
    given = {name: getattr(arguments, name, None) for name in ("host", "port", "data")} | more
    return settings.load().replace(**{name: value for name, value in given.items() if value is not None})


def _in_force(arguments: Arguments, **more: Any) -> Config:
    """What was asked for, unless it is production and unsafe."""
    config = _asked_for(arguments, **more)
    if config.production and (found := settings.unsafe(config)):
        raise Refused("bad_setting", f"production mode refuses these settings: {'; '.join(found)}.")
    return config


def up(arguments: Arguments) -> int:
    """Everything in this process."""
    from doran.server import serving

    config = _in_force(arguments)
    if arguments.look:
        serving.look(config)
        return 0
    if arguments.demo and config.production:
        raise Refused("bad_setting", "production mode refuses --demo: its people have passwords that are printed.")
    return serving.serve(config, play=_play() if arguments.demo else None)


def _play() -> Callable[[Config], str]:
    from doran.server import demo

    return demo.play


def serve(arguments: Arguments) -> int:
    """Some services in this process."""
    from doran.server import serving

    config = _in_force(arguments, services=tuple(arguments.services))
    if arguments.look:
        serving.look(config)
        return 0
    return serving.serve(config)


# -- looking after -------------------------------------------------------------------------------


def _house_at_rest(arguments: Arguments) -> Config:
    """Settings in force and Django awake, for commands that work on the databases of a deployment."""
    from doran.server import folder, serving

    config = _in_force(arguments)
    if not Path(config.data).is_dir():
        raise Refused(
            "not_found", f"There is no data folder {config.data}: name it with --data, or run `doran up` first."
        )
    config = folder.prepare(config)
    serving.wake(config)
    return config


def migrate(arguments: Arguments) -> None:
    """Bring the databases up to date, and stop."""
    from doran.server import folder, serving

    config = folder.prepare(_in_force(arguments))
    serving.wake(config)
    serving.migrate(config)
    say("Every database is up to date.")


def _config_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="as a Markdown table")


def show_config(arguments: Arguments) -> None:
    """Every setting, what is in force, and where that comes from."""
    say(table(_setting_rows(settings.load()), markdown=arguments.markdown))


def _setting_rows(config: Config) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("setting", "in force", "from", "meaning")]
    for setting in settings.SETTINGS.values():
        source = "environment" if setting.name in config.given else "default"
        rows.append((setting.variable, _shown(setting, config), source, setting.sentence))
    return rows


def _shown(setting: settings.Setting, config: Config) -> str:
    value = getattr(config, setting.name)
    if setting.secret:
        return "(set)" if value else ""
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    _data(parser)
    parser.add_argument("--production", action="store_true", help="also what production mode would refuse")


def check(arguments: Arguments) -> int:
    """Settings, folder, databases and page, each with yes or no; changes nothing."""
    from doran.server import checking

    return checking.check(_asked_for(arguments), production=arguments.production)


def reference(arguments: Arguments) -> None:
    """Write the tables of the code as reference pages."""
    from doran.server import reference as pages
    from doran.server import serving

    serving.wake(settings.load())
    pages.write(arguments.folder)
    say(f"Written to {arguments.folder}.")


def _reference_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/reference"))


# -- operating -----------------------------------------------------------------------------------


def _users_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("deactivate", "reactivate", "erase"))
    parser.add_argument("username")
    _data(parser)


def users(arguments: Arguments) -> None:
    """Switch a person off or on, or forget them for good."""
    _house_at_rest(arguments)
    from doran.server import operating

    operating.switch(arguments.what, arguments.username)


def _keys_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("list", "rotate"))
    parser.add_argument("--at-once", action="store_true", help="the key got into wrong hands: all its tokens end now")
    _data(parser)


def keys(arguments: Arguments) -> None:
    """List the signing keys, or let the next one take over."""
    _house_at_rest(arguments)
    from doran.server import operating

    if arguments.what == "list":
        operating.list_keys()
    else:
        operating.rotate_keys(at_once=arguments.at_once)


def restored(arguments: Arguments) -> None:
    """To be said after an older copy of the databases was put back, before the next start."""
    config = _house_at_rest(arguments)
    from doran.server import operating

    operating.restored(config)


def _letters_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("list", "replay", "discard"))
    parser.add_argument("ids", nargs="*", type=int, help="ids from the list; replay without any takes all")
    parser.add_argument("--service", choices=SERVICES, default="chat", help="whose (chat); list shows all")
    _data(parser)


def dead_letters(arguments: Arguments) -> int:
    """Show events that could not be handled, try them again, or give them up."""
    if arguments.what == "discard" and not arguments.ids:
        raise Refused("usage", "Name the ids to give up: see `doran dead-letters list`.")
    config = _house_at_rest(arguments)
    from doran.server import operating

    if arguments.what == "replay":
        return operating.replay(config, arguments.service, arguments.ids or None)
    if arguments.what == "list":
        operating.list_letters(config.services)
    else:
        operating.discard(arguments.service, arguments.ids)
    return 0


COMMANDS: Final = (
    Command("up", "serve everything in one process", up, _up_arguments),
    Command("serve", "serve some of the services in this process", serve, _serve_arguments),
    Command("migrate", "bring the databases up to date, and stop", migrate, _data),
    Command("config", "print every setting with what is in force", show_config, _config_arguments),
    Command("check", "see whether this deployment can run; changes nothing", check, _check_arguments),
    Command("users", "deactivate, reactivate or erase somebody", users, _users_arguments),
    Command("keys", "list the signing keys, or let the next one take over", keys, _keys_arguments),
    Command("restored", "say that an older copy of the databases was put back", restored, _data),
    Command(
        "dead-letters", "list, replay or discard events that could not be handled", dead_letters, _letters_arguments
    ),
    Command("reference", "write the reference pages from the tables in the code", reference, _reference_arguments),
)
