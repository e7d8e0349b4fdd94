"""What the story tells: one line a step, tables where they help, and the report that holds all of it.

A step that does not hold raises StepFailed, which says what was expected and what to do next.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from smartcontracts.money import NANO, Money, Rate

_WIDTHS: Final = (7, 8, 16, 6, 15, 8)
_HEAD: Final = ("time", "who", "ledger", "height", "amount", "ms")


class StepFailed(Exception):
    """A step of the story did not hold."""

    def __init__(self, expected: str, found: str, advice: str = "") -> None:
        """`advice` is what to do next."""
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found
        self.advice = advice


@dataclass(slots=True)
class Line:
    """One step as told. `signer` is "organization/member", `transaction_id` and hashes hex."""

    act: str
    text: str
    who: str = ""
    ledger: str = ""
    height: int = 0
    amount: Money | None = None
    ms: int = 0
    signer: str = ""
    transaction_id: str = ""
    document: str = ""
    at_ms: int = 0


@dataclass(slots=True)
class Teller:
    """Prints steps as they happen, and keeps them. `quiet` keeps only."""

    quiet: bool = False
    act: str = ""
    step: str = ""
    lines: list[Line] = field(default_factory=list)
    sections: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    @property
    def elapsed_ms(self) -> int:
        """Since the story began."""
        return int((time.monotonic() - self._began) * 1000)

    @asynccontextmanager
    async def scene(self, title: str) -> AsyncIterator[None]:
        """One act: its heading, and how long it took."""
        self.act, began = title, time.monotonic()
        self.print(f"\n{title}")
        try:
            yield
        finally:
            self.seconds[title] = round(time.monotonic() - began, 3)

    def begin(self) -> None:
        """The heading of the columns."""
        self.print(_columns(_HEAD) + "step")

    def tell(self, text: str, **known: Any) -> None:
        """One step that held; `known` are fields of Line."""
        line = Line(act=self.act, text=text, at_ms=self.elapsed_ms, **known)
        self.lines.append(line)
        amount = "" if line.amount is None else money(line.amount)
        cells = (
            f"{line.at_ms / 1000:.1f} s",
            line.who,
            line.ledger,
            f"h {line.height}" if line.height else "",
            amount,
            f"{line.ms} ms" if line.ms else "",
        )
        self.print(_columns(cells) + text)

    def table(self, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table, indented; columns of figures are right-aligned."""
        texts = [list(head), *([str(cell) for cell in row] for row in rows)]
        columns = list(zip(*texts, strict=True))
        padded = [
            [cell.rjust(width) if figures else cell.ljust(width) for cell in column]
            for column in columns
            for width, figures in ((max(map(len, column)), all(not c or c[0] in "0123456789+-" for c in column[1:])),)
        ]
        for row in zip(*padded, strict=True):
            self.print("        " + "  ".join(row).rstrip())

    def note(self, section: str, entry: Any) -> None:
        """Add an entry to a list of the report."""
        self.sections.setdefault(section, []).append(entry)

    def print(self, text: str) -> None:
        """One line, at once."""
        if not self.quiet:
            print(text, flush=True)


def require(held: object, expected: str, found: object, advice: str = "") -> None:
    """Raise StepFailed unless `held`."""
    if not held:
        raise StepFailed(expected, str(found), advice)


money: Final = Money.text


def first_failure(group: BaseExceptionGroup[Any]) -> BaseException:
    """The first error that is no group itself."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def rate(value: Rate) -> str:
    """"0.0005": as many decimals as it has, two at least."""
    whole, rest = divmod(value.nano, NANO)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{whole:,}.{decimals}"


def plural(count: int, word: str) -> str:
    """"3 items"."""
    return f"{count} {word}" + ("" if count == 1 else "s")


def plain_money(amount: Money) -> dict[str, Any]:
    """For the report."""
    return {"currency": amount.currency, "minor": amount.minor}


def _columns(cells: Sequence[str]) -> str:
    left = (0, 1, 2)
    padded = (c.ljust(w) if i in left[1:] else c.rjust(w) for i, (c, w) in enumerate(zip(cells, _WIDTHS, strict=True)))
    return "  ".join(padded) + "  "
