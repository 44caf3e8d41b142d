"""`python -m doran` is `doran`."""

import sys

from doran.server.cli import main

sys.exit(main())
