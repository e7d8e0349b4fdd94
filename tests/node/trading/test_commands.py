"""`syngraph trade` on real contracts under fake consensus: what a person types, and what then stands on the ledger."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from ledgers.client import to_plain
from ledgers.transaction import Act
from node.cli.settings import Settings
from node.trading import agreements, commands, maintenance, offerings, rules
from node.trading.desk import Desk
from scripts.story.agreements import conclude
from scripts.story.files import SAMPLE_ORDER, SAMPLE_QUOTE, read_requests
from scripts.story.scene import ACME, ACME_ALPHA, ALPHA, Stage
from scripts.story.telling import Teller
from smartcontracts.delivery import RequestExtension
from smartcontracts.inquiry import SubmitInquiry
from smartcontracts.internal.rules import SetSourcingRules
from smartcontracts.lineage import ancestors_of
from smartcontracts.trade import (
    Action,
    Change,
    ChangeAnswer,
    ChangeKind,
    ChangeMethod,
    InquiryItem,
    Outage,
)
from tests.scripts.story.by_hand import accept, activate, draft_quote, price_book
from tests.scripts.story.by_hand import quote as quote_from_book
from tests.scripts.story.fakenet import FakeNetwork, signing_member


class Blocking:
    """A seat's ledger without `await`."""

    def __init__(self, wrapped):
        self._wrapped = wrapped
        self.id, self.name = wrapped.id, ACME_ALPHA

    def __getattr__(self, name):
        found = getattr(self._wrapped, name)
        if name == "list":
            return lambda *args, **more: asyncio.run(gathered(found(*args, **more)))
        if name == "events":
            return lambda *args, **more: asyncio.run(gathered(found(*args, **more)))
        return lambda *args, **more: asyncio.run(found(*args, **more))


async def gathered(answers):
    return [one async for one in answers]


class Market:
    """acme and alpha with their agreement; alpha answers when told to."""

    def __init__(self):
        self.network = FakeNetwork()
        self.stage = Stage(self.network, Teller(quiet=True))
        self.acme = asyncio.run(self.network.seat(ACME, ACME_ALPHA))
        self.alpha = asyncio.run(self.network.seat(ALPHA, ACME_ALPHA))
        self.requests = read_requests(None, None)
        self.agreement = asyncio.run(conclude(self.stage, self.alpha, self.acme, self.requests.agreement))

    def desk(self, settings, name=ACME):
        seat = self.acme if name == ACME else self.alpha
        return Desk(settings, Blocking(seat.ledger), seat.id, signing_member(name))

    def one(self, kind):
        return [document.body for document in asyncio.run(gathered(self.acme.ledger.list(kind)))][-1]

    def all(self, kind, status):
        return [document.body for document in asyncio.run(gathered(self.acme.ledger.list(kind, status=status)))]

    def quote(self, inquiry):
        return asyncio.run(quote_from_book(self.stage, self.alpha, inquiry, self.agreement, price_book()))

    def alpha_does(self, message, command):
        asyncio.run(self.alpha.ledger.submit([Act(name=message, command=command)], [signing_member(ALPHA)]))


@pytest.fixture
def market(monkeypatch):
    made = Market()

    made.acting = ACME

    @contextmanager
    def at(settings, ledger, kind="bilateral"):
        if kind == "internal":
            seat = asyncio.run(made.network.seat(ALPHA, ledger))
            yield Desk(settings, Blocking(seat.ledger), seat.id, signing_member(ALPHA))
            return
        assert ledger == ACME_ALPHA
        yield made.desk(settings, made.acting)

    for module in (commands, agreements, maintenance, offerings, rules):
        monkeypatch.setattr(module, "at", at)
    return made


@pytest.fixture
def answering(market, monkeypatch):
    """alpha quotes as soon as somebody waits for it."""
    settled = Desk.settled

    def answered(desk, kind, document_id, is_settled):
        market.quote(market.one("inquiry"))
        return settled(desk, kind, document_id, is_settled)

    monkeypatch.setattr(Desk, "settled", answered)


@pytest.fixture
def trade(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words, code=0, given=None):
        done = CliRunner().invoke(commands.command, [str(word) for word in (*words, "--json")], input=given)
        assert done.exit_code == code, (done.output, done.exception)
        return json.loads(done.stdout) if code == 0 else done.stderr

    return run


WINDOWS = ("--accept-within", "10m", "--activate-within", "1h")


def ordered(market, trade, *more):
    trade("inquire", ACME_ALPHA, SAMPLE_QUOTE)
    market.quote(market.one("inquiry"))
    return trade("order", ACME_ALPHA, market.one("quote").id, SAMPLE_ORDER, *WINDOWS, *more)


@pytest.mark.req("Q-12", "L-35")
def test_a_sonata_request_becomes_a_signed_inquiry_and_what_is_about_persons_stays_here(market, trade, tmp_path):
    shown = trade("inquire", ACME_ALPHA, SAMPLE_QUOTE, "--window", "90s")
    inquiry = market.one("inquiry")
    assert shown["id"] == inquiry.id
    assert inquiry.buyer == market.acme.id
    assert inquiry.respond_by_ms - inquiry.received_at_ms == 90_000
    kept = tmp_path / "withheld" / f"{inquiry.id}.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert set(json.loads(kept.read_text())["withheld"]) == {one.subject for one in inquiry.withheld} != set()


def test_the_answer_is_shown_in_sonata_s_form(market, answering, trade):
    shown = trade("inquire", ACME_ALPHA, SAMPLE_QUOTE, "--wait")
    assert shown["id"] == market.one("quote").id
    assert shown["quoteItem"][0]["quoteItemPrice"]


def test_people_get_the_answer_in_a_few_lines(market, answering, trade):
    done = CliRunner().invoke(commands.command, ["inquire", ACME_ALPHA, str(SAMPLE_QUOTE), "--wait"])
    quote = market.one("quote")
    lines = dict(
        line.split(None, 1) for line in done.stdout.splitlines() if line.startswith(("quote", "status", "once"))
    )
    whole, part = divmod(quote.one_time_total.minor, 100)
    assert {k: v.strip() for k, v in lines.items()} == {
        "quote": quote.id,
        "status": "quoted",
        "once": f"{whole:,}.{part:02} EUR",
    }


def test_a_silent_seller_ends_the_waiting_with_its_window(market, trade, monkeypatch):
    settled = Desk.settled

    def later(desk, *args):
        market.network.clock.now_ms += 15_000
        return settled(desk, *args)

    monkeypatch.setattr(Desk, "settled", later)
    shown = trade("inquire", ACME_ALPHA, SAMPLE_QUOTE, "--window", "20s", "--wait")
    assert shown["state"] == "unableToProvide"
    assert market.one("inquiry").status == "deemed_unable"


@pytest.mark.req("O-08", "L-22")
def test_a_quote_is_ordered_with_windows_and_delivery_information(market, trade):
    ordered(market, trade, "--delivery-info", '{"vlanId": 7}')
    order = market.one("order")
    assert order.status == "placed"
    assert order.accept_by_ms - order.placed_at_ms == 600_000
    assert order.activation_window_ms == 3_600_000
    assert order.delivery_info == b'{"vlanId":7}'


def test_an_order_is_cancelled_by_its_buyer(market, trade):
    ordered(market, trade)
    assert trade("cancel", ACME_ALPHA, market.one("order").id)["status"] == "cancelled"


def test_an_extension_is_granted_refused_or_given_unasked(market, trade):
    ordered(market, trade)
    asyncio.run(accept(market.stage, market.alpha, market.one("order")))
    order = market.one("order")
    longer = trade("extend", ACME_ALPHA, order.id, "--by", "1h")
    assert int(longer["activate_by_ms"]) == order.activate_by_ms + 3_600_000
    for answer, later_ms in (("grant", 7_200_000), ("refuse", 0)):
        before = market.one("order")
        wanted = RequestExtension(
            order_id=order.id, activate_by_ms=before.activate_by_ms + 7_200_000, reason="LATE_PARTS"
        )
        market.alpha_does("request_extension", wanted)
        trade("answer-extension", ACME_ALPHA, order.id, answer)
        assert market.one("order").activate_by_ms == before.activate_by_ms + later_ms


@pytest.mark.req("C-06")
def test_ending_a_service_begins_with_an_inquiry_that_names_it(market, trade):
    ordered(market, trade)
    asyncio.run(
        activate(market.stage, market.alpha, asyncio.run(accept(market.stage, market.alpha, market.one("order"))))
    )
    service = market.one("service")
    shown = trade("terminate", ACME_ALPHA, service.id)
    assert shown["change"] == {"service_id": service.id, "kind": "termination"}
    assert [item["action"] for item in shown["items"]] == ["delete"] * len(service.items)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"{}", "SONATA_REQUEST_UNKNOWN"), (b"not json", "JSON"), (b'{"quoteItem": [], "quoteItem": []}', "JSON")],
)
def test_a_file_that_cannot_be_used_is_told_by_name_and_changes_nothing(market, trade, tmp_path, content, told):
    (tmp_path / "request.json").write_bytes(content)
    assert told in trade("inquire", ACME_ALPHA, tmp_path / "request.json", code=2)
    assert asyncio.run(gathered(market.acme.ledger.list("inquiry"))) == []


def test_a_duration_without_its_unit_is_refused_with_what_one_looks_like(trade):
    assert "90s, 10m, 2h, 1d" in trade(
        "order", ACME_ALPHA, "quo_x", "--accept-within", "10", "--activate-within", "1h", code=2
    )


@pytest.mark.parametrize("option", ["--window", "--accept-within", "--activate-within", "--by"])
def test_no_time_at_all_is_no_duration_and_not_the_default(market, trade, option):
    command = {"--window": ("inquire", SAMPLE_QUOTE), "--by": ("extend", "ord_x")}.get(option, ("order", "quo_x"))
    words = [command[0], ACME_ALPHA, command[1], *(WINDOWS if command[0] == "order" else ()), option, "0s"]
    assert "leave the option out for its default" in trade(*words, code=2)
    assert asyncio.run(gathered(market.acme.ledger.list("inquiry"))) == []


def test_a_service_is_not_named_for_a_request_that_changes_nothing_of_it(market, trade):
    told = trade("inquire", ACME_ALPHA, SAMPLE_QUOTE, "--service", "svc_x", code=2)
    assert "no item to modify or delete" in told
    assert asyncio.run(gathered(market.acme.ledger.list("inquiry"))) == []


def test_nothing_is_sent_where_what_is_cut_out_could_not_be_kept(market, trade, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/below"):
        assert "--keep" in trade("inquire", ACME_ALPHA, SAMPLE_QUOTE, "--keep", folder, code=2)
    assert asyncio.run(gathered(market.acme.ledger.list("inquiry"))) == []
    trade("inquire", ACME_ALPHA, SAMPLE_QUOTE, "--keep", "new/folder")
    assert (tmp_path / "new" / "folder" / f"{market.one('inquiry').id}.json").is_file()


def test_the_agreement_is_named_where_the_pair_has_none_of_that_name(market, trade, tmp_path):
    request = json.loads(SAMPLE_QUOTE.read_bytes())
    for item in request["quoteItem"]:
        item["agreementName"] = "Other terms"
    (tmp_path / "request.json").write_text(json.dumps(request))
    told = trade("inquire", ACME_ALPHA, tmp_path / "request.json", code=1)
    assert f"no agreement named 'Other terms' of yours; there are: {market.requests.agreement}." in told


def test_a_desk_knows_who_the_other_party_is(market):
    desk = market.desk(Settings())
    assert desk.other(desk.agreement()) == market.alpha.id
    assert desk.agreement(market.requests.agreement).id == market.agreement.id
    assert replace(desk, organization=market.alpha.id).other(desk.agreement()) == market.acme.id


def test_terms_are_proposed_from_a_template_and_accepted_by_the_other_party(market, trade, tmp_path):
    terms = trade("agreement", "template", ACME_ALPHA)
    assert [target["seller"] for target in terms["sla_targets"]] == sorted((market.acme.id, market.alpha.id))
    before = market.one("agreement").terms
    terms |= {"name": "Other terms", "replaces_version": 1, "billing_period_ms": before.billing_period_ms}
    (tmp_path / "terms.json").write_text(json.dumps(terms))
    proposal = trade("agreement", "propose", ACME_ALPHA, tmp_path / "terms.json", "--valid-for", "2d")
    assert (proposal["status"], market.one("agreement").terms_version) == ("open", 1)
    market.acting = ALPHA
    assert trade("agreement", "accept", ACME_ALPHA, proposal["id"])["status"] == "enacted"
    assert (market.one("agreement").terms.name, market.one("agreement").terms_version) == ("Other terms", 2)


def test_rules_are_shown_as_defaults_changed_in_part_and_shown_as_they_are_then(market, trade):
    shown = trade("rules", "alpha-internal")
    assert shown == to_plain(SetSourcingRules())
    changed = trade("rules", "alpha-internal", "-", given='{"markup_basis_points": 1200, "prefer": "cheapest"}')
    assert (changed["version"], changed["markup_basis_points"]) == (1, 1200)
    assert trade("rules", "alpha-internal") == {**shown, "markup_basis_points": 1200, "prefer": "cheapest"}
    # What was printed can be set again.
    again = trade("rules", "alpha-internal", "-", given=json.dumps(shown))
    assert (again["version"], again["markup_basis_points"]) == (2, 1500)


def test_rules_that_can_not_be_used_are_told_and_change_nothing(market, trade):
    before = trade("rules", "alpha-internal")
    for given, told in (
        ("[]", "JSON object"),
        ('{"mark_up": 5}', "there is no such field"),
        ('{"prefer": 5}', "prefer"),
        ("{", "not JSON"),
    ):
        assert told in trade("rules", "alpha-internal", "-", given=given, code=2)
    assert trade("rules", "alpha-internal") == before


@pytest.mark.req("C-02", "C-05")
def test_a_sonata_request_to_modify_becomes_a_change_of_the_service_that_is_named(market, trade, tmp_path):
    ordered(market, trade)
    asyncio.run(
        activate(market.stage, market.alpha, asyncio.run(accept(market.stage, market.alpha, market.one("order"))))
    )
    service = market.one("service")
    request = json.loads(SAMPLE_QUOTE.read_bytes())
    request["quoteItem"] = [
        {key: value for key, value in item.items() if key != "quoteItemRelationship"}
        | {"action": "modify", "product": {**item["product"], "id": f"{service.id}/{item['id']}"}}
        for item in request["quoteItem"][:1]
    ]
    (tmp_path / "more.json").write_text(json.dumps(request))
    shown = trade("inquire", ACME_ALPHA, tmp_path / "more.json", "--service", service.id, "--change", "qos")
    assert shown["change"] == {"service_id": service.id, "kind": "qos"}
    assert [(item["id"], item["action"]) for item in shown["items"]] == [(request["quoteItem"][0]["id"], "modify")]
    told = trade("inquire", ACME_ALPHA, tmp_path / "more.json", code=2)
    assert "SONATA_SERVICE_UNKNOWN" in told


OFFERING = {
    "offering": "ethernet-port",
    "description": "A port at any of our places",
    "configuration": {"@type": "urn:example:port", "loss": 0.5},
    "term": {"amount": 12, "unit": "calendarMonths"},
    "prices": {"non_recurring": "110", "recurring": "42.50", "period": "month", "usage": {"GB": "0.0005"}},
}


@pytest.mark.req("L-19")
def test_an_offering_is_published_from_a_file_and_withdrawn_by_its_seller(market, trade):
    market.acting = ALPHA
    shown = trade("offering", "publish", ACME_ALPHA, "-", "--quotes-valid", "1d", given=json.dumps(OFFERING))
    offering = market.one("offering")
    assert (shown["id"], offering.status, offering.seller) == (offering.id, "published", market.alpha.id)
    assert json.loads(offering.product) == {
        "productOffering": {"id": "ethernet-port"},
        "productConfiguration": {"@type": "urn:example:port", "loss": 0.5},
    }
    assert [(price.price_type, price.rate.nano) for price in offering.prices] == [
        ("nonRecurring", 110 * 10**9),
        ("recurring", 42_500_000_000),
        ("usageBased", 500_000),
    ]
    assert (offering.quote_validity_ms, offering.term.amount) == (86_400_000, 12)
    assert trade("offering", "withdraw", ACME_ALPHA, offering.id)["status"] == "withdrawn"


@pytest.mark.req("X-75", "L-35")
def test_a_standing_quote_is_taken_of_the_catalogue_with_a_sonata_request(market, trade, tmp_path):
    """The quote is there at once, and what is about persons stays at home as with any other request."""
    request = json.loads(SAMPLE_QUOTE.read_bytes())
    item = next(one for one in request["quoteItem"] if one["product"]["productOffering"]["id"] == "ethernet-port")
    request["quoteItem"] = [{key: value for key, value in item.items() if key != "quoteItemRelationship"}]
    (tmp_path / "port.json").write_text(json.dumps(request))
    market.acting = ALPHA
    term = {"amount": 24, "unit": "calendarMonths"}
    given = {**OFFERING, "term": term, "configuration": {"@type": item["product"]["productConfiguration"]["@type"]}}
    offering = trade("offering", "publish", ACME_ALPHA, "-", given=json.dumps(given))
    market.acting = ACME
    shown = trade("take", ACME_ALPHA, offering["id"], tmp_path / "port.json")
    quote = market.one("quote")
    assert (shown["id"], quote.offering_id, quote.status) == (quote.id, offering["id"], "issued")
    assert (tmp_path / "withheld" / f"{quote.inquiry_id}.json").exists()
    placed = trade("order", ACME_ALPHA, quote.id, *WINDOWS)
    assert placed["status"] == "placed"


@pytest.mark.req("O-05", "D-05")
def test_a_quote_and_an_order_take_the_place_of_earlier_ones(market, trade):
    trade("inquire", ACME_ALPHA, SAMPLE_QUOTE)
    first = market.one("inquiry")
    market.quote(first)
    (old,) = market.all("quote", "issued")
    trade("inquire", ACME_ALPHA, SAMPLE_QUOTE, "--replaces", first.id)
    market.quote(*market.all("inquiry", "received"))
    assert [one.id for one in market.all("quote", "superseded")] == [old.id]
    (quote,) = market.all("quote", "issued")
    placed = trade("order", ACME_ALPHA, quote.id, *WINDOWS)
    trade("cancel", ACME_ALPHA, placed["id"])
    trade("inquire", ACME_ALPHA, SAMPLE_QUOTE)
    market.quote(*market.all("inquiry", "received"))
    (quote,) = market.all("quote", "issued")
    assert trade("order", ACME_ALPHA, quote.id, *WINDOWS, "--replaces", placed["id"])["replaces"] == placed["id"]


def test_a_late_quote_counts_once_its_buyer_takes_it(market, trade):
    trade("inquire", ACME_ALPHA, SAMPLE_QUOTE, "--window", "20s")
    market.network.clock.now_ms += 30_000
    market.quote(market.one("inquiry"))
    assert market.one("quote").late
    assert trade("take-late", ACME_ALPHA, market.one("inquiry").id)["taken"] is True


def test_an_offering_that_can_not_be_used_is_told_by_its_place(market, trade):
    market.acting = ALPHA
    for change, told in (
        ({"price": 5}, "price: there is no such key"),
        ({"offering": 5}, "offering: give a text"),
        ({"term": {"amount": 12, "unit": "fortnights"}}, "term.unit: give one of calendarMonths"),
        ({"term": 12}, "term: give"),
        ({"prices": {}}, "At least one of non_recurring, recurring and usage is needed"),
        ({"prices": {"recurring": "5"}}, "period"),
        ({"configuration": {"limit": 1e400}}, "JSON"),
        ({"installation_interval_ms": -1}, "installation_interval_ms: give a whole number"),
        ({"form": "both"}, "form: give one of itemised, bundled"),
    ):
        given = json.dumps({**OFFERING, **change})
        assert told in trade("offering", "publish", ACME_ALPHA, "-", given=given, code=2), change
    assert asyncio.run(gathered(market.acme.ledger.list("offering"))) == []


def changing(market, trade):
    """A change with an outage, ordered and accepted; its two parties have to agree on a window."""
    ordered(market, trade)
    asyncio.run(
        activate(market.stage, market.alpha, asyncio.run(accept(market.stage, market.alpha, market.one("order"))))
    )
    service = market.one("service")
    items = tuple(
        InquiryItem(id=one.id, action=Action.MODIFY, offering=one.offering, product=one.product, term=one.term)
        for one in market.one("order").items[:1]
    )
    wish = SubmitInquiry(
        seller=market.alpha.id,
        agreement_id=market.agreement.id,
        level="firm",
        items=items,
        lineage_key=b"k" * 32,
        ancestors=ancestors_of(b"k" * 32, market.acme.id),
        change=Change(service_id=service.id, kind=ChangeKind.OTHER),
    )
    asyncio.run(market.acme.ledger.submit([Act(name="submit_inquiry", command=wish)], [signing_member(ACME)]))
    (inquiry,) = market.all("inquiry", "received")
    answer = ChangeAnswer(outage=Outage.YES, outage_ms=60_000, method=ChangeMethod.RECONFIGURE)
    draft = draft_quote(inquiry, market.agreement.terms, price_book(), market.network.clock() + 600_000)
    market.alpha_does("issue_quote", replace(draft, change_answer=answer))
    (quote,) = market.all("quote", "issued")
    trade("order", ACME_ALPHA, quote.id, *WINDOWS)
    (order,) = market.all("order", "placed")
    asyncio.run(accept(market.stage, market.alpha, order))
    return market.one("service_change")


@pytest.mark.req("C-09")
def test_a_maintenance_window_is_proposed_declined_and_agreed_by_hand(market, trade):
    change = changing(market, trade)
    told = trade("maintenance", "agree", ACME_ALPHA, change.id, code=1)
    assert "No window is proposed" in told
    market.acting = ALPHA
    trade("maintenance", "propose", ACME_ALPHA, change.id, "--in", "10m", "--for", "2m")
    window = market.one("service_change").window
    assert (window.until_ms - window.from_ms, window.proposed_by) == (120_000, market.alpha.id)
    market.acting = ACME
    assert trade("maintenance", "decline", ACME_ALPHA, change.id, "--reason", "BUSINESS_HOURS")["status"] == "accepted"
    market.acting = ALPHA
    trade("maintenance", "propose", ACME_ALPHA, change.id, "--in", "20m", "--for", "3m")
    market.acting = ACME
    agreed = trade("maintenance", "agree", ACME_ALPHA, change.id)
    assert agreed["status"] == "agreed"
    assert int(agreed["window"]["until_ms"]) - int(agreed["window"]["from_ms"]) == 180_000


@pytest.mark.parametrize("name", sorted(commands.command.commands))
def test_each_command_teaches_by_an_example(name):
    done = CliRunner().invoke(commands.command, [name, "--help"])
    assert done.exit_code == 0
    assert f"syngraph trade {name}" in done.stdout


def test_a_command_for_a_pair_names_what_it_needs_where_the_ledger_is_another(monkeypatch):
    class Elsewhere:
        id, name, kind = "sg_1", "omni", "omni"

    class Connected:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def node_status(self):
            return SimpleNamespace(organization_id="org_1")

        def ledger(self, _):
            return Elsewhere()

    monkeypatch.setattr(Settings, "connect", lambda _: Connected())
    for words, wanted in ((("terminate", "omni", "svc_1"), "bilateral"), (("rules", "omni"), "internal")):
        done = CliRunner().invoke(commands.command, words)
        assert done.exit_code == 2
        assert f"omni is omni: this command needs a ledger that is {wanted}" in done.stderr


def test_who_stops_waiting_is_told_what_stands(market, trade, monkeypatch):
    """Its id may not have been shown yet."""

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Blocking, "events", interrupted, raising=False)
    told = trade("inquire", ACME_ALPHA, SAMPLE_QUOTE, "--wait", code=130)
    assert f"no longer waited for: inquiry {market.one('inquiry').id}" in told
