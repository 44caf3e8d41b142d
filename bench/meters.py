"""What processes cost, read from /proc: CPU seconds, private memory, who else used the core."""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")
ThreadTimes = dict[int, tuple[float, float]]


def family(pids: Iterable[int]) -> set[int]:
    """The processes themselves and all their descendants that live now."""
    children = _children()
    found: set[int] = set()
    todo = list(pids)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo.extend(children.get(pid, ()))
    return found


def cpu_seconds(pids: Iterable[int]) -> dict[int, float]:
    """User plus system seconds of each process of the family, in steps of one clock tick (10 ms)."""
    return {pid: ticks / TICK for pid in family(pids) if (ticks := _ticks(pid)) is not None}


def thread_seconds(pids: Iterable[int]) -> float:
    """CPU seconds of all threads that live now, to the nanosecond; only for servers whose threads stay."""
    return sum(_nanoseconds(task) for pid in family(pids) for task in (PROC / str(pid) / "task").glob("*")) / 1e9


def thread_times(pid: int) -> ThreadTimes:
    """User and system seconds of each living thread of one process, in steps of one clock tick."""
    stats = {int(task.name): _stat(task) for task in (PROC / str(pid) / "task").iterdir()}
    return {tid: (int(stat[11]) / TICK, int(stat[12]) / TICK) for tid, stat in stats.items() if stat}


def private_bytes(pids: Iterable[int]) -> int:
    """Resident memory of the family, less what is shared with files or other processes."""
    return sum(_private_pages(pid) for pid in family(pids)) * PAGE


def busy_seconds(core: int) -> float:
    """Seconds this core has spent on anything but idling since the machine started."""
    line = next(line for line in (PROC / "stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, line.split()[1:])
    return (user + nice + system + irq + softirq) / TICK


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of an ordered, non-empty sequence lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Cost:
    """What a stretch of work cost: seconds on the clock, CPU seconds by process name, and others' CPU on the core."""

    wall: float
    cpu: float
    by_process: dict[str, float]
    others_on_core: float


class Meter:
    """Reads the clock and the CPU of a set of servers when made, and again at `stop()`."""

    def __init__(self, pids: Iterable[int], *, core: int) -> None:
        self.pids, self.core = list(pids), core
        self.before, self.busy, self.clock = cpu_seconds(self.pids), busy_seconds(core), _clock()

    def stop(self) -> Cost:
        after, busy, clock = cpu_seconds(self.pids), busy_seconds(self.core), _clock()
        spent = {pid: seconds - self.before.get(pid, 0.0) for pid, seconds in after.items()}
        cpu = sum(spent.values())
        return Cost(
            wall=clock - self.clock,
            cpu=cpu,
            by_process=_by_name(spent),
            others_on_core=max(0.0, busy - self.busy - cpu),
        )


def _by_name(spent: dict[int, float]) -> dict[str, float]:
    named: dict[str, float] = {}
    for pid, seconds in spent.items():
        name = _name(pid)
        named[name] = named.get(name, 0.0) + seconds
    return {name: seconds for name, seconds in named.items() if seconds > 0}


def _clock() -> float:
    return time.monotonic()


def _stat(entry: Path) -> list[str]:
    """The fields of a process's or a thread's `stat` after its name; empty when it is gone."""
    try:
        return (entry / "stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (stat := _stat(entry)):
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    return children


def _ticks(pid: int) -> int | None:
    stat = _stat(PROC / str(pid))
    return int(stat[11]) + int(stat[12]) if stat else None


def _nanoseconds(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text().split()[0])
    except OSError:
        return 0


def _private_pages(pid: int) -> int:
    try:
        _size, resident, shared, *_ = map(int, (PROC / str(pid) / "statm").read_text().split())
    except OSError:
        return 0
    return resident - shared


def _name(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return "gone"
