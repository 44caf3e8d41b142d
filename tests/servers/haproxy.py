"""HAProxy as we ship its configuration, in front of the services that a test has started."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.servers.databases import find

CONFIGURATION = Path(__file__).resolve().parents[2] / "deploy/apart/haproxy.cfg"


def missing() -> str:
    """What this machine lacks, or nothing."""
    return "" if find("haproxy") else "no HAProxy on this machine"


@contextmanager
def haproxy(log: Path, *, front: str, **addresses: str) -> Iterator[None]:
    """Running until the block ends. `addresses` are those that the configuration asks for, as host:port."""
    program = find("haproxy")
    assert program, missing()
    told: Mapping[str, str] = {"FRONT": front, **{name.upper(): address for name, address in addresses.items()}}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [program, "-db", "-f", CONFIGURATION], env=told, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        yield
    finally:
        assert process.poll() is None, log.read_text()
        process.kill()
        process.wait()
