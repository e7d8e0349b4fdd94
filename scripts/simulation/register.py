"""The register's state machines 11.1 to 11.5, row by row, and what each row is in this project's own lifecycles.

A row is taken when one of its steps is, or a document is made in its status. It is refused when an act that takes it is tried on a
document whose status is another: with the same command and by the same member with whom it was right on another document. Rows that
the clock alone takes have no act that could be refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from scripts.simulation.coverage import Coverage

Step = tuple[str, str, str]
Place = tuple[str, str]
CLOCK: Final = "by the clock alone"
FAULTS: Final = "faults: a later issue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A message about a document of a kind, and the statuses in which it has an effect. Without a kind: the message at all."""

    message: str
    kind: str = ""
    statuses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the register. `later` says why it is not in scope, `clock` why nothing can be refused."""

    table: str
    start: str
    event: str
    end: str
    steps: tuple[Step, ...] = ()
    made: tuple[Place, ...] = ()
    marks: tuple[str, ...] = ()
    acts: tuple[Act, ...] = ()
    codes: tuple[str, ...] = ()
    clock: str = ""
    later: str = ""

    @property
    def name(self) -> str:
        return f"{self.table} {self.start} -> {self.end} ({self.event})"

    @property
    def can_be_refused(self) -> bool:
        return bool(self.acts or self.codes)

    def taken(self, coverage: Coverage) -> int:
        """How often."""
        return (
            sum(coverage.taken[step] for step in self.steps)
            + sum(coverage.made[place] for place in self.made)
            + sum(coverage.marks[mark] for mark in self.marks)
        )

    def missing(self, coverage: Coverage) -> tuple[str, ...]:
        """What of the row was not taken, of all that belongs to it."""
        return (
            *(
                f"{kind}: {status} --{event}"
                for kind, status, event in self.steps
                if not coverage.taken[kind, status, event]
            ),
            *(f"{kind}: made {status}" for kind, status in self.made if not coverage.made[kind, status]),
            *(mark for mark in self.marks if not coverage.marks[mark]),
        )

    def refused(self, coverage: Coverage) -> int:
        """How often an act of it was refused elsewhere, or for one of its reasons."""
        tries = sum(
            count
            for (kind, status, message), count in coverage.refused_acts.items()
            for act in self.acts
            if message == act.message and (not act.kind or (kind == act.kind and status not in act.statuses))
        )
        return tries + sum(coverage.refused_names[name] for name in self.codes)

    def report(self, coverage: Coverage) -> dict[str, Any]:
        """For JSON."""
        return {
            "table": self.table,
            "from": self.start,
            "event": self.event,
            "to": self.end,
            "taken": self.taken(coverage),
            "refused": self.refused(coverage) if self.can_be_refused else None,
            "missing": list(self.missing(coverage)),
            "note": self.later or self.clock,
        }

    def line(self, coverage: Coverage) -> str:
        """For people."""
        if self.later:
            return f"  {self.name}: not here ({self.later})"
        refused = f"refused {self.refused(coverage)}" if self.can_be_refused else self.clock
        missing = self.missing(coverage)
        return f"  {self.name}: taken {self.taken(coverage)}, {refused}" + (
            f"; not taken: {', '.join(missing)}" if missing else ""
        )


def _on(kind: str, messages: str, *statuses: str) -> tuple[Act, ...]:
    return tuple(Act(message=message, kind=kind, statuses=statuses) for message in messages.split())


def _of(kind: str, event: str, *statuses: str) -> tuple[Step, ...]:
    return tuple((kind, status, event) for status in statuses)


def _inquiry(start: str, event: str, end: str, **rest: Any) -> Row:
    return Row(table="11.1", start=start, event=event, end=end, **rest)


def _quote(start: str, event: str, end: str, **rest: Any) -> Row:
    return Row(table="11.2", start=start, event=event, end=end, **rest)


def _order(start: str, event: str, end: str, **rest: Any) -> Row:
    return Row(table="11.3", start=start, event=event, end=end, **rest)


def _element(start: str, event: str, end: str, **rest: Any) -> Row:
    return Row(table="11.4", start=start, event=event, end=end, **rest)


def _service(start: str, event: str, end: str, **rest: Any) -> Row:
    return Row(table="11.5", start=start, event=event, end=end, **rest)


_IH: Final = "inquiry_handover"
_OH: Final = "order_handover"
_SE: Final = "service_element"
_ASSESS: Final = _on(_IH, "assess", "in_assessment", "internal_known", "collected", "to_quote")
_RESUMES: Final = ("resume_delivery", "resume_recovery", "resume_chaining", "resume_testing", "resume_activation")
_ANSWER: Final = _on(_OH, "answer_availability", "checking_internal", "in_delivery", "recovery")
_ORDER_ANSWER: Final = _on(_OH, "record_order_answer", "ordering_external", "in_delivery", "recovery")
_OPEN_ORDER: Final = ("accepted", "overdue", "extension_requested")
_HELD: Final = ("quoted_internal", "available", "activating", "activated", "chained", "activation_failed")
_BOUGHT: Final = ("quoted_external", "accepted", "activating", "activated", "chained", "activation_failed")

INQUIRY: Final = (
    _inquiry("-", "Buyer submits", "RECEIVED", made=(("inquiry", "received"),), acts=(Act(message="submit_inquiry"),)),
    _inquiry(
        "RECEIVED",
        "S-BUS hands to SCO",
        "IN_ASSESSMENT",
        made=((_IH, "in_assessment"),),
        acts=(Act(message="hand_over_inquiry"),),
    ),
    _inquiry(
        "IN_ASSESSMENT",
        "SOF answers per element",
        "INTERNAL_KNOWN",
        steps=_of(_IH, "answer_last", "in_assessment"),
        codes=("QUERY_ANSWERED",),
    ),
    _inquiry(
        "INTERNAL_KNOWN",
        "B-BUS inquires for elements",
        "SOURCING",
        steps=_of(_IH, "request_sourcing", "internal_known"),
        acts=_on(_IH, "request_sourcing", "internal_known"),
    ),
    _inquiry(
        "SOURCING",
        "all responses in, or window over",
        "COLLECTED",
        steps=(
            *_of(_IH, "collect", "sourcing"),
            *_of("sourcing", "rank", "asked", "ended"),
            *_of("sourcing", "window_ends", "open", "asked"),
        ),
        acts=_on("sourcing", "rank_quotes", "asked", "ended", "ranked"),
    ),
    _inquiry(
        "COLLECTED",
        "SCO assesses, chainable",
        "TO_QUOTE",
        steps=_of(_IH, "to_quote", "internal_known", "collected"),
        acts=_ASSESS,
    ),
    _inquiry(
        "COLLECTED",
        "not chainable, window open",
        "IN_ASSESSMENT",
        steps=_of(_IH, "try_again", "collected"),
        acts=_ASSESS,
    ),
    _inquiry(
        "COLLECTED",
        "not chainable, window closed or gives up",
        "TO_REFUSE",
        steps=_of(_IH, "to_refuse", "in_assessment", "internal_known", "collected"),
        acts=_ASSESS,
    ),
    _inquiry(
        "TO_QUOTE",
        "S-BUS sends Quote",
        "QUOTED",
        steps=_of(_IH, "answered", "to_quote"),
        acts=_on(_IH, "release_quote", "to_quote"),
    ),
    _inquiry(
        "TO_REFUSE",
        "S-BUS answers",
        "UNABLE",
        steps=_of(_IH, "answered", "to_refuse"),
        acts=_on(_IH, "release_unable", "to_refuse"),
    ),
    _inquiry(
        "any open",
        "Buyer's Response Window ends, no answer",
        "DEEMED_UNABLE",
        steps=_of("inquiry", "window_ends", "received"),
        clock=CLOCK,
    ),
    _inquiry(
        "DEEMED_UNABLE",
        "late Quote accepted by Buyer",
        "LATE_QUOTED",
        steps=_of("inquiry", "take_late_quote", "deemed_unable"),
        acts=_on("inquiry", "take_late_quote", "deemed_unable"),
    ),
    _inquiry(
        "RECEIVED",
        "an existing Quote is used again, availability re-confirmed",
        "QUOTED",
        marks=("reuse_quote",),
        acts=_on(_IH, "reuse_quote", "in_assessment"),
    ),
)

QUOTE: Final = (
    _quote(
        "-",
        "recorded with valid_until",
        "ISSUED",
        made=(("quote", "issued"),),
        acts=_on("inquiry", "issue_quote", "received", "deemed_unable"),
    ),
    _quote(
        "ISSUED",
        "preferred mark by B-BUS",
        "ISSUED, preferred",
        marks=("preferred",),
        acts=_on("sourcing", "rank_quotes", "asked", "ended", "ranked"),
    ),
    _quote(
        "ISSUED",
        "Order referencing it is recorded",
        "ORDERED",
        steps=_of("quote", "order", "issued"),
        acts=_on("quote", "place_order", "issued"),
    ),
    _quote("ISSUED", "clock past valid_until", "EXPIRED", steps=_of("quote", "validity_ends", "issued"), clock=CLOCK),
    _quote(
        "ISSUED",
        "replaced by a new Quote after a wish to change",
        "SUPERSEDED",
        steps=_of("quote", "supersede", "issued"),
        codes=("REPLACED_INQUIRY_UNKNOWN",),
    ),
    _quote(
        "ISSUED",
        "not chosen (competing Quote ordered)",
        "UNUSED, until expiry",
        marks=("unused",),
        clock="nothing is done to it",
    ),
)

ORDER: Final = (
    _order("-", "Buyer submits", "PLACED", made=(("order", "placed"),), acts=(Act(message="place_order"),)),
    _order(
        "PLACED",
        "S-BUS to SCO, decomposition",
        "CHECKING_INTERNAL",
        made=((_OH, "checking_internal"), (_OH, "ordering_external")),
        acts=(Act(message="hand_over_order"),),
    ),
    _order(
        "CHECKING_INTERNAL",
        'any SOF "Rejected"',
        "REJECTED",
        steps=_of(_OH, "reject", "checking_internal"),
        acts=_ANSWER,
    ),
    _order(
        "CHECKING_INTERNAL",
        'all "Available"',
        "ORDERING_EXTERNAL",
        steps=_of(_OH, "all_available", "checking_internal"),
        acts=_ANSWER,
    ),
    _order(
        "ORDERING_EXTERNAL",
        'all Sellers "Accepted" (or none needed)',
        "ACCEPTED, internal activation requested",
        steps=(
            *_of(_OH, "all_accepted", "ordering_external"),
            *_of(_OH, "all_own", "checking_internal"),
            *_of("order", "accept", "placed"),
        ),
        acts=(*_ORDER_ANSWER, *_on("order", "accept_order", "placed")),
    ),
    _order(
        "ORDERING_EXTERNAL",
        'any Seller "Rejected"',
        "REJECTED",
        steps=(*_of(_OH, "reject", "ordering_external"), *_of("order", "reject", "placed")),
        acts=(*_ORDER_ANSWER, *_on("order", "reject_order", "placed")),
    ),
    _order(
        "PLACED, CHECKING_INTERNAL, ORDERING_EXTERNAL",
        "acceptance window over",
        "REJECTED(timeout)",
        steps=(
            *_of("order", "acceptance_window_ends", "placed"),
            *_of(_OH, "end_rejected", "checking_internal", "ordering_external"),
        ),
        clock=CLOCK,
    ),
    _order(
        "ACCEPTED",
        "delivery starts",
        "IN_DELIVERY",
        steps=_of(_OH, "go_on", "accepted"),
        acts=_on(_OH, "request_activation", "accepted", "in_delivery"),
    ),
    _order(
        "IN_DELIVERY",
        "all elements positive, chained, test passed in window",
        "ACTIVATED",
        steps=(
            *_of(_OH, "all_active", "in_delivery"),
            *_of(_OH, "chain", "to_chain"),
            *_of(_OH, "pass", "testing"),
            *_of(_OH, "end_activated", "to_activate"),
            *_of("order", "activate", "accepted"),
        ),
        acts=(
            *_on("order", "activate_order", "accepted", "extension_requested"),
            *_on(_OH, "chain_elements", "to_chain"),
            *_on(_OH, "record_test", "testing"),
            *_on(_OH, "release_activation", "to_activate"),
        ),
    ),
    _order(
        "IN_DELIVERY",
        "an element fails",
        "RECOVERY",
        steps=(
            *_of(_OH, "element_fails", "in_delivery"),
            *_of(_OH, "go_on", "recovery"),
            *_of(_OH, "give_up", "recovery"),
        ),
        marks=("alternative_internal", "alternative_external", "abandon"),
        acts=_on(_SE, "decide_recovery", "activation_failed", "rejected", "undeliverable"),
    ),
    _order(
        "IN_DELIVERY",
        "test not passed in Service Activation Window",
        "RECOVERY",
        steps=_of(_OH, "window_ends", "testing"),
        clock=CLOCK,
    ),
    _order(
        "IN_DELIVERY, RECOVERY",
        'Order Activation Window over without "Order Activated"',
        "OVERDUE",
        steps=(
            *_of("order", "activation_window_ends", "accepted"),
            *_of(_OH, "window_ends", "in_delivery", "recovery"),
        ),
        clock=CLOCK,
    ),
    _order(
        "OVERDUE",
        "S-BUS asks extension",
        "EXTENSION_REQUESTED",
        steps=(*_of("order", "request_extension", "overdue"), *_of(_OH, "ask_extension", "overdue")),
        acts=(
            *_on("order", "request_extension", "accepted", "overdue"),
            *_on(_OH, "release_extension", "in_delivery", "to_chain", "recovery", "testing", "overdue"),
        ),
    ),
    _order(
        "EXTENSION_REQUESTED",
        "Buyer grants",
        "IN_DELIVERY with new windows",
        steps=(
            *_of("order", "extend", "extension_requested"),
            *((_OH, "extension_requested", one) for one in _RESUMES),
        ),
        acts=_on("order", "answer_extension", "extension_requested"),
    ),
    _order(
        "EXTENSION_REQUESTED",
        "Buyer refuses or silent",
        "OVERDUE",
        steps=(
            *_of("order", "activation_window_ends", "extension_requested"),
            *_of(_OH, "refuse", "extension_requested"),
        ),
        acts=_on("order", "answer_extension", "extension_requested"),
    ),
    _order(
        "OVERDUE, RECOVERY",
        "S-BUS abandons",
        "FAILED",
        steps=(
            *_of(_OH, "abandon", "overdue", "recovery"),
            *_of(_OH, "notify", "abandoning"),
            *_of(_OH, "end_failed", "to_fail"),
            *_of("order", "fail", "accepted", "overdue"),
        ),
        acts=(
            *_on(_OH, "abandon_order", "overdue", "recovery"),
            *_on(_OH, "notify_abandonment", "abandoning"),
            *_on(_OH, "release_failure", "to_fail"),
            *_on("order", "fail_order", *_OPEN_ORDER),
        ),
    ),
    _order(
        "any before ACTIVATED at a Seller",
        "upstream cancels",
        "CANCELLED",
        steps=(
            *_of("order", "cancel", "placed", *_OPEN_ORDER),
            *_of(
                _OH,
                "end_cancelled",
                "checking_internal",
                "ordering_external",
                "accepted",
                "in_delivery",
                "recovery",
                "overdue",
            ),
        ),
        acts=_on("order", "cancel_order", "placed", *_OPEN_ORDER, "activated"),
    ),
)

ELEMENT: Final = (
    _element(
        "-",
        "appears in Inquiry decomposition",
        "QUOTED_INTERNAL, QUOTED_EXTERNAL or UNDELIVERABLE",
        made=((_SE, "quoted_internal"), (_SE, "quoted_external")),
        marks=("not_deliverable",),
        acts=_on(_IH, "decompose", "in_assessment"),
    ),
    _element(
        "QUOTED_INTERNAL",
        "availability query at Order",
        "AVAILABLE or REJECTED",
        steps=(*_of(_SE, "available", "quoted_internal"), *_of(_SE, "reject", "quoted_internal")),
        acts=_ANSWER,
    ),
    _element(
        "QUOTED_EXTERNAL",
        "downstream Order answered",
        "ACCEPTED or REJECTED",
        steps=(*_of(_SE, "accept", "quoted_external"), *_of(_SE, "reject", "quoted_external")),
        acts=_ORDER_ANSWER,
    ),
    _element(
        "AVAILABLE",
        "activation request with window",
        "ACTIVATING",
        steps=_of(_SE, "activate", "available"),
        acts=_on(_OH, "request_activation", "accepted", "in_delivery"),
    ),
    _element(
        "ACCEPTED",
        "Seller works",
        "ACTIVATING (external)",
        steps=_of(_SE, "activate", "accepted"),
        acts=_on(_OH, "request_activation", "accepted", "in_delivery"),
    ),
    _element(
        "ACTIVATING",
        "success in window",
        "ACTIVATED",
        steps=_of(_SE, "succeed", "activating"),
        acts=_on(_SE, "report_activation", "activating"),
    ),
    _element(
        "ACTIVATING",
        "failure, or window over",
        "ACTIVATION_FAILED",
        steps=(*_of(_SE, "fail", "activating"), *_of(_SE, "window_ends", "activating")),
        acts=_on(_SE, "report_activation", "activating"),
    ),
    _element(
        "ACTIVATION_FAILED",
        "replacement chosen",
        "REPLACED",
        steps=(*_of(_SE, "replace", "activation_failed", "releasing"), *_of(_SE, "choose", "sourcing")),
        acts=_on(_SE, "choose_replacement", "sourcing"),
    ),
    _element(
        "ACTIVATED (all)",
        "chaining",
        "CHAINED",
        steps=_of(_SE, "chain", "activated"),
        acts=_on(_OH, "chain_elements", "to_chain"),
    ),
    _element(
        "internal, any",
        "abandonment",
        "RELEASED",
        steps=(*_of(_SE, "give_back", *_HELD), *_of(_SE, "released", "releasing")),
        acts=_on(_SE, "report_released", "releasing"),
    ),
    _element(
        "external, any",
        "abandonment",
        "CANCELLED",
        steps=(*_of(_SE, "cancel", *_BOUGHT), *_of(_SE, "ended", "cancelling")),
        acts=_on(_SE, "record_cancellation", "cancelling", "stranded"),
    ),
)

SERVICE: Final = (
    _service(
        "IN_DELIVERY",
        "activation recorded",
        "IN_OPERATION",
        steps=_of("service", "activate", "in_delivery"),
        made=(("inventory_service", "in_operation"),),
        acts=_on("order", "activate_order", "accepted", "extension_requested"),
    ),
    _service("IN_OPERATION", "fault J, K", "OUT_OF_OPERATION", later=FAULTS),
    _service("OUT_OF_OPERATION", "repair, close", "IN_OPERATION", later=FAULTS),
    _service(
        "IN_OPERATION",
        "a termination change, or cancelled",
        "TERMINATED",
        steps=(*_of("service", "terminate", "in_operation"), *_of("inventory_service", "terminate", "in_operation")),
        acts=_on("order", "cancel_order", "placed", *_OPEN_ORDER, "activated"),
        codes=("SERVICE_TERMINATED",),
    ),
    _service("IN_OPERATION", "scenario A, B, C", "TERMINATED", later=FAULTS),
    _service("IN_OPERATION", "fault while operating", "DEGRADED", later=FAULTS),
    _service("IN_OPERATION", "scenario D, F", "DOWNTIME_AGREED", later=FAULTS),
    _service(
        "CHANGE_PENDING",
        "buyer and sellers agree on the outage of a change (C-09)",
        "DOWNTIME_AGREED",
        steps=_of("service_change", "agree_maintenance", "agreeing"),
        acts=_on("service_change", "agree_maintenance", "agreeing"),
    ),
    _service(
        "IN_OPERATION",
        "a change is ordered",
        "CHANGE_PENDING",
        made=(("service_change", "ordered"),),
        steps=_of("service_change", "accept", "ordered"),
        codes=("CHANGE_PENDING", "SERVICE_TERMINATED"),
    ),
    _service(
        "CHANGE_PENDING",
        "the change is started",
        "CHANGING",
        steps=_of("service_change", "start", "accepted", "agreed"),
        acts=_on("service_change", "start_change", "accepted", "agreed"),
    ),
    _service(
        "CHANGING",
        "the change is ended",
        "IN_OPERATION, as before or changed",
        steps=(*_of("service_change", "end", "implementing"), *_of("service_change", "fail", "implementing")),
        acts=_on("service_change", "end_change", "implementing"),
    ),
)

ROWS: Final = (*INQUIRY, *QUOTE, *ORDER, *ELEMENT, *SERVICE)


def marks_of(kind: str, before: Any, record: Any) -> Mapping[str, int]:
    """What a document says that has no step of its own: a quote preferred or not chosen, a decision, SOF's NO."""
    if kind == "ranking":
        return {"preferred": int(bool(record.preferred_quote_id))}
    if kind == "assessment" and record.choices:
        chosen = {choice.received_quote_id for choice in record.choices}
        return {"unused": len([one for one in record.received_quote_ids if one not in chosen])}
    if kind == "decomposition":
        return {"reuse_quote": int(bool(record.repurposed_from))}
    if kind == "sof_query":
        return {"not_deliverable": int(record.status == "no" and (before is None or before.status != "no"))}
    if kind == _SE and record.decision and (before is None or not before.decision):
        return {record.decision.value: 1}
    return {}
