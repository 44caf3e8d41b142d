"""A quarter of processes: core, two copies of chat, ai, each with its own database, behind a reverse proxy."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from doran.kernel.siblings import fingerprint
from doran.verify.client import Lost, NetworkGate, Unreachable
from doran.verify.nemesis import Server
from tests.house.running import ROOT
from tests.servers.databases import MariaDB
from tests.servers.haproxy import haproxy
from tests.servers.ports import free_port

SERVICES = ("core", "chat", "ai")
COPIES = {"core_1": "core", "chat_1": "chat", "chat_2": "chat", "ai_1": "ai"}
TWO_AIS = {**COPIES, "ai_2": "ai"}
"""The second ai has no door of its own at the proxy: it works."""


@dataclass
class Quarter:
    """The processes by name, their own doors, and the way in that people take."""

    gate: NetworkGate
    doors: Mapping[str, NetworkGate]
    url: str
    parts: Mapping[str, Server]


@asynccontextmanager
async def quarter(
    folder: Path, database: MariaDB, *, copies: Mapping[str, str] = COPIES, **settings: str
) -> AsyncIterator[Quarter]:
    """Everything has started and can be reached through the proxy; all of it is gone when the block ends."""
    ports = {name: free_port() for name in copies}
    front = f"127.0.0.1:{free_port()}"
    told = {**_told(database, f"http://{front}", ports), **settings}
    await asyncio.to_thread(_make_databases, database)
    doors = {name: NetworkGate(f"http://127.0.0.1:{port}") for name, port in ports.items()}
    parts = {name: _part(folder, name, port, told, doors[name]) for name, port in ports.items()}
    gate = NetworkGate(f"http://{front}")
    try:
        await parts["core_1"].start()
        await asyncio.gather(*(part.start() for name, part in parts.items() if name != "core_1"))
        addresses = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
        with haproxy(folder / "haproxy.log", front=front, **addresses):
            await _leads_everywhere(gate)
            yield Quarter(gate, doors, f"http://{front}", parts)
    finally:
        await asyncio.gather(*(part.kill() for part in parts.values()))
        await asyncio.gather(*(door.aclose() for door in (gate, *doors.values())))


def _told(database: MariaDB, public_url: str, ports: Mapping[str, int]) -> dict[str, str]:
    """The settings of every process; each reads what concerns it."""
    proofs = {name: secrets.token_urlsafe(32) for name in ("chat", "ai")}
    return {
        "DORAN_PUBLIC_URL": public_url,
        "DORAN_TRUSTED_PROXIES": "127.0.0.1",
        "DORAN_SECRET_KEY": secrets.token_urlsafe(32),
        "DORAN_SERVICE_SECRETS": ",".join(f"{name}:{fingerprint(secret)}" for name, secret in proofs.items()),
        **{f"DORAN_{service.upper()}_DATABASE": database.url(f"doran_{service}") for service in SERVICES},
        **{f"DORAN_{service.upper()}_URL": f"http://127.0.0.1:{ports[f'{service}_1']}" for service in SERVICES},
        **{f"{name}_secret": secret for name, secret in proofs.items()},
        "DORAN_SIGNUPS_PER_MINUTE": "1000",
        "DORAN_LOGINS_PER_MINUTE": "1000",
        "DORAN_LOG_FORMAT": "json",
    }


def _part(folder: Path, name: str, port: int, told: Mapping[str, str], door: NetworkGate) -> Server:
    service = name.partition("_")[0]
    own = {key: value for key, value in told.items() if key.startswith("DORAN_")}
    if service != "core":
        own["DORAN_SERVICE_SECRET"] = told[f"{service}_secret"]
    return Server(
        f"{Path(sys.executable).parent}/doran serve {service} --host 127.0.0.1 --port {port} --data {folder / name}",
        ready=door.ready,
        log=folder / f"{name}.log",
        env={"PYTHONPATH": str(ROOT / "src"), **own},
        start_seconds=60,
    )


def _make_databases(database: MariaDB) -> None:
    for service in SERVICES:
        database.say(f"CREATE DATABASE doran_{service} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")


async def _leads_everywhere(gate: NetworkGate) -> None:
    """The proxy has seen each service well."""
    async with asyncio.timeout(20):
        for path in ("/.well-known/jwks.json", "/api/chat/users/me/conversations/", "/api/ai/jobs/x/"):
            while await _status(gate, path) not in (200, 401):  # noqa: ASYNC110  the proxy tells nobody
                await asyncio.sleep(0.05)


async def _status(gate: NetworkGate, path: str) -> int:
    try:
        return (await gate.ask("GET", path)).status
    except (Unreachable, Lost):
        return 0


PASSWORD = "봄비가 내리는 밤에"


async def people(town: Quarter, count: int) -> list[tuple[str, str]]:
    """(token, id) of so many who have just come."""
    found = []
    for number in range(count):
        me = {"username": f"person{number}", "password": PASSWORD}
        made = await town.gate.ask("POST", "/api/core/users/", body=me)
        assert made.status == 201, made.body
        pair = (await town.gate.ask("POST", "/api/core/tokens/", body=me)).body
        found.append((pair["access_token"], pair["user_id"]))
    return found


async def conversation(town: Quarter, one: tuple[str, str], other: tuple[str, str]) -> str:
    body = {"participant_id": other[1]}
    answer = await town.gate.ask("POST", "/api/chat/conversations/", token=one[0], body=body)
    assert answer.status in (200, 201), answer.body
    return str(answer.body["id"])


async def stored(town: Quarter, talk: str, token: str) -> list[tuple[int, str]]:
    """(seq, client_message_id) of the whole conversation, oldest first."""
    rows: list[tuple[int, str]] = []
    page = 1
    while True:
        path = f"/api/chat/conversations/{talk}/messages/?page={page}&page_size=100"
        answer = (await town.gate.ask("GET", path, token=token)).body
        rows += [(row["seq"], row["client_message_id"]) for row in answer["results"]]
        if answer["next"] is None:
            return sorted(rows)
        page += 1
