"""Organizations, members, keys, a genesis and applications for tests: named, small and the same every time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256

import structlog
import structlog.testing
from nacl.signing import SigningKey

from abci_app.application import LedgerApplication
from abci_app.store import LevelStore, MemoryStore
from ledgers.genesis import LedgerGenesis, ledger_id
from ledgers.kinds import BILATERAL
from ledgers.transaction import Act, assemble, build_body, sign_body
from smartcontracts.ids import member_id, organization_id
from smartcontracts.kernel import Position, Role
from smartcontracts.membership import Member, MemberKey, Organization
from smartcontracts.parameters import Parameters
from tests.counter import table_for
from tests.fake_consensus import FakeConsensus

START_MS = 1_790_000_000_000
POSITIONS = {"acme": Position.PARTY, "alpha": Position.PARTY, "north": Position.NEUTRAL, "south": Position.NEUTRAL}
ROLES = tuple(sorted((Role.ADMINISTRATOR, Role.S_BUS, Role.B_BUS)))


LOG = structlog.testing.LogCapture()
"""What applications of tests logged, newest last."""


OPEN_STORES = []
"""LevelDBs of worlds; tests/abci_app/conftest.py closes them after each test."""


def quiet_log():
    return structlog.wrap_logger(None, processors=[LOG])


class Clock:
    """A clock that tests move."""

    def __init__(self, now_ms=START_MS + 1_000):
        self.now_ms = now_ms

    def __call__(self):
        return self.now_ms


@dataclass(frozen=True)
class Person:
    """A member with its key."""

    organization: str
    member: str
    key: SigningKey

    @property
    def signer(self):
        return f"{self.organization}/{self.member}"

    @property
    def public_key(self):
        return self.key.verify_key.encode()


def signing_key(name):
    return SigningKey(sha256(name.encode()).digest())


def node_id(name):
    return sha256(b"node/" + name.encode()).hexdigest()[:40]


def organization(name, position):
    ca_public_key = b"ca/" + name.encode()
    return Organization(
        id=organization_id(ca_public_key),
        name=name,
        position=position,
        ca_certificate=b"certificate/" + name.encode(),
        ca_public_key=ca_public_key,
        node_ids=(node_id(name),),
        validator_key=signing_key(f"validator/{name}").verify_key.encode(),
    )


def person(name):
    """The member `name` is "acme" for its administrator, or "acme/clerk"."""
    organization_name = name.partition("/")[0]
    key = signing_key(name)
    owner = organization_id(b"ca/" + organization_name.encode())
    return Person(owner, member_id(owner, key.verify_key.encode()), key)


def member(name, roles=ROLES, **key_fields):
    someone = person(name)
    return Member(
        id=someone.member,
        organization_id=someone.organization,
        roles=roles,
        keys=(MemberKey(public_key=someone.public_key, **key_fields),),
    )


def make_genesis(parameters=None, members=(), secret=b"s" * 32, kind=BILATERAL, others=()):
    """`others`: organizations besides those of POSITIONS, which validate."""
    validators = (organization(n, p) for n, p in POSITIONS.items())
    organizations = sorted((*validators, *others), key=lambda o: o.id)
    everyone = sorted((*(member(n) for n in POSITIONS), *members), key=lambda m: m.id)
    return LedgerGenesis(
        kind=kind,
        secret=secret,
        created_at_ms=START_MS,
        contracts_version=1,
        parameters=parameters or Parameters(),
        organizations=tuple(organizations),
        members=tuple(everyone),
    )


class World:
    """Four applications of one ledger with the counter contract, on fake consensus."""

    def __init__(self, tmp_path=None, *, names=tuple(POSITIONS), parameters=None, members=(), others=(), seed=0, start=True):
        self.genesis = make_genesis(parameters, members, others=others)
        self.ledger_id = ledger_id(self.genesis)
        self.clock = Clock()
        self.tmp_path = tmp_path
        self.consensus = FakeConsensus({n: self.application(n) for n in names}, self.genesis, seed)
        self._nonce = 0
        if start:
            self.consensus.start()
            self.consensus.run()

    def application(self, name, **options):
        """A new application; on LevelDB under `tmp_path`, if there is one."""
        store = MemoryStore() if self.tmp_path is None else LevelStore(self.tmp_path / name / "store")
        if self.tmp_path is not None:
            OPEN_STORES.append(store)
        directory = self.tmp_path / name if self.tmp_path else None
        options = {"clock": self.clock, "table_for": table_for, **options}
        return LedgerApplication(
            self.ledger_id,
            store,
            directory,
            log=quiet_log(),
            peers=frozenset({node_id("configured")}),
            **options,
        )

    @property
    def app(self):
        """One of the applications."""
        return next(iter(self.consensus.applications.values()))

    @property
    def committed(self):
        return self.app.committed

    @property
    def root(self):
        return self.committed.root

    def nonce(self):
        self._nonce += 1
        return self._nonce.to_bytes(16, "big")

    def body(self, *acts, signers=("acme",), ttl_ms=60_000, **fields):
        fields = {
            "ledger_id": self.ledger_id,
            "nonce": self.nonce(),
            "expires_at_ms": self.clock() + ttl_ms,
            "signers": [person(s).signer for s in signers],
            "acts": acts,
            **fields,
        }
        return build_body(**fields)

    def transaction(self, *acts, signers=("acme",), **fields):
        """A signed transaction of these acts."""
        body = self.body(*acts, signers=signers, **fields)
        return self.sign(body, *signers)

    def sign(self, body, *signers):
        return assemble(body, [sign_body(self.ledger_id, body, person(s).key) for s in signers])

    def program(self, text, **fields):
        """A transaction of the counter contract: see tests/counter.py."""
        return self.transaction(act(text), **fields)

    def execute(self, *programs, **fields):
        """Submit and run until the ledger sleeps; receipts in order."""
        raws = [p if isinstance(p, bytes) else self.program(p, **fields) for p in programs]
        for raw in raws:
            answer = self.consensus.submit(raw)
            assert answer.code == 0, answer.log
        self.consensus.run()
        return [self.receipt(raw) for raw in raws]

    def receipt(self, raw):
        from abci_app.queries.reads import receipt
        from ledgers.transaction import transaction_id
        from syngraph.v1.transaction_pb2 import Transaction, TransactionBody

        body = Transaction.FromString(raw).signed.body
        name = transaction_id(TransactionBody.FromString(body).ledger_id, body)
        return receipt(name, self.committed)


def act(text, **fields):
    from tests.counter import Program

    return Act(name="withdraw_proposal", command=Program(proposal_id=text), **fields)


def with_parameters(**changes):
    return replace(Parameters(), **changes)
