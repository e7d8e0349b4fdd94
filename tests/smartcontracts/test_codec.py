"""The codec: one encoding a record, and nothing else is read."""

import dataclasses
import typing
from contextlib import suppress
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledgers.kinds import LEDGER_KINDS, contract_table
from smartcontracts import codec
from smartcontracts.kernel import Cause
from smartcontracts.membership import AddMember, Member, MemberKey, Organization
from smartcontracts.money import Money
from smartcontracts.parameters import Parameters, Rules, SetParameters
from smartcontracts.proposal import AcceptProposal, Act, Propose
from syngraph.v1 import common_pb2
from tests.smartcontracts.strategies import records
from tests.smartcontracts.support import member_record, public_key

TABLES = [contract_table(kind, 1) for kind in LEDGER_KINDS]
KINDS = {kind.name: kind for table in TABLES for kind in table.kinds.values()}
COMMANDS = {m.name: m.command for t in TABLES for m in (*t.messages.values(), *t.acts.values())}


def statuses(kind):
    hint = typing.get_type_hints(kind.record).get("status")
    return list(hint) if hint is not None else [None]


CASES = [(kind, status) for kind in KINDS.values() for status in statuses(kind)]


@pytest.mark.parametrize(("kind", "status"), CASES, ids=[f"{k.name}-{s}" for k, s in CASES])
@given(data=st.data())
@settings(max_examples=8)
def test_every_kind_of_document_in_every_status_is_read_back_as_written(kind, status, data):
    fixed = {} if status is None else {"status": status}
    record = data.draw(records(kind.record, **fixed))
    stored = codec.encode(record)
    assert codec.decode(kind.record, stored) == record
    assert codec.encode(codec.decode(kind.record, stored)) == stored


@pytest.mark.parametrize("name", COMMANDS)
@given(data=st.data())
@settings(max_examples=8)
def test_every_command_is_read_back_as_written(name, data):
    command = data.draw(records(COMMANDS[name]))
    assert codec.decode(COMMANDS[name], codec.encode(command)) == command


def assigned(record):
    """The record's message, built one field after another: slow and plain."""
    message = codec.message_class(getattr(record, "PROTO", None) or type(record).__name__)()
    if isinstance(record, codec.Choice):
        chosen = getattr(message, record.name)
        chosen.SetInParent()
        chosen.MergeFromString(record.data)
        return message
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, tuple):
            getattr(message, field.name).extend(assigned(v) if dataclasses.is_dataclass(v) else v for v in value)
        elif dataclasses.is_dataclass(value):
            getattr(message, field.name).CopyFrom(assigned(value))
            getattr(message, field.name).SetInParent()
        elif value is not None:
            setattr(message, field.name, value)
    return message


@pytest.mark.parametrize("record_type", [*(k.record for k in KINDS.values()), *COMMANDS.values()], ids=lambda t: t.__name__)
@given(data=st.data())
@settings(max_examples=8)
def test_a_message_is_what_assigning_field_by_field_gives(record_type, data):
    record = data.draw(records(record_type))
    assert codec.encode(record) == assigned(record).SerializeToString(deterministic=True)


def test_a_nested_record_of_zeros_is_there_and_an_absent_one_is_not():
    empty = Member(id="m", organization_id="o", roles=(), keys=(MemberKey(public_key=b""),))
    assert len(codec.decode(Member, codec.encode(empty)).keys) == 1
    nothing = SetParameters(parameters=Parameters(**dict.fromkeys((f.name for f in dataclasses.fields(Parameters)), 0)))
    assert codec.decode(SetParameters, codec.encode(nothing)) == nothing


def test_a_value_that_is_none_is_a_bug_and_not_a_default():
    with pytest.raises(TypeError, match="Cause"):
        codec.encode(Cause(ledger_id=None, event_id="1/2", purpose="renew"))


CAUSE = Cause(ledger_id="sg_x", event_id="1/2", purpose="renew")
BYTES = codec.encode(CAUSE)
OVERLONG = BYTES[:1] + bytes([BYTES[1] | 0x80, 0]) + BYTES[2:]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(BYTES + b"\x00", id="a trailing byte"),
        pytest.param(BYTES + b"\x78\x01", id="an unknown field"),
        pytest.param(BYTES[:-1], id="cut short"),
        pytest.param(BYTES[6:] + BYTES[:6], id="fields in another order"),
        pytest.param(BYTES + BYTES[:6], id="a field twice"),
        pytest.param(OVERLONG, id="a length in more bytes than it needs"),
        pytest.param(BYTES + b"\x22\x00", id="an unknown empty field"),
        pytest.param(b"\x0a\x02\xff\xfe", id="text that is not UTF-8"),
        pytest.param(b"\x0a\x00", id="a default that is spelt out"),
        pytest.param(b"\xff" * 20, id="noise"),
    ],
)
def test_invalid_bytes_are_refused_in_any_form_but_the_canonical_one(data):
    with pytest.raises(codec.BytesMalformed):
        codec.decode(Cause, data)


@given(st.binary(max_size=60))
def test_noise_is_refused_or_is_canonical(data):
    for record_type in (Cause, Member, Propose):
        try:
            record = codec.decode(record_type, data)
        except codec.Rejected:
            continue
        assert codec.encode(record) == data


@given(st.data())
def test_no_flipped_bit_leaves_the_record_as_it_was(data):
    record = data.draw(records(Member))
    stored = bytearray(codec.encode(record))
    if not stored:
        return
    place = data.draw(st.integers(0, 8 * len(stored) - 1))
    stored[place // 8] ^= 1 << place % 8
    with suppress(codec.Rejected):
        assert codec.decode(Member, bytes(stored)) != record


UNSHOWN = (
    "\x00 \x1f \x7f \x85 \xad \u034f \u061c \u115f \u1160 \u17b4 \u180b \u180e \u180f \u200b \u200f \u2028 \u202e \u2066 \u2800 \u3164"
    " \ue000 \ufdd0 \ufe00 \ufe0f \ufeff \uffa0 \ufff9 \uffff \U0001bca0 \U0001d173 \U000e0001 \U000e0100"
)


@pytest.mark.parametrize("character", [*UNSHOWN.split(" "), "\n", "\t"])
def test_text_with_a_character_that_does_not_show_is_refused(character):
    with pytest.raises(codec.TextInvalid) as caught:
        codec.decode(Cause, codec.encode(dataclasses.replace(CAUSE, purpose=f"a{character}b")))
    assert caught.value.field == "purpose"
    assert "Character 2 " in caught.value.sentence


@pytest.mark.parametrize("text", ["", "straße 8", "日本", "👍", "a" * codec.TEXT_CHARACTERS_MAX, "é" * 256])
def test_other_text_is_kept_as_it_is(text):
    cause = dataclasses.replace(CAUSE, purpose=text)
    assert codec.decode(Cause, codec.encode(cause)) == cause


def test_text_ends_at_its_limit():
    with pytest.raises(codec.TextInvalid):
        codec.decode(Cause, codec.encode(dataclasses.replace(CAUSE, purpose="é" * (codec.TEXT_CHARACTERS_MAX + 1))))


def refusal_of(record_type, message):
    with pytest.raises(codec.Rejected) as caught:
        codec.from_message(record_type, message)
    return caught.type, caught.value.field


def test_lists_and_bytes_end_at_their_limits():
    key = MemberKey(public_key=public_key("acme", "sof"))
    full = dataclasses.replace(member_record("acme", "sof"), keys=(key,) * 16)
    assert codec.decode(Member, codec.encode(full)) == full
    over = codec.to_message(dataclasses.replace(full, keys=(key,) * 17))
    assert refusal_of(Member, over) == (codec.ListTooLong, "keys")
    roles = codec.to_message(AddMember(public_key=b"", roles=("a",) * (codec.LIST_MAX + 1)))
    assert refusal_of(AddMember, roles) == (codec.ListTooLong, "roles")
    accept = AcceptProposal(proposal_id="p", act_sha256=bytes(32))
    assert codec.decode(AcceptProposal, codec.encode(accept)) == accept
    long = codec.to_message(dataclasses.replace(accept, act_sha256=bytes(33)))
    assert refusal_of(AcceptProposal, long) == (codec.BytesTooLong, "act_sha256")
    certificate = codec.to_message(
        Organization(id="o", name="n", position="party", ca_certificate=bytes(codec.BYTES_MAX + 1))
    )
    assert refusal_of(Organization, certificate) == (codec.BytesTooLong, "ca_certificate")


def test_refusals_name_the_field_by_its_path():
    bad = codec.to_message(member_record("acme", "sof"))
    bad.status = "sleeping"
    assert refusal_of(Member, bad) == (codec.ValueUnknown, "status")
    bad = codec.to_message(member_record("acme", "sof"))
    bad.roles.append("king")
    assert refusal_of(Member, bad) == (codec.ValueUnknown, "roles[1]")
    with pytest.raises(codec.BytesMalformed):
        codec.decode(Act, b"\x52\x01\x09", "act.")
    with pytest.raises(codec.FieldMissing) as caught:
        codec.decode(SetParameters, b"", "act.set_parameters.")
    assert caught.value.field == "act.set_parameters.parameters"


def test_a_choice_is_the_name_and_the_bytes_of_what_is_given():
    for name, data in (
        ("set_parameters", codec.encode(SetParameters(parameters=Parameters()))),
        ("final_invoice", b""),
    ):
        act = Act(name=name, data=data)
        assert codec.decode(Act, codec.encode(act)) == act
    with pytest.raises(codec.FieldMissing) as caught:
        codec.decode(Propose, b"")
    assert caught.value.field == "act"
    with pytest.raises(codec.FieldMissing) as caught:
        codec.decode(Propose, b"\x0a\x00")
    assert caught.value.field == "act.act"


@dataclass(frozen=True, slots=True)
class WrongFields:
    PROTO: typing.ClassVar[str] = "Money"
    currency: str
    cents: int = 0


def test_a_record_that_does_not_match_its_message_is_a_bug_that_shows_at_once():
    with pytest.raises(TypeError, match="cents, minor"):
        codec.encode(WrongFields("EUR"))
    with pytest.raises(LookupError):
        codec.message_class("Unheard")


def test_golden_bytes_never_change():
    assert codec.encode(Money(-5, "EUR")) == b"\x0a\x03EUR\x10\xfb\xff\xff\xff\xff\xff\xff\xff\xff\x01"
    assert codec.encode(Rules(version=1, ledger_kind="omni", parameters=Parameters())).hex() == (
        "080112046f6d6e691a3008f40310882718c0cf2420e807288080203064388080204064488090fbd30950904e588080bfdf800160e80768a08d06"
    )
    assert common_pb2.Money.FromString(b"\x0a\x03EUR") == common_pb2.Money(currency="EUR")
    assert codec.encode(Cause(ledger_id="", event_id="", purpose="")) == b""


def test_a_text_is_judged_as_character_by_character_at_every_bound():
    """The loop over characters took 1 ms for 256 letters with an accent; one pass must say the same."""
    for first, last in codec._UNSHOWN:
        for point in (first - 1, first, last, last + 1):
            if not 0 <= point <= 0x10FFFF:
                continue
            text = "é" + chr(point)
            shown = not any(a <= point <= b for a, b in codec._UNSHOWN)
            if shown:
                assert codec.check_text(text, "p") == text
            else:
                with pytest.raises(codec.TextInvalid, match=f"Character 2 .U.{point:04X}. "):
                    codec.check_text(text, "p")
