"""What the bench asks of an engine besides what a node asks: blocks, and how many transactions each has."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.rpc_connection import HttpSocket

_TIMEOUT_S: Final = 30.0
_METAS_A_CALL: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedBlock:
    """A decided block. `app_hash` is of the state before it."""

    height: int
    app_hash: bytes
    transactions: tuple[bytes, ...]


class EngineAsked(Exception):
    """The engine refused to answer; the text is its own."""


class EngineBlocks:
    """One engine's RPC socket. Raises EngineAsked, node.rpc_connection.HttpBroken, OSError, TimeoutError."""

    def __init__(self, socket: Path) -> None:
        """`socket` is the path that `rpc.laddr` names."""
        self._http = HttpSocket(socket)

    async def close(self) -> None:
        """Close its connections."""
        await self._http.close()

    async def height(self) -> int:
        """Of the last block."""
        return int((await self._call("status", {}))["sync_info"]["latest_block_height"])

    async def transactions(self, first: int, last: int) -> dict[int, int]:
        """Height to number of transactions, from `first` to `last`."""
        found: dict[int, int] = {}
        for low in range(first, last + 1, _METAS_A_CALL):
            bounds = {"minHeight": str(low), "maxHeight": str(min(last, low + _METAS_A_CALL - 1))}
            metas = (await self._call("blockchain", bounds))["block_metas"]
            found.update({int(meta["header"]["height"]): int(meta["num_txs"]) for meta in metas})
        return found

    async def block(self, height: int) -> RecordedBlock:
        """The block at a height."""
        block = (await self._call("block", {"height": str(height)}))["block"]
        return RecordedBlock(
            height=height,
            app_hash=bytes.fromhex(block["header"]["app_hash"]),
            transactions=tuple(base64.b64decode(raw) for raw in block["data"]["txs"] or ()),
        )

    async def _call(self, method: str, parameters: dict[str, str]) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        answer = json.loads(await self._http.post(json.dumps(request).encode("ascii"), _TIMEOUT_S))
        if answer.get("error"):
            raise EngineAsked(f"{method}: {answer['error']}")
        return answer["result"]
