"""`doran verify`: use a server, break it meanwhile, judge what was seen; or judge a recorded run."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from doran.verify import report
from doran.verify.client import Lost, NetworkGate, Unreachable
from doran.verify.connection import Refused
from doran.verify.history import BadHistory, Operation, Recorder, in_order, read
from doran.verify.judge import judge
from doran.verify.nemesis import Nemesis, NeverReady, Server
from doran.verify.rules import RULES
from doran.verify.run import Campaign, Plan
from doran.verify.side import keep, search
from doran.verify.stream import events

EVENTS_FROM = 1_000_000_000
"""Numbers of operations that come from an event stream instead of the history."""


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns the exit code: see `report`."""
    if argv and argv[0] == "rules":
        return _print_rules()
    if argv and argv[0] == "judge":
        return _judge_file(_judge_parser().parse_args(argv[1:]))
    wanted = _parser().parse_args(argv)
    try:
        return asyncio.run(_verify(wanted))
    except (Unreachable, Lost):
        print("doran verify: the server does not answer", file=sys.stderr)
    except (asyncio.CancelledError, KeyboardInterrupt):
        print("doran verify: stopped", file=sys.stderr)
    except (Refused, NeverReady, BadHistory, OSError) as reason:
        print(f"doran verify: {reason}", file=sys.stderr)
    return report.UNABLE


def _print_rules() -> int:
    for rule in RULES.values():
        print(f"{rule.name:20} {rule.sentence}")
    return report.CLEAN


def _judge_file(wanted: argparse.Namespace) -> int:
    try:
        return _pronounce([*read(wanted.file), *_heard(wanted)], as_json=wanted.json)
    except (BadHistory, OSError) as reason:
        print(f"doran verify: {reason}", file=sys.stderr)
        return report.UNABLE


def _heard(wanted: argparse.Namespace) -> list[Operation]:
    """The events of a recorded stream, numbered on from where a history would end."""
    told = [] if wanted.events is None else list(events(wanted.events))
    for number, event in enumerate(told):
        event.n = EVENTS_FROM + number
    return [*told]


def _pronounce(operations: list[Operation], *, as_json: bool) -> int:
    verdict = judge(operations)
    numbered = {operation.n: operation for operation in operations}
    print(report.as_json(verdict) if as_json else report.as_text(verdict, numbered))
    return report.exit_code(verdict)


async def _verify(wanted: argparse.Namespace) -> int:
    _leave_nothing_running()
    with tempfile.TemporaryDirectory(prefix="doran-verify-") as scratch:
        recorder = Recorder(time.monotonic_ns, wanted.history)
        try:
            await _live_through(wanted, recorder, Path(scratch))
        finally:
            recorder.close()
        operations = in_order(recorder.operations.values())
        return _pronounce([*operations, *_heard(wanted)], as_json=wanted.json)


def _leave_nothing_running() -> None:
    """Being told to stop ends the run through its cleanup, which stops the server as well."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


async def _live_through(wanted: argparse.Namespace, recorder: Recorder, scratch: Path) -> None:
    port = free_port()
    gate = NetworkGate(wanted.url or f"http://127.0.0.1:{port}")
    campaign = Campaign(gate, recorder, _plan(wanted))
    log, metrics = wanted.log or scratch / "server.log", scratch / "metrics"
    async with aclosing(gate):
        if wanted.command is None:
            await campaign.run()
            keep(metrics, await gate.read("/metrics"))
        else:
            command = wanted.command.replace("{port}", str(port)).replace("{data}", str(scratch / "data"))
            async with _started(Server(command, ready=gate.ready, log=log)) as server:
                nemesis = Nemesis(server, recorder, random.Random(wanted.seed))
                await campaign.run(lambda: _torment(wanted, nemesis))
                keep(metrics, await gate.read("/metrics"))
    search(recorder, [log, metrics], run=campaign.house.run, secrets=campaign.house.secrets())


@asynccontextmanager
async def _started(server: Server) -> AsyncIterator[Server]:
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


async def _torment(wanted: argparse.Namespace, nemesis: Nemesis) -> None:
    missed = await nemesis.at_points(wanted.points) if wanted.points else []
    for setting in missed:
        print(f"doran verify: the server did not die at {setting}", file=sys.stderr)
    await nemesis.at_random(wanted.seconds)


def _plan(wanted: argparse.Namespace) -> Plan:
    return Plan(
        people=wanted.people,
        devices=wanted.devices,
        seconds=wanted.seconds,
        seed=wanted.seed,
        think_seconds=wanted.think,
        converge_seconds=wanted.converge,
        evil=not wanted.no_evil,
        command=wanted.command or wanted.url,
    )


def free_port() -> int:
    """A port of this machine that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


EVENTS = "event envelopes that a consumer recorded meanwhile, one JSON object a line"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="doran verify",
        description="Let people use a chat server, break it meanwhile, and judge what they saw. "
        "Also: `doran verify judge FILE` judges a recorded run, `doran verify rules` lists the rules.",
        epilog="Exit code: 0 clean, 1 a rule is broken, 2 could not run, 3 too little happened.",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--url", help="a running server; only its connections are cut")
    target.add_argument(
        "--command",
        help="how to start a server; it is killed and restarted. {port} and {data} are filled in",
    )
    parser.add_argument("--people", type=_at_least(2), default=6)
    parser.add_argument("--devices", type=_at_least(1), default=2, help="of each person")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--think", type=float, default=0.08, help="mean seconds between two deeds of a device")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--history", type=Path, help="write every operation to this JSONL file")
    parser.add_argument("--events", type=Path, help=EVENTS)
    parser.add_argument(
        "--log",
        type=Path,
        help="where the server's output goes (with --command) or stands (with --url); it is searched for texts",
    )
    parser.add_argument(
        "--points",
        type=lambda text: [point for point in text.split(",") if point],
        default=[],
        help="fault points to die at first, as name:nth,name:nth",
    )
    parser.add_argument("--converge", type=float, default=10.0, help="seconds until all must agree")
    parser.add_argument("--no-evil", action="store_true", help="only honest people")
    parser.add_argument("--json", action="store_true", help="the verdict as JSON")
    return parser


def _at_least(least: int):  # type: ignore[no-untyped-def]
    def parse(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"at least {least}")
        return int(text)

    return parse


def _judge_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="doran verify judge", description="Judge a recorded run.")
    parser.add_argument("file", type=Path, help="a history that --history wrote")
    parser.add_argument("--events", type=Path, help=EVENTS)
    parser.add_argument("--json", action="store_true", help="the verdict as JSON")
    return parser
