"""The application's side of ABCI 2.0: what the server calls, on which thread, and when.

Req: engine interface of CometBFT v0.40.0 (`tendermint.abci.ABCIApplication`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tendermint.abci import types_pb2 as abci


class Application(Protocol):
    """One ledger's application: a method a request, synchronous, request message in, response message out.

    **Threads.** Three threads call it; no method is ever called twice at the same time, and methods of
    one thread never overlap.

    - The *consensus thread*, one a ledger, named `consensus-<ledger>`: `info`, `init_chain`,
      `prepare_proposal`, `process_proposal`, `finalize_block`, `commit`, `extend_vote`,
      `verify_vote_extension`, `offer_snapshot`, `apply_snapshot_chunk`. Strictly one after the other, in
      the order in which they came. They may take long and may wait for a disk.
    - The *loop thread*, shared by all ledgers of the process: `check_tx` and `query`. They run **while a
      consensus call is in hand** and must therefore read only what was committed last, through something that
      the consensus thread replaces in one assignment (a snapshot of the store, a frozen record). Each call
      must stay within about 2 ms and must not wait for anything, since every ledger's sockets wait
      meanwhile. What they write (seen transactions, quotas) the consensus thread may only touch under a lock.
      The engine holds its mempool while it calls `commit`, so no `check_tx` of *this* engine overlaps
      `commit`; a `query` may, and rechecks come right after it.
    - The *snapshot thread*, one a ledger, named `snapshots-<ledger>`: `list_snapshots` and `load_snapshot_chunk`,
      which read from disk for a peer and may take long. They overlap everything else.

    `info` belongs to the consensus thread although the engine asks it on its query connection: when an engine
    is killed in the middle of a commit, its successor must hear the height *after* that commit, or it would
    replay the block once more.

    **Exceptions.** `check_tx` and `query` should answer with codes; what escapes them is logged and answered
    with the server's code for it. What escapes `list_snapshots` or `load_snapshot_chunk` is logged and answered with an
    empty response (no snapshot). Whatever escapes a method of the consensus thread **halts the ledger**: the
    engine gets a `ResponseException`, its connections are closed, `on_halt` is called, and nothing is
    called on this application again. A call whose connection is lost meanwhile is finished all the same.

    The server answers Echo and Flush itself, and InsertTx and ReapTxs (`mempool.type=app`, unused) with
    "unsupported".
    """

    def info(self, request: abci.RequestInfo, /) -> abci.ResponseInfo:
        """Say the last committed height and app hash. Consensus thread; `abci_version` is checked already."""
        ...

    def init_chain(self, request: abci.RequestInitChain, /) -> abci.ResponseInitChain:
        """Take the genesis. Consensus thread; called again after a crash before the first commit."""
        ...

    def prepare_proposal(self, request: abci.RequestPrepareProposal, /) -> abci.ResponsePrepareProposal:
        """Select the transactions of a block. Consensus thread."""
        ...

    def process_proposal(self, request: abci.RequestProcessProposal, /) -> abci.ResponseProcessProposal:
        """Accept or reject a proposal. Consensus thread."""
        ...

    def finalize_block(self, request: abci.RequestFinalizeBlock, /) -> abci.ResponseFinalizeBlock:
        """Execute a decided block; writes nothing. Consensus thread."""
        ...

    def commit(self, request: abci.RequestCommit, /) -> abci.ResponseCommit:
        """Make the executed block durable before returning. Consensus thread."""
        ...

    def extend_vote(self, request: abci.RequestExtendVote, /) -> abci.ResponseExtendVote:
        """Give the extension of this validator's precommit. Consensus thread."""
        ...

    def verify_vote_extension(self, request: abci.RequestVerifyVoteExtension, /) -> abci.ResponseVerifyVoteExtension:
        """Accept or reject another validator's extension. Consensus thread."""
        ...

    def offer_snapshot(self, request: abci.RequestOfferSnapshot, /) -> abci.ResponseOfferSnapshot:
        """Accept or reject a peer's snapshot before it is restored. Consensus thread."""
        ...

    def apply_snapshot_chunk(self, request: abci.RequestApplySnapshotChunk, /) -> abci.ResponseApplySnapshotChunk:
        """Restore one chunk of the accepted snapshot. Consensus thread."""
        ...

    def check_tx(self, request: abci.RequestCheckTx, /) -> abci.ResponseCheckTx:
        """Admit a transaction to the mempool, or not. Loop thread, at most about 2 ms."""
        ...

    def query(self, request: abci.RequestQuery, /) -> abci.ResponseQuery:
        """Answer from committed state. Loop thread, at most about 2 ms."""
        ...

    def list_snapshots(self, request: abci.RequestListSnapshots, /) -> abci.ResponseListSnapshots:
        """List the snapshots that peers may fetch. Snapshot thread."""
        ...

    def load_snapshot_chunk(self, request: abci.RequestLoadSnapshotChunk, /) -> abci.ResponseLoadSnapshotChunk:
        """Read one chunk of a snapshot for a peer. Snapshot thread."""
        ...
