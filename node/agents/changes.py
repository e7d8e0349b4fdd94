"""Changes: what S-BUS and B-BUS have in common about the change of a service: what to say to a neighbour next. Req: C-07, C-09; X-62.

Windows go down the tiers and consents come up. A seller proposes one to its buyer, or answers the one that the buyer proposes;
its own sellers' windows lie inside that. Who is asked agrees only after its own sellers have; what a seller declines is
declined upwards, or another window is proposed. Pure functions of what the ledgers show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.agents.desk import Desk
from node.agents.duties import Later
from node.agents.policies import MaintenanceAsked, Window
from node.agents.ports import LedgerPort, Outward, refused_for
from smartcontracts.internal.change import (
    AcceptancesMissing,
    ActUnderWay,
    ChangePlan,
    ConsentsMissing,
    MaintenanceAct,
    MirrorChange,
    NotItsTime,
    ReleaseMaintenance,
    SellerChange,
    SellersNotAgreed,
    WindowAbove,
    WindowDiffers,
    WindowNotInside,
    is_open,
    proposed_by_other,
    sellers_agreed,
    window_above,
)
from smartcontracts.internal.elements import AlreadyReleased, NothingNew
from smartcontracts.internal.release import Release, ReleaseStatus
from smartcontracts.kernel import WrongStatus
from smartcontracts.service import ChangeStatus, MaintenanceWindow, ServiceChange
from smartcontracts.trade import Outage

SELLER_DECLINED: Final = "SELLER_DECLINED"
NOT_CONVENIENT: Final = "NOT_CONVENIENT"
# After a ledger has refused an act about a change, the next one waits: the clocks may be apart, or the news on its way.
REFUSED_PAUSE_MS: Final = 1_000
# One refusal after the other is no matter of clocks: the pause doubles, or a ledger that takes nothing any more is asked for ever.
REFUSED_PAUSE_MS_MAX: Final = 600_000
_DOUBLINGS_MAX: Final = 10
# Refusals that say: it was done meanwhile, or what it was about is another thing now. The next news tells what to do.
_OVERTAKEN: Final = frozenset(
    refusal.code
    for refusal in (
        AcceptancesMissing,
        ActUnderWay,
        AlreadyReleased,
        ConsentsMissing,
        NothingNew,
        SellersNotAgreed,
        WindowAbove,
        WindowDiffers,
        WindowNotInside,
        WrongStatus,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What is said to a neighbour about a window."""

    act: MaintenanceAct
    from_ms: int = 0
    until_ms: int = 0
    reason: str = ""


async def submit(desk: Desk, port: LedgerPort, acts: Sequence[Outward], *, purpose: str) -> None:
    """Submit unless it is overtaken; what is a little early comes again. Raises Refused for all other reasons."""
    if await refused_for(port, acts, _OVERTAKEN | {NotItsTime.code}, purpose=purpose) == NotItsTime.code:
        raise Later(desk.now_ms() + REFUSED_PAUSE_MS)


async def plan_on(internal: LedgerPort, plan_id: str) -> ChangePlan | None:
    """The plan of a change, if its order was handed over."""
    found: ChangePlan | None = await internal.get("change_plan", plan_id)
    return found


async def let_rest(desk: Desk, internal: LedgerPort, subject_id: str, ledger_id: str) -> bool:
    """Whether an act to this ledger is on its way. Raises Later for a while after the ledger has refused one, or several."""
    releases: tuple[Release, ...] = await internal.list("release", related=subject_id)
    there = [release for release in releases if release.ledger_id == ledger_id]
    if any(release.status == ReleaseStatus.OPEN for release in there):
        return True
    taken_ms = max((one.carried_at_ms for one in there if one.status == ReleaseStatus.CARRIED), default=0)
    refused = [
        one.carried_at_ms for one in there if one.status == ReleaseStatus.REFUSED and one.carried_at_ms >= taken_ms
    ]
    pause_ms = min(REFUSED_PAUSE_MS << min(max(len(refused) - 1, 0), _DOUBLINGS_MAX), REFUSED_PAUSE_MS_MAX)
    if refused and desk.now_ms() < max(refused) + pause_ms:
        raise Later(max(refused) + pause_ms)
    return False


def mirrored(plan: ChangePlan, ledger_id: str, change: ServiceChange) -> Outward:
    """What a change is now, for INT to know."""
    return Outward("mirror_change", MirrorChange(plan_id=plan.id, ledger_id=ledger_id, change=change))


def said(desk: Desk, plan_id: str, ledger_id: str, change: ServiceChange, saying: Saying) -> Outward:
    """The act by which INT lets it out. Without a plan the organization is the customer itself."""
    return Outward(
        "release_maintenance",
        ReleaseMaintenance(
            plan_id=plan_id,
            ledger_id=ledger_id,
            change_id=change.id,
            service_id=change.service_id,
            act=saying.act,
            from_ms=saying.from_ms,
            until_ms=saying.until_ms,
            reason=saying.reason,
            salt=desk.salt(),
        ),
    )


def to_buyer(desk: Desk, plan: ChangePlan, latest_ms: int) -> Saying | None:
    """What S-BUS says about the window of the buyer's change; None to wait. Raises Later. Req: C-09."""
    change, now_ms = plan.change, desk.now_ms()
    if change.outage == Outage.NO or not is_open(change):
        return None
    theirs = proposed_by_other(change, desk.organization)
    if theirs is not None:
        return _answer_buyer(desk, plan, theirs, latest_ms)
    window = change.window
    if window is None or change.status == ChangeStatus.ACCEPTED:
        return _propose(desk, plan, latest_ms)
    if any(_has_declined(one.change, desk.organization) for one in plan.sellers) or now_ms > window.until_ms:
        return _propose(desk, plan, latest_ms)
    if change.status == ChangeStatus.AGREED and sellers_agreed(plan, (window.from_ms, window.until_ms)):
        return None
    raise Later(window.until_ms + 1)


def to_seller(desk: Desk, plan: ChangePlan, seller: SellerChange) -> Saying | None:
    """What B-BUS says about the window of a seller's change; None to wait. Req: C-09; X-62."""
    change, above = seller.change, window_above(plan)
    if change.outage == Outage.NO or not is_open(change) or above is None or desk.now_ms() >= above.from_ms:
        return None
    theirs = proposed_by_other(change, desk.organization)
    if theirs is not None and _is_inside(theirs, above):
        return Saying(act=MaintenanceAct.AGREE, from_ms=theirs.from_ms, until_ms=theirs.until_ms)
    own = change.window
    if theirs is None and own is not None and _is_inside(own, above):
        # It is agreed, or waits for the seller, or the seller has declined it: then the buyer is to hear of it first.
        return None
    return Saying(act=MaintenanceAct.PROPOSE, from_ms=above.from_ms, until_ms=above.until_ms)


def as_customer(desk: Desk, change: ServiceChange) -> Saying | None:
    """The customer's own answer to the window that its seller proposes; None if none is proposed. Req: C-07, C-09."""
    theirs = proposed_by_other(change, desk.organization)
    if theirs is None or not is_open(change):
        return None
    if desk.policies.agree_maintenance(_asked(desk, change, 0), Window(theirs.from_ms, theirs.until_ms)):
        return Saying(act=MaintenanceAct.AGREE, from_ms=theirs.from_ms, until_ms=theirs.until_ms)
    return Saying(act=MaintenanceAct.DECLINE, reason=NOT_CONVENIENT)


def _answer_buyer(desk: Desk, plan: ChangePlan, theirs: MaintenanceWindow, latest_ms: int) -> Saying | None:
    """Agree once all sellers have; decline what a seller has declined, or what is not convenient."""
    if not desk.policies.agree_maintenance(
        _asked(desk, plan.change, latest_ms), Window(theirs.from_ms, theirs.until_ms)
    ):
        return Saying(act=MaintenanceAct.DECLINE, reason=NOT_CONVENIENT)
    if sellers_agreed(plan, (theirs.from_ms, theirs.until_ms)):
        return Saying(act=MaintenanceAct.AGREE, from_ms=theirs.from_ms, until_ms=theirs.until_ms)
    declined = [one.change for one in plan.sellers if _has_declined(one.change, desk.organization)]
    if any(one.window is not None and _is_inside(one.window, theirs) for one in declined):
        return Saying(act=MaintenanceAct.DECLINE, reason=SELLER_DECLINED)
    if desk.now_ms() >= theirs.from_ms:
        return Saying(act=MaintenanceAct.DECLINE, reason=NOT_CONVENIENT)
    raise Later(theirs.from_ms)


def _propose(desk: Desk, plan: ChangePlan, latest_ms: int) -> Saying | None:
    """The next window by policy: after one that was declined or is over, and not before what sellers propose."""
    change = plan.change
    theirs = [proposed_by_other(one.change, desk.organization) for one in plan.sellers]
    after_ms = max((one.from_ms for one in theirs if one is not None), default=0)
    interrupting = [one.change for one in plan.sellers if one.change.outage == Outage.YES and is_open(one.change)]
    # Before that a seller's ledger takes no window.
    after_ms = max([after_ms, *(one.implement_at_ms for one in interrupting)])
    last = change.window
    if last is not None:
        after_ms = max(after_ms, last.until_ms + 1)
    window = desk.policies.maintenance_window(_asked(desk, change, latest_ms, after_ms))
    if window is None:
        return None
    return Saying(act=MaintenanceAct.PROPOSE, from_ms=window.from_ms, until_ms=window.until_ms)


def _asked(desk: Desk, change: ServiceChange, latest_ms: int, after_ms: int = 0) -> MaintenanceAsked:
    return MaintenanceAsked(
        change_id=change.id,
        service_id=change.service_id,
        outage_ms=change.outage_ms,
        now_ms=desk.now_ms(),
        earliest_ms=max(change.implement_at_ms, after_ms),
        latest_ms=latest_ms,
    )


def _has_declined(change: ServiceChange, organization: str) -> bool:
    """Whether the seller has declined the last window that `organization` proposed."""
    window = change.window
    return (
        change.status == ChangeStatus.ACCEPTED
        and window is not None
        and window.proposed_by == organization
        and bool(window.declined_reason)
    )


def _is_inside(window: MaintenanceWindow, above: MaintenanceWindow) -> bool:
    return above.from_ms <= window.from_ms and window.until_ms <= above.until_ms
