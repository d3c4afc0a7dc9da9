"""`python -m bertkit.cli`."""

import sys

from bertkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
