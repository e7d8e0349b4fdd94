"""`python -m tests.faults.controlled_application`: the application process, with contracts and faults of a test.

Everything else is the real process. What it does wrong stands in a JSON file that $SYNGRAPH_TEST_CONTROLS names, read anew
at each call, and what the engine asked of it in a journal beside that file:

clock_offset_ms   its clock is off by so much
hold              it answers ProcessProposal only when this is gone
propose           PrepareProposal offers a block that is wrong in this way
entry             the transaction, in hexadecimal, that makes a block wrong in the way "raising"
accept_all        ProcessProposal accepts whatever is proposed
refuse_checks     CheckTx admits nothing
versions          its software has these versions of the contracts in tests/versioned.py; read once, when it starts
"""

from __future__ import annotations

import json
import os
import sys
import time
from hashlib import sha256
from pathlib import Path

from tendermint.abci import types_pb2 as abci

import abci_app.process
from abci_app.__main__ import main
from abci_app.application import LedgerApplication
from abci_app.blocks import block_digest
from abci_app.execution.run import block_time_ms
from abci_app.proposals import wire_bytes
from ledgers.transaction import encode_timestamp
from tests import versioned
from tests.faults.contracts import table_for

HOUR_MS = 3_600_000
GARBAGE = b"\xff\xff\xff no transaction"


class Controls:
    """The file, read at each question; and the journal."""

    def __init__(self, path):
        self.path = path
        self._journal = path.with_suffix(".journal").open("a", buffering=1, encoding="utf-8")

    def get(self, name, default=None):
        try:
            return json.loads(self.path.read_text(encoding="utf-8")).get(name, default)
        except FileNotFoundError:
            return default

    def note(self, call, **fields):
        self._journal.write(json.dumps({"at_ms": time.time_ns() // 1_000_000, "call": call, **fields}) + "\n")


CONTROLS = Controls(Path(os.environ["SYNGRAPH_TEST_CONTROLS"]))


def clock_ms():
    return time.time_ns() // 1_000_000 + CONTROLS.get("clock_offset_ms", 0)


def spoilt(way, chosen, ledger_id, last_ms):
    """The block `chosen`, wrong in this way."""
    now_ms = time.time_ns() // 1_000_000
    first, *rest = chosen
    firsts = {
        "missing": [],
        "late": [encode_timestamp(ledger_id, now_ms + HOUR_MS)],
        "early": [encode_timestamp(ledger_id, max(last_ms + 1, now_ms - HOUR_MS))],
        "back": [encode_timestamp(ledger_id, last_ms)],
        "doubled": [first, encode_timestamp(ledger_id, now_ms + 1)],
        "foreign": [encode_timestamp("sg_" + "a" * 32, now_ms)],
    }
    if way == "undecodable":
        return [first, *rest, GARBAGE]
    if way == "raising":
        return [first, *rest, bytes.fromhex(CONTROLS.get("entry"))]
    if way == "repeated" and rest:
        return [first, *rest, rest[0]]
    return [*firsts.get(way, [first]), *rest]


def chosen_tables():
    versions = CONTROLS.get("versions")
    if versions is None:
        return table_for
    return versioned.table_for if 2 in versions else versioned.old_table_for


class ControlledApplication(LedgerApplication):
    """The real application, unless the controls say otherwise."""

    def __init__(self, *args, **options):
        super().__init__(*args, **{**options, "clock": clock_ms, "table_for": chosen_tables()})
        self._own = b""

    def prepare_proposal(self, request, /):
        answer = super().prepare_proposal(request)
        chosen = list(answer.txs)
        offered, taken = (sum(map(wire_bytes, entries)) for entries in (request.txs, chosen))
        way = CONTROLS.get("propose", "")
        if way == "early" and not self._is_old(self.committed.clock.time_ms):
            way = ""  # as early as a timestamp may be is near enough
        if way:
            chosen = spoilt(way, chosen, self.ledger_id, self.committed.clock.time_ms)
            self._own = block_digest(chosen, ())
        CONTROLS.note(
            "prepare",
            height=request.height,
            way=way,
            digest=block_digest(chosen, ()).hex(),
            transactions=len(chosen),
            offered_bytes=offered,
            taken_bytes=taken,
            bytes_max=request.max_tx_bytes,
        )
        return abci.ResponsePrepareProposal(txs=chosen)

    def _is_old(self, time_ms):
        return time.time_ns() // 1_000_000 - time_ms > self.committed.parameters.clock_behind_ms + 200

    def process_proposal(self, request, /):
        digest = block_digest(list(request.txs), ())
        about = {"height": request.height, "digest": digest.hex()}
        if CONTROLS.get("hold"):
            CONTROLS.note("held", **about)
            while CONTROLS.get("hold"):
                time.sleep(0.005)
        if digest == self._own or CONTROLS.get("accept_all"):
            CONTROLS.note("process", accepted=True, forced=True, **about)
            return abci.ResponseProcessProposal(status=abci.ResponseProcessProposal.ACCEPT)
        time_ms = block_time_ms(request.txs[0] if request.txs else None, self.committed)
        answer = super().process_proposal(request)
        CONTROLS.note(
            "process",
            accepted=answer.status == abci.ResponseProcessProposal.ACCEPT,
            age_ms=None if time_ms is None else time.time_ns() // 1_000_000 - time_ms,
            **about,
        )
        return answer

    def finalize_block(self, request, /):
        answer = super().finalize_block(request)
        CONTROLS.note(
            "finalize",
            height=request.height,
            digest=block_digest(list(request.txs), ()).hex(),
            transactions=len(request.txs),
            results=[result.code for result in answer.tx_results],
            bytes=sum(map(wire_bytes, request.txs)),
        )
        return answer

    def check_tx(self, request, /):
        if CONTROLS.get("refuse_checks"):
            CONTROLS.note("refused_check", sha256=sha256(request.tx).hexdigest())
            return abci.ResponseCheckTx(code=9999, log="the test refuses all")
        return super().check_tx(request)


if __name__ == "__main__":
    abci_app.process.LedgerApplication = ControlledApplication
    sys.exit(main())
