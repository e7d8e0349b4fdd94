"""The HTTP adapter: TM Forum shapes over verified TLS, each thing made once, and nothing taken for an answer that is none."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from node.agents.provisioning import (
    Activated,
    Declined,
    Failed,
    Measured,
    Offer,
    Outage,
    OutageMethod,
    Pending,
    ProvisioningBroken,
    Released,
    Reserved,
    tmf,
)
from node.agents.provisioning.http import CALLS_REMEMBERED_MAX, BackOff, HttpProvisioning
from node.agents.provisioning.transport import ANSWER_BYTES_MAX, Answer, TlsTransport, Unreachable, tls_context
from smartcontracts.agreement import PriceType
from smartcontracts.canonical_json import load
from smartcontracts.money import Rate
from smartcontracts.trade import LABEL_MS, PeriodLabel, Price
from tests.node.agents.provisioning.elements import DELETE, HOUR_MS, MODIFY, NOW_MS, Clock, drive, evc, uni
from tests.node.agents.provisioning.stub import PREFIX, Authority, Stub, problems, raw

UNTIL_MS = NOW_MS + HOUR_MS
COST = [
    {"priceType": "nonRecurring", "amount": {"unit": "EUR", "value": 12.5}},
    {
        "priceType": "recurring",
        "recurringChargePeriod": "month",
        "amount": {"unit": "EUR", "value": "3.000000001"},
        "name": "port",
    },
    {"priceType": "usageBased", "unitOfMeasure": "GB", "amount": {"unit": "EUR", "value": 0.01}},
]
# Of the states that TMF641 4.1.0 has for an order, those in which it is not over.
AT_WORK = ("acknowledged", "pending", "held", "inProgress", "assessingCancellation", "pendingCancellation")
LOSS = {"metricName": "loss", "unitOfMeasure": "ratio", "value": {"name": "loss", "value": "0.0001"}}


def characteristics(**values):
    return [{"name": name, "value": value} for name, value in values.items()]


def qualified(request, **values):
    found = {"cost": COST, "leadTimeMs": 5000, "medium": "fibre", **values}
    item = {
        "id": "1",
        "state": "done",
        "qualificationResult": "qualified",
        "service": {"serviceCharacteristic": characteristics(**found)},
    }
    return {**request, "id": "q-1", "state": "done", "serviceQualificationItem": [item]}


def completed(request, service_id="svc-7"):
    items = [{**item, "service": {"id": service_id, **item["service"]}} for item in request["serviceOrderItem"]]
    return {**request, "id": "o-1", "state": "completed", "serviceOrderItem": items}


def decide(collection, request):
    """Says yes to everything."""
    if collection == tmf.QUALIFICATIONS:
        return qualified(request)
    if collection == tmf.TESTS:
        return {**request, "state": "completed", "testMeasure": [LOSS]}
    return completed(request)


class Wire:
    """A transport without a network: the stub's answers, or what is thrown."""

    def __init__(self, decide=decide):
        self.stub = Stub(decide)
        self.next = []
        self.asked = []

    async def exchange(self, method, target, body=b""):
        self.asked.append((method, target, json.loads(body) if body else None))
        given = self.next.pop(0) if self.next else None
        if isinstance(given, Exception):
            raise given
        if given is not None:
            return given
        head, _, said = self.stub._respond(method, target, body).partition(b"\r\n\r\n")
        return Answer(status=int(head.split()[1]), body=said)

    def sent(self):
        return [body for method, _, body in self.asked if method == "POST"]


def system(wire, clock=None, jitter=lambda most: 0):
    return HttpProvisioning(wire, clock or Clock(), jitter)


def said(value, status=200):
    return Answer(status=status, body=json.dumps(value).encode())


def answered(**order):
    """A wire whose orders, checks and tests all come back like this."""
    return Wire(lambda collection, request: {**decide(collection, request), **order})


def test_a_check_becomes_an_offer():
    wire = Wire()
    offer = drive(system(wire).query("e1.query.0", replace(uni(), lead_time_ms=60_000)))
    assert offer == Offer(
        cost=(
            Price(price_type=PriceType.NON_RECURRING, rate=Rate(12_500_000_000, "EUR")),
            Price(
                price_type=PriceType.RECURRING,
                rate=Rate(3_000_000_001, "EUR"),
                period_ms=LABEL_MS[PeriodLabel.MONTH],
                period_label=PeriodLabel.MONTH,
                name="port",
            ),
            Price(price_type=PriceType.USAGE_BASED, rate=Rate(10_000_000, "EUR"), unit="GB"),
        ),
        lead_time_ms=5_000,
        attributes=b'{"medium":"fibre"}',
    )
    assert wire.asked[0][:2] == ("GET", f"{tmf.QUALIFICATIONS}?externalId=e1.query.0")
    assert wire.sent() == [
        {
            "externalId": "e1.query.0",
            "instantSyncQualification": True,
            "provideAlternative": False,
            "provideUnavailabilityReason": True,
            "serviceQualificationItem": [
                {
                    "id": "1",
                    "expectedServiceAvailabilityDate": "2027-01-15T08:01:00.000Z",
                    "service": {
                        "serviceSpecification": {"id": "uni"},
                        "place": [{"id": "york-1"}],
                        "serviceCharacteristic": [
                            {"name": "@type", "valueType": "string", "value": "urn:example:uni"},
                            {
                                "name": "term",
                                "valueType": "object",
                                "value": {"amount": 12, "units": "calendarMonths"},
                            },
                        ],
                    },
                }
            ],
        }
    ]


@pytest.mark.req("C-08")
def test_a_check_of_a_change_says_what_it_does():
    wire = Wire(lambda _, request: qualified(request, outageMs=600_000, outageMethod="parallel_build_hot"))
    element = evc(action=MODIFY, changes="svc-1")
    offer = drive(system(wire).query("q", element))
    assert offer.outage == Outage(outage_ms=600_000, method=OutageMethod.PARALLEL_BUILD_HOT)
    assert wire.sent()[0]["serviceQualificationItem"][0]["service"]["id"] == "svc-1"
    for wrong in ({"outageMs": 5}, {"outageMethod": "reconfigure"}, {"outageMs": 5, "outageMethod": "magic"}):
        with pytest.raises(ProvisioningBroken):
            drive(system(Wire(lambda _, request, wrong=wrong: qualified(request, **wrong))).query("q", element))


def check(**item):
    return Wire(
        lambda _, request: {
            **request,
            "state": "done",
            "serviceQualificationItem": [{"id": "1", "state": "done", **item}],
        }
    )


@pytest.mark.parametrize(
    ("wire", "answer"),
    [
        (
            check(qualificationResult="unqualified", eligibilityUnavailabilityReason=[{"code": "no fibre"}]),
            Declined("NO_FIBRE"),
        ),
        (check(qualificationResult="unqualified"), Declined("NOT_AVAILABLE")),
        (
            check(qualificationResult="unqualified", eligibilityUnavailabilityReason=[{"code": "42"}]),
            Declined("NOT_AVAILABLE"),
        ),
        (check(qualificationResult="alternate"), Declined("ALTERNATE_ONLY")),
        (check(state="terminatedWithError"), Declined("NOT_ASSESSED")),
        (check(state="terminatedWithError", terminationError=[{"id": "7", "value": "Db-Down"}]), Declined("DB_DOWN")),
        (check(state="inProgress"), Pending(NOW_MS + 1_000)),
        (check(state="acknowledged"), Pending(NOW_MS + 1_000)),
        (check(state="accepted"), Pending(NOW_MS + 1_000)),
    ],
)
def test_a_check_that_is_no_yes(wire, answer):
    assert drive(system(wire).query("q", uni())) == answer


@pytest.mark.req("Q-25")
@pytest.mark.parametrize(
    "values",
    [
        {"cost": []},
        {"cost": None},
        {"cost": "free"},
        {"cost": COST * 6},
        {"cost": [{"priceType": "nonRecurring"}]},
        {"cost": [{"priceType": "monthly", "amount": {"unit": "EUR", "value": 1}}]},
        {"cost": [{"priceType": "nonRecurring", "amount": {"unit": "EUR", "value": -1}}]},
        {"cost": [{"priceType": "nonRecurring", "amount": {"unit": "EUR", "value": 0.0000000001}}]},
        {"cost": [{"priceType": "nonRecurring", "amount": {"unit": "EUR", "value": 9_999_999_999}}]},
        {"cost": [{"priceType": "nonRecurring", "amount": {"unit": "EUX", "value": 1}}]},
        {"cost": [{"priceType": "recurring", "amount": {"unit": "EUR", "value": 1}}]},
        {"cost": [{"priceType": "usageBased", "amount": {"unit": "EUR", "value": 1}}]},
        {"cost": [{"priceType": "nonRecurring", "unitOfMeasure": "GB", "amount": {"unit": "EUR", "value": 1}}]},
        {"leadTimeMs": None},
        {"leadTimeMs": 1.5},
        {"leadTimeMs": -1},
        {"leadTimeMs": 10**15},
        {"medium": "x" * tmf.ATTRIBUTES_BYTES_MAX},
    ],
)
def test_invalid_yes_without_cost_or_lead_time_is_no_answer(values):
    wire = Wire(lambda _, request: qualified(request, **values))
    with pytest.raises(ProvisioningBroken):
        drive(system(wire).query("q", uni()))


def test_a_reservation_is_made_once_and_extended_by_an_order_of_its_own():
    wire = Wire()
    adapter = system(wire)
    held = drive(adapter.reserve("r", uni(), UNTIL_MS))
    assert held == Reserved(reservation_id="svc-7", until_ms=UNTIL_MS)
    assert drive(adapter.reserve("r", uni(), UNTIL_MS)) == held
    assert drive(adapter.reserve("r", uni(), UNTIL_MS - 1)) == held
    (made,) = wire.sent()
    assert made["serviceOrderItem"][0]["action"] == "add"
    assert made["serviceOrderItem"][0]["service"]["state"] == "reserved"
    assert drive(adapter.reserve("r", uni(), UNTIL_MS + 5)).until_ms == UNTIL_MS + 5
    assert drive(adapter.reserve("r", uni(), UNTIL_MS + 5)).until_ms == UNTIL_MS + 5
    (_, longer) = wire.sent()
    assert longer == {
        "externalId": f"r.{UNTIL_MS + 5}",
        "serviceOrderItem": [
            {
                "id": "1",
                "action": "modify",
                "service": {
                    "id": "svc-7",
                    "state": "reserved",
                    "serviceCharacteristic": [
                        {"name": "reservedUntil", "valueType": "string", "value": "2027-01-15T09:00:00.005Z"}
                    ],
                },
            }
        ],
    }


@pytest.mark.parametrize(
    ("order", "answer"),
    [
        *(({"state": state}, Pending(NOW_MS + 1_000)) for state in AT_WORK),
        *(({"state": state}, Declined(state.upper())) for state in ("rejected", "cancelled", "failed", "partial")),
        ({"state": "failed", "errorMessage": [{"code": "no-capacity"}]}, Declined("NO_CAPACITY")),
    ],
)
def test_a_reservation_that_is_not_made(order, answer):
    assert drive(system(answered(**order)).reserve("r", uni(), UNTIL_MS)) == answer


@pytest.mark.parametrize(
    "order",
    [
        {"state": "done"},
        {"state": None},
        {"serviceOrderItem": []},
        {"serviceOrderItem": [{"id": "1", "service": {"serviceCharacteristic": characteristics(reservedUntil="2027-01-15T09:00:00Z")}}]},
        {"serviceOrderItem": [{"id": "1", "service": {"id": "svc-7"}}]},
        {"serviceOrderItem": [{"id": "1", "service": {"id": "svc-7", "serviceCharacteristic": characteristics(reservedUntil="2027-01-15T09:00:00")}}]},
        {"serviceOrderItem": [{"id": "1", "service": {"id": "svc-7", "serviceCharacteristic": characteristics(reservedUntil=5)}}]},
        {"externalId": "another"},
    ],
)  # fmt: skip
def test_invalid_reservation_is_no_answer(order):
    with pytest.raises(ProvisioningBroken):
        drive(system(answered(**order)).reserve("r", uni(), UNTIL_MS))


@pytest.mark.req("D-12", "D-13")
def test_an_activation_is_done_or_fails_with_a_cause():
    wire = Wire()
    assert drive(system(wire).activate("a", "svc-7", uni())) == Activated()
    assert wire.sent() == [
        {
            "externalId": "a",
            "serviceOrderItem": [{"id": "1", "action": "modify", "service": {"id": "svc-7", "state": "active"}}],
        }
    ]
    assert drive(system(answered(state="failed")).activate("a", "svc-7", uni())) == Failed("FAILED")
    broken = {"state": "partial", "serviceOrderItem": [{"errorMessage": [{"code": "line broken"}]}]}
    assert drive(system(answered(**broken)).activate("a", "svc-7", uni())) == Failed("LINE_BROKEN")
    assert drive(system(answered(state="inProgress")).activate("a", "svc-7", uni())) == Pending(NOW_MS + 1_000)


def test_a_change_is_reserved_beside_what_it_replaces():
    wire = Wire()
    drive(system(wire).reserve("r", evc(action=MODIFY, changes="svc-1"), UNTIL_MS))
    drive(system(wire).activate("a", "svc-7", evc(action=MODIFY, changes="svc-1")))
    reservation, activation = wire.sent()
    assert reservation["serviceOrderItem"][0]["service"]["serviceRelationship"] == [
        {"relationshipType": "replaces", "service": {"id": "svc-1"}}
    ]
    assert [(item["action"], item["service"]) for item in activation["serviceOrderItem"]] == [
        ("modify", {"id": "svc-7", "state": "active"})
    ]


def test_an_end_asks_nothing_before_what_it_ends_is_released():
    wire = Wire()
    element = evc(action=DELETE, changes="svc-1")
    held = drive(system(wire).reserve("r", element, UNTIL_MS))
    assert held == Reserved(reservation_id="end:r", until_ms=UNTIL_MS)
    assert drive(system(wire).activate("a", held.reservation_id, element)) == Activated()
    assert drive(system(wire).release("x", held.reservation_id)) == Released()
    assert wire.asked == []
    assert drive(system(wire).release("y", "svc-1")) == Released()
    assert wire.sent()[0]["serviceOrderItem"] == [
        {"id": "1", "action": "delete", "service": {"id": "svc-1", "state": "terminated"}}
    ]


@pytest.mark.req("D-38")
def test_a_release_is_done_or_a_person_must_look():
    wire = Wire()
    assert drive(system(wire).release("x", "svc-7")) == Released()
    assert drive(system(wire).release("x", "svc-7")) == Released()
    assert [one["serviceOrderItem"][0]["action"] for one in wire.sent()] == ["delete"]
    assert drive(system(answered(state="pending")).release("x", "svc-7")) == Pending(NOW_MS + 1_000)
    with pytest.raises(ProvisioningBroken, match="refuses to end"):
        drive(system(answered(state="rejected")).release("x", "svc-7"))


def test_a_chain_has_passed_with_measures_of_which_none_violates_a_rule():
    wire = Wire()
    passed = drive(system(wire).measure("m", ("svc_bought", "r-7"), "order-1"))
    assert (passed.passed, json.loads(passed.values)) == (True, {"measures": [LOSS]})
    assert wire.sent()[0] == {
        "name": "m",
        "mode": "ONDEMAND",
        "relatedService": {"id": "r-7"},
        "testSpecification": {"id": "service-chain"},
        "characteristic": [
            {"name": "chain", "valueType": "array", "value": ["svc_bought", "r-7"]},
            {"name": "order", "valueType": "string", "value": "order-1"},
        ],
    }
    violated = {**LOSS, "ruleViolation": [{"name": "too much", "conformanceTargetUpper": "0.00001"}]}
    failed = drive(system(answered(testMeasure=[LOSS, violated])).measure("m", ("a",), "o"))
    assert (failed.passed, json.loads(failed.values)) == (False, {"measures": [LOSS, violated]})
    assert not drive(system(answered(testMeasure=[])).measure("m", ("a",), "o")).passed
    assert drive(system(answered(state="cancelled")).measure("m", ("a",), "o")) == Measured(
        passed=False, values=b'{"cause":"CANCELLED"}'
    )
    assert isinstance(drive(system(answered(state="inProgress")).measure("m", ("a",), "o")), Pending)


@pytest.mark.parametrize(
    ("collection", "body", "wrong"),
    [
        (tmf.TESTS, {"name": "m", "relatedService": {"id": "r"}}, ["serviceTest.testSpecification"]),
        (tmf.TESTS, {"name": "m", "relatedService": {"href": "r"}, "testSpecification": {"id": "s"}}, ["relatedService.id"]),
        (tmf.ORDERS, {"serviceOrderItem": [{"id": "1", "action": "add"}]}, ["serviceOrderItem.service"]),
        (tmf.ORDERS, {"serviceOrderItem": [{"id": "1", "action": "put", "service": {"state": "on"}}]}, ["serviceOrderItem.action", "service.state"]),
        (tmf.QUALIFICATIONS, {"externalId": "q"}, ["checkServiceQualification.serviceQualificationItem"]),
    ],
)  # fmt: skip
def test_the_stub_refuses_what_the_published_files_do_not_have(collection, body, wrong):
    assert problems(collection, body) == wrong
    assert Stub(decide)._respond("POST", f"{PREFIX}{collection}", json.dumps(body)).startswith(b"HTTP/1.1 400")


def test_a_chain_that_is_all_bought_is_tested_for_its_order_by_the_specification_that_is_set():
    wire = Wire()
    drive(HttpProvisioning(wire, Clock(), lambda most: 0, test_specification="spec-9").measure("m", ("svc_1",), "o"))
    sent = wire.sent()[0]
    assert (sent["relatedService"], sent["testSpecification"]) == ({"id": "o"}, {"id": "spec-9"})


def test_what_was_made_before_a_time_out_is_found_and_not_made_again():
    wire = Wire()
    first = system(wire)
    made = wire.stub._respond("POST", f"{tmf.ORDERS}", tmf.reservation("r", uni(), UNTIL_MS))
    assert b"completed" in made
    wire.next = [said([]), Unreachable("no answer within 10 ms")]
    assert isinstance(drive(first.reserve("r", uni(), UNTIL_MS)), Pending)
    assert drive(first.reserve("r", uni(), UNTIL_MS)).reservation_id == "svc-7"
    assert len(wire.stub.made[tmf.ORDERS]) == 1


def test_an_answer_that_comes_later_is_found_by_its_external_id():
    wire = answered(state="inProgress")
    adapter = system(wire)
    assert isinstance(drive(adapter.activate("a", "svc-7", uni())), Pending)
    wire.stub.made[tmf.ORDERS][0]["state"] = "completed"
    assert drive(adapter.activate("a", "svc-7", uni())) == Activated()
    assert len(wire.sent()) == 1


def test_pauses_grow_to_a_bound_are_shaken_and_start_again_after_an_answer():
    wire, asked = Wire(), []

    def jitter(most):
        asked.append(most)
        return most

    adapter = HttpProvisioning(wire, Clock(), jitter, BackOff(first_ms=100, longest_ms=500))
    waits = []
    for _ in range(5):
        wire.next = [Unreachable("down")]
        waits.append(drive(adapter.query("q", uni())).again_at_ms - NOW_MS)
    assert asked == [50, 100, 200, 250, 250]
    assert waits == [50, 100, 200, 250, 250]
    assert isinstance(drive(adapter.query("q", uni())), Offer)
    wire.next = [Unreachable("down")]
    assert drive(adapter.query("q", uni())).again_at_ms - NOW_MS == 50


def test_the_systems_own_wish_to_wait_counts_when_it_is_longer():
    wire = Wire()
    wire.next = [Answer(status=429, body=b"", after_ms=9_000), Answer(status=503, body=b"", after_ms=1)]
    assert drive(system(wire).query("q", uni())) == Pending(NOW_MS + 9_000)
    assert drive(system(wire).query("q2", uni())) == Pending(NOW_MS + 1_000)


def test_remembered_attempts_are_bounded():
    wire = Wire()
    adapter = system(wire)
    for n in range(CALLS_REMEMBERED_MAX + 5):
        wire.next = [Unreachable("down")]
        drive(adapter.query(f"q{n}", uni()))
    assert len(adapter._attempts) == CALLS_REMEMBERED_MAX


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 503])
def test_trouble_that_may_pass_is_asked_about_again(status):
    wire = Wire()
    wire.next = [said([]), said({}, status)]
    assert isinstance(drive(system(wire).activate("a", "svc-7", uni())), Pending)


def test_a_collection_that_is_not_there_yet_is_empty():
    wire = Wire()
    wire.next = [said({"code": "60"}, 404)]
    assert drive(system(wire).activate("a", "svc-7", uni())) == Activated()


@pytest.mark.parametrize(
    "answers",
    [
        [said([], 301)],
        [said([], 401)],
        [said([]), said({}, 400)],
        [said([]), said({}, 404)],
        [said({})],
        [Answer(status=200, body=b"<html>")],
        [Answer(status=200, body=b'[{"externalId":NaN}]')],
        [Answer(status=200, body=b"[" * 50 + b"]" * 50)],
        [said([{"externalId": "a"}, {"externalId": "a"}])],
        [said([]), said([])],
        [said([]), said({"state": "completed"})],
    ],
)
def test_invalid_answers_are_never_taken_for_one(answers):
    wire = Wire()
    wire.next = list(answers)
    with pytest.raises(ProvisioningBroken):
        drive(system(wire).activate("a", "svc-7", uni()))
    assert wire.next == []


def test_other_resources_of_a_list_are_not_ours():
    wire = Wire()
    wire.next = [said([{"externalId": "another", "state": "failed"}, "text"])]
    assert drive(system(wire).activate("a", "svc-7", uni())) == Activated()


def test_invalid_product_is_said():
    with pytest.raises(ProvisioningBroken, match="no JSON"):
        drive(system(Wire()).query("q", replace(uni(), product=b"{")))


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "operator")


async def ask(url, context, *, timeout_ms=60_000, call="a"):
    adapter = HttpProvisioning(TlsTransport(url, context, timeout_ms=timeout_ms), Clock(), lambda most: 0)
    return await adapter.activate(call, "svc-7", uni())


async def test_over_tls_with_the_operators_ca(authority):
    stub = Stub(decide)
    async with stub.running(authority.issue("server")) as url:
        assert await ask(url, tls_context(authority.path)) == Activated()
    methods = [(method, target) for method, target, _, _ in stub.requests]
    assert methods == [("GET", f"/tmf-api{tmf.ORDERS}?externalId=a"), ("POST", f"/tmf-api{tmf.ORDERS}")]
    assert stub.requests[1][3]["content-type"].startswith("application/json")


async def test_a_client_certificate_is_shown_where_one_is_wanted(authority):
    own = authority.issue("client")
    stub = Stub(decide)
    async with stub.running(authority.issue("server"), client_ca=authority.path) as url:
        assert await ask(url, tls_context(authority.path, own.certificate, own.key)) == Activated()
        assert isinstance(await ask(url, tls_context(authority.path)), Pending)


@pytest.mark.parametrize("wrong", ["another CA", "another name"])
async def test_a_server_that_can_not_be_verified_gets_nothing(authority, tmp_path, wrong):
    other = Authority(tmp_path, "other")
    pem = other.issue("server") if wrong == "another CA" else authority.issue("server", host="127.0.0.2")
    stub = Stub(decide)
    async with stub.running(pem) as url:
        with pytest.raises(ProvisioningBroken, match="not trusted"):
            await ask(url, tls_context(authority.path))
    assert stub.requests == []


LONG_S = 600


async def silent(writer):
    await asyncio.sleep(LONG_S)


async def closes(writer):
    writer.transport.abort()


async def breaks_off(writer):
    writer.write(raw(200, [])[:-1])
    await writer.drain()
    writer.transport.abort()


async def trickles(writer):
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def huge(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(ANSWER_BYTES_MAX // 1000 + 10):
        writer.write(b"3e8\r\n" + b" " * 1000 + b"\r\n")
        await writer.drain()


async def huge_head(writer):
    writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000)
    await writer.drain()
    await asyncio.sleep(LONG_S)


async def no_http(writer):
    writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
    await writer.drain()
    await asyncio.sleep(LONG_S)


@pytest.mark.parametrize("behaviour", [silent, closes, breaks_off, trickles])
async def test_no_answer_is_pending_within_the_time_out(authority, behaviour):
    stub = Stub(decide)
    stub.next = [behaviour]
    async with stub.running(authority.issue("server")) as url, asyncio.timeout(50):
        answer = await ask(url, tls_context(authority.path), timeout_ms=300)
        assert answer == Pending(NOW_MS + 1_000)
        stub.next.clear()  # on a slow machine the time may have been over before the question was out
        assert await ask(url, tls_context(authority.path)) == Activated()


@pytest.mark.parametrize("behaviour", [huge, huge_head, no_http])
async def test_what_is_too_much_or_no_http_is_broken(authority, behaviour):
    stub = Stub(decide)
    stub.next = [behaviour]
    async with stub.running(authority.issue("server")) as url, asyncio.timeout(50):
        with pytest.raises(ProvisioningBroken):
            await ask(url, tls_context(authority.path))


async def without_length(writer):
    writer.write(b'HTTP/1.0 200 OK\r\n\r\n[{"externalId":"a","state":"completed"}]')
    await writer.drain()
    writer.close()


async def test_an_answer_that_ends_with_the_connection_is_whole(authority):
    stub = Stub(decide)
    stub.next = [without_length]
    async with stub.running(authority.issue("server")) as url:
        assert await ask(url, tls_context(authority.path)) == Activated()
    assert len(stub.requests) == 1


@pytest.mark.parametrize(("wish", "after_ms"), [("7", 7_000), ("99999", 3_600_000), ("soon", 1_000)])
async def test_a_wish_to_wait_is_read(authority, wish, after_ms):
    stub = Stub(decide)
    stub.next = [raw(503, {}, headers=(f"Retry-After: {wish}",))]
    async with stub.running(authority.issue("server")) as url:
        assert await ask(url, tls_context(authority.path)) == Pending(NOW_MS + after_ms)


async def test_nobody_there_is_pending(authority):
    stub = Stub(decide)
    async with stub.running(authority.issue("server")) as url:
        pass
    assert await ask(url, tls_context(authority.path)) == Pending(NOW_MS + 1_000)


@pytest.mark.parametrize(
    "url",
    ["http://host/", "https://", "host:443", "https://host:x/", "https://me:secret@host/", "https://host/?a=b", "https://host:99999"],
)  # fmt: skip
def test_invalid_addresses(authority, url):
    with pytest.raises(ProvisioningBroken):
        TlsTransport(url, tls_context(authority.path))


def test_invalid_certificates_are_said(authority, tmp_path):
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("no certificate")
    for arguments in ((rubbish,), (tmp_path / "missing.pem",), (authority.path, rubbish, rubbish)):
        with pytest.raises(ProvisioningBroken, match="can't be used"):
            tls_context(*arguments)


@pytest.mark.parametrize(
    ("text", "at_ms"), [("1970-01-01T00:00:00.001Z", 1), ("2027-01-15T10:00:00.0009+02:00", NOW_MS)]
)
def test_instants(text, at_ms):
    assert tmf.instant_ms(text) == at_ms
    assert tmf.instant_ms(tmf.instant(at_ms)) == at_ms


def test_numbers_of_a_product_go_as_they_stand():
    element = replace(evc(), product=b'{"productConfiguration":{"loss":0.001,"on":true,"tags":["a"]}}', term=None)
    sent = load(tmf.qualification("q", element, NOW_MS), "sent")
    assert b'{"name":"loss","value":0.001,"valueType":"number"}' in tmf.qualification("q", element, NOW_MS)
    kinds = sent["serviceQualificationItem"][0]["service"]["serviceCharacteristic"]
    assert [one["valueType"] for one in kinds] == ["number", "boolean", "array"]
