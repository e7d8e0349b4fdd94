"""Members that trade: each signs with its own key and has one stream to its own organization's node."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, Final, Self

from ledgers.client import Client, Receipt, Refused, SigningMember
from ledgers.client.ledger import Ledger
from ledgers.client.transactions import SignedBytes, make
from ledgers.transaction import Act
from scripts.load.figures import Sample

# As long as a ledger allows by default: in an overloaded ledger nothing may run out.
_TTL_MS: Final = 9 * 60_000


class FlowFailed(Exception):
    """An act of the order flow was refused; the text says which and why."""


class Trader:
    """One member. A context manager: its stream ends with it."""

    def __init__(self, client: Client, signer: SigningMember, ledger: str) -> None:
        """`ledger` is an id."""
        self._client = client
        self._signer = signer
        self._ledger_id = ledger
        self._ledger: Ledger | None = None
        self._queue: asyncio.Queue[SignedBytes | None] = asyncio.Queue()
        self._waiting: dict[bytes, asyncio.Future[Receipt | Refused]] = {}
        self._stream: asyncio.Task[None] | None = None
        self.samples: list[Sample] = []

    async def __aenter__(self) -> Self:
        """Connect. Raises ClientError."""
        self._ledger = await self._client.ledger(self._ledger_id)
        self._stream = asyncio.create_task(self._follow(self._ledger))
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the stream and the connection."""
        if self._stream is not None:
            self._stream.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._stream
        await self._client.close()

    async def act(self, name: str, command: Any) -> Receipt:
        """Sign, hand in on the stream without simulation, wait for the receipt. Raises FlowFailed."""
        signed = make(self._ledger_id, [Act(name=name, command=command)], [self._signer], _TTL_MS)
        answer: asyncio.Future[Receipt | Refused] = asyncio.get_running_loop().create_future()
        self._waiting[signed.id] = answer
        sent_at = time.monotonic()
        self._queue.put_nowait(signed)
        return self._take(name, signed, sent_at, await answer)

    async def act_singly(self, name: str, command: Any) -> Receipt:
        """As any client does it: a call of its own, simulated first. Raises FlowFailed."""
        if self._ledger is None:
            raise FlowFailed("not connected")
        signed = make(self._ledger_id, [Act(name=name, command=command)], [self._signer], _TTL_MS)
        sent_at = time.monotonic()
        return self._take(name, signed, sent_at, await self._ledger.submit_signed(signed))

    def _take(self, name: str, signed: SignedBytes, sent_at: float, answer: Receipt | Refused) -> Receipt:
        if isinstance(answer, Refused):
            raise FlowFailed(f"{name}: {answer}")
        sample = Sample(
            act=name, sent_at=sent_at, received_at=time.monotonic(), height=answer.height, bytes=len(signed.encoded)
        )
        self.samples.append(sample)
        return answer

    async def _follow(self, ledger: Ledger) -> None:
        try:
            async for name, answer in ledger.submit_many(self._signed()):
                self._waiting.pop(name).set_result(answer)
        except Exception as error:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(error)
            raise

    async def _signed(self) -> AsyncIterator[SignedBytes]:
        while (signed := await self._queue.get()) is not None:
            yield signed


def written(receipt: Receipt, kind: str) -> str:
    """The id of the first document of this kind that the transaction wrote. Raises FlowFailed."""
    for document in receipt.documents:
        if document.kind == kind:
            return document.id
    raise FlowFailed(f"no {kind} among what was written")
