"""The yardstick: CometBFT's own Go kvstore inside four engines with the settings of ours, under as many waiting transactions."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import structlog

from localnet.material import HOST
from localnet.network import free_ports
from node.engine import binary
from node.engine_home import EngineSettings, engine_configuration, write_engine_home
from node.engine_keys import ensure_engine_keys
from node.process import KeptProcess
from node.rpc import EngineRpc
from node.rpc_connection import HttpBroken
from scripts.load.engine import EngineBlocks
from scripts.load.figures import Committed

VALIDATORS: Final = 4
# The two traders' nodes take transactions in the other measurement.
_ENTRANCES: Final = 2
_READY_S: Final = 60.0
_POLL_S: Final = 0.01
_SEED: Final = 20_260_101
_QUIET: Final = structlog.wrap_logger(structlog.PrintLogger(), wrapper_class=structlog.make_filtering_bound_logger(50))


class KvstoreFailed(Exception):
    """The engines did not come up, or stopped making blocks."""


class KvstoreNetwork:
    """Four engines. A context manager: nothing of it is left."""

    def __init__(self, directory: Path, genesis: dict[str, Any]) -> None:
        """`genesis`: CometBFT's genesis file of the measured ledger, whose consensus parameters these take over."""
        self._directory = directory
        self._genesis = genesis
        self._kept: list[tuple[KeptProcess, asyncio.Task[None]]] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the engines."""
        return tuple(kept.pid for kept, _ in self._kept if kept.pid is not None)

    def rpc_socket(self, number: int) -> Path:
        """Where an engine answers."""
        return self._directory / f"{number}.rpc"

    async def __aenter__(self) -> Self:
        """Start and wait for the first block. Raises KvstoreFailed."""
        try:
            self._start()
            await asyncio.wait_for(self._wait_ready(), _READY_S)
        except TimeoutError as late:
            await self._stop()
            raise KvstoreFailed(f"no block after {_READY_S:.0f} s; logs are in {self._directory}") from late
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End them."""
        await asyncio.shield(self._stop())

    def _start(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        homes = [self._directory / str(number) for number in range(VALIDATORS)]
        keys = [ensure_engine_keys(home) for home in homes]
        ports = free_ports(VALIDATORS)
        genesis = json.dumps(kvstore_genesis(self._genesis, [key.validator_key for key in keys])).encode()
        addresses = [f"{HOST}:{port}" for port in ports]
        peers = [f"{key.node_id}@{address}" for key, address in zip(keys, addresses, strict=True)]
        for number, home in enumerate(homes):
            settings = EngineSettings(
                home=home,
                genesis=genesis,
                p2p_address=addresses[number],
                peers=[peer for place, peer in enumerate(peers) if place != number],
                pace="hot",
                application_socket=self._directory / "unused",
                rpc_socket=self.rpc_socket(number),
            )
            write_engine_home(settings)
            text = engine_configuration(settings)
            (home / "config" / "config.toml").write_text(with_kvstore(text), encoding="utf-8")
            self._run(number, home)

    def _run(self, number: int, home: Path) -> None:
        log = (self._directory / f"{number}.log").open("w", encoding="utf-8")
        kept = KeptProcess(
            f"kvstore-{number}",
            (str(binary()), "start", "--home", str(home)),
            self._directory / f"{number}.pid",
            on_line=lambda line: print(line, file=log, flush=True),
            after_exit=log.close,
            log=_QUIET,
        )
        self._kept.append((kept, asyncio.create_task(kept.run())))

    async def _wait_ready(self) -> None:
        for number in range(VALIDATORS):
            engine = EngineBlocks(self.rpc_socket(number))
            try:
                while True:
                    with contextlib.suppress(HttpBroken, OSError):
                        if await engine.height() >= 1:
                            break
                    await asyncio.sleep(_POLL_S * 10)
            finally:
                await engine.close()

    async def _stop(self) -> None:
        await asyncio.gather(*(kept.stop() for kept, _ in self._kept))
        for _, task in self._kept:
            task.cancel()
        await asyncio.gather(*(task for _, task in self._kept), return_exceptions=True)
        self._kept.clear()


def with_kvstore(configuration: str) -> str:
    """The engine's configuration with the application inside it; every other setting stays."""
    lines = configuration.splitlines(keepends=True)
    places = [place for place, line in enumerate(lines) if line.startswith("proxy_app = ")]
    if len(places) != 1:
        raise KvstoreFailed("the engine's configuration does not name its application once")
    lines[places[0]] = 'proxy_app = "kvstore"\n'
    return "".join(lines)


def kvstore_genesis(genesis: dict[str, Any], keys: Sequence[bytes]) -> dict[str, Any]:
    """A genesis with these validators and the consensus parameters of `genesis`."""
    validators = [
        {
            "pub_key": {"type": "tendermint/PubKeyEd25519", "value": base64.b64encode(key).decode("ascii")},
            "power": genesis["validators"][0]["power"],
            "name": "",
        }
        for key in keys
    ]
    return {**genesis, "chain_id": "kvstore", "validators": validators, "app_state": {}, "app_hash": ""}


def transactions(sizes: Sequence[int], seed: int = _SEED) -> Iterator[bytes]:
    """Without end: "key=value" of these lengths in turn, each another one; incompressible but for being hexadecimal."""
    source = random.Random(seed)  # noqa: S311  (filling)
    for number, size in enumerate(itertools.cycle(sizes)):
        key = b"%012d=" % number
        length = max(1, size - len(key))
        yield key + source.randbytes(length // 2 + 1).hex().encode("ascii")[:length]


async def load(network: KvstoreNetwork, clients: int, sizes: Sequence[int], seconds: float) -> list[Committed]:
    """Keep `clients` transactions waiting for a block for so long; the blocks of that time."""
    entrances = [EngineRpc(network.rpc_socket(number)) for number in range(_ENTRANCES)]
    room = asyncio.Semaphore(clients)
    source = transactions(sizes)
    end = time.monotonic() + seconds
    found: list[Committed] = []

    async def send(engine: EngineRpc) -> None:
        while True:
            await room.acquire()
            answer = await engine.broadcast(next(source))
            if answer.code:
                raise KvstoreFailed(f"kvstore refuses: {answer.log}")

    senders = [asyncio.create_task(send(entrances[number % _ENTRANCES])) for number in range(min(clients, 64))]
    try:
        async for block in _follow(network, end):
            found.append(block)
            for _ in range(block.transactions):
                room.release()
            for sender in senders:
                if sender.done():
                    sender.result()
    finally:
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        for engine in entrances:
            await engine.close()
    return found


async def _follow(network: KvstoreNetwork, end: float) -> Any:
    """The blocks that are committed from now to `end`."""
    engine = EngineBlocks(network.rpc_socket(0))
    try:
        last = await engine.height()
        while time.monotonic() < end:
            height = await engine.height()
            known_at = time.monotonic()
            if height > last:
                counts = await engine.transactions(last + 1, height)
                for each in range(last + 1, height + 1):
                    yield Committed(known_at=known_at, transactions=counts[each])
                last = height
            await asyncio.sleep(_POLL_S)
    finally:
        await engine.close()


