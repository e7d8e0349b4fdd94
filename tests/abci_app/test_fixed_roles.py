"""A ledger on which one party only sells: what its roles rule out is neither admitted nor has it a place in a block."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tendermint.abci import types_pb2 as abci

from ledgers.kinds import BILATERAL
from ledgers.transaction import Act, assemble, encode_timestamp, sign_body
from smartcontracts.agreement import AGREEMENT, AgreementUnknown, RolesFixed, TradeRole
from smartcontracts.catalogue import PublishOffering
from smartcontracts.inquiry import INQUIRY
from smartcontracts.lineage import ancestors_of
from smartcontracts.trade import QuoteForm
from tests.abci_app.support import unchanged
from tests.smartcontracts.trading import ASK, LINEAGE_KEY, SINGLE, TERMS, YEAR, once
from tests.vectors.recorder import Recorder, genesis_of_four
from tests.world import person

ACME, ALPHA = (person(name).organization for name in ("acme", "alpha"))
PUBLISH = PublishOffering(
    agreement_id="",
    offering="port",
    product=SINGLE.product,
    prices=(once(10 * 10**9),),
    form=QuoteForm.ITEMISED,
    term=YEAR,
    installation_interval_ms=0,
    quote_validity_ms=60_000,
    valid_until_ms=0,
)


def shop(**terms):
    """A ledger of acme and alpha with these terms, and the agreement."""
    ledger = Recorder(genesis_of_four(BILATERAL), names=("acme", "alpha"))
    done = ledger.agree("acme", "alpha", "agreement_terms", replace(TERMS, **terms))
    found = next(d.id for d in done.documents if d.kind == "agreement")
    return ledger, ledger.application.committed.view.get(AGREEMENT, found)


def asking(agreement, buyer, seller):
    return replace(
        ASK,
        agreement_id=agreement.id,
        seller=person(seller).organization,
        items=(SINGLE,),
        ancestors=ancestors_of(LINEAGE_KEY, person(buyer).organization),
    )


def raw_of(ledger, who, name, command):
    body = ledger.body([Act(name=name, command=command)], person(who).signer)
    return assemble(body, [sign_body(ledger.ledger_id, body, person(who).key)])


@pytest.mark.req("L-01", "L-16")
@pytest.mark.parametrize("retail", [True, False])
@pytest.mark.parametrize("name", ["submit_inquiry", "publish_offering"])
def test_invalid_trade_with_the_roles_swapped_is_refused_by_checktx_and_in_blocks(name, retail):
    ledger, agreement = shop(only_seller=ALPHA, retail_customer=ACME if retail else "")
    ledger.made("acme", "submit_inquiry", asking(agreement, "acme", "alpha"), "inquiry")
    ledger.made("alpha", "publish_offering", replace(PUBLISH, agreement_id=agreement.id), "offering")
    if name == "submit_inquiry":
        raw = raw_of(ledger, "alpha", name, asking(agreement, "alpha", "acme"))
    else:
        raw = raw_of(ledger, "acme", name, replace(PUBLISH, agreement_id=agreement.id))
    for application in ledger.consensus.applications.values():
        answer = application.check_tx(abci.RequestCheckTx(tx=raw))
        assert (answer.code, answer.log.partition(":")[0]) == (RolesFixed.code, "ROLES_FIXED")
    ledger.clock.now_ms += 10
    txs = [encode_timestamp(ledger.ledger_id, ledger.clock()), raw]
    with unchanged(ledger):
        assert not any(ledger.consensus.ask(who, txs) for who in ledger.consensus.up)
        block = ledger.consensus.decide(txs)
    assert [result.code for result in block.results] == [0, RolesFixed.code]
    assert len(ledger.application.committed.view.find(INQUIRY, "party", ACME, 5)) == 1


@pytest.mark.req("L-13", "L-17")
def test_where_both_may_sell_both_are_admitted():
    ledger, agreement = shop()
    for buyer, seller in (("acme", "alpha"), ("alpha", "acme")):
        ledger.made(buyer, "submit_inquiry", asking(agreement, buyer, seller), "inquiry")
        ledger.made(seller, "publish_offering", replace(PUBLISH, agreement_id=agreement.id), "offering")


def test_what_names_no_agreement_is_admitted_and_refused_by_its_contract():
    ledger, agreement = shop(only_seller=ALPHA)
    wrong = asking(replace(agreement, id="agr_none"), "alpha", "acme")
    ledger.do("alpha", "submit_inquiry", wrong, code=AgreementUnknown.code)


@pytest.mark.req("L-01", "L-02", "L-06")
def test_what_the_parties_are_is_read_from_the_agreement():
    _, agreement = shop(only_seller=ALPHA, retail_customer=ACME)
    assert {one.organization: one.roles for one in agreement.roles} == {
        ACME: (TradeRole.RETAIL_CUSTOMER,),
        ALPHA: (TradeRole.RETAIL_SELLER,),
    }
