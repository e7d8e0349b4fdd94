"""An audit finds each outward act that is not what was let out, by its content: on ledgers with real contracts, with another act
or other values planted under a release's hash, and in a market of agents nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

from ledgers.client.audit import audit_outward_acts
from ledgers.client.audited_acts import CREATED, NAMED, differences
from ledgers.kinds import contract_table
from smartcontracts.catalogue import RequestStandingQuote, WithdrawOffering
from smartcontracts.change import (
    AgreeMaintenance,
    ChangeOutcome,
    DeclineMaintenance,
    EndChange,
    HastenChange,
    ProposeMaintenance,
    StartChange,
)
from smartcontracts.codec import encode
from smartcontracts.delivery import (
    ActivateOrder,
    AnswerExtension,
    CancelOrder,
    ExtendWindow,
    FailOrder,
    RequestExtension,
)
from smartcontracts.inquiry import DeclareUnable
from smartcontracts.internal.release import MESSAGES, OutwardAct, Release, ReleaseStatus, release_hash
from smartcontracts.kernel import Role
from smartcontracts.order import AcceptOrder, RejectOrder
from smartcontracts.quote import TakeLateQuote
from smartcontracts.trade import ChangeKind
from tests.ledgers.client.bookshelf import Books, Shelf
from tests.node.agents.desk import Market
from tests.node.agents.stories import STORIES, Killer
from tests.smartcontracts.delivering import (
    OUTAGE_MS,
    STRICT,
    WITH_OUTAGE,
    cancel,
    change_accepted,
    extend,
    in_operation,
    propose,
    reply,
    request,
    start,
)
from tests.smartcontracts.support import LEDGER_ID, org
from tests.smartcontracts.test_catalogue import PUBLISH, published
from tests.smartcontracts.trading import (
    ASK,
    BUYER,
    LINEAGE_KEY,
    SELLER,
    SINGLE,
    accepted,
    answer,
    ask,
    give,
    ordered,
    product,
    purchase,
    quoted,
    trading_ledger,
    upstream,
)

SALT = b"s" * 32
HOUR_MS = 3_600_000


def let_out(act, command, status="carried", ledger_id=LEDGER_ID, **more):
    """A release of a command."""
    data = encode(command)
    return Release(
        id=f"rel_{act}",
        act=act,
        role=Role.B_BUS,
        ledger_id=ledger_id,
        status=ReleaseStatus(status),
        salt=SALT,
        command=OutwardAct(name=act, data=data),
        sha256=release_hash(act, SALT, data),
        subject_kind="something",
        subject_id="sth_1",
        released_at_ms=1,
        **more,
    )


def do(ledger, who, act, command, release):
    sender = ledger.sender(who, "s_bus", "b_bus")
    return ledger.run(act, replace(command, release=release.sha256), sender=sender)


async def audited(books, who, *releases, copies=()):
    shelf = Shelf("int", "internal", *(("release", one, ()) for one in releases), *copies)
    return await audit_outward_acts(shelf, (books,), org(who))


@dataclass(frozen=True)
class Case:
    """`begin` makes what the act is about, and tells what `right` and `planted` are made of.

    `found` is what differs, as (finding, member, expected, found); a callable value is called with what was told.
    """

    act: str
    who: str
    begin: Callable[[Any], Any]
    right: Callable[[Any], Any]
    planted: Callable[[Any], tuple[str, Any]]
    found: tuple[tuple[str, str, Any, Any], ...]
    is_refused: bool = False


def two_orders(ledger):
    return ordered(ledger), ordered(ledger)


def asked_for_time(ledger):
    order = accepted(ledger)
    return request(ledger, order, order.activate_by_ms + HOUR_MS)


def change_with_outage(ledger):
    _, service = in_operation(ledger)
    order, change = change_accepted(
        ledger, service, ChangeKind.RELOCATION, answer=WITH_OUTAGE, activation_window_ms=HOUR_MS
    )
    assert order.activate_by_ms >= ledger.time_ms + HOUR_MS
    return change, ledger.time_ms + 60_000


def window_proposed(ledger):
    change, from_ms = change_with_outage(ledger)
    return propose(ledger, change, from_ms, from_ms + OUTAGE_MS)


def change_for_later(ledger):
    _, service = in_operation(ledger)
    at_ms = ledger.time_ms + 60_000
    _, change = change_accepted(ledger, service, implement_at_ms=at_ms, activation_window_ms=HOUR_MS)
    return change


def change_to_start(ledger):
    _, service = in_operation(ledger)
    _, change = change_accepted(ledger, service)
    return change


def late_quotes(ledger):
    first, second = ask(ledger), ask(ledger)
    ledger.advance(second.respond_by_ms + 1)
    return give(ledger, first.id), give(ledger, second.id)


def of_change(kind, **more):
    return lambda change: kind(change_id=change.id, service_id=change.service_id, **more)


def proposed(told, later_ms=0):
    change, from_ms = told
    times = {"from_ms": from_ms + later_ms, "until_ms": from_ms + later_ms + OUTAGE_MS}
    return ProposeMaintenance(change_id=change.id, service_id=change.service_id, **times)


def agreed(change):
    window = change.window
    return AgreeMaintenance(
        change_id=change.id, service_id=change.service_id, from_ms=window.from_ms, until_ms=window.until_ms
    )


def declined(change, reason="BUSY"):
    return DeclineMaintenance(change_id=change.id, service_id=change.service_id, reason=reason)


def taking(quote):
    return TakeLateQuote(inquiry_id=quote.inquiry_id, quote_id=quote.id)


def standing(offering, **more):
    return RequestStandingQuote(
        offering_id=offering.id, items=(SINGLE,), lineage_key=LINEAGE_KEY, ancestors=upstream(BUYER), **more
    )


ACT, SENT = "ACT_ALTERED", "COMMAND_ALTERED"
QUESTION = replace(ASK, ancestors=upstream(BUYER))
CASES = (
    Case(
        "submit_inquiry",
        BUYER,
        lambda _: None,
        lambda _: QUESTION,
        lambda _: ("submit_inquiry", replace(QUESTION, project="another", instant=True)),
        (
            (ACT, "project", QUESTION.project, "another"),
            (SENT, "project", QUESTION.project, "another"),
            (SENT, "instant", "false", "true"),
        ),
    ),
    Case(
        "declare_unable",
        SELLER,
        ask,
        lambda inquiry: DeclareUnable(inquiry_id=inquiry.id, reason="NO_CAPACITY"),
        lambda inquiry: ("declare_unable", DeclareUnable(inquiry_id=inquiry.id, reason="NOT_OFFERED")),
        ((ACT, "reason", "NO_CAPACITY", "NOT_OFFERED"), (SENT, "reason", "NO_CAPACITY", "NOT_OFFERED")),
    ),
    Case(
        "issue_quote",
        SELLER,
        ask,
        # As it may be given: not in the inquiry's order.
        lambda inquiry: replace(answer(inquiry.id), items=answer(inquiry.id).items[::-1]),
        lambda inquiry: (
            "issue_quote",
            replace(answer(inquiry.id, seller_reference="mine"), items=answer(inquiry.id).items[::-1]),
        ),
        ((ACT, "seller_reference", "", "mine"), (SENT, "seller_reference", "", "mine")),
    ),
    Case(
        "take_late_quote",
        BUYER,
        late_quotes,
        lambda quotes: taking(quotes[0]),
        lambda quotes: ("take_late_quote", taking(quotes[1])),
        (
            (ACT, "quote_id", lambda quotes: quotes[0].id, lambda quotes: quotes[1].id),
            (SENT, "inquiry_id", lambda quotes: quotes[0].inquiry_id, lambda quotes: quotes[1].inquiry_id),
            (SENT, "quote_id", lambda quotes: quotes[0].id, lambda quotes: quotes[1].id),
        ),
    ),
    Case(
        "publish_offering",
        SELLER,
        lambda _: None,
        lambda _: PUBLISH,
        lambda _: ("publish_offering", replace(PUBLISH, quote_validity_ms=1_000)),
        (
            (ACT, "quote_validity_ms", str(PUBLISH.quote_validity_ms), "1000"),
            (SENT, "quote_validity_ms", str(PUBLISH.quote_validity_ms), "1000"),
        ),
    ),
    Case(
        "withdraw_offering",
        SELLER,
        lambda ledger: (published(ledger), published(ledger, offering="line", product=product("line"))),
        lambda offerings: WithdrawOffering(offering_id=offerings[0].id),
        lambda offerings: ("withdraw_offering", WithdrawOffering(offering_id=offerings[1].id)),
        (
            (ACT, "offering_id", lambda offerings: offerings[0].id, lambda offerings: offerings[1].id),
            (SENT, "offering_id", lambda offerings: offerings[0].id, lambda offerings: offerings[1].id),
        ),
    ),
    Case(
        "request_standing_quote",
        BUYER,
        published,
        standing,
        lambda offering: ("request_standing_quote", standing(offering, buyer_reference="other")),
        ((ACT, "buyer_reference", "", "other"), (SENT, "buyer_reference", "", "other")),
    ),
    Case(
        "place_order",
        BUYER,
        quoted,
        lambda quote: purchase(quote.id),
        lambda quote: ("place_order", purchase(quote.id, activation_window_ms=50_000, acceptance_window_ms=20_001)),
        (
            (ACT, "activation_window_ms", "40000", "50000"),
            (SENT, "acceptance_window_ms", "30000", "20001"),
            (SENT, "activation_window_ms", "40000", "50000"),
        ),
    ),
    Case(
        "accept_order",
        SELLER,
        ordered,
        lambda order: AcceptOrder(order_id=order.id),
        lambda order: ("reject_order", RejectOrder(order_id=order.id, reason="NO_CAPACITY")),
        ((ACT, "status", "accepted", "rejected"), (SENT, "act", "accept_order", "reject_order")),
    ),
    Case(
        "accept_order",
        SELLER,
        two_orders,
        lambda orders: AcceptOrder(order_id=orders[0].id),
        lambda orders: ("accept_order", AcceptOrder(order_id=orders[1].id)),
        (
            (ACT, "order_id", lambda orders: orders[0].id, lambda orders: orders[1].id),
            (SENT, "order_id", lambda orders: orders[0].id, lambda orders: orders[1].id),
        ),
    ),
    Case(
        "reject_order",
        SELLER,
        ordered,
        lambda order: RejectOrder(order_id=order.id, reason="NO_CAPACITY"),
        lambda order: ("reject_order", RejectOrder(order_id=order.id, reason="OTHER")),
        ((ACT, "reason", "NO_CAPACITY", "OTHER"), (SENT, "reason", "NO_CAPACITY", "OTHER")),
    ),
    Case(
        "reject_order",
        SELLER,
        ordered,
        lambda order: RejectOrder(order_id=order.id, reason="NO_CAPACITY"),
        lambda order: ("accept_order", AcceptOrder(order_id=order.id)),
        (
            (ACT, "status", "rejected", "accepted"),
            (ACT, "reason", "NO_CAPACITY", ""),
            (SENT, "act", "reject_order", "accept_order"),
        ),
    ),
    Case(
        "activate_order",
        SELLER,
        accepted,
        lambda order: ActivateOrder(order_id=order.id),
        lambda order: ("fail_order", FailOrder(order_id=order.id, reason="NO_CAPACITY")),
        ((ACT, "status", "activated", "failed"), (SENT, "act", "activate_order", "fail_order")),
    ),
    Case(
        "fail_order",
        SELLER,
        accepted,
        lambda order: FailOrder(order_id=order.id, reason="NO_CAPACITY"),
        lambda order: ("activate_order", ActivateOrder(order_id=order.id)),
        (
            (ACT, "status", "failed", "activated"),
            (ACT, "reason", "NO_CAPACITY", ""),
            (SENT, "act", "fail_order", "activate_order"),
        ),
    ),
    Case(
        "cancel_order",
        BUYER,
        accepted,
        lambda order: CancelOrder(order_id=order.id, reason="NO_NEED"),
        lambda order: ("cancel_order", CancelOrder(order_id=order.id, reason="LATE")),
        ((ACT, "reason", "NO_NEED", "LATE"), (SENT, "reason", "NO_NEED", "LATE")),
    ),
    Case(
        "cancel_order",
        BUYER,
        accepted,
        lambda order: CancelOrder(order_id=order.id, reason="NO_NEED"),
        lambda order: ("extend_window", ExtendWindow(order_id=order.id, activate_by_ms=order.activate_by_ms + 1)),
        (
            (ACT, "status", "cancelled", "accepted"),
            (ACT, "reason", "NO_NEED", ""),
            (SENT, "act", "cancel_order", "extend_window"),
        ),
    ),
    Case(
        "request_extension",
        SELLER,
        accepted,
        lambda order: RequestExtension(order_id=order.id, activate_by_ms=order.activate_by_ms + 5, reason="LATE"),
        lambda order: (
            "request_extension",
            RequestExtension(order_id=order.id, activate_by_ms=order.activate_by_ms + 9, reason="SOON"),
        ),
        (
            (
                ACT,
                "activate_by_ms",
                lambda order: str(order.activate_by_ms + 5),
                lambda order: str(order.activate_by_ms + 9),
            ),
            (ACT, "reason", "LATE", "SOON"),
            (
                SENT,
                "activate_by_ms",
                lambda order: str(order.activate_by_ms + 5),
                lambda order: str(order.activate_by_ms + 9),
            ),
            (SENT, "reason", "LATE", "SOON"),
        ),
    ),
    Case(
        "request_extension",
        SELLER,
        accepted,
        lambda order: RequestExtension(order_id=order.id, activate_by_ms=order.activate_by_ms + 5, reason="LATE"),
        lambda order: ("activate_order", ActivateOrder(order_id=order.id)),
        (
            (ACT, "extension", lambda order: str(order.activate_by_ms + 5), "null"),
            (SENT, "act", "request_extension", "activate_order"),
        ),
    ),
    Case(
        "answer_extension",
        BUYER,
        asked_for_time,
        lambda order: AnswerExtension(order_id=order.id, granted=False),
        lambda order: ("answer_extension", AnswerExtension(order_id=order.id, granted=True)),
        ((ACT, "extension.status", "refused", "granted"), (SENT, "granted", "false", "true")),
    ),
    Case(
        "answer_extension",
        BUYER,
        asked_for_time,
        lambda order: AnswerExtension(order_id=order.id, granted=True),
        lambda order: ("answer_extension", AnswerExtension(order_id=order.id, granted=False)),
        ((ACT, "extension.status", "granted", "refused"), (SENT, "granted", "true", "false")),
    ),
    Case(
        "answer_extension",
        BUYER,
        asked_for_time,
        lambda order: AnswerExtension(order_id=order.id, granted=True),
        lambda order: ("answer_extension", AnswerExtension(order_id=order.id, granted=True, waive_penalty=True)),
        ((ACT, "penalty_waived", "false", "true"), (SENT, "waive_penalty", "false", "true")),
    ),
    Case(
        "extend_window",
        BUYER,
        accepted,
        lambda order: ExtendWindow(order_id=order.id, activate_by_ms=order.activate_by_ms + 5),
        lambda order: (
            "extend_window",
            ExtendWindow(order_id=order.id, activate_by_ms=order.activate_by_ms + 9, waive_penalty=True),
        ),
        (
            (
                ACT,
                "activate_by_ms",
                lambda order: str(order.activate_by_ms + 5),
                lambda order: str(order.activate_by_ms + 9),
            ),
            (
                SENT,
                "activate_by_ms",
                lambda order: str(order.activate_by_ms + 5),
                lambda order: str(order.activate_by_ms + 9),
            ),
            (SENT, "waive_penalty", "false", "true"),
        ),
    ),
    Case(
        "extend_window",
        BUYER,
        accepted,
        lambda order: ExtendWindow(order_id=order.id, activate_by_ms=order.activate_by_ms + 5, waive_penalty=True),
        lambda order: ("extend_window", ExtendWindow(order_id=order.id, activate_by_ms=order.activate_by_ms + 5)),
        ((ACT, "penalty_waived", "true", "false"), (SENT, "waive_penalty", "true", "false")),
    ),
    # A window that was proposed may be replaced at any time: its values stand in the transaction only.
    Case(
        "propose_maintenance",
        BUYER,
        change_with_outage,
        proposed,
        lambda told: ("propose_maintenance", proposed(told, later_ms=7)),
        (
            (SENT, "from_ms", lambda told: str(told[1]), lambda told: str(told[1] + 7)),
            (SENT, "until_ms", lambda told: str(told[1] + OUTAGE_MS), lambda told: str(told[1] + OUTAGE_MS + 7)),
        ),
    ),
    Case(
        "propose_maintenance",
        BUYER,
        lambda ledger: (change_for_later(ledger), 0),
        lambda told: ProposeMaintenance(change_id=told[0].id, service_id=told[0].service_id, from_ms=1, until_ms=2),
        lambda told: ("hasten_change", of_change(HastenChange, implement_at_ms=0)(told[0])),
        ((ACT, "window", "a window", "null"), (SENT, "act", "propose_maintenance", "hasten_change")),
        is_refused=True,
    ),
    Case(
        "agree_maintenance",
        BUYER,
        window_proposed,
        agreed,
        lambda change: ("decline_maintenance", declined(change)),
        ((SENT, "act", "agree_maintenance", "decline_maintenance"),),
    ),
    Case(
        "decline_maintenance",
        BUYER,
        window_proposed,
        declined,
        lambda change: ("decline_maintenance", declined(change, "NEVER")),
        ((SENT, "reason", "BUSY", "NEVER"),),
    ),
    Case(
        "hasten_change",
        BUYER,
        change_for_later,
        of_change(HastenChange, implement_at_ms=0),
        lambda change: ("hasten_change", of_change(HastenChange, implement_at_ms=change.implement_at_ms - 1)(change)),
        (
            (ACT, "implement_at_ms", "0", lambda change: str(change.implement_at_ms - 1)),
            (SENT, "implement_at_ms", "0", lambda change: str(change.implement_at_ms - 1)),
        ),
    ),
    Case(
        "start_change",
        SELLER,
        change_with_outage,
        lambda told: of_change(StartChange)(told[0]),
        lambda told: ("propose_maintenance", proposed(told)),
        ((ACT, "status", "implementing", "agreeing"), (SENT, "act", "start_change", "propose_maintenance")),
        is_refused=True,
    ),
    Case(
        "start_change",
        SELLER,
        change_to_start,
        of_change(StartChange),
        lambda change: ("fail_order", FailOrder(order_id=change.order_id, reason="NO_ACCESS")),
        (
            (ACT, "change_id", lambda change: change.id, lambda change: change.order_id),
            (SENT, "act", "start_change", "fail_order"),
        ),
    ),
    Case(
        "end_change",
        SELLER,
        lambda ledger: start(ledger, change_to_start(ledger)),
        of_change(EndChange, outcome=ChangeOutcome.DONE),
        lambda change: (
            "end_change",
            of_change(EndChange, outcome=ChangeOutcome.FAILED, reason="NO_ACCESS")(change),
        ),
        (
            (ACT, "outcome", "done", "failed"),
            (ACT, "reason", "", "NO_ACCESS"),
            (SENT, "outcome", "done", "failed"),
            (SENT, "reason", "", "NO_ACCESS"),
        ),
    ),
)
NAMES = [f"{case.act}-{number}" for number, case in enumerate(CASES)]
# What was let out in these the ledger would not take: something else must be in its place.
TAKEN = [pytest.param(case, id=name) for case, name in zip(CASES, NAMES, strict=True) if not case.is_refused]


@pytest.fixture
def ledger():
    return trading_ledger(**STRICT)


@pytest.mark.parametrize("case", TAKEN)
async def test_an_act_that_is_what_was_let_out_is_compared_and_passes(ledger, case):
    books = Books(ledger)
    told = case.begin(ledger)
    release = let_out(case.act, case.right(told))
    do(ledger, case.who, case.act, case.right(told), release)
    report = await audited(books, case.who, release)
    assert (report.findings, report.acts, report.commands, report.untraced) == ((), 1, 1, 0)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
async def test_what_is_planted_under_its_hash_is_found_by_member_with_what_was_expected_and_what_stands_there(
    ledger, case
):
    books = Books(ledger)
    told = case.begin(ledger)
    release = let_out(case.act, case.right(told))
    do(ledger, case.who, *case.planted(told), release)
    report = await audited(books, case.who, release)
    found = [
        (finding.name, one.field, one.expected, one.found) for finding in report.findings for one in finding.differences
    ]
    expected = [tuple(value(told) if callable(value) else value for value in one) for one in case.found]
    assert found == expected
    for finding in report.findings:
        first = finding.differences[0]
        said = f"{first.field} is {first.found or 'empty'}, not {first.expected or 'empty'}"
        assert finding.sentence.startswith(f"It is not what its release let out: {said}")
        assert finding.ledger_id == ledger.ledger_id
        assert ledger.get(ledger.table.kinds[finding.kind], finding.id) is not None


def test_every_act_that_can_be_let_out_is_compared():
    assert {case.act for case in CASES} == set(MESSAGES) == {*CREATED, *NAMED}
    assert not CREATED.keys() & NAMED.keys()


def test_what_is_compared_stands_in_the_command_and_in_the_document():
    kinds = contract_table("bilateral", 1).kinds
    for act, (kind, members) in CREATED.items():
        assert set(members) <= {one.name for one in fields(MESSAGES[act].command)}
        assert set(members) <= {one.name for one in fields(kinds[kind].record)}
    for act, named in NAMED.items():
        assert named.member in {one.name for one in fields(MESSAGES[act].command)}
        assert "releases" in {one.name for one in fields(kinds[named.kind].record)}


# What came after an act is no difference


async def test_an_order_that_was_cancelled_after_its_activation_was_activated(ledger):
    books = Books(ledger)
    order = accepted(ledger)
    command = ActivateOrder(order_id=order.id, element_ids=tuple(item.id for item in order.items)[::-1])
    release = let_out("activate_order", command)
    do(ledger, SELLER, "activate_order", command, release)
    cancel(ledger, order)
    assert (await audited(books, SELLER, release)).findings == ()


async def test_an_order_that_was_cancelled_instead_of_activated_was_not(ledger):
    books = Books(ledger)
    order = accepted(ledger)
    release = let_out("activate_order", ActivateOrder(order_id=order.id))
    do(ledger, BUYER, "cancel_order", CancelOrder(order_id=order.id, reason="NO_NEED"), release)
    (finding,) = (await audited(books, SELLER, release)).findings
    assert (finding.name, finding.differences[0].found) == ("ACT_ALTERED", "cancelled")


async def test_requests_for_time_and_their_answers_that_others_followed_are_no_difference(ledger):
    books = Books(ledger)
    order = accepted(ledger)
    first, second = order.activate_by_ms + 1_000, order.activate_by_ms + 2_000
    asking = RequestExtension(order_id=order.id, activate_by_ms=first, reason="LATE")
    asked = let_out("request_extension", asking)
    do(ledger, SELLER, "request_extension", asking, asked)
    refusing = AnswerExtension(order_id=order.id, granted=False)
    refused = let_out("answer_extension", refusing)
    do(ledger, BUYER, "answer_extension", refusing, refused)
    extend(ledger, order, second)
    request(ledger, order, second + 1_000, reason="AGAIN")
    reply(ledger, order, granted=True)
    assert (await audited(books, SELLER, asked)).findings == ()
    assert (await audited(books, BUYER, refused)).findings == ()


async def test_a_window_that_another_one_replaced_is_no_difference(ledger):
    books = Books(ledger)
    change, from_ms = change_with_outage(ledger)
    command = proposed((change, from_ms))
    release = let_out("propose_maintenance", command)
    do(ledger, SELLER, "propose_maintenance", command, release)
    propose(ledger, change, from_ms + 5, from_ms + 5 + OUTAGE_MS, who=BUYER)
    report = await audited(books, SELLER, release)
    assert (report.findings, report.acts, report.commands) == ((), 1, 1)


# Whose act it is


async def test_a_hash_that_the_other_party_put_on_an_act_of_its_own_is_not_the_organizations_act(ledger):
    """It sees a release's hash before the act is in a block. The carrier finds out, and has it refused or carried."""
    books = Books(ledger)
    order = ordered(ledger)
    release = let_out("accept_order", AcceptOrder(order_id=order.id), status="open")
    do(ledger, BUYER, "cancel_order", CancelOrder(order_id=order.id, reason="NO_NEED"), release)
    report = await audited(books, SELLER, release)
    assert (report.findings, report.acts, report.commands) == ((), 0, 0)


async def test_one_hash_under_two_acts_is_found_though_the_first_was_let_out(ledger):
    books = Books(ledger)
    order = accepted(ledger)
    command = RequestExtension(order_id=order.id, activate_by_ms=order.activate_by_ms + 5, reason="LATE")
    release = let_out("request_extension", command)
    do(ledger, SELLER, "request_extension", command, release)
    do(ledger, SELLER, "fail_order", FailOrder(order_id=order.id, reason="NO_CAPACITY"), release)
    (finding,) = (await audited(books, SELLER, release)).findings
    assert (finding.name, finding.kind, finding.id) == ("COMMAND_ALTERED", "order", order.id)
    assert (finding.differences[0].expected, finding.differences[0].found) == ("request_extension", "fail_order")


async def test_without_events_documents_alone_are_compared_and_that_is_told(ledger):
    order = ordered(ledger)
    release = let_out("reject_order", RejectOrder(order_id=order.id, reason="NO_CAPACITY"))
    do(ledger, SELLER, "reject_order", RejectOrder(order_id=order.id, reason="OTHER"), release)
    report = await audited(Books(ledger), SELLER, release)
    assert [finding.name for finding in report.findings] == ["ACT_ALTERED"]
    assert (report.acts, report.commands, report.untraced) == (1, 0, 1)


# Together they let out nearly every act that agents have: with recoveries, extensions, changes, and ends of what is stranded.
PLAYED = (
    "refused inquiry",
    "purchase",
    "rejected",
    "abandoned",
    "extended",
    "extended unasked",
    "changed",
    "hastened",
    "crossed proposals",
    "called off when late",
    "haggled",
)


async def test_a_late_quote_that_a_person_gave_has_the_release_of_who_took_it(ledger):
    books = Books(ledger)
    _, quote = late_quotes(ledger)
    release = let_out("take_late_quote", taking(quote))
    do(ledger, BUYER, "take_late_quote", taking(quote), release)
    assert (await audited(books, SELLER)).findings == ()
    assert (await audited(books, BUYER, release)).findings == ()


@pytest.mark.parametrize("story", PLAYED)
async def test_what_agents_do_over_several_tiers_is_what_was_let_out(monkeypatch, story):
    books, made = {}, Market._ledger

    def kept(market, name, kind, parties):
        books[name] = Books(made(market, name, kind, parties))
        return market.ledgers[name]

    monkeypatch.setattr(Market, "_ledger", kept)
    market = STORIES[story](Killer())
    compared = 0
    for name in (one.removesuffix("-internal") for one in market.ledgers if one.endswith("-internal")):
        pairs = [books[pair] for pair in market.ledgers if name in pair.split("-") and not pair.endswith("-internal")]
        report = await audit_outward_acts(books[f"{name}-internal"], pairs, org(name))
        assert (report.findings, report.untraced, report.unread) == ((), 0, 0)
        assert report.commands == report.acts
        compared += report.acts
    assert compared > 2


# What INT was told of orders


@dataclass(frozen=True)
class Copy:
    order_id: str
    service_id: str = ""
    activate_by_ms: int = 0
    id: str = "sel_1"
    ledger_id: str = LEDGER_ID


@pytest.mark.parametrize("kind", ["order_handover", "service_element"])
async def test_a_service_id_or_an_end_that_the_order_never_had_is_found(ledger, kind):
    books = Books(ledger)
    order = accepted(ledger)
    later_ms = order.activate_by_ms + 5
    extend(ledger, order, later_ms)

    async def found(**told):
        report = await audited(books, SELLER, copies=[(kind, Copy(order.id, **told), ())])
        return [
            (one.name, one.kind, one.id, [(d.field, d.expected, d.found) for d in one.differences])
            for one in report.findings
        ]

    for end_ms in (0, order.activate_by_ms, later_ms):
        assert await found(service_id=order.service_id, activate_by_ms=end_ms) == []
    wrong = [("service_id", order.service_id, "svc_other"), ("activate_by_ms", str(later_ms), str(later_ms + 1))]
    assert await found(service_id="svc_other", activate_by_ms=later_ms + 1) == [("COPY_ALTERED", kind, "sel_1", wrong)]


def test_a_long_value_is_cut_and_a_list_of_another_length_is_told_whole():
    (one,) = differences({"a": ["x" * 100]}, {"a": []})
    assert (one.field, one.found, len(one.expected), one.expected.endswith("...")) == ("a", "[]", 83, True)
