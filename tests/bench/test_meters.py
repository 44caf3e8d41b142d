"""The meters see what processes cost."""

import os
import subprocess
import sys
import time

from bench import meters


def burn(*, seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_cpu_is_counted_and_waiting_is_not():
    meter = meters.Meter([os.getpid()], core=min(os.sched_getaffinity(0)))
    threads = meters.thread_seconds([os.getpid()])
    burn(seconds=0.2)
    busy, precise = meter.stop(), meters.thread_seconds([os.getpid()]) - threads
    time.sleep(0.2)
    assert 0.18 <= busy.cpu <= 0.5
    assert 0.18 <= precise <= 0.5
    assert sum(busy.by_process.values()) == busy.cpu
    assert meter.stop().cpu < busy.cpu + 0.1
    assert meter.stop().wall >= 0.4


def test_a_child_belongs_to_the_family_and_its_memory_counts():
    hold = "data = bytearray(b'x' * 40_000_000); print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin
        assert child.stdout
        child.stdout.readline()
        assert {os.getpid(), child.pid} <= meters.family([os.getpid()])
        assert 40_000_000 <= meters.private_bytes([child.pid]) <= 60_000_000
        child.stdin.close()
    assert meters.cpu_seconds([child.pid]) == {}


def test_percentile_of_a_hundred_numbers():
    ordered = list(range(100))
    assert [meters.percentile(ordered, share) for share in (0, 0.5, 0.99, 1)] == [0, 50, 99, 99]
