"""Steps: handing in what a duty has to do, where somebody may have done it meanwhile, and there may be more than a transaction takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from node.agents.ports import LedgerPort, Outward, refused_for
from smartcontracts.codec import encode
from smartcontracts.kernel import TooMuchHandled

# Of all acts of a transaction together; ledgers allow half a mebibyte unless they are told otherwise.
BYTES_MAX: Final = 300_000
_TOO_MUCH: Final = frozenset((TooMuchHandled.code,))


@dataclass(frozen=True, slots=True)
class UnlessOvertaken:
    """How the steps of one process are handed in.

    `overtaken` are the codes of refusals that say: this was done meanwhile, perhaps by ourselves before a crash, or its turn is over.
    What there is to do now shows when the document is looked at again, as it is after every refusal.
    """

    overtaken: frozenset[int]
    # Messages in one transaction; ledgers allow 100 unless they are told otherwise.
    acts_max: int

    async def __call__(
        self, port: LedgerPort, acts: Sequence[Outward], *, purpose: str, also: frozenset[int] = frozenset()
    ) -> bool:
        """Whether the acts took effect; false if there are none, or they were overtaken or refused for one of the codes `also`.

        More than a transaction takes goes into several, each of which stands for itself, the next after the last one took
        effect. That one makes too much of the ledger's documents shows only there: it goes in halves then. Raises Refused for
        all other reasons.
        """
        parts = deque(self._parts(acts))
        while parts:
            part = parts.popleft()
            codes = self.overtaken | also | (_TOO_MUCH if len(part) > 1 else frozenset())
            code = await refused_for(port, part, codes, purpose=purpose)
            if code in _TOO_MUCH:
                parts.extendleft((part[len(part) // 2 :], part[: len(part) // 2]))
            elif code:
                return False
        return bool(acts)

    def _parts(self, acts: Sequence[Outward]) -> Iterator[list[Outward]]:
        part: list[Outward] = []
        size = 0
        for act in acts:
            bytes_of_act = len(encode(act.command))
            if part and (len(part) >= self.acts_max or size + bytes_of_act > BYTES_MAX):
                yield part
                part, size = [], 0
            part.append(act)
            size += bytes_of_act
        if part:
            yield part
