"""What a result was measured on: processor, kernel, Python, commit, versions of the parts."""

import os
import platform
import sqlite3
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.processes import need, run
from bench.rivals import environment

ROOT = Path(__file__).resolve().parent.parent
OUR_PARTS = (
    "django", "uvicorn", "websockets", "uvloop", "httptools", "msgspec", "joserfc", "cryptography", "picows", "pymysql",
    "mysqlclient", "redis",
)  # fmt: skip


def describe() -> dict[str, object]:
    """The machine, as far as it bears on the figures."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        "kernel": platform.release(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def commit() -> str:
    """The commit of this clone, with `+` when files differ from it."""
    head, changed = _git("rev-parse", "--short=12", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    return head + ("+" if changed not in ("", "unknown") else "")


def our_versions() -> dict[str, str]:
    return {"sqlite": sqlite3.sqlite_version} | {name: _version(name) for name in OUR_PARTS}


def rival_versions(variant: str) -> dict[str, str]:
    parts = dict(environment.versions())
    if variant != "sqlite":
        parts["mariadb"] = run([need("mariadbd"), "--version"]).strip().split("Ver ")[-1]
        parts["redis"] = run([need("redis-server"), "--version"]).split("v=")[1].split()[0]
    return parts


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"
