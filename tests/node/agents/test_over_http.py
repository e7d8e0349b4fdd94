"""SOF before a provisioning system of TM Forum's shapes, on real contracts: one that answers later, fails now and then, and is asked again."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from node.agents.policies import Policies
from node.agents.provisioning import tmf
from node.agents.provisioning.http import HttpProvisioning
from node.agents.provisioning.transport import Answer, Unreachable
from smartcontracts.kernel import Role
from smartcontracts.order import PlaceOrder
from tests.node.agents.chains import ACCEPTANCE_MS, ACTIVATION_MS, ITEMS, Chain
from tests.node.agents.desk import Market, pool
from tests.node.agents.provisioning.stub import PREFIX, Stub

PRICE = {
    "priceType": "recurring",
    "recurringChargePeriod": "month",
    "amount": {"unit": "EUR", "value": "10.00"},
}


class Oss:
    """Keeps services. What is asked for is acknowledged, and done three seconds later; every other answer to a request is lost."""

    def __init__(self, now_ms):
        self.stub = Stub(self._begun)
        self.now_ms = now_ms
        self.services = {}
        self.lost = 0

    async def exchange(self, method, target, body=b""):
        self._go_on()
        head, _, said = self.stub._respond(method, f"{PREFIX}{target}", body).partition(b"\r\n\r\n")
        if method == "POST" and sum(map(len, self.stub.made.values())) % 2:
            self.lost += 1
            raise Unreachable("the connection was closed before an answer")
        return Answer(status=int(head.split()[1]), body=said)

    def made(self, collection):
        return self.stub.made.get(f"{collection}", [])

    def states(self):
        return Counter(one["state"] for one in self.services.values())

    def _begun(self, collection, request):
        made = sum(map(len, self.stub.made.values()))
        return {**request, "id": f"r-{made}", "state": "acknowledged", "doneBy": self.now_ms() + 3_000}

    def _go_on(self):
        for collection, kept in self.stub.made.items():
            for place, resource in enumerate(kept):
                if resource["state"] == "acknowledged" and resource["doneBy"] <= self.now_ms():
                    kept[place] = self._done(collection, resource)

    def _done(self, collection, resource):
        if collection == tmf.QUALIFICATIONS:
            found = [{"name": "cost", "value": [PRICE]}, {"name": "leadTimeMs", "value": 60_000}]
            item = {"id": "1", "state": "done", "qualificationResult": "qualified"}
            items = [{**item, "service": {"serviceCharacteristic": found}}]
            return {**resource, "state": "done", "serviceQualificationItem": items}
        if collection == tmf.TESTS:
            measure = {"metricName": "loss", "value": {"name": "loss", "value": "0"}}
            return {**resource, "state": "completed", "testMeasure": [measure]}
        (item,) = resource["serviceOrderItem"]
        service = {"id": f"s-{len(self.services)}", **item["service"]}
        self.services[service["id"]] = {**self.services.get(service["id"], {}), **service}
        return {**resource, "state": "completed", "serviceOrderItem": [{**item, "service": service}]}


class OverHttp(Market):
    """A market in which alpha's SOF asks an `Oss`."""

    def __init__(self, **options):
        self.oss = Oss(lambda: self.now_ms)
        super().__init__(**options)

    def _desk(self, name, role, policies: Policies):
        desk = super()._desk(name, role, policies)
        if (name, role) != ("alpha", Role.SOF):
            return desk
        return replace(desk, provisioning=HttpProvisioning(self.oss, lambda: self.now_ms, lambda most: 0))


@pytest.fixture
def market():
    return OverHttp(pairs=(("acme", "alpha"),), inventories={"acme": pool(), "alpha": pool()})


def ordered(market):
    ledger = market.between("acme", "alpha")
    market.ask("acme", "alpha", ITEMS)
    market.run_until(market.now_ms + 120_000, stop=lambda: market.records(ledger, "quote"))
    command = PlaceOrder(
        quote_id=market.the(ledger, "quote").id,
        acceptance_window_ms=ACCEPTANCE_MS,
        activation_window_ms=ACTIVATION_MS,
    )
    return Chain(market, market.act(ledger, "place_order", command, "acme", "b_bus"))


def external_ids(market, collection, key="externalId"):
    return [one[key] for one in market.oss.made(collection)]


@pytest.mark.req("Q-25", "D-12", "D-19")
def test_a_line_is_quoted_reserved_activated_and_tested_through_tm_forum_s_interfaces(market):
    chain = ordered(market)
    market.run_until(market.now_ms + ACTIVATION_MS // 2, stop=lambda: chain.the_order().status == "activated")
    assert chain.the_order().status == "activated"
    assert chain.statuses("alpha") == ["chained"] * 3
    assert market.oss.states() == {"active": 3}
    assert chain.handover("alpha").tests[-1].passed
    # What the answers were lost of was looked for, and nothing was made twice.
    assert market.oss.lost > 5
    for collection, key in ((tmf.QUALIFICATIONS, "externalId"), (tmf.ORDERS, "externalId"), (tmf.TESTS, "name")):
        made = external_ids(market, collection, key)
        assert len(made) == len(set(made)) > 0
    assert len(external_ids(market, tmf.QUALIFICATIONS)) == 3
    (test,) = market.oss.made(tmf.TESTS)
    chained = next(one["value"] for one in test["characteristic"] if one["name"] == "chain")
    assert test["relatedService"]["id"] == chained[0]
    assert set(chained) == set(market.oss.services)
    assert json.dumps(test).count("service-chain") == 1


@pytest.mark.req("D-38")
def test_what_is_cancelled_is_ended_in_the_system(market):
    chain = ordered(market)
    market.run_until(market.now_ms + ACTIVATION_MS // 2, stop=lambda: chain.the_order().status == "accepted")
    chain.cancel()
    chain.wait()
    assert chain.the_order().status == "cancelled"
    assert market.oss.states() == {"terminated": 3}
