"""The agents' ports over the client library: a member's own certificate to the node, and its own key on the ledgers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from ledgers.client import Act, Client, ClientError, Ledger, SigningMember
from ledgers.client.records import WatchedLedger
from node.agents.ports import SUBMISSION_TTL_MS, LedgerPort, Outward, Receipt, Refused
from node.agents.runtime import BILATERAL, INTERNAL, Ledgers
from smartcontracts.kernel import Position
from smartcontracts.membership import OrganizationStatus

# After a submission's life nothing can come of it; a little more, so that the node's own answer is heard.
_COMMIT_TIMEOUT_S: Final = SUBMISSION_TTL_MS / 1_000 + 10.0
# A submission that takes longer shows a ledger that makes no blocks; so many wait for such a one at once, and no more: partners
# that halt their ledger would else hold every one of an agent's calls, and with them the trade of all others.
SLOW_MS: Final = 10_000
WAITING_ON_SLOW_MAX: Final = 2
_DOCUMENT_UNKNOWN: Final = "DOCUMENT_UNKNOWN"
_CURSOR_CHARACTERS_MAX: Final = 64


class LedgerSlow(ClientError):
    """The ledger has made no block for a while, and enough submissions wait for it already; nothing was submitted."""


class ClientPort:
    """One ledger, by the node; what is submitted is signed by one member."""

    def __init__(self, ledger: Ledger, signer: SigningMember, monotonic_ms: Callable[[], int] | None = None) -> None:
        """`ledger` may be replaced when its contracts' version changes."""
        self.ledger = ledger
        self._signer = signer
        self._monotonic_ms = monotonic_ms or (lambda: time.monotonic_ns() // 1_000_000)
        self._waiting = 0
        self._slow = False
        self._log = structlog.get_logger()

    @property
    def id(self) -> str:
        return self.ledger.id

    @property
    def name(self) -> str:
        return self.ledger.name

    @property
    def kind(self) -> str:
        return self.ledger.kind

    async def get(self, kind: str, document_id: str) -> Any | None:
        try:
            return (await self.ledger.get(kind, document_id)).body
        except Refused as refused:
            if refused.detail.name == _DOCUMENT_UNKNOWN:
                return None
            raise

    async def list(self, kind: str, **filters: Any) -> tuple[Any, ...]:
        given: dict[str, Any] = {name: value for name, value in filters.items() if value}
        return tuple([document.body async for document in self.ledger.list(kind, **given)])

    async def ids(self, kind: str, *, created_until_ms: int, **filters: str) -> tuple[str, ...]:
        given: dict[str, Any] = {name: value for name, value in filters.items() if value}
        found = self.ledger.list(kind, created_until_ms=created_until_ms, **given)
        return tuple([document.id async for document in found])

    async def submit(self, acts: Sequence[Outward], *, purpose: str) -> Receipt:
        if self._slow and self._waiting >= WAITING_ON_SLOW_MAX:
            raise LedgerSlow(f"{self.name} makes no blocks")
        began_ms = self._monotonic_ms()
        self._waiting += 1
        try:
            receipt = await self.ledger.submit(
                [Act(name=act.name, command=act.command, cause=act.cause) for act in acts],
                [self._signer],
                ttl_ms=SUBMISSION_TTL_MS,
                # Duties look first, and on one's own ledger a refusal in a block is in nobody's way. Elsewhere others would see it.
                skip_simulation=self.kind == INTERNAL,
                timeout_s=_COMMIT_TIMEOUT_S,
            )
        finally:
            self._waiting -= 1
            # A refusal that comes at once says nothing about blocks.
            self._slow = self._monotonic_ms() - began_ms >= SLOW_MS or self._slow
        self._slow = False
        self._log.info(
            "agent_submitted",
            on=self.name,
            purpose=purpose,
            messages=[act.name for act in acts],
            height=receipt.height,
            tx=receipt.transaction_id.hex(),
        )
        return receipt

    async def position(self) -> str:
        return f"{(await self.ledger.status()).height}/0"

    async def events(
        self, after: str, kinds: tuple[str, ...], on_cursor: Callable[[str], None]
    ) -> AsyncIterator[tuple[str, str]]:
        async for event in self.ledger.events(after, kinds, on_cursor):
            yield event.kind, event.document_id


class ClientNode:
    """A node, by one member's connection."""

    def __init__(self, client: Client, signer: SigningMember) -> None:
        """`signer` is named "organization/member"."""
        self._client = client
        self._signer = signer
        self._ports: dict[str, ClientPort] = {}

    @property
    def organization(self) -> str:
        return self._signer.name.partition("/")[0]

    async def ledgers(self) -> AsyncIterator[Ledgers]:
        """Of the kinds that agents work on, whenever the node tells of another. Raises ClientError."""
        async for told in self._client.watch_ledgers():
            failure: ClientError | None = None
            for watched in told.ledgers:
                try:
                    await self._know(watched)
                except ClientError as error:
                    failure = error
            yield Ledgers(tuple(self._ports.values()), starting=told.starting or failure is not None)
            if failure is not None:
                # The node tells of no change: it is asked again.
                raise failure

    async def _know(self, watched: WatchedLedger) -> None:
        known = self._ports.get(watched.ledger_id)
        if watched.kind not in {INTERNAL, BILATERAL}:
            return
        if known is None:
            self._ports[watched.ledger_id] = ClientPort(await self._client.ledger(watched.ledger_id), self._signer)
        elif known.ledger.contracts_version != watched.contracts_version:
            known.ledger = await self._client.ledger(watched.ledger_id)

    async def counterparty(self, port: LedgerPort) -> str:
        """The other party; empty where this organization is none itself. Raises ClientError."""
        organizations = await port.list("organization", status=OrganizationStatus.ACTIVE)
        parties = [one.id for one in organizations if one.position == Position.PARTY]
        if self.organization not in parties:
            return ""
        return next((party for party in parties if party != self.organization), "")


class FileCursors:
    """One small file a ledger, in a folder of the role's own."""

    def __init__(self, folder: Path) -> None:
        """The folder is made with mode 0700."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder

    def read(self, ledger_id: str) -> str:
        try:
            return self._file(ledger_id).read_text(encoding="ascii").strip()[:_CURSOR_CHARACTERS_MAX]
        except (OSError, UnicodeDecodeError):
            return ""

    def write(self, ledger_id: str, cursor: str) -> None:
        """A full disk costs a listing at the next start, no more."""
        fresh = self._file(ledger_id).with_suffix(".new")
        with contextlib.suppress(OSError):
            fresh.write_text(cursor, encoding="ascii")
            fresh.replace(self._file(ledger_id))

    def _file(self, ledger_id: str) -> Path:
        return self._folder / f"{ledger_id}.cursor"


class SystemClock:
    """The machine's."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def wait(self, news: asyncio.Event, until_ms: int | None) -> None:
        if until_ms is None:
            await news.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, (until_ms - self.now_ms()) / 1_000)):
                await news.wait()
