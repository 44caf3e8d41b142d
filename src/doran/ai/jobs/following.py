"""Who follows a job in this process hears at once that there is more to see; who follows it elsewhere looks by themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

_followers: dict[UUID, list[Callable[[], None]]] = {}
_changing = threading.Lock()


@contextmanager
def follow(job_id: UUID, tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell`, from any thread, whenever the row of this job has changed here."""
    with _changing:
        _followers.setdefault(job_id, []).append(tell)
    try:
        yield
    finally:
        with _changing:
            _followers[job_id].remove(tell)
            if not _followers[job_id]:
                del _followers[job_id]


def news(job_id: UUID) -> None:
    """The row of this job has changed."""
    with _changing:
        followers = list(_followers.get(job_id, ()))
    for tell in followers:
        tell()
