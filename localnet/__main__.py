"""`python -m localnet DIRECTORY`: keeps a network in the background until SIGTERM. `syngraph localnet up` starts it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from localnet.keeper import keep


def main() -> int:
    """The exit code: 0 after SIGTERM or SIGINT, 1 where the network did not come up."""
    return asyncio.run(keep(Path(sys.argv[1])))


if __name__ == "__main__":
    sys.exit(main())
