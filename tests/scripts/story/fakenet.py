"""The demo's ledgers as real applications on fake consensus, and its agents called by hand: no engine, no sockets, a clock that jumps."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from types import SimpleNamespace

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
from ledgers.client.transactions import body_of
from ledgers.genesis import LedgerGenesis, ledger_id
from ledgers.refusals import Rejected
from ledgers.transaction import Act, encode_tick
from localnet.topology import load_topology
from node.agents.boundaries import perform
from node.agents.desk import Desk
from node.agents.duties import Later
from node.agents.policies import Policies
from node.agents.provisioning.bookings import BookingStore
from node.agents.provisioning.inventory import parse as parse_inventory
from node.agents.provisioning.reference import ReferenceProvisioning
from node.agents.roster import DUTIES
from scripts.story.scene import Seat
from smartcontracts.codec import from_message
from smartcontracts.ids import member_id, organization_id
from smartcontracts.kernel import Position, Role
from smartcontracts.membership import Member, MemberKey, Organization
from syngraph.v1 import application_pb2 as wire
from tests.fake_consensus import FakeConsensus
from tests.world import START_MS, Clock, quiet_log

TIERS = load_topology("tiers")
# Ledger to its kind and its organizations' positions; who is granted access later has it from the beginning.
LEDGERS = {
    name: (entry.kind, {**entry.founders, **dict.fromkeys(entry.granted, Position.OBSERVER)})
    for name, entry in TIERS.ledgers.items()
}
ORGANIZATIONS = tuple(TIERS.organizations)
ROUNDS_MAX = 2_000
TTL_MS = 60_000


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
    validators = TIERS.ledgers[name].voters
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
        parameters=TIERS.ledgers[name].genesis_parameters(),
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
    def name(self):
        return self.world.name

    @property
    def kind(self):
        return self.world.genesis.kind

    @property
    def committed(self):
        return self.world.consensus.applications[self.node].committed

    async def submit(self, acts, signers):
        # Signed at this machine's time, which the story's leaves behind.
        ahead_ms = self.world.clock() - time.time_ns() // 1_000_000
        return await self.submit_signed(make(self.id, acts, signers, max(0, ahead_ms) + TTL_MS))

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

    async def page(self, kind, *, page_size=100, **filters):
        found = [document async for document in self.list(kind, **filters)]
        return SimpleNamespace(documents=tuple(found[:page_size]))

    async def app_hash(self, height=0):
        answer = reads.app_hash(wire.GetAppHashRequest(ledger_id=self.id, height=height), self.committed)
        return answer.height, answer.app_hash

    async def transaction(self, transaction_id):
        answer = reads.transaction(transaction_id, self.committed)
        return body_of(answer.transaction), read_receipt(answer.receipt)

    async def past_events(self, kinds=()):
        events, _ = read_events(start_after("", self.committed), self.committed, 1_000_000)
        for event in events:
            if not kinds or event.kind in kinds:
                yield read_event(event)

    async def events(self, after="now", kinds=()):
        position = start_after(after, self.committed)
        for _ in range(100):
            events, position = read_events(position, self.committed, 10_000)
            for event in events:
                if not kinds or event.kind in kinds:
                    yield read_event(event)
            self.world.clock.now_ms += 100
            self.world.tick()


class FakePort:
    """`node.agents.ports.LedgerPort` on one node's view of a ledger."""

    def __init__(self, view, name, signer):
        self.view, self.name, self.signer = view, name, signer
        self.id, self.kind = view.id, view.kind

    async def get(self, kind, document_id):
        try:
            return (await self.view.get(kind, document_id)).body
        except Refused as refused:
            if refused.detail.name != "DOCUMENT_UNKNOWN":
                raise
            return None

    async def list(self, kind, **filters):
        given = {name: value for name, value in filters.items() if value}
        return tuple([found.body async for found in self.view.list(kind, **given)])

    async def submit(self, acts, *, purpose):
        made = [Act(name=act.name, command=act.command, cause=act.cause) for act in acts]
        return await self.view.submit(made, [self.signer])


class FakeAgents:
    """Everybody's agents: each duty is called for each document that is its, until nothing happens any more.

    A duty looks at a ledger again when that, or anything else that its organization sees, has changed, or when it said so.
    """

    def __init__(self, network, inventories):
        self.network = network
        self.silent = set()
        self.desks = {
            (name, role): self._desk(name, role, inventories.get(name, {"currency": "EUR", "pool": []}))
            for name in TIERS.traders()
            for role in DUTIES
        }
        self._seen = {}
        self._later = {}

    def _desk(self, name, role, inventory):
        signer = signing_member(name)
        mine = {ledger: FakePort(FakeView(self.network.ledgers[ledger], name), ledger, signer) for ledger in TIERS.ledgers_of(name)}
        bilateral = {port.id: port for port in mine.values() if port.kind == "bilateral"}
        others = {
            port.id: organization(next(who for who in TIERS.ledgers[port.name].parties if who != name))
            for port in bilateral.values()
        }
        parsed = parse_inventory(json.dumps(inventory).encode(), is_json=True)
        return Desk(
            organization=organization(name),
            role=role,
            internal=mine[f"{name}-internal"],
            bilateral=bilateral,
            counterparties=others,
            policies=Policies(),
            provisioning=ReferenceProvisioning(parsed, BookingStore(), self.network.clock) if role == Role.SOF else None,
            clock=self.network.clock,
            chance=lambda: secrets.token_bytes(32),
        )

    async def work(self):
        """Until nothing is left to do now."""
        for _ in range(ROUNDS_MAX):
            if not any([await self._turn(*key) for key in self.desks if key[0] not in self.silent]):
                return
        raise AssertionError("the agents never come to rest")

    async def _turn(self, name, role):
        desk = self.desks[name, role]
        ports = (desk.internal, *desk.bilateral.values())
        state = tuple(port.view.committed.height for port in ports)
        due = self._later.get((name, role), 0)
        if self._seen.get((name, role)) == state and not (due and due <= self.network.clock()):
            return False
        self._seen[name, role], self._later[name, role] = state, 0
        for duty in DUTIES[role]:
            for port in ports:
                if port.kind == duty.ledger_kind:
                    await self._perform(duty, desk, port, (name, role))
        return True

    async def _perform(self, duty, desk, port, key):
        for status in duty.statuses:
            for record in await port.list(duty.kind, status=status, related=duty.related):
                if not duty.applies(desk, record):
                    continue
                try:
                    await perform(duty, desk, port, record)
                except Later as later:
                    self._later[key] = min(later.at_ms, self._later[key] or later.at_ms)
                except Refused as refused:
                    if refused.detail.transient:
                        self._later[key] = self.network.clock() + 1_000


class FakeNetwork:
    """`scripts.story.nodes.Nodes` without processes, as far as a story needs no sockets. `kept` has the files that stayed in nodes."""

    def __init__(self, inventories=None):
        # Transactions are signed at this machine's time, so the story begins there.
        self.clock = Clock(time.time_ns() // 1_000_000)
        self.ledgers = {name: FakeLedger(name, self.clock) for name in LEDGERS}
        self.agents = FakeAgents(self, inventories or {})
        self.kept = {}
        self.told_heights = {}

    async def stop_agents(self, organization_name):
        self.agents.silent.add(organization_name)

    async def start_agents(self, organization_name):
        self.agents.silent.discard(organization_name)

    def now_ms(self):
        return self.clock()

    async def sleep(self, seconds):
        self.clock.now_ms += max(1, int(seconds * 1000))
        for ledger in self.ledgers.values():
            ledger.tick()
        await self.agents.work()
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
