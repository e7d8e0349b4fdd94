"""A load of real trade: inquiries under an agreement, whose windows end, while processes are killed.

Every third is for a product of 7 KB, and goes on to a quote and an order: the store files that product once, with the transaction
that it came in, and every version of inquiry and order by its place there (docs/decisions/large-parts.md). Every other one of
these orders waits until its window ends. Each committed receipt goes into a file of the client's own, at once: what stands there
was promised.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import time
from dataclasses import replace

from ledgers.client import Act, ClientError
from scripts.load import trade
from smartcontracts.inquiry import SubmitInquiry
from smartcontracts.lineage import ancestors_of
from smartcontracts.proposal import AcceptProposal, Propose, act_of
from smartcontracts.trade import QuoteLevel
from tests.smartcontracts.trading import LINEAGE_KEY, SINGLE, TERMS, product

WINDOW_MS = 10_000
WORKERS = 3
LARGE_EVERY = 3


def terms():
    return replace(TERMS, response_window_ms=WINDOW_MS, response_window_min_ms=WINDOW_MS)


async def conclude(buyer, seller):
    """The id of an agreement between the two."""
    act = act_of("agreement_terms", terms())
    proposed = await buyer.submit(Act(name="propose", command=Propose(act=act, valid_for_ms=60_000)))
    proposal_id = next(d.id for d in proposed.documents if d.kind == "proposal")
    ledger = await seller.ledger()
    while (await ledger.app_hash())[0] < proposed.height:
        await asyncio.sleep(0.02)
    proposal = (await ledger.get("proposal", proposal_id)).body
    accept = AcceptProposal(proposal_id=proposal_id, act_sha256=proposal.act_sha256)
    accepted = await seller.submit(Act(name="accept_proposal", command=accept))
    return next(d.id for d in accepted.documents if d.kind == "agreement")


def large_product(number):
    """7 KB, another one for each number."""
    return trade.product().replace(b'"deltaT":10', b'"deltaT":%d' % (10 + number))


# The kind of document that an act is about.
_ABOUT = {"submit_inquiry": "inquiry", "issue_quote": "quote", "place_order": "order", "accept_order": "order"}


class Load:
    """Workers at the nodes of both parties, each with one inquiry in flight."""

    def __init__(self, seats, agreement_id, file, seed):
        self.sent = 0
        self._seats = seats
        self._agreement_id = agreement_id
        self._file = file
        self._random = random.Random(seed)
        self._tasks = []
        self._lost = 0

    def _inquiry(self, number, buyer, seller):
        item = replace(SINGLE, product=product("port", place="rome", sls=True, mbps=1 + number % 1_000))
        return SubmitInquiry(
            seller=self._seats[seller].org.id,
            agreement_id=self._agreement_id,
            level=QuoteLevel.FIRM,
            items=(item,),
            buyer_reference=f"load-{number}",
            lineage_key=LINEAGE_KEY,
            ancestors=ancestors_of(LINEAGE_KEY, self._seats[buyer].org.id),
        )

    async def _work(self, buyer, seller):
        while True:
            self.sent += 1
            number = self.sent
            try:
                if number % LARGE_EVERY:
                    await self._do(buyer, "submit_inquiry", self._inquiry(number, buyer, seller))
                else:
                    await self._order(number, buyer, seller)
            except ClientError:
                self._lost += 1
                await asyncio.sleep(0.1)

    async def _order(self, number, buyer, seller):
        """An order of a product of 7 KB, from its inquiry on; every other one is accepted."""
        organizations = [self._seats[name].org.id for name in (buyer, seller)]
        asked = trade.inquiry(*organizations, self._agreement_id, large_product(number), f"load-{number}")
        inquiry_id = await self._do(buyer, "submit_inquiry", asked)
        quote_id = await self._do(seller, "issue_quote", trade.quote(inquiry_id, time.time_ns() // 1_000_000))
        ordered = replace(trade.order(quote_id), acceptance_window_ms=WINDOW_MS)
        order_id = await self._do(buyer, "place_order", ordered)
        if number % 2:
            await self._do(seller, "accept_order", trade.acceptance(order_id))

    async def _do(self, who, name, command):
        """Commit it, and write the receipt down; the id of what it is about. Raises ClientError."""
        receipt = await self._seats[who].submit(Act(name=name, command=command), timeout_s=20)
        line = {
            "at": time.monotonic(),
            "transaction": receipt.transaction_id.hex(),
            "height": receipt.height,
            "code": receipt.code,
            "documents": [[d.kind, d.id] for d in receipt.documents],
        }
        with self._file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
        written = {d.kind: d.id for d in receipt.documents}
        return written[_ABOUT[name]]

    async def __aenter__(self):
        for buyer, seller in (("acme", "alpha"), ("alpha", "acme")):
            self._tasks += [asyncio.create_task(self._work(buyer, seller)) for _ in range(WORKERS)]
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def written(self):
        return len(self.receipts())

    def receipts(self):
        if not self._file.exists():
            return []
        return [json.loads(line) for line in self._file.read_text().splitlines()]


def longest_gap_s(receipts, since=0.0, until=float("inf")):
    """The longest time without a receipt between two moments, in seconds."""
    moments = [line["at"] for line in receipts if since <= line["at"] <= until]
    moments = sorted([since or moments[0], *moments])
    return max((b - a for a, b in itertools.pairwise(moments)), default=0.0)


async def assert_kept(receipts, seats, height):
    """Every node answers each of these receipts with the same height, code and documents (as of `height`: windows end)."""
    assert receipts

    async def answers(seat):
        ledger = await seat.ledger()
        found = []
        for line in receipts:
            receipt = await ledger.receipt(bytes.fromhex(line["transaction"]))
            stored = [await seat.stored(kind, name, height) for kind, name in line["documents"]]
            found.append((receipt.height, receipt.code, stored))
        return found

    first, *others = await asyncio.gather(*(answers(seat) for seat in seats.values()))
    assert [(height, code) for height, code, _ in first] == [(r["height"], r["code"]) for r in receipts]
    assert all(stored for _, _, documents in first for stored in documents)
    assert all(other == first for other in others)
