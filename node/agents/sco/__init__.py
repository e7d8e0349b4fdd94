"""SCO's duties. Each module of this package exports its own `DUTIES`."""

from __future__ import annotations

from typing import Final

from node.agents.duties import Duty
from node.agents.sco import delivery, inquiry, recovery

DUTIES: Final[tuple[Duty, ...]] = (*inquiry.DUTIES, *delivery.DUTIES, *recovery.DUTIES)
