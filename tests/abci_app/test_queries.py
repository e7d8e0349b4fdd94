"""Queries: documents, lists and proofs at any height that is kept; refusals with codes; simulation as the receipt."""

from __future__ import annotations

from hashlib import sha256

import pytest
from tendermint.abci import types_pb2 as abci

from abci_app.queries import reads
from abci_app.queries import refusals as q
from abci_app.queries.eventlog import NOW, Position, end_of, read_events, start_after
from abci_app.queries.listing import PAGE_MAX, list_documents
from abci_app.queries.simulation import simulate
from ledgers.receipts import Receipt, result_data
from ledgers.refusals import SignerUnknown, TransactionReplayed
from smartcontracts.codec import decode
from smartcontracts.kernel import Rejected
from smartcontracts.membership import MEMBER
from smartcontracts.verify.hashing import document_commitment
from smartcontracts.verify.ics23 import verify_membership, verify_non_membership
from syngraph.v1 import application_pb2 as wire
from syngraph.v1.system_pb2 import StoredDocument
from syngraph.v1.transaction_pb2 import Proposal
from tests.abci_app.support import timestamp
from tests.counter import COUNTER
from tests.world import START_MS, World, node_id, person, quiet_log, with_parameters


@pytest.fixture(scope="module")
def world():
    """A counter at height 2, counted at 4, lapsed at 6, and two more by alpha and acme."""
    world = World(names=("acme", "alpha"))
    (receipt,) = world.execute("open plain 20000")
    world.counter = receipt.documents[0].id
    world.execute(f"count {world.counter}")
    world.clock.now_ms += 30_000
    world.execute("open plain 3600000", signers=("alpha",))
    world.execute("open plain 3600000")
    return world


def get(world, height=0, document_id=None, kind="counter"):
    request = wire.GetRequest(kind=kind, id=document_id or world.counter, height=height)
    return reads.get(request, world.committed)


def page(world, height=0, size=0, token="", committed=None, **filters):
    filters = {"kind": "counter", **filters}
    request = wire.ListRequest(filter=wire.Filter(**filters), height=height, page_size=size, page_token=token)
    job = list_documents(request, committed or world.committed)
    try:
        while True:
            next(job)
    except StopIteration as done:
        return done.value


def test_a_document_is_read_as_it_was_at_each_height(world):
    seen = {}
    for height in range(2, world.committed.height + 1):
        answer = get(world, height)
        body = Proposal.FromString(StoredDocument.FromString(answer.document.stored).body)
        seen[height] = (body.status, len(body.accepted_by))
        assert answer.height == height
    assert seen == {
        2: ("open", 0),
        3: ("open", 0),
        4: ("open", 1),
        5: ("open", 1),
        **dict.fromkeys(range(6, 10), ("lapsed", 1)),
    }
    assert get(world).height == world.committed.height


def test_the_envelope_counts_versions_and_keeps_both_times(world):
    stored = StoredDocument.FromString(get(world).document.stored)
    assert (stored.schema, stored.version, stored.created_at_ms) == (1, 3, START_MS + 1_000)
    assert stored.updated_at_ms > stored.created_at_ms


def test_invalid_reads(world):
    for height, refusal in (
        (world.committed.height + 1, q.HeightUnknown),
        (-1, q.HeightUnknown),
        (1, q.DocumentUnknown),
    ):
        with pytest.raises(refusal):
            get(world, height)
    for kind, document_id in (("", "x"), ("counter", ""), ("a/b", "x"), ("counter", "x\x00y"), ("counter", "x" * 300)):
        with pytest.raises(q.KeyMalformed):
            reads.get(wire.GetRequest(kind=kind, id=document_id), world.committed)


def test_a_kind_that_the_ledger_lacks_is_told_with_those_that_there_are(world):
    with pytest.raises(q.DocumentUnknown, match="no documents of that kind; it has counter") as refused:
        get(world, kind="count", document_id="x")
    assert refused.value.field == "kind"
    with pytest.raises(q.DocumentUnknown, match="There is no counter with this id"):
        get(world, kind="counter", document_id="x")


def test_system_documents_can_be_read_too(world):
    assert get(world, kind="sys", document_id="clock").document.stored
    assert get(world, kind="sys", document_id="rules").document.stored


def test_heights_that_are_pruned_say_so():
    world = World(names=("acme",), parameters=with_parameters(history_blocks=10))
    (receipt,) = world.execute("open plain 3600000")
    world.counter = receipt.documents[0].id
    token = page(world, size=1, height=2)
    for _ in range(10):
        world.execute("open plain 3600000")
    oldest = world.committed.oldest
    assert get(world, oldest).document.stored
    with pytest.raises(q.HeightPruned):
        get(world, oldest - 1)
    with pytest.raises(q.HeightPruned):
        page(world, height=oldest - 1)
    with pytest.raises(q.HeightPruned):
        reads.prove(wire.ProveRequest(kind="sys", id="clock", height=oldest - 1), world.committed)
    assert token.height == 2
    # App hashes of all heights are there for ever.
    assert reads.app_hash(wire.GetAppHashRequest(height=1), world.committed).app_hash


def test_lists_go_by_filter_and_height(world):
    acme, alpha = person("acme").organization, person("alpha").organization
    assert len(page(world).documents) == 3
    assert [d.id for d in page(world, status="lapsed").documents] == [world.counter]
    assert [d.id for d in page(world, status="lapsed", height=5).documents] == []
    assert [d.id for d in page(world, status="open", height=5).documents] == [world.counter]
    assert len(page(world, party=alpha).documents) == 1
    assert len(page(world, party=acme).documents) == 2
    assert len(page(world, party=acme, status="open").documents) == 1
    assert [d.id for d in page(world).documents] == sorted(d.id for d in page(world).documents)


def test_lists_by_time_of_creation_include_both_ends(world):
    first_ms = START_MS + 1_000
    assert [d.id for d in page(world, created_until_ms=first_ms).documents] == [world.counter]
    assert [d.id for d in page(world, created_from_ms=first_ms, created_until_ms=first_ms).documents] == [world.counter]
    assert len(page(world, created_from_ms=first_ms + 1).documents) == 2
    assert page(world, created_from_ms=world.clock() + 1_000_000).documents == []


def test_pages_are_bound_to_their_height_and_filter(world):
    first = page(world, size=1)
    second = page(world, size=1, token=first.next_page_token)
    third = page(world, size=1, token=second.next_page_token)
    assert third.next_page_token == ""
    ids = [p.documents[0].id for p in (first, second, third)]
    assert ids == [d.id for d in page(world).documents]
    for broken in (
        {"token": first.next_page_token, "status": "open"},
        {"token": first.next_page_token, "height": 2},
        {"token": "nonsense"},
        {"token": "é"},
        {"token": "AAAA"},
    ):
        with pytest.raises(q.PageTokenInvalid):
            page(world, size=1, **broken)


def test_a_page_goes_on_at_its_height_while_the_ledger_does():
    world = World(names=("acme",))
    world.execute("many 3")
    first = page(world, size=2)
    world.execute("many 5")
    rest = page(world, size=10, token=first.next_page_token)
    assert len(first.documents) + len(rest.documents) == 3
    assert rest.height == first.height


def test_invalid_lists(world):
    with pytest.raises(q.KindUnknown, match=r"it has .*member, organization.*\."):
        page(world, kind="nothing")
    for name in ("offering", "service", "related"):
        with pytest.raises(q.FilterUnsupported):
            page(world, **{name: "x"})
    with pytest.raises(q.FilterUnsupported):
        page(world, status="open\x00")
    with pytest.raises(q.PageTooLarge):
        page(world, size=PAGE_MAX + 1)
    assert len(page(world, size=PAGE_MAX).documents) == 3


def test_a_page_ends_before_four_megabytes():
    world = World(names=("acme",))
    for _ in range(11):
        world.execute("grow 450000")
    first = page(world)
    assert len(first.documents) == 9
    assert len(page(world, token=first.next_page_token).documents) == 2


def test_presence_and_absence_verify_with_nothing_but_the_app_hash(world):
    request = wire.ProveRequest(kind="counter", id=world.counter)
    answer = reads.prove(request, world.committed)
    assert answer.height == world.committed.height - 1
    commitment = document_commitment(answer.document.salt, answer.document.stored)
    verify_membership(answer.app_hash, answer.key, commitment, answer.proof)
    absent = reads.prove(wire.ProveRequest(kind="counter", id="ctr_none"), world.committed)
    assert not absent.HasField("document")
    verify_non_membership(absent.app_hash, b"counter/ctr_none", absent.proof)
    for secret in (answer.document.stored, b"s" * 32):
        assert secret not in absent.proof


def test_every_height_with_a_header_over_it_can_be_proven(world):
    for height in range(1, world.committed.height):
        answer = reads.prove(wire.ProveRequest(kind="counter", id=world.counter, height=height), world.committed)
        assert answer.app_hash == reads.app_hash(wire.GetAppHashRequest(height=height), world.committed).app_hash
        if height >= 2:
            commitment = document_commitment(answer.document.salt, answer.document.stored)
            verify_membership(answer.app_hash, answer.key, commitment, answer.proof)
        else:
            verify_non_membership(answer.app_hash, answer.key, answer.proof)
    with pytest.raises(q.NotProvableYet):
        reads.prove(wire.ProveRequest(kind="sys", id="clock", height=world.committed.height), world.committed)


def test_foreign_tools_get_the_value_and_its_proof(world):
    key = f"counter/{world.counter}".encode()
    answer = world.app.query(abci.RequestQuery(path="/key", data=key, prove=True))
    assert answer.code == 0
    root = world.committed.app_hash(answer.height)[1]
    verify_membership(root, key, answer.value, answer.proof_ops.ops[0].data)
    for path, data in (("/nothing", key), ("/key", b""), ("/key", bytes(1_000)), ("", b"")):
        assert world.app.query(abci.RequestQuery(path=path, data=data)).code == q.RequestMalformed.code


def test_a_receipt_is_covered_by_the_blocks_results_but_for_its_sentence():
    world = World(names=("acme",))
    raw = world.program("refuse")
    block = world.consensus.decide([timestamp(world), raw])
    found = decode(Receipt, world.receipt(raw).SerializeToString())
    assert found.sentence
    assert result_data(found) == block.results[1].data
    from dataclasses import replace

    assert result_data(replace(found, sentence="other")) == block.results[1].data
    for change in ({"code": 1}, {"field": "x"}, {"message_index": 1}, {"existing_id": "x"}, {"height": 9}):
        assert result_data(replace(found, **change)) != block.results[1].data


def test_a_transaction_is_found_as_it_stood_in_the_block(world):
    raw = world.program("refuse")
    name = bytes(world.execute(raw)[0].transaction_id)
    assert reads.transaction(name, world.committed).transaction == raw
    with pytest.raises(q.TransactionUnknown):
        reads.transaction(b"x" * 32, world.committed)


def run_simulation(world, raw):
    return simulate(raw, world.committed, world.app.reader, world.clock(), quiet_log())


def test_simulation_says_what_the_receipt_will(world):
    for text in ("open plain 20000", "refuse", f"count {world.counter}", "count nobody"):
        raw = world.program(text)
        simulated = run_simulation(world, raw)
        actual = world.execute(raw)[0]
        for field in ("code", "name", "field", "message_index", "sentence", "transaction_id", "height"):
            assert getattr(simulated, field) == getattr(actual, field), text
    replayed = run_simulation(world, raw)
    assert replayed.code == TransactionReplayed.code
    assert run_simulation(world, world.program("refuse", signers=("acme/nobody",))).code == SignerUnknown.code
    assert run_simulation(world, b"junk").name == "TRANSACTION_MALFORMED"
    assert run_simulation(world, world.program("raise")).name == "EXECUTION_FAILED"


def test_simulation_changes_nothing(world):
    before = (world.root, world.committed.clock)
    run_simulation(world, world.program("many 3"))
    assert (world.root, world.committed.clock) == before
    world.consensus.block()
    assert world.root == before[0]


def test_simulation_sees_what_fell_due_meanwhile():
    world = World(names=("acme",))
    (receipt,) = world.execute("open plain 20000")
    world.clock.now_ms += 30_000
    simulated = run_simulation(world, world.program(f"count {receipt.documents[0].id}"))
    assert simulated.documents[0].version == 3


def test_events_are_numbered_in_order_and_read_after_any_of_them(world):
    events, end = read_events(Position(0), world.committed, 1_000)
    assert end == Position(world.committed.height + 1)
    assert [e.id for e in events][:2] == ["2/0", "4/0"]
    assert all(list(e.parties) == [person("acme").organization] for e in events[:2])
    for place, event in enumerate(events):
        left = get(world, event.height, event.document_id, event.kind).document
        assert event.document_sha256 == sha256(left.stored).digest()
        rest, _ = read_events(start_after(event.id, world.committed), world.committed, 1_000)
        assert [e.id for e in rest] == [e.id for e in events[place + 1 :]]
    assert world.committed.clock.event_sequence == len(events)
    one, after = read_events(Position(0), world.committed, 1)
    assert read_events(after, world.committed, 1)[0][0].id == events[1].id
    assert one[0].id == events[0].id


def test_cursors(world):
    height = world.committed.height
    assert start_after("", world.committed) == Position(0)
    assert start_after(NOW, world.committed) == Position(height + 1)
    assert start_after(end_of(height), world.committed) == Position(height + 1)
    for broken in ("x", "1", "1/", "/1", "-1/0", "01/0", f"{height + 1}/0", "1/99999999999", "٣/0", "1/0 "):
        with pytest.raises(q.CursorInvalid):
            start_after(broken, world.committed)


def test_peers_come_from_the_membership_and_until_caught_up_from_the_configuration():
    world = World(names=("acme",), start=False)

    def admits(name, what="id"):
        return world.app.query(abci.RequestQuery(path=f"/p2p/filter/{what}/{name}")).code == 0

    assert admits("127.0.0.1:26656", "addr")
    assert admits(node_id("configured"))
    assert not admits(node_id("alpha"))
    world.consensus.start()
    assert admits(node_id("alpha"))
    assert admits(node_id("configured"))
    assert not admits(node_id("stranger"))
    assert not admits("", "nothing")
    world.consensus.run()
    assert admits(node_id("alpha").upper())
    assert not admits(node_id("configured"))


def test_a_full_node_has_caught_up_with_its_first_young_block():
    """It is never asked about a proposal, so it let peers of its configuration in for ever, removed ones too."""
    world = World(names=("acme",), start=False)

    def admits_configured():
        return world.app.query(abci.RequestQuery(path=f"/p2p/filter/id/{node_id('configured')}")).code == 0

    world.consensus.start()
    world.clock.now_ms += 3_600_000
    world.consensus.decide([timestamp(world, -3_000_000)])
    assert admits_configured()
    world.consensus.decide([timestamp(world, -1_000)])
    assert not admits_configured()


def test_node_ids_follow_the_ledger():
    from ledgers.transaction import Act
    from smartcontracts.membership import SetNodeIds

    world = World(names=("acme",))
    raw = world.transaction(Act(name="set_node_ids", command=SetNodeIds(node_ids=(node_id("new"),))))
    assert world.execute(raw)[0].code == 0
    codes = [
        world.app.query(abci.RequestQuery(path=f"/p2p/filter/id/{node_id(name)}")).code for name in ("acme", "new")
    ]
    assert codes[0] != 0
    assert codes[1] == 0


def test_a_contract_finds_exactly_what_is_there_at_that_point(world):
    found = world.committed.view.find(MEMBER, "party", person("acme").organization, 10)
    assert [m.id for m in found] == [person("acme").member]
    assert world.committed.view.find(COUNTER, "status", "open", 1)
    assert world.committed.view.find(COUNTER, "status", "never", 1) == ()


def test_every_refusal_has_its_own_code():
    import importlib

    for module in ("abci_app.application", "ledgers.genesis", "abci_app.queries.refusals"):
        importlib.import_module(module)
    classes, pending = {}, [Rejected]
    while pending:
        for refusal in pending.pop().__subclasses__():
            pending.append(refusal)
            code = refusal.__dict__.get("code")
            if code is not None and refusal.__module__.split(".")[0] in {"abci_app", "ledgers"}:
                assert classes.setdefault(code, refusal) is refusal, code
    assert len(classes) > 50
