"""A private RabbitMQ."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.servers.ports import free_port
from tests.servers.process import Server

_SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # Debian's one on the path insists on a user of its own


class RabbitMQServer(Server):
    PROGRAM = "rabbitmq-server"

    def __init__(self) -> None:
        super().__init__()
        self._distribution, self._mapper = free_port(), free_port()
        (self.folder / "plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text("log.console.level = warning\nlog.file = false\n")

    @classmethod
    def program(cls) -> str | None:
        return shutil.which(cls.PROGRAM) or (str(_SCRIPT) if _SCRIPT.exists() else None)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def command(self) -> Sequence[str]:
        return (str(_SCRIPT) if _SCRIPT.exists() else self.PROGRAM,)

    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"doran-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(self.folder),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "ERL_EPMD_PORT": str(self._mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def is_ready(self) -> bool:
        return self.answers(b"AMQP\x00\x00\x09\x01", b"\x01")

    def close(self) -> None:
        """The port mapper is a daemon that the node leaves behind."""
        super().close()
        subprocess.run(["epmd", "-port", str(self._mapper), "-kill"], capture_output=True, check=False)
