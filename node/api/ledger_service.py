"""LedgerService: one ledger's transactions, documents, proofs and events, for those with a standing on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

import structlog

from node.api.access import Access, Caller, Context, abort, answered
from node.api.refusals import HeaderNotYet, RequestMalformed, of_error, refuse
from node.api.submission import submit
from node.ledger_link import frame_height
from node.rpc import EngineAway
from syngraph.v1 import api_pb2 as api
from syngraph.v1 import api_pb2_grpc
from syngraph.v1 import application_pb2 as wire
from syngraph.v1.system_pb2 import Receipt

Request = TypeVar("Request")
Response = TypeVar("Response")

SUBMITS_IN_FLIGHT_MAX: Final = 512
TEXT_CHARACTERS_MAX: Final = 512
KINDS_MAX: Final = 100
# A stream on a ledger that sleeps is looked at this often, for certificates that expire.
STREAM_CHECK_S: Final = 60.0
# The last block's header is there a moment after its state.
_HEADER_WAIT_S: Final = 2.0


class LedgerService(api_pb2_grpc.LedgerServiceServicer):
    """Every method begins with the caller's standing."""

    def __init__(self, access: Access, *, commit_timeout_s: float) -> None:
        """`commit_timeout_s` bounds the wait for a block where the caller's own deadline does not."""
        self._access = access
        self._commit_timeout_s = commit_timeout_s
        self._log = structlog.get_logger()

    async def Submit(self, request: api.SubmitRequest, context: Context) -> api.SubmitResponse:
        """Simulate, broadcast, wait."""
        return await answered(context, lambda: self._submit(request, context))

    async def SubmitStream(
        self, request_iterator: AsyncIterator[api.SubmitStreamRequest], context: Context
    ) -> AsyncIterator[api.SubmitStreamResponse]:
        """Many at once, answered as they complete; reading pauses at SUBMITS_IN_FLIGHT_MAX."""
        answers: asyncio.Queue[api.SubmitStreamResponse | None] = asyncio.Queue()
        room = asyncio.Semaphore(SUBMITS_IN_FLIGHT_MAX)
        reading = asyncio.create_task(self._read_submissions(request_iterator, context, answers, room))
        try:
            while (answer := await answers.get()) is not None:
                yield answer
                # Only now: whoever does not read answers submits no more.
                room.release()
            await reading
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading

    async def Simulate(self, request: wire.SimulateRequest, context: Context) -> wire.SimulateResponse:
        """The receipt that the transaction would get now; a refusal is a receipt here, not an error."""
        return await self._asked(context, request, lambda caller: caller.link.application.simulate)

    async def Get(self, request: wire.GetRequest, context: Context) -> wire.GetResponse:
        """A document at a height."""
        return await self._asked(context, request, lambda caller: caller.link.application.get)

    async def List(self, request: wire.ListRequest, context: Context) -> wire.ListResponse:
        """A page of documents."""
        return await self._asked(context, request, lambda caller: caller.link.application.list)

    async def GetReceipt(self, request: wire.GetReceiptRequest, context: Context) -> wire.GetReceiptResponse:
        """What became of a transaction."""
        return await self._asked(context, request, lambda caller: caller.link.application.get_receipt)

    async def GetTransaction(
        self, request: wire.GetTransactionRequest, context: Context
    ) -> wire.GetTransactionResponse:
        """A transaction as it stood in its block."""
        return await self._asked(context, request, lambda caller: caller.link.application.get_transaction)

    async def GetAppHash(self, request: wire.GetAppHashRequest, context: Context) -> wire.GetAppHashResponse:
        """The app hash at a height."""
        return await self._asked(context, request, lambda caller: caller.link.application.get_app_hash)

    async def GetLedgerStatus(
        self, request: wire.GetLedgerStatusRequest, context: Context
    ) -> wire.GetLedgerStatusResponse:
        """Where the ledger stands, application and engine."""

        async def call() -> wire.GetLedgerStatusResponse:
            caller = await self._access.caller(context, request.ledger_id)
            return wire.GetLedgerStatusResponse(status=await caller.link.status())

        return await answered(context, call)

    async def Prove(self, request: wire.ProveRequest, context: Context) -> wire.ProveResponse:
        """A proof with the header, commit and validators that it needs."""

        async def call() -> wire.ProveResponse:
            _check_texts(request)
            caller = await self._access.caller(context, request.ledger_id)
            proof = await caller.link.ask(caller.link.application.prove, request)
            await _add_header(caller, proof)
            return proof

        return await answered(context, call)

    async def StreamEvents(
        self, request: wire.StreamEventsRequest, context: Context
    ) -> AsyncIterator[wire.StreamEventsResponse]:
        """Events after a cursor, for as long as the caller's standing lasts."""
        try:
            _check_texts(request)
            if len(request.kinds) > KINDS_MAX:
                refuse(RequestMalformed(f"At most {KINDS_MAX} kinds can be chosen.", "kinds"))
            caller = await self._access.caller(context, request.ledger_id)
            async with contextlib.aclosing(self._events(caller, request)) as answers:
                async for answer in answers:
                    yield answer
        except Exception as error:  # noqa: BLE001 - of_error raises on what is no refusal
            await abort(context, of_error(error))

    async def _submit(self, request: api.SubmitRequest, context: Context) -> api.SubmitResponse:
        caller = await self._access.caller(context, request.ledger_id)
        remaining = context.time_remaining()
        # A little before the caller's own deadline, so that the refusal arrives and says what to do.
        timeout_s = min(self._commit_timeout_s, remaining * 0.95 if remaining else self._commit_timeout_s)
        answer = await submit(caller, request, timeout_s)
        self._log.info(
            "submitted",
            ledger=caller.link.name,
            tx=answer.transaction_id.hex(),
            member=str(caller.identity),
            height=answer.receipt.height,
        )
        return answer

    async def _read_submissions(
        self,
        requests: AsyncIterator[api.SubmitStreamRequest],
        context: Context,
        answers: asyncio.Queue[api.SubmitStreamResponse | None],
        room: asyncio.Semaphore,
    ) -> None:

        async def one(request: api.SubmitStreamRequest) -> None:
            answers.put_nowait(await self._submit_tagged(request, context))

        try:
            async with asyncio.TaskGroup() as group:
                async for request in requests:
                    await room.acquire()
                    group.create_task(one(request))
        finally:
            answers.put_nowait(None)

    async def _submit_tagged(self, request: api.SubmitStreamRequest, context: Context) -> api.SubmitStreamResponse:
        try:
            submitted = await self._submit(request.submit, context)
        except Exception as error:  # noqa: BLE001 - of_error raises on what is no refusal
            refusal = of_error(error).refusal
            return api.SubmitStreamResponse(
                tag=request.tag,
                refusal=Receipt(
                    code=refusal.code,
                    name=refusal.name,
                    field=refusal.field,
                    sentence=refusal.sentence,
                    message_index=refusal.message_index,
                    existing_id=refusal.existing_id,
                ),
            )
        return api.SubmitStreamResponse(tag=request.tag, submitted=submitted)

    async def _events(
        self, caller: Caller, request: wire.StreamEventsRequest
    ) -> AsyncGenerator[wire.StreamEventsResponse, None]:
        stream = caller.link.application.stream_events(request)
        following = asyncio.ensure_future(anext(stream))
        try:
            while True:
                done, _ = await asyncio.wait((following,), timeout=STREAM_CHECK_S)
                if done:
                    # Nothing of a block is shown before it is known who may see that block.
                    await caller.link.settled(frame_height(following.result()))
                caller.check_again()
                if done:
                    yield following.result()
                    following = asyncio.ensure_future(anext(stream))
        finally:
            following.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await following
            await stream.aclose()

    async def _asked(
        self, context: Context, request: Request, method: Callable[[Caller], Callable[[Request], Awaitable[Response]]]
    ) -> Response:
        """Pass a request about one ledger on to the application."""

        async def call() -> Response:
            _check_texts(request)
            caller = await self._access.caller(context, getattr(request, "ledger_id"))  # noqa: B009 - untyped
            return await caller.link.ask(method(caller), request)

        return await answered(context, call)


async def _add_header(caller: Caller, proof: wire.ProveResponse) -> None:
    engine, height = caller.link.engine, proof.height + 1
    give_up = asyncio.get_running_loop().time() + _HEADER_WAIT_S
    while True:
        try:
            proof.commit_json = await engine.commit(height)
            proof.validators_json = await engine.validators(height)
        except EngineAway:
            if asyncio.get_running_loop().time() > give_up:
                refuse(HeaderNotYet("The next block, whose header proves this state, is not there yet.", "height"))
            await asyncio.sleep(0.1)
        else:
            return


def _check_texts(request: Any) -> None:
    """Bound every text of a request, nested ones included; the rest is the application's to judge."""
    for field, value in request.ListFields():
        if field.message_type is not None and not field.is_repeated:
            _check_texts(value)
        elif isinstance(value, str) and len(value) > TEXT_CHARACTERS_MAX:
            refuse(RequestMalformed(f"At most {TEXT_CHARACTERS_MAX} characters are allowed.", field.name))
