"""Each value of a configuration counts: another one gives the ledger another hash, and the other party reads what was sent."""

from __future__ import annotations

import json

from tendermint.abci import types_pb2 as abci

from ledgers.transaction import Act, assemble, build_body, encode_timestamp, sign_body
from node.sonata import QuoteContext
from scripts.story.agreements import conclude
from scripts.story.files import inquiry_of
from scripts.story.scene import ACME, ACME_ALPHA, ALPHA, Stage
from scripts.story.telling import Teller
from smartcontracts.canonical_json import canonical
from smartcontracts.kernel import Role
from smartcontracts.lineage import ancestors_of
from tests.node.sonata_samples import sample
from tests.scripts.story.fakenet import FakeNetwork
from tests.smartcontracts.trading import LINEAGE_KEY


def leaves(value, path=()):
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in entries:
        if isinstance(one, dict | list):
            yield from leaves(one, (*path, key))
        else:
            yield (*path, key)


def with_another(request, path):
    """A copy of the request with one leaf changed."""
    copy = json.loads(json.dumps(request))
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    old = holder[path[-1]]
    holder[path[-1]] = not old if isinstance(old, bool) else old + 1 if isinstance(old, int | float) else f"{old}x"
    return copy


def hash_after(network, command, acme):
    """What the other party's application would have as its app hash after a block with this inquiry, at a fixed time."""
    ledger = network.ledgers[ACME_ALPHA]
    member = acme.members[Role.B_BUS]
    now_ms = network.now_ms() + 1_000
    body = build_body(
        ledger_id=ledger.id,
        nonce=bytes(16),
        expires_at_ms=now_ms + 60_000,
        signers=[member.name],
        acts=[Act(name="submit_inquiry", command=command)],
    )
    txs = [encode_timestamp(ledger.id, now_ms), assemble(body, [sign_body(ledger.id, body, member.key)])]
    request = abci.RequestFinalizeBlock(height=ledger.consensus.height + 1, txs=txs)
    answer = ledger.consensus.applications[ALPHA].finalize_block(request)
    assert [result.code for result in answer.tx_results] == [0, 0]
    return answer.app_hash


async def test_each_changed_leaf_changes_the_ledgers_hash_and_is_what_the_other_party_reads():
    network = FakeNetwork()
    stage = Stage(network, Teller(quiet=True))
    acme, alpha = await stage.seat(ACME, ACME_ALPHA), await stage.seat(ALPHA, ACME_ALPHA)
    agreement = await conclude(stage, alpha, acme, "Terms")
    context = QuoteContext(
        seller=alpha.id,
        agreement_id=agreement.id,
        agreement_name="Terms",
        lineage_key=LINEAGE_KEY,
        ancestors=ancestors_of(LINEAGE_KEY, acme.id),
    )
    request = json.loads(sample("uc04-quote-new-epl.json"))
    paths = [
        ("quoteItem", place, "product", "productConfiguration", *path)
        for place, item in enumerate(request["quoteItem"])
        for path in leaves(item["product"]["productConfiguration"])
    ]
    assert len(paths) > 100
    requests = [request, *(with_another(request, path) for path in paths)]
    commands = [inquiry_of(json.dumps(one).encode(), context, bytes(32)).command for one in requests]
    # All on one and the same state: nothing is committed here.
    assert len({hash_after(network, command, acme) for command in commands}) == len(requests)
    for changed, command in zip(requests, commands, strict=True):
        done = await acme.act(Role.B_BUS, "submit_inquiry", command)
        read = await alpha.see("inquiry", done.id_of("inquiry"))
        expected = [canonical(json.dumps(item["product"]).encode(), "product") for item in changed["quoteItem"]]
        assert [item.product for item in read.items] == expected
