"""What must hold on every ledger concerned once a purchase over several tiers has ended, well or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ledgers.client.audit import audit_outward_acts
from scripts.story.market import Market, Row
from scripts.story.telling import plural, require
from smartcontracts.internal.elements import OrderHandover
from smartcontracts.order import OrderStatus
from smartcontracts.service import ServiceStatus

_ENDED_OTHERWISE: Final = (OrderStatus.REJECTED, OrderStatus.FAILED, OrderStatus.CANCELLED)
_TAKEN: Final = (OrderStatus.ACCEPTED, OrderStatus.ACTIVATED)


async def see_orders_accepted(market: Market, since_ms: int, *, tiers: int) -> list[Row]:
    """Every order that was placed is accepted, down to the last tier: all or nothing."""
    rows = await market.show("order", since_ms, "orders on all ledgers")
    require(all(row.document.status in _TAKEN for row in rows), "every order accepted", [row.document.status for row in rows])
    require(len(rows) >= tiers, f"orders of at least {plural(tiers, 'tier')}", [row.ledger for row in rows])
    await market.all_same(rows, "order")
    return rows


async def see_orders(market: Market, since_ms: int, wanted: Mapping[str, OrderStatus]) -> list[Row]:
    """The orders of each of these sellers have ended as wanted, the same on every node of their ledger."""

    async def ended() -> bool:
        found = {(row.seller, row.document.status) for row in await market.rows("order", since_ms)}
        return set(wanted.items()) <= found

    await market.wait_for(ended, f"orders that are {', '.join(f'{status} by {who}' for who, status in wanted.items())}")
    rows = await market.show("order", since_ms, "orders on all ledgers")
    for row in rows:
        if row.seller in wanted:
            require(row.document.status == wanted[row.seller], f"{row.seller}'s order {wanted[row.seller]}", row.document.status)
    await market.all_same(rows, "order")
    return rows


async def see_in_operation(market: Market, since_ms: int) -> list[Row]:
    """Each order that did not end otherwise has its service in operation, on its own ledger."""
    orders = [row for row in await market.rows("order", since_ms) if row.document.status not in _ENDED_OTHERWISE]

    async def all_in_operation() -> bool:
        found = {row.document.order_id: row.document.status for row in await market.rows("service", 0)}
        return all(found.get(row.document.id) == ServiceStatus.IN_OPERATION for row in orders)

    await market.wait_for(all_in_operation, "a service in operation for every order")
    services = [row for row in await market.rows("service", 0) if row.document.order_id in {one.document.id for one in orders}]
    cells = [(row.ledger, f"{row.seller} to {row.buyer}", row.document.id[:14], str(row.document.status)) for row in services]
    market.stage.teller.table(("ledger", "service", "id", "status"), cells)
    await market.all_same(services, "service")
    return services


async def internal_documents(market: Market, organization: str, kind: str) -> list[Any]:
    """Documents of a kind on an organization's internal ledger, as its own node has them."""
    return list(await (await market.internal(organization)).all(kind))


async def see_chained(market: Market, provider: str, order_id: str) -> OrderHandover:
    """On the provider's internal ledger: every element in the chain, each after what it depends on, and the test passed."""
    handovers = [one for one in await internal_documents(market, provider, "order_handover") if one.order_id == order_id]
    require(len(handovers) == 1, f"one handover of the order at {provider}", len(handovers))
    handover: OrderHandover = handovers[0]
    elements = [one for one in await internal_documents(market, provider, "service_element") if one.order_handover_id == handover.id]
    placed = [one.id for one in sorted(elements, key=lambda one: one.place)]
    require(list(handover.chain) == placed, f"the chain {placed}", list(handover.chain))
    passed = [test for test in handover.tests if test.passed]
    require(passed, "a test from end to end that passed", handover.tests)
    sources = [f"{one.element_id} ({one.source})" for one in sorted(elements, key=lambda one: one.place)]
    seat = await market.internal(provider)
    market.stage.teller.tell(
        f"chained {', '.join(sources)}, and tested: passed", who=provider, ledger=seat.ledger_name, document=f"order_handover/{handover.id}"
    )
    return handover


async def see_audited(market: Market) -> None:
    """What every provider's internal ledger let out is what stands outside, and nothing else of its agents does."""
    for name in market.providers:
        internal = await market.internal(name)
        outside = [(await market.seat(name, ledger)).ledger for ledger, pair in market.pairs.items() if name in pair]
        report = await audit_outward_acts(internal.ledger, outside, internal.id)
        require(not report.findings, f"an audit of {name} without findings", [one.sentence for one in report.findings])
        told = f"audited against {plural(len(outside), 'bilateral ledger')}: {plural(report.releases, 'release')}, nothing found"
        market.stage.teller.tell(told, who=name, ledger=internal.ledger_name)


async def show_internal(market: Market, since_ms: int) -> None:
    """What every provider's internal ledger says of the orders since then: for who looks for a failure's reason."""
    rows = []
    for name in market.providers:
        handovers = {one.id: one for one in await internal_documents(market, name, "order_handover") if one.placed_at_ms >= since_ms}
        rows += [(name, "order", str(one.status), one.reason, "") for one in handovers.values()]
        rows += [
            (name, f"{one.element_id} ({one.source}) {one.seller and market.stage.network.name_of(one.seller)}", str(one.status), one.reason, one.decision)
            for one in await internal_documents(market, name, "service_element")
            if one.order_handover_id in handovers
        ]
        rows += [
            (name, f"sourcing for {one.purpose}: {market.stage.network.name_of(asked.seller)}", str(asked.outcome), asked.reason, "")
            for one in await internal_documents(market, name, "sourcing")
            if one.requested_at_ms >= since_ms
            for asked in one.asked
        ]
    market.stage.teller.table(("internal ledger of", "what", "status", "reason", "decision"), rows)
