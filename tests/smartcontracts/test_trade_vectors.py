"""Golden vector of a trade: the same commands give the same codes, ids and bytes for ever.

To record anew, for a new contracts version: `python -m tests.smartcontracts.test_trade_vectors`.
"""

import json
from dataclasses import replace

import pytest

from smartcontracts.delivery import ActivateOrder, FailOrder
from smartcontracts.inquiry import INQUIRY, DeclareUnable
from smartcontracts.order import ORDER, AcceptOrder, RejectOrder
from smartcontracts.quote import QUOTE, TakeLateQuote
from smartcontracts.trade import QuoteLevel
from tests.smartcontracts.support import org
from tests.smartcontracts.test_vectors import FOLDER, Story
from tests.smartcontracts.trading import (
    ASK,
    ASK_BACK,
    BUYER,
    LINE,
    PORT_A,
    PORT_Z,
    SELLER,
    answer,
    product,
    purchase,
    restated,
    trading_ledger,
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
    return story.lines


@pytest.mark.golden
def test_the_same_trade_gives_the_same_codes_and_bytes():
    recorded = json.loads(PATH.read_text(encoding="utf-8"))
    for number, (told, line) in enumerate(zip(trade(), recorded, strict=True)):
        assert told == line, f"line {number + 1}"


if __name__ == "__main__":
    PATH.write_text("[\n" + ",\n".join(json.dumps(line) for line in trade()) + "\n]\n", encoding="utf-8")
