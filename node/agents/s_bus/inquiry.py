"""S-BUS and inquiries: takes in what buyers ask, and answers what SCO has decided. Req: Q-05, Q-17, Q-43..Q-46."""

from __future__ import annotations

from typing import Any, Final

from node.agents.desk import Desk
from node.agents.duties import LEDGER_ABSENT_MS, Duty, Later, is_seller, outside
from node.agents.inquiries import agreement_on, rules_on, submit_unless_overtaken
from node.agents.ports import LedgerPort, Outward
from smartcontracts.agreement import AgreementTerms
from smartcontracts.inquiry import Inquiry, InquiryStatus
from smartcontracts.internal.answer import RecordAnswer, ReleaseQuote, ReleaseUnable, bundled, list_prices
from smartcontracts.internal.assessment import Assessment
from smartcontracts.internal.handover import HandOverInquiry, HandoverStatus, InquiryHandover, handover_id_of
from smartcontracts.internal.release import Release, ReleaseStatus
from smartcontracts.internal.rules import OfferingMarkup, SourcingRules, markup_of
from smartcontracts.kernel import Role
from smartcontracts.order import Order, OrderStatus
from smartcontracts.parameters import RULES_ID
from smartcontracts.pricing import rule_for, with_discount
from smartcontracts.quote import IssueQuote, QuoteItem, totals
from smartcontracts.trade import InquiryItem, Price, QuoteForm, QuoteLevel

HAND_OVER: Final = "hand_over"
RELEASE: Final = "release"
RECORD: Final = "record"
_ANSWERS: Final = ("issue_quote", "declare_unable")
# By how much our clock may be ahead of the buyer's ledger.
CLOCKS_DIFFER_MS: Final = 60_000
# Of the time in which an order must be answered, this part is for knowing the elements behind a catalogue's quote.
_STANDING_SHARE: Final = 2


async def hand_over_inquiry(desk: Desk, port: LedgerPort, inquiry: Inquiry) -> None:
    """Bring an inquiry that is not answered to the internal ledger; one that is deemed unable is still owed. Req: Q-17; X-09."""
    await _hand_over(desk, port, inquiry)


async def hand_over_standing(desk: Desk, port: LedgerPort, order: Order) -> None:
    """An order on a catalogue's quote: nothing was asked inside, so the elements behind it are found now. Req: X-75."""
    quote = await port.get("quote", order.quote_id)
    if quote is None or not quote.offering_id:
        return
    inquiry: Inquiry | None = await port.get("inquiry", quote.inquiry_id)
    left_ms = order.accept_by_ms - desk.now_ms()
    if inquiry is not None and left_ms > _STANDING_SHARE:
        await _hand_over(desk, port, inquiry, quote.id, desk.now_ms() + left_ms // _STANDING_SHARE)


async def answer_inquiry(desk: Desk, port: LedgerPort, handover: InquiryHandover) -> None:
    """Release what SCO decided; once its carrier is back, close. Req: Q-44, Q-45."""
    if handover.release_id:
        release: Release | None = await port.get("release", handover.release_id)
        if release is not None:
            await settle_answer(desk, port, release)
        return
    if handover.status == HandoverStatus.TO_REFUSE:
        unable = ReleaseUnable(handover_id=handover.id, salt=desk.salt())
        await submit_unless_overtaken(port, [Outward("release_unable", unable)], purpose=RELEASE)
        return
    quote = await _priced(desk, port, handover)
    if quote is not None:
        await submit_unless_overtaken(port, [Outward("release_quote", quote)], purpose=RELEASE)


async def settle_answer(_desk: Desk, port: LedgerPort, release: Release) -> None:
    """Take note of what became of an answer; a quote that was refused is followed by 'Unable to Quote'. Req: Q-05."""
    handover: InquiryHandover | None = await port.get("inquiry_handover", release.subject_id)
    if handover is None or handover.release_id != release.id:
        return
    decided = handover.status in (HandoverStatus.TO_QUOTE, HandoverStatus.TO_REFUSE)
    if decided and release.status in (ReleaseStatus.CARRIED, ReleaseStatus.REFUSED):
        record = RecordAnswer(handover_id=handover.id)
        await submit_unless_overtaken(port, [Outward("record_answer", record)], purpose=RECORD)


async def _hand_over(
    desk: Desk, port: LedgerPort, inquiry: Inquiry, standing_quote_id: str = "", standing_by_ms: int = 0
) -> None:
    internal = desk.internal
    if await internal.get("inquiry_handover", handover_id_of(internal.id, port.id, inquiry.id)) is not None:
        return
    agreement = await agreement_on(port, desk.organization)
    if agreement is None:
        return
    command = HandOverInquiry(
        ledger_id=port.id,
        inquiry=inquiry,
        currency=agreement.terms.currency,
        standing_quote_id=standing_quote_id,
        standing_by_ms=standing_by_ms,
    )
    await submit_unless_overtaken(internal, [Outward("hand_over_inquiry", command)], purpose=HAND_OVER)


async def _priced(desk: Desk, port: LedgerPort, handover: InquiryHandover) -> ReleaseQuote | None:
    """The quote at cost, mark-up and the agreement's discounts; None once what it rests on has ended. Req: Q-43, Q-46."""
    assessment: Assessment | None = await port.get("assessment", handover.assessment_id)
    there = outside(desk, handover.ledger_id)
    agreement = await agreement_on(there, desk.organization)
    if assessment is None or agreement is None:
        raise Later(desk.now_ms() + LEDGER_ABSENT_MS)
    if assessment.valid_until_ms <= desk.now_ms():
        return None  # SCO decides anew
    rules = await rules_on(port)
    markups = _own_markups(desk, handover.inquiry.buyer, assessment, rules)
    form = _form(desk, handover)
    items, bundle = _prices(desk, handover, assessment, rules, markups, agreement.terms, form)
    terms = agreement.terms
    one_time, over_term = totals(items, handover.inquiry, terms.currency, terms.rounding, bundle)
    quote = IssueQuote(
        inquiry_id=handover.inquiry.id,
        level=_level(handover.inquiry.level, items),
        valid_until_ms=min(await _valid_until_ms(desk, there, handover, rules), assessment.valid_until_ms),
        items=items,
        one_time_total=one_time,
        term_total=over_term,
        form=form,
        bundle=bundle,
        change_answer=assessment.change_answer,
        master_id=handover.inquiry.master_id,
    )
    return ReleaseQuote(handover_id=handover.id, quote=quote, salt=desk.salt(), markups=markups)


async def _valid_until_ms(desk: Desk, there: LedgerPort, handover: InquiryHandover, rules: SourcingRules) -> int:
    """As long as policy says after the buyer's window, within what the buyer's ledger takes. Req: Q-49.

    A buyer that asks others too may wait for them until then: a quote that ends before is none.
    """
    now_ms = desk.now_ms()
    wanted_ms = desk.policies.quote_validity_ms(handover.inquiry.buyer, rules)
    ledger: Any = await there.get("sys", RULES_ID)
    longest_ms: int = ledger.parameters.window_max_ms
    return min(max(now_ms, handover.respond_by_ms) + wanted_ms, now_ms + longest_ms - CLOCKS_DIFFER_MS)


def _own_markups(desk: Desk, buyer: str, assessment: Assessment, rules: SourcingRules) -> tuple[OfferingMarkup, ...]:
    """Where the policy has another mark-up than the rules."""
    found = []
    for offering in sorted(dict.fromkeys(item.offering for item in assessment.items)):
        points = max(0, desk.policies.markup_basis_points(offering, buyer, rules))
        if points != markup_of(rules, offering):
            found.append(OfferingMarkup(offering=offering, basis_points=points))
    return tuple(found)


def _form(desk: Desk, handover: InquiryHandover) -> QuoteForm:
    """As policy wants it; items of different terms have no price together. Req: Q-40."""
    items = handover.inquiry.items
    if any(item.term != items[0].term for item in items):
        return QuoteForm.ITEMISED
    return desk.policies.quote_form(handover.inquiry.buyer, items)


def _prices(
    desk: Desk,
    handover: InquiryHandover,
    assessment: Assessment,
    rules: SourcingRules,
    markups: tuple[OfferingMarkup, ...],
    terms: AgreementTerms,
    form: QuoteForm,
) -> tuple[tuple[QuoteItem, ...], tuple[Price, ...]]:
    """The quote's items and its bundle, at list rates less the discounts that the agreement gives. Req: Q-40, Q-43, Q-46."""
    asked = handover.inquiry.items

    def net(prices: tuple[Price, ...], sold: tuple[InquiryItem, ...]) -> tuple[Price, ...]:
        return tuple(
            with_discount(price, rule_for(price, sold, terms, desk.organization, len(asked))) for price in prices
        )

    listed = [list_prices(item, rules, markups, handover.currency) for item in assessment.items]
    is_bundle = form == QuoteForm.BUNDLED
    items = tuple(
        QuoteItem(
            id=item.item_id,
            prices=() if is_bundle else net(prices, (sold,)),
            subject_to_feasibility=item.subject_to_feasibility,
            installation_interval_ms=item.lead_time_ms,
        )
        for item, prices, sold in zip(assessment.items, listed, asked, strict=True)
    )
    return items, net(bundled(tuple(listed)), asked) if is_bundle else ()


def _level(asked: QuoteLevel, items: tuple[QuoteItem, ...]) -> QuoteLevel:
    """As asked, unless the parts decide it."""
    if any(item.subject_to_feasibility for item in items):
        return QuoteLevel.FIRM_SUBJECT_TO_FEASIBILITY_CHECK
    return QuoteLevel.BUDGETARY if asked == QuoteLevel.BUDGETARY else QuoteLevel.FIRM


def _waits(desk: Desk, inquiry: Inquiry) -> bool:
    return is_seller(desk, inquiry) and not inquiry.answered_at_ms


DUTIES: Final = (
    Duty(
        name="hand_over_inquiry",
        role=Role.S_BUS,
        ledger_kind="bilateral",
        kind="inquiry",
        statuses=(InquiryStatus.RECEIVED, InquiryStatus.DEEMED_UNABLE),
        owed=(InquiryStatus.DEEMED_UNABLE,),
        applies=_waits,
        submits=(HAND_OVER,),
        do=hand_over_inquiry,
    ),
    Duty(
        name="hand_over_standing",
        role=Role.S_BUS,
        ledger_kind="bilateral",
        kind="order",
        statuses=(OrderStatus.PLACED,),
        applies=is_seller,
        submits=(HAND_OVER,),
        do=hand_over_standing,
    ),
    Duty(
        name="answer_inquiry",
        role=Role.S_BUS,
        ledger_kind="internal",
        kind="inquiry_handover",
        statuses=(HandoverStatus.TO_QUOTE, HandoverStatus.TO_REFUSE),
        submits=(RELEASE, RECORD),
        do=answer_inquiry,
    ),
    Duty(
        name="settle_answer",
        role=Role.S_BUS,
        ledger_kind="internal",
        kind="release",
        statuses=(ReleaseStatus.CARRIED, ReleaseStatus.REFUSED),
        settled=(ReleaseStatus.CARRIED, ReleaseStatus.REFUSED),
        applies=lambda _desk, release: release.act in _ANSWERS,
        related=f"role/{Role.S_BUS.value}",
        submits=(RECORD,),
        do=settle_answer,
    ),
)
