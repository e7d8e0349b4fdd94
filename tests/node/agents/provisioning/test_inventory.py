"""The inventory file: what it may say, and what is refused with the place of the mistake."""

from __future__ import annotations

import json

import pytest

from node.agents.provisioning import Declined, Outage, OutageMethod
from node.agents.provisioning.inventory import INVENTORY_BYTES_MAX, InventoryWrong, parse, read
from smartcontracts.agreement import PriceType
from smartcontracts.canonical_json import load
from smartcontracts.money import Rate
from tests.node.agents.provisioning.elements import DELETE, INVENTORY, MODIFY, evc, uni

POOL = 'id = "p"\nofferings = ["*"]\ncapacity = 1\nlead_time_ms = 1\ncost = { non_recurring = "1" }\n'
STAR = '"*"'
KIND, ONE = 'offerings = ["*"]\n', '"1"'
FAULT = 'name = "f"\noperation = "activate"\ncause = "BROKEN"\n'


def test_an_offer_has_cost_lead_time_and_attributes():
    (york, backbone) = parse(INVENTORY.encode()).pools
    offer = york.offer(uni())
    assert [(price.price_type, price.rate.nano) for price in offer.cost] == [
        (PriceType.NON_RECURRING, 100 * 10**9),
        (PriceType.RECURRING, 10 * 10**9),
        (PriceType.USAGE_BASED, 10**7),
    ]
    assert {price.rate.currency for price in offer.cost} == {"EUR"}
    assert (offer.lead_time_ms, offer.outage) == (60_000, None)
    assert load(offer.attributes, "attributes") == load(b'{"medium":"fibre","pool":"york","ports":4}', "expected")
    assert load(backbone.offer(evc()).attributes, "attributes") == {"pool": "backbone"}


@pytest.mark.req("Q-25")
def test_what_would_cost_more_than_an_amount_can_say_is_declined():
    """A stranger chooses the bandwidth: it breaks no duty of SOF, and is answered."""
    dear = POOL.replace('{ non_recurring = "1" }', '{ recurring = "1", per_mbps = "1", period = "month" }')
    (pool,) = parse(f'currency = "EUR"\n[[pool]]\n{dear}'.encode()).pools
    assert pool.offer(evc(mbps=100)).lead_time_ms >= 0
    assert pool.offer(evc(mbps=10**12)) == Declined("COST_OUT_OF_RANGE")


@pytest.mark.req("C-08")
def test_an_offer_to_change_has_its_own_price_once_and_says_what_the_change_does():
    york = parse(INVENTORY.encode()).pools[0]
    offer = york.offer(uni(action=MODIFY))
    assert [(price.price_type, price.rate.nano) for price in offer.cost] == [
        (PriceType.NON_RECURRING, 25 * 10**9),
        (PriceType.RECURRING, 10 * 10**9),
        (PriceType.USAGE_BASED, 10**7),
    ]
    assert offer.outage == Outage(outage_ms=600_000, method=OutageMethod.PARALLEL_BUILD_COLD)
    assert offer.lead_time_ms == 1_000


def test_an_offer_to_end_has_one_price_and_no_outage():
    york = parse(INVENTORY.encode()).pools[0]
    offer = york.offer(uni(action=DELETE))
    assert [(price.price_type, price.rate.nano) for price in offer.cost] == [(PriceType.NON_RECURRING, 5_500_000_000)]
    assert (offer.outage.outage_ms, offer.lead_time_ms) == (0, 2_000)


def test_what_costs_nothing_still_has_a_cost():
    costly = parse(f'currency = "EUR"\n[[pool]]\n{POOL}'.encode()).pools[0]
    nothing = POOL.replace('{ non_recurring = "1" }', "{}")
    free = parse(f'currency = "EUR"\n[[pool]]\n{nothing}'.encode()).pools[0]
    assert [price.rate for price in costly.offer(uni()).cost] == [Rate(10**9, "EUR")]
    assert [price.rate for price in free.offer(uni()).cost] == [Rate(0, "EUR")]
    assert [price.rate for price in costly.offer(uni(action=DELETE)).cost] == [Rate(0, "EUR")]


@pytest.mark.parametrize(("mbps", "units"), [(0, 1), (1, 1), (100, 1), (101, 2), (1000, 10)])
def test_bandwidth_takes_units(mbps, units):
    assert parse(INVENTORY.encode()).pools[1].units_for(load(evc(mbps=mbps).product, "product")) == units


@pytest.mark.parametrize(
    ("places", "reached"),
    [
        ('[{"id":"york-1"}]', True),
        ('[{"id":"york-2"}]', False),
        ('[{"city":"York","country":"UK","streetName":"Shambles"}]', True),
        ('[{"city":"York","country":"US"}]', False),
        ('[{"id":"york-1"},{"city":"York","country":"UK"}]', True),
        ('[{"id":"york-1"},{"id":"york-2"}]', False),
        ("[]", False),
        ('["york-1"]', False),
        ('"york-1"', False),
    ],
)
def test_a_pool_reaches_what_has_all_its_places_there(places, reached):
    york, backbone = parse(INVENTORY.encode()).pools
    product = load(f'{{"place":{places}}}'.encode(), "product")
    assert york.reaches(product) is reached
    assert backbone.reaches(product)


def test_json_and_toml_say_the_same(tmp_path):
    pool = {
        "id": "p",
        "offerings": ["*"],
        "locations": [{"city": "York"}],
        "capacity": 1,
        "lead_time_ms": 1,
        "cost": {"non_recurring": "1"},
    }
    as_json, as_toml = tmp_path / "inventory.json", tmp_path / "inventory.toml"
    as_json.write_text(json.dumps({"currency": "EUR", "pool": [pool]}))
    as_toml.write_text(f'currency = "EUR"\n[[pool]]\n{POOL}locations = [{{ city = "York" }}]\n')
    assert read(as_json) == read(as_toml)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("currency = ", "not TOML"),
        ('currency = "EUR"\n', "pool: Field required"),
        (f'currency = "EUX"\n[[pool]]\n{POOL}', "currency: 'EUX' is not a known"),
        (f'currency = "EUR"\nprices = 1\n[[pool]]\n{POOL}', "prices: Extra inputs"),
        (f'currency = "EUR"\n[[pool]]\n{POOL}capacty = 1\n', "pool.0.capacty: Extra inputs"),
        (f'currency = "EUR"\n[[pool]]\n{POOL.replace("capacity = 1", "capacity = -1")}', "pool.0.capacity"),
        (f'currency = "EUR"\n[[pool]]\n{POOL.replace("capacity = 1", "capacity = true")}', "pool.0.capacity"),
        (f'currency = "EUR"\n[[pool]]\n{POOL.replace("capacity = 1", "")}', "pool.0.capacity: Field required"),
        (f'currency = "EUR"\n[[pool]]\n{POOL.replace("lead_time_ms = 1", "")}', "pool.0.lead_time_ms: Field required"),
        (f'currency = "EUR"\n[[pool]]\n{POOL.replace(KIND, "")}', "pool[0]: give offerings"),
        (f'currency = "EUR"\n[[pool]]\n{POOL.replace(ONE, "1.5")}', "write a number with decimals as a text"),
        (f'currency = "EUR"\n[[pool]]\n{POOL.replace(ONE, "1")}', "pool[0].cost.non_recurring: Write the amount"),
        (f'currency = "EUR"\n[[pool]]\n{POOL}change = {{ non_recurring = "-1" }}', "pool[0].change.non_recurring"),
        (f'currency = "EUR"\n[[pool]]\n{POOL}end = {{ non_recurring = "x" }}', "pool[0].end.non_recurring"),
        (f'currency = "EUR"\n[[pool]]\n{POOL}change = {{ method = "magic" }}', "pool.0.change.method"),
        (f'currency = "EUR"\n[[pool]]\n{POOL}attributes = {{ since = 2026-01-01 }}', "pool[0].attributes.since"),
        (f'currency = "EUR"\n[[pool]]\n{POOL}[[pool]]\n{POOL}', "pool[1].id: 'p' stands twice"),
        (f'currency = "EUR"\n[[pool]]\n{POOL}[[fault]]\n{FAULT}[[fault]]\n{FAULT}', "fault[1].name: 'f' stands twice"),
        (f'currency = "EUR"\n[[pool]]\n{POOL}[[fault]]\n{FAULT}pool = "q"\n', "fault[0].pool: there is no pool 'q'"),
        (f'currency = "EUR"\n[[pool]]\n{POOL}[[fault]]\n{FAULT.replace("BROKEN", "broken")}', "fault.0.cause"),
        (f'currency = "EUR"\n[[pool]]\n{POOL}[[fault]]\nname = "f"\noperation = "activate"\n', "fault[0]: give a cause"),
        (f'currency = "EUR"\n[[pool]]\n{POOL}[[fault]]\n{FAULT.replace("activate", "release")}', "a release can be late"),
        (f'currency = "EUR"\n[[pool]]\n{POOL}[[fault]]\n{FAULT.replace("activate", "measure")}offering = "uni"\n', "measure is asked for no offering"),
    ],
)  # fmt: skip
def test_invalid_inventory_names_the_place(text, says):
    with pytest.raises(InventoryWrong) as refused:
        parse(text.encode())
    assert says in str(refused.value)


def test_invalid_inventory_that_is_not_json():
    with pytest.raises(InventoryWrong, match="not JSON"):
        parse(b"{", is_json=True)
    with pytest.raises(InventoryWrong, match="not TOML"):
        parse(b"\xff")


def test_invalid_inventory_too_large_or_missing(tmp_path):
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (INVENTORY_BYTES_MAX + 1))
    with pytest.raises(InventoryWrong, match="at most"):
        read(large)
    with pytest.raises(InventoryWrong, match="can't be read"):
        read(tmp_path / "missing.toml")
