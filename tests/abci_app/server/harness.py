"""A small counting application, a raw client, and a server on a temporary socket."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog
from tendermint.abci import types_pb2 as abci

from abci_app.server import LedgerServer, Slices
from ledgers.framing import FrameDecoder, encode_frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

INTERNAL_ERROR = 9001


class CountingApplication:
    """Counts transactions; remembers the thread of each call; raises or waits where a test says so."""

    def __init__(self) -> None:
        self.height = 0
        self.count = 0
        self.pending = 0
        self.pending_height = 0
        self.threads: dict[str, set[str]] = {}
        self.raises: dict[str, BaseException] = {}
        self.waits: dict[str, threading.Event] = {}
        self.entered: dict[str, threading.Event] = {}

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name in METHODS:
            self._enter(name)
        return value

    def _enter(self, name: str) -> None:
        self.threads.setdefault(name, set()).add(threading.current_thread().name)
        if name in self.entered:
            self.entered[name].set()
        if name in self.waits:
            assert self.waits[name].wait(60)
        if name in self.raises:
            raise self.raises[name]

    @property
    def app_hash(self) -> bytes:
        return self.count.to_bytes(8, "big")

    def info(self, request: abci.RequestInfo) -> abci.ResponseInfo:
        app_hash = self.app_hash if self.height else b""
        return abci.ResponseInfo(last_block_height=self.height, last_block_app_hash=app_hash)

    def init_chain(self, request: abci.RequestInitChain) -> abci.ResponseInitChain:
        return abci.ResponseInitChain(app_hash=self.app_hash)

    def prepare_proposal(self, request: abci.RequestPrepareProposal) -> abci.ResponsePrepareProposal:
        return abci.ResponsePrepareProposal(txs=request.txs)

    def process_proposal(self, request: abci.RequestProcessProposal) -> abci.ResponseProcessProposal:
        return abci.ResponseProcessProposal(status=abci.ResponseProcessProposal.ACCEPT)

    def finalize_block(self, request: abci.RequestFinalizeBlock) -> abci.ResponseFinalizeBlock:
        self.pending = self.count + len(request.txs)
        self.pending_height = request.height
        return abci.ResponseFinalizeBlock(
            tx_results=[abci.ExecTxResult() for _ in request.txs],
            app_hash=self.pending.to_bytes(8, "big"),
        )

    def commit(self, request: abci.RequestCommit) -> abci.ResponseCommit:
        self.count, self.height = self.pending, self.pending_height
        return abci.ResponseCommit()

    def extend_vote(self, request: abci.RequestExtendVote) -> abci.ResponseExtendVote:
        return abci.ResponseExtendVote()

    def verify_vote_extension(self, request: abci.RequestVerifyVoteExtension) -> abci.ResponseVerifyVoteExtension:
        return abci.ResponseVerifyVoteExtension(status=abci.ResponseVerifyVoteExtension.ACCEPT)

    def offer_snapshot(self, request: abci.RequestOfferSnapshot) -> abci.ResponseOfferSnapshot:
        return abci.ResponseOfferSnapshot(result=abci.ResponseOfferSnapshot.REJECT)

    def apply_snapshot_chunk(self, request: abci.RequestApplySnapshotChunk) -> abci.ResponseApplySnapshotChunk:
        return abci.ResponseApplySnapshotChunk(result=abci.ResponseApplySnapshotChunk.ABORT)

    def check_tx(self, request: abci.RequestCheckTx) -> abci.ResponseCheckTx:
        return abci.ResponseCheckTx(data=request.tx)

    def query(self, request: abci.RequestQuery) -> abci.ResponseQuery:
        return abci.ResponseQuery(value=request.data, height=self.height)

    def list_snapshots(self, request: abci.RequestListSnapshots) -> abci.ResponseListSnapshots:
        return abci.ResponseListSnapshots()

    def load_snapshot_chunk(self, request: abci.RequestLoadSnapshotChunk) -> abci.ResponseLoadSnapshotChunk:
        return abci.ResponseLoadSnapshotChunk(chunk=b"chunk")


METHODS = frozenset(
    name for name, value in vars(CountingApplication).items() if callable(value) and not name.startswith("_")
)


def request(name: str, **fields: Any) -> bytes:
    """One framed request."""
    message = abci.Request()
    getattr(message, name).SetInParent()
    for field, value in fields.items():
        target = getattr(message, name)
        if isinstance(value, list):
            getattr(target, field).extend(value)
        else:
            setattr(target, field, value)
    return encode_frame(message.SerializeToString())


FLUSH = request("flush")
INFO = request("info", abci_version="2.0.0")


class Client:
    """A raw client: bytes out, whole responses in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.decoder = FrameDecoder(64 * 1024 * 1024)

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def receive(self) -> abci.Response | None:
        """The next response, or None at the end of the stream."""
        while (payload := self.decoder.next_frame()) is None:
            try:
                data = await asyncio.wait_for(self.reader.read(1 << 18), 60)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.decoder.feed(data)
        return abci.Response.FromString(payload)

    async def call(self, name: str, **fields: Any) -> Any:
        """Send one request and a Flush, as the engine does, and return the response's member."""
        self.send(request(name, **fields), FLUSH)
        response = await self.receive()
        assert response is not None, "the connection was closed"
        assert response.WhichOneof("value") == name, response
        flush = await self.receive()
        assert flush is not None
        assert flush.WhichOneof("value") == "flush"
        return getattr(response, name)

    async def failing_call(self, name: str, **fields: Any) -> str:
        """Send one request that must be answered by an ABCI exception; return its text."""
        self.send(request(name, **fields), FLUSH)
        response = await self.receive()
        assert response is not None, "the connection was closed"
        assert response.WhichOneof("value") == "exception", response
        return response.exception.error

    async def ended(self) -> bool:
        """Read on to the end of the stream."""
        while await self.receive() is not None:
            pass
        return True


class Harness:
    """One server with what a test wants to look at."""

    def __init__(self, path: Path, ledger: str, slices: Slices | None = None, **options: Any) -> None:
        self.app = CountingApplication()
        self.path = path
        self.calls: list[str] = []
        self.halts: list[tuple[str, str, BaseException]] = []
        self.log = structlog.testing.LogCapture()
        logger = structlog.wrap_logger(None, processors=[self.log])
        self.server = LedgerServer(
            self.app,
            path,
            ledger=ledger,
            logger=logger,
            internal_error_code=INTERNAL_ERROR,
            on_halt=lambda *halt: self.halts.append(halt),
            slices=slices,
            record=self.calls.append,
            **options,
        )
        self._clients: list[Client] = []

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_unix_connection(str(self.path)))
        self._clients.append(client)
        return client

    def close_clients(self) -> None:
        for client in self._clients:
            client.writer.close()

    def events(self, name: str) -> list[Any]:
        return [entry for entry in self.log.entries if entry["event"] == name]

    async def until_event(self, name: str) -> Any:
        """The first log line of this name, once it is there."""
        give_up = time.monotonic() + 60
        while not self.events(name):
            assert time.monotonic() < give_up, f"no {name} among {self.log.entries}"
            await asyncio.sleep(0.01)
        return self.events(name)[0]


@asynccontextmanager
async def serving(
    directory: Path, ledger: str = "acme-alpha", slices: Slices | None = None, **options: Any
) -> AsyncIterator[Harness]:
    """A started server in `directory`, closed at the end."""
    harness = Harness(directory / f"{ledger}.sock", ledger, slices, **options)
    await harness.server.start()
    try:
        yield harness
    finally:
        harness.close_clients()
        await harness.server.close(grace_seconds=5)
