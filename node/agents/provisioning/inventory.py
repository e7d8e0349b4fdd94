"""Inventory: the file that says what a provider has, where, how soon and at what cost, and which faults a demonstration wants.

TOML, or JSON with the same keys (a name that ends in .json). Amounts are texts. docs/provisioning.md lists the keys.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node.agents.provisioning import Declined, ElementSpec, Offer, Outage, OutageMethod
from node.pricebook import Entry, PriceBookWrong, bandwidth_mbps, prices, read_entry, read_nano
from smartcontracts.agreement import PriceType
from smartcontracts.canonical_json import Json, Number, dump, load
from smartcontracts.kernel import Rejected
from smartcontracts.money import Rate, minor_digits
from smartcontracts.trade import TIME_MS_MAX, Action, Price

INVENTORY_BYTES_MAX: Final = 8 * 1024 * 1024
POOLS_MAX: Final = 10_000
CAPACITY_MAX: Final = 10**9
LISTED_MAX: Final = 1_000
ANY: Final = "*"
# Why an element is declined that would cost more than an amount can say: its bandwidth is beyond all sense.
COST_OUT_OF_RANGE: Final = "COST_OUT_OF_RANGE"

_WORD: Final = r"^[A-Z][A-Z0-9_]{0,63}$"


class InventoryWrong(Exception):
    """The inventory's file has a mistake; the text says where and what."""


class _Table(BaseModel):
    # Not strict where JSON and TOML have no type of their own (lists for tuples, texts for enumerations).
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ChangeTable(_Table):
    """What changing an element costs once, and what it does to the service meanwhile."""

    non_recurring: str = "0"
    lead_time_ms: int = Field(default=0, ge=0, le=TIME_MS_MAX)
    outage_ms: int = Field(default=0, ge=0, le=TIME_MS_MAX)
    method: OutageMethod = Field(default=OutageMethod.RECONFIGURE, strict=False)


class EndTable(_Table):
    """What ending an element costs once."""

    non_recurring: str = "0"
    lead_time_ms: int = Field(default=0, ge=0, le=TIME_MS_MAX)


class PoolTable(_Table):
    """Units of one kind of resource in one area."""

    id: str = Field(min_length=1, max_length=100)
    offerings: tuple[str, ...] = Field(default=(), max_length=LISTED_MAX, strict=False)
    types: tuple[str, ...] = Field(default=(), max_length=LISTED_MAX, strict=False)
    locations: tuple[str | dict[str, str], ...] = Field(default=(), max_length=LISTED_MAX, strict=False)
    capacity: int = Field(ge=0, le=CAPACITY_MAX)
    units: int = Field(default=1, ge=1, le=CAPACITY_MAX)
    mbps_per_unit: int = Field(default=0, ge=0, le=CAPACITY_MAX)
    lead_time_ms: int = Field(ge=0, le=TIME_MS_MAX)
    activation_ms: int = Field(default=0, ge=0, le=TIME_MS_MAX)
    cost: dict[str, Any]
    change: ChangeTable = ChangeTable()
    end: EndTable = EndTable()
    attributes: dict[str, Any] = Field(default_factory=dict)


class Fault(_Table):
    """What goes wrong, or takes its time, `times` times: for demonstrations and tests. Without a cause it is only late."""

    name: str = Field(min_length=1, max_length=100)
    operation: Literal["query", "reserve", "activate", "release", "measure"]
    offering: str = ANY
    pool: str = ANY
    times: int = Field(default=1, ge=1, le=CAPACITY_MAX)
    cause: str = Field(default="", pattern=rf"^$|{_WORD}")
    delay_ms: int = Field(default=0, ge=0, le=TIME_MS_MAX)


class _File(_Table):
    currency: str
    pool: tuple[PoolTable, ...] = Field(max_length=POOLS_MAX, strict=False)
    fault: tuple[Fault, ...] = Field(default=(), max_length=LISTED_MAX, strict=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool with its prices read."""

    table: PoolTable
    currency: str
    cost: Entry
    change_cost: Entry
    end_cost: Entry
    attributes: Mapping[str, Json] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.table.id

    @property
    def capacity(self) -> int:
        return self.table.capacity

    def offers(self, element: ElementSpec, product: Json) -> bool:
        """Whether the element is of a kind that the pool holds."""
        if ANY in self.table.offerings or element.offering in self.table.offerings:
            return True
        configuration = product.get("productConfiguration") if isinstance(product, dict) else None
        kind = configuration.get("@type") if isinstance(configuration, dict) else None
        return isinstance(kind, str) and kind in self.table.types

    def reaches(self, product: Json) -> bool:
        """Whether the pool covers every place of the product; one without locations covers all."""
        if not self.table.locations:
            return True
        places = product.get("place") if isinstance(product, dict) else None
        return (
            isinstance(places, list)
            and bool(places)
            and all(any(_is_at(place, location) for location in self.table.locations) for place in places)
        )

    def units_for(self, product: Json) -> int:
        """How many units the product takes: `units`, or as many as its bandwidth needs."""
        if not self.table.mbps_per_unit:
            return self.table.units
        return max(1, ceil(bandwidth_mbps(product) / self.table.mbps_per_unit))

    def offer(self, element: ElementSpec) -> Offer | Declined:
        """The answer YES for the element, unless it asks for so much that no amount is its cost. Req: Q-25, C-08."""
        try:
            return self._offer(element)
        except PriceBookWrong:
            return Declined(COST_OUT_OF_RANGE)

    def _offer(self, element: ElementSpec) -> Offer:
        attributes = dump({**self.attributes, "pool": self.id})
        running = self._prices(self.cost, element)
        if element.action == Action.ADD:
            return Offer(cost=running, lead_time_ms=self.table.lead_time_ms, attributes=attributes)
        if element.action == Action.DELETE:
            return Offer(
                cost=self._prices(self.end_cost, element),
                lead_time_ms=self.table.end.lead_time_ms,
                attributes=attributes,
                outage=Outage(outage_ms=0, method=OutageMethod.RECONFIGURE),
            )
        once = self._prices(self.change_cost, element)
        return Offer(
            cost=once + tuple(price for price in running if price.price_type != PriceType.NON_RECURRING),
            lead_time_ms=self.table.change.lead_time_ms,
            attributes=attributes,
            outage=Outage(outage_ms=self.table.change.outage_ms, method=self.table.change.method),
        )

    def _prices(self, entry: Entry, element: ElementSpec) -> tuple[Price, ...]:
        """At least one: what costs nothing costs 0, once, since an answer without a cost is none."""
        found = prices(entry, self.currency, load(element.product, "product") if element.product else None)
        return found or (Price(price_type=PriceType.NON_RECURRING, rate=Rate(0, self.currency), name="installation"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Pools in the file's order, which is the order of preference, and the faults."""

    pools: tuple[Pool, ...]
    faults: tuple[Fault, ...] = ()

    def pool(self, pool_id: str) -> Pool | None:
        return next((pool for pool in self.pools if pool.id == pool_id), None)


def read(path: Path) -> Inventory:
    """The inventory of a file. Raises InventoryWrong."""
    try:
        if path.stat().st_size > INVENTORY_BYTES_MAX:
            raise InventoryWrong(f"{path}: at most {INVENTORY_BYTES_MAX} bytes are allowed.")
        return parse(path.read_bytes(), is_json=path.suffix == ".json")
    except OSError as error:
        raise InventoryWrong(f"{path} can't be read: {error.strerror}.") from error


def parse(data: bytes, *, is_json: bool = False) -> Inventory:
    """The inventory of a file's bytes. Raises InventoryWrong."""
    try:
        text = data.decode("utf-8")
        tables = (
            json.loads(text, parse_float=_no_fraction) if is_json else tomllib.loads(text, parse_float=_no_fraction)
        )
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise InventoryWrong(f"The inventory is not {'JSON' if is_json else 'TOML'}: {error}.") from error
    try:
        file = _File.model_validate(tables)
    except ValidationError as error:
        raise InventoryWrong("\n".join(_sentence(one) for one in error.errors())) from error
    try:
        minor_digits(file.currency, "currency")
        pools = tuple(_pool(table, file.currency, f"pool[{place}]") for place, table in enumerate(file.pool))
    except Rejected as error:
        raise InventoryWrong(f"{error.field}: {error.sentence}") from error
    _require_once([pool.id for pool in pools], "pool", "id")
    _require_once([fault.name for fault in file.fault], "fault", "name")
    for place, fault in enumerate(file.fault):
        if not fault.cause and not fault.delay_ms:
            raise InventoryWrong(f"fault[{place}]: give a cause, a delay_ms, or both.")
        if fault.pool != ANY and all(fault.pool != pool.id for pool in pools):
            raise InventoryWrong(f"fault[{place}].pool: there is no pool {fault.pool!r}.")
        if fault.operation in ("release", "measure") and (fault.offering != ANY or fault.pool != ANY):
            raise InventoryWrong(f"fault[{place}]: {fault.operation} is asked for no offering and no pool.")
        if fault.operation == "release" and fault.cause:
            raise InventoryWrong(f"fault[{place}].cause: a release can be late, it can't fail.")
    return Inventory(pools=pools, faults=file.fault)


def _pool(table: PoolTable, currency: str, path: str) -> Pool:
    if not table.offerings and not table.types:
        raise InventoryWrong(f'{path}: give offerings (["*"] for all), types, or both.')
    return Pool(
        table=table,
        currency=currency,
        cost=read_entry(table.cost, f"{path}.cost") if table.cost else Entry(),
        change_cost=Entry(non_recurring_nano=read_nano(table.change.non_recurring, f"{path}.change.non_recurring")),
        end_cost=Entry(non_recurring_nano=read_nano(table.end.non_recurring, f"{path}.end.non_recurring")),
        attributes=_attributes(table.attributes, f"{path}.attributes"),
    )


def _attributes(table: dict[str, Any], path: str) -> dict[str, Json]:
    return {key: _json(value, f"{path}.{key}") for key, value in table.items()}


def _json(value: Any, path: str) -> Json:
    """A value of TOML as one of canonical JSON."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return Number(value)
    if isinstance(value, list):
        return [_json(one, f"{path}[{place}]") for place, one in enumerate(value)]
    if isinstance(value, dict):
        return _attributes(value, path)
    raise InventoryWrong(f"{path}: give texts, whole numbers, true or false, or lists and tables of them.")


def _is_at(place: Json, location: str | dict[str, str]) -> bool:
    """A location is a place's id, or members that the place must have with just these values."""
    if not isinstance(place, dict):
        return False
    if isinstance(location, str):
        return place.get("id") == location
    return bool(location) and all(place.get(key) == value for key, value in location.items())


def _no_fraction(text: str) -> NoReturn:
    raise InventoryWrong(f'{text}: write a number with decimals as a text, "{text}".')


def _sentence(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}."


def _require_once(names: list[str], table: str, key: str) -> None:
    seen: set[str] = set()
    for place, name in enumerate(names):
        if name in seen:
            raise InventoryWrong(f"{table}[{place}].{key}: {name!r} stands twice.")
        seen.add(name)
