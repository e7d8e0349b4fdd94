"""Which peers the engine may connect to: answers to `/p2p/filter/...` from the membership.

The engine asks at connect only, for inbound and outbound alike. DESIGN section 11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from smartcontracts.membership import ORGANIZATION, ORGANIZATIONS_MAX, OrganizationStatus

if TYPE_CHECKING:
    from abci_app.state.committed import Committed

FILTER_PATH: Final = "/p2p/filter/"
_ADDRESS_PATH: Final = FILTER_PATH + "addr/"
_ID_PATH: Final = FILTER_PATH + "id/"
PEER_REFUSED: Final = 1059


class PeerFilter:
    """Node ids on the ledger, and, until this node has caught up, the peers of its configuration."""

    def __init__(self, configured: frozenset[str]) -> None:
        """`configured` are node ids in lower-case hexadecimal."""
        self._configured = configured
        self.caught_up = False

    def admits(self, path: str, committed: Committed | None) -> bool:
        """Whether the peer of this query path may connect. Addresses always agree: they prove nothing."""
        if path.startswith(_ADDRESS_PATH):
            return True
        if not path.startswith(_ID_PATH):
            return False
        node_id = path.removeprefix(_ID_PATH).lower()
        if committed is not None and self._is_registered(node_id, committed):
            return True
        return not self.caught_up and node_id in self._configured

    @staticmethod
    def _is_registered(node_id: str, committed: Committed) -> bool:
        found = committed.view.find(ORGANIZATION, "keys", f"node/{node_id}", ORGANIZATIONS_MAX)
        return any(o.status == OrganizationStatus.ACTIVE for o in found)
