"""One ledger's application: what CometBFT calls, put together from the parts. See `abci_app.server.Application` for the threads."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tendermint.abci import types_pb2 as abci
from tendermint.types import params_pb2

from abci_app.admission import Admission
from abci_app.blocks import Blocks, block_digest
from abci_app.execution.outcomes import StageTimes
from abci_app.execution.reading import TransactionReader
from abci_app.failures import FATAL, ExecutionFailed, NotReady
from abci_app.halt import HaltRecord, LedgerHaltedError, VersionLackingError, write_halt
from abci_app.ledger import Ledger
from abci_app.peers import FILTER_PATH, PEER_REFUSED, PeerFilter
from abci_app.proposals import Proposals
from abci_app.queries.foreign import answer_foreign
from ledgers.genesis import BLOCK_BYTES_MAX, VALIDATOR_POWER, LedgerGenesis, parse_app_state
from ledgers.kinds import ContractsVersionUnknown, contract_table
from ledgers.receipts import Receipt
from ledgers.transaction import BLOCK_GAS_MAX
from smartcontracts.codec import encode
from smartcontracts.kernel import Rejected
from smartcontracts.parameters import RULES, RULES_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

    from abci_app.execution.outcomes import BlockResult, Result
    from abci_app.state.committed import Committed, TableFor
    from abci_app.store.kv import Batch, KeyValueStore
    from smartcontracts.parameters import Rules

SOFTWARE_VERSION: Final = "syngraph/1"
CODESPACE: Final = "syngraph"
# Whoever commits a block that is younger than this is not replaying old ones.
CAUGHT_UP_MS: Final = 60_000


class LedgerApplication:
    """The application of one ledger. Constructor arguments are all that it knows of the world outside."""

    def __init__(
        self,
        ledger_id: str,
        store: KeyValueStore,
        directory: Path,
        *,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
        peers: frozenset[str] = frozenset(),
        table_for: TableFor = contract_table,
        times: StageTimes | None = None,
        on_commit: Callable[[Committed], None] | None = None,
    ) -> None:
        """`clock`: Unix time in milliseconds. `directory`: where a halt is recorded. `peers`: configured node ids.

        `on_commit` is called on the consensus thread after each commit; it must be quick and may not raise.
        """
        self.ledger = Ledger(ledger_id, store, table_for)
        self.clock = clock
        self.log = log
        self.times = times or StageTimes()
        self.halt: HaltRecord | None = None
        self._directory = directory
        self._on_commit = on_commit
        self._peers = PeerFilter(peers)
        self.reader = TransactionReader()
        self.admission = Admission(self.reader, clock)
        self._blocks = Blocks(self.ledger, self.reader, log=log, times=self.times)
        self._proposals = Proposals(self._blocks, self.admission, self.reader, clock, log=log)
        self._decided: tuple[BlockResult, Batch] | None = None

    @property
    def ledger_id(self) -> str:
        """The ledger's id, which is its chain id."""
        return self.ledger.ledger_id

    @property
    def committed(self) -> Committed | None:
        """What was committed last; any thread may read it. None before InitChain."""
        return self.ledger.committed

    # -- the consensus thread ------------------------------------------------------------------

    def info(self, _: abci.RequestInfo, /) -> abci.ResponseInfo:
        committed = self.committed
        if committed is None or committed.height == 0:
            version = 0 if committed is None else committed.rules.version
            return abci.ResponseInfo(data=SOFTWARE_VERSION, app_version=version)
        return abci.ResponseInfo(
            data=SOFTWARE_VERSION,
            app_version=committed.next_version,
            last_block_height=committed.height,
            last_block_app_hash=committed.root,
        )

    def init_chain(self, request: abci.RequestInitChain, /) -> abci.ResponseInitChain:
        with self._stopping_on_failure("init_chain"):
            if request.chain_id != self.ledger_id:
                raise LedgerHaltedError(f"this is the application of {self.ledger_id}, not of {request.chain_id}")
            if self.committed is not None and self.committed.height:
                raise LedgerHaltedError(f"the store is at height {self.committed.height}, the engine at none")
            genesis = parse_app_state(request.app_state_bytes, self.ledger_id)
            _check_engine_genesis(request, genesis)
            committed = self.ledger.begin(genesis)
            self._blocks.forget()
            self.log.info("ledger.begun", organizations=len(genesis.organizations))
            # Sets `version.app` of the first header, whatever Info could say before it knew the genesis.
            version = params_pb2.VersionParams(app=committed.rules.version)
            return abci.ResponseInitChain(
                app_hash=committed.root, consensus_params=params_pb2.ConsensusParams(version=version)
            )

    def prepare_proposal(self, request: abci.RequestPrepareProposal, /) -> abci.ResponsePrepareProposal:
        with self._stopping_on_failure("prepare_proposal"):
            committed = self._at(request.height)
            self._peers.caught_up = True
            chosen = self._proposals.prepare(committed, request.txs, request.misbehavior, request.max_tx_bytes)
            return abci.ResponsePrepareProposal(txs=chosen)

    def process_proposal(self, request: abci.RequestProcessProposal, /) -> abci.ResponseProcessProposal:
        with self._stopping_on_failure("process_proposal"):
            committed = self._at(request.height)
            self._peers.caught_up = True
            accepted = self._proposals.process(committed, request.txs, request.misbehavior)
            status = abci.ResponseProcessProposal.ACCEPT if accepted else abci.ResponseProcessProposal.REJECT
            return abci.ResponseProcessProposal(status=status)

    def finalize_block(self, request: abci.RequestFinalizeBlock, /) -> abci.ResponseFinalizeBlock:
        with self._stopping_on_failure("finalize_block"):
            committed = self._at(request.height)
            transactions = list(request.txs)
            digest = block_digest(transactions, request.misbehavior)
            block = self._blocks.execute(committed, transactions, digest)
            self.times.start()
            batch = self.ledger.batch(block)
            self.times.lap("store")
            self._decided = (block, batch)
            results = [_exec_result(result) for result in block.results]
            if len(results) != len(transactions):
                raise RuntimeError(f"{len(results)} results of {len(transactions)} transactions")
            return abci.ResponseFinalizeBlock(
                tx_results=results, app_hash=block.root, consensus_param_updates=_upgrade(committed, block)
            )

    def commit(self, _: abci.RequestCommit, /) -> abci.ResponseCommit:
        with self._stopping_on_failure("commit"):
            if self._decided is None:
                raise RuntimeError("a commit without a block")
            block, batch = self._decided
            self.times.start()
            committed = self.ledger.commit(block, batch)
            self.times.lap("store")
            self._decided = None
            self._blocks.forget()
            self._proposals.next_height()
            self.admission.block_committed(block.transactions)
            if self.clock() - block.time_ms < CAUGHT_UP_MS:
                # A full node is never asked about a proposal.
                self._peers.caught_up = True
            self._log_block(block)
            if self._on_commit is not None:
                self._on_commit(committed)
            return abci.ResponseCommit(retain_height=0)

    def extend_vote(self, _: abci.RequestExtendVote, /) -> abci.ResponseExtendVote:
        """Votes carry nothing of ours."""
        return abci.ResponseExtendVote()

    def verify_vote_extension(self, request: abci.RequestVerifyVoteExtension, /) -> abci.ResponseVerifyVoteExtension:
        """Nor may others'."""
        empty = not request.vote_extension
        status = abci.ResponseVerifyVoteExtension
        return status(status=status.ACCEPT if empty else status.REJECT)

    def offer_snapshot(self, _: abci.RequestOfferSnapshot, /) -> abci.ResponseOfferSnapshot:
        """No snapshots yet: a newcomer replays blocks."""
        return abci.ResponseOfferSnapshot(result=abci.ResponseOfferSnapshot.ABORT)

    def apply_snapshot_chunk(self, _: abci.RequestApplySnapshotChunk, /) -> abci.ResponseApplySnapshotChunk:
        """As `offer_snapshot`."""
        return abci.ResponseApplySnapshotChunk(result=abci.ResponseApplySnapshotChunk.ABORT)

    # -- the loop thread -----------------------------------------------------------------------

    def check_tx(self, request: abci.RequestCheckTx, /) -> abci.ResponseCheckTx:
        """Refusals carry an encoded Receipt in `data`, admissions the transaction's id."""
        committed = self.committed
        try:
            if committed is None:
                raise NotReady("The ledger has not begun on this node yet.")
            recheck = request.type == abci.RECHECK
            admitted = self.admission.check(request.tx, committed, recheck=recheck)
        except Rejected as refusal:
            return _check_refused(refusal, self.ledger_id)
        except FATAL:
            raise
        except Exception:  # one transaction must not stop the engine
            self.log.exception("check_tx.raised")
            return _check_refused(ExecutionFailed("The application failed on this transaction."), self.ledger_id)
        return abci.ResponseCheckTx(data=admitted.transaction_id, gas_wanted=admitted.gas)

    def query(self, request: abci.RequestQuery, /) -> abci.ResponseQuery:
        """`/p2p/filter/...` for the engine, and `/key` with a proof for foreign tools; all else is on the private socket."""
        committed = self.committed
        if request.path.startswith(FILTER_PATH):
            if self._peers.admits(request.path, committed):
                return abci.ResponseQuery()
            self.log.warning("peer.refused", path=request.path[:100])
            return abci.ResponseQuery(code=PEER_REFUSED, codespace=CODESPACE, log="PEER_REFUSED")
        return answer_foreign(request, committed)

    # -- the snapshot thread -------------------------------------------------------------------

    def list_snapshots(self, _: abci.RequestListSnapshots, /) -> abci.ResponseListSnapshots:
        """None yet."""
        return abci.ResponseListSnapshots()

    def load_snapshot_chunk(self, _: abci.RequestLoadSnapshotChunk, /) -> abci.ResponseLoadSnapshotChunk:
        """None yet."""
        return abci.ResponseLoadSnapshotChunk()

    # ------------------------------------------------------------------------------------------

    def _at(self, height: int) -> Committed:
        if self.halt is not None:
            raise LedgerHaltedError(self.halt.line())
        committed = self.committed
        if committed is None or height != committed.height + 1:
            at = "no height" if committed is None else f"height {committed.height}"
            raise RuntimeError(f"the engine is at height {height}, the application at {at}")
        try:
            committed.table_of_next()
        except ContractsVersionUnknown as lacking:
            raise VersionLackingError(lacking.sentence) from lacking
        return committed

    def _log_block(self, block: BlockResult) -> None:
        if len(block.transactions) > 1 or block.fired:
            self.log.info(
                "block.committed",
                height=block.height,
                transactions=len(block.transactions) - 1,
                deadlines=block.fired,
                events=len(block.events),
            )
        else:
            self.log.debug("block.committed", height=block.height)

    @contextmanager
    def _stopping_on_failure(self, step: str) -> Iterator[None]:
        """Whatever escapes a consensus call stops the ledger, before commit, and says so in its data directory."""
        try:
            yield
        except BaseException as failure:
            if self.halt is None and isinstance(failure, Exception | MemoryError):
                self._record_halt(step, failure)
            raise

    def _record_halt(self, step: str, failure: BaseException) -> None:
        committed = self.committed
        self.halt = HaltRecord(
            ledger_id=self.ledger_id,
            height=1 if committed is None else committed.height + 1,
            step=step,
            failure=type(failure).__name__,
            message=" ".join((str(failure)[:300], *getattr(failure, "__notes__", ()))),
            at_ms=self.clock(),
        )
        self.log.critical("ledger.halted", height=self.halt.height, step=step, failure=self.halt.failure)
        try:
            write_halt(self._directory, self.halt)
        except OSError as error:
            self.log.critical("ledger.halt_not_recorded", error=str(error))


def _check_engine_genesis(request: abci.RequestInitChain, genesis: LedgerGenesis) -> None:
    """CometBFT's own part of its genesis file must follow from ours. Raises LedgerHaltedError."""
    validators = sorted((v.pub_key.ed25519, v.power) for v in request.validators)
    if validators != sorted((key, VALIDATOR_POWER) for key in genesis.validators):
        raise LedgerHaltedError("the validators in the engine's genesis file are not those of the ledger's genesis")
    params = request.consensus_params
    if (params.block.max_bytes, params.block.max_gas) != (BLOCK_BYTES_MAX, BLOCK_GAS_MAX):
        raise LedgerHaltedError("the block limits in the engine's genesis file are not the ledger's")


def _upgrade(committed: Committed, block: BlockResult) -> params_pb2.ConsensusParams | None:
    """What tells the engine, which writes it into the next header, that the next block runs under another version."""
    written = block.documents.get(f"{RULES.name}/{RULES_ID}")
    rules: Rules = committed.rules if written is None else written.record
    version = rules.version_at(block.height + 1)
    if version == rules.version:
        return None
    return params_pb2.ConsensusParams(version=params_pb2.VersionParams(app=version))


def _exec_result(result: Result) -> abci.ExecTxResult:
    receipt = result.receipt
    return abci.ExecTxResult(
        code=receipt.code,
        data=result.data,
        log=receipt.sentence and f"{receipt.name}: {receipt.sentence}",
        gas_wanted=result.gas,
        gas_used=result.gas,
        codespace=CODESPACE if receipt.code else "",
    )


def _check_refused(refusal: Rejected, ledger_id: str) -> abci.ResponseCheckTx:
    receipt = Receipt(
        ledger_id=ledger_id,
        code=refusal.code,
        name=refusal.refusal_name(),
        field=refusal.field,
        message_index=refusal.message_index,
        sentence=refusal.sentence,
        existing_id=refusal.existing_id,
    )
    return abci.ResponseCheckTx(
        code=refusal.code,
        data=encode(receipt),
        log=f"{receipt.name}: {receipt.sentence}",
        codespace=CODESPACE,
    )
