"""Who calls, and whether the ledger asked for is theirs to see.

A stranger gets the same answer, no sooner and no later, for a ledger that exists and for one that does not. DESIGN section 9.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import grpc
import structlog

from node.api.refusals import TRAILER, Answer, LedgerUnknown, NodeStarting, StandingEnded, of_error, refuse
from node.ledger_link import LedgerLink
from node.standing import Identity, Untrusted

T = TypeVar("T")

# Nobody is told sooner than this that there is no such ledger: far above what any of the checks takes.
STRANGER_ANSWER_S: Final = 0.05
LEDGER_ID_CHARACTERS_MAX: Final = 64

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """A call's ledger, and who makes the call. `leaf` is the certificate, PEM."""

    link: LedgerLink
    identity: Identity
    leaf: bytes

    def check_again(self) -> None:
        """Raises CallRefused with StandingEnded if the standing has ended since the stream began."""
        try:
            self.link.standings.identify(self.leaf, datetime.now(UTC))
        except Untrusted:
            refuse(StandingEnded("Your standing on this ledger has ended.", "ledger_id"))


class Changes:
    """Tells those who wait when something about the node's ledgers is another."""

    def __init__(self) -> None:
        """Nothing has changed yet."""
        self.count = 0
        self._next = asyncio.Event()

    def tell(self) -> None:
        """Something is another now."""
        self.count += 1
        told, self._next = self._next, asyncio.Event()
        told.set()

    async def after(self, count: int, timeout_s: float) -> None:
        """Return once `tell` was called more than `count` times, or the time is over."""
        if self.count == count:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._next.wait()


class Access:
    """Judges calls by the ledgers of this node."""

    def __init__(self, links: Mapping[str, LedgerLink], changes: Changes | None = None) -> None:
        """`links` by ledger id; may change while the node runs. `changes` tells when the membership of one does."""
        self._links = links
        self.changes = changes or Changes()
        self._log = structlog.get_logger()

    async def caller(self, context: Context, ledger_id: str) -> Caller:
        """The caller with a standing on this ledger. Raises CallRefused with LedgerUnknown for everybody else.

        With NodeStarting, also alike for all, while the node does not know yet who has a standing.
        """
        started = time.monotonic()
        leaf = leaf_of(context)
        link = self._links.get(ledger_id) if len(ledger_id) <= LEDGER_ID_CHARACTERS_MAX else None
        reason = "no_such_ledger"
        if link is not None:
            try:
                return Caller(link, link.standings.identify(leaf, datetime.now(UTC)), leaf)
            except Untrusted as problem:
                reason = str(problem)
        await asyncio.sleep(max(0.0, started + STRANGER_ANSWER_S - time.monotonic()))
        if self.is_starting():
            # Just started: a member would be told that its ledger does not exist, and give up.
            return refuse(NodeStarting("The node is starting; try again.", "ledger_id"))
        self._log.warning("call_refused", ledger=link.name if link else "", reason=reason)
        return refuse(LedgerUnknown("There is no such ledger here.", "ledger_id"))

    def is_starting(self) -> bool:
        """Whether it is not known yet of some ledger who has a standing on it."""
        return not all(each.standings.known or each.halt for each in self._links.values())

    def visible(self, context: Context) -> list[tuple[LedgerLink, Identity]]:
        """The ledgers on which the caller has a standing."""
        leaf, now = leaf_of(context), datetime.now(UTC)
        found = []
        for link in sorted(self._links.values(), key=lambda link: link.name):
            try:
                found.append((link, link.standings.identify(leaf, now)))
            except Untrusted:
                continue
        return found


def leaf_of(context: Context) -> bytes:
    """The caller's certificate, PEM; empty without TLS, which nobody trusts."""
    found = context.auth_context().get("x509_pem_cert") or ()
    return bytes(next(iter(found), b""))


async def answered(context: Context, call: Callable[[], Awaitable[T]]) -> T:
    """Run a unary call; whatever refuses it becomes gRPC's status and trailer."""
    try:
        return await call()
    except Exception as error:
        await abort(context, of_error(error))
        raise  # abort raises; this is for the type checker


async def abort(context: Context, answer: Answer) -> None:
    """End the call with this refusal."""
    trailer = ((TRAILER, answer.refusal.SerializeToString()),)
    await context.abort(answer.status, answer.refusal.sentence, trailing_metadata=trailer)
