"""The whole trade on fake consensus: real applications and contracts, a clock that jumps, no engine and no sockets."""

from __future__ import annotations

import json

import pytest
import pytest_asyncio

from node.sonata import QuoteContext
from scripts.story import files, meter
from scripts.story.files import (
    SAMPLE_ORDER,
    SAMPLE_QUOTE,
    FileUnfit,
    asked_items,
    inquiry_of,
    mail_addresses,
    read_requests,
)
from scripts.story.market import Market
from scripts.story.play import Asides, Play
from scripts.story.providers import SPARE, bought_items, inventories
from scripts.story.rehearsal import pairs_of
from scripts.story.scene import ACME, ACME_ALPHA, ALPHA_BRAVO, BRAVO, Stage
from scripts.story.telling import StepFailed, Teller
from scripts.story.terms import WHOLESALE
from smartcontracts.invoice import InvoiceStatus
from tests.node.sonata_samples import quote_item, quote_request, sample
from tests.scripts.story.fakenet import TIERS, FakeNetwork

PAIRS = pairs_of(TIERS)


async def performed(requests):
    network = FakeNetwork(inventories(asked_items(requests)))
    market = Market(Stage(network, Teller(quiet=True)), PAIRS, names={ACME_ALPHA: requests.agreement, ALPHA_BRAVO: WHOLESALE})
    asides = Asides(silence=lambda: network.stop_agents(BRAVO), speak=lambda: network.start_agents(BRAVO))
    play = Play(market, requests, asides)
    await play.perform()
    return play


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told():
    """Our own sample, played once."""
    return await performed(read_requests(None, None))


def stored_bytes(play):
    """Everything that any store of any node holds."""
    for ledger in play.stage.network.ledgers.values():
        for application in ledger.consensus.applications.values():
            for key, value in application.committed.reader.scan(b"", b"\xff" * 64):
                yield bytes(key) + bytes(value)


@pytest.mark.asyncio(loop_scope="module")
async def test_our_own_sample_is_traded_billed_settled_and_scored(told):
    play = told
    sections = play.stage.teller.sections
    assert [one["name"] for one in sections["refusals"]] == ["QUOTE_MISMATCH"]
    assert len({*sections["timeouts"][0]["heights"].values()}) == 1
    assert [(one["seller"], one["buyer"]) for one in sections["invoices"]][:3] == [
        ("alpha", "acme"),
        ("bravo", "alpha"),
        ("alpha", "bravo"),
    ]
    assert "delta" in {one["seller"] for one in sections["invoices"]}
    for invoice in sections["invoices"]:
        assert invoice["total"]["minor"] == sum(line["amount"]["minor"] for line in invoice["lines"]) > 0
        assert "usage/sum" in {line["rule"] for line in invoice["lines"]}
        assert len(invoice["signers"]) == 2
    retail, *owed = [invoice["total"]["minor"] for invoice in sections["invoices"]]
    assert [one["net"]["minor"] for one in sections["nettings"]] == [abs(owed[0] - owed[1])]
    assert [one["amount"]["minor"] for one in sections["payments"]] == [abs(owed[0] - owed[1]), retail, *owed[2:]]
    assert {invoice.status for invoice in await play.acme.all("invoice")} == {InvoiceStatus.CLOSED}
    assert {invoice.status for invoice in await play.bravo.all("invoice")} == {InvoiceStatus.CLOSED}
    assert [one["text"] for one in sections["scores"]] == [
        (await play.acme.all("score"))[0].text,
        (await play.bravo.all("score"))[0].text,
    ]


@pytest.mark.asyncio(loop_scope="module")
async def test_no_mail_address_comes_into_any_store_and_all_are_kept_by_their_sender(told):
    play = told
    addresses = {a for path in (SAMPLE_QUOTE, SAMPLE_ORDER, files.DATA / "bravo-request.json") for a in mail_addresses(path.read_bytes())}
    kept = play.stage.network.kept
    for address in addresses:
        owner = BRAVO if "bravo" in address else ACME
        assert any(who == owner and address in data.decode() for (who, _), data in kept.items())
        assert not any(address in data.decode() for (who, _), data in kept.items() if who != owner)
    stored = b"\n".join(stored_bytes(play))
    assert b"ethernet-line" in stored
    assert not [address for address in addresses if address.encode() in stored]


@pytest.mark.parametrize(
    "names",
    [
        ("uc04-quote-new-epl.json", None),
        pytest.param((None, "uc05-product-order-new-epl.json"), marks=pytest.mark.soak),
    ],
)
async def test_published_samples_run(tmp_path, names):
    paths = [None if name is None else tmp_path / name for name in names]
    for path in paths:
        if path is not None:
            path.write_bytes(sample(path.name))
    play = await performed(read_requests(*paths))
    assert bought(await play.bravo.all("inquiry"), play.bravo) == {("item-002",), ("item-003",)}


def bought(inquiries, seller):
    """The items of each inquiry to the seller but for the one that is left to run out."""
    asked = [tuple(item.id for item in one.items) for one in inquiries if one.seller == seller.id]
    return {items for items in asked if not items[0].endswith(SPARE)}


def nine_items():
    """A line without a place, four ports with one, four ends without, as related as such requests are."""
    line = quote_item("line", product=placeless("line"), quoteItemRelationship=edges(*(f"end-{n}" for n in range(4))))
    ports = [quote_item(f"port-{n}") for n in range(4)]
    ends = [
        quote_item(f"end-{n}", product=placeless("end"), quoteItemRelationship=edges(f"port-{n}")) for n in range(4)
    ]
    return [line, *ports, *ends]


def placeless(offering):
    configuration = {"@type": f"urn:test:{offering}", "name": offering}
    return {"productOffering": {"id": offering}, "productConfiguration": configuration}


def edges(*items):
    return [{"relationshipType": "CONNECTS_TO", "id": item} for item in items]


def existing_port():
    """A line between a port that is there already and a new one."""
    related = {"productRelationship": [{"id": "svc-1", "relationshipType": "CONNECTS_TO_UNI"}]}
    line = quote_item("line", product=placeless("line") | related, quoteItemRelationship=edges("port"))
    return [line, quote_item("port")]


@pytest.mark.parametrize(
    ("items", "wanted"),
    [
        (nine_items(), {("port-0",), ("port-1",), ("port-2",), ("port-3",)}),
        pytest.param(existing_port(), {("port",)}, marks=pytest.mark.soak),
        pytest.param([quote_item("only")], {("only",)}, marks=pytest.mark.soak),
    ],
)
async def test_other_requests_run_and_buy_what_lies_somewhere(tmp_path, items, wanted):
    path = tmp_path / "quote.json"
    path.write_bytes(quote_request(*items))
    play = await performed(read_requests(path, None))
    asked = [one for one in await play.bravo.all("inquiry") if one.seller == play.bravo.id]
    assert bought(asked, play.bravo) == wanted
    assert all(one.ancestors and ACME not in one.ancestors[0] for one in asked)
    assert len(play.stage.teller.sections["invoices"]) >= 3


def test_invalid_request_of_which_nothing_lies_anywhere_is_refused():
    items = [item_of(existing_port()[0]), item_of(quote_item("port", product=placeless("end")))]
    with pytest.raises(FileUnfit, match="Give at least one item a place"):
        bought_items(items)


def item_of(item):
    request = quote_request(item)
    return inquiry_of(request, QuoteContext(seller="s", agreement_id="a", agreement_name=""), bytes(32)).command.items[0]


async def test_a_step_that_does_not_hold_says_what_was_expected(monkeypatch):
    monkeypatch.setattr(files, "_other", lambda value: value)
    with pytest.raises(StepFailed, match="expected a refusal, found place_order was accepted"):
        await performed(read_requests(None, None))


def test_the_simulated_meter_measures_the_same_in_every_run():
    assert meter.bursts("a", 4) == meter.bursts("a", 4) != meter.bursts("b", 4)
    assert all(quantity > 0 for quantity in meter.bursts("a", 100))


@pytest.mark.parametrize(("actual", "tenths"), [(999, 99), (1_000, 99), (998, 88), (989, 0), (0, 0)])
def test_performance_falls_with_what_is_missing(actual, tenths):
    """In thousandths of a hundred percent, against a target of 99.9 %."""
    assert meter.tenths(actual * 10**8, 999 * 10**8) == tenths


@pytest.mark.asyncio(loop_scope="module")
async def test_the_report_can_be_written_as_json(told):
    play = told
    assert json.loads(json.dumps(play.stage.teller.sections)) == play.stage.teller.sections
    ledgers = {line.ledger for line in play.stage.teller.lines}
    assert {ACME_ALPHA, ALPHA_BRAVO, "omni"} <= ledgers
