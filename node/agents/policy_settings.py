"""What the built-in policies can be told, in a TOML file of its own: recipes, sellers, limits. docs/agents.md."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node.configuration import fault_sentence

FILE_BYTES_MAX: Final = 1 << 20
ALL_MEMBERS: Final = "*"


class PolicyFileWrong(Exception):
    """The policies' file can't be used; each line names what is wrong where."""


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RecipePart(_Table):
    """One element that an item is made of.

    Its product has this offering, the item's configuration as far as `keep` says ("*" is all of it) with `set` over it, and
    those of the item's places that `places` counts from 0 (none given: all).
    """

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    offering: str = Field(min_length=1, max_length=256)
    keep: tuple[str, ...] = Field(default=(ALL_MEMBERS,), strict=False, max_length=100)
    set: dict[str, Any] = Field(default_factory=dict, max_length=100)
    places: tuple[int, ...] = Field(default=(), strict=False, max_length=100)
    after: tuple[str, ...] = Field(default=(), strict=False, max_length=100)


class Recipe(_Table):
    """One way to make an offering; without parts it is taken whole. Several are tried in the order of the file."""

    offering: str = Field(min_length=1, max_length=256)
    part: tuple[RecipePart, ...] = Field(default=(), strict=False, max_length=100)


class SellerRule(_Table):
    """Who is asked for an offering; an empty offering is every other one."""

    offering: str = Field(default="", max_length=256)
    organizations: tuple[str, ...] = Field(strict=False, max_length=1_000)


class DeliveryInfoRule(_Table):
    """Which members of a buyer's delivery information go on to the sellers of an offering: addresses, VLANs; ["*"] is all.

    An empty offering is every other one.
    """

    offering: str = Field(default="", max_length=256)
    keep: tuple[str, ...] = Field(strict=False, max_length=100)


class PolicySettings(_Table):
    """Everything; an empty file is all defaults."""

    recipe: tuple[Recipe, ...] = Field(default=(), strict=False, max_length=1_000)
    seller: tuple[SellerRule, ...] = Field(default=(), strict=False, max_length=1_000)
    delivery_info: tuple[DeliveryInfoRule, ...] = Field(default=(), strict=False, max_length=1_000)
    sellers_max: int = Field(default=100, ge=1, le=1_000)
    silences_max: int = Field(default=3, ge=1, le=1_000)
    silence_pause_ms: int = Field(default=86_400_000, ge=0)
    failures_max: int = Field(default=3, ge=1, le=100)
    extensions_max: int = Field(default=1, ge=0, le=100)
    extension_ms: int = Field(default=3_600_000, ge=1_000)
    grants_max: int = Field(default=1, ge=0, le=100)
    waive_penalty: bool = False
    maintenance_notice_ms: int = Field(default=60_000, ge=0)
    termination_window_ms: int = Field(default=86_400_000, ge=1_000)
    termination_pause_ms: int = Field(default=60_000, ge=1_000)
    termination_pause_max_ms: int = Field(default=86_400_000, ge=1_000)


def read_policy_settings(path: Path) -> PolicySettings:
    """Raises PolicyFileWrong with a sentence for each problem."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PolicyFileWrong(f"{path}: {error.strerror}.") from error
    if len(data) > FILE_BYTES_MAX:
        raise PolicyFileWrong(f"{path}: at most {FILE_BYTES_MAX} bytes are read.")
    try:
        settings = PolicySettings.model_validate(tomllib.loads(data.decode("utf-8"), parse_float=_no_fraction))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PolicyFileWrong(f"{path}: not TOML: {error}.") from error
    except ValidationError as error:
        raise PolicyFileWrong("\n".join(f"{path}: {fault_sentence(fault)}" for fault in error.errors())) from error
    if problems := _recipe_problems(settings):
        raise PolicyFileWrong("\n".join(f"{path}: {problem}" for problem in problems))
    return settings


def _recipe_problems(settings: PolicySettings) -> list[str]:
    problems = []
    for place, recipe in enumerate(settings.recipe):
        earlier: list[str] = []
        for number, part in enumerate(recipe.part):
            where = f"recipe[{place}].part[{number}]"
            if part.name in earlier:
                problems.append(f"{where}.name: another part is called {part.name}.")
            problems += [f"{where}.after: {name} is no earlier part." for name in part.after if name not in earlier]
            if not _is_plain(part.set):
                problems.append(f"{where}.set: give texts, whole numbers, truth values, lists and tables.")
            earlier.append(part.name)
    return problems


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(one) for one in value.values())
    if isinstance(value, list):
        return all(_is_plain(one) for one in value)
    return isinstance(value, str | int | bool)


def _no_fraction(text: str) -> NoReturn:
    raise tomllib.TOMLDecodeError(f"{text} is a fraction; write it as text or in a smaller unit")
