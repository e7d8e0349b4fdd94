"""A market of several tiers in which agents decide: what people do in it, and what everybody's own node then shows.

A person inquires and orders; what answers comes from agents. Each wait is for a document on a ledger as an organization's own
node has it, and each claim about an outcome is checked on every node that replicates the ledger.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ledgers.client import Refused
from scripts.story.agreements import conclude
from scripts.story.scene import ALPHA_BRAVO, Done, Seat, Stage
from scripts.story.telling import StepFailed, money, plural, require
from scripts.story.terms import agreement_terms
from smartcontracts.agreement import Agreement, AgreementTerms
from smartcontracts.inquiry import Inquiry, InquiryStatus, SubmitInquiry
from smartcontracts.internal.rules import SetSourcingRules
from smartcontracts.kernel import Role
from smartcontracts.lineage import LINEAGE_KEY_BYTES, pseudonym
from smartcontracts.order import Order, OrderStatus, PlaceOrder
from smartcontracts.quote import Quote
from smartcontracts.trade import Change, InquiryItem, QuoteLevel

RESPONSE_WINDOW_MS: Final = 40_000
ACCEPTANCE_WINDOW_MS: Final = 40_000
ACTIVATION_WINDOW_MS: Final = 90_000
# A chain has to answer within its windows; a document that is waited for may come in the last moment of one.
PATIENCE_S: Final = 60.0
_POLL_S: Final = 0.1
# Own time that each provider keeps: short, so that several tiers fit into a window that one can watch.
QUOTING_MS: Final = 4_000
ORDERING_MS: Final = 5_000
DELIVERY_MS: Final = 10_000
QUOTE_VALIDITY_MS: Final = 600_000
MARKUP_BASIS_POINTS: Final = 2_000

Held = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Row:
    """One trade document on one ledger, by the buyer's and the seller's names."""

    ledger: str
    buyer: str
    seller: str
    document: Any


@dataclass(slots=True)
class Market:
    """All bilateral ledgers of a topology, with an agreement on each.

    `pairs`: ledger to (buyer, seller). Under its agreement only that one sells, but on the ledgers `both_ways`.
    """

    stage: Stage
    pairs: Mapping[str, tuple[str, str]]
    both_ways: Collection[str] = (ALPHA_BRAVO,)
    agreements: dict[str, Agreement] = field(default_factory=dict)
    # Of agreements that are called something particular.
    names: Mapping[str, str] = field(default_factory=dict)

    async def open(self, terms: Callable[[str, tuple[str, ...]], AgreementTerms] = agreement_terms) -> None:
        """Agreements on every ledger at once, and each provider's rules on its internal ledger."""
        async def agree(ledger: str, buyer: str, seller: str) -> None:
            seats = await self.seat(seller, ledger), await self.seat(buyer, ledger)
            only = "" if ledger in self.both_ways else seats[0].id
            # Who sells nowhere buys for its own use.
            retail = "" if not only or buyer in self.providers else seats[1].id
            name = self.names.get(ledger, f"Services on {ledger}")
            self.agreements[ledger] = await conclude(
                self.stage,
                *seats,
                name,
                lambda name, parties: replace(terms(name, parties), only_seller=only, retail_customer=retail),
            )

        await asyncio.gather(*(agree(ledger, *pair) for ledger, pair in self.pairs.items()))
        await asyncio.gather(*(self.set_rules(name) for name in self.providers))

    @property
    def providers(self) -> tuple[str, ...]:
        """Who sells on some ledger."""
        return tuple(dict.fromkeys(second for _, second in self.pairs.values()))

    @property
    def traders(self) -> tuple[str, ...]:
        """Everybody who buys or sells."""
        return tuple(dict.fromkeys(name for pair in self.pairs.values() for name in pair))

    async def set_rules(self, provider: str, **changed: Any) -> None:
        """The provider's own rules: times that suit windows of a minute, a mark-up of a fifth, and the cheaper of make and buy."""
        rules: dict[str, Any] = {
            "quoting_ms": QUOTING_MS,
            "ordering_ms": ORDERING_MS,
            "delivery_ms": DELIVERY_MS,
            "quote_validity_ms": QUOTE_VALIDITY_MS,
            "markup_basis_points": MARKUP_BASIS_POINTS,
        }
        seat = await self.internal(provider)
        done = await seat.act(Role.ADMINISTRATOR, "set_sourcing_rules", SetSourcingRules(**(rules | changed)))
        told = ", ".join(f"{name} {value}" for name, value in changed.items())
        self.stage.told(seat, done, "sets its sourcing rules" + (f": {told}" if told else ""))

    # Seats

    async def seat(self, organization: str, ledger: str) -> Seat:
        """An organization at a ledger."""
        return await self.stage.seat(organization, ledger)

    async def internal(self, organization: str) -> Seat:
        """An organization at its own internal ledger."""
        return await self.stage.seat(organization, f"{organization}-internal")

    def ledger(self, one: str, other: str) -> str:
        """The ledger of two organizations."""
        for name, pair in self.pairs.items():
            if {one, other} == set(pair):
                return name
        raise StepFailed(f"a ledger of {one} and {other}", "none")

    async def between(self, buyer: str, seller: str) -> tuple[Seat, Seat]:
        """Buyer and seller at their ledger."""
        ledger = self.ledger(buyer, seller)
        return await self.seat(buyer, ledger), await self.seat(seller, ledger)

    # What people do

    def inquiry_of(
        self, buyer: str, seller: str, items: Sequence[InquiryItem], *, ancestors: Sequence[str] = (), **given: Any
    ) -> SubmitInquiry:
        """A request that begins with its buyer, under a new lineage key; `ancestors` are names of others further up."""
        key = secrets.token_bytes(LINEAGE_KEY_BYTES)
        chain = [self.stage.network.organization_id(name) for name in (*ancestors, buyer)]
        return SubmitInquiry(
            **{
                "seller": self.stage.network.organization_id(seller),
                "agreement_id": self.agreements[self.ledger(buyer, seller)].id,
                "level": QuoteLevel.FIRM,
                "items": tuple(items),
                "response_window_ms": RESPONSE_WINDOW_MS,
                "lineage_key": key,
                "ancestors": tuple(pseudonym(key, one) for one in chain),
                **given,
            }
        )

    async def ask(
        self, buyer: str, seller: str, items: Sequence[InquiryItem], *, change: Change | None = None, **given: Any
    ) -> Inquiry:
        """A person inquires, once."""
        seat, _ = await self.between(buyer, seller)
        done = await seat.act(Role.B_BUS, "submit_inquiry", self.inquiry_of(buyer, seller, items, change=change, **given))
        inquiry: Inquiry = await seat.result(done, "inquiry")
        window_s = (inquiry.respond_by_ms - inquiry.received_at_ms) // 1000
        what = ", ".join(item.id for item in items)
        self.stage.told(seat, done, f"a person asks {seller} for {what}; {window_s} s to answer", f"inquiry/{inquiry.id}")
        return inquiry

    async def quoted(self, buyer: str, seller: str, inquiry: Inquiry) -> Quote:
        """The quote that the seller's agents give; a refusal fails."""
        seat, _ = await self.between(buyer, seller)
        began = time.monotonic()
        answered = await self.until(
            seat, "inquiry", inquiry.id, lambda one: one.status != InquiryStatus.RECEIVED, f"{seller}'s answer"
        )
        require(
            answered.status == InquiryStatus.QUOTED,
            f"a quote of {seller}",
            f"{answered.status} {answered.unable_reason}",
            f"look at {seller}'s internal ledger: syngraph query list {seller}-internal inquiry_handover",
        )
        quote: Quote = await seat.see("quote", answered.quote_id)
        self.stage.teller.tell(
            f"agents quote {plural(len(quote.items), 'item')}: {money(quote.one_time_total)} once, {money(quote.term_total)} over the term",
            who=seller,
            ledger=seat.ledger_name,
            ms=int((time.monotonic() - began) * 1000),
            amount=quote.one_time_total,
            document=f"quote/{quote.id}",
        )
        return quote

    async def order(self, buyer: str, seller: str, quote: Quote, **given: Any) -> Order:
        """A person orders a quote."""
        seat, _ = await self.between(buyer, seller)
        command = PlaceOrder(
            **{
                "quote_id": quote.id,
                "acceptance_window_ms": ACCEPTANCE_WINDOW_MS,
                "activation_window_ms": ACTIVATION_WINDOW_MS,
                **given,
            }
        )
        done = await seat.act(Role.B_BUS, "place_order", command)
        order: Order = await seat.result(done, "order")
        window_s = (order.accept_by_ms - order.placed_at_ms) // 1000
        self.stage.told(seat, done, f"a person orders it; {window_s} s to be accepted", f"order/{order.id}")
        return order

    async def ordered_until(
        self, buyer: str, seller: str, order: Order, *statuses: OrderStatus, within_s: float = PATIENCE_S
    ) -> Order:
        """The order once it has one of the statuses; an ending that is none of them fails at once."""
        seat, _ = await self.between(buyer, seller)
        wanted = " or ".join(statuses)
        began = time.monotonic()

        def reached(one: Order) -> bool:
            if one.status in statuses:
                return True
            require(one.status not in _ENDED, f"an order that is {wanted}", f"{one.status} {one.reason}".strip())
            return False

        found: Order = await self.until(seat, "order", order.id, reached, f"the order to be {wanted}", within_s)
        self.stage.teller.tell(
            f"the order is {found.status}" + (f": {found.reason}" if found.reason else ""),
            who=seller,
            ledger=seat.ledger_name,
            ms=int((time.monotonic() - began) * 1000),
            document=f"order/{order.id}",
        )
        return found

    async def refused(self, seat: Seat, role: Role, name: str, command: object, refusal: str, text: str) -> Done:
        """A person tries what must be refused, with this name."""
        done = await seat.refusal(role, name, command)
        require(done.receipt.name == refusal, refusal, done.receipt.name)
        self.stage.refused(seat, done, text)
        return done

    # What is seen

    async def until(
        self, seat: Seat, kind: str, document_id: str, held: Held, what: str, within_s: float = PATIENCE_S
    ) -> Any:
        """The document once `held` says so, as the seat's own node has it. Raises StepFailed after `within_s`."""

        async def look() -> Any:
            try:
                found = (await seat.ledger.get(kind, document_id)).body
            except Refused as refused:
                if refused.detail.name != "DOCUMENT_UNKNOWN" and not refused.detail.transient:
                    raise
                return None
            return found if held(found) else None

        return await self.wait_for(look, f"{what} ({kind}/{document_id} on {seat.ledger_name})", within_s)

    async def wait_for(self, look: Callable[[], Awaitable[Any]], what: str, within_s: float = PATIENCE_S) -> Any:
        """What `look` gives once it gives something. Raises StepFailed after `within_s`."""
        network = self.stage.network
        give_up_ms = network.now_ms() + int(within_s * 1000)
        while True:
            found = await look()
            if found:
                return found
            if network.now_ms() > give_up_ms:
                raise StepFailed(what, f"nothing after {within_s:.0f} s", "look at the agents' lines in that node's log")
            await network.sleep(_POLL_S)

    async def rows(self, kind: str, since_ms: int, place: str = "") -> list[Row]:
        """Documents of a kind that were begun since then on all ledgers, as the party has them whose node is further.

        With `place` only those whose items are at it.
        """
        found = []
        for ledger in self.pairs:
            seat = await self._further(ledger)
            for document in await seat.all(kind):
                if _began_ms(document) >= since_ms and (not place or f'"{place}"'.encode() in _products(document)):
                    names = self.stage.network.name_of(document.buyer), self.stage.network.name_of(document.seller)
                    found.append(Row(ledger, *names, document))
        return sorted(found, key=lambda row: _began_ms(row.document))

    async def _further(self, ledger: str) -> Seat:
        """The party at a ledger whose node has come to the higher height; one may be away."""
        seats = [await self.seat(name, ledger) for name in self.pairs[ledger]]
        heights = [await seat.height() for seat in seats]
        require(any(heights), f"a party of {ledger} whose node answers", "none")
        return seats[heights.index(max(heights))]

    async def show(self, kind: str, since_ms: int, what: str, place: str = "") -> list[Row]:
        """Print these documents as a table, and give them."""
        rows = await self.rows(kind, since_ms, place)
        self.stage.teller.print(f"        {what}:")
        cells = [
            (row.ledger, f"{row.buyer} buys of {row.seller}", ", ".join(item.id for item in row.document.items), *_state(row.document))
            for row in rows
        ]
        self.stage.teller.table(("ledger", "trade", "items", "status", "reason"), cells)
        return rows

    async def same_everywhere(self, ledger: str, kind: str, document_id: str) -> Any:
        """The document, which must be the same on every node that replicates the ledger, with one app hash at its height."""
        seats = [await self.seat(name, ledger) for name in self.stage.network.nodes_of(ledger)]
        # At one height: the ledger may be going on.
        height = max(await asyncio.gather(*(seat.height() for seat in seats)))
        for seat in seats:
            await seat.catch_up(max(height, self.stage.network.told_heights.get(ledger, 0)))
        found = [(await seat.ledger.get(kind, document_id, height)).body for seat in seats]
        require(all(one == found[0] for one in found), f"one {kind} on every node of {ledger}", [str(one.status) for one in found])
        hashes = await asyncio.gather(*(seat.ledger.app_hash(height) for seat in seats))
        require(len(set(hashes)) == 1, f"one app hash at height {height} of {ledger}", dict(zip([s.name for s in seats], hashes, strict=True)))
        return found[0]

    async def all_same(self, rows: Sequence[Row], kind: str) -> None:
        """`same_everywhere` for each row."""
        for row in rows:
            await self.same_everywhere(row.ledger, kind, row.document.id)
        ledgers = sorted({row.ledger for row in rows})
        self.stage.teller.tell(f"{plural(len(rows), 'document')} of kind {kind}, each the same on every node of {', '.join(ledgers)}")


_ENDED: Final[Collection[OrderStatus]] = frozenset(
    status for status in OrderStatus if status.value in ("rejected", "activated", "failed", "cancelled")
)


def _began_ms(document: Any) -> int:
    for name in ("received_at_ms", "placed_at_ms", "ordered_at_ms", "issued_at_ms", "activated_at_ms"):
        if value := getattr(document, name, 0):
            return int(value)
    return 0


def _products(document: Any) -> bytes:
    return b"\n".join(item.product for item in document.items)


def _state(document: Any) -> tuple[str, str]:
    reason = getattr(document, "unable_reason", "") or getattr(document, "reason", "")
    return str(document.status), reason
