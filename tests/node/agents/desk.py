"""A market in memory: organizations whose agents work on ledgers in memory, in virtual time, without an event loop.

    market = Market(pairs=[("acme", "alpha"), ("alpha", "bravo")], inventories={"alpha": pool("port"), "bravo": pool("line")})
    inquiry = market.ask("acme", "alpha", items)
    market.run()                                   # until nothing is left to do; `market.run_until(...)` lets time pass
    market.upstream("acme", "alpha").get(...)

Every organization with an inventory (also an empty one) has an internal ledger and the four agents. A duty is called exactly for
documents to which something happened, as in the runtime; `sweep` calls all for all, as a restart does. Every submission is a
block of its own and takes `step_ms`. `market.commits` tells each of them. Each time that nothing is left to do, it is checked that
a round over all documents would find nothing either: no agent depends on its rounds.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ledgers.client import Refused
from ledgers.kinds import contract_table
from ledgers.receipts import DocumentVersion, Receipt
from node.agents.boundaries import Observer, ignore, perform
from node.agents.desk import Desk
from node.agents.duties import Duty, Later
from node.agents.looks import SECOND_LOOK_MS
from node.agents.policies import Policies
from node.agents.provisioning.bookings import BookingStore
from node.agents.provisioning.inventory import Inventory, parse
from node.agents.provisioning.reference import ReferenceProvisioning
from node.agents.roster import DUTIES
from node.agents.runtime import BROKEN_PAUSE_MS, listed_statuses
from smartcontracts.agreement import Agreement, AgreementStatus, AgreementTerms
from smartcontracts.inquiry import Inquiry, SubmitInquiry
from smartcontracts.internal.rules import SetSourcingRules
from smartcontracts.kernel import Position, Rejected, Role
from smartcontracts.lineage import pseudonym
from smartcontracts.trade import InquiryItem, QuoteLevel
from tests.node.agents.harness import refusal
from tests.smartcontracts.support import START_MS, MemoryLedger, org
from tests.smartcontracts.trading import TERMS, target

EMPTY = 'currency = "EUR"\npool = []\n'
CALLS_MAX = 200_000
_NEVER_MS = 2**62


def pool(*offerings: str, monthly: str = "10.00", lead_ms: int = 60_000, capacity: int = 1_000) -> Inventory:
    """An inventory with one pool for these offerings; none for none."""
    if not offerings:
        return parse(EMPTY.encode())
    names = ", ".join(f'"{one}"' for one in offerings)
    return parse(
        f'currency = "EUR"\n[[pool]]\nid = "main"\nofferings = [{names}]\ncapacity = {capacity}\n'
        f'lead_time_ms = {lead_ms}\ncost = {{ recurring = "{monthly}", period = "month" }}\n'.encode()
    )


@dataclass(frozen=True, slots=True)
class Commit:
    """One transaction that was committed."""

    at_ms: int
    ledger: str
    organization: str
    role: str
    purpose: str
    messages: tuple[str, ...]


class MarketLedger(MemoryLedger):
    """A ledger that executes agents' transactions: several messages, each with its cause."""

    def submit(self, messages: Sequence[tuple[str, Any, Any]], *, sender: Any, at: int) -> list[Any]:
        self._begin_block(max(at, self.time_ms + 1), self.height + 1)
        self._transactions += 1
        with self._undone_when_refused():
            return [
                self._run_one(index, name, command, sender, cause, ())
                for index, (name, command, cause) in enumerate(messages)
            ]

    def next_due_ms(self) -> int | None:
        due = self._next_due()
        return None if due is None else due[0]

    @contextmanager
    def as_if(self) -> Iterator[None]:
        """Whatever happens in here has not happened."""
        documents = {name: dict(stored) for name, stored in self._documents.items()}
        before = (self.time_ms, self.height, self.fired, self._transactions, len(self.events))
        try:
            yield
        finally:
            self._documents = documents
            self.time_ms, self.height, self.fired, self._transactions, events = before
            del self.events[events:]


class MarketPort:
    """`node.agents.ports.LedgerPort`: nothing ever suspends."""

    def __init__(self, market: Market, ledger: MarketLedger, name: str, organization: str, role: Role) -> None:
        self.market, self.ledger, self.name = market, ledger, name
        self.id, self.kind = ledger.ledger_id, ledger.ledger_kind
        self.organization, self.role = organization, role

    async def get(self, kind: str, document_id: str) -> Any | None:
        self.market.records_read += 1
        return self.ledger.get(self.ledger.table.kinds[kind], document_id)

    async def list(self, kind: str, **filters: str) -> tuple[Any, ...]:
        records = self._listed(kind, filters)
        self.market.records_read += len(records)
        return records

    def _listed(self, kind: str, filters: Mapping[str, str]) -> tuple[Any, ...]:
        found = self.ledger.table.kinds[kind]
        given = {name: value for name, value in filters.items() if value}
        assert not given.keys() - set(found.filters), f"{kind} has no filter {sorted(given)}"
        if not given:
            return self.ledger.all(found)
        sets = [{one.id: one for one in self.ledger.find(found, name, value, 10**9)} for name, value in given.items()]
        return tuple(record for key, record in sorted(sets[0].items()) if all(key in other for other in sets[1:]))

    async def submit(self, acts: Sequence[Any], *, purpose: str) -> Receipt:
        self.market.now_ms += self.market.step_ms
        sender = self.ledger.sender(self.organization, self.role.value)
        try:
            outcomes = self.ledger.submit(
                [(act.name, act.command, act.cause) for act in acts], sender=sender, at=self.market.now_ms
            )
        except Rejected as rejected:
            self.market.take_events()
            raise refusal(rejected) from rejected
        names = tuple(act.name for act in acts)
        self.market.commits.append(
            Commit(self.market.now_ms, self.name, self.organization, self.role.value, purpose, names)
        )
        self.market.take_events()
        written = {}
        for outcome in outcomes:
            for record in outcome.writes:
                written[self.ledger.table.kind_of(record).name, record.id] = None
        documents = tuple(DocumentVersion(kind=kind, id=key, version=1) for kind, key in written)
        return Receipt(ledger_id=self.id, height=self.ledger.height, documents=documents)


class LeftAlone(AssertionError):
    """Nothing was left to do, it seemed, but a round over all documents would find something."""


class _WouldSubmit(Exception):
    """A duty handed in what its ledger would have taken."""


class RoundPort(MarketPort):
    """What a duty submits does not happen: if the ledger refuses it, the duty hears so, as ever; else it is found out."""

    async def submit(self, acts: Sequence[Any], *, purpose: str) -> Receipt:
        sender = self.ledger.sender(self.organization, self.role.value)
        with self.ledger.as_if():
            try:
                self.ledger.submit(
                    [(act.name, act.command, act.cause) for act in acts], sender=sender, at=self.market.now_ms + 1
                )
            except Rejected as rejected:
                raise refusal(rejected) from rejected
        raise _WouldSubmit(f"{purpose} on {self.name}: {', '.join(act.name for act in acts)}")


class Market:
    """Organizations, their ledgers, and their agents."""

    def __init__(
        self,
        *,
        pairs: Iterable[tuple[str, str]],
        inventories: Mapping[str, Inventory],
        policies: Mapping[str, Policies] | None = None,
        rules: SetSourcingRules | None = None,
        terms: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
        silent: Iterable[str] = (),
        step_ms: int = 20,
        observe: Observer = ignore,
    ) -> None:
        """`pairs` are (buyer, seller), one ledger each; `terms` change a pair's agreement; `silent` ones have no agents."""
        self.now_ms = START_MS + 1_000
        self.step_ms, self.observe = step_ms, observe
        # Whether an agent was killed: its restart finds out what it left.
        self._interrupted = False
        self.commits: list[Commit] = []
        # Documents that agents were given, by id or in lists.
        self.records_read = 0
        # (organization, role, duty, error) of what a duty raised and did not expect.
        self.failures: list[tuple[str, str, str, Exception]] = []
        self.ledgers: dict[str, MarketLedger] = {}
        self._pairs: dict[str, tuple[str, str]] = {}
        self._told: dict[str, int] = {}
        self._work: deque[tuple[str, str, str]] = deque()
        self._later: dict[tuple[str, str, str], int] = {}
        # What a listing has found, where events may have been missed.
        self._missed: deque[tuple[str, str, str]] = deque()
        # What a duty raised once already.
        self._failed: dict[tuple[tuple[str, str, str], str], None] = {}
        self._salts = 0
        self._inventories = dict(inventories)
        for pair in pairs:
            self._found(pair, dict((terms or {}).get(pair, {})))
        for name in self._inventories:
            self._ledger(f"{name}-internal", "internal", (name,))
            if rules is not None:
                ledger = self.internal(name)
                ledger.run("set_sourcing_rules", rules, sender=ledger.sender(name, "sco"), at=self.now_ms)
        self.desks: dict[tuple[str, Role], Desk] = {
            (name, role): self._desk(name, role, (policies or {}).get(name) or Policies())
            for name in self._inventories
            if name not in tuple(silent)
            for role in DUTIES
        }
        self.take_events()

    # Reading

    def internal(self, name: str) -> MarketLedger:
        """The organization's internal ledger."""
        return self.ledgers[f"{name}-internal"]

    def between(self, buyer: str, seller: str) -> MarketLedger:
        """The bilateral ledger of a pair."""
        return self.ledgers[f"{buyer}-{seller}"]

    def records(self, ledger: MarketLedger, kind: str) -> tuple[Any, ...]:
        """All documents of a kind."""
        return ledger.all(ledger.table.kinds[kind])

    def the(self, ledger: MarketLedger, kind: str) -> Any:
        """The only document of a kind."""
        (only,) = self.records(ledger, kind)
        return only

    # A person's acts

    def act(self, ledger: MarketLedger, name: str, command: Any, by: str, role: str) -> Any:
        """A person's act; the first document that it writes."""
        self.now_ms += self.step_ms
        sender = ledger.sender(by, role)
        outcome = ledger.submit([(name, command, None)], sender=sender, at=self.now_ms)[0]
        self.take_events()
        return outcome.writes[0]

    def ask(
        self,
        buyer: str,
        seller: str,
        items: tuple[InquiryItem, ...],
        *,
        window_ms: int = 0,
        key: bytes = b"",
        **more: Any,
    ) -> Inquiry:
        """A customer's inquiry."""
        lineage_key = key or hashlib.sha256(b"key %d" % self.now_ms).digest()
        ledger = self.between(buyer, seller)
        command = SubmitInquiry(
            seller=org(seller),
            agreement_id=f"agr_{buyer}_{seller}",
            level=QuoteLevel.FIRM,
            items=items,
            response_window_ms=window_ms,
            lineage_key=lineage_key,
            ancestors=(pseudonym(lineage_key, org(buyer)),),
            **more,
        )
        return self.act(ledger, "submit_inquiry", command, buyer, "b_bus")

    # Agents

    def run(self) -> None:
        """All duties, until nothing is left to do without time passing."""
        calls = 0
        while self._work or self._missed:
            calls += 1
            assert calls < CALLS_MAX, "agents go around in a circle"
            missed = not self._work
            self._look_at(*(self._missed if missed else self._work).popleft(), missed=missed)
        if not self._interrupted and self.now_ms < min(self._later.values(), default=_NEVER_MS):
            read = self.records_read
            self.check_round()
            self.records_read = read

    def check_round(self) -> None:
        """Agents depend on no round: with nothing left to do, no duty would do anything about any document. Raises LeftAlone."""
        for ledger in self.ledgers.values():
            for (name, role), desk in self.desks.items():
                port = self._port_of(desk, ledger)
                if port is None:
                    continue
                probing = self._probing(desk)
                for duty in DUTIES[role]:
                    if duty.ledger_kind == ledger.ledger_kind:
                        for record in ledger.all(ledger.table.kinds[duty.kind]):
                            if getattr(record, "status", "") in duty.statuses and duty.applies(desk, record):
                                self._would_do_nothing(duty, probing, ledger, record, f"{name}/{duty.name}")

    def _would_do_nothing(self, duty: Any, desk: Desk, ledger: MarketLedger, record: Any, label: str) -> None:
        call = perform(duty, desk, self._port_of(desk, ledger), record)
        try:
            call.send(None)
        except _WouldSubmit as found:
            status = getattr(record, "status", "")
            raise LeftAlone(f"{label} left a {duty.kind} in {status} alone, {record.id}; it would {found}") from None
        except (StopIteration, Exception):  # noqa: BLE001  (as when it was called)
            # What it raises was told when it was called for the document, and what it wants later will be due.
            return

    def _probing(self, desk: Desk) -> Desk:
        def probe(port: Any) -> Any:
            return RoundPort(self, port.ledger, port.name, port.organization, port.role)

        bilateral = {key: probe(port) for key, port in desk.bilateral.items()}
        return replace(desk, internal=probe(desk.internal), bilateral=bilateral)

    def run_until(self, until_ms: int | None = None, *, stop: Any = None) -> None:
        """Let time pass, from due to due, until then (default: two minutes), or until `stop()` is true."""
        until_ms = self.now_ms + 120_000 if until_ms is None else until_ms
        while True:
            self.run()
            if stop is not None and stop():
                return
            due_ms = self._next_due_ms()
            if due_ms is None or due_ms > until_ms:
                self.now_ms = max(self.now_ms, until_ms)
                self._let_fire()
                self.run()
                return
            self.now_ms = max(self.now_ms + 1, due_ms)
            self._let_fire()

    def lose_news(self, is_lost: Callable[[], bool]) -> None:
        """Some of what was heard is forgotten; a restart finds out."""
        for _ in range(len(self._work)):
            entry = self._work.popleft()
            if is_lost():
                self._interrupted = True
            else:
                self._work.append(entry)

    def forget_later(self) -> None:
        """Nobody looks again at anything for the reason that it is time; until the next restart that may be noticed."""
        self._later.clear()
        self._interrupted = True

    def sweep(self) -> None:
        """A restart of everybody without a cursor: what is open is listed, whatever happened before."""
        self._interrupted = False
        self.list_open()
        self.run()

    def list_open(self) -> None:
        """As an agent that has no cursor: look at every document with a status that is listed, and at none that has ended."""
        listed = {
            (duty.ledger_kind, duty.kind, status)
            for duties in DUTIES.values()
            for duty in duties
            for status in self.listed_statuses(duty)
        }
        for name, ledger in self.ledgers.items():
            for kind in ledger.table.kinds.values():
                for record in ledger.all(kind):
                    if (ledger.ledger_kind, kind.name, getattr(record, "status", "")) in listed:
                        self._missed.append((name, kind.name, record.id))

    def take_events(self) -> None:
        """Put every document that something happened to on the list."""
        for name, ledger in self.ledgers.items():
            for _, event in ledger.events[self._told.get(name, 0) :]:
                entry = (name, ledger.table.kind_of(event.document).name, event.document.id)
                if entry not in self._work:
                    self._work.append(entry)
            self._told[name] = len(ledger.events)

    def _look_at(self, ledger_name: str, kind: str, document_id: str, *, missed: bool) -> None:
        ledger = self.ledgers[ledger_name]
        for (name, role), desk in self.desks.items():
            port = self._port_of(desk, ledger)
            if port is None or (missed and not self._is_listed(role, ledger, kind, document_id)):
                continue
            for duty in DUTIES[role]:
                if (duty.ledger_kind, duty.kind) != (ledger.ledger_kind, kind):
                    continue
                if duty.catches_up and not missed:
                    continue
                record = ledger.get(ledger.table.kinds[kind], document_id)
                status = getattr(record, "status", "")
                if record is not None and status in duty.statuses and duty.applies(desk, record):
                    self._perform(name, role, duty, desk, port, record, (ledger_name, kind, document_id))

    def _perform(self, name: str, role: Role, duty: Any, desk: Desk, port: Any, record: Any, entry: Any) -> None:
        call = perform(duty, desk, port, record, self._observed)
        try:
            call.send(None)
        except StopIteration:
            return
        except Later as later:
            self._later[entry] = min(later.at_ms, self._later.get(entry, later.at_ms))
        except Exception as error:  # noqa: BLE001  (as in the runtime, one duty is not the agent)
            self.failures.append((name, role.value, duty.name, error))
            pause_ms = SECOND_LOOK_MS if isinstance(error, Refused) else BROKEN_PAUSE_MS
            if (entry, duty.name) not in self._failed:
                self._failed[entry, duty.name] = None
                self._later[entry] = min(self.now_ms + pause_ms, self._later.get(entry, _NEVER_MS))
        else:
            raise AssertionError(f"{duty.name} waits for something that is not a port")

    def _is_listed(self, role: Role, ledger: MarketLedger, kind: str, document_id: str) -> bool:
        """Whether a role without a cursor finds a document: only what it lists itself."""
        status = getattr(ledger.get(ledger.table.kinds[kind], document_id), "status", "")
        duties = [duty for duty in DUTIES[role] if (duty.ledger_kind, duty.kind) == (ledger.ledger_kind, kind)]
        return any(status in self.listed_statuses(duty) for duty in duties)

    def listed_statuses(self, duty: Duty) -> tuple[str, ...]:
        """Those that are listed after a start without a cursor."""
        return listed_statuses(duty, catching_up=True)

    def _observed(self, boundary: Any, document_id: str) -> None:
        try:
            self.observe(boundary, document_id)
        except BaseException:
            self._interrupted = True
            raise

    def _port_of(self, desk: Desk, ledger: MarketLedger) -> Any:
        if desk.internal.id == ledger.ledger_id:
            return desk.internal
        return desk.bilateral.get(ledger.ledger_id)

    def _next_due_ms(self) -> int | None:
        dues = [due + 1 for ledger in self.ledgers.values() if (due := ledger.next_due_ms()) is not None]
        return min([*dues, *self._later.values()], default=None)

    def _let_fire(self) -> None:
        for ledger in self.ledgers.values():
            due = ledger.next_due_ms()
            if due is not None and due < self.now_ms:
                ledger.advance(max(self.now_ms, ledger.time_ms + 1))
        for entry, at_ms in list(self._later.items()):
            if at_ms <= self.now_ms:
                del self._later[entry]
                self._work.append(entry)
        self.take_events()

    # Making

    def _ledger(self, name: str, kind: str, parties: tuple[str, ...]) -> MarketLedger:
        ledger = MarketLedger(
            *contract_table(kind, 1).contracts,
            ledger_kind=kind,
            positions=dict.fromkeys(parties, Position.PARTY),
            ledger_id="sg_" + hashlib.sha256(name.encode()).hexdigest()[:32],
        )
        self.ledgers[name] = ledger
        return ledger

    def _found(self, pair: tuple[str, str], changes: dict[str, Any]) -> None:
        buyer, seller = pair
        name = f"{buyer}-{seller}"
        ledger = self._ledger(name, "bilateral", pair)
        self._pairs[name] = pair
        terms: AgreementTerms = replace(TERMS, sla_targets=(target(seller), target(buyer)), **changes)
        ledger.write(
            Agreement(
                id=f"agr_{buyer}_{seller}",
                status=AgreementStatus.ACTIVE,
                parties=tuple(sorted((org(buyer), org(seller)))),
                terms=terms,
                terms_version=1,
                proposal_id="prp_1",
                in_force_from_ms=START_MS,
            )
        )

    def _desk(self, name: str, role: Role, policies: Policies) -> Desk:
        mine = {ledger: pair for ledger, pair in self._pairs.items() if name in pair}
        ports = {
            self.ledgers[ledger].ledger_id: MarketPort(self, self.ledgers[ledger], ledger, name, role)
            for ledger in mine
        }
        provisioning = None
        if role == Role.SOF:
            provisioning = ReferenceProvisioning(self._inventories[name], BookingStore(), lambda: self.now_ms)
        return Desk(
            organization=org(name),
            role=role,
            internal=MarketPort(self, self.internal(name), f"{name}-internal", name, role),
            bilateral=ports,
            counterparties={
                self.ledgers[ledger].ledger_id: org(pair[0] if pair[1] == name else pair[1])
                for ledger, pair in mine.items()
            },
            policies=policies,
            provisioning=provisioning,
            clock=lambda: self.now_ms,
            chance=self._salt,
        )

    def _salt(self) -> bytes:
        self._salts += 1
        return hashlib.sha256(b"salt %d" % self._salts).digest()

    def _name_of(self, ledger: MarketLedger) -> str:
        return next(name for name, one in self.ledgers.items() if one is ledger)
