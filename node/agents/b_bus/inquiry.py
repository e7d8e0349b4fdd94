"""B-BUS and inquiries: asks sellers for what is to be bought, and brings their answers home. Req: Q-11, Q-29..Q-37."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from node.agents.desk import Desk
from node.agents.duties import Duty, is_buyer
from node.agents.inquiries import (
    agreement_on,
    part_of,
    rules_on,
    score_for,
    scores_on,
    submit_unless_overtaken,
)
from node.agents.policies import BUYS_ONLY, RankedQuote, Seller
from node.agents.ports import LedgerPort, Outward, Refused
from smartcontracts.agreement import Agreement
from smartcontracts.catalogue import OfferingStatus
from smartcontracts.codec import encode
from smartcontracts.inquiry import Inquiry, InquiryStatus
from smartcontracts.internal.counterparty import Counterparty, counterparty_id
from smartcontracts.internal.decomposition import Decomposition, Element
from smartcontracts.internal.handover import HandoverStatus, InquiryHandover
from smartcontracts.internal.ranking import LATE, Preference, RankQuotes, ranked
from smartcontracts.internal.release import Release, ReleaseStatus
from smartcontracts.internal.sourcing import (
    AskedOutcome,
    AskedSeller,
    CloseAsking,
    DeclareUnsourced,
    PassedOver,
    Purpose,
    ReceivedQuote,
    RecordResponse,
    ReleaseInquiry,
    ReleaseLateQuote,
    Sourcing,
    SourcingStatus,
    received_quote_id_of,
)
from smartcontracts.kernel import Role
from smartcontracts.lineage import pseudonym
from smartcontracts.quote import Quote, QuoteStatus
from smartcontracts.service import Service

ASK: Final = "ask"
RECORD: Final = "record"
NO_SELLER: Final = "NO_SELLER"
LOOP: Final = "LOOP"
WINDOW_TOO_SHORT: Final = "WINDOW_TOO_SHORT"
NO_AGREEMENT: Final = "NO_AGREEMENT"
NOT_CHOSEN: Final = "NOT_CHOSEN"
# Who is passed over is named with the reason, as many as one list holds.
PASSED_OVER_MAX: Final = 1_000
QUOTE_TOO_LARGE: Final = "QUOTE_TOO_LARGE"
# A copy must go into a transaction with what it is recorded by. Nobody who sells needs so much; it keeps nobody else from counting.
QUOTE_BYTES_MAX: Final = 256 * 1024
# A copy has no height before it is recorded; it ranks as the latest then.
_NO_HEIGHT: Final = 2**62


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A seller that may be asked, and under which agreement."""

    seller: Seller
    agreement_id: str
    scores: Mapping[str, int]

    def scored(self, offering: str) -> Seller:
        """The seller with its score for an offering."""
        return replace(self.seller, score_tenths=score_for(self.scores, offering))


async def ask_sellers(desk: Desk, port: LedgerPort, sourcing: Sourcing) -> None:
    """Ask the sellers that policy chooses, each for what hangs together; what nobody can be asked for is unsourced. Req: Q-29, Q-30."""
    decomposition: Decomposition | None = await port.get("decomposition", sourcing.decomposition_id)
    if decomposition is None:
        return
    wanted = {one.element_id for one in sourcing.elements if not one.unsourced_reason}
    elements = tuple(element for element in decomposition.elements if element.id in wanted)
    candidates, barred = await _candidates(desk, sourcing, elements)
    chosen: dict[str, tuple[_Candidate, list[Element]]] = {}
    unsourced = []
    for element in elements:
        sellers = tuple(candidate.scored(element.offering) for candidate in candidates)
        picked = {one.ledger_id for one in desk.policies.sellers(part_of(element), sellers)}
        if element.service_id:
            picked = await _holders(desk, element)
        for candidate in candidates:
            if candidate.seller.ledger_id in picked:
                chosen.setdefault(candidate.seller.ledger_id, (candidate, []))[1].append(element)
        if not any(candidate.seller.ledger_id in picked for candidate in candidates):
            unsourced.append(element.id)
    acts = list(_asks(desk, sourcing, chosen.values()))
    if unsourced:
        reason = NO_SELLER if candidates else _unsourced_reason(barred)
        unable = DeclareUnsourced(sourcing_id=sourcing.id, element_ids=tuple(unsourced), reason=reason)
        acts.append(Outward("declare_unsourced", unable))
    asked = {*chosen, *(one.ledger_id for one in sourcing.asked)}
    left = [candidate for candidate in candidates if candidate.seller.ledger_id not in asked]
    passed_over = (*barred, *_passed_over(desk, left, elements))[:PASSED_OVER_MAX]
    acts.append(Outward("close_asking", CloseAsking(sourcing_id=sourcing.id, passed_over=passed_over)))
    if not chosen and not sourcing.asked:
        acts.append(Outward("rank_quotes", RankQuotes(sourcing_id=sourcing.id)))
    await submit_unless_overtaken(port, acts, purpose=ASK)


async def collect_responses(desk: Desk, port: LedgerPort, sourcing: Sourcing) -> None:
    """Bring home what sellers have answered, once all have or the window is over, and rank it. Req: Q-33, Q-34, Q-36."""
    if sourcing.status == SourcingStatus.OPEN:
        return
    news: list[tuple[AskedSeller, tuple[RecordResponse, ...]]] = []
    async for asked, responses in _news(desk, port, sourcing):
        if sourcing.status == SourcingStatus.ASKED and asked.outcome == AskedOutcome.WAITING and not responses:
            return  # one that is waited for is enough: the others need no look
        news.append((asked, responses))
    acts = [Outward("record_response", response) for _, responses in news for response in responses]
    received = await _received(port, sourcing, news)
    taken = await _late_to_take(desk, port, sourcing, received)
    acts.extend(
        Outward("release_late_quote", ReleaseLateQuote(received_quote_id=one, salt=desk.salt())) for one in taken
    )
    if not taken and await _is_to_rank(port, sourcing, acts):
        preferences = await _preferences(desk, port, sourcing, received)
        await _rank(port, sourcing, acts, preferences)
    elif acts:
        await submit_unless_overtaken(port, acts, purpose=RECORD)


async def _rank(port: LedgerPort, sourcing: Sourcing, acts: list[Outward], preferences: tuple[Preference, ...]) -> None:
    """Record and rank; if policy prefers what can't be preferred, without it: the buyer still gets an answer. Req: Q-05."""
    rank = RankQuotes(sourcing_id=sourcing.id, preferences=preferences)
    try:
        await submit_unless_overtaken(port, [*acts, Outward("rank_quotes", rank)], purpose=RECORD)
    except Refused as refused:
        if refused.detail.transient or not preferences:
            raise
        current: Sourcing | None = await port.get("sourcing", sourcing.id)
        if current is not None:
            known = {one.inquiry_id for one in current.asked if one.outcome != AskedOutcome.WAITING}
            left = [act for act in acts if getattr(act.command, "inquiry_id", "") not in known]
            plain = RankQuotes(sourcing_id=sourcing.id)
            await submit_unless_overtaken(port, [*left, Outward("rank_quotes", plain)], purpose=RECORD)


async def collect_of_inquiry(desk: Desk, _port: LedgerPort, inquiry: Inquiry) -> None:
    """A seller is unable or its window is over: look at the sourcing that the inquiry belongs to."""
    internal = desk.internal
    for sourcing in await internal.list("sourcing", related=inquiry.id):
        await collect_responses(desk, internal, sourcing)


async def collect_of_quote(desk: Desk, _port: LedgerPort, quote: Quote) -> None:
    """A seller has quoted, in time or late, or its late quote was taken: as `collect_of_inquiry`."""
    internal = desk.internal
    for sourcing in await internal.list("sourcing", related=quote.inquiry_id):
        await collect_responses(desk, internal, sourcing)


async def collect_of_release(desk: Desk, port: LedgerPort, release: Release) -> None:
    """An inquiry was refused by its ledger, or a late quote could not be taken: nobody answers that any more."""
    subject = release.subject_id
    if release.act == "take_late_quote":
        received: ReceivedQuote | None = await port.get("received_quote", release.subject_id)
        subject = "" if received is None else received.sourcing_id
    sourcing: Sourcing | None = await port.get("sourcing", subject) if subject else None
    if sourcing is not None:
        await collect_responses(desk, port, sourcing)


async def _candidates(
    desk: Desk, sourcing: Sourcing, elements: tuple[Element, ...]
) -> tuple[tuple[_Candidate, ...], tuple[PassedOver, ...]]:
    """Who may be asked, in order of ledger ids, and why others may not. Req: Q-08, Q-11."""
    upstream = (*sourcing.ancestors, pseudonym(sourcing.lineage_key, desk.organization))
    left_ms = sourcing.respond_by_ms - desk.now_ms()
    found, barred = [], []
    for ledger_id in sorted(desk.bilateral):
        other = desk.counterparty(ledger_id)
        agreement = await agreement_on(desk.bilateral[ledger_id], desk.organization)
        if agreement is None:
            reason = NO_AGREEMENT
        elif agreement.terms.only_seller not in ("", other):
            reason = BUYS_ONLY
        elif pseudonym(sourcing.lineage_key, other) in upstream:
            reason = LOOP
        elif left_ms < agreement.terms.response_window_min_ms:
            reason = WINDOW_TOO_SHORT
        else:
            found.append(await _candidate(desk, sourcing, ledger_id, agreement, elements))
            continue
        barred.append(PassedOver(ledger_id=ledger_id, seller=other, reason=reason))
    return tuple(found), tuple(barred)


async def _candidate(
    desk: Desk, sourcing: Sourcing, ledger_id: str, agreement: Agreement, elements: tuple[Element, ...]
) -> _Candidate:
    """The other party of a ledger, with what is known of it as a seller; reading that takes the same however long they have traded."""
    other, outside = desk.counterparty(ledger_id), desk.bilateral[ledger_id]
    known_id = counterparty_id(desk.internal.id, ledger_id)
    known: Counterparty | None = await desk.internal.get("counterparty", known_id)
    scores = await scores_on(outside, other)
    has_sold = bool(scores) or (known is not None and known.answers > 0)
    seller = Seller(
        organization=other,
        ledger_id=ledger_id,
        sells=has_sold or agreement.terms.only_seller == other or await _offers(outside, other, elements),
        buys=known is not None and known.buys,
        silences=0 if known is None else known.silences,
        # By the ledger's clock, so that the same is asked after a crash.
        silent_for_ms=0 if known is None else max(0, sourcing.requested_at_ms - known.silent_at_ms),
    )
    return _Candidate(seller, agreement.id, scores)


async def _offers(outside: LedgerPort, seller: str, elements: tuple[Element, ...]) -> bool:
    """Whether one of the offerings stands in the seller's catalogue: of each there is one version at most."""
    for offering in dict.fromkeys(element.offering for element in elements):
        if await outside.list("offering", status=OfferingStatus.PUBLISHED, party=seller, offering=offering):
            return True
    return False


def _unsourced_reason(barred: tuple[PassedOver, ...]) -> str:
    """Why there is nobody to ask, the reason that more time would mend first. Req: Q-30."""
    reasons = [one.reason for one in barred]
    return next((one for one in (WINDOW_TOO_SHORT, LOOP) if one in reasons), NO_SELLER)


def _passed_over(desk: Desk, left: list[_Candidate], elements: tuple[Element, ...]) -> Iterator[PassedOver]:
    """Why policy asks these for nothing, in the words that it has for the first element."""
    for candidate in left:
        seller, reason = candidate.seller, ""
        if elements:
            reason = desk.policies.passes_over(part_of(elements[0]), candidate.scored(elements[0].offering))
        yield PassedOver(ledger_id=seller.ledger_id, seller=seller.organization, reason=reason or NOT_CHOSEN)


async def _holders(desk: Desk, element: Element) -> set[str]:
    """The ledger of the seller that has an element in operation: nobody else can change it. Req: C-07."""
    found = set()
    for ledger_id, port in desk.bilateral.items():
        service: Service | None = await port.get("service", element.service_id)
        if service is not None and service.buyer == desk.organization:
            found.add(ledger_id)
    return found


def _asks(desk: Desk, sourcing: Sourcing, chosen: Iterable[tuple[_Candidate, list[Element]]]) -> Iterator[Outward]:
    """One inquiry for each group of related elements at the first attempt; after that, one for each element."""
    ancestors = (*sourcing.ancestors, pseudonym(sourcing.lineage_key, desk.organization))
    asked = {(one.ledger_id, element_id) for one in sourcing.asked for element_id in one.element_ids}
    for candidate, elements in chosen:
        ledger_id = candidate.seller.ledger_id
        left = [element for element in elements if (ledger_id, element.id) not in asked]
        for group in _groups(left, together=sourcing.attempt == 1):
            ask = ReleaseInquiry(
                sourcing_id=sourcing.id,
                ledger_id=ledger_id,
                seller=candidate.seller.organization,
                agreement_id=candidate.agreement_id,
                element_ids=tuple(element.id for element in group),
                ancestors=ancestors,
                respond_by_ms=sourcing.respond_by_ms,
                salt=desk.salt(),
            )
            yield Outward("release_inquiry", ask)


def _groups(elements: list[Element], *, together: bool) -> list[list[Element]]:
    """Elements in the order of their first ones: all of one service that changes, and of the others those that relations
    join, in either direction, if they are to be asked for `together`.
    """
    group = {element.id: {element.id} for element in elements}
    services: dict[str, str] = {}

    def join(one: str, other: str) -> None:
        if group[one] is not group[other]:
            joined = group[one] | group[other]
            group.update(dict.fromkeys(joined, joined))

    for element in elements:
        if element.service_id:
            join(element.id, services.setdefault(element.service_id, element.id))
        for other in element.depends_on if together else ():
            known = next((one for one in elements if one.id == other), None)
            if known is not None and known.service_id == element.service_id:
                join(element.id, other)
    groups: dict[int, list[Element]] = {}
    for element in elements:
        groups.setdefault(id(group[element.id]), []).append(element)
    return list(groups.values())


async def _news(desk: Desk, port: LedgerPort, sourcing: Sourcing) -> Any:
    """(asked, what is to record of it) for every seller whose answer is not, or not all, recorded."""
    for asked in sourcing.asked:
        outside = desk.bilateral.get(asked.ledger_id)
        if asked.outcome not in (AskedOutcome.WAITING, AskedOutcome.DEEMED, AskedOutcome.LATE):
            continue
        inquiry: Inquiry | None = None if outside is None else await outside.get("inquiry", asked.inquiry_id)
        if outside is None or inquiry is None:
            yield asked, await _refused(port, sourcing, asked)
        else:
            yield asked, await _responses(outside, sourcing, asked, inquiry)


async def _refused(port: LedgerPort, sourcing: Sourcing, asked: AskedSeller) -> tuple[RecordResponse, ...]:
    """The seller's ledger refused the inquiry: nobody was asked."""
    release: Release | None = await port.get("release", asked.release_id)
    if asked.outcome != AskedOutcome.WAITING or release is None or release.status != ReleaseStatus.REFUSED:
        return ()
    return (_response(sourcing, asked, AskedOutcome.REFUSED, release.refusal_name),)


async def _responses(
    outside: LedgerPort, sourcing: Sourcing, asked: AskedSeller, inquiry: Inquiry
) -> tuple[RecordResponse, ...]:
    waiting = asked.outcome == AskedOutcome.WAITING
    if inquiry.status == InquiryStatus.QUOTED and waiting:
        return (await _with_quote(outside, sourcing, asked, AskedOutcome.QUOTED, inquiry.quote_id),)
    if inquiry.status == InquiryStatus.UNABLE and asked.outcome != AskedOutcome.LATE:
        return (_response(sourcing, asked, AskedOutcome.UNABLE, inquiry.unable_reason),)
    found = []
    if inquiry.late_quote_id and asked.outcome != AskedOutcome.LATE:
        found.append(await _with_quote(outside, sourcing, asked, AskedOutcome.LATE, inquiry.late_quote_id))
    if inquiry.status == InquiryStatus.LATE_QUOTED:
        found.append(_response(sourcing, asked, AskedOutcome.LATE_TAKEN))
    if inquiry.status == InquiryStatus.DEEMED_UNABLE and waiting and not found:
        found.append(_response(sourcing, asked, AskedOutcome.DEEMED))
    return tuple(found)


def _response(sourcing: Sourcing, asked: AskedSeller, outcome: AskedOutcome, reason: str = "") -> RecordResponse:
    return RecordResponse(sourcing_id=sourcing.id, inquiry_id=asked.inquiry_id, outcome=outcome, reason=reason)


async def _with_quote(
    outside: LedgerPort, sourcing: Sourcing, asked: AskedSeller, outcome: AskedOutcome, quote_id: str
) -> RecordResponse:
    quote = await outside.get("quote", quote_id)
    if len(encode(quote)) > QUOTE_BYTES_MAX:
        return _response(sourcing, asked, AskedOutcome.UNABLE, QUOTE_TOO_LARGE)
    offering = await _offering(outside, asked)
    return RecordResponse(
        sourcing_id=sourcing.id,
        inquiry_id=asked.inquiry_id,
        outcome=outcome,
        quote=quote,
        score_tenths=score_for(await scores_on(outside, asked.seller), offering),
    )


async def _offering(outside: LedgerPort, asked: AskedSeller) -> str:
    """The offering by whose score a quote is ranked: that of its first item."""
    inquiry: Inquiry | None = await outside.get("inquiry", asked.inquiry_id)
    return "" if inquiry is None else inquiry.items[0].offering


async def _received(
    port: LedgerPort, sourcing: Sourcing, news: list[tuple[AskedSeller, tuple[RecordResponse, ...]]]
) -> tuple[ReceivedQuote, ...]:
    """All quotes there will be once the news are recorded."""
    known: tuple[ReceivedQuote, ...] = await port.list("received_quote", related=sourcing.id)
    found = {one.id: one for one in known}
    for asked, responses in news:
        for response in responses:
            if response.quote is not None:
                copied = _copy(port.id, sourcing, asked, response)
                found[copied.id] = copied
    return tuple(found[key] for key in sorted(found))


def _copy(internal_id: str, sourcing: Sourcing, asked: AskedSeller, response: RecordResponse) -> ReceivedQuote:
    quote = response.quote
    if quote is None:
        raise LookupError(asked.inquiry_id)
    return ReceivedQuote(
        id=received_quote_id_of(internal_id, sourcing.id, asked.ledger_id, quote.id),
        sourcing_id=sourcing.id,
        subject_id=sourcing.subject_id,
        ledger_id=asked.ledger_id,
        seller=asked.seller,
        element_ids=asked.element_ids,
        quote=quote,
        score_tenths=response.score_tenths,
        lead_time_ms=max(item.installation_interval_ms for item in quote.items),
        late=response.outcome == AskedOutcome.LATE,
        recorded_at_ms=0,
        recorded_at_height=_NO_HEIGHT,
    )


async def _late_to_take(
    desk: Desk, port: LedgerPort, sourcing: Sourcing, received: tuple[ReceivedQuote, ...]
) -> tuple[str, ...]:
    """Late quotes that policy wants, while the inquiry that they are for is undecided. Req: Q-32."""
    late = [one for one in received if one.late and not one.taken]
    decomposition: Decomposition | None = await port.get("decomposition", sourcing.decomposition_id)
    if not late or decomposition is None or not await _is_undecided(port, sourcing):
        return ()
    elements = {element.id: element for element in decomposition.elements}
    taking = {one.received_quote_id for one in sourcing.asked if one.outcome == AskedOutcome.LATE and one.reason}
    now_ms = desk.now_ms()
    handover: InquiryHandover | None = await port.get("inquiry_handover", sourcing.subject_id)
    owed_by_ms = sourcing.respond_by_ms if handover is None else handover.respond_by_ms
    return tuple(
        one.id
        for one in late
        if one.id not in taking
        and now_ms <= one.quote.valid_until_ms
        and desk.policies.take_late_quote(part_of(elements[one.element_ids[0]]), _place(one, 1), now_ms, owed_by_ms)
    )


async def _is_undecided(port: LedgerPort, sourcing: Sourcing) -> bool:
    if sourcing.purpose == Purpose.RECOVERY:
        return sourcing.status != SourcingStatus.RANKED
    handover: InquiryHandover | None = await port.get("inquiry_handover", sourcing.subject_id)
    return (
        handover is not None
        and handover.sourcing_id == sourcing.id
        and handover.status in (HandoverStatus.SOURCING, HandoverStatus.COLLECTED)
    )


async def _is_to_rank(port: LedgerPort, sourcing: Sourcing, acts: list[Outward]) -> bool:
    """Nothing is ranked twice, but for a late quote that counts now; one that is being taken is waited for."""
    if not await _is_undecided(port, sourcing):
        return False
    counts_now = {
        act.command.inquiry_id
        for act in acts
        if isinstance(act.command, RecordResponse) and act.command.outcome == AskedOutcome.LATE_TAKEN
    }
    for one in sourcing.asked:
        if one.outcome == AskedOutcome.LATE and one.reason and one.inquiry_id not in counts_now:
            releases: tuple[Release, ...] = await port.list("release", related=one.received_quote_id)
            if any(release.status != ReleaseStatus.REFUSED for release in releases):
                return False
    return sourcing.status != SourcingStatus.RANKED or bool(counts_now)


async def _preferences(
    desk: Desk, port: LedgerPort, sourcing: Sourcing, received: tuple[ReceivedQuote, ...]
) -> tuple[Preference, ...]:
    """What policy would rather have than the first in the ranking. Req: Q-35, Q-37."""
    decomposition: Decomposition | None = await port.get("decomposition", sourcing.decomposition_id)
    if decomposition is None or not received:
        return ()
    elements = {element.id: element for element in decomposition.elements}
    rules = await rules_on(port)
    groups: dict[tuple[str, ...], list[ReceivedQuote]] = {}
    for one in received:
        groups.setdefault(tuple(sorted(one.element_ids)), []).append(one)
    found = []
    for element_ids in sorted(groups):
        copies = {one.id: one for one in groups[element_ids]}
        order = ranked(tuple(copies.values()), sourcing, decomposition.elements, rules, desk.now_ms())
        usable = [one.received_quote_id for one in order if not one.remark or one.remark == LATE]
        places = tuple(_place(copies[one], rank) for rank, one in enumerate(usable, 1))
        wish = desk.policies.prefer(part_of(elements[element_ids[0]]), places) if places else None
        if wish is not None:
            found.append(Preference(received_quote_id=wish.quote_id, reason=wish.reason))
    return tuple(found)


def _place(received: ReceivedQuote, rank: int) -> RankedQuote:
    """A copy as policies see it; its id is the copy's."""
    total = received.quote.term_total
    return RankedQuote(
        quote_id=received.id,
        seller=received.seller,
        rank=rank,
        total_minor=total.minor,
        currency=total.currency,
        lead_time_ms=received.lead_time_ms,
        score_tenths=received.score_tenths,
        late=received.late,
    )


DUTIES: Final = (
    Duty(
        name="ask_sellers",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="sourcing",
        statuses=(SourcingStatus.OPEN,),
        submits=(ASK,),
        do=ask_sellers,
    ),
    Duty(
        name="collect_responses",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="sourcing",
        statuses=(SourcingStatus.ASKED, SourcingStatus.ENDED),
        owed=(SourcingStatus.ENDED,),
        submits=(RECORD,),
        do=collect_responses,
    ),
    Duty(
        name="collect_of_inquiry",
        role=Role.B_BUS,
        ledger_kind="bilateral",
        kind="inquiry",
        statuses=(InquiryStatus.UNABLE, InquiryStatus.DEEMED_UNABLE),
        settled=(InquiryStatus.UNABLE, InquiryStatus.DEEMED_UNABLE),
        applies=is_buyer,
        submits=(RECORD,),
        do=collect_of_inquiry,
    ),
    Duty(
        name="collect_of_quote",
        role=Role.B_BUS,
        ledger_kind="bilateral",
        kind="quote",
        # Also one that has expired before its news came: every answer is kept.
        statuses=(QuoteStatus.ISSUED, QuoteStatus.EXPIRED),
        # A late one may come when all was ranked, and nothing inside waits for it any more.
        owed=(QuoteStatus.ISSUED, QuoteStatus.EXPIRED),
        applies=is_buyer,
        submits=(RECORD,),
        do=collect_of_quote,
    ),
    Duty(
        name="collect_of_release",
        role=Role.B_BUS,
        ledger_kind="internal",
        kind="release",
        statuses=(ReleaseStatus.REFUSED,),
        settled=(ReleaseStatus.REFUSED,),
        applies=lambda _desk, release: release.act in ("submit_inquiry", "take_late_quote"),
        related=f"role/{Role.B_BUS.value}",
        submits=(RECORD,),
        do=collect_of_release,
    ),
)
