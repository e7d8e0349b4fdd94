"""The tree of an inquiry or order: what hangs below what, which windows are open, and what a reader doesn't see is left out."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace

import pytest

from ledgers.client import Refused
from ledgers.client.tree import WINDOWS, TradeTree
from ledgers.kinds import BILATERAL, INTERNAL, contract_table
from scripts.story.market import Market
from scripts.story.rehearsal import cast, pairs_of
from scripts.story.scenarios import scenario
from scripts.story.scenarios.base import Set
from scripts.story.scene import ACME, ACME_ALPHA, ALPHA, Stage
from scripts.story.telling import Teller
from scripts.story.terms import tier_terms
from smartcontracts.money import Money
from tests.ledgers.client.bookshelf import Shelf
from tests.scripts.story.fakenet import TIERS, FakeNetwork, FakeView


def inquiry(name, status="received", **more):
    fields = {"respond_by_ms": 5_000, "quote_id": "", "late_quote_id": "", "unable_reason": ""}
    return SimpleNamespace(id=name, status=status, **{**fields, **more})


def quote(name, minor):
    return SimpleNamespace(id=name, status="issued", valid_until_ms=9_000, term_total=Money(minor, "EUR"))


def order(name, status="accepted", **more):
    fields = {"service_id": "", "activate_by_ms": 7_000, "accept_by_ms": 3_000, "reason": "", "extension": None}
    return SimpleNamespace(id=name, status=status, **{**fields, **more})


def element(place, **more):
    fields = {
        "tries": 0,
        "order_id": "",
        "ledger_id": "",
        "reason": "",
        "cause": "",
        "activate_by_ms": 0,
        "hold_until_ms": 0,
        "source": "internal",
    }
    given = {**fields, **more}
    return SimpleNamespace(id=f"sel_{place}", element_id=f"E{place}", place=place, **given)


def three_tiers():
    up, down = Shelf("sg_up", "bilateral", name="acme-alpha"), Shelf("sg_down", "bilateral", name="alpha-bravo")
    internal = Shelf("sg_int", "internal", name="alpha-int")
    up.put("inquiry", inquiry("inq_up"))
    down.put("inquiry", inquiry("inq_down", "quoted", quote_id="quo_down"))
    down.put("quote", quote("quo_down", 1250))
    handover = SimpleNamespace(id="iho_1", status="sourcing", ledger_id="sg_up", decide_by_ms=4_000, reason="")
    internal.put("inquiry_handover", handover, "inq_up")
    query = SimpleNamespace(
        id="sqr_1",
        status="no",
        attempt=1,
        element=SimpleNamespace(id="E1"),
        answer=SimpleNamespace(reason="NOT_OFFERED"),
    )
    internal.put("sof_query", query, "iho_1")
    asked = [
        SimpleNamespace(inquiry_id="inq_down", ledger_id="sg_down"),
        SimpleNamespace(inquiry_id="inq_hidden", ledger_id="sg_hidden"),
        SimpleNamespace(inquiry_id="", ledger_id="sg_down"),
    ]
    sourcing = SimpleNamespace(
        id="src_1",
        status="asked",
        attempt=1,
        purpose="inquiry",
        respond_by_ms=3_500,
        asked=asked,
        elements=[SimpleNamespace(unsourced_reason=reason) for reason in ("", "NOBODY_SELLS")],
        passed_over=[SimpleNamespace(reason=reason) for reason in ("SILENT", "LOOP", "SILENT")],
    )
    internal.put("sourcing", sourcing, "iho_1")
    return up, internal, down


def flat(node, depth=0):
    lines = [(depth, node.ledger, node.kind, node.status, node.window, node.window_ends_ms)]
    return lines + [line for child in node.children for line in flat(child, depth + 1)]


async def test_an_inquiry_s_tree_reaches_over_the_tiers_that_the_reader_sees():
    tree = await TradeTree(three_tiers()).inquiry("sg_up", "inq_up")
    assert flat(tree) == [
        (0, "acme-alpha", "inquiry", "received", "response window", 5_000),
        (1, "alpha-int", "inquiry_handover", "sourcing", "time to decide", 4_000),
        (2, "alpha-int", "sof_query", "no", "", 0),
        (2, "alpha-int", "sourcing", "asked", "sellers' window", 3_500),
        (3, "alpha-bravo", "inquiry", "quoted", "", 0),
        (4, "alpha-bravo", "quote", "issued", "validity", 9_000),
    ]
    assert tree.children[0].children[0].detail == "NOT_OFFERED"
    assert tree.children[0].children[1].detail == "NOBODY_SELLS, passed over: SILENT, passed over: LOOP"
    assert tree.children[0].children[1].children[0].children[0].detail == "12.50 EUR over the term"
    assert tree.ledger_ids() == {"sg_up", "sg_int", "sg_down"}


async def test_a_buyer_sees_its_own_ledger_only():
    up, _, _ = three_tiers()
    assert flat(await TradeTree([up]).inquiry("sg_up", "inq_up")) == [
        (0, "acme-alpha", "inquiry", "received", "response window", 5_000)
    ]


async def test_what_a_reader_does_not_see_at_all_is_refused():
    with pytest.raises(Refused):
        await TradeTree(three_tiers()).inquiry("sg_up", "inq_other")


async def test_an_order_s_tree_has_each_bought_order_once_and_its_elements_in_their_places():
    up, down = Shelf("sg_up", "bilateral"), Shelf("sg_down", "bilateral")
    internal = Shelf("sg_int", "internal")
    up.put("order", order("ord_up", service_id="svc_up"))
    up.put("service", SimpleNamespace(id="svc_up", status="in_delivery"))
    down.put("order", order("ord_down", "placed"))
    handover = SimpleNamespace(id="oho_1", status="in_delivery", ledger_id="sg_up", activate_by_ms=7_000, reason="")
    internal.put("order_handover", handover, "ord_up")
    bought = {"source": "external", "order_id": "ord_down", "ledger_id": "sg_down"}
    internal.put("service_element", element(2, status="accepted", **bought), "oho_1")
    internal.put("service_element", element(1, status="accepted", **bought), "oho_1")
    internal.put("service_element", element(0, status="activating", activate_by_ms=6_000), "oho_1")
    assert flat(await TradeTree([up, internal, down]).order("sg_up", "ord_up")) == [
        (0, "sg_up", "order", "accepted", "activation window", 7_000),
        (1, "sg_up", "service", "in_delivery", "", 0),
        (1, "sg_int", "order_handover", "in_delivery", "activation window", 7_000),
        (2, "sg_int", "service_element", "activating", "element window", 6_000),
        (2, "sg_int", "service_element", "accepted", "", 0),
        (3, "sg_down", "order", "placed", "acceptance window", 3_000),
        (2, "sg_int", "service_element", "accepted", "", 0),
    ]


async def test_an_extension_asked_for_counts_down_to_its_answer():
    up = Shelf("sg_up", "bilateral")
    up.put("order", order("ord_up", "extension_requested", extension=SimpleNamespace(answer_by_ms=8_000)))
    tree = await TradeTree([up]).order("sg_up", "ord_up")
    assert (tree.window, tree.window_ends_ms) == ("answer to the extension", 8_000)


def test_every_window_is_one_of_a_status_and_a_member_that_the_contracts_have():
    kinds = {
        kind.name: kind
        for ledger_kind in (BILATERAL, INTERNAL)
        for kind in contract_table(ledger_kind, 1).kinds.values()
    }
    for (kind, status), (member, _) in WINDOWS.items():
        statuses = {found for start, _ in kinds[kind].lifecycle for found in (start,)}
        assert status in statuses, (kind, status)
        assert member in {one.name for one in fields(kinds[kind].record)}, (kind, member)


async def test_a_change_counts_down_to_its_maintenance_or_to_the_time_it_begins():
    up = Shelf("sg_up", "bilateral")
    up.put("order", order("ord_up"))
    window = SimpleNamespace(until_ms=6_500)
    for status, given, due_ms in (("agreed", window, 0), ("accepted", None, 6_000), ("done", window, 0)):
        change = SimpleNamespace(id=f"chg_{status}", status=status, window=given, due_at_ms=due_ms, reason="")
        up.put("service_change", change, "ord_up")
    tree = await TradeTree([up]).order("sg_up", "ord_up")
    assert [(one.status, one.window, one.window_ends_ms) for one in tree.children] == [
        ("agreed", "maintenance window", 6_500),
        ("accepted", "implementation in", 6_000),
        ("done", "", 0),
    ]


@pytest.mark.timeout(300)
async def test_trees_of_real_contracts_show_the_new_inquiry_of_a_recovery_and_changes_with_their_plans():
    network = await played("recovery")
    (tree,) = [one for one in await trees(network, ALPHA, "order") if one.status == "activated"]
    (handover,) = [one for one in tree.children if one.kind == "order_handover"]
    kinds = [(one.kind, one.title.split()[0], one.status) for one in handover.children]
    assert ("service_element", "external", "replaced") in kinds
    (sourcing,) = [one for one in handover.children if one.kind == "sourcing"]
    assert (sourcing.title, sourcing.status) == ("recovery sourcing", "ranked")
    assert {one.ledger for one in sourcing.children} == {"alpha-bravo", "alpha-charlie"}
    assert all(quote.detail.endswith("EUR over the term") for one in sourcing.children for quote in one.children)
    # Its buyer sees nothing of that.
    (tree,) = [one for one in await trees(network, ACME, "order") if one.status == "activated"]
    assert [(one.kind, one.ledger) for one in tree.children] == [("service", "acme-alpha")]

    network = await played("change")
    changed = [one for one in await trees(network, ALPHA, "order") if flat_of(one, "change_plan")]
    assert len(changed) == 1
    assert {one.ledger for one in flat_of(changed[0], "service_change")} == {"acme-alpha", "alpha-bravo"}


async def played(name):
    topology = cast(TIERS, [scenario(name)])
    network = FakeNetwork({who: entry.inventory for who, entry in topology.organizations.items()})
    market = Market(Stage(network, Teller(quiet=True)), pairs_of(TIERS))
    await market.open(tier_terms)
    await scenario(name).play(Set(market, network))
    return network


async def trees(network, who, kind):
    ledgers = [FakeView(network.ledgers[name], who) for name in await network.ledgers_seen(who)]
    (root,) = [ledger for ledger in ledgers if ledger.name == ACME_ALPHA]
    read = getattr(TradeTree(ledgers), kind)
    return [await read(root.id, document.body.id) async for document in root.list(kind)]


def flat_of(node, kind):
    return ([node] if node.kind == kind else []) + [one for child in node.children for one in flat_of(child, kind)]
