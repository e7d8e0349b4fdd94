"""The life of alpha's internal ledger: agents buy and sell on ledgers around it, and take every message of its contracts.

acme buys from alpha, and alpha from bravo and charlie. Each offering has its own fate: see `MAKES`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from node.agents.boundaries import ignore
from node.agents.policies import Policies, Recovery
from node.agents.policy_settings import PolicySettings, SellerRule
from node.agents.ports import caused
from node.agents.provisioning.inventory import Inventory, parse
from node.agents.roster import DUTIES
from smartcontracts.delivery import CancelOrder, ExtendWindow
from smartcontracts.internal.inventory import RecordTermination
from smartcontracts.internal.orders import ReleaseOrder
from smartcontracts.internal.release import RecordCarried, released_command
from smartcontracts.internal.rules import SetSourcingRules
from smartcontracts.kernel import Position, Role, WrongStatus
from smartcontracts.membership import (
    AddMember,
    AddMemberKey,
    AdmitOrganization,
    RemoveOrganization,
    RevokeMember,
    RevokeMemberKey,
    SetMemberRoles,
    SetNodeIds,
)
from smartcontracts.money import Rounding
from smartcontracts.order import PlaceOrder
from smartcontracts.parameters import ScheduleVersion, SetParameters
from smartcontracts.proposal import AcceptProposal, DeclineProposal, Propose, WithdrawProposal, act_of
from smartcontracts.quote import IssueQuote, QuoteExpired, QuoteItem, totals
from smartcontracts.trade import Action, Change, ChangeKind, InquiryItem, ItemRelation, QuoteLevel
from tests.node.agents.chains import fault
from tests.node.agents.desk import Market, MarketLedger, pool
from tests.smartcontracts.support import START_MS, member_record, organization_record, public_key
from tests.smartcontracts.trading import SINGLE, monthly, product
from tests.vectors.recorder import Recorder
from tests.vectors.twin import TwinLedger

OWNER = "alpha"
PAIRS = (("acme", "alpha"), ("alpha", "bravo"), ("alpha", "charlie"))
ACCEPTANCE_MS, ACTIVATION_MS = 600_000, 3_600_000
HOUR_MS = 3_600_000
OUTAGE_MS = 600_000


def makes(*offerings: str, faults: str = "", monthly_cost: str = "10.00") -> Inventory:
    """One pool for these offerings, whose changes interrupt."""
    names = ", ".join(f'"{one}"' for one in offerings)
    return parse(
        f'currency = "EUR"\n[[pool]]\nid = "main"\nofferings = [{names}]\ncapacity = 100\nlead_time_ms = 60000\n'
        f'cost = {{ recurring = "{monthly_cost}", period = "month" }}\nend = {{ non_recurring = "5.00" }}\n'
        f'change = {{ non_recurring = "25.00", outage_ms = {OUTAGE_MS} }}\n{faults}'.encode()
    )


LATE_MS = ACTIVATION_MS + 400_000
MAKES = {
    "acme": pool(),
    # A port is made, a fragile thing breaks at first, a slow one is late, a full one is refused when it is ordered.
    "alpha": makes(
        "port",
        "fragile",
        "slow",
        "full",
        faults=fault("activate", offering="fragile", cause="BROKEN")
        + fault("activate", offering="slow", delay_ms=LATE_MS)
        + fault("reserve", offering="full", cause="NO_CAPACITY", times=9),
    ),
    # A line is bought as it should be, a slack one comes late, a dear one fails for ever.
    "bravo": makes(
        "line",
        "slack",
        "doomed",
        "hasty",
        "trunk",
        faults=fault("activate", offering="slack", delay_ms=LATE_MS)
        + fault("activate", offering="doomed", cause="BROKEN", times=99)
        + fault("activate", offering="hasty", delay_ms=HOUR_MS // 2, times=9),
    ),
    "charlie": makes("fragile", "fibre", monthly_cost="5.00"),
}


AGENTS = {name: tuple((name, role) for role in DUTIES) for name in MAKES}

# What nobody is asked for.
UNSOLD = SellerRule(offering="unsold", organizations=())


class Resigned(Policies):
    """Gives up what it can't buy or make at the first failure of the doomed."""

    def recover(self, failure: Any) -> Recovery:
        return Recovery.ABANDON if failure.offering == "doomed" else super().recover(failure)


class RecordedMarket(Market):
    """A market in which alpha's internal ledger is executed by the application, too."""

    def _ledger(self, name: str, kind: str, parties: tuple[str, ...]) -> MarketLedger:
        if name != f"{OWNER}-internal":
            return super()._ledger(name, kind, parties)
        self.twin = TwinLedger(OWNER, START_MS)
        self.ledgers[name] = self.twin
        return self.twin


def items_of(*offerings: str, action: Action = Action.ADD) -> tuple[InquiryItem, ...]:
    """An item for each of these offerings, chained one after another."""
    names = [f"item-{place:03}" for place in range(1, 1 + len(offerings))]
    return tuple(
        replace(
            SINGLE,
            id=name,
            action=action,
            offering=offering,
            product=product(offering, place="rome"),
            relations=tuple(ItemRelation(type="NEXT", item_id=before) for before in names[:place][-1:]),
        )
        for place, (name, offering) in enumerate(zip(names, offerings, strict=True))
    )


class InternalLife:
    """Every message of an internal ledger, and windows that end."""

    def __init__(self) -> None:
        self.market = RecordedMarket(
            pairs=PAIRS,
            inventories=MAKES,
            policies={
                OWNER: Resigned(PolicySettings(extensions_max=2, seller=(UNSOLD,), termination_window_ms=ACCEPTANCE_MS))
            },
            rules=SetSourcingRules(quoting_ms=5_000),
            terms={PAIRS[0]: {"cancellation_window_ms": HOUR_MS}},
        )
        self.twin = self.market.twin
        self.upstream = self.market.between("acme", OWNER)

    def run(self) -> Recorder:
        """The ledger once all of it has happened."""
        self._governed()
        self._refused()
        self._late_quote()
        service = self._delivered("port", "line")
        self._reused()
        self._delivered("fragile")  # breaks, and is bought from charlie
        self._delivered("slow")  # late inside, so that acme gives more time
        self._delivered("slack")  # late at bravo, which asks for more time
        self._rejected()
        self._abandoned()
        self._cancelled()
        self._given_time()
        self._changed(service)
        self._hastened()
        self._surfaced()
        self._regretted()
        self._stranded()
        assert self.market.failures == [], self.market.failures
        assert self.twin.compare() > 200
        return self.twin.recorder

    def newest(self, kind: str, key: str, ledger: MarketLedger | None = None) -> Any:
        """The latest document of a kind on acme's ledger with alpha."""
        return max(self.market.records(ledger or self.upstream, kind), key=lambda one: getattr(one, key))

    def _wait(self, ms: int, stop: Callable[[], bool] | None = None) -> None:
        self.market.run_until(self.market.now_ms + ms, stop=stop)

    def _away(self, *gone: tuple[str, Role]) -> Callable[[], None]:
        """These agents do nothing until what is returned brings them back."""
        everybody = self.market.desks
        self.market.desks = {key: desk for key, desk in everybody.items() if key not in gone}

        def back() -> None:
            self.market.desks = everybody
            self.market.sweep()

        return back

    def _asked(self, *items: InquiryItem, **more: Any) -> Any:
        """acme's inquiry once it is answered."""
        asked = self.market.ask("acme", OWNER, items, **more)
        kind = self.upstream.table.kinds["inquiry"]
        self._wait(120_000, stop=lambda: self.upstream.get(kind, asked.id).answered_at_ms > 0)
        return self.upstream.get(kind, asked.id)

    def _ordered(self, **more: Any) -> Any:
        """acme's order on what alpha quoted last."""
        quote = self.newest("quote", "issued_at_ms")
        given = {"acceptance_window_ms": ACCEPTANCE_MS, "activation_window_ms": ACTIVATION_MS}
        command = PlaceOrder(quote_id=quote.id, **(given | more))
        return self.market.act(self.upstream, "place_order", command, "acme", "b_bus")

    def _now(self, order: Any) -> Any:
        return self.upstream.get(self.upstream.table.kinds["order"], order.id)

    def _bought(self, *offerings: str) -> Any:
        assert self._asked(*items_of(*offerings)).status == "quoted", offerings
        return self._ordered()

    def _delivered(self, *offerings: str) -> str:
        """The id of acme's new service."""
        order = self._bought(*offerings)
        self._wait(3 * ACTIVATION_MS, stop=lambda: self._now(order).status == "activated")
        assert self._now(order).status == "activated", offerings
        return self._now(order).service_id

    def _act(self, name: str, command: Any) -> Any:
        return self.market.act(self.twin, name, command, OWNER, "administrator")

    def _governed(self) -> None:
        """Its only party changes members, parameters and version; what it proposes holds at once."""
        clerk, spare = (public_key(f"{OWNER}/clerk", name) for name in ("first", "spare"))
        added = self._act("add_member", AddMember(public_key=clerk, roles=(Role.SCO,), valid_until_ms=0))
        self._act("add_member_key", AddMemberKey(member_id=added.id, public_key=spare, valid_until_ms=0))
        self._act("revoke_member_key", RevokeMemberKey(member_id=added.id, public_key=spare))
        self._act("set_member_roles", SetMemberRoles(member_id=added.id, roles=(Role.AUDITOR,)))
        self._act("revoke_member", RevokeMember(member_id=added.id))
        self._act("set_node_ids", SetNodeIds(node_ids=("0" * 40,)))
        watcher = organization_record("ofcom", Position.OBSERVER)
        member = replace(member_record("ofcom", "observer"), roles=(Role.ADMINISTRATOR, Role.OBSERVER))
        member = replace(member, keys=(replace(member.keys[0], valid_from_ms=0),))
        self._joint("admit_organization", AdmitOrganization(organization=watcher, members=(member,)))
        self._joint("remove_organization", RemoveOrganization(organization_id=watcher.id))
        self._joint("set_parameters", SetParameters(parameters=replace(self.twin.parameters, items_max=64)))
        proposal = self._joint("schedule_version", ScheduleVersion(version=2, height=1_000_000))
        for name, command in (("decline_proposal", DeclineProposal), ("withdraw_proposal", WithdrawProposal)):
            self._closed(name, command(proposal_id=proposal.id))
        self._closed("accept_proposal", AcceptProposal(proposal_id=proposal.id, act_sha256=proposal.act_sha256))

    def _joint(self, act: str, command: Any) -> Any:
        self._act("propose", Propose(act=act_of(act, command), valid_for_ms=60_000))
        self.twin.recorder.taken.add(act)
        proposals = self.market.records(self.twin, "proposal")
        (made,) = [one for one in proposals if one.act_name == act]
        assert made.status == "enacted"
        return made

    def _closed(self, name: str, command: Any) -> None:
        """No other party can have answered a proposal."""
        try:
            self._act(name, command)
        except WrongStatus:
            return
        raise AssertionError(f"{name} was taken on a ledger of one party")

    def _refused(self) -> None:
        """Nobody has it, and nobody may be asked for it."""
        for offering in ("nothing", UNSOLD.offering):
            assert self._asked(*items_of(offering)).status == "unable"

    def _late_quote(self) -> None:
        """bravo's person quotes after the window, while alpha has not decided yet."""
        bravo_back = self._away(*AGENTS["bravo"])
        self.market.ask("acme", OWNER, items_of("line"))
        self.market.run()
        sco_back = self._away((OWNER, Role.SCO))
        ledger = self.market.between(OWNER, "bravo")
        asked = self.newest("inquiry", "received_at_ms", ledger)
        self.market.run_until(asked.respond_by_ms + 2_000)
        items = (QuoteItem(id="item-001", prices=(monthly(10**10),), installation_interval_ms=1_000),)
        one_time, over_term = totals(items, asked, "EUR", Rounding.HALF_UP)
        late = IssueQuote(
            inquiry_id=asked.id,
            level=QuoteLevel.FIRM,
            valid_until_ms=self.market.now_ms + HOUR_MS,
            items=items,
            one_time_total=one_time,
            term_total=over_term,
        )
        self.market.act(ledger, "issue_quote", late, "bravo", "s_bus")
        self.market.run()
        sco_back()
        bravo_back()

    def _reused(self) -> None:
        """The same twice, of which the second needs no new decomposition."""
        for _ in range(2):
            assert self._asked(*items_of("port")).status == "quoted"

    def _rejected(self) -> None:
        """What was quoted is gone when it is ordered."""
        order = self._bought("full", "line")
        self._wait(ACCEPTANCE_MS)
        assert self._now(order).status == "rejected"

    def _abandoned(self) -> None:
        """What bravo can't deliver is given up, with what alpha made of it."""
        order = self._bought("port", "doomed")
        self._wait(2 * ACTIVATION_MS)
        assert self._now(order).status == "failed"

    def _cancelled(self) -> None:
        """acme calls its order off while bravo is at it."""
        order = self._bought("port", "hasty")
        self._wait(60_000)
        self._cancel(order)
        self._wait(ACTIVATION_MS)
        assert self._now(order).status == "cancelled"

    def _cancel(self, order: Any) -> None:
        command = CancelOrder(order_id=order.id, reason="NO_NEED")
        self.market.act(self.upstream, "cancel_order", command, "acme", "b_bus")

    def _given_time(self) -> None:
        """acme gives time that nobody asked for."""
        order = self._bought("hasty")
        self._wait(60_000)
        longer = ExtendWindow(order_id=order.id, activate_by_ms=self._now(order).activate_by_ms + ACTIVATION_MS)
        self.market.act(self.upstream, "extend_window", longer, "acme", "b_bus")
        self._wait(2 * ACTIVATION_MS)

    def _changed(self, service: str) -> None:
        """A change with an outage that all agree on, and the end of the service."""
        for kind, action in ((ChangeKind.PARAMETER, Action.MODIFY), (ChangeKind.TERMINATION, Action.DELETE)):
            change = Change(service_id=service, kind=kind)
            assert self._asked(*items_of("port", "line", action=action), change=change).status == "quoted"
            order = self._ordered(change=change)
            self._wait(2 * ACTIVATION_MS, stop=lambda order=order: self._now(order).status == "activated")
            assert self._now(order).status == "activated"

    def _hastened(self) -> None:
        """bravo and charlie both change their part, and need not wait once both have accepted."""
        change = Change(service_id=self._delivered("trunk", "fibre"), kind=ChangeKind.PARAMETER)
        assert self._asked(*items_of("trunk", "fibre", action=Action.MODIFY), change=change).status == "quoted"
        order = self._ordered(change=change)
        self._wait(2 * ACTIVATION_MS, stop=lambda: self._now(order).status == "activated")
        assert self._now(order).status == "activated"

    def _surfaced(self) -> None:
        """alpha's node is behind: a person takes the order to bravo for refused, which is out there all the same."""
        assert self._asked(*items_of("line")).status == "quoted"
        back = self._away((OWNER, Role.B_BUS))
        order = self._ordered()
        self._wait(ACCEPTANCE_MS // 2, stop=lambda: self._handed_over(order).status == "ordering_external")
        found = self.market.records(self.twin, "service_element")
        (element,) = [one for one in found if one.order_handover_id == self._handed_over(order).id]
        command = ReleaseOrder(
            order_handover_id=element.order_handover_id,
            ledger_id=element.ledger_id,
            quote_id=element.quote_id,
            salt=hashlib.sha256(b"a person's").digest(),
        )
        self.market.act(self.twin, "release_order", command, OWNER, "b_bus")
        release = self.newest("release", "released_at_ms", self.twin)
        port = self.market.desks[OWNER, Role.S_BUS].internal
        there = self.market.between(OWNER, "bravo")
        act = (release.act, released_command(release), caused(port, release.id, release.act))
        there.submit([act], sender=there.sender(OWNER, "b_bus"), at=self.market.now_ms)
        missed = RecordCarried(
            release_id=release.id, refusal_code=QuoteExpired.code, refusal_name=QuoteExpired.refusal_name()
        )
        self.market.act(self.twin, "record_carried", missed, OWNER, "b_bus")
        back()
        self._wait(ACTIVATION_MS, stop=lambda: self._now(order).status == "activated")
        assert self._now(order).status == "activated"

    def _handed_over(self, order: Any) -> Any:
        return next(one for one in self.market.records(self.twin, "order_handover") if one.order_id == order.id)

    def _regretted(self) -> None:
        """acme gives back what has just been activated, as the agreement lets it."""
        order = self._bought("port")
        self._wait(ACTIVATION_MS, stop=lambda: self._now(order).status == "activated")
        back = self._away(*AGENTS[OWNER])
        self._cancel(order)
        (service,) = [one for one in self._inventory() if one.service_id == self._now(order).service_id]
        ended = RecordTermination(inventory_service_id=service.id, terminated_at_ms=self.market.now_ms)
        self.market.act(self.twin, "record_termination", ended, OWNER, "s_bus")  # a person is quicker
        back()
        self._wait(ACCEPTANCE_MS)
        assert {one.status.value for one in self._inventory()} == {"in_operation", "terminated"}

    def _stranded(self) -> None:
        """What bravo has activated can't be cancelled any more: its end is ordered, taken back as it is late, and ordered anew."""
        order = self._bought("port", "line")
        self._wait(ACTIVATION_MS, stop=lambda: self._now(order).status == "activated")
        ledger = self.market.between(OWNER, "bravo")
        before = len(self.market.records(ledger, "service_change"))
        backs: list[Callable[[], None]] = []

        def leave(_boundary: Any, _document_id: str) -> None:
            changes = self.market.records(ledger, "service_change")
            if len(changes) > before and not backs and any(one.status == "accepted" for one in changes):
                backs.append(self._away(*AGENTS["bravo"]))

        self.market.observe = leave
        self._cancel(order)
        self._wait(ACCEPTANCE_MS + 100_000)
        self.market.observe = ignore
        backs[0]()
        self._wait(HOUR_MS)
        assert {one.status.value for one in self.market.records(self.twin, "stranded_service")} == {"ended"}

    def _inventory(self) -> tuple[Any, ...]:
        return self.market.records(self.twin, "inventory_service")
