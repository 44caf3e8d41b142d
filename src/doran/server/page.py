"""Where the built page is: inside an installed package, or in `web/dist` of a clone."""

from __future__ import annotations

from pathlib import Path

import doran

_PACKAGE = Path(doran.__file__).parent


def page_root() -> Path | None:
    """The folder with the page's `index.html`; None where it was not built."""
    for folder in (_PACKAGE / "web", _PACKAGE.parent.parent / "web" / "dist"):
        if (folder / "index.html").is_file():
            return folder
    return None
