"""A real Doran process with six people on twelve devices in it, and what they went through."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgspec

from doran.verify import report
from doran.verify.client import NetworkGate
from doran.verify.history import Heard, Recorder, in_order
from doran.verify.judge import Verdict, judge
from doran.verify.nemesis import Nemesis, Server
from doran.verify.run import Campaign, Plan
from doran.verify.side import keep, search
from doran.verify.stream import heard
from tests.house.running import environment
from tests.receiver import Receiver, receiving
from tests.servers.ports import free_port

STORES = ("core", "chat", "ai")


@dataclass
class Town:
    """The server, the people and their history, and somebody who hears all of it by webhook."""

    gate: NetworkGate
    server: Server
    nemesis: Nemesis
    campaign: Campaign
    recorder: Recorder
    data: Path
    metrics: Path
    integrator: Receiver

    async def go_through(self, torment: Callable[[], Awaitable[object]]) -> Verdict:
        """Move in, suffer, settle, stop the server, look into its log and its events; judge."""
        await self.server.start()
        keep_events(self.data)
        await asyncio.to_thread(register, self.integrator, self.data)
        await self.campaign.run(torment)
        await asyncio.to_thread(until_nothing_is_owed, self.data)
        keep(self.metrics, await self.gate.read("/metrics"))
        await self.server.stop()
        house = self.campaign.house
        search(self.recorder, [self.server.log, self.metrics], run=house.run, secrets=house.secrets())
        for event in kept_events(self.data):
            self.recorder.note(event)
        return judge(in_order(self.recorder.operations.values()))

    def account(self, verdict: Verdict) -> str:
        """The report, for the reader of a failed test."""
        log = self.server.log.read_text(errors="replace")[-2000:]
        return f"{report.as_text(verdict, self.recorder.operations)}\n\nThe end of the log:\n{log}"


@asynccontextmanager
async def founded(folder: Path, *, seed: int) -> AsyncIterator[Town]:
    """A town on empty ground; its process is gone when the block ends."""
    with receiving() as integrator:
        async with _founded(folder, seed, integrator) as town:
            yield town


@asynccontextmanager
async def _founded(folder: Path, seed: int, integrator: Receiver) -> AsyncIterator[Town]:
    port, data = free_port(), folder / "data"
    command = f"{Path(sys.executable).parent}/doran up --host 127.0.0.1 --port {port} --data {data}"
    gate = NetworkGate(f"http://127.0.0.1:{port}")
    server = Server(command, ready=gate.ready, log=folder / "server.log", env=LOOPBACK, start_seconds=60)
    recorder = Recorder(time.monotonic_ns, folder / "history.jsonl")
    campaign = Campaign(gate, recorder, Plan(seed=seed, command=command))
    try:
        nemesis = Nemesis(server, recorder, random.Random(seed))
        yield Town(gate, server, nemesis, campaign, recorder, data, folder / "metrics", integrator)
    finally:
        await server.kill()
        await gate.aclose()
        recorder.close()


# -- events --------------------------------------------------------------------------------------
# A published event leaves no trace in the outbox, so a trigger notes what it lets go.


def keep_events(data: Path) -> None:
    """From now on note each event of chat that was published."""
    with contextlib.closing(sqlite3.connect(data / "chat.sqlite3", timeout=20)) as chat:
        chat.executescript(
            """
            CREATE TABLE kept_event (n INTEGER PRIMARY KEY, event_id, event_type, key, data);
            CREATE TRIGGER keep_event AFTER DELETE ON chat_outbox BEGIN
                INSERT INTO kept_event (event_id, event_type, key, data)
                VALUES (old.event_id, old.event_type, old.key, old.data);
            END;
            """
        )


def kept_events(data: Path) -> list[Heard]:
    """What was published, in its order."""
    with contextlib.closing(sqlite3.connect(data / "chat.sqlite3", timeout=20)) as chat:
        rows = chat.execute("SELECT event_id, event_type, data FROM kept_event ORDER BY n").fetchall()
    return [_heard(*row) for row in rows]


def _heard(event_id: str, event_type: str, data: str) -> Heard:
    return heard({"event_id": event_id, "event_type": event_type, "data": msgspec.json.decode(data)})


# -- webhooks ------------------------------------------------------------------------------------

LOOPBACK = {"DORAN_OUTWARD_LOOPBACK": "yes"}


def register(integrator: Receiver, data: Path) -> None:
    """The integrator asks for every event, by the command line, beside the running server."""
    words = [sys.executable, "-m", "doran", "webhooks", "add", integrator.url, "--data", str(data)]
    subprocess.run(words, env=environment(**LOOPBACK), check=True, capture_output=True, timeout=60)
    assert_is_heard(integrator, data)


def assert_is_heard(integrator: Receiver, data: Path) -> None:
    """The server knows of the endpoint: a test has arrived."""
    with contextlib.closing(sqlite3.connect(data / "core.sqlite3", timeout=20)) as core:
        [(number,)] = core.execute("SELECT id FROM core_webhookendpoint").fetchall()
    words = [sys.executable, "-m", "doran", "webhooks", "test", str(UUID(number)), "--data", str(data)]
    subprocess.run(words, env=environment(**LOOPBACK), check=True, capture_output=True, timeout=60)
    assert len(integrator.requests) == 1


def until_nothing_is_owed(data: Path, *, seconds: float = 60) -> None:
    """Every webhook has arrived. Raises TimeoutError."""
    until = time.monotonic() + seconds
    with contextlib.closing(sqlite3.connect(data / "core.sqlite3", timeout=20)) as core:
        while core.execute("SELECT count(*) FROM core_webhookdelivery WHERE state <> 'delivered'").fetchone()[0]:
            if time.monotonic() > until:
                raise TimeoutError("webhooks are still owed")
            time.sleep(0.05)


def told(integrator: Receiver) -> list[tuple[str, str]]:
    """Key and id of each event of chat as the integrator came to know it, repetitions left out."""
    events = (msgspec.json.decode(request.body) for request in integrator.requests)
    said = [(event["key"], event["event_id"]) for event in events if event["producer"] == "chat"]
    return list(dict.fromkeys(said))


def owed(data: Path) -> list[tuple[str, str]]:
    """The same of what stands in line for the next start: said between the last look and the stop, as what nobody's
    device acknowledged is, ten seconds later."""
    with contextlib.closing(sqlite3.connect(data / "core.sqlite3", timeout=20)) as core:
        rows = core.execute(
            "SELECT event.key, event.event_id FROM core_webhookdelivery AS delivery"
            " JOIN core_webhookevent AS event ON event.id = delivery.event_id"
            " WHERE delivery.state <> 'delivered' AND json_extract(event.envelope, '$.producer') = 'chat'"
            " ORDER BY delivery.id"
        ).fetchall()
    return [(key, str(UUID(event_id))) for key, event_id in rows]


def told_or_owed(town: Town) -> dict[str, list[str]]:
    """By key the ids of the events that the integrator knows, then of those that wait for it."""
    return by_key(dict.fromkeys([*told(town.integrator), *owed(town.data)]))


def published(data: Path) -> list[tuple[str, str]]:
    """The same of all that chat has published."""
    with contextlib.closing(sqlite3.connect(data / "chat.sqlite3", timeout=20)) as chat:
        rows = chat.execute("SELECT key, event_id FROM kept_event ORDER BY n").fetchall()
    return [(key, str(UUID(event_id))) for key, event_id in dict.fromkeys(rows)]


def by_key(events: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, event_id in events:
        found.setdefault(key, []).append(event_id)
    return found


def damage(data: Path) -> list[str]:
    """What SQLite itself finds wrong with the stores, in its words."""
    found = []
    for store in STORES:
        with contextlib.closing(sqlite3.connect(data / f"{store}.sqlite3", timeout=20)) as database:
            found += [row[0] for row in database.execute("PRAGMA integrity_check") if row[0] != "ok"]
    return found


def waiting_events(data: Path) -> dict[str, int]:
    """How many events each store has committed and not yet published."""
    waiting = {}
    for store in STORES:
        with contextlib.closing(sqlite3.connect(data / f"{store}.sqlite3", timeout=20)) as database:
            waiting[store] = database.execute(f"SELECT count(*) FROM {store}_outbox").fetchone()[0]
    return waiting
