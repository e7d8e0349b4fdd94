"""The story's two requests: completed, compared and refused before anything is started."""

from __future__ import annotations

import json

import pytest

from scripts.story.files import (
    AGREEMENT,
    SAMPLE_ORDER,
    SAMPLE_QUOTE,
    FileUnfit,
    mail_addresses,
    read_requests,
    with_one_value_changed,
)
from scripts.story.preflight import check
from tests.node.sonata_samples import quote_item, quote_request, sample


def placeless():
    product = dict(quote_item()["product"])
    del product["place"]
    return product


@pytest.fixture
def file(tmp_path):
    def write(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def test_our_own_samples_are_the_default_and_fit():
    requests = read_requests(None, None)
    assert requests.quote == SAMPLE_QUOTE.read_bytes()
    assert requests.order == SAMPLE_ORDER.read_bytes()
    assert requests.agreement == "Acme and Alpha 2026"


@pytest.mark.parametrize("given", ["quote", "order", "both"])
def test_published_samples_run_alone_and_together(file, given):
    quote = file("q.json", sample("uc04-quote-new-epl.json")) if given != "order" else None
    order = file("o.json", sample("uc05-product-order-new-epl.json")) if given != "quote" else None
    requests = read_requests(quote, order)
    assert requests.agreement == (AGREEMENT if given == "quote" else "Buyer-Seller General Agreement 03/2021")
    assert [item["id"] for item in json.loads(requests.quote)["quoteItem"]] == ["item-001", "item-002", "item-003"]
    assert [item["id"] for item in json.loads(requests.order)["productOrderItem"]] == ["item-001", "item-002", "item-003"]


@pytest.mark.parametrize(
    "name", ["uc09-product-order-evpl-vlan-change-at-the-uni.json", "uc12-product-order-epl-decommission.json"]
)
def test_invalid_orders_that_change_or_end_a_service_are_refused_with_what_would_do(file, name):
    path = file("o.json", sample(name))
    with pytest.raises(FileUnfit, match=r"SONATA_SERVICE_UNKNOWN \(productOrderItem.*action add") as refused:
        read_requests(None, path)
    assert str(path) in str(refused.value)


def test_invalid_requests_of_another_kind_are_refused(file):
    with pytest.raises(FileUnfit, match="SONATA_REQUEST_UNKNOWN"):
        read_requests(file("poq.json", b'{"productOfferingQualificationItem": []}'), None)
    with pytest.raises(FileUnfit, match="give it with --order"):
        read_requests(SAMPLE_ORDER, None)
    with pytest.raises(FileUnfit, match="No such file"):
        read_requests(SAMPLE_ORDER.with_name("absent.json"), None)


def test_invalid_pair_of_files_that_do_not_fit_names_the_items(file):
    quote = file("q.json", sample("uc04-quote-new-epl.json"))
    with pytest.raises(FileUnfit, match="items item-001, item-002, item-003, line, port-lisbon, port-porto differ"):
        read_requests(quote, SAMPLE_ORDER)


def test_invalid_order_that_asks_for_an_expedite_says_what_would_do(file):
    order = json.loads(SAMPLE_ORDER.read_bytes())
    order["productOrderItem"][1]["expediteIndicator"] = True
    with pytest.raises(FileUnfit, match=r"port-lisbon ask for an expedite.*set it to false"):
        read_requests(None, file("o.json", json.dumps(order).encode()))


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"requestedQuoteItemTerm": None}, r"GROUP_MISSING \(items\[0\].term\)"),
        ({"product": placeless()}, r"GROUP_MISSING \(items\[0\].product.place\)"),
        ({"quoteItemRelationship": [{"id": "1", "relationshipType": "T"}]}, "RELATION_CYCLE"),
        ({"quoteItemRelationship": [{"id": "2", "relationshipType": "T"}]}, "RELATION_UNKNOWN"),
    ],
)
def test_invalid_requests_are_refused_in_the_contracts_own_words_before_anything_starts(file, changes, refusal):
    path = file("q.json", quote_request(quote_item("1", **changes)))
    with pytest.raises(FileUnfit, match=refusal):
        check(read_requests(path, None))


@pytest.mark.parametrize("name", ["uc04-quote-new-epl.json", None])
def test_requests_that_run_pass_the_check(file, name):
    check(read_requests(None if name is None else file("q.json", sample(name)), None))


def leaves(value, path=()):
    if isinstance(value, dict):
        return [leaf for key in value for leaf in leaves(value[key], (*path, key))]
    if isinstance(value, list):
        return [leaf for place, one in enumerate(value) for leaf in leaves(one, (*path, place))]
    return [(path, value)]


def test_exactly_one_value_of_an_order_is_changed_and_it_is_an_information_rate():
    changed, path = with_one_value_changed(SAMPLE_ORDER.read_bytes())
    assert path.endswith("bwpFlow.cir.irValue")
    before, after = dict(leaves(json.loads(SAMPLE_ORDER.read_bytes()))), dict(leaves(json.loads(changed)))
    assert before.keys() == after.keys()
    assert [key[-1] for key in before if before[key] != after[key]] == ["irValue"]


@pytest.mark.parametrize(
    ("configuration", "changed"),
    [
        ({"@type": "urn:test:port", "speed": 7, "color": "red"}, ".speed"),
        ({"@type": "urn:test:port", "color": "red"}, ".color"),
        ({"@type": "urn:test:port", "rates": [{"eir": {"irValue": 1, "irUnits": "MBPS"}}], "speed": 2}, ".rates[0].eir.irValue"),
    ],
)
def test_without_a_rate_a_number_is_changed_and_without_that_a_word(file, configuration, changed):
    product = quote_item()["product"] | {"productConfiguration": configuration}
    requests = read_requests(file("q.json", quote_request(quote_item(product=product))), None)
    assert with_one_value_changed(requests.order)[1] == f"productOrderItem[0].product.productConfiguration{changed}"


def test_mail_addresses_are_found_wherever_they_stand():
    assert mail_addresses(SAMPLE_ORDER.read_bytes()) == (
        "ines.prado@acme.example",
        "joana.melo@acme.example",
        "marta.luz@acme.example",
        "rui.tavares@acme.example",
    )
