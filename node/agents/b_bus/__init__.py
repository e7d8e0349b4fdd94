"""B-BUS's duties. Each module of this package exports its own `DUTIES`."""

from __future__ import annotations

from typing import Final

from node.agents.b_bus import change, inquiry, order, recovery, stranded
from node.agents.carrier import B_BUS_CARRIER
from node.agents.duties import Duty

DUTIES: Final[tuple[Duty, ...]] = (
    B_BUS_CARRIER,
    *inquiry.DUTIES,
    *order.DUTIES,
    *recovery.DUTIES,
    *change.DUTIES,
    *stranded.DUTIES,
)
