"""Consensus in one process: N applications, one seed, no network. Drives them as CometBFT 0.40 does and compares them.

A proposer in turn prepares, all process, all finalize and commit, and recheck what their mempools still hold. After
each block, app hash and the hashed fields of every result must be equal everywhere.
"""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass

from tendermint.abci import types_pb2 as abci
from tendermint.types import params_pb2

from ledgers.genesis import comet_genesis

# What CometBFT gives an application of a 4 MiB block with few validators, about.
TX_BYTES_MAX = 4 * 1024 * 1024 - 2_000


class BlockRefused(AssertionError):
    """Too few applications accepted a proposal."""


@dataclass(frozen=True)
class Block:
    height: int
    txs: list[bytes]
    results: list[abci.ExecTxResult]
    app_hash: bytes
    # `version.app` of its header, and what it made of that for the next one.
    app_version: int
    next_app_version: int


def init_chain_request(genesis) -> abci.RequestInitChain:
    """The request that CometBFT makes of our genesis file."""
    document = comet_genesis(genesis)
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


class FakeConsensus:
    """`applications` by name; a name in `down` is away: it misses blocks until `catch_up`."""

    def __init__(self, applications, genesis, seed=0):
        self.applications = dict(applications)
        self.genesis = genesis
        self.random = random.Random(seed)
        self.height = 0
        self.app_hash = b""
        self.app_version = 0
        self.mempools = {name: [] for name in self.applications}
        self.blocks: list[Block] = []
        self.down: set[str] = set()
        self.changed = True  # the engine makes a block after one that changed the app hash

    @property
    def up(self):
        return {n: a for n, a in self.applications.items() if n not in self.down}

    def start(self):
        """InitChain everywhere."""
        request = init_chain_request(self.genesis)
        answers = {n: a.init_chain(request) for n, a in self.applications.items()}
        self.app_hash = self._same({n: a.app_hash for n, a in answers.items()})
        self.app_version = self._same({n: a.consensus_params.version.app for n, a in answers.items()})
        return self

    def submit(self, raw, to=None):
        """CheckTx on the named applications (default: all); the answer of the first."""
        answers = []
        for name in to or list(self.up):
            answer = self.applications[name].check_tx(abci.RequestCheckTx(tx=raw))
            answers.append(answer)
            if answer.code == 0 and raw not in self.mempools[name]:
                self.mempools[name].append(raw)
        return answers[0]

    def needs_block(self):
        """Whether the engine would make a block: something waits, or the app hash changed."""
        return self.changed or any(self.mempools[name] for name in self.up)

    def proposer(self):
        names = list(self.up)
        return names[self.height % len(names)]

    def prepare(self, name):
        """What that application would propose."""
        request = abci.RequestPrepareProposal(
            height=self.height + 1, txs=self.mempools[name], max_tx_bytes=TX_BYTES_MAX
        )
        txs = list(self.applications[name].prepare_proposal(request).txs)
        assert sum(wire_bytes(tx) for tx in txs) <= TX_BYTES_MAX
        return txs

    def ask(self, name, txs):
        """Whether that application accepts a proposal."""
        request = abci.RequestProcessProposal(height=self.height + 1, txs=txs)
        answer = self.applications[name].process_proposal(request)
        return answer.status == abci.ResponseProcessProposal.ACCEPT

    def block(self, txs=None, proposer=None) -> Block:
        """Make one block: prepared by the proposer, or of the given transactions."""
        name = proposer or self.proposer()
        txs = self.prepare(name) if txs is None else txs
        votes = sum(self.ask(other, txs) for other in self.up)
        if 3 * votes <= 2 * len(self.applications):
            raise BlockRefused(f"{votes} of {len(self.applications)} accept")
        return self.decide(txs)

    def decide(self, txs) -> Block:
        """Finalize and commit a block everywhere, whatever anybody thinks of it."""
        block = self._finalize(self.up, txs)
        self.blocks.append(block)
        self.height += 1
        self.changed = block.app_hash != self.app_hash
        self.app_hash = block.app_hash
        self.app_version = block.next_app_version
        for application in self.up.values():
            application.commit(abci.RequestCommit())
        self._recheck(txs)
        return block

    def run(self, blocks_max=50):
        """Blocks until the ledger sleeps; fails when it does not."""
        made = []
        while self.needs_block():
            assert len(made) < blocks_max, "the ledger spins"
            made.append(self.block())
        return made

    def catch_up(self, name):
        """Block-sync: the application executes what it missed, without being asked for its opinion."""
        application = self.applications[name]
        self.down.discard(name)
        at = application.info(abci.RequestInfo()).last_block_height
        for block in self.blocks[at:]:
            again = self._finalize_one(application, block.height, block.txs)
            assert again.app_hash == block.app_hash
            assert _next_version(again, block.app_version) == block.next_app_version
            application.commit(abci.RequestCommit())

    def _finalize(self, applications, txs):
        answers = {n: self._finalize_one(a, self.height + 1, txs) for n, a in applications.items()}
        self._same({n: [_hashed(r) for r in a.tx_results] for n, a in answers.items()})
        app_hash = self._same({n: a.app_hash for n, a in answers.items()})
        version = self._same({n: _next_version(a, self.app_version) for n, a in answers.items()})
        first = next(iter(answers.values()))
        assert len(first.tx_results) == len(txs)
        return Block(self.height + 1, list(txs), list(first.tx_results), app_hash, self.app_version, version)

    def _finalize_one(self, application, height, txs):
        return application.finalize_block(abci.RequestFinalizeBlock(height=height, txs=txs))

    def _recheck(self, committed):
        done = set(committed)
        for name, application in self.up.items():
            self.mempools[name] = [
                raw
                for raw in self.mempools[name]
                if raw not in done and application.check_tx(abci.RequestCheckTx(tx=raw, type=abci.RECHECK)).code == 0
            ]

    @staticmethod
    def _same(answers):
        first = next(iter(answers.values()))
        different = {name for name, answer in answers.items() if answer != first}
        assert not different, f"{sorted(different)} differ from {next(iter(answers))}"
        return first


def _next_version(answer, version):
    """`version.app` of the next header: parameters that FinalizeBlock changes hold from the next height on."""
    updates = answer.consensus_param_updates
    return updates.version.app if updates.HasField("version") else version


def _hashed(result):
    """The fields that CometBFT hashes into `last_results_hash`."""
    return (result.code, result.data, result.gas_wanted, result.gas_used)


def wire_bytes(raw):
    return len(abci.RequestPrepareProposal(txs=[raw]).SerializeToString())
