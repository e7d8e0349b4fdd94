"""Recorder: a ledger on fake consensus whose blocks are kept, to be committed beside this file and replayed for ever after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from nacl.signing import SigningKey

from abci_app.application import LedgerApplication
from abci_app.queries.reads import receipt
from abci_app.queries.simulation import simulate
from abci_app.store import MemoryStore
from ledgers.genesis import LedgerGenesis, ledger_id
from ledgers.kinds import OMNI, VERSIONS, contract_table
from ledgers.transaction import Act, assemble, build_body, sign_body, transaction_id
from smartcontracts import codec
from smartcontracts.kernel import Cause, Position, Role
from smartcontracts.parameters import Parameters
from smartcontracts.proposal import AcceptProposal, Propose, act_of, sha256_of
from syngraph.v1.system_pb2 import Receipt
from tests.fake_consensus import FakeConsensus
from tests.world import Clock, make_genesis, member, person
from tests.world import quiet_log as no_log

ALL_ROLES = tuple(sorted(Role))
NAMES = ("acme", "alpha", "north", "south")


def genesis_of_four(kind: str) -> LedgerGenesis:
    """acme, alpha, north and south, each with one member of all roles."""
    base = make_genesis(Parameters(), kind=kind)
    organizations = base.organizations
    if kind == OMNI:
        organizations = tuple(replace(o, position=Position.MEMBER) for o in organizations)
    members = tuple(sorted((member(n, ALL_ROLES) for n in NAMES), key=lambda m: m.id))
    return replace(base, organizations=organizations, members=members)


class Recorder:
    """Replicas of one ledger; what they commit is what is recorded."""

    def __init__(self, genesis: LedgerGenesis, names: Iterable[str] = NAMES, clock: Clock | None = None) -> None:
        self.genesis = genesis
        self.ledger_id = ledger_id(genesis)
        self.clock = clock or Clock()
        self.consensus = FakeConsensus({n: self._application() for n in names}, genesis)
        self.taken: set[str] = set()
        self.refused: set[str] = set()
        self._nonce = 0
        self.consensus.start()
        self.consensus.run()

    @property
    def application(self) -> LedgerApplication:
        """One of the replicas; the fake consensus compares them."""
        return next(iter(self.consensus.applications.values()))

    def _application(self) -> LedgerApplication:
        return LedgerApplication(
            self.ledger_id, MemoryStore(), None, clock=self.clock, log=no_log(), table_for=contract_table
        )

    def body(self, acts: Sequence[Act], signer: str) -> bytes:
        """The body of the next transaction of these acts."""
        self._nonce += 1
        return build_body(
            ledger_id=self.ledger_id,
            nonce=self._nonce.to_bytes(16, "big"),
            expires_at_ms=self.clock() + 60_000,
            signers=[signer],
            acts=acts,
        )

    def send(self, body: bytes, key: SigningKey) -> Receipt:
        """The receipt of a transaction that stands in a block of its own."""
        answer = self.consensus.submit(assemble(body, [sign_body(self.ledger_id, body, key)]))
        assert answer.code == 0, answer.log
        self.consensus.run()
        return receipt(transaction_id(self.ledger_id, body), self.application.committed)

    def simulated(self, acts: Sequence[Act], signer: str, key: SigningKey, later_ms: int = 10) -> Receipt:
        """The receipt that a transaction would have in a block so much later; nothing changes."""
        body = self.body(acts, signer)
        self._nonce -= 1  # it was never used
        raw = assemble(body, [sign_body(self.ledger_id, body, key)])
        before = self.application.committed
        found = simulate(raw, before, self.application.reader, self.clock() + later_ms, no_log())
        assert self.application.committed is before
        return found

    def do(self, who: str, name: str, command: Any, *, code: int = 0, cause: Cause | None = None) -> Receipt:
        """One message by `who`; its receipt, which must have this code."""
        body = self.body([Act(name=name, command=command, cause=cause)], person(who).signer)
        self.clock.now_ms += 10
        found = self.send(body, person(who).key)
        assert found.code == code, f"{name}: {found.name} {found.field}: {found.sentence}"
        (self.refused if code else self.taken).add(name)
        return found

    def made(self, who: str, name: str, command: Any, kind: str) -> str:
        """The id of the document of this kind that the message wrote."""
        written = self.do(who, name, command).documents
        return next(d.id for d in written if d.kind == kind)

    def propose(self, who: str, act: str, command: Any) -> tuple[str, bytes]:
        """Id and hash of a new proposal."""
        made = act_of(act, command)
        proposal = self.made(who, "propose", Propose(act=made, valid_for_ms=60_000), "proposal")
        self.taken.add(act)
        return proposal, sha256_of(codec.encode(made))

    def agree(self, who: str, other: str, act: str, command: Any) -> Receipt:
        """A joint act that `other` accepts."""
        proposal, sha256 = self.propose(who, act, command)
        return self.do(other, "accept_proposal", AcceptProposal(proposal_id=proposal, act_sha256=sha256))

    def wait(self, ms: int) -> None:
        """Time passes, and a tick makes the block in which deadlines fire."""
        self.clock.now_ms += ms
        if self.consensus.needs_block():
            self.consensus.run()
        else:
            self.consensus.block([*self.consensus.prepare(self.consensus.proposer())])
            self.consensus.run()

    def recording(self, name: str) -> dict[str, Any]:
        """What is committed to the repository."""
        return {
            "format": "recorded-ledger/1",
            "name": name,
            "contracts_version": VERSIONS[-1],
            "genesis": codec.encode(self.genesis).hex(),
            "blocks": [
                {
                    "height": b.height,
                    "txs": [t.hex() for t in b.txs],
                    "codes": [r.code for r in b.results],
                    "app_hash": b.app_hash.hex(),
                }
                for b in self.consensus.blocks
            ],
        }

    def uncovered(self) -> set[str]:
        """Messages and acts of this ledger's contracts that the recording lacks."""
        table = contract_table(self.genesis.kind, VERSIONS[-1])
        return (set(table.messages) | set(table.acts)) - self.taken
