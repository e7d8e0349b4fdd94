"""Bad input: each kind has its own code, gets no place in a block, and leaves no trace."""

from __future__ import annotations

from dataclasses import replace

import pytest
from nacl.signing import SigningKey
from tendermint.abci import types_pb2 as abci

from abci_app.failures import ExecutionFailed, LeftOut, TimestampMisplaced
from ledgers import refusals as r
from ledgers.transaction import Act, assemble, sign_body, transaction_id
from smartcontracts.codec import TextInvalid
from smartcontracts.kernel import MessageNotOffered, Position, PositionWrong, Role, RoleMissing
from smartcontracts.membership import OrganizationStatus, RevokeMember, RevokeMemberKey
from syngraph.v1.transaction_pb2 import SignedTransaction, Tick, Timestamp, Transaction, TransactionBody
from tests.abci_app.support import check_code, refuse_everywhere, refuse_in_block, timestamp, unchanged
from tests.counter import Costly
from tests.world import START_MS, World, act, member, node_id, organization, person, with_parameters

MEMBERS = (
    member("acme/clerk", roles=(Role.B_BUS,)),
    member("acme/late", valid_from_ms=START_MS + 3_600_000),
    member("acme/early", valid_until_ms=START_MS + 500),
    member("acme/gone"),
)


@pytest.fixture
def world():
    return World(names=("acme", "alpha"), members=MEMBERS)


def wrapped(body, *signatures):
    return assemble(body, signatures)


def rebuilt(world, **changes):
    """A body whose message was altered after building, signed anew."""
    body = TransactionBody.FromString(world.body(act("refuse")))
    for name, value in changes.items():
        if isinstance(value, list):
            getattr(body, name)[:] = value
        else:
            setattr(body, name, value)
    return world.sign(body.SerializeToString(deterministic=True), "acme")


def test_invalid_wrong_ledger(world):
    raw = world.transaction(act("refuse"), ledger_id="sg_" + "a" * 32)
    assert refuse_everywhere(world, raw, r.WrongLedger.code).field == "ledger_id"


def test_invalid_expired(world):
    raw = world.program("refuse", expires_at_ms=world.clock() - 2_001)
    assert refuse_everywhere(world, raw, r.TransactionExpired.code).field == "expires_at_ms"


def test_invalid_expired_within_the_slack_is_admitted_and_then_left_out(world):
    raw = world.program("open plain 20000", expires_at_ms=world.clock() - 1)
    with unchanged(world):
        assert world.consensus.submit(raw).code == 0
        blocks = world.consensus.run()
        assert all(len(b.txs) == 1 for b in blocks)
        assert check_code(world, raw, recheck=True) in {LeftOut.code, 0}
    assert not any(world.consensus.mempools.values())


def test_invalid_expiry_too_far_ahead(world):
    raw = world.program("refuse", ttl_ms=600_000 + 2_001)
    refuse_everywhere(world, raw, r.ExpiryTooFar.code)


def test_the_last_millisecond_counts(world):
    raw = world.program("open plain 20000", expires_at_ms=world.clock() + 5)
    world.clock.now_ms += 5
    assert world.consensus.ask("acme", [timestamp(world), raw])
    assert not world.consensus.ask("acme", [timestamp(world, 1), raw])


def test_invalid_replay_is_judged_by_the_body(world):
    body = world.body(act("refuse"), signers=("acme", "alpha"))
    good = world.sign(body, "acme", "alpha")
    world.execute(good)
    acme, alpha = (sign_body(world.ledger_id, body, person(n).key) for n in ("acme", "alpha"))
    assert refuse_everywhere(world, good, r.TransactionReplayed.code).existing_id
    # Whatever else is wrong with the wrapper, its body is known, or its form is wrong.
    refuse_everywhere(world, wrapped(body, alpha, acme), r.TransactionReplayed.code)
    refuse_everywhere(world, wrapped(body, acme, alpha, alpha), r.SignatureCountWrong.code)


def test_invalid_replay_within_one_block(world):
    raw = world.program("open plain 20000")
    txs = [timestamp(world), raw, raw]
    assert not world.consensus.ask("acme", txs)
    block = world.consensus.decide(txs)
    assert [result.code for result in block.results] == [0, 0, r.TransactionReplayed.code]


def test_a_stripped_signature_does_not_burn_the_honest_transaction(world):
    body = world.body(act("open plain 20000"), signers=("acme", "alpha"))
    acme = sign_body(world.ledger_id, body, person("acme").key)
    refuse_everywhere(world, wrapped(body, acme), r.SignatureCountWrong.code)
    refuse_everywhere(world, wrapped(body, acme, acme), r.SigningKeyUnknown.code)
    assert world.execute(world.sign(body, "acme", "alpha"))[0].code == 0


def test_a_refusal_of_the_contract_is_final(world):
    raw = world.program("refuse")
    assert world.execute(raw)[0].name == "REFUSED"
    refuse_everywhere(world, raw, r.TransactionReplayed.code)


def test_invalid_signature_by_an_unknown_key(world):
    body = world.body(act("refuse"))
    key = SigningKey(b"\x01" * 32)
    raw = wrapped(body, sign_body(world.ledger_id, body, key))
    assert refuse_everywhere(world, raw, r.SigningKeyUnknown.code).field == "signatures[0].public_key"


def test_invalid_signature_by_a_revoked_key(world):
    target = person("acme/gone")
    revoke = RevokeMemberKey(member_id=target.member, public_key=target.public_key)
    assert world.execute(world.transaction(Act(name="revoke_member_key", command=revoke)))[0].code == 0
    refuse_everywhere(world, world.program("refuse", signers=("acme/gone",)), r.SigningKeyRevoked.code)


def test_invalid_signature_by_a_revoked_member(world):
    revoke = RevokeMember(member_id=person("acme/gone").member)
    assert world.execute(world.transaction(Act(name="revoke_member", command=revoke)))[0].code == 0
    refuse_everywhere(world, world.program("refuse", signers=("acme/gone",)), r.SignerRevoked.code)


def test_a_key_stops_counting_within_the_block_that_revokes_it(world):
    target = person("acme/gone")
    revoke = Act(name="revoke_member", command=RevokeMember(member_id=target.member))
    txs = [timestamp(world), world.transaction(revoke), world.program("refuse", signers=("acme/gone",))]
    assert not world.consensus.ask("acme", txs)
    block = world.consensus.decide(txs)
    assert [result.code for result in block.results] == [0, 0, r.SignerRevoked.code]


def removed_observer():
    observer = replace(organization("ofcom", Position.OBSERVER), validator_key=b"")
    return replace(observer, status=OrganizationStatus.REMOVED, removed_at_ms=START_MS)


def test_invalid_signature_for_an_organization_whose_access_has_ended():
    world = World(names=("acme", "alpha"), members=(member("ofcom"),), others=(removed_observer(),))
    refuse_everywhere(world, world.program("refuse", signers=("ofcom",)), r.SignerRemoved.code)
    query = abci.RequestQuery(path=f"/p2p/filter/id/{node_id('ofcom')}")
    assert world.app.query(query).code != 0


def test_invalid_signature_by_an_unknown_member(world):
    refuse_everywhere(world, world.program("refuse", signers=("acme/nobody",)), r.SignerUnknown.code)


def test_invalid_signature_for_a_member_of_another_organization(world):
    names = [f"{person('alpha').organization}/{person('acme').member}"]
    refuse_everywhere(world, rebuilt(world, signers=names), r.SignerUnknown.code)


def test_invalid_signature_by_a_key_outside_its_validity(world):
    refuse_everywhere(world, world.program("refuse", signers=("acme/late",)), r.SigningKeyNotYetValid.code)
    refuse_everywhere(world, world.program("refuse", signers=("acme/early",)), r.SigningKeyExpired.code)


def test_invalid_signature_by_a_member_without_the_role(world):
    receipt = refuse_everywhere(world, world.program("refuse", signers=("acme/clerk",)), RoleMissing.code)
    assert receipt.field == "signer"


def costly(text="open plain 20000"):
    return Act(name="decline_proposal", command=Costly(proposal_id=text))


def test_invalid_message_from_the_wrong_position(world):
    receipt = refuse_everywhere(world, world.transaction(costly(), signers=("north",)), PositionWrong.code)
    assert receipt.field == "signer"
    assert world.execute(world.transaction(costly()))[0].code == 0


@pytest.mark.parametrize("sign_bit", [0, 0x80])
@pytest.mark.parametrize("y", [b"\x00" * 32, b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_invalid_signature_by_a_key_of_small_order(world, y, sign_bit):
    body = world.body(act("refuse"))
    key = y[:31] + bytes((y[31] | sign_bit,))
    refuse_everywhere(world, wrapped(body, (key, bytes(64))), r.SigningKeyOfSmallOrder.code)


def test_invalid_with_one_bit_flipped_anywhere(world):
    good = world.program("open plain 20000")
    known = set()
    with unchanged(world):
        for place in range(0, len(good) * 8, 5):
            broken = bytearray(good)
            broken[place // 8] ^= 1 << place % 8
            raw = bytes(broken)
            code = check_code(world, raw)
            assert code, f"bit {place} makes no difference"
            assert code != ExecutionFailed.code
            known.add(code)
            assert not world.consensus.ask("acme", [timestamp(world), raw])
    assert r.SignatureInvalid.code in known
    assert world.execute(good)[0].code == 0


def test_invalid_body_with_unknown_fields(world):
    body = world.body(act("refuse")) + b"\xf8\x3f\x01"
    receipt = refuse_everywhere(world, world.sign(body, "acme"), r.TransactionMalformed.code)
    assert receipt.field == "body"


def test_invalid_body_that_is_not_canonical(world):
    body = world.body(act("refuse"))
    doubled = TransactionBody(ledger_id="x").SerializeToString() + body
    refuse_everywhere(world, world.sign(doubled, "acme"), r.TransactionMalformed.code)


def test_invalid_wrapper_with_unknown_or_trailing_bytes(world):
    good = world.program("refuse")
    for raw in (good + b"\x00", good + b"\xf8\x3f\x01", good[:-1], b"", b"\xff" * 40):
        refuse_everywhere(world, raw, r.TransactionMalformed.code)


def test_invalid_body_of_a_megabyte(world):
    raw = world.sign(world.body(act("refuse")) + bytes(1 << 20), "acme")
    refuse_everywhere(world, raw, r.TransactionTooLarge.code)


def test_a_transaction_of_exactly_the_limit_is_read(world):
    spare = world.committed.parameters.transaction_bytes_max - len(world.sign(world.body(act("refuse")), "acme"))
    body = world.body(act("refuse")) + bytes(spare - 10)
    assert check_code(world, world.sign(body, "acme")) == r.TransactionMalformed.code
    assert check_code(world, world.sign(body + bytes(100), "acme")) == r.TransactionTooLarge.code


def test_invalid_with_ten_thousand_messages(world):
    raw = world.transaction(*[act("refuse")] * 10_000)
    refuse_everywhere(world, raw, r.TooManyMessages.code)


def test_messages_up_to_the_limit():
    world = World(names=("acme",), parameters=with_parameters(messages_max=3))
    assert world.execute(world.transaction(*[act("open plain 20000")] * 3))[0].code == 0
    refuse_everywhere(world, world.transaction(*[act("refuse")] * 4), r.TooManyMessages.code)


def test_invalid_without_messages(world):
    refuse_everywhere(world, world.transaction(), r.NoMessages.code)


def test_invalid_message_without_a_command(world):
    body = TransactionBody.FromString(world.body(act("refuse")))
    body.messages[0].ClearField("withdraw_proposal")
    raw = world.sign(body.SerializeToString(deterministic=True), "acme")
    refuse_everywhere(world, raw, r.CommandMissing.code)


def test_invalid_message_that_the_ledger_does_not_offer(world):
    body = TransactionBody.FromString(world.body(act("refuse")))
    body.messages.add().fail_order.SetInParent()
    raw = world.sign(body.SerializeToString(deterministic=True), "acme")
    assert refuse_everywhere(world, raw, MessageNotOffered.code).message_index == 1


def test_invalid_message_of_a_signer_who_is_not_there(world):
    raw = world.transaction(act("refuse", signer=1))
    refuse_everywhere(world, raw, r.SignerIndexInvalid.code)


def test_invalid_signers(world):
    acme = person("acme").signer
    for names, code in (
        ([], r.SignersMissing.code),
        ([acme] * 17, r.SignersMissing.code),
        ([acme, acme], r.SignerRepeated.code),
        (["acme"], r.SignerMalformed.code),
        (["a/b/c"], r.SignerMalformed.code),
        (["/b"], r.SignerMalformed.code),
        (["a\n/b"], r.SignerMalformed.code),
    ):
        refuse_everywhere(world, rebuilt(world, signers=names), code)


def test_invalid_signature_count(world):
    body = world.body(act("refuse"))
    acme = sign_body(world.ledger_id, body, person("acme").key)
    refuse_everywhere(world, wrapped(body), r.SignatureCountWrong.code)
    refuse_everywhere(world, wrapped(body, acme, acme), r.SignatureCountWrong.code)


def test_invalid_signature_lengths(world):
    body = world.body(act("refuse"))
    public_key, signature = sign_body(world.ledger_id, body, person("acme").key)
    refuse_everywhere(world, wrapped(body, (public_key, signature[:-1])), r.SignatureMalformed.code)
    refuse_everywhere(world, wrapped(body, (public_key + b"\x00", signature)), r.SignatureMalformed.code)


def test_invalid_nonce(world):
    refuse_everywhere(world, rebuilt(world, nonce=b"short"), r.NonceInvalid.code)


def test_invalid_text_with_control_characters(world):
    receipt = refuse_everywhere(world, world.program("open\u202eplain 1"), TextInvalid.code)
    assert receipt.field == "proposal_id"
    refuse_everywhere(world, world.program("x" * 257), TextInvalid.code)


def test_invalid_costs_more_than_a_block(world):
    refuse_everywhere(world, world.transaction(costly(), costly()), r.TransactionTooCostly.code)


def test_what_a_block_has_no_gas_for_waits_for_the_next():
    # Alone, so that no other node's mempool helps.
    world = World(names=("acme",))
    first, second = (world.transaction(costly()) for _ in range(2))
    for raw in (first, second):
        world.consensus.submit(raw)
    assert not world.consensus.ask("acme", [timestamp(world), first, second])
    blocks = world.consensus.run()
    assert [len(b.txs) for b in blocks] == [2, 2, 1]
    assert [world.receipt(raw).code for raw in (first, second)] == [0, 0]


def test_invalid_timestamp_and_nothing_in_the_mempool(world):
    name = world.ledger_id
    refuse_everywhere(world, timestamp(world), TimestampMisplaced.code)
    for transaction in (Transaction(), Transaction(signed=SignedTransaction())):
        code = check_code(world, transaction.SerializeToString())
        assert code in {r.TransactionMalformed.code, r.NonceInvalid.code}
    assert Timestamp(ledger_id=name) != Tick(ledger_id=name)


def test_a_body_is_named_by_its_ledger_and_bytes(world):
    body = world.body(act("refuse"))
    names = {
        transaction_id(world.ledger_id, body),
        transaction_id(world.ledger_id, body + b"\x00"),
        transaction_id(world.ledger_id[:-1], world.ledger_id[-1:].encode() + body),
    }
    assert len(names) == 3


def test_an_undecodable_transaction_in_a_block_has_a_result_too(world):
    block = refuse_in_block(world, b"\x0a\xff\xff", r.TransactionMalformed.code)
    assert len(block.results) == 2
