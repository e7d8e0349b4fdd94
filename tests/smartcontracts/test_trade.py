"""Trade: limits at and past their bound, differences by path, and what counts as about a person."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts.canonical_json import canonical, dump, load
from smartcontracts.codec import BytesTooLong, ListTooLong
from smartcontracts.inquiry import INQUIRY, TermInvalid
from smartcontracts.kernel import Rejected
from smartcontracts.quote import QUOTE
from smartcontracts.trade import (
    LABEL_MONTHS,
    LABEL_MS,
    PERSONAL_KEYS,
    PRICES_MAX,
    RELATIONS_MAX,
    RELEASES_MAX,
    TERM_AMOUNT_MAX,
    TIME_MS_MAX,
    UNIT_MS,
    WITHHELD_MAX,
    ItemRelation,
    PeriodLabel,
    PersonalData,
    ReleaseInvalid,
    ReleaseMissing,
    ReleasesFull,
    SaltedHash,
    TermUnit,
    TimeOutOfRange,
    WithheldInvalid,
    first_difference,
    holds_mail_address,
    may_be_personal,
    require_impersonal,
    require_release,
    require_withheld,
    words,
)
from tests.smartcontracts.trading import (
    ASK,
    BUYER,
    LINE,
    PORT_A,
    QUOTE_ITEMS,
    SINGLE,
    YEAR,
    answer,
    ask,
    once,
    sell,
    trading_ledger,
)


@pytest.mark.parametrize(
    ("release", "held", "refusal"),
    [
        (b"", 0, ReleaseMissing),
        (b"\1" * 31, 0, ReleaseInvalid),
        (b"\1" * 33, 0, ReleaseInvalid),
        (b"\1" * 32, RELEASES_MAX, ReleasesFull),
    ],
)
def test_a_release_that_an_agent_does_not_give_whole_or_a_document_cannot_hold_is_refused(release, held, refusal):
    ledger = trading_ledger()
    call = replace(ledger.call(ledger.sender(BUYER, "b_bus")), by_agent=True)
    with pytest.raises(refusal) as caught:
        require_release(release, call, (b"\2" * 32,) * held)
    assert caught.value.field == "release"


def test_releases_stand_in_order_and_a_person_need_give_none():
    ledger = trading_ledger()
    call = ledger.call(ledger.sender(BUYER, "b_bus"))
    held = (b"\2" * 32,) * (RELEASES_MAX - 1)
    assert require_release(b"\1" * 32, call, held) == (*held, b"\1" * 32)
    assert require_release(b"", call, held) == held
    with pytest.raises(ReleaseInvalid):
        require_release(b"\1", call)


def single(**changes):
    return replace(ASK, items=(replace(SINGLE, **changes),))


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (single(term=replace(YEAR, amount=TERM_AMOUNT_MAX)), None),
        (single(term=replace(YEAR, amount=TERM_AMOUNT_MAX + 1)), TermInvalid),
        (replace(ASK, requested_completion_ms=TIME_MS_MAX), None),
        (replace(ASK, requested_completion_ms=TIME_MS_MAX + 1), TimeOutOfRange),
        (single(installation_interval_ms=TIME_MS_MAX), None),
        (single(installation_interval_ms=TIME_MS_MAX + 1), TimeOutOfRange),
        (single(references=b'"' + b"x" * 4_094 + b'"'), None),
        (single(references=b'"' + b"x" * 4_095 + b'"'), BytesTooLong),
    ],
)
def test_limits_of_an_inquiry_at_and_past_the_bound(command, refusal):
    ledger = trading_ledger()
    if refusal is None:
        assert ask(ledger, command) == ledger.the(INQUIRY)
    else:
        with pytest.raises(refusal):
            ask(ledger, command)


def test_limits_of_lists_at_and_past_the_bound():
    def related(count):
        edges = tuple(ItemRelation(type=str(n), item_id="item-002") for n in range(count))
        return replace(ASK, items=(replace(LINE, relations=edges), PORT_A))

    assert len(ask(trading_ledger(), related(RELATIONS_MAX)).items[0].relations) == RELATIONS_MAX
    with pytest.raises(ListTooLong):
        ask(trading_ledger(), related(RELATIONS_MAX + 1))

    ledger = trading_ledger()
    for count in (PRICES_MAX + 1, PRICES_MAX):
        prices = tuple(once(0, str(n)) for n in range(count - 1))
        items = (replace(QUOTE_ITEMS[0], prices=(once(120 * 10**9), *prices)), *QUOTE_ITEMS[1:])
        command = answer(ask(ledger).id, items=items)
        total = replace(command.term_total, minor=140_00)
        command = replace(command, one_time_total=total, term_total=total)
        if count > PRICES_MAX:
            with pytest.raises(ListTooLong):
                sell(ledger, "issue_quote", command)
        else:
            sell(ledger, "issue_quote", command)
    assert len(ledger.the(QUOTE).items[0].prices) == PRICES_MAX

    hashes = tuple(SaltedHash(subject=str(n), sha256=b"\1" * 32) for n in range(WITHHELD_MAX + 1))
    require_withheld(hashes[:-1])
    with pytest.raises(WithheldInvalid) as caught:
        require_withheld(hashes)
    assert caught.value.field == f"withheld[{WITHHELD_MAX}]"


@pytest.mark.parametrize(
    ("left", "right", "path"),
    [
        (b"1", b"2", "p"),
        (b"[1]", b"{}", "p"),
        (b'{"a":1,"b":2}', b'{"a":1,"b":3}', "p.b"),
        (b'{"a":1,"b":2}', b'{"a":2,"b":3}', "p.a"),
        (b'{"a":1}', b'{"a":1,"b":null}', "p.b"),
        (b'{"a":[1,2]}', b'{"a":[1]}', "p.a[1]"),
        (b'{"a":[1]}', b'{"a":[1,2,3]}', "p.a[1]"),
        (b'{"a":[1,{"b":"x"}]}', b'{"a":[1,{"b":"y"}]}', "p.a[1].b"),
        (b'{"a":1}', b'{"a":"1"}', "p.a"),
        (b'{"a":1}', b'{"a":1}', "p"),
    ],
)
def test_the_first_difference_is_named_by_its_path(left, right, path):
    assert first_difference(load(left, "x"), load(right, "x"), "p") == path
    assert first_difference(load(right, "x"), load(left, "x"), "p") == path


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("jo@example.com", True),
        ("write to <jo.doe@mail.example.com>, please", True),
        ("@@jo@example.com", True),
        ("a@b@c.d", True),
        ("@type", False),
        ("urn:mef:lso:@type.x", False),
        ("jo@", False),
        ("jo@host", False),
        ("jo@host .com", False),
        ("jo @example.com", False),
        ("https://x/@scope/name.git", False),
        ("", False),
    ],
)
def test_what_looks_like_a_mail_address(text, holds):
    assert holds_mail_address(text) == holds


JSON = st.recursive(
    st.none() | st.booleans() | st.text('a@.b\n"\\ ', max_size=6) | st.sampled_from(["j@x.y", "@type"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b@c.d", "@x", *sorted(PERSONAL_KEYS)]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON)
def test_the_quick_look_at_bytes_never_lets_through_what_the_walk_refuses(value):
    try:
        require_impersonal(value, "p")
    except PersonalData:
        assert may_be_personal(dump(value))


def test_a_refusal_of_personal_data_names_the_place():
    value = load(canonical(b'{"a":[{"b":{"note":1}}]}', "x"), "x")
    with pytest.raises(Rejected) as caught:
        require_impersonal(value, "product")
    assert caught.value.field == "product.a[0].b.note"


def test_every_unit_and_label_has_its_length():
    assert sorted(UNIT_MS) == sorted(TermUnit)
    assert sorted(LABEL_MS) == sorted(label for label in PeriodLabel if label)
    assert LABEL_MONTHS.keys() < LABEL_MS.keys()


def test_words_of_an_index_are_sorted_and_single_and_not_empty():
    assert words(("b", "", "a", "b")) == ("a", "b")
