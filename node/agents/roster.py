"""Roster: which duties each role has."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from node.agents import b_bus, s_bus, sco, sof
from smartcontracts.kernel import Role

DUTIES: Final = MappingProxyType(
    {Role.S_BUS: s_bus.DUTIES, Role.B_BUS: b_bus.DUTIES, Role.SCO: sco.DUTIES, Role.SOF: sof.DUTIES}
)
