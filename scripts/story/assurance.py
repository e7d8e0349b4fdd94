"""Acts: measured performance moves the score on the bilateral ledger, and both parties publish the score on omni."""

from __future__ import annotations

from scripts.story.agreements import jointly
from scripts.story.billing import Sale
from scripts.story.meter import availabilities, tenths
from scripts.story.scene import OMNI, Done, Seat, Stage
from scripts.story.telling import require
from scripts.story.terms import METRIC, PROPOSAL_WINDOW_MS, TARGET_NANO
from smartcontracts.kernel import Role
from smartcontracts.omni import PublishScore, RegisterLedger, Reputation
from smartcontracts.proposal import AcceptProposal, Proposal, Propose, act_of
from smartcontracts.score import Score, score_id
from smartcontracts.sla import RecordPerformance

RECORDS = 3
_REPORTED_AFTER_MS = 150


async def measure(stage: Stage, sale: Sale) -> tuple[Score, int]:
    """Three records of the first service's first item; the score, and the height at which it stands."""
    service = sale.services[0]
    item = service.items[0]
    from_ms = service.activated_at_ms
    step_ms = (stage.network.now_ms() - _REPORTED_AFTER_MS - from_ms) // RECORDS
    name = f"{sale.seller.ledger_name}/{sale.seller.name}/{item.id}"
    done: Done | None = None
    for place, actual in enumerate(availabilities(name, RECORDS, TARGET_NANO)):
        record = RecordPerformance(
            service_id=service.id,
            metric=METRIC,
            actual_nano=actual,
            from_ms=from_ms + place * step_ms,
            until_ms=from_ms + (place + 1) * step_ms,
            performance_tenths=tenths(actual, TARGET_NANO),
            item_id=item.id,
        )
        done = await sale.seller.act(Role.S_BUS, "record_performance", record)
        against = "met" if actual >= TARGET_NANO else "missed"
        stage.told(
            sale.seller,
            done,
            f"probe (simulated): {METRIC} {actual / 10**9:.3f} %, target {against}, C = {record.performance_tenths / 10:.1f}",
            f"performance/{done.id_of('performance')}",
        )
    require(done is not None, "records of performance", "none")
    height = done.receipt.height if done else 0
    found = score_id(sale.seller.ledger.id, sale.seller.id, item.offering)
    score: Score = await sale.buyer.see("score", found, height)
    stage.teller.tell(
        f"{sale.seller.name}'s score for {item.offering} is {score.text}, as the contract computes it",
        ledger=sale.seller.ledger_name,
        height=height,
    )
    return score, height


async def publish(stage: Stage, sale: Sale, score: Score, height: int) -> None:
    """Register the ledger, then the score, on omni; a lone signature publishes nothing."""
    seller, buyer = [await stage.seat(seat.name, OMNI) for seat in (sale.seller, sale.buyer)]
    ledger_id = sale.seller.ledger.id
    registration = RegisterLedger(ledger_id=ledger_id, parties=tuple(sorted((seller.id, buyer.id))))
    what = f"to register the ledger {sale.seller.ledger_name}"
    await jointly(stage, seller, buyer, Role.ADMINISTRATOR, "register_ledger", registration, what)
    _, app_hash = await sale.seller.ledger.app_hash(height)
    command = PublishScore(
        ledger_id=ledger_id,
        seller=seller.id,
        offering=score.offering,
        tenths=score.tenths,
        count=score.count,
        text=score.text,
        height=height,
        app_hash=app_hash,
    )
    propose = Propose(act=act_of("publish_score", command), valid_for_ms=PROPOSAL_WINDOW_MS)
    opened = await seller.act(Role.ADMINISTRATOR, "propose", propose)
    proposal: Proposal = await buyer.see("proposal", opened.id_of("proposal"), opened.receipt.height)
    stage.told(seller, opened, f"proposes to publish {score.text}, as of height {height}", f"proposal/{proposal.id}")
    lone = await _published(seller, sale)
    require(not lone, "nothing to be published by a lone signature", lone)
    stage.teller.tell("a lone signature publishes nothing: omni has no such score", who=seller.name, ledger=OMNI)
    await _require_same_at_home(sale, score, height, app_hash)
    accept = AcceptProposal(proposal_id=proposal.id, act_sha256=proposal.act_sha256)
    done = await buyer.act(Role.ADMINISTRATOR, "accept_proposal", accept)
    stage.told(buyer, done, "has the same score and app hash at that height, and accepts", f"proposal/{proposal.id}")
    (published,) = await _published(buyer, sale, done.receipt.height)
    require(published.text == score.text, f"{score.text} on omni", published.text)
    stage.teller.tell(f"everybody sees {sale.seller.name}'s {published.text}", ledger=OMNI, height=done.receipt.height)
    stage.teller.note(
        "scores",
        {
            "ledger": sale.seller.ledger_name,
            "seller": sale.seller.name,
            "offering": score.offering,
            "text": score.text,
            "height": height,
            "app_hash": app_hash.hex(),
            "omni_height": done.receipt.height,
            "reputation": published.id,
            "endorsed_by": list(published.endorsed_by),
        },
    )


async def _published(seat: Seat, sale: Sale, height: int = 0) -> list[Reputation]:
    if height:
        await seat.see("organization", seat.id, height)
    found = await seat.all("reputation", party=sale.seller.id)
    return [one for one in found if one.ledger_id == sale.seller.ledger.id]


async def _require_same_at_home(sale: Sale, score: Score, height: int, app_hash: bytes) -> None:
    """The other party looks at its own replica before it signs."""
    own = await sale.buyer.ledger.get("score", score.id, height)
    _, own_hash = await sale.buyer.ledger.app_hash(height)
    require((own.body, own_hash) == (score, app_hash), f"{sale.buyer.name}'s node to have the same score", own.body)
