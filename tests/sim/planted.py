"""Bugs to plant: each patches a contract, a duty, the runtime or an invariant, and the simulation must find it.

A bug is a context manager by its name: `with BUGS["quotes_never_expire"](): ...`. `scripts/simulate --plant NAME` uses them too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import count
from typing import Any

from ledgers.kinds import BILATERAL, contract_table
from node.agents import carrier
from node.agents.provisioning import Released
from node.agents.provisioning.reference import ReferenceProvisioning
from node.agents.roster import DUTIES
from scripts.simulation import agents, invariants
from scripts.simulation.invariants.base import Invariant, broken
from smartcontracts import order
from smartcontracts.inquiry import Inquiry
from smartcontracts.internal import orders
from smartcontracts.kernel import Outcome, Role, no_deadlines
from smartcontracts.quote import QUOTE, Quote


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute replaced, on frozen records too."""
    before = getattr(owner, name)
    object.__setattr__(owner, name, value) if not isinstance(owner, type) else setattr(owner, name, value)
    try:
        yield
    finally:
        object.__setattr__(owner, name, before) if not isinstance(owner, type) else setattr(owner, name, before)


def message(name: str, kind: str = BILATERAL) -> Any:
    return contract_table(kind, 1).messages[name]


@contextmanager
def changed_writes(name: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """A contract's transition whose records are changed before they are written."""
    found = message(name)
    honest = found.handler

    def handler(command: Any, call: Any) -> Outcome:
        outcome = honest(command, call)
        writes = tuple(change(record) for record in outcome.writes)
        by_id = {id(before): after for before, after in zip(outcome.writes, writes, strict=True)}
        events = tuple(replace(event, document=by_id[id(event.document)]) for event in outcome.events)
        return Outcome(writes=writes, events=events)

    with patched(found, "handler", handler):
        yield


@contextmanager
def quotes_never_expire() -> Iterator[None]:
    """Contract: a quote's validity has no deadline, and orders are not asked about it."""
    with patched(QUOTE, "deadlines", no_deadlines), patched(order, "require_valid", lambda quote, time_ms: None):
        yield


@contextmanager
def an_order_changes_its_quote() -> Iterator[None]:
    """Contract: ordering a quote gives it a day more."""

    def longer(record: Any) -> Any:
        return replace(record, valid_until_ms=record.valid_until_ms + 1) if isinstance(record, Quote) else record

    with changed_writes("place_order", longer):
        yield


@contextmanager
def replicas_differ() -> Iterator[None]:
    """Contract: what is written depends on how often this process did it."""
    numbers = count()

    def counted(record: Any) -> Any:
        return replace(record, project=f"project {next(numbers)}") if isinstance(record, Inquiry) else record

    with changed_writes("submit_inquiry", counted):
        yield


@contextmanager
def a_pair_learns_of_another() -> Iterator[None]:
    """Contract of the internal ledger: the inquiry that goes out says for which inquiry it is."""
    honest = carrier.released_command

    def telling(release: Any, apart: Any = None) -> Any:
        command = honest(release, apart)
        return replace(command, project=release.subject_id) if release.act == "submit_inquiry" else command

    with patched(carrier, "released_command", telling):
        yield


@contextmanager
def a_repeat_has_another_cause() -> Iterator[None]:
    """Duty: the carrier names a new cause each time, so a repeat after a kill is no repeat."""
    honest, tries = carrier.caused, Counter[str]()

    def forgetful(port: Any, document_id: str, purpose: str) -> Any:
        tries[document_id] += 1
        return honest(port, document_id, f"{purpose}/{tries[document_id]}")

    with patched(carrier, "caused", forgetful):
        yield


@contextmanager
def a_rejection_is_overlooked() -> Iterator[None]:
    """Contract of the internal ledger: an order is accepted though a seller rejected a part of it."""
    honest = orders._while_ordering

    def deaf(handover: Any, elements: Any, answered: Any, now_ms: int) -> Outcome:
        heard = tuple(element for element in elements if element.status != "rejected")
        return honest(handover, heard, answered, now_ms)

    with patched(orders, "_while_ordering", deaf):
        yield


@contextmanager
def nothing_is_given_back() -> Iterator[None]:
    """Runtime: the provisioning system says that it released what it keeps."""

    async def release(self: Any, call_id: str, reservation_id: str) -> Released:
        return Released()

    with patched(ReferenceProvisioning, "release", release):
        yield


@contextmanager
def answers_wait_for_a_round() -> Iterator[None]:
    """Duty: nobody writes down that a quote is out; a round does it, where there are any."""
    deaf = tuple(duty for duty in DUTIES[Role.S_BUS] if duty.name != "settle_answer")
    with patched(agents, "DUTIES", {**DUTIES, Role.S_BUS: deaf}):
        yield


class NobodyIsUnable(Invariant):
    """A wrong one: sellers may say that they are unable."""

    def block(self, chain: Any, decided: Any) -> None:
        for written in decided.written:
            if written.after.kind.name == "inquiry" and written.after.record.status in ("unable", "deemed_unable"):
                broken("nobody_is_unable", chain, written.after.key)


@contextmanager
def wrong_invariant() -> Iterator[None]:
    """Invariant: one that does not hold is found to be broken, so the others are looked at too."""
    with patched(invariants, "CLASSES", (*invariants.CLASSES, NobodyIsUnable)):
        yield


Bug = Callable[[], AbstractContextManager[None]]
# Each with the invariants that may find it.
FOUND_BY: dict[str, tuple[str, ...]] = {
    "quotes_never_expire": ("windows_close", "orders_of_valid_quotes"),
    "an_order_changes_its_quote": ("nothing_agreed_changes",),
    "replicas_differ": ("same_state",),
    "a_pair_learns_of_another": ("pairs_are_apart",),
    "a_repeat_has_another_cause": ("nothing_twice",),
    "a_rejection_is_overlooked": ("accepted_has_all",),
    "nothing_is_given_back": ("capacity",),
    "answers_wait_for_a_round": ("left_alone", "processes_end"),
    "wrong_invariant": ("nobody_is_unable",),
}
BUGS: dict[str, Bug] = {name: globals()[name] for name in FOUND_BY}
