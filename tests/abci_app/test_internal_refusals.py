"""Bad input to an internal ledger's contracts, through the application: its own code, and nothing left behind.

`tests.vectors.twin` runs every block in memory and on the application; both must refuse alike.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from unittest import mock

import pytest

from smartcontracts.internal import answer as a
from smartcontracts.internal import assessment as s
from smartcontracts.internal import decomposition as d
from smartcontracts.internal import delivery as v
from smartcontracts.internal import elements as e
from smartcontracts.internal import orders as o
from smartcontracts.internal import recovery as r
from smartcontracts.internal import release as p
from smartcontracts.internal import sourcing as g
from smartcontracts.kernel import WrongStatus
from smartcontracts.lineage import pseudonym
from smartcontracts.trade import ItemRelation
from tests.abci_app.support import nothing_left, refused_alike
from tests.smartcontracts.internal import deals, inquiries
from tests.smartcontracts.support import org
from tests.vectors.twin import TwinLedger

OWNER = "alpha"
UNKNOWN = "x" * 20
KEY = inquiries.KEY
ACME, ALPHA, OTHER = (pseudonym(KEY, org(name)) for name in ("acme", "alpha", "other"))


def twin():
    return TwinLedger(OWNER, inquiries.NOW)


def of_inquiry(make):
    """A ledger on which `make` has been done."""
    ledger = twin()
    make(ledger)
    return ledger


def of_order(make):
    """The ledger that `make` begins by itself."""
    with mock.patch.object(deals, "internal_ledger", twin):
        return make()


# How far each ledger has come, by name.
STAGES = {
    "handed over": lambda: of_inquiry(inquiries.handed_over),
    "decomposed": lambda: of_inquiry(inquiries.decomposed),
    "sourcing": lambda: of_inquiry(inquiries.sourcing),
    "asked": lambda: of_inquiry(inquiries.asked),
    "collected": lambda: of_inquiry(inquiries.collected),
    "to quote": lambda: of_inquiry(inquiries.to_quote),
    "order handed over": lambda: of_order(deals.handed_over),
    "available": lambda: of_order(deals.available),
    "ordered": lambda: of_order(deals.ordered),
    "accepted upstream": lambda: of_order(deals.accepted_upstream),
    "in delivery": lambda: of_order(deals.in_delivery),
    "to chain": lambda: of_order(deals.to_chain),
    "overdue": lambda: of_order(deals.overdue),
    "activated": lambda: of_order(deals.activated),
}


@cache
def stage(name):
    return STAGES[name]()


def the(ledger, kind):
    return ledger.the(ledger.table.kinds[kind])


def decomposing(ledger, *elements):
    return d.Decompose(handover_id=the(ledger, "inquiry_handover").id, elements=elements)


def related(ledger, *edges):
    """The three elements, with these relations between them."""
    elements = tuple(
        replace(one, relations=tuple(ItemRelation(type="T", item_id=to) for at, to in edges if at == one.id))
        for one in inquiries.ELEMENTS
    )
    return decomposing(ledger, *elements)


def asking(ledger, **changes):
    return inquiries.asking(the(ledger, "sourcing"), **changes)


def answering(ledger, **changes):
    query = inquiries.query_about(ledger, "item-001")
    return d.AnswerSofQueries(answers=(inquiries.yes(query, **changes),))


def quoting(ledger, **changes):
    issued = inquiries.issuing(ledger, **changes)
    return a.ReleaseQuote(handover_id=the(ledger, "inquiry_handover").id, quote=issued, salt=inquiries.SALT)


def cheaper(ledger):
    """The quote with one of its rates a billionth lower than cost and mark-up."""
    (first, *rest) = inquiries.issuing(ledger).items
    price = first.prices[0]
    less = replace(price, rate=replace(price.rate, nano=price.rate.nano - 1))
    return quoting(ledger, items=(replace(first, prices=(less, *first.prices[1:])), *rest))


def more_time(ledger, later_ms):
    order = deals.the_handover(ledger)
    return r.ReleaseExtension(
        order_handover_id=order.id,
        activate_by_ms=order.activate_by_ms + later_ms,
        reason="DUCT_FULL",
        salt=inquiries.SALT,
    )


def answer_out(ledger):
    return o.ReleaseOrderAnswer(order_handover_id=deals.the_handover(ledger).id, salt=inquiries.SALT)


def windows(ledger, by_ms):
    (window,) = deals.requesting(ledger).elements
    return deals.requesting(ledger, elements=(replace(window, activate_by_ms=by_ms),))


# Each: claim -> (stage, message, who, command from the ledger, refusal).
REFUSALS = {
    "elements with a cycle": (
        "handed over",
        "decompose",
        "sco",
        lambda w: related(w, ("item-001", "item-002"), ("item-002", "item-001")),
        d.ElementCycle,
    ),
    "an element that relates to an unknown one": (
        "handed over",
        "decompose",
        "sco",
        lambda w: related(w, ("item-001", "item-009")),
        d.ElementRelationUnknown,
    ),
    "an element for an unknown item": (
        "handed over",
        "decompose",
        "sco",
        lambda w: decomposing(w, replace(inquiries.ELEMENTS[0], item_ids=("item-009",)), *inquiries.ELEMENTS[1:]),
        d.ElementItemUnknown,
    ),
    "elements with a doubled id": (
        "handed over",
        "decompose",
        "sco",
        lambda w: decomposing(w, inquiries.ELEMENTS[0], *inquiries.ELEMENTS),
        d.ElementIdInvalid,
    ),
    "an item that no element stands for": (
        "handed over",
        "decompose",
        "sco",
        lambda w: decomposing(w, *inquiries.ELEMENTS[1:]),
        d.ItemNotCovered,
    ),
    "a 'yes' of SOF without cost": (
        "decomposed",
        "answer_sof_queries",
        "sof",
        lambda w: answering(w, prices=()),
        d.SofAnswerIncomplete,
    ),
    "a 'yes' of SOF without lead time": (
        "decomposed",
        "answer_sof_queries",
        "sof",
        lambda w: answering(w, lead_time_ms=0),
        d.SofAnswerIncomplete,
    ),
    "a list of ancestors cut short": (
        "sourcing",
        "release_inquiry",
        "b_bus",
        lambda w: asking(w, ancestors=(ALPHA,)),
        g.AncestorsWrong,
    ),
    "a list of ancestors that was not extended": (
        "sourcing",
        "release_inquiry",
        "b_bus",
        lambda w: asking(w, ancestors=(ACME,)),
        g.AncestorsWrong,
    ),
    "a list of ancestors in another order": (
        "sourcing",
        "release_inquiry",
        "b_bus",
        lambda w: asking(w, ancestors=(ALPHA, ACME)),
        g.AncestorsWrong,
    ),
    "a list of ancestors extended by two": (
        "sourcing",
        "release_inquiry",
        "b_bus",
        lambda w: asking(w, ancestors=(ACME, OTHER, ALPHA)),
        g.AncestorsWrong,
    ),
    "an inquiry to somebody upstream": (
        "sourcing",
        "release_inquiry",
        "b_bus",
        lambda w: asking(w, seller=org("acme")),
        g.SellerUpstream,
    ),
    "an inquiry without salt for its release": (
        "sourcing",
        "release_inquiry",
        "b_bus",
        lambda w: asking(w, salt=b""),
        p.SaltInvalid,
    ),
    "a response to an inquiry that nobody let out": (
        "asked",
        "record_response",
        "b_bus",
        lambda w: replace(inquiries.response(the(w, "sourcing")), inquiry_id=UNKNOWN),
        g.InquiryNotAsked,
    ),
    "a response of another seller's": (
        "asked",
        "record_response",
        "b_bus",
        lambda w: inquiries.response(
            the(w, "sourcing"), quote=inquiries.quote_for(the(w, "sourcing"), seller=org("charlie"))
        ),
        g.ResponseUnclear,
    ),
    "a quote before anything is assessed": (
        "collected",
        "release_quote",
        "s_bus",
        lambda w: a.ReleaseQuote(
            handover_id=the(w, "inquiry_handover").id, quote=inquiries.issuing(stage("to quote")), salt=inquiries.SALT
        ),
        WrongStatus,
    ),
    "an assessment that leaves an element out": (
        "collected",
        "assess",
        "sco",
        lambda w: replace(inquiries.choosing(w, the(w, "inquiry_handover")), choices=()),
        s.ChoicesWrong,
    ),
    "a quote below cost and mark-up": ("to quote", "release_quote", "s_bus", cheaper, a.MarkupWrong),
    "a quote that outlives what it rests on": (
        "to quote",
        "release_quote",
        "s_bus",
        lambda w: quoting(w, valid_until_ms=inquiries.VALID_MS + 1),
        a.BeyondSupply,
    ),
    "a quote to another inquiry": (
        "to quote",
        "release_quote",
        "s_bus",
        lambda w: quoting(w, inquiry_id=UNKNOWN),
        a.OtherInquiry,
    ),
    "an order before the last internal element is available": (
        "order handed over",
        "release_order",
        "b_bus",
        deals.ordering,
        o.InternalsNotAvailable,
    ),
    "availability of a foreign element": (
        "order handed over",
        "answer_availability",
        "sof",
        lambda w: replace(deals.answering(w), answers=(replace(deals.answering(w).answers[0], element_id=UNKNOWN),)),
        e.ElementOfAnotherOrder,
    ),
    "availability without a reservation": (
        "order handed over",
        "answer_availability",
        "sof",
        lambda w: deals.answering(w, reservation_id=""),
        o.ReservationMissing,
    ),
    "an acceptance before all sellers have accepted": (
        "ordered",
        "release_order_answer",
        "s_bus",
        answer_out,
        WrongStatus,
    ),
    "a release carried that nobody opened": (
        "ordered",
        "record_carried",
        "b_bus",
        lambda w: p.RecordCarried(release_id=UNKNOWN, outcome_id="ord_1"),
        p.ReleaseUnknown,
    ),
    "an answer of a seller that was not asked": (
        "ordered",
        "record_order_answer",
        "b_bus",
        lambda w: deals.answered(w, ledger_id=inquiries.DELTA),
        e.OrderForeign,
    ),
    "an activation asked for without acceptance": (
        "ordered",
        "request_activation",
        "sco",
        lambda w: v.RequestActivation(order_handover_id=deals.the_handover(w).id, service_by_ms=w.time_ms + 1),
        v.NotAccepted,
    ),
    "an element's window beyond its service's": (
        "accepted upstream",
        "request_activation",
        "sco",
        lambda w: windows(w, deals.requesting(w).service_by_ms + 1),
        v.WindowsUnordered,
    ),
    "a foreign element to activate": (
        "accepted upstream",
        "request_activation",
        "sco",
        lambda w: deals.requesting(w, elements=(v.ElementWindow(element_id=UNKNOWN, activate_by_ms=w.time_ms + 9),)),
        e.ElementOfAnotherOrder,
    ),
    "an activation of an unknown element": (
        "in delivery",
        "report_activation",
        "sof",
        lambda w: deals.reporting(w, element_id=UNKNOWN),
        e.ServiceElementUnknown,
    ),
    "an activation of an element that was bought": (
        "in delivery",
        "report_activation",
        "sof",
        lambda w: deals.reporting(w, element_id=deals.element(w, "item-002").id),
        e.ElementNotInternal,
    ),
    "a second activation": (
        "to chain",
        "report_activation",
        "sof",
        deals.reporting,
        v.ElementActivated,
    ),
    "a chain against the topology": (
        "to chain",
        "chain_elements",
        "sco",
        lambda w: deals.chaining(w, "item-001", "item-002", "item-003"),
        v.ChainOrderWrong,
    ),
    "an extension to an end not later than the old one": (
        "overdue",
        "release_extension",
        "s_bus",
        lambda w: more_time(w, 0),
        r.EndNotLater,
    ),
    "an extension of an order that has ended": (
        "activated",
        "release_extension",
        "s_bus",
        lambda w: more_time(w, 60_000),
        WrongStatus,
    ),
    "an order given up that has ended": (
        "activated",
        "abandon_order",
        "s_bus",
        lambda w: r.AbandonOrder(order_handover_id=deals.the_handover(w).id, reason="NO_FIBRE"),
        WrongStatus,
    ),
}


@pytest.mark.parametrize(("where", "name", "role", "make", "refusal"), REFUSALS.values(), ids=REFUSALS)
def test_invalid(where, name, role, make, refusal):
    ledger = stage(where)
    command, sender = make(ledger), ledger.sender(OWNER, role)
    assert ledger.simulated(name, command, sender).code == refusal.code
    with nothing_left(ledger.recorder.consensus), pytest.raises(refusal):
        ledger.run(name, command, sender=sender)
    refused_alike(ledger.receipt, refusal)


@pytest.mark.parametrize("name", STAGES)
def test_the_application_comes_to_what_memory_has(name):
    """So each refusal above came of its one change, and of documents that are really there."""
    assert stage(name).compare() >= 10
