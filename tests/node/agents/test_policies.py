"""Policies: the defaults, what the file changes of them, and what is wrong with a file."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.agents.policies import (
    Asked,
    Delay,
    ExtensionAsked,
    Failure,
    Grant,
    MaintenanceAsked,
    OwnOffer,
    Part,
    Policies,
    Process,
    RankedQuote,
    Recovery,
    Seller,
    Window,
)
from node.agents.policy_settings import PolicyFileWrong, read_policy_settings
from smartcontracts.canonical_json import require_canonical
from smartcontracts.internal.rules import OfferingMarkup, Prefer, SourcingRules
from smartcontracts.trade import Action, InquiryItem, ItemRelation
from tests.smartcontracts.trading import YEAR

HOUR_MS = 3_600_000


def settings(tmp_path, text):
    file = tmp_path / "policies.toml"
    file.write_text(text)
    return read_policy_settings(file)


def product(**more):
    whole = {
        "place": [{"id": "porto"}, {"id": "lisbon"}],
        "productConfiguration": {"mbps": 70, "vlan": 5},
        "productOffering": {"id": "line"},
        **more,
    }
    return json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()


def item(item_id="1", offering="line", action=Action.ADD, after=()):
    relations = tuple(ItemRelation(type="reliesOn", item_id=one) for one in after)
    return InquiryItem(id=item_id, action=action, offering=offering, product=product(), relations=relations, term=YEAR)


def asked(*items, attempt=1):
    return Asked(handover_id="hnd_1", buyer="org_a", items=items, attempt=attempt, now_ms=0, respond_by_ms=HOUR_MS)


RECIPES = """
[[recipe]]
offering = "line"

[[recipe]]
offering = "line"
[[recipe.part]]
name = "near"
offering = "port"
keep = ["mbps"]
places = [0]
set = { lag = true, mtu = 9000 }
[[recipe.part]]
name = "far"
offering = "port"
keep = []
places = [1]
after = ["near"]
"""
END_OF_SERVICE = """
termination_pause_ms = 1_000
termination_pause_max_ms = 10_000
termination_window_ms = 5_000
"""
TOLD = """
[[delivery_info]]
offering = "port"
keep = ["vlanId"]
[[delivery_info]]
keep = ["*"]
"""
PART = Part(id="1", item_ids=("1",), offering="line", product=b"{}", term=None, action=Action.ADD)


@pytest.mark.req("Q-23")
def test_without_recipes_each_item_is_one_element_after_those_it_relates_to():
    parts = Policies().decompose(asked(item("1"), item("2", "port", after=("1",))))
    assert [(part.id, part.item_ids, part.offering, part.depends_on) for part in parts] == [
        ("1", ("1",), "line", ()),
        ("2", ("2",), "port", ("1",)),
    ]
    assert parts[0].product == product()
    assert Policies().decompose(asked(item("1"), attempt=2)) == ()


def test_recipes_of_an_offering_are_tried_in_the_order_of_the_file(tmp_path):
    policies = Policies(settings(tmp_path, RECIPES))
    first, second, third = (policies.decompose(asked(item(), attempt=attempt)) for attempt in (1, 2, 3))
    assert [part.id for part in first] == ["1"]
    assert [(part.id, part.offering, part.depends_on) for part in second] == [
        ("1.near", "port", ()),
        ("1.far", "port", ("1.near",)),
    ]
    assert third == ()


def test_a_recipes_part_has_a_canonical_product_of_its_own(tmp_path):
    near, far = Policies(settings(tmp_path, RECIPES)).decompose(asked(item(), attempt=2))
    assert json.loads(near.product) == {
        "place": [{"id": "porto"}],
        "productConfiguration": {"mbps": 70, "lag": True, "mtu": 9000},
        "productOffering": {"id": "port"},
    }
    assert json.loads(far.product) == {
        "place": [{"id": "lisbon"}],
        "productConfiguration": {},
        "productOffering": {"id": "port"},
    }
    for part in (near, far):
        require_canonical(part.product, "product")


def test_an_item_that_relates_to_one_in_parts_comes_after_all_of_these(tmp_path):
    policies = Policies(settings(tmp_path, RECIPES))
    parts = policies.decompose(asked(item("1"), item("2", "firewall", after=("1",)), attempt=2))
    assert {part.id: part.depends_on for part in parts}["2"] == ("1.near", "1.far")


@pytest.mark.parametrize("action", [Action.MODIFY, Action.DELETE])
def test_what_is_in_operation_is_changed_whole(tmp_path, action):
    policies = Policies(settings(tmp_path, RECIPES))
    assert [part.id for part in policies.decompose(asked(item(action=action)))] == ["1"]
    assert policies.decompose(asked(item(action=action), attempt=2)) == ()


def test_sellers_are_all_candidates_or_those_that_the_file_names_for_the_offering(tmp_path):
    candidates = tuple(Seller(organization=f"org_{one}", ledger_id=f"sg_{one}") for one in "abc")

    def chosen(text, offering="line"):
        part = Part(id="1", item_ids=("1",), offering=offering, product=b"{}", term=None, action=Action.ADD)
        found = Policies(settings(tmp_path, text)).sellers(part, candidates)
        return [one.organization for one in found]

    rules = '[[seller]]\noffering = "line"\norganizations = ["org_b"]\n[[seller]]\norganizations = ["org_a", "org_c"]\n'
    assert chosen("") == ["org_a", "org_b", "org_c"]
    assert chosen(rules) == ["org_b"]
    assert chosen(rules, "port") == ["org_a", "org_c"]
    assert chosen("sellers_max = 2") == ["org_a", "org_b"]


PART = Part(id="1", item_ids=("1",), offering="line", product=b"{}", term=None, action=Action.ADD)


def seller(name, **known):
    return Seller(organization=f"org_{name}", ledger_id=f"sg_{name}", **known)


def test_who_only_buys_or_keeps_silent_is_asked_when_nobody_else_is_left(tmp_path):
    policies = Policies(settings(tmp_path, ""))
    good, new = seller("good", buys=True, silences=2), seller("new", sells=False)
    silent, shy = seller("silent", silences=3), seller("shy", sells=False, silences=1)
    buyer, partner = seller("buyer", sells=False, buys=True, silences=1), seller("partner", sells=False, buys=True)
    assert policies.sellers(PART, (good, silent, new, buyer, shy)) == (good, new)
    # Who has bought before it was ever asked is asked: wholesalers buy from each other.
    assert policies.sellers(PART, (silent, partner, buyer)) == (partner,)
    assert policies.sellers(PART, (silent, buyer, shy)) == (silent, shy)
    assert policies.sellers(PART, (buyer,)) == (buyer,)
    assert policies.sellers(PART, ()) == ()
    reasons = [policies.passes_over(PART, one) for one in (good, new, silent, shy, buyer)]
    assert reasons == ["", "", "SILENT", "SILENT", "BUYS_ONLY"]


def test_the_file_says_how_often_and_how_long_a_silence_counts_and_a_named_seller_is_always_asked(tmp_path):
    patient = Policies(settings(tmp_path, "silences_max = 4\nsilence_pause_ms = 1000"))
    for silences, ago_ms, reason in ((3, 0, ""), (4, 999, "SILENT"), (4, 1_000, "")):
        assert patient.passes_over(PART, seller("a", silences=silences, silent_for_ms=ago_ms)) == reason
    named = Policies(settings(tmp_path, '[[seller]]\noffering = "line"\norganizations = ["org_a"]\n'))
    silent_buyer = {"sells": False, "buys": True, "silences": 9}
    assert named.passes_over(PART, seller("a", **silent_buyer)) == ""
    assert named.passes_over(PART, seller("b")) == "NOT_NAMED"
    assert named.sellers(PART, (seller("b"),)) == ()


def ranked(total=10, currency="EUR"):
    return RankedQuote(
        quote_id="q", seller="org_b", rank=1, total_minor=total, currency=currency, lead_time_ms=0, score_tenths=-1
    )


@pytest.mark.parametrize(
    ("prefer", "best", "make", "buy_too"),
    [
        (Prefer.INTERNAL, ranked(1), True, False),
        (Prefer.CHEAPEST, ranked(9), False, True),
        (Prefer.CHEAPEST, ranked(10), True, True),
        (Prefer.CHEAPEST, ranked(1, "USD"), True, True),
        (Prefer.CHEAPEST, None, True, True),
    ],
)
def test_make_or_buy_goes_by_the_rules(prefer, best, make, buy_too):
    own = OwnOffer(total_minor=10, currency="EUR", lead_time_ms=0)
    rules = SourcingRules(prefer=prefer)
    assert Policies().make(PART, own, best, rules) == make
    assert Policies().buy_too(PART, own, rules) == buy_too


def test_prices_and_validity_are_the_rules():
    rules = SourcingRules(markup_basis_points=5, markups=(OfferingMarkup(offering="line", basis_points=7),))
    policies = Policies()
    assert policies.markup_basis_points("line", "org_a", rules) == 7
    assert policies.markup_basis_points("port", "org_a", rules) == 5
    assert policies.quote_validity_ms("org_a", rules) == rules.quote_validity_ms
    assert policies.prefer(PART, (ranked(),)) is None
    assert policies.reuse("org_a", rules.quote_validity_ms // 2, rules)
    assert not policies.reuse("org_a", rules.quote_validity_ms // 2 + 1, rules)
    assert policies.take_late_quote(PART, ranked(), 9, 10)
    assert not policies.take_late_quote(PART, ranked(), 10, 10)


@given(st.sampled_from(Process), st.integers(1, 10 * HOUR_MS))
def test_own_time_never_takes_more_than_a_third_of_a_window(process, window_ms):
    rules = SourcingRules(quoting_ms=60_000, ordering_ms=300_000, delivery_ms=1_800_000)
    kept_ms = Policies().own_time_ms(process, window_ms, rules)
    assert kept_ms == min(getattr(rules, f"{process.value}_ms"), window_ms // 3)


@pytest.mark.parametrize(
    ("failures", "was_internal", "now_ms", "expected"),
    [
        (1, True, 0, Recovery.ALTERNATIVE_EXTERNAL),
        (1, False, 0, Recovery.ALTERNATIVE_INTERNAL),
        (2, False, 0, Recovery.ALTERNATIVE_EXTERNAL),
        (3, True, 0, Recovery.ABANDON),
        (1, True, HOUR_MS, Recovery.ABANDON),
    ],
)
def test_recovery_tries_the_other_source_until_failures_or_time_run_out(failures, was_internal, now_ms, expected):
    failure = Failure(
        element_id="e",
        offering="line",
        was_internal=was_internal,
        cause="TIMEOUT",
        failures=failures,
        now_ms=now_ms,
        activate_by_ms=HOUR_MS,
    )
    assert Policies().recover(failure) == expected


def test_more_time_is_asked_for_as_often_as_the_file_says(tmp_path):
    def ask(extensions=0, expected_ms=0, text=""):
        delay = Delay(order_id="o", now_ms=5, activate_by_ms=10, extensions=extensions, expected_ms=expected_ms)
        found = Policies(settings(tmp_path, text)).ask_extension(delay)
        return found and found.activate_by_ms

    assert ask() == 10 + HOUR_MS
    assert ask(expected_ms=10 * HOUR_MS) == 10 * HOUR_MS
    assert ask(extensions=1) is None
    assert ask(extensions=1, text="extensions_max = 2\nextension_ms = 5000") == 5_010


def test_more_time_is_granted_if_our_own_end_allows_it_and_by_a_customer_at_first(tmp_path):
    def grant(text="", **changes):
        wish = {"order_id": "o", "seller": "s", "now_ms": 0, "activate_by_ms": 5, "asked_ms": 9, "reason": "LATE"}
        return Policies(settings(tmp_path, text)).grant_extension(ExtensionAsked(**wish | changes))

    assert grant() == Grant(granted=True)
    assert grant(extensions=1) == Grant(granted=False)
    assert grant(own_activate_by_ms=9, extensions=0) == Grant(granted=False)
    assert grant(own_activate_by_ms=10, extensions=5) == Grant(granted=True)
    assert grant("waive_penalty = true") == Grant(granted=True, waive_penalty=True)
    assert grant("waive_penalty = true\ngrants_max = 0") == Grant(granted=False)


def test_maintenance_comes_after_its_notice_and_only_if_there_is_time_for_it(tmp_path):
    def window(latest_ms=0, earliest_ms=0, text=""):
        wanted = MaintenanceAsked(
            change_id="c", service_id="s", outage_ms=500, now_ms=1_000, earliest_ms=earliest_ms, latest_ms=latest_ms
        )
        found = Policies(settings(tmp_path, text)).maintenance_window(wanted)
        assert found is None or Policies().agree_maintenance(wanted, found)
        return found

    assert window() == Window(61_000, 61_500)
    assert window(earliest_ms=70_000) == Window(70_000, 70_500)
    assert window(latest_ms=61_499) is None
    assert window(latest_ms=61_500) == Window(61_000, 61_500)
    assert window(text="maintenance_notice_ms = 0") == Window(1_000, 1_500)


@pytest.mark.parametrize("window", [Window(9, 15), Window(15, 21)])
def test_a_window_outside_what_was_asked_is_declined(window):
    wanted = MaintenanceAsked(change_id="c", service_id="s", outage_ms=5, now_ms=0, earliest_ms=10, latest_ms=20)
    assert not Policies().agree_maintenance(wanted, window)
    assert Policies().agree_maintenance(wanted, Window(10, 20))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("failures_max = 0", "failures_max: "),
        ("colour = 1", "colour: there is no such setting"),
        ("[[recipe]]", "recipe.0.offering: "),
        ("sellers_max = 1.5", "not TOML: 1.5 is a fraction"),
        ("= 3", "not TOML"),
        (RECIPES.replace('["near"]', '["other"]'), "recipe[1].part[1].after: other is no earlier part"),
        (RECIPES.replace('name = "far"', 'name = "near"'), "recipe[1].part[1].name: another part is called near"),
        (RECIPES.replace("mtu = 9000", "since = 2026-01-01"), "recipe[1].part[0].set: give texts"),
    ],
)
def test_invalid_policy_file_says_what_is_wrong_and_where(tmp_path, text, words):
    with pytest.raises(PolicyFileWrong) as wrong:
        settings(tmp_path, text)
    assert words in str(wrong.value)


def test_invalid_policy_file_that_is_missing_or_too_large(tmp_path):
    with pytest.raises(PolicyFileWrong, match="No such file"):
        read_policy_settings(tmp_path / "none.toml")
    with pytest.raises(PolicyFileWrong, match="at most 1048576 bytes"):
        settings(tmp_path, "#" * ((1 << 20) + 1))


@pytest.mark.req("X-27")
def test_pauses_between_attempts_to_end_a_service_double_up_to_a_limit_however_many_there_are(tmp_path):
    policies = Policies(settings(tmp_path, END_OF_SERVICE))
    pauses = [policies.termination_pause_ms(attempt) for attempt in (1, 2, 3, 4, 5, 6, 10**6)]
    assert pauses == [1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]
    assert policies.termination_window_ms() == 5_000
    # The first pause holds also where the limit is below it.
    first = Policies(settings(tmp_path, "termination_pause_ms = 5_000\ntermination_pause_max_ms = 2_000\n"))
    assert [first.termination_pause_ms(attempt) for attempt in (1, 2)] == [5_000, 5_000]


@pytest.mark.req("O-08")
def test_a_seller_is_told_of_delivery_information_what_the_files_rules_name(tmp_path):
    given = {"vlanId": 7, "address": "192.0.2.7"}
    policies = Policies(settings(tmp_path, TOLD))
    assert policies.delivery_info(("port",), "org_b", given) == {"vlanId": 7}
    assert policies.delivery_info(("line",), "org_b", given) == given
    assert policies.delivery_info(("port", "line"), "org_b", given) == given
    assert Policies().delivery_info(("port",), "org_b", given) == {}
