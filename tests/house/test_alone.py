"""Each service boots, migrates and answers by itself, and no module of a sibling is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from doran.server.cli import SERVICES
from tests.house.running import ROOT, environment

pytestmark = pytest.mark.timeout(240)  # processes of their own, on a machine that may be busy

# What a process of this service alone would do up to its first answers, without a port.
BOOT = """
import asyncio, json, sys
from doran.kernel import config
from doran.server import serving
from tests.wire import call

settings = serving.furnish(config.load())
serving.migrate(settings)
from doran.server import wiring

async def answers():
    house = wiring.build(settings)
    await house.start()
    try:
        paths = ("/health/live", "/health/ready", f"/api/{sys.argv[1]}/nothing/", "/api/schema/")
        return [(await call(house.app, "GET", path)).status for path in paths]
    finally:
        await house.stop()

print(json.dumps({"answers": asyncio.run(answers()), "loaded": [name for name in sys.modules if name.startswith("doran")]}))
"""


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_boots_alone(service: str, tmp_path: Path) -> None:
    settings = {"DORAN_SERVICES": service, "DORAN_DATA": str(tmp_path / "data"), "DORAN_CORE_URL": "http://127.0.0.1:9"}
    result = subprocess.run(
        [sys.executable, "-c", BOOT, service],
        cwd=ROOT, env=environment(**settings), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["answers"][0] == 200
    assert found["answers"][2:] == [404, 200]
    siblings = tuple(f"doran.{other}" for other in SERVICES if other != service)
    assert [name for name in found["loaded"] if name.startswith(siblings)] == []
    assert f"doran.{service}.models" in found["loaded"]
    assert {path.name for path in (tmp_path / "data").glob("*.sqlite3")} == {f"{service}.sqlite3"}
