"""The engine's JSON-RPC over its unix socket: what the node asks of it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.rpc_connection import HttpBroken, HttpSocket

TIMEOUT_S: Final = 10.0
_VALIDATORS_A_PAGE: Final = 100
_CACHED: Final = "tx already exists in cache"


class EngineAway(Exception):
    """The engine does not answer, or is not ready to."""


class EngineSilent(EngineAway):
    """The engine took the request and gave no answer: it hangs."""


class EngineRefused(Exception):
    """The engine's own refusal, before the application was asked: mempool full, transaction too large."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The application's answer to CheckTx. `known`: the mempool's cache had the bytes, nothing was asked."""

    code: int
    log: str
    info: str
    data: bytes
    codespace: str
    known: bool = False


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """Where the engine is."""

    node_id: str
    height: int
    catching_up: bool
    voting_power: int


class EngineRpc:
    """One engine's RPC. Raises EngineAway from every method."""

    def __init__(self, socket: Path) -> None:
        """`socket` is the path that `rpc.laddr` names."""
        self._http = HttpSocket(socket)

    async def close(self) -> None:
        """Close its connections."""
        await self._http.close()

    async def broadcast(self, transaction: bytes) -> Checked:
        """Hand `transaction` to the mempool and return what CheckTx said. Raises EngineRefused too."""
        answer = await self._call("broadcast_tx_sync", {"tx": base64.b64encode(transaction).decode("ascii")})
        if answer is None:
            return Checked(0, "", "", b"", "", known=True)
        return Checked(
            int(answer.get("code") or 0),
            str(answer.get("log") or ""),
            str(answer.get("info") or ""),
            # The one field of this answer that the engine writes in hexadecimal.
            bytes.fromhex(answer.get("data") or ""),
            str(answer.get("codespace") or ""),
        )

    async def status(self) -> EngineStatus:
        """Height and whether it is still catching up."""
        answer = await self._call("status", {})
        sync = answer["sync_info"]
        return EngineStatus(
            answer["node_info"]["id"],
            int(sync["latest_block_height"]),
            bool(sync["catching_up"]),
            int(answer["validator_info"]["voting_power"]),
        )

    async def shown_app_hash(self) -> tuple[int, bytes]:
        """Height of the last block, and the app hash that its header shows (of the state before it)."""
        sync = (await self._call("status", {}))["sync_info"]
        return int(sync["latest_block_height"]), bytes.fromhex(sync["latest_app_hash"])

    async def peers(self) -> int:
        """How many peers are connected."""
        return int((await self._call("net_info", {}))["n_peers"])

    async def waiting_transactions(self) -> int:
        """How many transactions the mempool holds."""
        return int((await self._call("num_unconfirmed_txs", {}))["n_txs"])

    async def round(self) -> str:
        """Where consensus is, as "height/round/step"."""
        return str((await self._call("consensus_state", {}))["round_state"]["height/round/step"])

    async def commit(self, height: int) -> bytes:
        """Header and commit of `height` as JSON: `{"signed_header": ...}`."""
        answer = await self._call("commit", {"height": str(height)})
        return _compact({"signed_header": answer["signed_header"]})

    async def validators(self, height: int) -> bytes:
        """The whole validator set of `height` as JSON: `{"validators": [...]}`."""
        found: list[Any] = []
        page = 1
        while True:
            answer = await self._call(
                "validators", {"height": str(height), "page": str(page), "per_page": str(_VALIDATORS_A_PAGE)}
            )
            found += answer["validators"]
            if len(found) >= int(answer["total"]) or not answer["validators"]:
                return _compact({"validators": found})
            page += 1

    async def _call(self, method: str, parameters: dict[str, str]) -> Any:
        """The `result`; None where the transaction is in the mempool's cache already."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        try:
            answer = json.loads(await self._http.post(json.dumps(request).encode("ascii"), TIMEOUT_S))
        except TimeoutError as error:
            raise EngineSilent(f"the engine gave no answer to {method} in {TIMEOUT_S:g} s") from error
        except (HttpBroken, OSError, ValueError) as error:
            raise EngineAway(f"the engine does not answer {method}: {type(error).__name__}") from error
        problem = answer.get("error")
        if not problem:
            return answer["result"]
        text = f"{problem.get('message', '')}: {problem.get('data', '')}"
        if _CACHED in text:
            return None
        if method == "broadcast_tx_sync":
            raise EngineRefused(text)
        raise EngineAway(f"{method}: {text}")


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("utf-8")
