"""One ledger through a node: submit, read, prove, follow."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final

from ledgers.client.connection import Calls, Connection
from ledgers.client.errors import ClientError, NodeUnreachable, Refused, TimedOut, of_receipt
from ledgers.client.proofs import ProofFile
from ledgers.client.records import (
    Document,
    LedgerEvent,
    LedgerStatus,
    Page,
    read_document,
    read_event,
    read_receipt,
    read_status,
)
from ledgers.client.transactions import TTL_MS, SignedBytes, SigningMember, body_of, make, make_from_plain
from ledgers.kinds import INTERNAL
from ledgers.receipts import Receipt
from ledgers.transaction import Act
from syngraph.v1 import api_pb2 as api
from syngraph.v1 import application_pb2 as wire

COMMIT_TIMEOUT_S: Final = 60.0
# A transaction that only one mempool admits may never get a block: DESIGN section 5, hazard B3.
HAND_ON_AFTER_S: Final = 2.0
PAGE_SIZE: Final = 100
_RECONNECT_S: Final = 0.5
# A stream that ends with one of these is opened again; the ledger's own refusals end it for good.
_TRANSIENT: Final = (NodeUnreachable, TimedOut)


class Ledger:
    """One ledger, by the node that `connection` leads to. Made by `Client.ledger`."""

    def __init__(self, connection: Calls, others: Sequence[Connection], status: LedgerStatus) -> None:
        """`others` lead to nodes of other members, for transactions that get no block through the first.

        Transactions of an internal ledger are never handed to them: what stands in them is for no other organization.
        """
        self._connection = connection
        self._others = () if status.kind == INTERNAL else tuple(others)
        self.id = status.ledger_id
        self.name = status.name
        self.kind = status.kind
        self.contracts_version = status.contracts_version

    # Writing

    async def submit(
        self,
        acts: Sequence[Act],
        signers: Sequence[SigningMember],
        *,
        ttl_ms: int = TTL_MS,
        skip_simulation: bool = False,
        timeout_s: float = COMMIT_TIMEOUT_S,
    ) -> Receipt:
        """Sign, submit, and wait for the receipt. Raises Refused, NodeUnreachable, TimedOut."""
        signed = make(self.id, acts, signers, ttl_ms)
        return await self.submit_signed(signed, skip_simulation=skip_simulation, timeout_s=timeout_s)

    async def submit_plain(
        self,
        messages: object,
        signers: Sequence[SigningMember],
        *,
        ttl_ms: int = TTL_MS,
        timeout_s: float = COMMIT_TIMEOUT_S,
    ) -> Receipt:
        """As `submit`, of messages as JSON gives them. Raises PlainInvalid too."""
        return await self.submit_signed(make_from_plain(self.id, messages, signers, ttl_ms), timeout_s=timeout_s)

    async def submit_signed(
        self, signed: SignedBytes, *, skip_simulation: bool = False, timeout_s: float = COMMIT_TIMEOUT_S
    ) -> Receipt:
        """Hand in a signed transaction and wait for its receipt; after 2 s without a block another node gets it, too."""
        request = api.SubmitRequest(
            ledger_id=self.id,
            transaction=signed.encoded,
            wait_for=api.WAIT_FOR_COMMITTED,
            skip_simulation=skip_simulation,
        )
        answer: api.SubmitResponse = await self._submit_somewhere(request, timeout_s)
        return read_receipt(answer.receipt)

    async def send(self, signed: SignedBytes, *, skip_simulation: bool = False) -> bytes:
        """Hand in a signed transaction without waiting for a block; returns its id."""
        request = api.SubmitRequest(
            ledger_id=self.id,
            transaction=signed.encoded,
            wait_for=api.WAIT_FOR_CHECKED,
            skip_simulation=skip_simulation,
        )
        answer: api.SubmitResponse = await self._connection.call("Submit", request)
        return answer.transaction_id

    async def submit_many(
        self, transactions: AsyncIterator[SignedBytes], *, skip_simulation: bool = True
    ) -> AsyncIterator[tuple[bytes, Receipt | Refused]]:
        """Submit on one stream, many in flight; yields (transaction id, receipt or refusal) as they complete."""
        sent: dict[int, bytes] = {}

        async def requests() -> AsyncIterator[api.SubmitStreamRequest]:
            tag = 0
            async for signed in transactions:
                tag += 1
                sent[tag] = signed.id
                submit = api.SubmitRequest(
                    ledger_id=self.id,
                    transaction=signed.encoded,
                    wait_for=api.WAIT_FOR_COMMITTED,
                    skip_simulation=skip_simulation,
                )
                yield api.SubmitStreamRequest(tag=tag, submit=submit)

        async for answer in self._connection.stream("SubmitStream", requests()):
            name = sent.pop(answer.tag)
            if answer.HasField("refusal"):
                yield name, of_receipt(read_receipt(answer.refusal))
            else:
                yield name, read_receipt(answer.submitted.receipt)

    async def simulate(self, signed: SignedBytes) -> Receipt:
        """The receipt that the transaction would get now; `code` is not 0 where it would be refused."""
        request = wire.SimulateRequest(ledger_id=self.id, transaction=signed.encoded)
        answer: wire.SimulateResponse = await self._connection.call("Simulate", request)
        return read_receipt(answer.receipt)

    # Reading

    async def get(self, kind: str, document_id: str, height: int = 0) -> Document:
        """A document; `height` 0 is the latest. Raises Refused (DOCUMENT_UNKNOWN, HEIGHT_PRUNED, ...)."""
        request = wire.GetRequest(ledger_id=self.id, kind=kind, id=document_id, height=height)
        answer: wire.GetResponse = await self._connection.call("Get", request)
        return self._document(answer.document, answer.height)

    async def page(
        self, kind: str, *, height: int = 0, page_size: int = PAGE_SIZE, page_token: str = "", **filters: Any
    ) -> Page:
        """One page of documents. Filters: status, party, offering, service, related, created_from_ms, created_until_ms."""
        request = wire.ListRequest(
            ledger_id=self.id,
            filter=wire.Filter(kind=kind, **filters),
            height=height,
            page_size=page_size,
            page_token=page_token,
        )
        answer: wire.ListResponse = await self._connection.call("List", request)
        documents = tuple(self._document(document, answer.height) for document in answer.documents)
        return Page(documents=documents, height=answer.height, next_page_token=answer.next_page_token)

    async def list(
        self, kind: str, *, height: int = 0, page_size: int = PAGE_SIZE, **filters: Any
    ) -> AsyncIterator[Document]:
        """All documents that match, page by page, all at the height of the first page."""
        token = ""
        while True:
            page = await self.page(kind, height=height, page_size=page_size, page_token=token, **filters)
            for document in page.documents:
                yield document
            token, height = page.next_page_token, page.height
            if not token:
                return

    async def receipt(self, transaction_id: bytes) -> Receipt:
        """What became of a transaction. Raises Refused (TRANSACTION_UNKNOWN)."""
        request = wire.GetReceiptRequest(ledger_id=self.id, transaction_id=transaction_id)
        answer: wire.GetReceiptResponse = await self._connection.call("GetReceipt", request)
        return read_receipt(answer.receipt)

    async def transaction(self, transaction_id: bytes) -> tuple[Any, Receipt]:
        """A committed transaction's body (a `TransactionBody` message) and its receipt."""
        request = wire.GetTransactionRequest(ledger_id=self.id, transaction_id=transaction_id)
        answer: wire.GetTransactionResponse = await self._connection.call("GetTransaction", request)
        return body_of(answer.transaction), read_receipt(answer.receipt)

    async def prove(self, kind: str, document_id: str, height: int = 0) -> ProofFile:
        """A proof that the document is there, or that it is not, with the header and commit that it needs."""
        request = wire.ProveRequest(ledger_id=self.id, kind=kind, id=document_id, height=height)
        answer: wire.ProveResponse = await self._connection.call("Prove", request)
        return ProofFile.of_answer(self.id, kind, document_id, answer)

    async def app_hash(self, height: int = 0) -> tuple[int, bytes]:
        """(height, app hash)."""
        request = wire.GetAppHashRequest(ledger_id=self.id, height=height)
        answer: wire.GetAppHashResponse = await self._connection.call("GetAppHash", request)
        return answer.height, answer.app_hash

    async def status(self) -> LedgerStatus:
        """Where the ledger stands on this node."""
        request = wire.GetLedgerStatusRequest(ledger_id=self.id)
        answer: wire.GetLedgerStatusResponse = await self._connection.call("GetLedgerStatus", request)
        return read_status(answer.status)

    # Following

    async def events(
        self, after: str = "now", kinds: Sequence[str] = (), on_cursor: Callable[[str], None] | None = None
    ) -> AsyncIterator[LedgerEvent]:
        """Events after a cursor ("" is the oldest kept), at least once, in order, across restarts of the node.

        `on_cursor` is told how far one has come, also by blocks without events. Raises Refused when the cursor is too old
        (CURSOR_PRUNED) or the caller's standing has ended (STANDING_ENDED).
        """
        cursor = after
        while True:
            try:
                request = wire.StreamEventsRequest(ledger_id=self.id, after=cursor, kinds=kinds)
                async for answer in self._connection.stream("StreamEvents", request):
                    cursor = answer.event.id if answer.HasField("event") else answer.cursor
                    if answer.HasField("event"):
                        yield read_event(answer.event)
                    if on_cursor is not None:
                        on_cursor(cursor)
            except _TRANSIENT:
                pass
            except Refused as refused:
                if not refused.detail.transient:
                    raise
            await asyncio.sleep(_RECONNECT_S)

    async def past_events(self, kinds: Sequence[str] = ()) -> AsyncIterator[LedgerEvent]:
        """Events that are kept up to the present height, oldest first; it ends. Raises Refused, NodeUnreachable, TimedOut."""
        height, cursor = (await self.app_hash())[0], ""
        while True:
            request = wire.StreamEventsRequest(ledger_id=self.id, after=cursor, kinds=kinds)
            async with contextlib.aclosing(self._connection.stream("StreamEvents", request)) as answers:
                async for answer in answers:
                    is_event = answer.HasField("event")
                    cursor = answer.event.id if is_event else answer.cursor
                    reached = int(cursor.partition("/")[0])
                    if reached > height or (reached == height and not is_event):
                        return
                    if is_event:
                        yield read_event(answer.event)
                    if reached == height:
                        # Nothing may come after it for days. Asked anew, the node says at once whether there is more.
                        break

    # Helpers

    def _document(self, document: wire.Document, height: int) -> Document:
        return read_document(document, self.kind, self.contracts_version, height)

    async def _submit_somewhere(self, request: api.SubmitRequest, timeout_s: float) -> Any:
        """The first answer; the first node's refusal counts, another's absence does not."""
        running = {asyncio.create_task(self._connection.call("Submit", request, timeout_s))}
        waiting_nodes = list(self._others)
        failure: ClientError | None = None
        try:
            while running:
                patience = HAND_ON_AFTER_S if waiting_nodes else None
                done, running = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    try:
                        return task.result()
                    except Refused as refused:
                        if not refused.detail.transient:
                            raise
                        failure = refused
                    except ClientError as error:
                        failure = failure or error
                if waiting_nodes and (not done or not running):
                    running.add(self._hand_on(waiting_nodes.pop(0), request, timeout_s))
        finally:
            await _cancel(running)
        raise failure or TimedOut("no answer came in time")

    @staticmethod
    def _hand_on(connection: Connection, request: api.SubmitRequest, timeout_s: float) -> asyncio.Task[Any]:
        again = api.SubmitRequest()
        again.CopyFrom(request)
        again.skip_simulation = True
        call: Coroutine[Any, Any, Any] = connection.call("Submit", again, timeout_s)
        return asyncio.create_task(call)


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    # Whatever became of them; only a cancellation of the caller must not be lost here.
    await asyncio.gather(*tasks, return_exceptions=True)
