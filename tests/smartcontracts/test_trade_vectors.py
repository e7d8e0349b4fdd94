"""Golden vector of a trade: the same commands give the same codes, ids and bytes for ever.

To record anew, for a new contracts version: `python -m tests.smartcontracts.test_trade_vectors`.
"""

import json
from dataclasses import replace

import pytest

from smartcontracts.agreement import DiscountRule, PriceType
from smartcontracts.catalogue import OFFERING, PublishOffering, RequestStandingQuote, WithdrawOffering
from smartcontracts.delivery import ActivateOrder, FailOrder
from smartcontracts.inquiry import INQUIRY, DeclareUnable
from smartcontracts.lineage import element_lineage, pseudonym
from smartcontracts.money import Money
from smartcontracts.order import ORDER, AcceptOrder, RejectOrder
from smartcontracts.quote import QUOTE, TakeLateQuote
from smartcontracts.service import SERVICE, ServiceStatus
from smartcontracts.trade import (
    Action,
    Change,
    ChangeAnswer,
    ChangeKind,
    ChangeMethod,
    Outage,
    QuoteForm,
    QuoteLevel,
)
from tests.smartcontracts.support import START_MS, org
from tests.smartcontracts.test_vectors import FOLDER, Story
from tests.smartcontracts.trading import (
    AGREEMENT_ID,
    ASK,
    ASK_BACK,
    BUYER,
    DAY_MS,
    LINE,
    LINEAGE_KEY,
    PORT_A,
    PORT_Z,
    QUOTE_ITEMS,
    RELEASE,
    SELLER,
    SINGLE,
    YEAR,
    agreement_record,
    answer,
    once,
    product,
    purchase,
    restated,
    trading_ledger,
    upstream,
)

PATH = FOLDER / "trade.json"
ITEMS = tuple(restated(item) for item in (LINE, PORT_A, PORT_Z))
FASTER = replace(LINE, product=product("line", sls=True, mbps=71))


class Trade(Story):
    """Both directions on one ledger; each step gives the newest document of its kind."""

    def __init__(self):
        super().__init__(trading_ledger())

    def newest(self, kind, time_field):
        return max(self.ledger.all(kind), key=lambda found: (getattr(found, time_field), found.id), default=None)

    def ask(self, command=ASK, by=BUYER):
        self.tell("submit_inquiry", command, by, "b_bus")
        return self.newest(INQUIRY, "received_at_ms")

    def give(self, inquiry, by=SELLER, at=None, **changes):
        changes.setdefault("valid_until_ms", max(START_MS, self.ledger.time_ms) + DAY_MS)
        self.tell("issue_quote", answer(inquiry.id, **changes), by, "s_bus", at=at)
        return self.newest(QUOTE, "issued_at_ms")

    def buy(self, quote, by=BUYER, **changes):
        self.tell("place_order", purchase(quote.id, **changes), by, "b_bus")
        return self.newest(ORDER, "placed_at_ms")

    def sell(self, name, command, by=SELLER, at=None):
        self.tell(name, command, by, "s_bus", at=at)


def trade():
    story = Trade()
    story.ask(replace(ASK, seller=org(BUYER)))
    story.ask(replace(ASK, items=()))
    first = story.ask()
    story.give(first, by=BUYER)
    story.give(first, valid_until_ms=1)
    quote = story.give(first)
    story.sell("declare_unable", DeclareUnable(inquiry_id=first.id, reason="NO_CAPACITY"))
    story.buy(quote, items=(restated(FASTER), *ITEMS[1:]))
    changed = story.ask(replace(ASK, items=(FASTER, PORT_A, PORT_Z), replaces=first.id))
    better = story.give(changed)
    story.buy(quote)
    order = story.buy(better, items=(restated(FASTER), *ITEMS[1:]))
    story.buy(better)
    story.sell("activate_order", ActivateOrder(order_id=order.id))
    story.sell("accept_order", AcceptOrder(order_id=order.id))
    story.sell("reject_order", RejectOrder(order_id=order.id, reason="NO"))
    story.sell("activate_order", ActivateOrder(order_id=order.id))
    back = story.ask(ASK_BACK, by=SELLER)
    sold_back = story.buy(story.give(back, by=BUYER), by=SELLER)
    story.sell("accept_order", AcceptOrder(order_id=sold_back.id), by=BUYER, at=sold_back.accept_by_ms + 1)
    story.buy(story.give(story.ask(), level=QuoteLevel.BUDGETARY))
    silent = story.ask()
    late = story.give(silent, at=silent.respond_by_ms + 1)
    story.buy(late)
    story.tell("take_late_quote", TakeLateQuote(inquiry_id=silent.id, quote_id=late.id), BUYER, "b_bus")
    slow = story.buy(late)
    story.sell("accept_order", AcceptOrder(order_id=slow.id))
    overdue = story.newest(ORDER, "placed_at_ms")
    story.sell("activate_order", ActivateOrder(order_id=slow.id), at=overdue.activate_by_ms + 1)
    story.sell("fail_order", FailOrder(order_id=slow.id, reason="FIBRE_CUT"))
    unable = story.ask()
    story.sell("declare_unable", DeclareUnable(inquiry_id=unable.id, reason="NO_CAPACITY"))
    expired = story.give(story.ask())
    story.ledger.advance(expired.valid_until_ms + 1)
    story.buy(expired)
    upstream_and_changes(story)
    shop(story)
    return story.lines


def upstream_and_changes(story):
    """Lists of upstream buyers, a bundled quote, and a change of the service that the first order gave."""
    story.ask(replace(ASK, lineage_key=b""))
    story.ask(replace(ASK, ancestors=()))
    above = (pseudonym(LINEAGE_KEY, org("zulu")), *ASK.ancestors)
    story.ask(replace(ASK, ancestors=above))
    story.ask(replace(ASK, ancestors=(*upstream(SELLER), *ASK.ancestors)))
    named = tuple(replace(item, lineage_id=element_lineage(LINEAGE_KEY, item.id)) for item in ASK.items)
    middle = story.ask(replace(ASK, ancestors=above, items=named, master_id="master-1", release=RELEASE))
    bare = tuple(replace(item, prices=()) for item in QUOTE_ITEMS)
    whole = {"one_time_total": Money(99_00, "EUR"), "term_total": Money(99_00, "EUR")}
    story.give(middle, form=QuoteForm.BUNDLED, bundle=(once(99 * 10**9),), **whole)
    story.give(middle, form=QuoteForm.BUNDLED, items=bare, bundle=(once(99 * 10**9),), **whole)
    service = next(one for one in story.ledger.all(SERVICE) if one.status == ServiceStatus.IN_OPERATION)
    change = Change(service_id=service.id, kind=ChangeKind.PARAMETER)
    items = tuple(replace(item, action=Action.MODIFY) for item in ASK.items)
    story.ask(replace(ASK, items=items))
    wished = story.ask(replace(ASK, items=items, change=change))
    story.give(wished)
    said = ChangeAnswer(outage=Outage.YES, outage_ms=60_000, method=ChangeMethod.PARALLEL_BUILD_COLD)
    story.give(wished, change_answer=said)


def shop(story):
    """A catalogue's offering in two versions, and a standing quote with the agreement's discount on it."""
    rule = DiscountRule(id="tenth", seller=org(SELLER), price_type=PriceType.NON_RECURRING, basis_points=1_000)
    story.ledger.write(agreement_record(discounts=(rule,)))
    offered = PublishOffering(
        agreement_id=AGREEMENT_ID,
        offering="port",
        product=product("port"),
        prices=(once(100 * 10**9),),
        term=YEAR,
        quote_validity_ms=DAY_MS,
    )
    story.sell("publish_offering", replace(offered, prices=()))
    story.sell("publish_offering", offered)
    first = story.newest(OFFERING, "published_at_ms")
    story.sell("publish_offering", replace(offered, prices=(once(90 * 10**9 + 5),)))
    second = story.newest(OFFERING, "published_at_ms")
    for offering in (first, second):
        wanted = RequestStandingQuote(
            offering_id=offering.id, items=(SINGLE,), lineage_key=LINEAGE_KEY, ancestors=ASK.ancestors
        )
        story.tell("request_standing_quote", wanted, BUYER, "b_bus")
    story.buy(story.newest(QUOTE, "issued_at_ms"))
    story.sell("withdraw_offering", WithdrawOffering(offering_id=second.id))
    story.sell("withdraw_offering", WithdrawOffering(offering_id=second.id))
    ports = story.ask(replace(ASK, items=(SINGLE,)))
    one = replace(QUOTE_ITEMS[1], id=SINGLE.id)
    story.give(ports, items=(one,))


@pytest.mark.golden
def test_the_same_trade_gives_the_same_codes_and_bytes():
    recorded = json.loads(PATH.read_text(encoding="utf-8"))
    for number, (told, line) in enumerate(zip(trade(), recorded, strict=True)):
        assert told == line, f"line {number + 1}"


if __name__ == "__main__":
    PATH.write_text("[\n" + ",\n".join(json.dumps(line) for line in trade()) + "\n]\n", encoding="utf-8")
