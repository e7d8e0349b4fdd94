"""`syngraph watch LEDGER --inquiry ID` and `--order ID`: the whole tree that the reader may see, live."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.tree import Tree

from ledgers.client import Ledger
from ledgers.client.tree import TradeTree, TreeNode
from node.cli.output import WIDTH_ELSEWHERE, Output, text_of
from node.cli.settings import Settings

_TICK_S: Final = 1.0
# Several events of one block ask for one reading.
_GATHER_S: Final = 0.05
_GOOD: Final = frozenset(
    ("quoted", "issued", "ordered", "accepted", "activated", "in_operation", "yes", "chained", "ranked", "done")
)
_BAD: Final = frozenset(
    (
        "unable",
        "deemed_unable",
        "rejected",
        "failed",
        "cancelled",
        "expired",
        "no",
        "activation_failed",
        "overdue",
        "stranded",
    )
)


def show(settings: Settings, ledger: str, kind: str, document_id: str, *, once: bool) -> None:
    """Show the tree of an inquiry or an order until Ctrl-C; `once` shows it as it stands and returns."""
    asyncio.run(_show(settings, ledger, kind, document_id, once=once))


class Reader:
    """Reads one tree, and knows from the last reading where something of it may happen."""

    def __init__(self, tree: TradeTree, kind: str, ledger_id: str, document_id: str) -> None:
        """`kind` is inquiry or order."""
        self._tree, self._ledger_id, self._document_id = tree, ledger_id, document_id
        self._read = tree.inquiry if kind == "inquiry" else tree.order
        self._last: TreeNode | None = None

    async def read(self) -> TreeNode:
        """As it stands. Raises Refused if it is not for this reader."""
        self._last = await self._read(self._ledger_id, self._document_id)
        return self._last

    def watched(self) -> tuple[Ledger, ...]:
        """The ledgers to follow."""
        return self._tree.ledgers_of(self._ledger_id, self._last)


async def _show(settings: Settings, name: str, kind: str, document_id: str, *, once: bool) -> None:
    async with settings.client() as client:
        root = await client.ledger(name)
        statuses = (await client.node_status()).ledgers
        tree = TradeTree([await client.ledger_of(status) for status in statuses])
        reader = Reader(tree, kind, root.id, document_id)
        if once:
            _print(settings.output, await reader.read())
        elif settings.as_json or not sys.stdout.isatty():
            await _follow_lines(settings.output, reader)
        else:
            await follow_live(reader)


def _print(output: Output, node: TreeNode) -> None:
    if output.as_json:
        output.line("", node)
    else:
        Console(width=None if sys.stdout.isatty() else WIDTH_ELSEWHERE, highlight=False).print(drawn(node, now_ms()))


async def _follow_lines(output: Output, reader: Reader) -> None:
    """The tree each time something in it changed."""
    last = None
    async for _ in changes(reader.watched):
        node = await reader.read()
        if node != last:
            _print(output, node)
            last = node


async def follow_live(reader: Reader) -> None:
    """The tree in its place on the screen; windows count down each second, documents are read when something happened."""
    node = await reader.read()
    with Live(drawn(node, now_ms()), auto_refresh=False, screen=False) as live:

        async def count_down() -> None:
            while True:
                live.update(drawn(node, now_ms()), refresh=True)
                await asyncio.sleep(_TICK_S)

        ticking = asyncio.create_task(count_down())
        try:
            async for _ in changes(reader.watched):
                node = await reader.read()
                live.update(drawn(node, now_ms()), refresh=True)
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking


async def changes(watched: Callable[[], tuple[Ledger, ...]]) -> AsyncIterator[None]:
    """Whenever something may have happened on one of the ledgers that are watched by then. Raises what their streams raise.

    A stream begins at a height that stands before anything is read, so that nothing is missed between the two.
    """
    happened = asyncio.Event()
    following: dict[str, asyncio.Task[None]] = {}

    async def follow(ledger: Ledger) -> None:
        height, _ = await ledger.app_hash()
        happened.set()
        async for _ in ledger.events(after=f"{height}/0"):
            happened.set()

    try:
        while True:
            for ledger in watched():
                if ledger.id not in following:
                    following[ledger.id] = asyncio.create_task(follow(ledger))
            waiting = asyncio.create_task(happened.wait())
            done, _ = await asyncio.wait((waiting, *following.values()), return_when=asyncio.FIRST_COMPLETED)
            if waiting not in done:
                waiting.cancel()
                next(iter(done)).result()
                return
            await asyncio.sleep(_GATHER_S)
            happened.clear()
            yield
    finally:
        for task in following.values():
            task.cancel()
        await asyncio.gather(*following.values(), return_exceptions=True)


def drawn(node: TreeNode, at_ms: int) -> Tree:
    """The tree as rich draws it, its windows as they stand at `at_ms`."""
    root = Tree(line_of(node, at_ms))
    for child in node.children:
        root.children.append(drawn(child, at_ms))
    return root


def line_of(node: TreeNode, at_ms: int) -> str:
    """One document's line, in rich's markup."""
    colour = "green" if node.status in _GOOD else "red" if node.status in _BAD else "yellow"
    parts = [f"[bold]{text_of(node.title)}[/bold]", f"[{colour}]{text_of(node.status)}[/{colour}]"]
    if node.detail:
        parts.append(text_of(node.detail))
    if node.window:
        parts.append(f"[cyan]{node.window} {remaining(node.window_ends_ms - at_ms)}[/cyan]")
    parts.append(f"[dim]{text_of(node.ledger)} {node.kind}/{text_of(node.id)}[/dim]")
    return "  ".join(parts)


def remaining(left_ms: int) -> str:
    """What is left of a window: `1 d 02:03:04`, `00:00:07`, or that it is over."""
    if left_ms < 0:
        return "is over"
    seconds = left_ms // 1000
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock


def now_ms() -> int:
    """This machine's clock: it only counts down on the screen."""
    return time.time_ns() // 1_000_000
