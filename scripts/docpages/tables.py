"""Pages that are tables: parameters, roles, filters, ids, currencies."""

from __future__ import annotations

from typing import Any

from ledgers.kinds import LEDGER_KINDS, POSITIONS, VERSIONS, contract_table
from scripts.docpages.layout import first_sentence, heading, table, text
from scripts.docpages.lifecycles import all_kinds
from smartcontracts.currencies import MINOR_DIGITS
from smartcontracts.ids import ID_HASH_BYTES
from smartcontracts.kernel import ActType, MessageType, Role
from smartcontracts.parameters import PARAMETERS, WINDOW_MIN_CLOCKS, Parameters


def parameters_page() -> str:
    """docs/parameters.md."""
    defaults = Parameters()
    lines = heading(
        "Parameters",
        "What the members of a ledger set together: given in its genesis, kept in `sys/rules`, changed by the joint act `set_parameters`. A block runs"
        " under the parameters that stood when it began.",
    )
    rows = (
        (f"`{s.name}`", s.unit, f"{getattr(defaults, s.name):,}", _bounds(s.least, s.most, s.also), s.about)
        for s in PARAMETERS
    )
    lines += table(("parameter", "unit", "default", "bounds", "meaning"), rows)
    lines += [
        f"`window_min_ms` is at least {WINDOW_MIN_CLOCKS} times `clock_ahead_ms`, so that no proposer's clock decides who is late."
    ]
    return text(lines)


def _bounds(least: int, most: int, also: tuple[int, ...]) -> str:
    return f"{least:,} to {most:,}" + "".join(f", or {value}" for value in also)


def roles_page() -> str:
    """docs/roles.md."""
    lines = heading(
        "Roles",
        "A member's key signs for what its roles allow, and for what its organization's position on the ledger allows. Which party is buyer or seller follows"
        " from the document, not from the party (L-13). The contract refuses with `POSITION_WRONG` or `ROLE_MISSING` before anything else.",
    )
    lines += ["Roles: " + ", ".join(f"`{role}`" for role in Role) + ".", ""]
    lines += table(("ledger", "positions"), ((kind, ", ".join(POSITIONS[kind])) for kind in LEDGER_KINDS))
    for title, lead, offered in (
        ("Messages", "One signature.", _offered("messages")),
        (
            "Joint acts",
            "Proposed by one organization, accepted by all others that it needs; each of them by a member with one of the roles.",
            _offered("acts"),
        ),
    ):
        lines += [f"## {title}", "", lead, ""]
        lines += table(
            ("name", "roles", "positions", "ledgers", "what it does"),
            (_offer_row(o, ledgers) for o, ledgers in offered),
        )
    return text(lines)


def _offered(what: str) -> list[tuple[Any, list[str]]]:
    found: dict[str, tuple[Any, list[str]]] = {}
    for kind in LEDGER_KINDS:
        for name, offer in getattr(contract_table(kind, VERSIONS[-1]), what).items():
            found.setdefault(name, (offer, []))[1].append(kind)
    return list(found.values())


def _offer_row(offer: MessageType | ActType, ledgers: list[str]) -> tuple[str, ...]:
    roles = "as the act" if set(offer.roles) == set(Role) else ", ".join(offer.roles)
    positions = [p for p in offer.positions if any(p in POSITIONS[kind] for kind in ledgers)]
    return (f"`{offer.name}`", roles, ", ".join(positions), ", ".join(ledgers), first_sentence(offer.command.__doc__))


def filters_page() -> str:
    """docs/filters.md."""
    lines = heading(
        "Filters",
        "What `List` can filter each kind of document by, besides `kind` and the time of creation. Filters combine; one that a kind does not offer is refused, never"
        " answered by reading everything.",
    )
    rows = (
        (f"`{kind.name}`", ", ".join(f"`{name}`" for name in kind.filters) or "none", ", ".join(ledgers))
        for kind, ledgers in all_kinds()
    )
    lines += table(("kind", "filters", "ledgers"), rows)
    return text(lines)


def ids_page() -> str:
    """docs/ids.md."""
    lines = heading(
        "Ids",
        f"A document's id is its kind's prefix, `_`, and the base32 (lower case) of the first {ID_HASH_BYTES} bytes of a SHA-256: nobody chooses one, and none says anything."
        " Its key in the ledger's tree is `kind/id`. Kinds and prefixes are stored: they are never renamed.",
    )
    lines += table(
        ("id of", "prefix", "hash of"),
        (
            ("a ledger", "`sg_`", "its genesis"),
            ("an organization", "`org_`", "its first CA's public key (SubjectPublicKeyInfo): the same on every ledger"),
            ("a member", "`mbr_`", "organization and first key"),
            ("a document", "its kind's", "ledger, transaction, index of the message, number within the message"),
            (
                "a document that an agent creates",
                "its kind's",
                "ledger, organization, and the cause: ledger, event and purpose",
            ),
            ("an event", "none", "no hash: `height/index`"),
            ("a transaction", "none", "SHA-256 over ledger and body, in full"),
        ),
    )
    rows = (
        (f"`{kind.name}`", f"`{kind.prefix}_`", str(kind.schema), ", ".join(ledgers))
        for kind, ledgers in all_kinds()
        if kind.name != "sys"
    )
    lines += ["## Kinds", "", *table(("kind", "prefix", "schema", "ledgers"), rows)]
    lines += [
        "System documents have names of their own: `sys/clock`, `sys/rules`, `sys/replay/<minute>`, `sys/quarantine/<kind>/<id>`."
    ]
    return text(lines)


def currencies_page() -> str:
    """docs/currencies.md."""
    lines = heading(
        "Currencies",
        "The ISO 4217 codes that contracts know, with the digits of the minor unit. Amounts are whole minor units, rates billionths of the major unit, so that 0.05 cent"
        " is exact (B-03). Funds codes, metals and units of account are left out. The list is part of the contracts' version.",
    )
    for digits in sorted(set(MINOR_DIGITS.values())):
        codes = sorted(code for code, known in MINOR_DIGITS.items() if known == digits)
        lines += [f"## {digits} digits", "", ", ".join(codes) + ".", ""]
    return text(lines)
