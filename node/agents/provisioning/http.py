"""The HTTP adapter: a provisioning system that speaks TM Forum's TMF645, TMF641 and TMF653, over TLS.

Each call looks for what it may have made before, by its external id, and makes it only if it isn't there; so a repeat is
harmless also where the system does not compare ids itself. It never waits: what is not there yet is `Pending`, with a back-off
that grows and is shaken, so that many callers don't come at once. docs/provisioning.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import quote

from node.agents.provisioning import (
    Activated,
    Declined,
    ElementSpec,
    Failed,
    Measured,
    Offer,
    Pending,
    ProvisioningBroken,
    Released,
    Reserved,
    tmf,
)
from node.agents.provisioning.tmf import Object, Undone
from node.agents.provisioning.transport import Answer, Transport, Unreachable
from smartcontracts.canonical_json import Json, load
from smartcontracts.kernel import Rejected
from smartcontracts.trade import Action

CALLS_REMEMBERED_MAX: Final = 10_000
DOUBLINGS_MAX: Final = 20
# It may work later: taken already, too early, too many, or the server's own trouble.
_AGAIN: Final = (408, 409, 425, 429)
# What the system calls the test of a chain, where nothing else is said.
TEST_SPECIFICATION: Final = "service-chain"
# Begins the id of what is reserved to end a service: nothing.
_END: Final = "end:"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackOff:
    """The first pause, doubled with each attempt up to the longest."""

    first_ms: int = 1_000
    longest_ms: int = 60_000

    def pause_ms(self, attempts: int, jitter: Callable[[int], int]) -> int:
        """From half of the pause to all of it; `jitter(n)` gives a number from 0 to n."""
        full_ms = min(self.longest_ms, self.first_ms << min(attempts, DOUBLINGS_MAX))
        return full_ms - jitter(full_ms // 2)


class HttpProvisioning:
    """`node.agents.provisioning.Provisioning` through `transport`. `jitter(n)` gives a whole number from 0 to n."""

    def __init__(
        self,
        transport: Transport,
        now_ms: Callable[[], int],
        jitter: Callable[[int], int],
        back_off: BackOff = BackOff(),
        test_specification: str = TEST_SPECIFICATION,
    ) -> None:
        """Nothing is asked before the first call. What attempts are remembered for is politeness only."""
        self._transport = transport
        self._now_ms = now_ms
        self._jitter = jitter
        self._back_off = back_off
        self._test_specification = test_specification
        self._attempts: dict[str, int] = {}

    async def query(self, call_id: str, element: ElementSpec) -> Offer | Declined | Pending:
        async def ask() -> Offer | Declined | Undone:
            body = tmf.qualification(call_id, element, self._now_ms())
            return tmf.offer_of(await self._made(tmf.QUALIFICATIONS, "externalId", call_id, body), element)

        return await self._answer(call_id, ask)

    async def reserve(self, call_id: str, element: ElementSpec, until_ms: int) -> Reserved | Declined | Pending:
        if element.action == Action.DELETE:
            # To end what runs nothing has to be held, and it ends by its own release.
            return Reserved(reservation_id=_END + call_id, until_ms=until_ms)

        async def ask() -> Reserved | Declined | Undone:
            body = tmf.reservation(call_id, element, until_ms)
            held = tmf.reserved_of(await self._made(tmf.ORDERS, "externalId", call_id, body))
            if not isinstance(held, Reserved) or held.until_ms >= until_ms:
                return held
            longer = f"{call_id}.{until_ms}"
            body = tmf.extension(longer, held.reservation_id, until_ms)
            return tmf.reserved_of(await self._made(tmf.ORDERS, "externalId", longer, body))

        return await self._answer(call_id, ask)

    async def activate(self, call_id: str, reservation_id: str, element: ElementSpec) -> Activated | Failed | Pending:
        if reservation_id.startswith(_END):
            return Activated()

        async def ask() -> Activated | Failed | Undone:
            body = tmf.activation(call_id, reservation_id)
            return tmf.activated_of(await self._made(tmf.ORDERS, "externalId", call_id, body))

        return await self._answer(call_id, ask)

    async def release(self, call_id: str, reservation_id: str) -> Released | Pending:
        if reservation_id.startswith(_END):
            return Released()

        async def ask() -> Released | Undone:
            body = tmf.ending(call_id, reservation_id)
            return tmf.released_of(await self._made(tmf.ORDERS, "externalId", call_id, body))

        return await self._answer(call_id, ask)

    async def measure(self, call_id: str, chain: tuple[str, ...], order: str) -> Measured | Pending:
        async def ask() -> Measured | Undone:
            body = tmf.chain_test(call_id, chain, order, self._test_specification)
            return tmf.measured_of(await self._made(tmf.TESTS, "name", call_id, body))

        return await self._answer(call_id, ask)

    def close(self) -> None:
        """Nothing is held between calls: each has its own connection."""

    async def _answer(self, call_id: str, ask: Callable[[], Awaitable[T | Undone]]) -> T | Pending:
        after_ms = 0
        try:
            answer = await ask()
            if not isinstance(answer, Undone):
                self._attempts.pop(call_id, None)
                return answer
        except Unreachable as error:
            after_ms = error.after_ms
        attempts = self._attempts.pop(call_id, 0)
        if len(self._attempts) >= CALLS_REMEMBERED_MAX:
            self._attempts.pop(next(iter(self._attempts)))
        self._attempts[call_id] = attempts + 1
        return Pending(self._now_ms() + max(after_ms, self._back_off.pause_ms(attempts, self._jitter)))

    async def _made(self, collection: str, key: str, call_id: str, body: bytes) -> Object:
        """What the call made before, or makes now. Raises Unreachable, ProvisioningBroken."""
        found = await self._transport.exchange("GET", f"{collection}?{key}={quote(call_id, safe='')}")
        listed = [] if found.status == 404 else _value(found)
        if not isinstance(listed, list):
            raise ProvisioningBroken(f"{collection} does not answer with a list.")
        mine = [one for one in listed if isinstance(one, dict) and one.get(key) == call_id]
        if len(mine) > 1:
            raise ProvisioningBroken(f"{collection} has {call_id} {len(mine)} times.")
        if mine:
            return mine[0]
        made = _value(await self._transport.exchange("POST", collection, body))
        if not isinstance(made, dict) or made.get(key) != call_id:
            raise ProvisioningBroken(f"{collection} answers with something else than {call_id}.")
        return made


def _value(answer: Answer) -> Json:
    """The JSON of a good answer. Raises Unreachable, ProvisioningBroken."""
    if answer.status in _AGAIN or answer.status >= 500:
        raise Unreachable(f"status {answer.status}", answer.after_ms)
    if answer.status not in (200, 201, 202, 206):
        raise ProvisioningBroken(f"The system answers with status {answer.status}.")
    try:
        return load(answer.body, "body")
    except Rejected as error:
        raise ProvisioningBroken(f"The system's answer is no JSON that is read here: {error.sentence}") from error
