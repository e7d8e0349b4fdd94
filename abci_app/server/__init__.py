"""The ABCI 2.0 server: what CometBFT connects to, written on asyncio over unix sockets.

`LedgerServer` serves one `Application` on one socket; `grammar.violations` checks a recording of calls.
"""

from __future__ import annotations

from abci_app.server.application import Application
from abci_app.server.dispatcher import CallRecorder
from abci_app.server.grammar import START, violations
from abci_app.server.ledgerserver import LedgerServer, SocketRefusedError
from abci_app.server.slices import Slices

__all__ = [
    "START",
    "Application",
    "CallRecorder",
    "LedgerServer",
    "Slices",
    "SocketRefusedError",
    "violations",
]
