"""A ledger holds nothing of another pair: no id of a document or of an organization that does not belong on it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from scripts.simulation.chain import BILATERAL
from scripts.simulation.invariants.base import Invariant, broken

if TYPE_CHECKING:
    from scripts.simulation.chain import Chain, Decided
    from scripts.simulation.world import World

ID: Final = re.compile(rb"(?<![a-z])[a-z]{2,4}_[a-z2-7]{32}")


class Isolation(Invariant):
    """Req: L-13; the issue's 1 and 8. Identifiers are the markers: nobody can make one up, and everything has one."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        # Which organizations may know an id: those of the ledger on which it came up first.
        self._known_to: dict[bytes, tuple[str, ...]] = {}
        for chain in world.chains.values():
            names = chain.names
            self._known_to[chain.id.encode()] = names
            for organization in chain.genesis.organizations:
                self._learn(organization.id.encode(), names)
            for member in chain.genesis.members:
                self._learn(member.id.encode(), names)

    def _learn(self, found: bytes, names: tuple[str, ...]) -> None:
        known = self._known_to.get(found, ())
        self._known_to[found] = tuple(dict.fromkeys((*known, *names)))

    def block(self, chain: Chain, decided: Decided) -> None:
        for written in decided.written:
            if written.before is None:
                self._learn(written.after.id.encode(), chain.names)
        for written in decided.written:
            for found in dict.fromkeys(ID.findall(written.after.stored)):
                if not self._may_stand(found, chain):
                    broken("pairs_are_apart", chain, f"{written.after.key} holds {found.decode()}, which belongs to others")

    def _may_stand(self, found: bytes, chain: Chain) -> bool:
        """On a pair's ledger what both know; on an internal one what its organization knows, or works out beforehand."""
        known = self._known_to.get(found)
        if chain.kind == BILATERAL:
            return known is not None and all(name in known for name in chain.names)
        return known is None or chain.names[0] in known
