"""Inquiries in a market of agents: down the tiers and back as quotes, whatever stands in the way."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.agents.b_bus import inquiry as b_bus_inquiry
from node.agents.boundaries import Boundary, Moment, boundaries
from node.agents.inquiries import rules_on
from node.agents.policies import Part, Policies, Preference
from node.agents.policy_settings import PolicySettings, Recipe, RecipePart
from node.agents.provisioning.inventory import parse
from node.agents.roster import DUTIES
from node.agents.s_bus.inquiry import CLOCKS_DIFFER_MS
from node.agents.sco.inquiry import QUOTE_OUT_MS
from node.agents.sof.order import CONFIRM, NEWS_MS
from smartcontracts import codec
from smartcontracts.agreement import DiscountRule, PriceTerm, PriceType
from smartcontracts.catalogue import PublishOffering, RequestStandingQuote
from smartcontracts.internal.answer import RecordAnswer
from smartcontracts.internal.decomposition import decomposition_id
from smartcontracts.internal.handover import own_time_ms
from smartcontracts.internal.release import outward_data, release_hash
from smartcontracts.internal.rules import DAY_MS, OWN_TIME_MS_MAX, Prefer, SetSourcingRules, SourcingRules
from smartcontracts.kernel import Role
from smartcontracts.lineage import pseudonym
from smartcontracts.money import Rate, Rounding
from smartcontracts.order import PlaceOrder
from smartcontracts.parameters import RULES_ID
from smartcontracts.quote import IssueQuote, QuoteItem, totals
from smartcontracts.trade import QuoteForm, QuoteLevel, SaltedHash
from tests.node.agents.chains import ask_of_catalogue
from tests.node.agents.desk import Market, pool
from tests.smartcontracts.support import org
from tests.smartcontracts.trading import LINE, PORT_A, PORT_Z, SINGLE, monthly, product

TIERS = (("acme", "alpha"), ("alpha", "bravo"), ("bravo", "charlie"))
DIAMOND = (
    ("acme", "alpha"),
    ("alpha", "bravo"),
    ("alpha", "charlie"),
    ("bravo", "charlie"),
    ("bravo", "delta"),
    ("charlie", "delta"),
)
ALL = (LINE, PORT_A, PORT_Z)
# What alpha makes itself, where it has nothing but a line.
OWN = replace(SINGLE, offering="line", product=product("line", place="rome", sls=True))
# What becomes of an inquiry in the end.
ENDED = {"quoted", "unable", "late_quoted"}


def three_tiers(**options):
    return Market(pairs=TIERS, inventories={"alpha": pool(), "bravo": pool(), "charlie": pool("port")}, **options)


def diamond(**options):
    own = {"alpha": pool("line"), "bravo": pool(), "charlie": pool(), "delta": pool("port")}
    return Market(pairs=DIAMOND, inventories=own, **options)


def customers_quote(market, buyer="acme", seller="alpha"):
    return market.the(market.between(buyer, seller), "quote")


def all_inquiries(market):
    bilateral = [ledger for ledger in market.ledgers.values() if ledger.ledger_kind == "bilateral"]
    return [inquiry for ledger in bilateral for inquiry in market.records(ledger, "inquiry")]


def handover(market, name):
    return market.the(market.internal(name), "inquiry_handover")


def messages(market, ledger):
    return [(commit.role, commit.messages) for commit in market.commits if commit.ledger == ledger]


# Tiers


@pytest.mark.req("L-03", "L-04", "L-20", "L-21", "Q-29", "Q-34", "Q-44", "Q-46")
def test_an_inquiry_goes_down_three_tiers_and_comes_back_as_one_priced_quote():
    market = three_tiers()
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    assert market.failures == []
    quote = customers_quote(market)
    assert quote.items[0].prices[0].rate == Rate(15_208_750_000, "EUR")  # 10.00, marked up by 15 % three times
    assert [inquiry.status for inquiry in all_inquiries(market)] == ["quoted"] * 3
    assert all(inquiry.in_window for inquiry in all_inquiries(market))
    assert [handover(market, name).status for name in ("alpha", "bravo", "charlie")] == ["quoted"] * 3


@pytest.mark.req("Q-17", "Q-24", "Q-45")
def test_every_step_on_an_internal_ledger_is_one_transaction():
    market = three_tiers()
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    assert messages(market, "bravo-internal") == [
        ("s_bus", ("hand_over_inquiry",)),
        ("sco", ("decompose",)),
        ("sof", ("answer_sof_queries",)),
        ("sco", ("request_sourcing",)),
        ("b_bus", ("release_inquiry", "close_asking")),
        ("b_bus", ("record_carried",)),
        ("b_bus", ("record_response", "rank_quotes")),
        ("sco", ("assess",)),
        ("s_bus", ("release_quote",)),
        ("s_bus", ("record_carried",)),
        ("s_bus", ("record_answer",)),
    ]
    assert messages(market, "charlie-internal") == [
        ("s_bus", ("hand_over_inquiry",)),
        ("sco", ("decompose",)),
        ("sof", ("answer_sof_queries",)),
        ("sco", ("assess",)),
        ("s_bus", ("release_quote",)),
        ("s_bus", ("record_carried",)),
        ("s_bus", ("record_answer",)),
    ]


@pytest.mark.req("Q-09", "Q-29", "X-05", "X-06")
def test_each_hop_adds_its_own_pseudonym_and_the_element_keeps_its_name():
    market = three_tiers()
    first = market.ask("acme", "alpha", (SINGLE,))
    market.run()
    names = ("acme", "alpha", "bravo")
    for depth, inquiry in enumerate(all_inquiries(market), 1):
        assert inquiry.ancestors == tuple(pseudonym(first.lineage_key, org(name)) for name in names[:depth])
        assert inquiry.lineage_key == first.lineage_key
        assert inquiry.items[0].lineage_id == first.items[0].lineage_id


@pytest.mark.req("Q-07", "Q-29")
def test_windows_shrink_from_tier_to_tier_by_what_each_keeps():
    market = three_tiers(rules=SetSourcingRules(quoting_ms=4_000))
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    windows = [inquiry.respond_by_ms for inquiry in all_inquiries(market)]
    assert [before - after for before, after in itertools.pairwise(windows)] == [4_000, 4_000]


@pytest.mark.req("Q-29", "Q-30")
def test_a_seller_whose_window_would_be_too_short_is_not_asked():
    terms = {("bravo", "charlie"): {"response_window_min_ms": 30_000}}
    market = three_tiers(terms=terms)
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    sourcing = market.the(market.internal("bravo"), "sourcing")
    assert [one.unsourced_reason for one in sourcing.elements] == ["WINDOW_TOO_SHORT"]
    assert market.records(market.between("bravo", "charlie"), "inquiry") == ()
    assert [inquiry.status for inquiry in all_inquiries(market)] == ["unable", "unable"]
    assert market.failures == []


def apart(ledger, release):
    return ledger.get(ledger.table.kinds["outward_items"], release.items_id) if release.items_id else None


@pytest.mark.req("L-31")
def test_every_outward_act_has_its_release_on_the_internal_ledger():
    market = diamond()
    market.ask("acme", "alpha", ALL)
    market.run()
    released = {
        one.sha256
        for name in ("alpha", "bravo", "charlie", "delta")
        for one in market.records(market.internal(name), "release")
        if one.sha256 == release_hash(one.act, one.salt, outward_data(one, apart(market.internal(name), one)))
    }
    documents = [
        document
        for ledger in market.ledgers.values()
        if ledger.ledger_kind == "bilateral"
        for kind in ("inquiry", "quote", "unable")
        for document in market.records(ledger, kind)
    ]
    by_agents = [one for one in documents if not (hasattr(one, "ancestors") and len(one.ancestors) == 1)]
    assert len(by_agents) > 10
    assert all(one.releases and set(one.releases) <= released for one in by_agents)


@pytest.mark.req("Q-46")
def test_cost_and_mark_up_stay_at_home():
    market = three_tiers()
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    upstream = b"".join(
        codec.encode(record)
        for kind in market.between("acme", "alpha").table.kinds.values()
        for record in market.between("acme", "alpha").all(kind)
    )
    cost = market.the(market.internal("alpha"), "assessment").items[0].cost[0].rate
    assert codec.encode(cost) not in upstream
    assert codec.encode(customers_quote(market).items[0].prices[0].rate) in upstream
    bravos = org("bravo").encode()
    assert bravos not in upstream


# Loops and diamonds


@pytest.mark.req("Q-08", "Q-10", "Q-11")
def test_j_asks_none_of_x_y_and_z_though_it_could_buy_from_them():
    pairs = (("x", "y"), ("y", "z"), ("z", "j"), ("j", "k"), ("j", "x"), ("j", "y"))
    fixed = {("j", seller): {"only_seller": org(seller)} for seller in "xy"}
    market = Market(pairs=pairs, inventories={name: pool() for name in "yzjk"}, terms=fixed)
    first = market.ask("x", "y", (SINGLE,), window_ms=300_000)
    market.run()
    received = handover(market, "j").inquiry
    assert received.ancestors == tuple(pseudonym(first.lineage_key, org(name)) for name in "xyz")
    sourcing = market.the(market.internal("j"), "sourcing")
    assert {asked.seller for asked in sourcing.asked} == {org("k")}
    assert market.records(market.between("j", "x"), "inquiry") == ()
    assert all(inquiry.status == "unable" for inquiry in all_inquiries(market))


@pytest.mark.req("Q-08", "X-05")
def test_in_a_diamond_nobody_is_asked_twice_for_an_element_and_the_customer_gets_its_quote():
    market = diamond()
    market.ask("acme", "alpha", ALL)
    market.run()
    assert market.failures == []
    assert customers_quote(market).items[0].id == "item-001"
    for name in ("bravo", "charlie", "delta"):
        taken = [one for one in market.records(market.internal(name), "inquiry_handover") if one.reason != "DUPLICATE"]
        lineages = [item.lineage_id for one in taken for item in one.inquiry.items]
        assert len(lineages) == len(set(lineages))
    reasons = [one.reason for one in market.records(market.internal("delta"), "inquiry_handover")]
    assert reasons.count("DUPLICATE") == 2
    assert {inquiry.status for inquiry in all_inquiries(market)} <= ENDED


# What sellers do


@pytest.mark.req("Q-05", "Q-31", "Q-34")
def test_a_silent_seller_is_waited_for_until_its_window_ends():
    own = {"alpha": pool(), "bravo": pool("port"), "charlie": pool("port")}
    market = Market(pairs=DIAMOND[:3], inventories=own, silent=("bravo",))
    asked = market.ask("acme", "alpha", (SINGLE,))
    market.run()
    assert market.records(market.between("acme", "alpha"), "quote") == ()
    market.run_until()
    sourcing = market.the(market.internal("alpha"), "sourcing")
    assert {one.outcome for one in sourcing.asked} == {"deemed", "quoted"}
    quote = customers_quote(market)
    assert sourcing.respond_by_ms < quote.issued_at_ms <= asked.respond_by_ms
    assert market.failures == []


@pytest.mark.req("Q-31", "Q-49")
def test_quotes_in_hand_do_not_run_out_while_a_silent_seller_is_waited_for():
    cheap, dear = pool("port", monthly="10.00"), pool("port", monthly="20.00")
    market = Market(
        pairs=(*DIAMOND[:3], ("alpha", "delta")),
        inventories={"alpha": pool(), "bravo": pool("port"), "charlie": cheap, "delta": dear},
        rules=SetSourcingRules(quote_validity_ms=5_000),
        silent=("bravo",),
    )
    asked = market.ask("acme", "alpha", (SINGLE,))
    market.run_until(asked.respond_by_ms)
    (ranking,) = market.records(market.internal("alpha"), "ranking")
    assert [(one.seller, one.remark) for one in ranking.quotes] == [(org("charlie"), ""), (org("delta"), "")]
    waited_ms = market.the(market.internal("alpha"), "sourcing").respond_by_ms
    for name in ("charlie", "delta"):
        assert market.the(market.between("alpha", name), "quote").valid_until_ms == waited_ms + 5_000
    assert customers_quote(market).valid_until_ms == waited_ms + 5_000
    assert market.failures == []


@pytest.mark.req("Q-42")
@pytest.mark.parametrize("quoting_ms", [0, 500])
def test_an_answer_after_a_silent_seller_is_in_time_though_the_rules_keep_less_than_its_commits_take(quoting_ms):
    own = {"alpha": pool(), "bravo": pool("port"), "charlie": pool("port")}
    rules = SetSourcingRules(quoting_ms=quoting_ms)
    market = Market(pairs=DIAMOND[:3], inventories=own, silent=("bravo",), rules=rules, step_ms=250)
    asked = market.ask("acme", "alpha", (SINGLE,))
    market.run_until(asked.respond_by_ms + 60_000)
    inquiry = market.the(market.between("acme", "alpha"), "inquiry")
    assert (inquiry.status, inquiry.in_window) == ("quoted", True)


@pytest.mark.req("Q-49")
def test_a_quote_is_valid_no_longer_than_the_buyers_ledger_takes():
    market = Market(
        pairs=TIERS[:1], inventories={"alpha": pool("port")}, rules=SetSourcingRules(quote_validity_ms=OWN_TIME_MS_MAX)
    )
    ledger = market.between("acme", "alpha")
    rules = ledger.get(ledger.table.kinds["sys"], RULES_ID)
    ledger.write(replace(rules, parameters=replace(rules.parameters, window_max_ms=DAY_MS)))
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    quote = customers_quote(market)
    assert 0 < quote.issued_at_ms + DAY_MS - quote.valid_until_ms <= CLOCKS_DIFFER_MS + 1_000
    assert market.failures == []


def passed_over(market, name="alpha"):
    """Who was not asked at the last sourcing, and why."""
    sourced = max(market.records(market.internal(name), "sourcing"), key=lambda one: one.requested_at_ms)
    return {one.seller: one.reason for one in sourced.passed_over}


@pytest.mark.req("Q-29", "Q-30", "L-13")
def test_a_customer_that_never_answers_is_asked_once_and_not_waited_for_again():
    pairs = (("acme", "alpha"), ("bolt", "alpha"), ("alpha", "bravo"))
    market = Market(pairs=pairs, inventories={"alpha": pool("line"), "bravo": pool("port")})
    market.ask("bolt", "alpha", (OWN,))
    market.run()
    for expected in ({org("acme"): "LOOP"}, {org("acme"): "LOOP", org("bolt"): "BUYS_ONLY"}):
        asked = market.ask("acme", "alpha", (SINGLE,))
        market.run_until()
        (answered,) = (one for one in market.records(market.between("acme", "alpha"), "inquiry") if one.id == asked.id)
        assert answered.in_window
        assert passed_over(market) == expected
    # Its own one, and the one that it left without an answer.
    assert len(market.records(market.between("bolt", "alpha"), "inquiry")) == 2
    assert market.failures == []


def test_a_customer_is_asked_all_the_same_once_it_offers_something():
    pairs = (("acme", "alpha"), ("bolt", "alpha"), ("alpha", "bravo"))
    market = Market(pairs=pairs, inventories={"alpha": pool("line"), "bravo": pool("port")})
    market.ask("bolt", "alpha", (OWN,))
    market.run()
    offer = PublishOffering(
        agreement_id="agr_bolt_alpha",
        offering=SINGLE.offering,
        product=SINGLE.product,
        prices=(monthly(1_000_000_000),),
        term=SINGLE.term,
        quote_validity_ms=60_000,
    )
    market.act(market.between("bolt", "alpha"), "publish_offering", offer, "bolt", "s_bus")
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    assert passed_over(market) == {org("acme"): "LOOP"}
    assert len(market.records(market.between("bolt", "alpha"), "inquiry")) == 2


@pytest.mark.req("Q-31")
def test_a_seller_that_keeps_silent_is_passed_over_for_a_while():
    own = {"alpha": pool(), "bravo": pool("port"), "charlie": pool("port")}
    only = {("alpha", "bravo"): {"only_seller": org("bravo")}}
    market = Market(pairs=DIAMOND[:3], inventories=own, silent=("bravo",), terms=only)
    asked, reasons = [], []
    for pause_ms in (0, 0, 0, 0, 86_400_000):
        market.run_until(market.now_ms + pause_ms)
        market.ask("acme", "alpha", (SINGLE,))
        market.run_until()
        asked.append(len(market.records(market.between("alpha", "bravo"), "inquiry")))
        reasons.append(passed_over(market).get(org("bravo"), ""))
    assert asked == [1, 2, 3, 3, 4]
    assert reasons == ["", "", "", "SILENT", ""]
    assert len(market.records(market.between("acme", "alpha"), "quote")) == 5
    assert market.failures == []


@pytest.mark.req("Q-30", "Q-31")
def test_a_silent_seller_is_asked_when_nobody_else_is_left():
    market = Market(pairs=DIAMOND[:2], inventories={"alpha": pool(), "bravo": pool()}, silent=("bravo",))
    for times in (1, 2, 3):
        market.ask("acme", "alpha", (SINGLE,))
        market.run_until()
        assert len(market.records(market.between("alpha", "bravo"), "inquiry")) == times
    (known,) = [one for one in market.records(market.internal("alpha"), "counterparty") if not one.buys]
    assert (known.organization, known.silences) == (org("bravo"), 3)


def test_policy_need_not_say_why_it_asks_somebody_not():
    class First(Policies):
        def sellers(self, part, candidates):
            return candidates[:1]

    own = {"alpha": pool(), "bravo": pool("port"), "charlie": pool("port")}
    market = Market(pairs=DIAMOND[:3], inventories=own, policies={"alpha": First()})
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    assert sorted(passed_over(market).values()) == ["LOOP", "NOT_CHOSEN"]


def late_market(**policies):
    """bravo is silent; charlie has nothing. alpha's SCO does not decide yet."""
    own = {"alpha": pool(), "bravo": pool("port"), "charlie": pool()}
    market = Market(pairs=DIAMOND[:3], inventories=own, silent=("bravo",), policies=policies)
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    sco = market.desks.pop(("alpha", Role.SCO))
    market.run_until(market.the(market.internal("alpha"), "sourcing").respond_by_ms + 2_000)
    ledger = market.between("alpha", "bravo")
    return market, sco, ledger, market.the(ledger, "inquiry")


def priced_late(market, ledger, inquiry, withheld=0, valid_ms=10**8):
    items = (QuoteItem(id="item-001", prices=(monthly(1_000_000_000),), installation_interval_ms=1_000),)
    once, over_term = totals(items, inquiry, "EUR", Rounding.HALF_UP)
    command = IssueQuote(
        inquiry_id=inquiry.id,
        level=QuoteLevel.FIRM,
        valid_until_ms=market.now_ms + valid_ms,
        items=items,
        one_time_total=once,
        term_total=over_term,
        withheld=tuple(SaltedHash(subject=f"attachment {n}", sha256=bytes(32)) for n in range(withheld)),
    )
    market.act(ledger, "issue_quote", command, "bravo", "s_bus")


@pytest.mark.req("Q-32")
def test_a_late_quote_is_taken_and_counts_while_nothing_is_decided():
    market, sco, ledger, inquiry = late_market()
    assert inquiry.status == "deemed_unable"
    priced_late(market, ledger, inquiry)
    market.run()
    assert market.the(ledger, "inquiry").status == "late_quoted"
    assert market.the(market.internal("alpha"), "received_quote").taken
    market.desks["alpha", Role.SCO] = sco
    market.sweep()
    assert customers_quote(market).items[0].prices[0].rate == Rate(1_150_000_000, "EUR")
    assert market.failures == []


@pytest.mark.req("Q-32")
def test_a_late_quote_is_only_recorded_where_policy_does_not_want_it():
    class Strict(Policies):
        def take_late_quote(self, part, quote, now_ms, respond_by_ms):
            return False

    market, sco, ledger, inquiry = late_market(alpha=Strict())
    priced_late(market, ledger, inquiry)
    market.desks["alpha", Role.SCO] = sco
    market.sweep()
    assert market.the(ledger, "inquiry").status == "deemed_unable"
    assert [one.outcome for one in market.the(market.internal("alpha"), "sourcing").asked].count("late") == 1
    assert market.the(market.between("acme", "alpha"), "inquiry").status == "unable"


@pytest.mark.req("Q-34", "Q-36")
@pytest.mark.parametrize("heard", [True, False])
def test_a_late_quote_that_has_expired_before_its_news_came_is_recorded_too(heard):
    market, sco, ledger, inquiry = late_market()
    market.desks["alpha", Role.SCO] = sco
    market.sweep()  # all is decided, and nothing inside waits for an answer any more
    b_bus = market.desks.pop(("alpha", Role.B_BUS))
    priced_late(market, ledger, inquiry, valid_ms=60_000)
    market.run()
    (quote,) = [one for one in market.records(ledger, "quote") if one.late]
    if heard:
        market.forget_later()
        market.desks["alpha", Role.B_BUS] = b_bus  # hears of the expiry, and of nothing before
    market.run_until(quote.valid_until_ms + 1_000)
    if not heard:
        market.desks["alpha", Role.B_BUS] = b_bus
        market.sweep()
    (quote,) = [one for one in market.records(ledger, "quote") if one.late]
    assert quote.status == "expired"
    (received,) = market.records(market.internal("alpha"), "received_quote")
    assert (received.quote.id, received.taken) == (quote.id, False)
    assert [one.outcome for one in market.the(market.internal("alpha"), "sourcing").asked].count("late") == 1
    assert market.failures == []


@pytest.mark.req("Q-33", "Q-35", "Q-36", "Q-37")
def test_the_best_ranked_is_bought_unless_policy_prefers_another_and_says_why():
    class Loyal(Policies):
        def prefer(self, part: Part, ranked):
            return Preference(ranked[-1].quote_id, "LONG_PARTNER")

    own = {"alpha": pool(), "bravo": pool("port", monthly="30.00"), "charlie": pool("port", monthly="20.00")}
    for policies, bought in (({}, "charlie"), ({"alpha": Loyal()}, "bravo")):
        market = Market(pairs=DIAMOND[:3], inventories=own, policies=policies)
        market.ask("acme", "alpha", (SINGLE,))
        market.run()
        ranking = market.the(market.internal("alpha"), "ranking")
        assert ranking.quotes[0].seller == org("charlie")
        assert ranking.preferred_reason == ("LONG_PARTNER" if policies else "")
        (choice,) = market.the(market.internal("alpha"), "assessment").choices
        received = {one.id: one for one in market.records(market.internal("alpha"), "received_quote")}
        assert received[choice.received_quote_id].seller == org(bought)
        # Both came home as they stand on their ledgers, also the one that was not to be taken.
        given = [market.the(market.between("alpha", name), "quote") for name in ("bravo", "charlie")]
        assert sorted((one.quote for one in received.values()), key=lambda one: one.id) == sorted(
            given, key=lambda one: one.id
        )


@pytest.mark.req("Q-05")
def test_a_preference_that_can_t_be_is_left_out_and_the_buyer_is_answered():
    class Wrong(Policies):
        def prefer(self, part, ranked):
            return Preference("rcq_none", "GOOD")

    own = {"alpha": pool(), "bravo": pool("port"), "charlie": pool()}
    market = Market(pairs=DIAMOND[:3], inventories=own, policies={"alpha": Wrong()})
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    assert market.failures == []
    assert customers_quote(market).items
    assert market.the(market.internal("alpha"), "ranking").preferred_quote_id == ""


@pytest.mark.req("Q-27")
@pytest.mark.parametrize(("prefer", "cost_a_month"), [(Prefer.INTERNAL, 40), (Prefer.CHEAPEST, 23)])
def test_what_could_be_made_is_bought_where_that_is_cheaper_and_the_rules_want_it(prefer, cost_a_month):
    own = {"alpha": pool("port", monthly="40.00"), "bravo": pool("port", monthly="20.00")}
    market = Market(pairs=DIAMOND[:2], inventories=own, rules=SetSourcingRules(prefer=prefer))
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    assert market.failures == []
    cost = market.the(market.internal("alpha"), "assessment").items[0].cost[0].rate.nano
    assert cost == cost_a_month * 10**9
    reasons = [one.reason for each in market.records(market.internal("alpha"), "sourcing") for one in each.elements]
    assert reasons == (["discretionary"] if prefer == Prefer.CHEAPEST else [])


# What sellers cannot do


@pytest.mark.req("Q-41")
def test_what_nobody_sells_together_is_asked_for_one_by_one_in_a_second_attempt():
    own = {"alpha": pool(), "bravo": pool("port"), "charlie": pool("line")}
    market = Market(pairs=DIAMOND[:3], inventories=own)
    market.ask("acme", "alpha", ALL)
    market.run()
    found = handover(market, "alpha")
    assert (found.status, found.attempt) == ("quoted", 2)
    queries = market.records(market.internal("alpha"), "sof_query")
    assert sorted((query.attempt, query.element.id) for query in queries) == [
        (attempt, item.id) for attempt in (1, 2) for item in ALL
    ]
    assert [len(one.received_quote_ids) for one in market.records(market.internal("alpha"), "assessment")].count(3) == 1
    assert found.decided_in_window


@pytest.mark.req("Q-41")
def test_where_no_time_is_left_for_sellers_another_way_is_tried_that_needs_none():
    class Slow(Policies):
        def own_time_ms(self, process, window_ms, rules):
            return window_ms

    ways = tuple(Recipe(offering="port", part=(RecipePart(name=name, offering=name),)) for name in ("core", "line"))
    market = Market(
        pairs=DIAMOND[:2],
        inventories={"alpha": pool("line"), "bravo": pool("core")},
        policies={"alpha": Slow(PolicySettings(recipe=ways))},
    )
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    found = handover(market, "alpha")
    assert (found.status, found.attempt, found.decided_in_window) == ("quoted", 2, True)
    assert market.records(market.internal("alpha"), "sourcing") == ()
    assert market.failures == []


@pytest.mark.req("Q-05", "Q-06", "Q-44")
def test_an_inquiry_that_nobody_can_serve_is_answered_with_the_reason():
    market = Market(pairs=TIERS, inventories={"alpha": pool(), "bravo": pool(), "charlie": pool()})
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    assert [inquiry.status for inquiry in all_inquiries(market)] == ["unable"] * 3
    assert market.the(market.between("acme", "alpha"), "inquiry").unable_reason == "NO_CAPACITY"


@pytest.mark.req("Q-05")
@pytest.mark.parametrize("parts", ["twice", "nothing"])
def test_an_inquiry_is_answered_whatever_policy_makes_of_it(parts):
    class Wrong(Policies):
        def decompose(self, asked):
            good = super().decompose(asked)
            return (*good, *good) if parts == "twice" else ()

    market = Market(pairs=TIERS[:1], inventories={"alpha": pool("port")}, policies={"alpha": Wrong()})
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    assert market.the(market.between("acme", "alpha"), "inquiry").unable_reason == "NOT_DECOMPOSED"


@pytest.mark.req("Q-05")
def test_a_quote_that_the_buyers_ledger_refuses_becomes_unable_to_quote():
    bound = PriceTerm(
        seller=org("alpha"), price_type=PriceType.RECURRING, rate=Rate(1, "EUR"), period_ms=30 * 86_400_000
    )
    market = Market(pairs=TIERS[:1], inventories={"alpha": pool("port")}, terms={TIERS[0]: {"price_terms": (bound,)}})
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    assert market.the(market.between("acme", "alpha"), "inquiry").unable_reason == "QUOTE_REFUSED"
    assert handover(market, "alpha").status == "unable"
    assert market.failures == []


@pytest.mark.req("Q-05")
def test_a_quote_that_cannot_be_written_becomes_unable_to_quote_and_waits_for_nobody():
    """A mark-up that makes a price that can't be: the duty of S-BUS fails each time, and the buyer would wait for ever."""

    class Greedy(Policies):
        def markup_basis_points(self, offering, buyer, rules):
            return 5_000

    own = {"alpha": pool("port", monthly="7000000000.00")}
    market = Market(pairs=TIERS[:1], inventories=own, policies={"alpha": Greedy()})
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    assert handover(market, "alpha").status == "to_quote"
    decided_ms = handover(market, "alpha").decided_at_ms
    for after_ms, status in ((QUOTE_OUT_MS - 1_000, "to_quote"), (QUOTE_OUT_MS + 1_000, "unable")):
        market.run_until(decided_ms + after_ms)
        market.sweep()
        assert handover(market, "alpha").status == status
    assert market.the(market.between("acme", "alpha"), "inquiry").unable_reason == "NOT_QUOTED"


@pytest.mark.req("Q-05", "Q-34")
@pytest.mark.parametrize("late", [False, True])
def test_a_quote_too_large_to_copy_counts_as_none_and_holds_nobody_up(late, monkeypatch):
    """One seller could size its answer so that no sourcing that it was asked in was ever ranked."""
    monkeypatch.setattr(b_bus_inquiry, "QUOTE_BYTES_MAX", 1_500)
    own = {"alpha": pool(), "bravo": pool("port"), "charlie": pool("port")}
    market = Market(pairs=DIAMOND[:3], inventories=own, silent=("bravo",))
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    ledger = market.between("alpha", "bravo")
    if late:
        market.run_until(market.the(market.internal("alpha"), "sourcing").respond_by_ms + 2_000)
    priced_late(market, ledger, market.the(ledger, "inquiry"), withheld=50)
    market.run()
    market.sweep()
    answers = {one.seller: (one.outcome, one.reason) for one in market.the(market.internal("alpha"), "sourcing").asked}
    assert answers == {org("bravo"): ("unable", "QUOTE_TOO_LARGE"), org("charlie"): ("quoted", "")}
    assert customers_quote(market).items
    assert market.failures == []


@pytest.mark.req("Q-25", "Q-42")
@pytest.mark.parametrize(("delay_ms", "status"), [(5_000, "quoted"), (500_000, "unable")])
def test_provisioning_that_answers_later_is_waited_for_while_there_is_time(delay_ms, status):
    inventory = parse(
        f'currency = "EUR"\n[[pool]]\nid = "main"\nofferings = ["port"]\ncapacity = 9\nlead_time_ms = 1\n'
        f'cost = {{ recurring = "10.00", period = "month" }}\n'
        f'[[fault]]\nname = "slow"\noperation = "query"\ndelay_ms = {delay_ms}\n'.encode()
    )
    market = Market(pairs=TIERS[:1], inventories={"alpha": inventory})
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    assert handover(market, "alpha").queries_open == 1
    market.run_until()
    inquiry = market.the(market.between("acme", "alpha"), "inquiry")
    assert (inquiry.status, inquiry.in_window) == (status, True)
    assert handover(market, "alpha").decided_in_window


# Prices


@pytest.mark.req("Q-43")
def test_the_agreements_discount_is_given():
    rule = DiscountRule(id="d1", seller=org("alpha"), price_type=PriceType.RECURRING, basis_points=1_000)
    market = Market(pairs=TIERS[:1], inventories={"alpha": pool("port")}, terms={TIERS[0]: {"discounts": (rule,)}})
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    (price,) = customers_quote(market).items[0].prices
    assert (price.rate.nano, price.list_rate.nano, price.discount_id) == (10_350_000_000, 11_500_000_000, "d1")
    assert market.failures == []


@pytest.mark.req("Q-40", "Q-43")
def test_policy_may_quote_all_items_in_one_and_buyers_of_it_understand():
    class Bundling(Policies):
        def quote_form(self, buyer, items):
            return QuoteForm.BUNDLED

    rule = DiscountRule(id="d1", seller=org("bravo"), price_type=PriceType.RECURRING, basis_points=1_000)
    market = Market(
        pairs=DIAMOND[:2],
        inventories={"alpha": pool(), "bravo": pool("port", "line")},
        policies={"bravo": Bundling()},
        terms={DIAMOND[1]: {"discounts": (rule,)}},
    )
    market.ask("acme", "alpha", ALL)
    market.run()
    assert market.failures == []
    sold = customers_quote(market, "alpha", "bravo")
    assert (sold.form, [price.rate.nano for price in sold.bundle]) == ("bundled", [31_050_000_000])
    asked = customers_quote(market)
    assert asked.form == "itemised"
    assert [item.prices[0].rate.nano for item in asked.items] == [35_707_500_000, 0, 0]


@pytest.mark.req("Q-46")
def test_policy_may_mark_up_otherwise_than_the_rules():
    class Dear(Policies):
        def markup_basis_points(self, offering, buyer, rules):
            return 10_000

    market = Market(pairs=TIERS[:1], inventories={"alpha": pool("port")}, policies={"alpha": Dear()})
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    assert customers_quote(market).items[0].prices[0].rate.nano == 20_000_000_000
    assert handover(market, "alpha").markups[0].basis_points == 10_000


@pytest.mark.req("Q-20", "Q-21")
def test_a_quote_to_the_same_request_is_used_again_for_another_buyer():
    market = Market(pairs=(("acme", "alpha"), ("bolt", "alpha")), inventories={"alpha": pool("port")})
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    market.ask("bolt", "alpha", (replace(SINGLE, id="mine"),))
    market.run()
    first, second = sorted(
        market.records(market.internal("alpha"), "inquiry_handover"), key=lambda one: one.handed_over_at_ms
    )
    assert (first.repurposed_from, second.repurposed_from) == ("", first.id)
    queries = [one for one in market.records(market.internal("alpha"), "sof_query") if one.subject_id == second.id]
    assert [(query.status, query.asked_at_ms > first.answered_at_ms) for query in queries] == [("yes", True)]
    assert customers_quote(market, "bolt", "alpha").items[0].id == "mine"
    text = b"".join(codec.encode(one) for one in market.records(market.between("bolt", "alpha"), "quote"))
    assert first.id.encode() not in text
    assert market.failures == []


@pytest.mark.req("Q-20")
def test_a_quote_to_who_wished_for_another_lead_time_is_not_used_again_and_provisioning_hears_the_new_wish():
    market = Market(pairs=(("acme", "alpha"), ("bolt", "alpha")), inventories={"alpha": pool("port")})
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    market.ask("bolt", "alpha", (replace(SINGLE, installation_interval_ms=DAY_MS),))
    market.run()
    (second,) = [
        one for one in market.records(market.internal("alpha"), "inquiry_handover") if one.inquiry.buyer == org("bolt")
    ]
    assert (second.status, second.repurposed_from) == ("quoted", "")
    queries = [one for one in market.records(market.internal("alpha"), "sof_query") if one.subject_id == second.id]
    assert [query.element.installation_interval_ms for query in queries] == [DAY_MS]
    assert market.failures == []


def asked_again(market, places):
    """So many other buyers have had the same quote from alpha; only its contract is at work here."""
    ledger = market.internal("alpha")
    pattern = next(
        one for one in market.records(ledger, "inquiry_handover") if one.answer_id and not one.repurposed_from
    )
    release = ledger.get(ledger.table.kinds["release"], pattern.release_id)
    parts = ledger.get(ledger.table.kinds["decomposition"], decomposition_id(ledger.ledger_id, pattern.id, 1))
    for place in places:
        alike = f"iho_alike_{place:04}"
        ledger.write(replace(parts, id=decomposition_id(ledger.ledger_id, alike, 1), subject_id=alike))
        ledger.write(replace(release, id=f"rel_alike_{place:04}", subject_id=alike))
        ledger.write(replace(pattern, id=alike, status="to_quote", release_id=f"rel_alike_{place:04}", answer_id=""))
        market.act(ledger, "record_answer", RecordAnswer(handover_id=alike), "alpha", "s_bus")
    market.run()
    return ledger


@pytest.mark.req("Q-20")
def test_a_quote_is_found_again_at_the_same_cost_after_a_thousand_that_are_alike():
    market = Market(pairs=(("acme", "alpha"), *((name, "alpha") for name in "bc")), inventories={"alpha": pool("port")})
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    read = []
    for buyer, places in (("b", range(1)), ("c", range(1, 1_001))):
        ledger = asked_again(market, places)
        before = market.records_read
        market.ask(buyer, "alpha", (SINGLE,))
        market.run()
        read.append(market.records_read - before)
        reused = next(
            one for one in market.records(ledger, "inquiry_handover") if one.inquiry.buyer == org(buyer)
        ).repurposed_from
        assert reused == f"iho_alike_{places[-1]:04}"
    assert read[0] == read[1]
    assert len(market.records(ledger, "reusable_quote")) == 1
    assert market.failures == []


# Scale


def test_fifty_sellers_are_asked_for_one_element():
    sellers = [f"s{number}" for number in range(50)]
    pairs = (("acme", "alpha"), *(("alpha", seller) for seller in sellers))
    own = {"alpha": pool(), **{seller: pool("port", monthly=f"{10 + n}.00") for n, seller in enumerate(sellers)}}
    market = Market(pairs=pairs, inventories=own)
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    assert market.failures == []
    ranking = market.the(market.internal("alpha"), "ranking")
    assert [one.seller for one in ranking.quotes] == [org(seller) for seller in sellers]
    at_alpha = [
        names for role, names in messages(market, "alpha-internal") if role == "b_bus" and names[0] != "record_carried"
    ]
    assert [len(names) for names in at_alpha] == [51, 51]
    assert customers_quote(market).items[0].prices[0].rate.nano == 13_225_000_000


def test_sixty_four_elements_are_made_and_bought():
    items = tuple(replace(PORT_A if number % 2 else LINE, id=f"i{number:02}", relations=()) for number in range(1, 64))
    first = replace(LINE, id="i00", relations=tuple(replace(LINE.relations[0], item_id=item.id) for item in items))
    market = Market(pairs=TIERS[:2], inventories={"alpha": pool("line"), "bravo": pool("port")})
    market.ask("acme", "alpha", (first, *items))
    market.run()
    assert market.failures == []
    assert len(customers_quote(market).items) == 64
    assert len(market.the(market.internal("alpha"), "assessment").choices) == 64


def test_a_chain_of_ten_tiers_quotes():
    names = [f"p{number}" for number in range(11)]
    pairs = tuple(itertools.pairwise(names))
    market = Market(
        pairs=pairs,
        inventories={name: pool(*(["port"] if name == "p10" else [])) for name in names[1:]},
        terms={pair: {"response_window_min_ms": 10_000} for pair in pairs},
    )
    market.ask("p0", "p1", (SINGLE,), window_ms=900_000)
    market.run()
    assert market.failures == []
    assert [inquiry.status for inquiry in all_inquiries(market)] == ["quoted"] * 10
    assert [len(inquiry.ancestors) for inquiry in all_inquiries(market)] == list(range(1, 11))


def test_more_sellers_than_one_transaction_holds_are_asked_in_several():
    sellers = [f"s{number}" for number in range(100)]
    pairs = (("acme", "alpha"), *(("alpha", seller) for seller in sellers))
    own = {"alpha": pool(), **{seller: pool("port") for seller in sellers[:2]}}
    market = Market(pairs=pairs, inventories=own)
    market.ask("acme", "alpha", (SINGLE,))
    market.run()
    asking = [names for role, names in messages(market, "alpha-internal") if role == "b_bus" and "release" in names[0]]
    assert [len(names) for names in asking] == [90, 11]
    market.run_until()
    assert market.failures == []
    outcomes = [one.outcome for one in market.the(market.internal("alpha"), "sourcing").asked]
    assert (outcomes.count("quoted"), outcomes.count("deemed")) == (2, 98)
    assert customers_quote(market).status == "issued"


@pytest.mark.req("Q-05", "X-09")
def test_agents_that_were_away_for_an_hour_still_answer():
    market = three_tiers()
    away = {key: market.desks.pop(key) for key in list(market.desks)}
    asked = market.ask("acme", "alpha", (SINGLE,))
    market.ask("acme", "alpha", (replace(SINGLE, id="other"),))
    market.run_until(market.now_ms + 3_600_000)
    assert {inquiry.status for inquiry in all_inquiries(market)} == {"deemed_unable"}
    market.desks.update(away)
    market.sweep()
    market.run_until()
    assert market.failures == []
    answered = all_inquiries(market)
    assert {inquiry.unable_reason for inquiry in answered} == {"WINDOW_TOO_SHORT"}
    assert all(inquiry.answered_at_ms > asked.respond_by_ms for inquiry in answered)


@pytest.mark.req("Q-32", "X-09")
def test_what_can_be_made_is_quoted_late_by_agents_that_were_away():
    market = Market(pairs=TIERS[:1], inventories={"alpha": pool("port")})
    away = {key: market.desks.pop(key) for key in list(market.desks)}
    market.ask("acme", "alpha", (SINGLE,))
    market.run_until(market.now_ms + 3_600_000)
    market.desks.update(away)
    market.sweep()
    assert customers_quote(market).late
    assert market.failures == []


@pytest.mark.req("Q-32", "X-09")
@pytest.mark.parametrize("pause_ms", [55_000, 3_600_000], ids=["in-window", "after-it"])
def test_what_is_taken_apart_after_the_time_to_decide_waits_for_provisioning(pause_ms):
    market = Market(pairs=TIERS[:1], inventories={"alpha": pool("port")})
    away = {key: market.desks.pop(key) for key in list(market.desks) if key[1] in (Role.SCO, Role.SOF)}
    market.ask("acme", "alpha", (SINGLE,), window_ms=60_000)
    market.run_until(market.now_ms + pause_ms)
    assert handover(market, "alpha").decision_due
    # SCO is back before SOF is: it sees its own queries open.
    market.desks.update({key: desk for key, desk in away.items() if key[1] == Role.SCO})
    market.sweep()
    market.desks.update(away)
    market.sweep()
    assert customers_quote(market).late == (pause_ms > 60_000)
    assert market.failures == []


@pytest.mark.req("Q-42", "X-09")
def test_what_is_taken_apart_after_its_window_is_refused_if_provisioning_does_not_answer():
    market = Market(pairs=TIERS[:1], inventories={"alpha": pool("port")})
    away = {key: market.desks.pop(key) for key in list(market.desks) if key[1] in (Role.SCO, Role.SOF)}
    market.ask("acme", "alpha", (SINGLE,), window_ms=60_000)
    market.run_until(market.now_ms + 3_600_000)
    market.desks.update({key: desk for key, desk in away.items() if key[1] == Role.SCO})
    market.sweep()
    begun_ms = market.now_ms
    market.run_until(market.now_ms + 3_600_000)
    (answered,) = all_inquiries(market)
    assert answered.unable_reason == "WINDOW_OVER"
    assert begun_ms + 30_000 < answered.answered_at_ms < begun_ms + 120_000
    assert market.failures == []


# Kills


class Killed(Exception):
    pass


def outcome(market):
    """What is left at the end, without ids and times."""
    return {
        name: sorted(
            (kind.name, str(getattr(record, "status", "")))
            for kind in ledger.table.kinds.values()
            for record in ledger.all(kind)
            if kind.name not in ("organization", "member", "sys")
        )
        for name, ledger in market.ledgers.items()
    }


def passages():
    seen = []
    market = diamond(observe=lambda boundary, _: seen.append(boundary))
    market.ask("acme", "alpha", ALL)
    market.run()
    return market, seen


def places_to_kill_at():
    """The first and the last passage of every boundary that the story passes."""
    _, seen = passages()
    first = {boundary: place for place, boundary in reversed(list(enumerate(seen)))}
    last = {boundary: place for place, boundary in enumerate(seen)}
    return sorted({*first.values(), *last.values()})


@pytest.mark.timeout(400)
def test_agents_that_are_killed_at_any_boundary_end_alike():
    whole, seen = passages()
    assert set(seen) <= set(boundaries(duty for duties in DUTIES.values() for duty in duties))
    for place in places_to_kill_at():
        count = itertools.count()

        def kill(boundary, _, place=place, count=count):
            if next(count) == place:
                raise Killed(boundary)

        market = diamond(observe=kill)
        market.ask("acme", "alpha", ALL)
        market.run()
        assert [type(error) for *_, error in market.failures] == [Killed]
        market.sweep()
        market.run_until(market.now_ms + 30_000)
        assert [type(error) for *_, error in market.failures] == [Killed], seen[place]
        ended = {inquiry.status for inquiry in all_inquiries(market)}
        assert ended <= ENDED, seen[place]
        # Which of two ways to one seller is the duplicate depends on who comes first: what there is of each does not.
        assert {name: len(records) for name, records in outcome(market).items() if name == "acme-alpha"} == {
            name: len(records) for name, records in outcome(whole).items() if name == "acme-alpha"
        }
        assert outcome(market)["acme-alpha"] == outcome(whole)["acme-alpha"], seen[place]


def test_a_sweep_over_what_is_done_does_nothing():
    market, _ = passages()
    before = {name: ledger.root() for name, ledger in market.ledgers.items()}
    market.sweep()
    assert {name: ledger.root() for name, ledger in market.ledgers.items()} == before
    assert market.failures == []


# Any market


NAMES = ("alpha", "bravo", "charlie", "delta", "echo")


@pytest.mark.req("Q-05", "Q-08", "Q-09", "Q-34")
@given(st.data())
@settings(max_examples=25, deadline=None)
def test_in_any_market_every_inquiry_ends_in_its_window_and_none_goes_round(data):
    possible = list(itertools.permutations(NAMES, 2))
    links = data.draw(st.lists(st.sampled_from(possible), max_size=8, unique_by=lambda pair: tuple(sorted(pair))))
    sells = {name: data.draw(st.sampled_from([(), ("port",), ("line",), ("port", "line")])) for name in NAMES}
    silent = data.draw(st.sets(st.sampled_from(NAMES[1:]), max_size=1))
    market = Market(
        pairs=(("acme", "alpha"), *links),
        inventories={name: pool(*offerings) for name, offerings in sells.items()},
        silent=silent,
    )
    market.ask("acme", "alpha", data.draw(st.sampled_from([(SINGLE,), ALL])))
    market.run_until()
    assert market.failures == []
    lone = {org(name) for name in silent}
    for inquiry in all_inquiries(market):
        assert inquiry.status in ENDED or inquiry.seller in lone
        assert inquiry.in_window or inquiry.seller in lone
        assert pseudonym(inquiry.lineage_key, inquiry.seller) not in inquiry.ancestors
        assert inquiry.ancestors[-1] == pseudonym(inquiry.lineage_key, inquiry.buyer)
    for name in NAMES:
        for one in market.records(market.internal(name), "inquiry_handover"):
            assert one.status in ("quoted", "unable") or name in silent
        for sourcing in market.records(market.internal(name), "sourcing"):
            assert sourcing.status == "ranked"
            assert all(asked.outcome != "waiting" for asked in sourcing.asked)


async def test_rules_have_defaults():
    market = three_tiers()
    rules = await rules_on(market.desks["alpha", Role.SCO].internal)
    assert rules == SourcingRules()
    assert own_time_ms(rules, 60_000) == 20_000


@pytest.mark.req("X-75", "L-19")
@pytest.mark.parametrize(("offerings", "status"), [(("port",), "quoted"), ((), "unable")])
def test_the_elements_behind_a_catalogues_quote_are_found_once_it_is_ordered(offerings, status):
    market = Market(pairs=TIERS[:2], inventories={"alpha": pool(), "bravo": pool(*offerings)})
    ledger = market.between("acme", "alpha")
    ask_of_catalogue(market)
    market.run()
    assert market.records(market.internal("alpha"), "inquiry_handover") == ()
    quote = customers_quote(market)
    order = PlaceOrder(quote_id=quote.id, acceptance_window_ms=300_000, activation_window_ms=10**8)
    placed = market.act(ledger, "place_order", order, "acme", "b_bus")
    market.run()
    found = handover(market, "alpha")
    assert (found.status, found.standing_quote_id) == (status, quote.id)
    assert found.respond_by_ms < placed.accept_by_ms
    chosen = [one.choices for one in market.records(market.internal("alpha"), "assessment") if one.chainable]
    assert len(chosen) == (1 if offerings else 0)
    assert market.failures == []


@pytest.mark.req("X-75", "O-17")
def test_an_order_on_a_catalogues_quote_holds_capacity_no_longer_than_it_may_be_accepted():
    held = []

    def look(boundary, _):
        if boundary == Boundary("sof", "confirm_elements", Moment.BEFORE, CONFIRM):
            held.extend(market.desks["alpha", Role.SOF].provisioning.live_bookings())

    market = Market(pairs=TIERS[:1], inventories={"alpha": pool("port")}, observe=look)
    ledger = market.between("acme", "alpha")
    publish = PublishOffering(
        agreement_id="agr_acme_alpha",
        offering="port",
        product=SINGLE.product,
        prices=(monthly(50_000_000_000),),
        term=SINGLE.term,
        quote_validity_ms=10**9,
    )
    offering = market.act(ledger, "publish_offering", publish, "alpha", "s_bus")
    request = RequestStandingQuote(
        offering_id=offering.id, items=(SINGLE,), lineage_key=bytes(32), ancestors=(pseudonym(bytes(32), org("acme")),)
    )
    quote = market.act(ledger, "request_standing_quote", request, "acme", "b_bus")
    windows = {"acceptance_window_ms": 300_000, "activation_window_ms": ledger.parameters.window_max_ms}
    placed = market.act(ledger, "place_order", PlaceOrder(quote_id=quote.id, **windows), "acme", "b_bus")
    market.run()
    assert [booking.until_ms for booking in held] == [placed.accept_by_ms + NEWS_MS]
    assert market.the(ledger, "order").status == "activated"


def test_what_no_amount_can_be_breaks_no_duty_and_the_buyer_gets_an_answer():
    dear = pool(SINGLE.offering, monthly="9000000000.00")
    market = Market(
        pairs=(("acme", "alpha"), ("alpha", "bravo")),
        inventories={"alpha": dear, "bravo": dear},
        rules=SetSourcingRules(prefer=Prefer.CHEAPEST),
    )
    item = replace(SINGLE, term=replace(SINGLE.term, amount=100_000))
    inquiry = market.ask("acme", "alpha", (item,))
    market.run_until(market.now_ms + 600_000)
    assert market.failures == []
    assert market.the(market.between("acme", "alpha"), "inquiry").status == "unable", inquiry
