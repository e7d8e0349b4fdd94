"""Release: opened by a process, carried or refused or taken back; what happened out there is always written down."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcontracts import codec
from smartcontracts.internal import release as r
from smartcontracts.internal.release import RecordCarried, ReleaseStatus
from smartcontracts.kernel import Cause, Position, Rejected, Role, RoleMissing, WrongStatus
from smartcontracts.order import RejectOrder
from syngraph.v1.internal_release_pb2 import OutwardAct
from tests.smartcontracts.support import START_MS, MemoryLedger

SALT = bytes(range(32))
OUTSIDE = "sg_" + "b" * 32
REJECT = RejectOrder(order_id="ord_1", reason="NO_CAPACITY")
REFUSED = {"refusal_code": 3101, "refusal_name": "QUOTE_EXPIRED"}


@pytest.fixture
def ledger():
    return MemoryLedger(r.CONTRACT, ledger_kind="internal", positions={"alpha": Position.PARTY})


def opened(ledger, n=0, **changes):
    """A release, opened as a process's contract would, and written."""
    call = ledger.call(ledger.sender("alpha", "sco"), cause=Cause(ledger_id="sg_x", event_id="1/0", purpose="test"))
    given = {"role": Role.S_BUS, "act": "reject_order", "command_record": REJECT, "salt": SALT, **changes}
    release = r.open_release(call, n, ledger_id=OUTSIDE, subject_kind="order_handover", subject_id="hnd_1", **given)
    for record in r.opened(release).writes:
        ledger.write(record)
    return release


def carried(ledger, release, roles=("s_bus",), **what):
    command = RecordCarried(release_id=release.id, **(what or {"outcome_id": "ord_1"}))
    return ledger.run("record_carried", command, sender=ledger.sender("alpha", *roles))


def test_an_opened_release_keeps_the_command_and_the_hash_that_goes_out(ledger):
    release = opened(ledger)
    data = codec.encode(REJECT)
    expected = hashlib.sha256(b"syngraph/release/1\x00reject_order\x00" + SALT + data).digest()
    assert (release.status, release.command.data, release.sha256) == (ReleaseStatus.OPEN, data, expected)
    assert release.released_at_ms == START_MS
    assert r.released_command(release) == replace(REJECT, release=expected)
    assert [event.name for event in r.opened(release).events] == ["release.opened"]


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_the_hash_tells_releases_of_one_act_apart_by_their_salt(one, other):
    hashes = {r.release_hash("reject_order", salt, b"data") for salt in (one, other)}
    assert len(hashes) == len({one, other})


def test_every_outward_message_can_be_released_and_no_other():
    assert {field.name for field in OutwardAct.DESCRIPTOR.fields} == set(r.MESSAGES)
    for name, message in r.MESSAGES.items():
        assert OutwardAct.DESCRIPTOR.fields_by_name[name].message_type.name == message.command.__name__
        assert "release" in message.command.__dataclass_fields__, name


@pytest.mark.parametrize("length", [0, 31, 33])
def test_invalid_release_with_a_salt_of_another_length(ledger, length):
    with pytest.raises(r.SaltInvalid):
        opened(ledger, salt=b"\x01" * length)


def test_a_command_of_another_act_is_a_bug_of_the_process(ledger):
    with pytest.raises(TypeError):
        opened(ledger, act="accept_order")


def test_carried_and_refused_are_written_down_with_their_event(ledger):
    first, second = opened(ledger), opened(ledger, 1)
    carried(ledger, first, outcome_id="srv_9")
    carried(ledger, second, **REFUSED)
    first, second = ledger.the(r.RELEASE, first.id), ledger.the(r.RELEASE, second.id)
    assert (first.status, first.outcome_id, first.carried_at_ms) == (ReleaseStatus.CARRIED, "srv_9", START_MS + 1)
    assert (second.status, second.refusal_code, second.refusal_name) == (ReleaseStatus.REFUSED, 3101, "QUOTE_EXPIRED")
    assert ledger.event_names() == ["release.carried", "release.refused"]


def test_what_was_taken_back_and_out_all_the_same_is_carried(ledger):
    release = opened(ledger)
    outcome = r.void_releases(ledger, "hnd_1", START_MS)
    assert [event.name for event in outcome.events] == ["release.voided"]
    ledger.write(outcome.writes[0])
    assert ledger.the(r.RELEASE, release.id).voided_at_ms == START_MS
    carried(ledger, release)
    assert ledger.the(r.RELEASE, release.id).status == ReleaseStatus.CARRIED


def test_only_open_releases_of_the_document_are_taken_back(ledger):
    done, still = opened(ledger), opened(ledger, 1)
    carried(ledger, done)
    assert [one.id for one in r.void_releases(ledger, "hnd_1", START_MS).writes] == [still.id]
    assert r.void_releases(ledger, "hnd_2", START_MS).writes == ()
    assert {one.id for one in r.releases_of(ledger, "hnd_1")} == {done.id, still.id}


REFUSALS = [  # in order of precedence
    (r.ReleaseUnknown, {"release_id": "rel_none"}),
    (RoleMissing, {"roles": ("b_bus",)}),
    (r.CarriedUnclear, {"what": {}}),
    (WrongStatus, {"status": ReleaseStatus.CARRIED}),
]


@pytest.mark.parametrize("first", range(len(REFUSALS)))
def test_invalid_record_answers_with_the_first_failing_check(ledger, first):
    broken = {}
    for _, change in reversed(REFUSALS[first:]):
        broken |= change
    release = opened(ledger)
    if "status" in broken:
        ledger.write(replace(release, status=broken["status"]))
    command = RecordCarried(
        release_id=broken.get("release_id", release.id), **broken.get("what", {"outcome_id": "ord_1"})
    )
    with pytest.raises(REFUSALS[first][0]):
        ledger.run("record_carried", command, sender=ledger.sender("alpha", *broken.get("roles", ("s_bus",))))


@pytest.mark.parametrize(
    "what",
    [
        {},
        {"outcome_id": "ord_1", **REFUSED},
        {"refusal_code": 3101},
        {"refusal_name": "QUOTE_EXPIRED"},
        {"outcome_id": "ord_1", "refusal_name": "QUOTE_EXPIRED"},
    ],
)
def test_invalid_record_that_is_neither_an_outcome_nor_a_refusal(ledger, what):
    release = opened(ledger)
    command = RecordCarried(release_id=release.id, **what)
    with pytest.raises(r.CarriedUnclear):
        ledger.run("record_carried", command, sender=ledger.sender("alpha", "s_bus"))


@given(st.lists(st.sampled_from(["carry", "refuse", "void"]), max_size=5))
def test_no_history_settles_a_release_twice(steps):
    """Whatever is tried in whatever order: once carried or refused, it stays so."""
    ledger = MemoryLedger(r.CONTRACT, ledger_kind="internal", positions={"alpha": Position.PARTY})
    release = opened(ledger)
    settled = None
    for step in steps:
        try:
            if step == "void":
                for record in r.void_releases(ledger, "hnd_1", ledger.time_ms).writes:
                    ledger.write(record)
            else:
                carried(ledger, release, **({} if step == "carry" else REFUSED))
        except Rejected:
            pass
        else:
            settled = settled or (None if step == "void" else step)
        now = ledger.the(r.RELEASE, release.id).status
        assert (now in {ReleaseStatus.CARRIED, ReleaseStatus.REFUSED}) == (settled is not None)
        assert settled is None or now == {"carry": ReleaseStatus.CARRIED, "refuse": ReleaseStatus.REFUSED}[settled]


def test_releases_are_found_by_their_document_ledger_role_and_outcome(ledger):
    release = opened(ledger)
    for word in ("hnd_1", OUTSIDE, "role/s_bus"):
        assert ledger.find(r.RELEASE, "related", word, 9) == (release,)
    carried(ledger, release, outcome_id="ord_7")
    assert [one.id for one in ledger.find(r.RELEASE, "related", "ord_7", 9)] == [release.id]
