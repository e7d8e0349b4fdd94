"""The reference adapter: a resource inventory read from a file, with its bookings in the agent's folder.

It never books a unit twice, gives back by itself what was reserved and not activated in time, and answers a repeated call as
it did. A change of what is in operation holds only what it needs beyond it, until that is released. Req: D-07, D-12, D-13, D-38, O-17, Q-25.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

from node.agents.provisioning import (
    Activated,
    Declined,
    ElementSpec,
    Failed,
    Measured,
    Offer,
    Operation,
    Pending,
    Released,
    Reserved,
)
from node.agents.provisioning.bookings import Booking, BookingStatus, BookingStore, Books, Call
from node.agents.provisioning.inventory import ANY, Fault, Inventory, Pool
from smartcontracts.canonical_json import Json, dump, load
from smartcontracts.trade import Action

CHAIN_MAX: Final = 1_000
_ID_BYTES: Final = 20
_DONE: Final = b"done"

T = TypeVar("T")


class Run(Protocol):
    """How blocking work is run: at once, or in a thread (`asyncio.to_thread`) so that an event loop goes on."""

    async def __call__(self, act: Callable[[], T], /) -> T: ...


async def at_once(act: Callable[[], T], /) -> T:
    """Run it here and now: for the simulation, which has no event loop."""
    return act()


@dataclass(frozen=True, slots=True)
class _Room:
    """Where an element fits: `held` is what it takes from the pool now, `units` what it takes in operation."""

    pool: Pool
    units: int
    held: int


class ReferenceProvisioning:
    """`node.agents.provisioning.Provisioning` on an inventory file."""

    def __init__(
        self, inventory: Inventory, store: BookingStore, now_ms: Callable[[], int], *, run: Run = at_once
    ) -> None:
        """`now_ms` is the clock by which reservations end."""
        self._inventory = inventory
        self._store = store
        self._now_ms = now_ms
        self._run = run

    async def query(self, call_id: str, element: ElementSpec) -> Offer | Declined | Pending:
        return await self._run(lambda: self._query(call_id, element))

    async def reserve(self, call_id: str, element: ElementSpec, until_ms: int) -> Reserved | Declined | Pending:
        return await self._run(lambda: self._reserve(call_id, element, until_ms))

    async def activate(self, call_id: str, reservation_id: str, element: ElementSpec) -> Activated | Failed | Pending:
        return await self._run(lambda: self._activate(call_id, reservation_id, element.offering))

    async def release(self, call_id: str, reservation_id: str) -> Released | Pending:
        return await self._run(lambda: self._release(call_id, reservation_id))

    async def measure(self, call_id: str, chain: tuple[str, ...], order: str) -> Measured | Pending:
        return await self._run(lambda: self._measure(call_id, chain, order))

    def close(self) -> None:
        """The bookings' file is closed."""
        self._store.close()

    def free_units(self, pool_id: str) -> int:
        """How many units of a pool are free now; 0 for an unknown one."""
        pool = self._inventory.pool(pool_id)
        with self._store.transaction() as books:
            return 0 if pool is None else pool.capacity - books.held(pool_id, self._now_ms())

    def live_bookings(self) -> tuple[Booking, ...]:
        """What holds units now, by id: for whoever compares it with the ledger."""
        with self._store.transaction() as books:
            return books.live(self._now_ms())

    def _query(self, call_id: str, element: ElementSpec) -> Offer | Declined | Pending:
        now_ms = self._now_ms()
        with self._store.transaction() as books:
            room = self._room(books, element, now_ms)
            if isinstance(room, Declined):
                return room
            fault = self._fault(books, call_id, Operation.QUERY, room.pool.id, element.offering)
            if (late := _late(books, call_id, fault, now_ms)) is not None:
                return late
            return Declined(fault.cause) if fault is not None and fault.cause else room.pool.offer(element)

    def _reserve(self, call_id: str, element: ElementSpec, until_ms: int) -> Reserved | Declined | Pending:
        now_ms = self._now_ms()
        with self._store.transaction() as books:
            key, sha256 = _reservation_id(call_id), _digest(element)
            kept = books.booking(key)
            if kept is not None and kept.sha256 != sha256:
                return Declined("CALL_ID_REUSED")
            if kept is not None and kept.status == BookingStatus.RELEASED:
                return Declined("RELEASED")
            if kept is not None and kept.is_live(now_ms):
                extended = replace(kept, until_ms=max(kept.until_ms, until_ms))
                books.put_booking(extended)
                return Reserved(reservation_id=key, until_ms=extended.until_ms)
            if until_ms < now_ms:
                return Declined("WINDOW_ENDED")
            room = self._room(books, element, now_ms)
            if isinstance(room, Declined):
                return room
            fault = self._fault(books, call_id, Operation.RESERVE, room.pool.id, element.offering)
            if (late := _late(books, call_id, fault, now_ms)) is not None:
                return late
            if fault is not None and fault.cause:
                return Declined(fault.cause)
            books.put_booking(
                Booking(
                    id=key,
                    sha256=sha256,
                    pool=room.pool.id,
                    units=room.units,
                    held=room.held,
                    status=BookingStatus.RESERVED,
                    until_ms=until_ms,
                    changes=element.changes,
                )
            )
            return Reserved(reservation_id=key, until_ms=until_ms)

    def _activate(self, call_id: str, reservation_id: str, offering: str) -> Activated | Failed | Pending:
        now_ms = self._now_ms()
        with self._store.transaction() as books:
            call, booking = books.call(call_id), books.booking(reservation_id)
            if call is not None and call.answer:
                return Activated() if call.answer == _DONE else Failed(call.answer.decode())
            if booking is None:
                return Failed("RESERVATION_UNKNOWN")
            if booking.status == BookingStatus.RELEASED:
                return Failed("RELEASED")
            if booking.status == BookingStatus.ACTIVE:
                return Activated()
            pool = self._inventory.pool(booking.pool)
            if pool is None:
                return Failed("POOL_GONE")
            if not booking.is_live(now_ms) and books.held(pool.id, now_ms) + booking.held > pool.capacity:
                return Failed("RESERVATION_EXPIRED")
            fault = self._fault(books, call_id, Operation.ACTIVATE, pool.id, offering)
            first_ms = now_ms if call is None else call.first_ms
            ready_ms = first_ms + pool.table.activation_ms + (0 if fault is None else fault.delay_ms)
            begun = Call(id=call_id, fault="" if fault is None else fault.name, first_ms=first_ms)
            if now_ms < ready_ms:
                books.put_call(begun)
                books.put_booking(replace(booking, status=BookingStatus.ACTIVATING))
                return Pending(ready_ms)
            cause = (
                fault.cause if fault is not None and fault.cause else _put_into_operation(books, booking, pool, now_ms)
            )
            books.put_call(replace(begun, answer=cause.encode() or _DONE))
            if cause:
                books.put_booking(replace(booking, status=BookingStatus.RESERVED))
                return Failed(cause)
            return Activated()

    def _release(self, call_id: str, reservation_id: str) -> Released | Pending:
        with self._store.transaction() as books:
            booking = books.booking(reservation_id)
            if booking is None or booking.status == BookingStatus.RELEASED:
                return Released()
            fault = self._fault(books, call_id, Operation.RELEASE, ANY, ANY)
            if (late := _late(books, call_id, fault, self._now_ms())) is not None:
                return late
            books.put_booking(replace(booking, status=BookingStatus.RELEASED))
            _hand_on(books, booking)
            return Released()

    def _measure(self, call_id: str, chain: tuple[str, ...], order: str) -> Measured | Pending:
        now_ms = self._now_ms()
        with self._store.transaction() as books:
            call = books.call(call_id)
            if call is not None and call.answer:
                values = load(call.answer, "values")
                return Measured(passed=isinstance(values, dict) and values.get("passed") is True, values=call.answer)
            fault = self._fault(books, call_id, Operation.MEASURE, ANY, ANY)
            if (late := _late(books, call_id, fault, now_ms)) is not None:
                return late
            cause = "" if fault is None else fault.cause
            links: list[Json] = [{"id": link, "state": _state(books, link)} for link in chain[:CHAIN_MAX]]
            passed = not cause and bool(links) and all(_works(books, link) for link in chain)
            answer = dump({"chain": links, "order": order, "passed": passed, **({"cause": cause} if cause else {})})
            books.put_call(
                Call(
                    id=call_id,
                    fault="" if fault is None else fault.name,
                    first_ms=now_ms if call is None else call.first_ms,
                    answer=answer,
                )
            )
            return Measured(passed=passed, values=answer)

    def _room(self, books: Books, element: ElementSpec, now_ms: int) -> _Room | Declined:
        """The first pool that has the element's kind, place and room; else why there is none."""
        changed = None
        if element.action != Action.ADD:
            changed = books.booking(element.changes)
            if changed is None or not changed.is_live(now_ms):
                return Declined("RESERVATION_UNKNOWN")
            pool = self._inventory.pool(changed.pool)
            if element.action == Action.DELETE:
                return Declined("POOL_GONE") if pool is None else _Room(pool, 0, 0)
        product = load(element.product, "product")
        offering = [pool for pool in self._inventory.pools if pool.offers(element, product)]
        near = [pool for pool in offering if pool.reaches(product)]
        for pool in near:
            units = pool.units_for(product)
            there = changed.units if changed is not None and changed.pool == pool.id else 0
            held = max(0, units - there)
            if books.held(pool.id, now_ms) + held <= pool.capacity:
                return _Room(pool, units, held)
        return Declined("NO_CAPACITY" if near else "NOT_THERE" if offering else "NOT_OFFERED")

    def _fault(self, books: Books, call_id: str, operation: Operation, pool: str, offering: str) -> Fault | None:
        """The fault that meets this call: the one that met it before, else the first with a turn left, which it uses."""
        call = books.call(call_id)
        if call is not None:
            return next((fault for fault in self._inventory.faults if fault.name == call.fault), None)
        for fault in self._inventory.faults:
            if (
                fault.operation == operation.value
                and fault.pool in (ANY, pool)
                and fault.offering in (ANY, offering)
                and books.fault_used(fault.name) < fault.times
            ):
                books.use_fault(fault.name)
                books.put_call(Call(id=call_id, fault=fault.name, first_ms=self._now_ms()))
                return fault
        return None


def _late(books: Books, call_id: str, fault: Fault | None, now_ms: int) -> Pending | None:
    call = books.call(call_id)
    if fault is None or call is None or now_ms >= call.first_ms + fault.delay_ms:
        return None
    return Pending(call.first_ms + fault.delay_ms)


def _put_into_operation(books: Books, booking: Booking, pool: Pool, now_ms: int) -> str:
    """Make it active; what it changes stays until it is released. Else why not."""
    changed = books.booking(booking.changes) if booking.changes else None
    is_there = changed is not None and changed.pool == pool.id and changed.is_live(now_ms)
    needed = booking.held if is_there else booking.units
    more = needed - (booking.held if booking.is_live(now_ms) else 0)
    if more > 0 and books.held(pool.id, now_ms) + more > pool.capacity:
        return "NO_CAPACITY"
    books.put_booking(replace(booking, status=BookingStatus.ACTIVE, held=needed))
    return ""


def _hand_on(books: Books, released: Booking) -> None:
    """What is active in the place of a booking that ends holds from now on all that it needs."""
    for heir in books.active_changes_of(released.id):
        books.put_booking(replace(heir, held=heir.units))


def _state(books: Books, link: str) -> str:
    booking = books.booking(link)
    return "bought" if booking is None else booking.status.value


def _works(books: Books, link: str) -> bool:
    """What is not of this inventory is bought: its seller has reported it."""
    return _state(books, link) in ("bought", BookingStatus.ACTIVE)


def _reservation_id(call_id: str) -> str:
    digest = hashlib.sha256(b"syngraph/reservation/1\0" + call_id.encode()).digest()[:_ID_BYTES]
    return "res_" + base64.b32encode(digest).decode().lower()


def _digest(element: ElementSpec) -> bytes:
    """Of what a reservation is for: the same call id for something else is a mistake."""
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in _parts(element))).digest()


def _parts(element: ElementSpec) -> Iterable[bytes]:
    yield element.element_id.encode()
    yield element.action.value.encode()
    yield element.offering.encode()
    yield element.changes.encode()
    yield element.product
