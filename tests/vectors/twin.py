"""Twin: a ledger in memory, every block of which the real application makes, too; they must come to the same documents.

So what drives contracts in memory (the agents' market, the helpers of the contracts' tests) can be recorded and replayed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nacl.signing import SigningKey

from ledgers.genesis import LedgerGenesis
from ledgers.kinds import INTERNAL, VERSIONS, contract_table
from ledgers.transaction import Act, Signer, transaction_id
from smartcontracts.kernel import Cause, Position, Rejected, Role, Sender
from smartcontracts.parameters import Parameters
from syngraph.v1.system_pb2 import Receipt
from tests.node.agents.desk import MarketLedger
from tests.smartcontracts.support import member, member_record, organization_record
from tests.vectors.recorder import Recorder
from tests.world import Clock


def internal_genesis(owner: str, created_at_ms: int) -> LedgerGenesis:
    """The organization of `tests.smartcontracts.support` with this name, a member for each role."""
    return LedgerGenesis(
        kind=INTERNAL,
        secret=hashlib.sha256(owner.encode()).digest(),
        created_at_ms=created_at_ms,
        contracts_version=VERSIONS[-1],
        parameters=Parameters(),
        organizations=(organization_record(owner, Position.PARTY),),
        members=tuple(sorted((member_record(owner, role.value) for role in Role), key=lambda m: m.id)),
    )


class TwinLedger(MarketLedger):
    """The internal ledger of `owner`."""

    def __init__(self, owner: str, start_ms: int) -> None:
        genesis = internal_genesis(owner, start_ms)
        self.recorder = Recorder(genesis, names=(owner,), clock=Clock(start_ms))
        self._keys = {
            member(owner, r.value): SigningKey(hashlib.sha256(f"{owner}/{r}".encode()).digest()) for r in Role
        }
        self._transaction_id = b""
        # The application's receipt of the last transaction.
        self.receipt = Receipt()
        contracts = contract_table(INTERNAL, VERSIONS[-1]).contracts
        super().__init__(
            *contracts,
            ledger_kind=INTERNAL,
            positions={owner: Position.PARTY},
            ledger_id=self.recorder.ledger_id,
            start_ms=start_ms,
        )

    def call(self, sender: Sender, **options: Any) -> Any:
        return replace(super().call(sender, **options), transaction_id=self._transaction_id)

    def run(self, message_name: str, command: Any, *, sender: Sender, at: int | None = None, **options: Any) -> Any:
        cause = options.pop("cause", None)
        assert not options, f"a twin has no {sorted(options)}"
        at_ms = self.time_ms + 1 if at is None else at
        return self.submit([(message_name, command, cause)], sender=sender, at=at_ms)[0]

    def submit(self, messages: Sequence[tuple[str, Any, Cause | None]], *, sender: Sender, at: int) -> list[Any]:
        height = self.recorder.consensus.height + 1
        self.recorder.clock.now_ms = max(at, self.time_ms + 1)
        acts = [Act(name=name, command=command, cause=cause) for name, command, cause in messages]
        body = self.recorder.body(acts, str(Signer(sender.organization, sender.member)))
        self.receipt = receipt = self.recorder.send(body, self._keys[sender.member])
        self._transaction_id = transaction_id(self.ledger_id, body)
        # The other one's numbers of blocks and transactions hold here, too.
        self.height = height - 1
        names = {name for name, _, _ in messages}
        try:
            outcomes = super().submit(messages, sender=sender, at=at)
        except Rejected as rejected:
            self._require(receipt, rejected.code, rejected.field)
            self.recorder.refused |= names
            raise
        else:
            self._require(receipt, 0, "")
            self.recorder.taken |= names
            return outcomes
        finally:
            self._catch_up()

    def _catch_up(self) -> None:
        """The engine makes a block more, a millisecond later; a window that ends between the two has ended here, too."""
        time_ms = self.recorder.application.committed.clock.time_ms
        if time_ms > self.time_ms:
            super().advance(time_ms)

    def _require(self, receipt: Receipt, code: int, field: str) -> None:
        assert (receipt.code, receipt.field) == (code, field), receipt

    def simulated(self, name: str, command: Any, sender: Sender) -> Receipt:
        """What the application says about a message, at the time at which `run` would send it."""
        signer, key = str(Signer(sender.organization, sender.member)), self._keys[sender.member]
        later_ms = self.time_ms + 1 - self.recorder.clock()
        return self.recorder.simulated([Act(name=name, command=command)], signer, key, later_ms)

    def advance(self, to_ms: int) -> list[Any]:
        self.height = self.recorder.consensus.height
        self.recorder.wait(to_ms - self.recorder.clock())
        return super().advance(to_ms)

    def compare(self) -> int:
        """How many documents both have; fails if one is not the same in both."""
        view = self.recorder.application.committed.view
        compared = 0
        for kind in self.table.kinds.values():
            if kind.name == "sys":
                continue
            for record in self.all(kind):
                assert view.get(kind, record.id) == record, f"{kind.name}/{record.id}"
                compared += 1
        return compared
