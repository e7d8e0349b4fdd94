"""Submit: simulate, hand to the engine, and wait for the receipt."""

from __future__ import annotations

import asyncio
from typing import Final

from google.protobuf.message import DecodeError

from ledgers.transaction import transaction_id
from node.api.access import Caller
from node.api.refusals import (
    CallRefused,
    NotCommittedInTime,
    RequestMalformed,
    of_check,
    of_receipt,
    refuse,
)
from node.ledger_link import LedgerLink
from syngraph.v1 import api_pb2 as api
from syngraph.v1 import application_pb2 as wire
from syngraph.v1.system_pb2 import Receipt
from syngraph.v1.transaction_pb2 import Transaction

# Above every ledger's `transaction_bytes_max`; the exact bound is the ledger's.
TRANSACTION_BYTES_MAX: Final = 1024 * 1024


async def submit(caller: Caller, request: api.SubmitRequest, timeout_s: float) -> api.SubmitResponse:
    """Answer one SubmitRequest. Raises CallRefused, ApplicationAway, EngineAway, EngineRefused.

    A transaction that is committed already is answered with its receipt, so handing in the same bytes again is safe.
    """
    wanted = request.wait_for or api.WAIT_FOR_COMMITTED
    if wanted not in {api.WAIT_FOR_CHECKED, api.WAIT_FOR_COMMITTED}:
        refuse(RequestMalformed("wait_for is WAIT_FOR_CHECKED or WAIT_FOR_COMMITTED.", "wait_for"))
    link = caller.link
    name = name_of(link.ledger_id, request.transaction)
    if not request.skip_simulation:
        asked = wire.SimulateRequest(ledger_id=link.ledger_id, transaction=request.transaction)
        simulated = await link.ask(link.application.simulate, asked)
        if simulated.receipt.code:
            return await _committed_before(link, name, simulated.receipt)
    if wanted == api.WAIT_FOR_CHECKED:
        checked = await link.broadcast(request.transaction)
        if checked.code:
            return await _committed_before(link, name, of_check(checked))
        return api.SubmitResponse(transaction_id=name)
    return await _commit(link, name, request.transaction, timeout_s)


def name_of(ledger_id: str, transaction: bytes) -> bytes:
    """The id of an encoded transaction. Raises CallRefused with RequestMalformed."""
    if not 0 < len(transaction) <= TRANSACTION_BYTES_MAX:
        refuse(RequestMalformed(f"A transaction has 1 to {TRANSACTION_BYTES_MAX} bytes.", "transaction"))
    try:
        parsed = Transaction.FromString(transaction)
    except DecodeError:
        refuse(RequestMalformed("The bytes are not a Transaction; encode it with syngraph.v1.", "transaction"))
    if parsed.WhichOneof("kind") != "signed":
        refuse(RequestMalformed("Only a signed transaction can be submitted.", "transaction"))
    return transaction_id(ledger_id, parsed.signed.body)


async def _commit(link: LedgerLink, name: bytes, transaction: bytes, timeout_s: float) -> api.SubmitResponse:
    async def broadcast() -> bool:
        checked = await link.broadcast(transaction)
        if checked.code:
            raise CallRefused(of_receipt(of_check(checked)))
        return checked.known

    try:
        async with asyncio.timeout(timeout_s):
            receipt = await link.wait_for_receipt(name, broadcast)
            # Whoever was let in by it can call as soon as this answer is there.
            await link.settled(receipt.height)
    except TimeoutError:
        refuse(
            NotCommittedInTime(
                "No block had the transaction yet. It may still get one: ask for its receipt, or hand the same bytes "
                "to another member's node.",
                "transaction",
            )
        )
    except CallRefused:
        found = await link.find_receipt(name)
        if found is None:
            raise
        receipt = found
    return _answer(receipt)


async def _committed_before(link: LedgerLink, name: bytes, refused: Receipt) -> api.SubmitResponse:
    """The receipt if the refusal came only because the transaction is committed already; else raise the refusal."""
    found = await link.find_receipt(name)
    if found is None:
        raise CallRefused(of_receipt(refused))
    return _answer(found)


def _answer(receipt: Receipt) -> api.SubmitResponse:
    """A refusal in a block is a refusal to the caller, too."""
    if receipt.code:
        raise CallRefused(of_receipt(receipt))
    return api.SubmitResponse(transaction_id=receipt.transaction_id, receipt=receipt)
