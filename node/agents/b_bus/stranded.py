"""B-BUS and stranded services: ends by a termination what can't be cancelled any more, however long its seller takes. Req: D-40; X-15, X-27.

An element is stranded when its seller had activated it and cancelling was over. The seller is asked to end it; what it quotes is
ordered; the element is at its end when the service is. Whatever comes in between, the next attempt is made after a pause.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from node.agents.b_bus.order import surfaced
from node.agents.desk import Desk
from node.agents.duties import Duty, Later, is_buyer, outside
from node.agents.orders import submit_unless_overtaken
from node.agents.policies import TerminationQuoted
from node.agents.ports import LedgerPort, Outward
from smartcontracts.inquiry import Inquiry, InquiryStatus
from smartcontracts.internal.elements import ElementStatus, ServiceElement
from smartcontracts.internal.recovery import CancellationOutcome, RecordCancellation
from smartcontracts.internal.release import Release, ReleaseStatus
from smartcontracts.internal.stranded import (
    AttemptUnderWay,
    RecordTerminationFailure,
    ReleaseTerminationCancellation,
    ReleaseTerminationInquiry,
    ReleaseTerminationOrder,
    ServiceNeeded,
    StrandedService,
    StrandedStatus,
    stranded_id_of,
)
from smartcontracts.kernel import Role
from smartcontracts.order import Order, OrderStatus
from smartcontracts.quote import Quote, QuoteStatus
from smartcontracts.service import Service, ServiceStatus
from smartcontracts.trade import ChangeKind

ASK: Final = "ask"
ORDER: Final = "order"
CANCEL: Final = "cancel"
RECORD: Final = "record"
SUBMITS: Final = (ASK, ORDER, CANCEL, RECORD)
SILENT: Final = "SILENT"
QUOTE_NOT_TAKEN: Final = "QUOTE_NOT_TAKEN"
_OPEN: Final = (StrandedStatus.ASKING, StrandedStatus.ORDERING, StrandedStatus.WAITING)
_ENDED: Final = (OrderStatus.REJECTED, OrderStatus.FAILED, OrderStatus.CANCELLED)
_UNANSWERED: Final = (InquiryStatus.UNABLE, InquiryStatus.DEEMED_UNABLE, InquiryStatus.LATE_QUOTED)
# It was done meanwhile, is not known to be out, or waits for an element of the same order: the next news tells.
_OVERTAKEN: Final = frozenset((AttemptUnderWay.code, ServiceNeeded.code))
_SETTLED_RELEASES: Final = (ReleaseStatus.CARRIED, ReleaseStatus.REFUSED)


async def end_stranded(desk: Desk, port: LedgerPort, element: ServiceElement) -> None:
    """Do the next step towards the end of a stranded element's service, or write down that it has ended. Req: D-40; X-27."""
    seller = outside(desk, element.ledger_id)
    service = await _service_there(seller, element)
    if service is None:
        return
    if service.status == ServiceStatus.TERMINATED:
        over = RecordCancellation(element_id=element.id, outcome=CancellationOutcome.ENDED)
        await _submit(port, [Outward("record_cancellation", over)], purpose=RECORD)
        return
    if element.changes:
        return  # it is part of a service in operation, and ends with that
    stranded: StrandedService | None = await port.get(
        "stranded_service", stranded_id_of(port.id, element.ledger_id, element.order_id)
    )
    if stranded is None or stranded.status == StrandedStatus.WAITING:
        await _ask(desk, port, element, service, stranded)
    elif stranded.status == StrandedStatus.ASKING:
        await _take_answer(desk, port, seller, stranded)
    elif stranded.status == StrandedStatus.ORDERING:
        await _see_to_order(desk, port, seller, stranded)


async def tend_stranded(desk: Desk, port: LedgerPort, stranded: StrandedService) -> None:
    """The same, when it is the attempt to which something has happened."""
    found: tuple[ServiceElement, ...] = await port.list("service_element", related=stranded.order_id)
    for element in found:
        if element.ledger_id == stranded.ledger_id and element.status == ElementStatus.STRANDED:
            await end_stranded(desk, port, element)
            return


async def tend_after_release(desk: Desk, port: LedgerPort, release: Release) -> None:
    """An act about it is out, or its ledger has refused it."""
    stranded: StrandedService | None = await port.get("stranded_service", release.subject_id)
    if stranded is not None and stranded.status in _OPEN:
        await tend_stranded(desk, port, stranded)


async def tend_of_inquiry(desk: Desk, _port: LedgerPort, inquiry: Inquiry) -> None:
    """The seller will not quote the termination, or was silent."""
    await _tend_about(desk, inquiry.id)


async def tend_of_quote(desk: Desk, _port: LedgerPort, quote: Quote) -> None:
    """The seller has quoted the termination."""
    await _tend_about(desk, quote.inquiry_id)


async def tend_of_order(desk: Desk, port: LedgerPort, order: Order) -> None:
    """The order of the termination came to nothing, is late, or is there though it was taken for refused."""
    if order.status not in _ENDED:
        await _surface(desk, port, order)
    await _tend_about(desk, order.id)


async def _surface(desk: Desk, port: LedgerPort, order: Order) -> None:
    """It was let out for an attempt that came to nothing, as this node saw it: that one is under way."""
    internal = desk.internal
    found: tuple[StrandedService, ...] = await internal.list("stranded_service", service=order.service_id)
    for stranded in found:
        if stranded.ledger_id != port.id or stranded.status not in (StrandedStatus.ASKING, StrandedStatus.WAITING):
            continue
        releases: tuple[Release, ...] = await internal.list("release", related=stranded.id)
        for release in releases:
            if release.status == ReleaseStatus.REFUSED and release.sha256 in order.releases:
                await _submit(internal, [surfaced(release)], purpose=RECORD)


async def tend_of_service(desk: Desk, port: LedgerPort, service: Service) -> None:
    """The service has ended, by this or by somebody's hand. Elements that were to change it have orders of their own."""
    internal = desk.internal
    made: tuple[ServiceElement, ...] = await internal.list("service_element", related=service.order_id)
    changing: tuple[ServiceElement, ...] = await internal.list("service_element", service=service.id)
    for element in {one.id: one for one in (*made, *changing)}.values():
        if element.ledger_id == port.id and element.status == ElementStatus.STRANDED:
            await end_stranded(desk, internal, element)


async def _tend_about(desk: Desk, document_id: str) -> None:
    internal = desk.internal
    found: tuple[StrandedService, ...] = await internal.list("stranded_service", related=document_id)
    for stranded in found:
        if stranded.status in _OPEN:
            await tend_stranded(desk, internal, stranded)


def _is_termination(record: Any) -> bool:
    """Whether an inquiry or order is to end a service."""
    return record.change is not None and record.change.kind == ChangeKind.TERMINATION


async def _service_there(seller: LedgerPort, element: ServiceElement) -> Service | None:
    """The service that the element's order gave, or that it was to change."""
    order: Order | None = await seller.get("order", element.order_id)
    if order is None or not order.service_id:
        return None
    found: Service | None = await seller.get("service", order.service_id)
    return found


async def _ask(
    desk: Desk, port: LedgerPort, element: ServiceElement, service: Service, before: StrandedService | None
) -> None:
    if before is not None and desk.now_ms() < before.again_at_ms:
        raise Later(before.again_at_ms)
    ask = ReleaseTerminationInquiry(
        ledger_id=element.ledger_id,
        order_id=element.order_id,
        service_id=service.id,
        agreement_id=service.agreement_id,
        lineage_key=desk.salt(),
        salt=desk.salt(),
    )
    await _submit(port, [Outward("release_termination_inquiry", ask)], purpose=ASK)


async def _take_answer(desk: Desk, port: LedgerPort, seller: LedgerPort, stranded: StrandedService) -> None:
    inquiry: Inquiry | None = await seller.get("inquiry", stranded.inquiry_id)
    if inquiry is None:
        await _fail_if_refused(desk, port, stranded, stranded.inquiry_release_id)
    elif inquiry.status in _UNANSWERED:
        await _fail(desk, port, stranded, inquiry.unable_reason or SILENT)
    elif inquiry.status == InquiryStatus.QUOTED:
        quote: Quote | None = await seller.get("quote", inquiry.quote_id)
        if quote is not None:
            await _order(desk, port, stranded, quote, await _bought_minor(seller, stranded, quote.term_total.currency))


async def _bought_minor(seller: LedgerPort, stranded: StrandedService, currency: str) -> int:
    """What the service was bought for; 0 if that is in another currency, and can't be compared."""
    service: Service | None = await seller.get("service", stranded.service_id)
    quote: Quote | None = None if service is None else await seller.get("quote", service.quote_id)
    return 0 if quote is None or quote.term_total.currency != currency else quote.term_total.minor


async def _order(desk: Desk, port: LedgerPort, stranded: StrandedService, quote: Quote, bought_minor: int) -> None:
    now_ms = desk.now_ms()
    quoted = TerminationQuoted(
        service_id=stranded.service_id,
        seller=stranded.seller,
        total_minor=quote.term_total.minor,
        currency=quote.term_total.currency,
        attempt=stranded.attempt,
        bought_minor=bought_minor,
    )
    if now_ms > quote.valid_until_ms or not desk.policies.accept_termination(quoted):
        await _fail(desk, port, stranded, QUOTE_NOT_TAKEN)
        return
    window_ms = desk.policies.termination_window_ms()
    order = ReleaseTerminationOrder(
        stranded_service_id=stranded.id,
        quote=quote,
        acceptance_window_ms=window_ms,
        activation_window_ms=window_ms,
        salt=desk.salt(),
    )
    await _submit(port, [Outward("release_termination_order", order)], purpose=ORDER)


async def _see_to_order(desk: Desk, port: LedgerPort, seller: LedgerPort, stranded: StrandedService) -> None:
    order: Order | None = await seller.get("order", stranded.termination_order_id)
    if order is None:
        await _fail_if_refused(desk, port, stranded, stranded.order_release_id)
    elif order.status in _ENDED:
        # Reasons that the ledger itself gives are written in small letters.
        await _fail(desk, port, stranded, order.reason.upper() or SILENT)
    elif order.status == OrderStatus.OVERDUE and await _is_not_out(port, stranded.cancel_release_id):
        cancel = ReleaseTerminationCancellation(stranded_service_id=stranded.id, salt=desk.salt())
        await _submit(port, [Outward("release_termination_cancellation", cancel)], purpose=CANCEL)


async def _is_not_out(port: LedgerPort, release_id: str) -> bool:
    """Whether there is no such release, or its ledger has refused it: the seller got more time just then."""
    release: Release | None = await port.get("release", release_id) if release_id else None
    return release is None or release.status == ReleaseStatus.REFUSED


async def _fail_if_refused(desk: Desk, port: LedgerPort, stranded: StrandedService, release_id: str) -> None:
    release: Release | None = await port.get("release", release_id)
    if release is not None and release.status == ReleaseStatus.REFUSED:
        await _fail(desk, port, stranded, release.refusal_name)


async def _fail(desk: Desk, port: LedgerPort, stranded: StrandedService, reason: str) -> None:
    failure = RecordTerminationFailure(
        stranded_service_id=stranded.id,
        attempt=stranded.attempt,
        reason=reason,
        again_at_ms=desk.now_ms() + desk.policies.termination_pause_ms(stranded.attempt),
    )
    await _submit(port, [Outward("record_termination_failure", failure)], purpose=RECORD)


async def _submit(port: LedgerPort, acts: Sequence[Outward], *, purpose: str) -> None:
    """Submit unless it is overtaken. Raises Refused for all other reasons."""
    await submit_unless_overtaken(port, acts, purpose=purpose, also=_OVERTAKEN)


DUTIES: Final = (
    Duty(
        name="end_stranded",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="service_element",
        statuses=(ElementStatus.STRANDED,),
        submits=SUBMITS,
        do=end_stranded,
    ),
    Duty(
        name="tend_stranded",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="stranded_service",
        statuses=_OPEN,
        submits=SUBMITS,
        do=tend_stranded,
    ),
    Duty(
        name="tend_stranded_after_release",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="release",
        statuses=_SETTLED_RELEASES,
        settled=_SETTLED_RELEASES,
        applies=lambda _desk, release: release.subject_kind == "stranded_service",
        related=f"role/{Role.B_BUS.value}",
        submits=SUBMITS,
        do=tend_after_release,
    ),
    Duty(
        name="tend_stranded_of_inquiry",
        role=Role.B_BUS,
        ledger_kind="bilateral",
        kind="inquiry",
        statuses=_UNANSWERED,
        settled=_UNANSWERED,
        applies=lambda desk, inquiry: is_buyer(desk, inquiry) and _is_termination(inquiry),
        submits=SUBMITS,
        do=tend_of_inquiry,
    ),
    Duty(
        name="tend_stranded_of_quote",
        role=Role.B_BUS,
        ledger_kind="bilateral",
        kind="quote",
        statuses=(QuoteStatus.ISSUED,),
        settled=(QuoteStatus.ISSUED,),
        applies=is_buyer,
        submits=SUBMITS,
        do=tend_of_quote,
    ),
    Duty(
        name="tend_stranded_of_order",
        role=Role.B_BUS,
        ledger_kind="bilateral",
        kind="order",
        statuses=tuple(OrderStatus),
        settled=(OrderStatus.ACTIVATED,),
        applies=lambda desk, order: is_buyer(desk, order) and _is_termination(order),
        submits=SUBMITS,
        do=tend_of_order,
    ),
    Duty(
        name="tend_stranded_of_service",
        role=Role.B_BUS,
        ledger_kind="bilateral",
        kind="service",
        statuses=(ServiceStatus.TERMINATED,),
        settled=(ServiceStatus.TERMINATED,),
        applies=is_buyer,
        submits=SUBMITS,
        do=tend_of_service,
    ),
)
