"""`python -m bertkit`, as the command `bertkit`: `torchrun -m bertkit finetune ...` needs a module."""

import sys

from bertkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
