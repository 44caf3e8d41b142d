"""The benchmark's own smoke, as anyone runs it: a real Doran, messages that flow, counts that add up."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_everything_sent_is_answered_received_and_stored():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DORAN_")}
    command = [sys.executable, "-m", "bench", "--smoke"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "everything sent was answered, received and stored" in done.stdout
