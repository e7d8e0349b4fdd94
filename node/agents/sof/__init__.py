"""SOF's duties. Each module of this package exports its own `DUTIES`."""

from __future__ import annotations

from typing import Final

from node.agents.duties import Duty
from node.agents.sof import delivery, inquiry, order, recovery

DUTIES: Final[tuple[Duty, ...]] = (*inquiry.DUTIES, *order.DUTIES, *delivery.DUTIES, *recovery.DUTIES)
