"""S-BUS's duties. Each module of this package exports its own `DUTIES`."""

from __future__ import annotations

from typing import Final

from node.agents.carrier import S_BUS_CARRIER
from node.agents.duties import Duty
from node.agents.s_bus import change, delivery, inquiry, order, recovery

DUTIES: Final[tuple[Duty, ...]] = (
    S_BUS_CARRIER,
    *inquiry.DUTIES,
    *order.DUTIES,
    *delivery.DUTIES,
    *recovery.DUTIES,
    *change.DUTIES,
)
