"""`python -m doran.verify`: the same as `doran verify`."""

import sys

from doran.verify.cli import main

sys.exit(main(sys.argv[1:]))
