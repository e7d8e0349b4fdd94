"""Answer: what goes back to the buyer follows SCO's decision, priced as the organization's own rules say.

Q-43 discounts go on top of these list rates, on the buyer's ledger, which recomputes them; Q-45 no quote without a positive
decision, and none but SCO's reason; Q-46 cost and mark-up make the list rates, and neither leaves this ledger; Q-05 a quote
that the other ledger refuses becomes 'Unable to Quote'.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from smartcontracts.agreement import PriceType
from smartcontracts.inquiry import DeclareUnable
from smartcontracts.internal.assessment import INCLUDED, AssessedItem, Assessment, assessment_of, summed
from smartcontracts.internal.handover import (
    INQUIRY_HANDOVER,
    LIFECYCLE,
    HandoverStatus,
    InquiryHandover,
    require_handover,
    reusable,
)
from smartcontracts.internal.release import RELEASE, Release, ReleaseStatus, open_release, opened
from smartcontracts.internal.rules import (
    MARKUPS_MAX,
    OfferingMarkup,
    SourcingRules,
    marked_up,
    markup_of,
    require_markups,
    rules_of,
)
from smartcontracts.kernel import (
    Call,
    Contract,
    Event,
    Grpc,
    MessageType,
    Outcome,
    Rejected,
    Role,
    WrongStatus,
    step,
)
from smartcontracts.money import Rate
from smartcontracts.quote import IssueQuote
from smartcontracts.trade import Price, QuoteForm

REFUSED_THERE: Final = "QUOTE_REFUSED"


class AnswerReleased(Rejected):
    """The answer is released, and what became of it is not recorded yet."""

    code = 6007


class AnswerNotCarried(Rejected):
    """No answer is released, or its carrier has not said what became of it."""

    code = 6008


class OtherInquiry(Rejected):
    """The quote answers another inquiry, or not its items (Q-45)."""

    code = 6009
    grpc = Grpc.INVALID_ARGUMENT


class MarkupWrong(Rejected):
    """A list rate is not cost and mark-up (Q-46)."""

    code = 6010


class BeyondSupply(Rejected):
    """The quote promises more than what it rests on: a longer validity, a shorter lead time, or a firmer word."""

    code = 6011


class ChangeAnswerUnsupported(Rejected):
    """The answer on outage is not the one that the chosen parts give (C-08)."""

    code = 6012


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseQuote:
    """Answer with a quote. `markups` stand in for the rules' where the policy has others."""

    handover_id: str
    quote: IssueQuote
    salt: bytes
    markups: tuple[OfferingMarkup, ...] = field(default=(), metadata={"list_max": MARKUPS_MAX})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseUnable:
    """Answer 'Unable to Quote', with the decision's reason."""

    handover_id: str
    salt: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAnswer:
    """Take note of what became of the answer."""

    handover_id: str


def release_quote(command: ReleaseQuote, call: Call) -> Outcome:
    """Let the quote out. Req: Q-44, Q-45, Q-46.

    Rejects with the first of: HandoverUnknown, WrongStatus, AnswerReleased, OtherInquiry, MarkupInvalid, MarkupWrong,
    BeyondSupply, ChangeAnswerUnsupported, SaltInvalid.
    """
    handover = require_handover(command.handover_id, call.view)
    if handover.status != HandoverStatus.TO_QUOTE:
        raise WrongStatus(f"SCO has not decided to quote: the status is {handover.status.value}.", "status")
    _require_unreleased(handover)
    assessment = assessment_of(handover, call.view)
    if assessment is None:
        raise LookupError(handover.id)  # a decision to quote without its assessment is a bug of ours
    _require_priced(command, handover, assessment, rules_of(call.view))
    _require_supply(command.quote, assessment)
    if command.quote.change_answer != assessment.change_answer:
        raise ChangeAnswerUnsupported("Say of an outage what the chosen parts say.", "quote.change_answer")
    release = _release(call, handover, "issue_quote", command.quote, command.salt)
    released = replace(
        handover,
        status=step(LIFECYCLE, handover.status, "release"),
        release_id=release.id,
        quote_valid_until_ms=command.quote.valid_until_ms,
        markups=command.markups,
    )
    return Outcome(writes=(released,), events=(Event("inquiry_handover.quote_released", released),)).then(
        opened(release)
    )


def release_unable(command: ReleaseUnable, call: Call) -> Outcome:
    """Let 'Unable to Quote' out. Req: Q-45.

    Rejects with the first of: HandoverUnknown, WrongStatus, AnswerReleased, SaltInvalid.
    """
    handover = require_handover(command.handover_id, call.view)
    if handover.status != HandoverStatus.TO_REFUSE:
        raise WrongStatus(f"SCO has not decided to refuse: the status is {handover.status.value}.", "status")
    _require_unreleased(handover)
    unable = DeclareUnable(inquiry_id=handover.inquiry.id, reason=handover.reason)
    release = _release(call, handover, "declare_unable", unable, command.salt)
    released = replace(handover, status=step(LIFECYCLE, handover.status, "release"), release_id=release.id)
    return Outcome(writes=(released,), events=(Event("inquiry_handover.unable_released", released),)).then(
        opened(release)
    )


def record_answer(command: RecordAnswer, call: Call) -> Outcome:
    """Close the handover, or refuse the inquiry after its ledger refused the quote. Req: Q-05, Q-20.

    Rejects with the first of: HandoverUnknown, AnswerNotCarried.
    """
    handover = require_handover(command.handover_id, call.view)
    release = call.view.get(RELEASE, handover.release_id) if handover.release_id else None
    decided = handover.status in (HandoverStatus.TO_QUOTE, HandoverStatus.TO_REFUSE)
    if not decided or release is None or release.status not in (ReleaseStatus.CARRIED, ReleaseStatus.REFUSED):
        raise AnswerNotCarried("The answer's carrier has not said yet what became of it.", "handover_id")
    recorded = _recorded(handover, release, call.block.time_ms)
    name = f"inquiry_handover.{recorded.status.value}"
    return Outcome(writes=(recorded, *reusable(recorded, call.ledger_id)), events=(Event(name, recorded),))


def list_prices(
    item: AssessedItem, rules: SourcingRules, markups: tuple[OfferingMarkup, ...] = (), currency: str = ""
) -> tuple[Price, ...]:
    """What an item costs the buyer before discounts; one that costs nothing of its own is included. Req: Q-46.

    `currency` is for the latter, which has no rate to tell it. Rates are rounded half up to billionths.
    """
    points = next(
        (one.basis_points for one in markups if one.offering == item.offering), markup_of(rules, item.offering)
    )
    marked = tuple(
        replace(price, rate=Rate(marked_up(price.rate.nano, points), price.rate.currency)) for price in item.cost
    )
    return marked or (Price(price_type=PriceType.NON_RECURRING, rate=Rate(0, currency), name=INCLUDED),)


def _require_unreleased(handover: InquiryHandover) -> None:
    if handover.release_id:
        raise AnswerReleased("The answer is on its way.", "handover_id")


def _release(
    call: Call, handover: InquiryHandover, act: str, command: IssueQuote | DeclareUnable, salt: bytes
) -> Release:
    return open_release(
        call,
        0,
        role=Role.S_BUS,
        act=act,
        ledger_id=handover.ledger_id,
        subject_kind=INQUIRY_HANDOVER.name,
        subject_id=handover.id,
        command_record=command,
        salt=salt,
    )


def _require_priced(
    command: ReleaseQuote, handover: InquiryHandover, assessment: Assessment, rules: SourcingRules
) -> None:
    """Rejects with OtherInquiry, MarkupInvalid, MarkupWrong. Req: Q-46."""
    quote = command.quote
    given = {item.id: item for item in quote.items}
    if quote.inquiry_id != handover.inquiry.id or len(given) != len(quote.items):
        raise OtherInquiry("Answer this inquiry, each item once.", "quote.inquiry_id")
    if sorted(given) != sorted(item.item_id for item in assessment.items):
        raise OtherInquiry("Answer each item of the inquiry.", "quote.items")
    require_markups(command.markups)
    expected = {item.item_id: list_prices(item, rules, command.markups, handover.currency) for item in assessment.items}
    if quote.form == QuoteForm.BUNDLED:
        bundle = bundled(tuple(expected.values()))
        if _list_rates(quote.bundle) != _list_rates(bundle):
            raise MarkupWrong("The bundle's list rates are cost and mark-up of all items.", "quote.bundle")
        return
    for place, item in enumerate(quote.items):
        if _list_rates(item.prices) != _list_rates(expected[item.id]):
            raise MarkupWrong(
                "The list rates are cost and mark-up, by type, period and unit.", f"quote.items[{place}].prices"
            )


def bundled(items: tuple[tuple[Price, ...], ...]) -> tuple[Price, ...]:
    """The list prices of all items in one. Req: Q-40."""
    every = summed(tuple(price for prices in items for price in prices if price.name != INCLUDED))
    return every or items[0]


def _list_rates(prices: tuple[Price, ...]) -> list[tuple[str, int, str, str, int, str]]:
    rates = [(price, price.list_rate or price.rate) for price in prices]
    return sorted(
        (price.price_type.value, price.period_ms, price.period_label.value, price.unit, rate.nano, rate.currency)
        for price, rate in rates
    )


def _require_supply(quote: IssueQuote, assessment: Assessment) -> None:
    """Rejects with BeyondSupply."""
    if quote.valid_until_ms > assessment.valid_until_ms:
        raise BeyondSupply(f"What it rests on ends at {assessment.valid_until_ms}.", "quote.valid_until_ms")
    items = {item.item_id: item for item in assessment.items}
    for place, item in enumerate(quote.items):
        assessed = items[item.id]
        if item.installation_interval_ms < assessed.lead_time_ms:
            raise BeyondSupply(
                f"Its parts take {assessed.lead_time_ms} ms.", f"quote.items[{place}].installation_interval_ms"
            )
        if assessed.subject_to_feasibility and not item.subject_to_feasibility:
            raise BeyondSupply(
                "One of its parts is subject to feasibility.", f"quote.items[{place}].subject_to_feasibility"
            )


def _recorded(handover: InquiryHandover, release: Release, now_ms: int) -> InquiryHandover:
    carried = release.status == ReleaseStatus.CARRIED
    status = step(LIFECYCLE, handover.status, "answered" if carried else "refused_there")
    if not carried:
        # The refusal's name is a word in capitals and tells why; the buyer learns only that there is no quote.
        return replace(
            handover, status=status, reason=REFUSED_THERE, release_id="", quote_valid_until_ms=0, answered_at_ms=now_ms
        )
    return replace(handover, status=status, answer_id=release.outcome_id, answered_at_ms=now_ms)


CONTRACT: Final = Contract(
    name="answer",
    messages=(
        MessageType(name="release_quote", command=ReleaseQuote, handler=release_quote, roles=(Role.S_BUS,), gas=1_500),
        MessageType(name="release_unable", command=ReleaseUnable, handler=release_unable, roles=(Role.S_BUS,)),
        MessageType(name="record_answer", command=RecordAnswer, handler=record_answer, roles=(Role.S_BUS,)),
    ),
)
