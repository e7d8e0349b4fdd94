"""Before anything starts: what the contracts would say to the request, to what is bought for it, and to the prices.

The contracts themselves are asked, on a ledger that holds nothing but the agreement; so a request that cannot run is refused
at once, with the ledger's own words, and not after the network has come up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final, cast

from ledgers.kinds import BILATERAL, contract_table
from node.pricebook import draft_quote
from node.sonata import QuoteContext
from node.sourcing import bought_items, inquiries_to
from scripts.story.files import Requests, inquiry_of, refused_as_unfit
from scripts.story.scene import ACME, ALPHA, BRAVO
from scripts.story.terms import QUOTE_VALIDITY_MS, WHOLESALE, agreement_terms, price_book
from smartcontracts.agreement import Agreement, AgreementStatus
from smartcontracts.inquiry import Inquiry, SubmitInquiry, submit_inquiry
from smartcontracts.kernel import Block, Call, Position, Role, Sender, View
from smartcontracts.lineage import ancestors_of
from smartcontracts.parameters import Parameters
from smartcontracts.quote import IssueQuote, QuoteItem

_SALT: Final = bytes(32)


def check(requests: Requests) -> None:
    """Raises FileUnfit for a request that the ledgers would refuse."""
    refused_as_unfit(requests.quote_from, _check, requests)


def _check(requests: Requests) -> None:
    retail, wholesale = _agreement(requests.agreement, ACME, ALPHA), _agreement(WHOLESALE, ALPHA, BRAVO)
    context = QuoteContext(
        seller=ALPHA,
        agreement_id=retail.id,
        agreement_name=requests.agreement,
        lineage_key=_SALT,
        ancestors=ancestors_of(_SALT, ACME),
    )
    inquiry = _asked(inquiry_of(requests.quote, context, _SALT).command, ACME, retail)
    bought = bought_items(inquiry.items)
    supplied: dict[str, QuoteItem | None] = {}
    for command in inquiries_to(inquiry, bought, buyer=ALPHA, seller=BRAVO, agreement_id=wholesale.id):
        quoted = _priced(_asked(command, ALPHA, wholesale), wholesale, BRAVO)
        supplied |= {item.id: item for item in quoted.items}
    _priced(inquiry, retail, ALPHA, supplied)


def _asked(command: SubmitInquiry, buyer: str, agreement: Agreement) -> Inquiry:
    """The inquiry that the contract would write. Rejects as the contract."""
    sender = Sender(organization=buyer, member=buyer, roles=(Role.B_BUS,), position=Position.PARTY)
    call = Call(
        view=cast("View", _OneAgreement(agreement)),
        block=Block(1, _now_ms()),
        ledger_id="",
        ledger_kind=BILATERAL,
        sender=sender,
        signers=(sender,),
        transaction_id=bytes(32),
        message_index=0,
        cause=None,
        parameters=Parameters(),
        table=contract_table(BILATERAL, 1),
    )
    return cast("Inquiry", submit_inquiry(command, call).writes[0])


def _priced(
    inquiry: Inquiry, agreement: Agreement, seller: str, supplied: dict[str, QuoteItem | None] | None = None
) -> IssueQuote:
    valid_until_ms = _now_ms() + QUOTE_VALIDITY_MS
    return draft_quote(inquiry, agreement.terms, price_book(seller), valid_until_ms, supplied or {})


@dataclass(frozen=True, slots=True)
class _OneAgreement:
    """A ledger's state with nothing but an agreement."""

    agreement: Agreement

    def get(self, _: Any, document_id: str) -> Agreement | None:
        return self.agreement if document_id == self.agreement.id else None

    def find(self, *_: Any) -> tuple[Any, ...]:
        return ()


def _agreement(name: str, *parties: str) -> Agreement:
    return Agreement(
        id=f"agreement of {' and '.join(parties)}",
        status=AgreementStatus.ACTIVE,
        parties=tuple(sorted(parties)),
        terms=agreement_terms(name, parties),
        terms_version=1,
        proposal_id="",
        in_force_from_ms=0,
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
