"""Ledgers of a client that hold what a test puts there: read by get, page and list as the real ones are."""

from __future__ import annotations

from types import SimpleNamespace

from ledgers.client import RefusalDetail, Refused
from ledgers.transaction import Act, build_body
from syngraph.v1.transaction_pb2 import TransactionBody


def unknown():
    return Refused(
        RefusalDetail(code=8003, name="DOCUMENT_UNKNOWN", sentence="There is none.", field="id"), "NOT_FOUND"
    )


class Shelf:
    """`documents`: (kind, record, related ids)."""

    def __init__(self, ledger_id, kind, *documents, name=""):
        self.id = ledger_id
        self.kind = kind
        self.name = name or ledger_id
        self._documents = list(documents)

    def put(self, kind, record, *related):
        self._documents.append((kind, record, related))

    async def get(self, kind, document_id, height=0):
        for found, record, _ in self._documents:
            if (found, record.id) == (kind, document_id):
                return SimpleNamespace(body=record)
        raise unknown()

    async def page(self, kind, *, related="", page_size=100):
        found = [
            SimpleNamespace(body=r)
            for k, r, words in self._documents
            if k == kind and (not related or related in words)
        ]
        return SimpleNamespace(documents=tuple(found[:page_size]))

    async def list(self, kind):
        for document in (await self.page(kind, page_size=10_000)).documents:
            yield document

    async def past_events(self, kinds=()):
        """None are kept."""
        for event in ():
            yield event


class Books:
    """A ledger in memory with real contracts, read as the real ones are; what it executes from here on stands in transactions."""

    def __init__(self, ledger, name=""):
        self.id, self.kind, self.name = ledger.ledger_id, ledger.ledger_kind, name
        self._ledger = ledger
        # By the number of the transaction: what was sent, by whom, and which documents have events of it.
        self._sent = {}
        self._run_one = ledger._run_one
        ledger._run_one = self._run_and_keep

    def _run_and_keep(self, index, name, command, sender, cause, signers):
        number = self._ledger._transactions
        if not index:
            self._sent[number] = []
        try:
            outcome = self._run_one(index, name, command, sender, cause, signers)
        except BaseException:
            self._sent.pop(number, None)
            raise
        touched = [(self._ledger.table.kind_of(e.document).name, e.document.id) for e in outcome.events]
        self._sent[number].append((name, command, f"{sender.organization}/{sender.member}", touched))
        return outcome

    def _transactions(self):
        """What is undone has a number that counts for another one later."""
        return {number: sent for number, sent in self._sent.items() if number <= self._ledger._transactions}

    async def get(self, kind, document_id, height=0):
        record = self._ledger.get(self._ledger.table.kinds[kind], document_id)
        if record is None:
            raise unknown()
        return SimpleNamespace(body=record)

    async def list(self, kind):
        for record in self._ledger.all(self._ledger.table.kinds[kind]):
            yield SimpleNamespace(body=record)

    async def past_events(self, kinds=()):
        for number, sent in self._transactions().items():
            for kind, document_id in (place for *_, touched in sent for place in touched):
                if kind in kinds:
                    yield SimpleNamespace(kind=kind, document_id=document_id, transaction_id=number.to_bytes(8, "big"))

    async def transaction(self, transaction_id):
        sent = self._sent[int.from_bytes(transaction_id, "big")]
        signer = sent[0][2]
        acts = [Act(name=name, command=command) for name, command, *_ in sent]
        body = build_body(ledger_id=self.id, nonce=bytes(16), expires_at_ms=1, signers=[signer], acts=acts)
        return TransactionBody.FromString(body), None
