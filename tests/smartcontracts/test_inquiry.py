"""Inquiry: complete or refused, answered once, and deemed unable when the window ends in silence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smartcontracts import codec
from smartcontracts.agreement import AgreementUnknown, RolesFixed
from smartcontracts.canonical_json import JsonKeyDoubled, JsonNotCanonical, JsonNumberInvalid, JsonTooDeep
from smartcontracts.codec import TextInvalid, ValueUnknown
from smartcontracts.inquiry import (
    INQUIRY,
    ITEMS_BYTES_MAX,
    RESPONSE_RECORD,
    UNABLE,
    AncestorsInvalid,
    ChangeActionWrong,
    ChangeItemsWrong,
    ChangeMissing,
    DeclareUnable,
    GroupMissing,
    InquiryAnswered,
    InquiryStatus,
    InquiryUnknown,
    ItemIdDoubled,
    ItemIdMissing,
    ItemsMissing,
    ItemsTooLarge,
    LineageInvalid,
    LineageKeyInvalid,
    LineageMissing,
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
from smartcontracts.kernel import AlreadyDone, Cause, PositionWrong, Rejected, RoleMissing
from smartcontracts.lineage import ancestors_of, child_lineage, element_lineage, pseudonym
from smartcontracts.quote import QUOTE
from smartcontracts.service import ServiceStatus, ServiceTerminated, ServiceUnknown
from smartcontracts.trade import (
    Action,
    Change,
    ChangeKind,
    EndAction,
    ItemRelation,
    NotTheSeller,
    PersonalData,
    QuoteLevel,
    ReasonInvalid,
    ReleaseInvalid,
    ReleaseMissing,
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
    ASK_BACK,
    BUYER,
    DAY_MS,
    LEAST_MS,
    LINE,
    LINEAGE_KEY,
    PORT_A,
    PORT_Z,
    RELEASE,
    SELLER,
    SINGLE,
    WINDOW_MS,
    YEAR,
    ask,
    give,
    item,
    pair_ledger,
    product,
    sell,
    serving_ledger,
    target,
    trading_ledger,
    upstream,
    wholesale_ledger,
)

NOTE = '[{"author":"Jo","text":"call me"}]'


def top(**changes):
    return lambda command: replace(command, **changes)


def edges(*ids):
    return tuple(ItemRelation(type="X", item_id=one) for one in ids)


# Pseudonyms of who may stand above the buyer, and the buyer's own.
ABOVE = tuple(pseudonym(LINEAGE_KEY, org(f"above-{n}")) for n in range(16))
OWN = upstream(BUYER)
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
    (ItemsTooLarge, item(product=b"0" * ITEMS_BYTES_MAX), "items"),
    (ChangeMissing, item(action=Action.MODIFY), "change"),
    (ChangeMissing, item(1, action=Action.DELETE), "change"),
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
    (LineageKeyInvalid, top(lineage_key=b""), "lineage_key"),
    (LineageKeyInvalid, top(lineage_key=b"\1" * 31), "lineage_key"),
    (AncestorsInvalid, top(ancestors=()), "ancestors"),
    (AncestorsInvalid, top(ancestors=(*ABOVE[:15], *upstream(SELLER), *OWN)), "ancestors"),
    (AncestorsInvalid, top(ancestors=(ABOVE[0], ABOVE[1], ABOVE[0], *OWN)), "ancestors[2]"),
    (AncestorsInvalid, top(ancestors=(*OWN, *OWN)), "ancestors[1]"),
    (AncestorsInvalid, top(ancestors=("", *OWN)), "ancestors[0]"),
    (AncestorsInvalid, top(ancestors=(org("zulu"), *OWN)), "ancestors[0]"),
    (AncestorsInvalid, top(ancestors=(ABOVE[0].upper(), *OWN)), "ancestors[0]"),
    (AncestorsInvalid, top(ancestors=(*OWN, ABOVE[0])), "ancestors[1]"),
    (AncestorsInvalid, top(ancestors=upstream(SELLER)), "ancestors[0]"),
    (Loop, top(ancestors=(*upstream(SELLER), *OWN)), "ancestors"),
    (Loop, top(ancestors=(*ABOVE[:3], *upstream(SELLER), ABOVE[4], *OWN)), "ancestors"),
    (LineageMissing, top(ancestors=(ABOVE[0], *OWN)), "items[0].lineage_id"),
    (LineageInvalid, item(1, lineage_id=ABOVE[0]), "items[1].lineage_id"),
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
    (PersonalData, top(master_id="jo@example.com"), "master_id"),
    (ReleaseInvalid, top(release=b"\1" * 31), "release"),
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
    for name in (
        "level",
        "buyer_reference",
        "project",
        "withheld",
        "agreement_id",
        "seller",
        "lineage_key",
        "ancestors",
    ):
        assert getattr(stored, name) == getattr(ASK, name)
    assert tuple(replace(one, lineage_id="") for one in stored.items) == ASK.items
    assert stored.buyer == org(BUYER)
    assert stored.status == InquiryStatus.RECEIVED
    assert ledger.event_names() == ["inquiry.received"]


@pytest.mark.req("Q-02", "Q-13", "X-05")
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


@pytest.mark.req("Q-05")
@pytest.mark.parametrize(
    "large",
    [
        {"product": b"0" * (ITEMS_BYTES_MAX // 2)},
        {"references": b"0" * 4_096, "relations": edges(*(f"{n:0256}" for n in range(64)))},
    ],
)
def test_an_inquiry_that_no_seller_could_take_in_is_refused_before_an_answer_is_owed(large):
    """Its copy would not have gone into a transaction of its seller's internal ledger, which had then left it unanswered."""
    ledger = trading_ledger()
    count = 2 if "product" in large else 14
    items = tuple(replace(LINE, id=f"item-{n}", **large) for n in range(count))
    with pytest.raises(ItemsTooLarge):
        ask(ledger, replace(ASK, items=items))
    with pytest.raises(Rejected) as caught:
        ask(ledger, replace(ASK, items=items[: count // 2]))
    assert not isinstance(caught.value, ItemsTooLarge)


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


@pytest.mark.req("Q-14")
def test_an_inquiry_of_several_elements_has_its_order_in_the_chain_and_no_circle():
    ledger = trading_ledger()
    asked = ask(ledger, ASK)
    assert [[edge.item_id for edge in one.relations] for one in asked.items] == [["item-002", "item-003"], [], []]
    before = ledger.root()
    with pytest.raises(RelationCycle) as caught:
        ask(ledger, item(2, relations=edges("item-001"))(ASK))
    assert (caught.value.field, ledger.root()) == ("items[0].relations", before)


@pytest.mark.req("Q-15")
def test_dates_of_activation_are_kept_as_they_were_given():
    wished = replace(
        ASK, requested_completion_ms=START_MS + DAY_MS, items=(replace(SINGLE, installation_interval_ms=9 * DAY_MS),)
    )
    asked = ask(trading_ledger(), wished)
    assert (asked.requested_completion_ms, asked.items[0].installation_interval_ms) == (START_MS + DAY_MS, 9 * DAY_MS)


@pytest.mark.req("Q-16")
def test_the_buyers_own_reference_finds_its_inquiries_and_is_not_unique():
    ledger = trading_ledger()
    both = sorted(ask(ledger, ASK).id for _ in range(2))
    back = ask(ledger, ASK_BACK, buyer=SELLER)
    found = [one.id for one in ledger.find(INQUIRY, "related", ASK.buyer_reference, 10)]
    assert found == sorted([*both, back.id])


@pytest.mark.req("Q-19")
def test_each_element_of_a_complex_inquiry_has_an_id_of_its_own_beside_the_inquirys():
    asked = ask(trading_ledger())
    ids = [one.lineage_id for one in asked.items]
    assert ids == [element_lineage(LINEAGE_KEY, one.id) for one in ASK.items]
    assert len({asked.id, *ids}) == 4


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
        ({"ancestors": (*ABOVE[:15], *OWN), "items": (replace(SINGLE, lineage_id=ABOVE[0]),)}, WINDOW_MS),
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
    ask(ledger, ASK_BACK, buyer=SELLER)
    ledger.advance(START_MS + DAY_MS // 2)
    counts = {r.seller: (r.answered, r.late, r.deemed) for r in ledger.all(RESPONSE_RECORD)}
    assert counts == {org(SELLER): (1, 0, 0), org(BUYER): (0, 0, 1)}
    assert len(ledger.find(RESPONSE_RECORD, "party", org(SELLER), 10)) == 1


@pytest.mark.req("L-13", "L-17")
def test_both_parties_buy_from_each_other_on_one_ledger_in_one_block():
    ledger = trading_ledger()
    there = ("submit_inquiry", ASK, ledger.sender(BUYER, "b_bus"))
    back = ("submit_inquiry", ASK_BACK, ledger.sender(SELLER, "b_bus"))
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
    (ReleaseInvalid, {"release": b"\1"}, SELLER),
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
    released = replace(ASK, release=RELEASE)
    first = ask(ledger, released, cause=cause)
    with pytest.raises(AlreadyDone) as caught:
        ask(ledger, replace(released, response_window_ms=LEAST_MS), cause=cause)
    assert caught.value.existing_id == first.id


def test_an_inquiry_is_found_by_its_words():
    ledger = trading_ledger()
    inquiry = ask(ledger, replace(ASK, master_id="master-1"))
    for term, value in (
        ("status", "received"),
        ("party", org(SELLER)),
        ("offering", "port"),
        ("related", ASK.buyer_reference),
        ("related", ASK.project),
        ("related", "master-1"),
    ):
        assert ledger.find(INQUIRY, term, value, 10) == (inquiry,)


@pytest.mark.req("Q-48")
def test_a_master_id_groups_inquiries_and_their_quotes():
    ledger = trading_ledger()
    inquiries = [ask(ledger, replace(ASK, master_id="master-1")) for _ in range(2)]
    other = ask(ledger, replace(ASK, master_id="master-2"))
    quotes = [give(ledger, inquiry.id) for inquiry in inquiries]
    renamed = give(ledger, other.id, master_id="master-1")
    found = ledger.find(INQUIRY, "related", "master-1", 10)
    assert [one.id for one in found] == sorted(inquiry.id for inquiry in inquiries)
    assert [one.id for one in ledger.find(QUOTE, "related", "master-1", 10)] == sorted(
        one.id for one in (*quotes, renamed)
    )


# Who is upstream, and which element this is


@pytest.mark.req("Q-08", "X-05")
def test_a_request_that_would_come_back_to_who_forwarded_it_is_refused():
    """acme asks alpha, alpha asks bravo, and bravo would ask acme or alpha for the same element."""
    asked = ask(trading_ledger())
    going_on = replace(
        ASK, seller=org("bravo"), items=asked.items, ancestors=ancestors_of(LINEAGE_KEY, org(SELLER), asked.ancestors)
    )
    below = ask(wholesale_ledger("bravo"), going_on, buyer=SELLER)
    for seller, ledger in ((SELLER, wholesale_ledger("bravo")), (BUYER, pair_ledger(BUYER, "bravo"))):
        back = replace(going_on, seller=org(seller), ancestors=ancestors_of(LINEAGE_KEY, org("bravo"), below.ancestors))
        before = ledger.root()
        with pytest.raises(Loop):
            ask(ledger, back, buyer="bravo")
        assert ledger.root() == before


@pytest.mark.req("Q-09", "X-06")
def test_an_inquiry_at_depth_k_holds_k_pseudonyms_in_order_and_names_nobody():
    chain = [f"above-{n}" for n in range(3)]
    ancestors = ()
    for name in (*chain, BUYER):
        ancestors = ancestors_of(LINEAGE_KEY, org(name), ancestors)
    items = (replace(SINGLE, lineage_id=element_lineage(LINEAGE_KEY, "root")),)
    inquiry = ask(trading_ledger(), replace(ASK, items=items, ancestors=ancestors))
    assert inquiry.ancestors == tuple(pseudonym(LINEAGE_KEY, org(name)) for name in (*chain, BUYER))
    stored = codec.encode(inquiry)
    assert not any(org(name).encode() in stored for name in chain)


@pytest.mark.req("Q-09", "X-06")
@pytest.mark.parametrize(
    "ancestors",
    [(), (ABOVE[0],), (*OWN, ABOVE[0]), (ABOVE[0], ABOVE[0], *OWN), (org("zulu"), *OWN), (*ABOVE, *OWN)],
    ids=["empty", "without-the-buyer", "buyer-not-last", "doubled", "a-name", "too-long"],
)
def test_a_list_that_is_not_pseudonyms_each_once_with_the_buyers_at_its_end_is_refused(ancestors):
    ledger = trading_ledger()
    before = ledger.root()
    with pytest.raises(AncestorsInvalid):
        ask(ledger, replace(ASK, ancestors=ancestors))
    assert ledger.root() == before


@pytest.mark.req("X-06")
def test_under_another_key_nobody_is_recognised():
    other = b"\x22" * 32
    with pytest.raises(AncestorsInvalid):
        ask(trading_ledger(), replace(ASK, lineage_key=other))
    ask(trading_ledger(), replace(ASK, lineage_key=other, ancestors=ancestors_of(other, org(BUYER))))


@pytest.mark.req("X-05")
def test_an_element_is_named_where_its_request_begins_and_keeps_that_name_on_the_way():
    first = ask(trading_ledger())
    assert [one.lineage_id for one in first.items] == [element_lineage(LINEAGE_KEY, one.id) for one in ASK.items]
    again = ask(trading_ledger(), replace(ASK, items=first.items))
    assert again.items == first.items
    child = child_lineage(LINEAGE_KEY, first.items[0].lineage_id, "port")
    items = (replace(SINGLE, lineage_id=child),)
    ancestors = (pseudonym(LINEAGE_KEY, org("zulu")), *OWN)
    assert ask(trading_ledger(), replace(ASK, items=items, ancestors=ancestors)).items == items


@pytest.mark.parametrize("wrong", ["x", "A" * 64, "0" * 63, "0" * 65])
def test_a_lineage_id_of_another_form_is_refused(wrong):
    going_on = replace(ASK, items=(replace(SINGLE, lineage_id=wrong),), ancestors=(ABOVE[0], *OWN))
    with pytest.raises(LineageInvalid) as caught:
        ask(trading_ledger(), going_on)
    assert caught.value.field == "items[0].lineage_id"


# Releases


@pytest.mark.parametrize("name", ["submit_inquiry", "declare_unable"])
def test_an_agent_acts_with_a_release_and_a_person_needs_none(name):
    ledger = trading_ledger()
    command = ASK if name == "submit_inquiry" else DeclareUnable(inquiry_id=ask(ledger).id, reason="NO_CAPACITY")
    sender = ledger.sender(BUYER, "b_bus") if name == "submit_inquiry" else ledger.sender(SELLER, "s_bus")
    cause = Cause(ledger_id="sg_internal", event_id="rel_1", purpose=name)
    before = ledger.root()
    with pytest.raises(ReleaseMissing) as caught:
        ledger.run(name, command, sender=sender, cause=cause)
    assert (caught.value.field, ledger.root()) == ("release", before)
    written = ledger.run(name, replace(command, release=RELEASE), sender=sender, cause=cause).writes[0]
    assert written.releases == (RELEASE,)
    if name == "submit_inquiry":
        assert ledger.run(name, command, sender=sender).writes[0].releases == ()
        assert ledger.run(name, replace(command, release=RELEASE), sender=sender).writes[0].releases == (RELEASE,)


# Roles


@pytest.mark.req("L-01", "L-16")
def test_where_the_roles_are_fixed_nobody_buys_from_the_buyer():
    ledger = trading_ledger(only_seller=org(SELLER))
    ask(ledger)
    before = ledger.root()
    with pytest.raises(RolesFixed) as caught:
        ask(ledger, ASK_BACK, buyer=SELLER)
    assert (caught.value.field, ledger.root()) == ("seller", before)


# Changes of a service


def change_of(service, kind=ChangeKind.PARAMETER, items=None, **changes):
    """An inquiry for a change of alpha's service to acme; by default its line gets more bandwidth."""
    action = Action.DELETE if kind == ChangeKind.TERMINATION else Action.MODIFY
    faster = (replace(LINE, product=product("line", sls=True, mbps=90), relations=()),)
    wanted = tuple(replace(one, action=action) for one in items or faster)
    return replace(ASK, items=wanted, change=Change(service_id=service.id, kind=kind), **changes)


@pytest.mark.req("C-01", "C-02", "C-05", "C-06")
@pytest.mark.parametrize("kind", [kind for kind in ChangeKind if kind != ChangeKind.TERMINATION])
@pytest.mark.parametrize("status", [ServiceStatus.IN_DELIVERY, ServiceStatus.IN_OPERATION])
def test_a_change_names_a_service_of_the_two_that_has_not_ended(kind, status):
    ledger, service = serving_ledger(status=status)
    inquiry = ask(ledger, change_of(service, kind))
    assert (inquiry.change, inquiry.items[0].action) == (Change(service_id=service.id, kind=kind), Action.MODIFY)
    assert ledger.find(INQUIRY, "service", service.id, 10) == (inquiry,)


@pytest.mark.req("C-01")
def test_an_ended_service_cannot_change():
    ledger, service = serving_ledger(status=ServiceStatus.TERMINATED, terminated_at_ms=START_MS)
    before = ledger.root()
    for kind in (ChangeKind.QOS, ChangeKind.TERMINATION):
        with pytest.raises(ServiceTerminated) as caught:
            ask(ledger, change_of(service, kind))
        assert (caught.value.field, ledger.root()) == ("change.service_id", before)


@pytest.mark.req("C-06")
def test_a_service_that_is_not_there_or_goes_the_other_way_is_unknown():
    ledger, service = serving_ledger()
    for command, buyer in (
        (change_of(replace(service, id="svc_none")), BUYER),
        (change_of(replace(service, id="")), BUYER),
        (change_of(service, seller=org(BUYER), ancestors=upstream(SELLER)), SELLER),
    ):
        with pytest.raises(ServiceUnknown) as caught:
            ask(ledger, command, buyer=buyer)
        assert caught.value.field == "change.service_id"


@pytest.mark.req("C-05", "C-06")
@pytest.mark.parametrize("kind", [ChangeKind.QOS, ChangeKind.TERMINATION])
def test_what_modifies_or_ends_something_says_that_it_is_a_change_and_of_which_service(kind):
    ledger, service = serving_ledger()
    right = change_of(service, kind, ASK.items)
    before = ledger.root()
    with pytest.raises(ChangeMissing) as caught:
        ask(ledger, replace(right, change=None))
    assert (caught.value.field, ledger.root()) == ("change", before)
    ask(ledger, right)


def test_a_change_is_about_elements_of_the_service_or_about_new_ones():
    ledger, service = serving_ledger()
    ask(ledger, change_of(service))
    new = (replace(SINGLE, id="item-009"),)
    assert ask(ledger, change_of(service, items=new)).items[0].action == Action.MODIFY
    both = (replace(LINE, relations=edges("item-009")), *new)
    with pytest.raises(ChangeItemsWrong) as caught:
        ask(ledger, change_of(service, items=both))
    assert caught.value.field == "items"
    with pytest.raises(OfferingMismatch) as mismatch:
        ask(ledger, change_of(service, items=(replace(SINGLE, id="item-001"),)))
    assert mismatch.value.field == "items[0].offering"


def test_an_element_that_is_there_has_its_place_and_a_new_one_needs_one():
    ledger, service = serving_ledger()
    placeless = replace(SINGLE, product=product("port", sls=True))
    ask(ledger, change_of(service, items=(replace(placeless, id="item-002"),)))
    with pytest.raises(GroupMissing) as caught:
        ask(ledger, change_of(service, items=(replace(placeless, id="item-009"),)))
    assert caught.value.field == "items[0].product.place"


def test_a_termination_names_every_element_and_needs_say_nothing_of_them():
    ledger, service = serving_ledger()
    bare = tuple(replace(one, offering="", product=b"", term=None, relations=()) for one in ASK.items)
    assert ask(ledger, change_of(service, ChangeKind.TERMINATION, bare)).items[0].action == Action.DELETE
    whole = ask(ledger, change_of(service, ChangeKind.TERMINATION, ASK.items))
    assert whole.items[0].product == LINE.product
    for items in (bare[:2], (*bare, replace(SINGLE, id="item-009"))):
        with pytest.raises(ChangeItemsWrong):
            ask(ledger, change_of(service, ChangeKind.TERMINATION, items))


@pytest.mark.parametrize(
    ("changes", "refusal", "field"),
    [
        ({"offering": "line"}, OfferingMismatch, "items[1].offering"),
        ({"product": b"{ }"}, JsonNotCanonical, "items[1].product"),
        ({"product": b'{"note":"x"}'}, PersonalData, "items[1].product.note"),
        ({"term": replace(YEAR, amount=0)}, TermInvalid, "items[1].term.amount"),
        ({"installation_interval_ms": -1}, TimeOutOfRange, "items[1].installation_interval_ms"),
        ({"relations": edges("item-009")}, RelationUnknown, "items[1].relations[0].item_id"),
    ],
)
def test_what_a_termination_says_must_have_its_form(changes, refusal, field):
    ledger, service = serving_ledger()
    items = list(ASK.items)
    items[1] = replace(items[1], **changes)
    with pytest.raises(refusal) as caught:
        ask(ledger, change_of(service, ChangeKind.TERMINATION, tuple(items)))
    assert caught.value.field == field


def test_the_actions_of_a_change_are_its_kinds():
    ledger, service = serving_ledger()
    deleting = change_of(service, ChangeKind.TERMINATION, ASK.items)
    wrong = (
        (ChangeKind.QOS, Action.DELETE),
        (ChangeKind.QOS, Action.ADD),
        (ChangeKind.TERMINATION, Action.MODIFY),
        (ChangeKind.TERMINATION, Action.ADD),
    )
    for kind, action in wrong:
        items = (deleting.items[0], replace(deleting.items[1], action=action), deleting.items[2])
        if kind == ChangeKind.QOS:
            items = tuple(replace(one, action=Action.MODIFY) if one is not items[1] else one for one in items)
        with pytest.raises(ChangeActionWrong) as caught:
            ask(ledger, replace(deleting, items=items, change=Change(service_id=service.id, kind=kind)))
        assert caught.value.field == "items[1].action"


def test_no_member_is_named_on_an_inquiry():
    assert member(BUYER, "b_bus").encode() not in codec.encode(ask(trading_ledger()))


def test_every_level_and_unit_that_may_be_asked_is_kept():
    for level in QuoteLevel:
        assert ask(trading_ledger(), replace(ASK, level=level)).level == level
