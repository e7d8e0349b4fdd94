"""One ledger behind the private socket: brings each request to its query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from abci_app.queries import reads
from abci_app.queries.listing import list_documents
from abci_app.queries.refusals import LedgerStopped, RequestMalformed
from abci_app.queries.simulation import simulate
from abci_app.queries.status import ledger_status
from syngraph.v1 import application_pb2 as wire

if TYPE_CHECKING:
    from collections.abc import Generator

    from abci_app.application import LedgerApplication
    from abci_app.halt import HaltRecord
    from abci_app.state.committed import Committed


class Endpoint:
    """A ledger that is served. `application` is None where it halted before it could open its store."""

    def __init__(
        self, ledger_id: str, name: str, application: LedgerApplication | None, halt: HaltRecord | None = None
    ) -> None:
        """`name` is the local name of the ledger, `halt` the record of an earlier halt."""
        self.ledger_id = ledger_id
        self.name = name
        self.application = application
        self._halt = halt

    def committed(self) -> Committed:
        """What was committed last. Rejects with LedgerStopped, NotReady."""
        if self.application is None:
            raise LedgerStopped("The ledger has halted; its status says why.")
        return reads.require_committed(self.application.committed)

    def answer(self, request: wire.ApplicationRequest) -> Generator[None, None, wire.ApplicationResponse]:
        """Answer a request that is no stream; yields where consensus may come first. Rejects as the queries do."""
        which = request.WhichOneof("request")
        if which == "get_ledger_status":
            return wire.ApplicationResponse(get_ledger_status=wire.GetLedgerStatusResponse(status=self.status()))
        committed = self.committed()
        if which == "list":
            page = yield from list_documents(request.list, committed)
            return wire.ApplicationResponse(list=page)
        return self._answer_at_once(which, request, committed)

    def _answer_at_once(
        self, which: str | None, request: wire.ApplicationRequest, committed: Committed
    ) -> wire.ApplicationResponse:
        if which == "get":
            return wire.ApplicationResponse(get=reads.get(request.get, committed))
        if which == "prove":
            return wire.ApplicationResponse(prove=reads.prove(request.prove, committed))
        if which == "simulate":
            return wire.ApplicationResponse(simulate=self._simulate(request.simulate, committed))
        if which == "get_receipt":
            found = reads.receipt(request.get_receipt.transaction_id, committed)
            return wire.ApplicationResponse(get_receipt=wire.GetReceiptResponse(receipt=found))
        if which == "get_transaction":
            transaction = reads.transaction(request.get_transaction.transaction_id, committed)
            return wire.ApplicationResponse(get_transaction=transaction)
        if which == "get_app_hash":
            return wire.ApplicationResponse(get_app_hash=reads.app_hash(request.get_app_hash, committed))
        raise RequestMalformed("The request names nothing that this socket answers.", "request")

    def status(self) -> wire.LedgerStatus:
        """Also of a ledger that has halted."""
        application = self.application
        if application is None:
            return ledger_status(self.ledger_id, self.name, None, self._halt, 0)
        halt = application.halt or self._halt
        waiting = application.admission.waiting()
        return ledger_status(self.ledger_id, self.name, application.committed, halt, waiting)

    def _simulate(self, request: wire.SimulateRequest, committed: Committed) -> wire.SimulateResponse:
        if self.application is None:
            raise LedgerStopped("The ledger has halted; its status says why.")
        application = self.application
        receipt = simulate(request.transaction, committed, application.reader, application.clock(), application.log)
        response = wire.SimulateResponse()
        response.receipt.CopyFrom(receipt)  # type: ignore[arg-type]  # the codec's to_message is of any message
        return response
