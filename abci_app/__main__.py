"""`python -m abci_app --config FILE`: the application process. It checks its own ground first, and refuses to serve on a bad one."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from abci_app.config import ConfigurationError, load_config
from abci_app.logs import make_logger
from abci_app.process import ApplicationProcess
from abci_app.selfcheck import SelfCheckFailedError, check_ground
from abci_app.server import SocketRefusedError

EXIT_CONFIGURATION = 2
EXIT_GROUND = 3
EXIT_SOCKET = 4


def main(arguments: list[str] | None = None) -> int:
    """The process's exit code: 0 after SIGTERM, 2 bad configuration, 3 failed self-check, 4 a socket it can't have."""
    parser = argparse.ArgumentParser(prog="python -m abci_app", description="Serves ledgers to their engines.")
    parser.add_argument("--config", type=Path, required=True, help="JSON file, see abci_app/config.py")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
    except ConfigurationError as error:
        print(f"abci_app: {error}", file=sys.stderr)  # noqa: T201 - there is no logger without a configuration
        return EXIT_CONFIGURATION
    log = make_logger(config.log_format, config.log_level)
    try:
        check_ground()
    except SelfCheckFailedError as error:
        log.critical("process.selfcheck_failed", reason=str(error))
        return EXIT_GROUND
    try:
        asyncio.run(ApplicationProcess(config, log).run())
    except SocketRefusedError as error:
        log.critical("process.socket_refused", reason=str(error))
        return EXIT_SOCKET
    return 0


if __name__ == "__main__":
    sys.exit(main())
