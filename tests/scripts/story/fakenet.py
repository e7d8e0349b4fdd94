"""Three ledgers of real applications on fake consensus, as the story sees them: no engine, no sockets, a clock that jumps."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from hashlib import sha256

from nacl.signing import SigningKey

from abci_app.application import LedgerApplication
from abci_app.queries import reads
from abci_app.queries.eventlog import read_events, start_after
from abci_app.queries.listing import list_documents
from abci_app.queries.simulation import simulate
from abci_app.store import MemoryStore
from ledgers.client import Receipt, Refused, SigningMember, make
from ledgers.client.errors import RefusalDetail, of_receipt
from ledgers.client.records import read_document, read_event, read_receipt
from ledgers.genesis import LedgerGenesis, ledger_id
from ledgers.refusals import Rejected
from ledgers.transaction import encode_tick
from scripts.story.scene import ACME, ACME_ALPHA, ALPHA, ALPHA_BRAVO, BRAVO, NORTH, OFCOM, OMNI, SOUTH, Seat
from smartcontracts.codec import from_message
from smartcontracts.ids import member_id, organization_id
from smartcontracts.kernel import Position, Role
from smartcontracts.membership import Member, MemberKey, Organization
from smartcontracts.parameters import Parameters
from syngraph.v1 import application_pb2 as wire
from tests.fake_consensus import FakeConsensus
from tests.world import START_MS, Clock, quiet_log

PARTY, NEUTRAL, MEMBER, OBSERVER = Position.PARTY, Position.NEUTRAL, Position.MEMBER, Position.OBSERVER
LEDGERS = {
    ACME_ALPHA: ("bilateral", {ACME: PARTY, ALPHA: PARTY, NORTH: NEUTRAL, SOUTH: NEUTRAL, OFCOM: OBSERVER}),
    ALPHA_BRAVO: ("bilateral", {ALPHA: PARTY, BRAVO: PARTY, NORTH: NEUTRAL, SOUTH: NEUTRAL}),
    OMNI: ("omni", {ACME: MEMBER, ALPHA: MEMBER, BRAVO: MEMBER, NORTH: MEMBER, SOUTH: MEMBER, OFCOM: OBSERVER}),
}
ORGANIZATIONS = (ACME, ALPHA, BRAVO, NORTH, SOUTH, OFCOM)


def key(name):
    return SigningKey(sha256(name.encode()).digest())


def organization(name):
    return organization_id(f"ca/{name}".encode())


def signing_member(name):
    signing_key = key(f"member/{name}")
    owner = organization(name)
    return SigningMember(f"{owner}/{member_id(owner, signing_key.verify_key.encode())}", signing_key)


def genesis_of(name):
    kind, positions = LEDGERS[name]
    validators = [who for who, position in positions.items() if position != OBSERVER and (name != OMNI or who != ACME)]
    organizations = [
        Organization(
            id=organization(who),
            name=who,
            position=position,
            ca_certificate=b"certificate",
            ca_public_key=f"ca/{who}".encode(),
            node_ids=(sha256(f"{name}/{who}".encode()).hexdigest()[:40],),
            validator_key=key(f"{name}/{who}").verify_key.encode() if who in validators else b"",
        )
        for who, position in positions.items()
    ]
    members = [
        Member(
            id=signing_member(who).name.partition("/")[2],
            organization_id=organization(who),
            roles=tuple(sorted(Role)),
            keys=(MemberKey(public_key=key(f"member/{who}").verify_key.encode()),),
        )
        for who in positions
    ]
    return LedgerGenesis(
        kind=kind,
        secret=sha256(name.encode()).digest(),
        created_at_ms=START_MS,
        contracts_version=1,
        parameters=Parameters(),
        organizations=tuple(sorted(organizations, key=lambda o: o.id)),
        members=tuple(sorted(members, key=lambda m: m.id)),
    )


class FakeLedger:
    """One ledger's applications and consensus."""

    def __init__(self, name, clock):
        self.name, self.clock = name, clock
        self.genesis = genesis_of(name)
        self.id = ledger_id(self.genesis)
        applications = {who: self._application() for who in LEDGERS[name][1]}
        self.consensus = FakeConsensus(applications, self.genesis)
        self.consensus.start()
        self.consensus.run()
        self.attempt = 0

    def _application(self):
        return LedgerApplication(self.id, MemoryStore(), None, clock=self.clock, log=quiet_log())

    def tick(self):
        """What nodes do once a deadline is due."""
        committed = next(iter(self.consensus.applications.values())).committed
        due = committed.next_due_ms()
        if due and due < self.clock():
            self.attempt += 1
            self.consensus.submit(encode_tick(self.id, due, self.attempt))
            self.consensus.run()


@dataclass
class FakeView:
    """One node's view of a ledger: the names and answers of `ledgers.client.Ledger`."""

    world: FakeLedger
    node: str

    @property
    def id(self):
        return self.world.id

    @property
    def kind(self):
        return self.world.genesis.kind

    @property
    def committed(self):
        return self.world.consensus.applications[self.node].committed

    async def submit(self, acts, signers):
        return await self.submit_signed(make(self.id, acts, signers))

    async def submit_signed(self, signed, *, skip_simulation=False):
        self.world.clock.now_ms += 20
        answer = self.world.consensus.submit(signed.encoded)
        assert answer.code == 0, answer.log
        self.world.consensus.run()
        receipt = read_receipt(reads.receipt(signed.id, self.committed))
        if receipt.code:
            raise of_receipt(receipt)
        return receipt

    async def simulate(self, signed):
        application = self.world.consensus.applications[self.node]
        found = simulate(signed.encoded, self.committed, application.reader, self.world.clock(), application.log)
        return from_message(Receipt, found)

    async def receipt(self, transaction_id):
        return read_receipt(reads.receipt(transaction_id, self.committed))

    async def get(self, kind, document_id, height=0):
        request = wire.GetRequest(ledger_id=self.id, kind=kind, id=document_id, height=height)
        answer = refusing(lambda: reads.get(request, self.committed))
        return read_document(answer.document, self.kind, 1, answer.height)

    async def list(self, kind, **filters):
        request = wire.ListRequest(ledger_id=self.id, filter=wire.Filter(kind=kind, **filters), page_size=1000)
        answer = refusing(lambda: drained(list_documents(request, self.committed)))
        for document in answer.documents:
            yield read_document(document, self.kind, 1, answer.height)

    async def app_hash(self, height=0):
        answer = reads.app_hash(wire.GetAppHashRequest(ledger_id=self.id, height=height), self.committed)
        return answer.height, answer.app_hash

    async def events(self, after="now", kinds=()):
        position = start_after(after, self.committed)
        for _ in range(100):
            events, position = read_events(position, self.committed, 10_000)
            for event in events:
                if not kinds or event.kind in kinds:
                    yield read_event(event)
            self.world.clock.now_ms += 100
            self.world.tick()


class FakeNetwork:
    """`scripts.story.scene.Network` without processes. `kept` has the files that stayed in nodes."""

    def __init__(self):
        # Transactions are signed at this machine's time, so the story begins there.
        self.clock = Clock(time.time_ns() // 1_000_000)
        self.ledgers = {name: FakeLedger(name, self.clock) for name in LEDGERS}
        self.kept = {}
        self.told_heights = {}

    def now_ms(self):
        return self.clock()

    async def sleep(self, seconds):
        self.clock.now_ms += max(1, int(seconds * 1000))
        for ledger in self.ledgers.values():
            ledger.tick()
        await asyncio.sleep(0)

    def organization_id(self, name):
        return organization(name)

    def name_of(self, organization_id):
        return next(name for name in ORGANIZATIONS if organization(name) == organization_id)

    def nodes_of(self, ledger):
        return tuple(LEDGERS[ledger][1])

    async def seat(self, organization_name, ledger):
        member = signing_member(organization_name)
        return Seat(
            name=organization_name,
            id=organization(organization_name),
            ledger_name=ledger,
            ledger=FakeView(self.ledgers[ledger], organization_name),
            members=dict.fromkeys(Role, member),
            network=self,
        )

    async def ledgers_seen(self, organization_name):
        return tuple(name for name, (_, positions) in LEDGERS.items() if organization_name in positions)

    def keep(self, organization_name, name, data):
        self.kept[organization_name, name] = data
        return name


def drained(generator):
    while True:
        try:
            next(generator)
        except StopIteration as stop:
            return stop.value


def refusing(call):
    try:
        return call()
    except Rejected as refused:
        detail = RefusalDetail(refused.code, refused.refusal_name(), refused.sentence, refused.field)
        raise Refused(detail) from refused
