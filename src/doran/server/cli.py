"""The `doran` command: a table of words, each with its arguments and what it does.

Nothing but the standard library is imported until a command runs, so that `--help` and the first
look at a wrong argument work before anything is installed.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from doran import __version__
from doran.kernel import config as settings
from doran.kernel.config import BadSetting, Config
from doran.server import ai as ai_words
from doran.server import webhooks as webhook_words
from doran.server.exits import EXITS, Refused, foreseen
from doran.server.telling import log_instead, refuse, say, table
from doran.server.words import offer

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
    signal.signal(signal.SIGTERM, _terminated)  # the first process of a container has no default
    try:
        return _run(words) or 0
    except Refused as refused:
        return _refuse(refused)
    except BadSetting as wrong:
        return _refuse(Refused("bad_setting", f"{wrong}."))
    except KeyboardInterrupt:
        return EXITS["done"][0]
    except Exception as wrong:
        if (refusal := foreseen(wrong)) is None:
            raise
        return _refuse(refusal)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as an exception of its own.

    If a plain KeyboardInterrupt breaks off an `exec` of source text, as dataclasses use it while modules load, CPython
    ends the process by SIGINT even if the exception was caught.
    """


def _terminated(_number: int, _frame: object) -> None:
    raise _Terminated


def _refuse(refused: Refused) -> int:
    refuse(refused.sentence, refused.code)
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
    parser.add_argument(
        "--assistant", action="store_true", help="with a small model that answers on this machine (DORAN_AI_LOCAL=yes)"
    )


def _serve_arguments(parser: argparse.ArgumentParser) -> None:
    _services(parser)
    _address(parser)


def _work_arguments(parser: argparse.ArgumentParser) -> None:
    _services(parser)
    parser.add_argument("--host", help="the address for health and metrics (127.0.0.1)")
    parser.add_argument("--port", type=_port, help="the port for health and metrics; without one nothing listens")
    _data(parser)


def _services(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("services", nargs="+", type=_service, metavar="SERVICE", help="core, chat, ai")


def _service(text: str) -> str:
    if text not in SERVICES:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(SERVICES)}")
    return text


def _asked_for(arguments: Arguments, **more: Any) -> Config:
    """The settings of the environment, then those of the command line."""
    given = {name: getattr(arguments, name, None) for name in ("host", "port", "data")} | more
    return settings.load().replace(**{name: value for name, value in given.items() if value is not None})


def _in_force(arguments: Arguments, **more: Any) -> Config:
    """What was asked for, unless it is production and unsafe."""
    from doran.server import beforehand

    config = _asked_for(arguments, **more)
    if not getattr(arguments, "look", False):
        log_instead(config)
    beforehand.refuse_unsafe(config)
    return config


def up(arguments: Arguments) -> int:
    """Everything in this process."""
    from doran.server import serving

    config = _in_force(arguments, ai_local=arguments.assistant or None)
    _refuse_some(config)
    if arguments.look:
        serving.look(config)
        return 0
    if arguments.demo and config.production:
        raise Refused("bad_setting", "production mode refuses --demo: its people have passwords that are printed.")
    return serving.serve(config, play=_play() if arguments.demo else None)


def _refuse_some(config: Config) -> None:
    """Raises `Refused` where databases are named for some services and others run elsewhere: `up` would make theirs."""
    from doran.server import neighbours

    here = neighbours.own(config)
    if here and (away := [name for name in SERVICES if name not in here and getattr(config, f"{name}_url")]):
        raise Refused(
            "bad_setting",
            f"These settings are for {' and '.join(here)}, and DORAN_{away[0].upper()}_URL names {away[0]} elsewhere: "
            f"use `doran serve {' '.join(here)}`.",
        )


def _play() -> Callable[[Config], str]:
    from doran.server import demo

    return demo.play


def serve(arguments: Arguments) -> int:
    """Some services in this process."""
    from doran.server import serving

    config = _with_neighbours(arguments)
    if arguments.look:
        serving.look(config)
        return 0
    return serving.serve(config)


def work(arguments: Arguments) -> int:
    """Carry the events of some services and do what is due, without answering people."""
    from doran.server import serving

    config = _with_neighbours(arguments, work=True)
    return serving.work(config, listens="port" in config.given)


def _with_neighbours(arguments: Arguments, **more: Any) -> Config:
    """Settings in force for some of the services, unless they could not find the others."""
    from doran.server import neighbours

    config = _in_force(arguments, services=tuple(dict.fromkeys(arguments.services)), **more)
    if found := neighbours.missing(config):
        raise Refused("bad_setting", f"{'; '.join(found)}.")
    return config


# -- looking after -------------------------------------------------------------------------------


def _own(arguments: Arguments) -> Config:
    """The settings asked for, with the services that they are for. Raises `Refused` where nobody can know."""
    from doran.server import neighbours

    config = _asked_for(arguments)
    if not (services := neighbours.own(config)):
        raise Refused(
            "bad_setting",
            "These settings name services elsewhere and no database: set the URL of this process's database, such as "
            "DORAN_CHAT_DATABASE, or DORAN_SERVICES, or name its data folder with --data.",
        )
    return config.replace(services=services)


def _at_rest(arguments: Arguments, needed: str, *, also: Sequence[str] = (), is_current: bool = True) -> Config:
    """Settings in force and Django awake, for a command that works on the database of the service `needed`.

    Databases of `also` are opened where these settings name them. Nothing is made: raises `Refused` where a database or
    its secret is not there, or, if it has to be `is_current`, lacks migrations.
    """
    from doran.server import beforehand, folder, serving

    config = _own(arguments)
    if needed not in config.services:
        raise Refused("bad_setting", _not_here(needed, config.services))
    config = config.replace(
        services=tuple(
            name for name in config.services if name == needed or (name in also and folder.is_there(name, config))
        )
    )
    beforehand.refuse_unsafe(config)
    config = folder.found(config)
    serving.wake(config)
    serving.refuse_half_moved(config)
    if is_current:
        serving.refuse_outdated(config)
    return config


def _not_here(needed: str, here: Sequence[str]) -> str:
    return (
        f"This works on {needed}'s database, and these settings are for {' and '.join(here)}: run it with those of "
        f"{needed}, or set DORAN_{needed.upper()}_DATABASE."
    )


def _migrate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "services", nargs="*", type=_service, metavar="SERVICE", help="whose; all that the settings name if none is"
    )
    _data(parser)


def migrate(arguments: Arguments) -> None:
    """Bring the databases up to date, and stop."""
    from doran.server import beforehand, folder, serving
    from doran.server.databases import in_use

    config = _whose_tables(arguments)
    beforehand.refuse_unsafe(config)
    config = folder.prepare(config)
    in_use.refuse_torn(config)
    serving.wake(config)
    try:
        serving.migrate(config)
    except KeyboardInterrupt:
        raise Refused("failed", "Stopped before every database was up to date.") from None
    say(f"{_databases_of(config.services)} up to date.")


def _whose_tables(arguments: Arguments) -> Config:
    """The services named, or those that the settings name. Refuses to make tables here of one that runs elsewhere."""
    from doran.server import neighbours

    if not arguments.services:
        return _own(arguments)
    config = _asked_for(arguments)
    here = neighbours.own(config)
    if away := [name for name in arguments.services if here and name not in here and getattr(config, f"{name}_url")]:
        raise Refused("bad_setting", _not_here(away[0], here))
    return config.replace(services=tuple(dict.fromkeys(arguments.services)))


def _databases_of(services: Sequence[str]) -> str:
    if set(services) == set(SERVICES):
        return "Every database is"
    names = " and ".join(f"{service}'s" for service in services)
    return f"{names} {'database is' if len(services) == 1 else 'databases are'}"


def _secret_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service", type=_service, metavar="SERVICE", help="core, chat, ai")


def service_secret(arguments: Arguments) -> None:
    """Make a secret for a service apart from core, and the hash by which core knows it. Nothing is stored."""
    import secrets

    from doran.kernel.siblings import fingerprint

    secret = secrets.token_urlsafe(32)
    say(f"For every process of {arguments.service}:\n  DORAN_SERVICE_SECRET={secret}")
    say(
        f"For every process of core, beside those of other services, with commas between:\n  DORAN_SERVICE_SECRETS={arguments.service}:{fingerprint(secret)}"
    )


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
    parser.add_argument(
        "services", nargs="*", type=_service, metavar="SERVICE", help="those a process is to serve (all)"
    )
    _data(parser)
    parser.add_argument("--production", action="store_true", help="also what is unsafe for strangers' messages")
    parser.add_argument("--json", action="store_true", help="as one list of name, grade and sentence")
    parser.add_argument("--repair", action="store_true", help="recompute all unread counts, and set right what differs")


def check(arguments: Arguments) -> int:
    """Settings, folder, databases and page, each with yes or no; changes nothing without --repair."""
    from doran.server import checking

    config = _asked_for(arguments, services=tuple(arguments.services)) if arguments.services else _own(arguments)
    return checking.check(config, production=arguments.production, as_json=arguments.json, repair=arguments.repair)


def _health_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="the address it listens on (127.0.0.1)")
    parser.add_argument("--port", type=_port, help="the port it listens on (8000)")
    parser.add_argument("--live", action="store_true", help="only whether it answers at all")


def health(arguments: Arguments) -> int:
    """Ask the server of these settings how it is, as a container's health check does."""
    from doran.server import asking

    return asking.ask(_asked_for(arguments), "live" if arguments.live else "ready")


def reference(arguments: Arguments) -> None:
    """Write the tables of the code as reference pages."""
    from doran.server import reference as pages
    from doran.server import serving

    serving.wake(settings.load({}))  # the same pages wherever it runs
    pages.write(arguments.folder)
    say(f"Written to {arguments.folder}.")


def _reference_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/reference"))


# -- operating -----------------------------------------------------------------------------------


def _users_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("deactivate", "reactivate", "erase", "release"))
    parser.add_argument("username")
    _data(parser)


def users(arguments: Arguments) -> None:
    """Switch a person off or on, forget them for good, or release an erased person's user name."""
    _at_rest(arguments, "core")
    from doran.server import operating

    operating.switch(arguments.what, arguments.username)


def _operator_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("add", "remove", "list"))
    parser.add_argument("name", nargs="?")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="the password, where nobody can be asked")
    _data(parser)


def operator(arguments: Arguments) -> None:
    """Say who may look after Doran at /admin/; a known name gets a new password."""
    if (arguments.name is None) != (arguments.what == "list"):
        raise Refused("bad_setting", f"`doran operator {arguments.what}` takes {'no' if arguments.name else 'a'} name.")
    config = _at_rest(arguments, "ai", is_current=False)
    from doran.server import operators, serving

    if operators.may_be_here():  # the admin's tables come with the setting, here before the next start
        serving.migrate(config.replace(services=("ai",)))
    if arguments.what == "add":
        operators.add(arguments.name, arguments.password_file, production=config.production)
    elif arguments.what == "remove":
        operators.remove(arguments.name)
    else:
        operators.list_all()


def _keys_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("list", "rotate"))
    parser.add_argument("--at-once", action="store_true", help="the key got into wrong hands: all its tokens end now")
    _data(parser)


def keys(arguments: Arguments) -> None:
    """List the signing keys, or let the next one take over."""
    _at_rest(arguments, "core")
    from doran.server import operating

    if arguments.what == "list":
        operating.list_keys()
    else:
        operating.rotate_keys(at_once=arguments.at_once)


def _reserve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reserve", type=_places, default=1000, metavar="N",
        help="at least as many as the most messages that any one conversation got since the copy was made (1000)",
    )  # fmt: skip


def _places(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000000")
    return int(text)


def _restored_arguments(parser: argparse.ArgumentParser) -> None:
    _reserve(parser)
    _data(parser)


def restored(arguments: Arguments) -> None:
    """To be said after an older copy of the databases was put back, before the next start."""
    config = _at_rest(arguments, "chat", is_current=False)
    from doran.server import restoring

    restoring.restored(config, reserve=arguments.reserve)


def _move_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "services", nargs="*", type=_service, metavar="SERVICE", help="core, chat, ai; all if none is named"
    )
    parser.add_argument(
        "--rows", type=int, choices=range(1, 1001), default=500, metavar="N", help="how many rows go at once (500)"
    )
    _data(parser)


def move(arguments: Arguments) -> None:
    """Copy databases from the data folder to where the settings now say they are, and compare every row."""
    from doran.server import serving

    services = tuple(arguments.services) or SERVICES
    config = _asked_for(arguments, services=services)
    if unnamed := [name for name in services if not getattr(config, f"{name}_database")]:
        raise Refused(
            "bad_setting", f"DORAN_{unnamed[0].upper()}_DATABASE must say where {unnamed[0]}'s database shall go."
        )
    if not config.data.is_dir():
        raise Refused("not_found", f"There is no data folder {config.data}: name it with --data.")
    serving.wake(config)
    from doran.server import moving

    moving.move(config, services, rows_at_once=arguments.rows)


def _backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the copy is made; must not be there yet")
    _data(parser)


def backup(arguments: Arguments) -> None:
    """Copy the databases and what belongs to them, also while a server runs on them."""
    from doran.server import backups

    backups.make(_own(arguments), arguments.folder)


def _restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="a copy that `doran backup` made")
    parser.add_argument("--replace", action="store_true", help="put what is in the data folder aside first")
    _reserve(parser)
    _data(parser)


def restore(arguments: Arguments) -> None:
    """Put a copy back while no server runs, and begin another timeline from it."""
    from doran.server import backups

    config = _asked_for(arguments)
    backups.put_back(config, arguments.folder, replace=arguments.replace, reserve=arguments.reserve)


def _webhooks_arguments(parser: argparse.ArgumentParser) -> None:
    offer(parser, webhook_words.WORDS, common=_data)


def webhooks(arguments: Arguments) -> int:
    """Look after those who hear events by HTTP."""
    _at_rest(arguments, "core")
    from doran.server import operating

    with operating.as_refusal():
        done: int = arguments.word.run(arguments)
    return done


def _ai_arguments(parser: argparse.ArgumentParser) -> None:
    offer(parser, ai_words.WORDS, common=_data)


def ai(arguments: Arguments) -> int:
    """Look after the AI and what it keeps."""
    config = _at_rest(arguments, "ai", also=("core",))
    from doran.server import operating

    with operating.as_refusal():
        done: int = arguments.word.run(arguments, config)
    return done


def _letter_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**63):
        raise argparse.ArgumentTypeError(f"{text!r} is no id from the list")
    return int(text)


def _letters_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("list", "replay", "discard"))
    parser.add_argument("ids", nargs="*", type=_letter_id, help="ids from the list; replay without any takes all")
    parser.add_argument("--service", choices=SERVICES, help="whose (chat's where its database is here); list shows all")
    _data(parser)


def dead_letters(arguments: Arguments) -> int:
    """Show events that could not be handled, try them again, or give them up."""
    if arguments.what == "discard" and not arguments.ids:
        raise Refused("usage", "Name the ids to give up: see `doran dead-letters list`.")
    here = _own(arguments).services
    service = arguments.service or ("chat" if "chat" in here else here[0])
    config = _at_rest(arguments, service, also=() if arguments.what == "discard" else here)
    from doran.server import operating

    if arguments.what == "replay":
        return operating.replay(config, service, arguments.ids or None)
    if arguments.what == "list":
        operating.list_letters([arguments.service] if arguments.service else config.services)
    else:
        operating.discard(service, arguments.ids)
    return 0


COMMANDS: Final = (
    Command("up", "serve everything in one process", up, _up_arguments),
    Command("serve", "serve some of the services in this process", serve, _serve_arguments),
    Command(
        "work", "carry events and do what is due for some of the services, without answering", work, _work_arguments
    ),
    Command("migrate", "bring the databases up to date, and stop", migrate, _migrate_arguments),
    Command("config", "print every setting with what is in force", show_config, _config_arguments),
    Command("check", "see whether this deployment can run; changes nothing without --repair", check, _check_arguments),
    Command("health", "ask a running server how it is", health, _health_arguments),
    Command(
        "service-secret", "make a secret with which a service proves itself to core", service_secret, _secret_arguments
    ),
    Command("users", "deactivate, reactivate or erase somebody, or release their user name", users, _users_arguments),
    Command("operator", "say who may look after Doran at /admin/", operator, _operator_arguments),
    Command("keys", "list the signing keys, or let the next one take over", keys, _keys_arguments),
    Command("move", "move databases from the data folder to database servers", move, _move_arguments),
    Command("backup", "copy the databases, also while a server runs", backup, _backup_arguments),
    Command("restore", "put a backup back, and begin another timeline from it", restore, _restore_arguments),
    Command(
        "restored", "say that an older copy of the databases was put back by other means", restored, _restored_arguments
    ),
    Command(
        "dead-letters", "list, replay or discard events that could not be handled", dead_letters, _letters_arguments
    ),
    Command("webhooks", "look after endpoints that hear events by HTTP", webhooks, _webhooks_arguments),
    Command("ai", "look after the AI and what it keeps", ai, _ai_arguments),
    Command("reference", "write the reference pages from the tables in the code", reference, _reference_arguments),
)
