"""Before anything starts: what the contracts would say to the request, and to what is bought for it.

The contracts themselves are asked, on a ledger that holds nothing but the agreement; so a request that cannot run is refused
at once, with the ledger's own words, and not after the network has come up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from ledgers.kinds import BILATERAL, contract_table
from node.sonata import QuoteContext
from scripts.story.files import Requests, inquiry_of, refused_as_unfit
from scripts.story.providers import bought_items
from scripts.story.scene import ACME, ALPHA, BRAVO
from scripts.story.terms import WHOLESALE, agreement_terms
from smartcontracts.agreement import Agreement, AgreementStatus
from smartcontracts.inquiry import Inquiry, SubmitInquiry, submit_inquiry
from smartcontracts.kernel import Block, Call, Position, Role, Sender, View
from smartcontracts.lineage import ancestors_of
from smartcontracts.parameters import Parameters

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
    for item in bought_items(inquiry.items):
        # As alpha's agents ask for it: alone.
        command = SubmitInquiry(
            seller=BRAVO,
            agreement_id=wholesale.id,
            level=inquiry.level,
            items=(replace(item, relations=()),),
            lineage_key=inquiry.lineage_key,
            ancestors=ancestors_of(inquiry.lineage_key, ALPHA, inquiry.ancestors),
        )
        _asked(command, ALPHA, wholesale)


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
