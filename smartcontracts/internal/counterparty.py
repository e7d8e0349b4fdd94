"""Counterparty: what the other party of a bilateral ledger has done as a buyer, and when it was asked as a seller.

Kept by the contracts of inquiries, one small document a ledger, so that whom to ask is known by one read, however long the two
have traded. Req: Q-30, Q-31; docs/decisions/sourcing.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from smartcontracts.ids import derive_id
from smartcontracts.kernel import Call, Contract, Kind, Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterparty:
    """Document: the other party of one bilateral ledger."""

    id: str
    ledger_id: str
    organization: str
    # Whether it has ever asked us for something.
    buys: bool = False
    # Quotes, late ones too, and 'Unable to Quote' to what we asked; and requests in a row that it left without an answer.
    answers: int = 0
    silences: int = 0
    silent_at_ms: int = 0


def counterparty_id(internal_id: str, ledger_id: str) -> str:
    """The id of what is known of the other party of this bilateral ledger, whether or not there is anything yet.

    The other party has another one: nothing that an internal ledger names is to be found anywhere else.
    """
    return derive_id(COUNTERPARTY.prefix, internal_id, ledger_id)


def has_asked(call: Call, ledger_id: str, organization: str) -> tuple[Counterparty, ...]:
    """What is to write once it has asked us; nothing if it has before."""
    known = _known(call, ledger_id, organization)
    return () if known.buys else (replace(known, buys=True),)


def has_answered(call: Call, ledger_id: str, organization: str) -> tuple[Counterparty, ...]:
    """What is to write once it has answered, in time or not: nobody calls it silent any more."""
    known = _known(call, ledger_id, organization)
    return (replace(known, answers=known.answers + 1, silences=0),)


def was_silent(call: Call, ledger_id: str, organization: str, since_ms: int) -> tuple[Counterparty, ...]:
    """What is to write once it has left an inquiry without an answer. All that it was asked since `since_ms` counts once. Req: Q-31."""
    known = _known(call, ledger_id, organization)
    if known.silences and known.silent_at_ms >= since_ms:
        return ()
    return (replace(known, silences=known.silences + 1, silent_at_ms=call.block.time_ms),)


def _known(call: Call, ledger_id: str, organization: str) -> Counterparty:
    known_id = counterparty_id(call.ledger_id, ledger_id)
    found = call.view.get(COUNTERPARTY, known_id)
    return found or Counterparty(id=known_id, ledger_id=ledger_id, organization=organization)


COUNTERPARTY: Final = Kind(
    name="counterparty",
    prefix="cpy",
    record=Counterparty,
    terms=lambda one: Terms(party=(one.organization,)),
    filters=("party",),
)

CONTRACT: Final = Contract(name="counterparty", kinds=(COUNTERPARTY,))
