"""The blocks that the network decided, once more through one application in this process: where its time goes.

Its clock is the recorded blocks' own; the app hash after every block is compared with the one that the validators signed.
"""

from __future__ import annotations

import base64
import cProfile
import io
import json
import pstats
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time, thread_time
from typing import Any, Final

import structlog
from tendermint.abci import types_pb2 as abci
from tendermint.types import params_pb2

from abci_app.application import LedgerApplication
from abci_app.execution.outcomes import STAGES
from abci_app.store import LevelStore
from scripts.load.engine import RecordedBlock
from syngraph.v1.transaction_pb2 import Transaction

# A block of fewer says more about the block than about its transactions.
TRANSACTIONS_MIN: Final = 20
PROFILE_LINES: Final = 60
# Critical lines alone.
_LOG: Final = structlog.wrap_logger(structlog.PrintLogger(), wrapper_class=structlog.make_filtering_bound_logger(50))


class ReplayDiffers(Exception):
    """The application comes to another app hash than the validators did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayTimes:
    """Microseconds a transaction. `finalize_us`: FinalizeBlock with Commit, the median over blocks; `stages`: means.

    `processor_us` is `finalize_us` in processor time of the calling thread, `merging_us` that of all others of this
    process, which is LevelDB's: other programs show in them less than in wall time.
    """

    blocks: int
    transactions: int
    check_us: float
    finalize_us: float
    processor_us: float
    merging_us: float
    stages: dict[str, float]


def _others_s() -> float:
    """Processor seconds of all threads of this process but the calling one."""
    return process_time() - thread_time()


@dataclass(slots=True)
class _Run:
    """What one replay counted."""

    check_s: float = 0.0
    finalize_us: list[float] = field(default_factory=list)
    processor_us: list[float] = field(default_factory=list)
    transactions: int = 0
    others_since_s: float = field(default_factory=_others_s)


def replay(
    genesis: bytes, blocks: Sequence[RecordedBlock], first: int, directory: Path, *, check: bool
) -> ReplayTimes:
    """Run all blocks; measure those from height `first`. With `check`, CheckTx sees each transaction before its block.

    Raises ReplayDiffers.
    """
    with _application(genesis, directory) as (application, clock):
        run = _Run()
        before = application.times.as_dict()
        for block, follower in zip(blocks, (*blocks[1:], None), strict=True):
            if block.height == first:
                run, before = _Run(), application.times.as_dict()
            _run_block(application, block, clock, run, check=check)
            if follower is not None and application.committed is not None and application.committed.root != follower.app_hash:
                raise ReplayDiffers(f"height {block.height}: the recorded app hash is another one")
        after = application.times.as_dict()
        # Two clocks are read one after the other, so that nothing can come out as less than nothing.
        merging_s = max(0.0, _others_s() - run.others_since_s)
    count = max(1, run.transactions)
    return ReplayTimes(
        blocks=len(run.finalize_us),
        transactions=run.transactions,
        check_us=run.check_s * 1e6 / count,
        finalize_us=_median(run.finalize_us),
        processor_us=_median(run.processor_us),
        merging_us=merging_s * 1e6 / count,
        stages={name: (after[name] - before[name]) * 1e6 / count for name in STAGES},
    )


def profiled(genesis: bytes, blocks: Sequence[RecordedBlock], first: int, directory: Path) -> str:
    """The functions of a replay with CheckTx, by own and by cumulated time, as cProfile tells them."""
    profile = cProfile.Profile()
    with _application(genesis, directory) as (application, clock):
        for block in blocks:
            if block.height == first:
                profile.enable()
            _run_block(application, block, clock, _Run(), check=True)
        profile.disable()
    target = io.StringIO()
    stats = pstats.Stats(profile, stream=target)
    stats.sort_stats("tottime").print_stats(PROFILE_LINES)
    stats.sort_stats("cumulative").print_stats(PROFILE_LINES)
    return target.getvalue()


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


class _BlockClock:
    """The time of the block in hand."""

    def __init__(self) -> None:
        self.now_ms = 0

    def __call__(self) -> int:
        return self.now_ms


@contextmanager
def _application(genesis: bytes, directory: Path) -> Iterator[tuple[LedgerApplication, _BlockClock]]:
    document = json.loads(genesis)
    clock = _BlockClock()
    store = LevelStore(directory / "store")
    try:
        application = LedgerApplication(document["chain_id"], store, directory, clock=clock, log=_LOG)
        application.init_chain(init_chain_request(document))
        yield application, clock
    finally:
        store.close()


def _run_block(
    application: LedgerApplication, block: RecordedBlock, clock: _BlockClock, run: _Run, *, check: bool
) -> None:
    clock.now_ms = _time_ms(block)
    signed = block.transactions[1:]
    if check:
        began = perf_counter()
        for raw in signed:
            application.check_tx(abci.RequestCheckTx(tx=raw))
        run.check_s += perf_counter() - began
    request = abci.RequestFinalizeBlock(height=block.height, txs=block.transactions)
    began, busy_since = perf_counter(), thread_time()
    application.finalize_block(request)
    application.commit(abci.RequestCommit())
    took, busy = perf_counter() - began, thread_time() - busy_since
    run.transactions += len(signed)
    if len(signed) >= TRANSACTIONS_MIN:
        run.finalize_us.append(took * 1e6 / len(signed))
        run.processor_us.append(busy * 1e6 / len(signed))


def _time_ms(block: RecordedBlock) -> int:
    return Transaction.FromString(block.transactions[0]).timestamp.time_ms if block.transactions else 0


def init_chain_request(document: dict[str, Any]) -> abci.RequestInitChain:
    """What an engine asks when it begins with this genesis file."""
    params = document["consensus_params"]
    return abci.RequestInitChain(
        chain_id=document["chain_id"],
        initial_height=1,
        app_state_bytes=json.dumps(document["app_state"]).encode(),
        validators=[
            abci.ValidatorUpdate(pub_key={"ed25519": base64.b64decode(v["pub_key"]["value"])}, power=int(v["power"]))
            for v in document["validators"]
        ],
        consensus_params=params_pb2.ConsensusParams(
            block=params_pb2.BlockParams(
                max_bytes=int(params["block"]["max_bytes"]), max_gas=int(params["block"]["max_gas"])
            ),
            version=params_pb2.VersionParams(app=int(params["version"]["app"])),
        ),
    )
