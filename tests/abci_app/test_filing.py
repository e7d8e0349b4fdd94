"""Documents name the places of their large parts in transactions: read whole at every height, and nothing is left of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tendermint.abci import types_pb2 as abci

from abci_app.queries import reads
from abci_app.store import MemoryStore, StoreDamagedError, filing
from abci_app.store.filing import PART_BYTES_MIN, PLACES_MAX, READ_A_BYTE_MAX, Place, Places, file, places_in, unfile
from abci_app.store.keys import DOCUMENTS, PAST, STALE, TRANSACTIONS, past_end
from ledgers.kinds import contract_table
from ledgers.transaction import Act
from scripts.load import trade
from smartcontracts.codec import large_bytes
from smartcontracts.order import ORDER
from smartcontracts.proposal import Propose, act_of
from smartcontracts.verify.hashing import document_commitment
from smartcontracts.verify.ics23 import verify_membership
from syngraph.v1 import application_pb2 as wire
from tests.abci_app.reference_state import ReferenceState, rebuilt_index, stored_index
from tests.abci_app.support import documents, root_over
from tests.world import World, person, with_parameters

FILLING = st.binary(max_size=40)
PARTS = st.lists(
    st.tuples(FILLING, st.sampled_from([b"a" * 60, b"a" * 70, b"b" * 60, b"c"]), st.booleans()), max_size=6
)


def kept(name, raw):
    store = MemoryStore()
    store.write({TRANSACTIONS + name: raw})
    return store.snapshot()


@given(parts=PARTS, end=FILLING, before=FILLING)
def test_a_document_is_read_as_it_was_filed_whatever_of_it_stands_in_a_transaction(parts, end, before):
    name = bytes(32)
    raw = before + b"".join(part for _, part, there in parts if there)
    places = dict(places_in(name, raw, [part for _, part, there in parts if there]))
    stored = b"".join(gap + part for gap, part, _ in parts) + end
    filed = file(stored, [part for _, part, _ in parts], places.get)
    assert unfile(kept(name, raw), filed) == stored
    assert all(raw[place.offset :].startswith(part) for part, place in places.items())


def test_each_part_whose_place_is_known_is_left_out_also_one_that_stands_twice():
    name, parts = bytes(32), [b"a" * 2_000, b"a" * 2_000, b"b" * 3_000]
    raw = b"head" + b"".join(parts)
    filed = file(
        b"1" + parts[0] + b"2" + parts[1] + b"3" + parts[2] + b"4", parts, dict(places_in(name, raw, parts)).get
    )
    assert len(filed) == 2 + 3 * 44 + 4
    assert unfile(kept(name, raw), filed) == b"1" + parts[0] + b"2" + parts[1] + b"3" + parts[2] + b"4"


def test_reading_learns_the_places_so_that_the_next_version_is_filed_as_small():
    name, part = bytes(32), b"p" * 5_000
    reader = kept(name, b"x" + part)
    filed = file(b"1" + part, [part], dict(places_in(name, b"x" + part, [part])).get)
    places = Places()
    assert file(b"2" + part, [part], places.find) == b"\x00\x00" + b"2" + part
    unfile(reader, filed, places)
    assert len(file(b"2" + part, [part], places.find)) == len(filed)


def test_a_document_does_not_make_its_readers_read_much_more_than_itself():
    """Who hides a part in a large transaction would make every list of documents read that."""
    name, part = bytes(32), b"p" * PART_BYTES_MIN
    stored = b"1" + part
    for size, is_named in ((READ_A_BYTE_MAX * PART_BYTES_MIN, True), (READ_A_BYTE_MAX * PART_BYTES_MIN + 1, False)):
        filed = file(stored, [part], {part: Place(name, size, 0)}.get)
        assert (len(filed) < len(stored)) is is_named
    # Together they may be enough of one transaction.
    parts = [bytes([letter]) * PART_BYTES_MIN for letter in b"abcd"]
    place = Place(name, 3 * READ_A_BYTE_MAX * PART_BYTES_MIN, 0)
    assert len(file(b"".join(parts), parts, dict.fromkeys(parts, place).get)) == 2 + 4 * 44
    assert len(file(b"".join(parts), parts, dict.fromkeys(parts[:2], place).get)) == 2 + 4 * PART_BYTES_MIN


def test_a_document_names_so_many_places_and_holds_the_rest():
    name, part = bytes(32), b"p" * PART_BYTES_MIN
    stored = part * (PLACES_MAX + 2)
    filed = file(stored, [part] * (PLACES_MAX + 2), {part: Place(name, len(part), 0)}.get)
    assert len(filed) == 2 + 44 * PLACES_MAX + 2 * PART_BYTES_MIN
    assert unfile(kept(name, part), filed) == stored


@pytest.mark.parametrize("raw", [None, b"x" + b"p" * 4_999])
def test_invalid_store_without_the_transaction_is_damaged(raw):
    part = b"p" * 5_000
    filed = file(part, [part], dict(places_in(bytes(32), b"x" + part, [part])).get)
    reader = MemoryStore().snapshot() if raw is None else kept(bytes(32), raw)
    with pytest.raises(StoreDamagedError, match="lacks transaction"):
        unfile(reader, filed)


def test_places_used_longest_ago_are_forgotten(monkeypatch):
    monkeypatch.setattr(filing, "KNOWN_MAX", 8)
    places, place = Places(), Place(bytes(32), 10, 0)
    for number in range(8):
        places.learn(b"%d" % number, place)
    assert places.find(b"0") == place
    places.learn(b"8", place)
    assert [places.find(b"%d" % number) for number in range(9)] == [place, None, None, *[place] * 6]
    monkeypatch.setattr(filing, "KNOWN_BYTES_MAX", 1_000)
    places.learn(b"p" * 999, place)
    assert places.find(b"3") is None
    assert places.find(b"p" * 999) == place


class Trading(World):
    """A bilateral ledger with the contracts of such."""

    def application(self, name, **options):
        return super().application(name, **{"table_for": contract_table, **options})


class Market(Trading):
    """Two nodes of a bilateral ledger with an agreement, and orders of a product of 7 KB."""

    def __init__(self, tmp_path=None, names=("acme", "alpha"), **parameters):
        super().__init__(tmp_path, names=names, parameters=with_parameters(**parameters))
        command = Propose(act=act_of("agreement_terms", trade.agreement_terms()), valid_for_ms=60_000)
        (receipt,) = self.execute(self.transaction(Act(name="propose", command=command), signers=("acme", "alpha")))
        self.agreement = next(d.id for d in receipt.documents if d.kind == "agreement")
        self.product = trade.product()

    def do(self, who, name, command):
        """Kind to id of what it wrote."""
        (receipt,) = self.execute(self.transaction(Act(name=name, command=command), signers=(who,)))
        assert receipt.code == 0, receipt
        return {document.kind: document.id for document in receipt.documents}

    def ask(self):
        acme, alpha = person("acme").organization, person("alpha").organization
        command = trade.inquiry(acme, alpha, self.agreement, self.product, "r")
        return self.do("acme", "submit_inquiry", command)["inquiry"]

    def order(self):
        """An order that waits for its acceptance."""
        quote = self.do("alpha", "issue_quote", trade.quote(self.ask(), self.clock()))["quote"]
        return self.do("acme", "place_order", trade.order(quote))["order"]


def times_stored(application, part):
    """How often the store holds these bytes."""
    return sum(value.count(part) for _, value in application.committed.reader.scan(b"", b"\xff"))


def test_a_product_is_stored_once_while_its_order_goes_its_way_and_every_height_has_all_of_it():
    world, reference = Market(), ReferenceState()
    first = world.committed.height
    order = world.order()
    for name, command in (("accept_order", trade.acceptance(order)), ("activate_order", trade.activation(order))):
        reference.follow(world.committed)
        world.do("alpha", name, command)
    reference.follow(world.committed)
    assert [times_stored(application, world.product) for application in world.consensus.applications.values()] == [1, 1]
    key = f"order/{order}"
    assert len({reference.get(key, height) for height in reference.heights}) == 3
    for height, whole in reference.heights.items():
        assert reference.root(height, world.genesis.secret) == world.committed.app_hash(height)[1]
        for name, stored in whole.items():
            kind, _, document_id = name.partition("/")
            answer = reads.get(wire.GetRequest(kind=kind, id=document_id, height=height), world.committed)
            assert answer.document.stored == stored
    assert world.product in reference.get(key, world.committed.height)
    assert first < min(reference.heights)
    assert stored_index(world.committed) == rebuilt_index(world.committed)


def test_a_proof_at_an_old_height_carries_the_whole_document():
    world = Market()
    order = world.order()
    height = world.committed.height
    world.do("alpha", "accept_order", trade.acceptance(order))
    world.do("alpha", "activate_order", trade.activation(order))
    answer = reads.prove(wire.ProveRequest(kind="order", id=order, height=height), world.committed)
    assert world.product in answer.document.stored
    value = document_commitment(answer.document.salt, answer.document.stored)
    verify_membership(answer.app_hash, answer.key, value, answer.proof)


def test_pruning_leaves_the_newest_version_and_its_transaction_and_nothing_else(tmp_path):
    world = Market(tmp_path, names=("acme",), history_blocks=10)
    order = world.order()
    world.do("alpha", "accept_order", trade.acceptance(order))
    inquiry = next(
        i for i in world.committed.view.ids(contract_table("bilateral", 1).kinds["inquiry"], "status", "quoted")
    )
    for _ in range(12):
        world.do("alpha", "accept_order", trade.acceptance(world.order()))
    committed = world.committed
    assert committed.oldest == committed.height - 9
    for kind, document_id in (("order", order), ("inquiry", inquiry)):
        key = f"{kind}/{document_id}".encode()
        assert list(committed.reader.scan(PAST[DOCUMENTS] + key, past_end(PAST[DOCUMENTS] + key))) == []
        assert world.product in reads.get(wire.GetRequest(kind=kind, id=document_id), committed).document.stored
    past = [key for key, _ in committed.reader.scan(PAST[DOCUMENTS], past_end(PAST[DOCUMENTS]))]
    queued = {key[9:] for key, _ in committed.reader.scan(STALE, past_end(STALE))}
    assert set(past) <= queued
    # Once for each inquiry's transaction, and nowhere else.
    raws = [raw for _, raw in committed.reader.scan(TRANSACTIONS, past_end(TRANSACTIONS)) if world.product in raw]
    assert times_stored(world.app, world.product) == len(raws) == 13


def test_a_node_that_was_killed_before_its_commit_goes_on_where_it_was(tmp_path):
    world = Market(tmp_path, names=("acme",))
    order = world.order()
    before = list(world.committed.reader.scan(b"", b"\xff"))
    raw = world.transaction(Act(name="accept_order", command=trade.acceptance(order)), signers=("alpha",))
    assert world.consensus.submit(raw).code == 0
    txs = world.consensus.prepare("acme")
    world.app.finalize_block(abci.RequestFinalizeBlock(height=world.committed.height + 1, txs=txs))
    restart(world)
    assert list(world.committed.reader.scan(b"", b"\xff")) == before
    world.consensus.decide(txs)
    world.consensus.run()
    world.do("alpha", "activate_order", trade.activation(order))
    # The places were learnt anew from what the store holds.
    assert times_stored(world.app, world.product) == 1
    assert world.committed.view.get(ORDER, order).items[0].product == world.product


def restart(world):
    """Another application on the store of the only one, as after a kill."""
    from tests.world import OPEN_STORES

    world.app.ledger.store.close()
    OPEN_STORES.clear()
    world.consensus.applications["acme"] = world.application("acme")
    world.consensus.mempools["acme"] = []


def trade_until_killed(directory):
    """What the child of the next test does: orders without end, a line for each."""
    market = Market(Path(directory), names=("acme",))
    while True:
        market.do("alpha", "accept_order", trade.acceptance(market.order()))
        print(market.committed.height, flush=True)


@pytest.mark.parametrize("orders", [1, 4])
def test_after_a_kill_every_document_is_whole_and_its_transaction_there(tmp_path, orders):
    command = f"from tests.abci_app.test_filing import trade_until_killed as go; go({str(tmp_path)!r})"
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", command], cwd=root, stdout=subprocess.PIPE, text=True) as child:
        try:
            heights = [int(child.stdout.readline()) for _ in range(orders)]
        finally:
            child.kill()
    found = Trading(tmp_path, names=("acme",), start=False)
    committed = found.committed
    assert committed.height >= heights[-1]
    kept = documents(committed)
    assert root_over(committed, kept) == committed.root
    product = trade.product()
    assert sum(product in stored for stored in kept.values()) >= 2 * orders
    asked = sum(product in raw for _, raw in committed.reader.scan(TRANSACTIONS, past_end(TRANSACTIONS)))
    assert times_stored(found.app, product) == asked >= orders


def test_parts_of_a_block_that_is_not_committed_are_named_by_nobody(tmp_path):
    world = Market(tmp_path, names=("acme",))
    acme, alpha = person("acme").organization, person("alpha").organization
    command = trade.inquiry(acme, alpha, world.agreement, world.product, "r")
    raw = world.transaction(Act(name="submit_inquiry", command=command))
    world.consensus.submit(raw)
    txs = world.consensus.prepare("acme")
    world.app.finalize_block(abci.RequestFinalizeBlock(height=world.committed.height + 1, txs=txs))
    assert world.app.ledger.cache.places.find(world.product) is None
    world.app.commit(abci.RequestCommit())
    assert world.app.ledger.cache.places.find(world.product).transaction_bytes == len(raw)


def test_large_bytes_are_found_at_any_depth_in_the_order_of_the_encoding():
    command = trade.inquiry("a", "b", "c", trade.product(), "r")
    assert large_bytes(command, PART_BYTES_MIN) == [command.items[0].product]
    assert large_bytes(command, 32) == [command.items[0].product, command.lineage_key]
    act = act_of("agreement_terms", trade.agreement_terms())
    assert large_bytes(Propose(act=act, valid_for_ms=1), 1) == [act.data]
    assert large_bytes(trade.acceptance("o"), 0) == []
