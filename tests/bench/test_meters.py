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
    """Its own memory is what counts; how much an interpreter takes by itself differs from Python to Python."""
    assert 38_000_000 <= memory_of_a_child("x" * 40, 1_000_000) - memory_of_a_child("", 0) <= 44_000_000


def memory_of_a_child(letters: str, times: int) -> int:
    """Private bytes of a Python that holds these letters so many times."""
    hold = f"data = bytearray(b'{letters}' * {times}); print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin
        assert child.stdout
        child.stdout.readline()
        assert {os.getpid(), child.pid} <= meters.family([os.getpid()])
        held = meters.private_bytes([child.pid])
        child.stdin.close()
    assert meters.cpu_seconds([child.pid]) == {}
    return held


def test_percentile_of_a_hundred_numbers():
    ordered = list(range(100))
    assert [meters.percentile(ordered, share) for share in (0, 0.5, 0.99, 1)] == [0, 50, 99, 99]
