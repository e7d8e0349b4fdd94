"""Inquiry: complete or refused, answered once, and deemed unable when the window ends in silence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smartcontracts import codec
from smartcontracts.agreement import AgreementUnknown
from smartcontracts.canonical_json import JsonKeyDoubled, JsonNotCanonical, JsonNumberInvalid, JsonTooDeep
from smartcontracts.codec import TextInvalid, ValueUnknown
from smartcontracts.inquiry import (
    INQUIRY,
    RESPONSE_RECORD,
    UNABLE,
    AncestorsInvalid,
    DeclareUnable,
    GroupMissing,
    InquiryAnswered,
    InquiryStatus,
    InquiryUnknown,
    ItemIdDoubled,
    ItemIdMissing,
    ItemsMissing,
    Loop,
    OfferingMismatch,
    RelationCycle,
    RelationDoubled,
    RelationsMissing,
    RelationUnknown,
    ReplacedInquiryUnknown,
    SellerIsBuyer,
    SubmitInquiry,
    TermInvalid,
    TooManyItems,
    connected,
)
from smartcontracts.kernel import AlreadyDone, Cause, PositionWrong, RoleMissing
from smartcontracts.trade import (
    Action,
    ActionNotSupported,
    EndAction,
    ItemRelation,
    NotTheSeller,
    PersonalData,
    QuoteLevel,
    ReasonInvalid,
    SaltedHash,
    TimeOutOfRange,
    WindowNotPositive,
    WindowTooLong,
    WindowTooShort,
    WithheldInvalid,
)
from tests.smartcontracts.support import START_MS, member, org
from tests.smartcontracts.trading import (
    ASK,
    BUYER,
    DAY_MS,
    LEAST_MS,
    LINE,
    PORT_A,
    PORT_Z,
    SELLER,
    SINGLE,
    WINDOW_MS,
    YEAR,
    ask,
    give,
    product,
    sell,
    target,
    trading_ledger,
)

NOTE = '[{"author":"Jo","text":"call me"}]'


def item(place=0, **changes):
    """A change of one item of an inquiry."""

    def change(command):
        items = list(command.items)
        items[place] = replace(items[place], **changes)
        return replace(command, items=tuple(items))

    return change


def top(**changes):
    return lambda command: replace(command, **changes)


def edges(*ids):
    return tuple(ItemRelation(type="X", item_id=one) for one in ids)


NO_PLACES = tuple(replace(one, product=product(one.offering, sls=True)) for one in ASK.items)
NO_TARGETS = tuple(replace(one, product=product(one.offering, place="rome")) for one in ASK.items)
BARE = b'{"productOffering":{"id":"line"}}'

REFUSALS = [  # in order of precedence, each one change away from ASK, with the field that is named
    (SellerIsBuyer, top(seller=org(BUYER)), "seller"),
    (AgreementUnknown, top(agreement_id="agr_other"), "agreement_id"),
    (AgreementUnknown, top(seller=org("north")), "agreement_id"),
    (ItemsMissing, top(items=()), "items"),
    (TooManyItems, top(items=tuple(replace(SINGLE, id=str(n)) for n in range(101))), "items"),
    (ItemIdMissing, item(id=""), "items[0].id"),
    (ItemIdDoubled, item(2, id="item-002"), "items[2].id"),
    (ActionNotSupported, item(action=Action.MODIFY), "items[0].action"),
    (ActionNotSupported, item(action=Action.DELETE), "items[0].action"),
    (GroupMissing, item(offering=""), "items[0].offering"),
    (GroupMissing, item(product=b""), "items[0].product"),
    (GroupMissing, item(product=b"[]"), "items[0].product.productConfiguration"),
    (GroupMissing, item(product=BARE), "items[0].product.productConfiguration"),
    (PersonalData, item(product=product("line", note=NOTE)), "items[0].product.note"),
    (OfferingMismatch, item(offering="other"), "items[0].offering"),
    (GroupMissing, item(term=None), "items[0].term"),
    (TermInvalid, item(term=replace(YEAR, amount=0)), "items[0].term.amount"),
    (TermInvalid, item(term=replace(YEAR, amount=1_000_001)), "items[0].term.amount"),
    (TermInvalid, item(term=replace(YEAR, end_action=EndAction.ROLL)), "items[0].term.roll_interval"),
    (TermInvalid, item(term=replace(YEAR, roll_interval=b"{}")), "items[0].term.roll_interval"),
    (TimeOutOfRange, item(installation_interval_ms=-1), "items[0].installation_interval_ms"),
    (PersonalData, item(references=b'{"dealReference":"jo@example.com"}'), "items[0].references.dealReference"),
    (RelationUnknown, item(relations=edges("item-009")), "items[0].relations[0].item_id"),
    (RelationDoubled, item(relations=edges("item-002", "item-002")), "items[0].relations[1]"),
    (RelationCycle, item(relations=edges("item-001")), "items[0].relations"),
    (
        RelationCycle,
        lambda command: item(1, relations=edges("item-001"))(item(relations=edges("item-002"))(command)),
        "items[0].relations",
    ),
    (RelationsMissing, item(relations=()), "items"),
    (GroupMissing, top(items=NO_PLACES), "items[0].product.place"),
    (GroupMissing, top(items=NO_TARGETS), "items[0].product.productConfiguration.carrierEthernetSls"),
    (AncestorsInvalid, top(ancestors=tuple(str(n) for n in range(17))), "ancestors"),
    (AncestorsInvalid, top(ancestors=("x", "y", "x")), "ancestors[2]"),
    (AncestorsInvalid, top(ancestors=("x", "")), "ancestors[1]"),
    (Loop, top(ancestors=("x", org(SELLER))), "ancestors"),
    (ReplacedInquiryUnknown, top(replaces="inq_none"), "replaces"),
    (TimeOutOfRange, top(requested_completion_ms=-1), "requested_completion_ms"),
    (WindowNotPositive, top(response_window_ms=-1), "response_window_ms"),
    (WindowTooShort, top(response_window_ms=LEAST_MS - 1), "response_window_ms"),
    (WindowTooLong, top(response_window_ms=400 * DAY_MS + 1), "response_window_ms"),
    (WindowTooShort, top(requested_completion_ms=START_MS + LEAST_MS), "requested_completion_ms"),
    (WithheldInvalid, top(withheld=(SaltedHash(subject="", sha256=b"\1" * 32),)), "withheld[0]"),
    (WithheldInvalid, top(withheld=(SaltedHash(subject="notes", sha256=b"\1" * 31),)), "withheld[0]"),
    (WithheldInvalid, top(withheld=(SaltedHash(subject="notes", sha256=b"\1" * 32),) * 2), "withheld[1]"),
    (PersonalData, top(buyer_reference="for jo@example.com"), "buyer_reference"),
    (PersonalData, top(project="jo@example.com"), "project"),
]


@pytest.mark.req("Q-18")
def test_the_receipt_has_an_id_that_the_contract_gives_and_the_time_of_the_block():
    ledger = trading_ledger()
    first = ask(ledger, at=START_MS + 1_000)
    second = ask(ledger, at=START_MS + 2_000)
    assert ledger.get(INQUIRY, first.id) == first
    assert (first.received_at_ms, second.received_at_ms) == (START_MS + 1_000, START_MS + 2_000)
    assert first.id != second.id
    assert first.id.startswith("inq_")
    assert not any(spec.name == "id" for spec in codec.message_class("SubmitInquiry").DESCRIPTOR.fields)


@pytest.mark.req("Q-03")
def test_everything_that_was_asked_is_read_back_as_it_was_sent():
    ledger = trading_ledger()
    stored = ledger.get(INQUIRY, ask(ledger).id)
    for name in ("items", "level", "buyer_reference", "project", "withheld", "agreement_id", "seller"):
        assert getattr(stored, name) == getattr(ASK, name)
    assert stored.buyer == org(BUYER)
    assert stored.status == InquiryStatus.RECEIVED
    assert ledger.event_names() == ["inquiry.received"]


@pytest.mark.req("Q-02", "Q-13")
@pytest.mark.parametrize("first", range(len(REFUSALS)))
def test_invalid_inquiry_answers_with_the_first_failing_check_and_changes_nothing(first):
    refusal, change, named = REFUSALS[first]
    ledger = trading_ledger()
    before = ledger.root()
    with pytest.raises(refusal) as caught:
        ask(ledger, change(ASK), at=START_MS + 1)
    assert (type(caught.value), caught.value.field) == (refusal, named)
    for _, later, _ in REFUSALS[first + 1 :]:
        with pytest.raises(refusal):
            ask(ledger, change(later(ASK)))
    assert ledger.root() == before


@pytest.mark.req("Q-02")
def test_an_item_without_an_action_or_a_level_that_is_none_is_refused_by_name():
    message = codec.to_message(ASK)
    message.items[0].action = ""
    with pytest.raises(ValueUnknown) as caught:
        codec.from_message(SubmitInquiry, message)
    assert caught.value.field == "items[0].action"
    message = codec.to_message(ASK)
    message.level = ""
    with pytest.raises(ValueUnknown) as caught:
        codec.from_message(SubmitInquiry, message)
    assert caught.value.field == "level"


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b'{"a":1,"a":1}', JsonKeyDoubled),
        (b'{"a":1e400}', JsonNumberInvalid),
        (b"[" * 100 + b"]" * 100, JsonTooDeep),
        (b'{"b":1,"a":1}', JsonNotCanonical),
        (b'{"a":1.50}', JsonNotCanonical),
        (b'{ "a":1}', JsonNotCanonical),
    ],
)
def test_invalid_json_in_a_product_is_refused_with_its_own_code(data, refusal):
    ledger = trading_ledger()
    before = ledger.root()
    with pytest.raises(refusal) as caught:
        ask(ledger, item(product=data)(ASK))
    assert (caught.value.field, ledger.root()) == ("items[0].product", before)


def test_text_with_control_characters_is_refused():
    with pytest.raises(TextInvalid) as caught:
        ask(trading_ledger(), replace(ASK, buyer_reference="a\u202eb"))
    assert caught.value.field == "buyer_reference"


@pytest.mark.parametrize(
    "more",
    [
        {"relatedContactInformation": "[]"},
        {"billingContact": "{}"},
        {"endCustomerName": '"Jo"'},
        {"emailAddress": '"x"'},
        {"x": '{"y":[{"note":1}]}'},
        {"x": '["write to jo.doe@mail.example.com please"]'},
        {"jo@example.com": "1"},
    ],
)
def test_nothing_about_a_person_comes_in_with_a_product(more):
    with pytest.raises(PersonalData):
        ask(trading_ledger(), item(product=product("line", sls=True, **more))(ASK))


def test_a_long_text_full_of_at_signs_is_searched_in_linear_time():
    text = '"' + "a@" * 100_000 + '"'
    ask(trading_ledger(), item(product=product("line", sls=True, x=text))(ASK))


@pytest.mark.req("Q-13")
def test_an_item_takes_place_and_targets_of_those_it_is_related_to_and_targets_of_the_agreement():
    ask(trading_ledger(), ASK)  # the line has no place, the ports have no targets
    alone = replace(ASK, items=(replace(SINGLE, product=product("port", place="rome")),))
    with pytest.raises(GroupMissing):
        ask(trading_ledger(), alone)
    with pytest.raises(GroupMissing):
        ask(trading_ledger(sla_targets=(target(BUYER), target(offering="line"))), alone)
    for offering in ("", "port"):
        ask(trading_ledger(sla_targets=(target(offering=offering),)), alone)
    existing = product("port", sls=True, productRelationship='[{"id":"PORT-7","relationshipType":"A"}]')
    ask(trading_ledger(), replace(ASK, items=(replace(SINGLE, product=existing),)))


def test_groups_are_those_that_relations_join_in_either_direction():
    apart = replace(PORT_Z, id="item-004")
    assert connected((LINE, PORT_A, PORT_Z, apart)) == (0, 0, 0, 3)
    assert connected((PORT_A, apart, LINE)) == (0, 1, 0)


def test_a_chain_of_as_many_items_as_allowed_is_taken():
    chain = tuple(replace(SINGLE, id=str(n), relations=edges(str(n + 1)) if n < 99 else edges()) for n in range(100))
    assert len(ask(trading_ledger(), replace(ASK, items=chain)).items) == 100


@pytest.mark.parametrize(
    ("changes", "window_ms"),
    [
        ({}, WINDOW_MS),
        ({"response_window_ms": LEAST_MS}, LEAST_MS),
        ({"response_window_ms": 400 * DAY_MS}, 400 * DAY_MS),
        ({"instant": True}, LEAST_MS),
        ({"instant": True, "response_window_ms": WINDOW_MS}, LEAST_MS),
        ({"ancestors": tuple(str(n) for n in range(16))}, WINDOW_MS),
        ({"requested_completion_ms": START_MS}, WINDOW_MS),
        ({"requested_completion_ms": START_MS + 5_000}, WINDOW_MS),
        ({"requested_completion_ms": START_MS + 5_000 + WINDOW_MS + 1}, WINDOW_MS),
        ({"requested_completion_ms": START_MS + 5_000 + LEAST_MS}, LEAST_MS),
    ],
)
def test_the_window_is_the_buyers_or_the_agreements_and_a_wish_in_the_future_shortens_it(changes, window_ms):
    inquiry = ask(trading_ledger(), replace(ASK, **changes), at=START_MS + 5_000)
    assert inquiry.respond_by_ms == START_MS + 5_000 + window_ms
    assert inquiry.requested_completion_ms == changes.get("requested_completion_ms", 0)


@pytest.mark.req("Q-05", "Q-31")
def test_a_silent_seller_is_deemed_unable_in_the_first_block_after_the_window():
    ledger = trading_ledger()
    inquiry = ask(ledger)
    ledger.advance(inquiry.respond_by_ms)
    assert ledger.the(INQUIRY).status == InquiryStatus.RECEIVED
    ledger.advance(inquiry.respond_by_ms + 1)
    assert ledger.the(INQUIRY) == replace(inquiry, status=InquiryStatus.DEEMED_UNABLE)
    assert ledger.event_names() == ["inquiry.received", "inquiry.deemed_unable"]
    record = ledger.the(RESPONSE_RECORD)
    assert (record.seller, record.answered, record.late, record.deemed) == (org(SELLER), 0, 0, 1)
    ledger.advance(inquiry.respond_by_ms + DAY_MS)
    assert ledger.the(RESPONSE_RECORD) == record


@pytest.mark.req("Q-04", "Q-06", "Q-47")
def test_unable_to_quote_is_an_answer_with_an_id_and_there_is_no_second_one():
    ledger = trading_ledger()
    inquiry = ask(ledger)
    unable, answered, _ = sell(
        ledger, "declare_unable", DeclareUnable(inquiry_id=inquiry.id, reason="NO_CAPACITY")
    ).writes
    assert unable.id.startswith("una_")
    assert ledger.get(UNABLE, unable.id) == unable
    assert (answered.status, answered.unable_id, answered.in_window) == (InquiryStatus.UNABLE, unable.id, True)
    before = ledger.root()
    with pytest.raises(InquiryAnswered):
        sell(ledger, "declare_unable", DeclareUnable(inquiry_id=inquiry.id, reason="NO_CAPACITY"))
    with pytest.raises(InquiryAnswered):
        give(ledger, inquiry.id)
    assert ledger.root() == before
    ledger.advance(inquiry.respond_by_ms + 1)
    assert ledger.the(INQUIRY) == answered


@pytest.mark.req("Q-06")
def test_unable_after_a_quote_is_a_second_answer():
    ledger = trading_ledger()
    inquiry = ask(ledger)
    give(ledger, inquiry.id)
    with pytest.raises(InquiryAnswered):
        sell(ledger, "declare_unable", DeclareUnable(inquiry_id=inquiry.id, reason="NO_CAPACITY"))


@pytest.mark.req("Q-07")
def test_the_last_millisecond_of_the_window_is_in_time_and_the_next_is_late():
    for late_ms in (0, 1):
        ledger = trading_ledger()
        inquiry = ask(ledger)
        command = DeclareUnable(inquiry_id=inquiry.id, reason="NO_CAPACITY")
        sell(ledger, "declare_unable", command, at=inquiry.respond_by_ms + late_ms)
        answered, record = ledger.the(INQUIRY), ledger.the(RESPONSE_RECORD)
        assert answered.status == InquiryStatus.UNABLE
        assert answered.in_window == (late_ms == 0)
        assert ledger.the(UNABLE).in_window == (late_ms == 0)
        assert (record.answered, record.late, record.deemed) == ((1, 0, 0) if late_ms == 0 else (0, 1, 1))


@pytest.mark.req("Q-07")
def test_counts_are_kept_for_each_seller():
    ledger = trading_ledger()
    give(ledger, ask(ledger).id)
    back = replace(ASK, seller=org(BUYER))
    ask(ledger, back, buyer=SELLER)
    ledger.advance(START_MS + DAY_MS // 2)
    counts = {r.seller: (r.answered, r.late, r.deemed) for r in ledger.all(RESPONSE_RECORD)}
    assert counts == {org(SELLER): (1, 0, 0), org(BUYER): (0, 0, 1)}
    assert len(ledger.find(RESPONSE_RECORD, "party", org(SELLER), 10)) == 1


@pytest.mark.req("L-13")
def test_both_parties_buy_from_each_other_on_one_ledger_in_one_block():
    ledger = trading_ledger()
    there = ("submit_inquiry", ASK, ledger.sender(BUYER, "b_bus"))
    back = ("submit_inquiry", replace(ASK, seller=org(BUYER)), ledger.sender(SELLER, "b_bus"))
    (first,), (second,) = (outcome.writes for outcome in ledger.run_together([there, back]))
    assert (first.buyer, first.seller) == (second.seller, second.buyer) == (org(BUYER), org(SELLER))
    with pytest.raises(NotTheSeller):
        give(ledger, second.id)
    give(ledger, first.id)
    give(ledger, second.id, seller=BUYER)


DECLARE_REFUSALS = [
    (InquiryUnknown, {"inquiry_id": "inq_none"}, SELLER),
    (NotTheSeller, {}, BUYER),
    (ReasonInvalid, {"reason": "no capacity"}, SELLER),
    (ReasonInvalid, {"reason": ""}, SELLER),
    (ReasonInvalid, {"reason": "A" * 65}, SELLER),
]


@pytest.mark.parametrize(("refusal", "changes", "who"), DECLARE_REFUSALS)
def test_invalid_declaration_is_refused(refusal, changes, who):
    ledger = trading_ledger()
    command = replace(DeclareUnable(inquiry_id=ask(ledger).id, reason="NO_CAPACITY"), **changes)
    before = ledger.root()
    with pytest.raises(refusal):
        sell(ledger, "declare_unable", command, seller=who)
    assert ledger.root() == before


@pytest.mark.parametrize("role", ["s_bus", "administrator", "sco", "sof", "finance", "auditor", "observer"])
def test_only_a_b_bus_of_a_party_asks(role):
    ledger = trading_ledger()
    with pytest.raises(RoleMissing):
        ledger.run("submit_inquiry", ASK, sender=ledger.sender(BUYER, role))
    for name in ("north", "ofcom"):
        with pytest.raises(PositionWrong):
            ledger.run("submit_inquiry", ASK, sender=ledger.sender(name, "b_bus"))
    inquiry = ask(ledger)
    if role != "s_bus":
        command = DeclareUnable(inquiry_id=inquiry.id, reason="NO_CAPACITY")
        with pytest.raises(RoleMissing):
            ledger.run("declare_unable", command, sender=ledger.sender(SELLER, role))


def test_an_agent_that_repeats_itself_is_told_what_it_did():
    ledger = trading_ledger()
    cause = Cause(ledger_id="sg_upstream", event_id="7/0", purpose="buy/item-003")
    first = ask(ledger, cause=cause)
    with pytest.raises(AlreadyDone) as caught:
        ask(ledger, replace(ASK, response_window_ms=LEAST_MS), cause=cause)
    assert caught.value.existing_id == first.id


def test_an_inquiry_is_found_by_its_words():
    ledger = trading_ledger()
    inquiry = ask(ledger)
    for term, value in (
        ("status", "received"),
        ("party", org(SELLER)),
        ("offering", "port"),
        ("related", ASK.buyer_reference),
        ("related", ASK.project),
    ):
        assert ledger.find(INQUIRY, term, value, 10) == (inquiry,)


def test_no_member_is_named_on_an_inquiry():
    assert member(BUYER, "b_bus").encode() not in codec.encode(ask(trading_ledger()))


def test_every_level_and_unit_that_may_be_asked_is_kept():
    for level in QuoteLevel:
        assert ask(trading_ledger(), replace(ASK, level=level)).level == level
