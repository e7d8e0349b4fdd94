"""Act: an auditor checks one document on a machine of its own: a file, the ledger's genesis, no network, no data directory."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from ledgers.client import ProofFile, Refused
from scripts.story.nodes import Nodes
from scripts.story.scene import Seat, Stage
from scripts.story.telling import StepFailed, require

_WITHIN_S: Final = 20.0
_VERIFY_S: Final = 30.0


async def audit(stage: Stage, nodes: Nodes, seat: Seat, kind: str, document_id: str, wanted: Any) -> None:
    """Prove a document as it stands now; a process that has nothing else accepts the file, and refuses it with one byte changed."""
    began = time.monotonic()
    file = await _proof(seat, kind, document_id, wanted)
    path = nodes.scratch() / f"{kind}-proof.json"
    data = file.to_bytes()
    path.write_bytes(data)
    stage.teller.tell(
        f"document, proof, header and commit in {path} ({len(data)} bytes)",
        who="auditor",
        ledger=seat.ledger_name,
        height=file.height,
        ms=int((time.monotonic() - began) * 1000),
    )
    genesis = nodes.genesis_file(seat.name, seat.ledger_name)
    code, said, ms = await _verify(path.absolute(), genesis.absolute())
    require(code == 0, "the proof to be accepted", f"exit code {code}: {said}")
    stage.teller.tell(f"a new process with nothing but the file and the genesis accepts it: {_first(said)}", who="auditor", ms=ms)
    changed = path.with_name(f"{kind}-proof-changed.json")
    changed.write_bytes(with_one_byte_changed(data))
    code, said, ms = await _verify(changed.absolute(), genesis.absolute())
    require(code != 0, "the changed proof to be refused", said)
    stage.teller.tell(f"with one byte changed it refuses: {_first(said)}", who="auditor", ms=ms)
    stage.teller.note(
        "proofs",
        {
            "ledger": seat.ledger_name,
            "document": f"{kind}/{document_id}",
            "height": file.height,
            "file": str(path),
            "accepted": True,
            "refused_with_one_byte_changed": True,
        },
    )


def with_one_byte_changed(data: bytes) -> bytes:
    """The byte in the middle of the stored document's hex, one bit off."""
    place = data.index(b'"stored": "') + len(b'"stored": "') + 100
    changed = b"0" if data[place : place + 1] != b"0" else b"1"
    return data[:place] + changed + data[place + 1 :]


async def _proof(seat: Seat, kind: str, document_id: str, wanted: Any) -> ProofFile:
    """At the first height whose header there is and at which the document stands as wanted."""
    deadline = time.monotonic() + _WITHIN_S
    while time.monotonic() < deadline:
        try:
            file: ProofFile = await seat.ledger.prove(kind, document_id)
            found = await seat.ledger.get(kind, document_id, file.height)
        except Refused as refused:
            if not refused.detail.transient and refused.detail.name != "DOCUMENT_UNKNOWN":
                raise
        else:
            if found.body == wanted and file.stored == found.stored:
                return file
        await asyncio.sleep(0.1)
    raise StepFailed(f"a proof of {kind}/{document_id} as it stands", f"none within {_WITHIN_S:.0f} s")


async def _verify(file: Path, genesis: Path) -> tuple[int, str, int]:
    """`syngraph proof verify` in an empty environment and an empty directory: exit code, what it said, milliseconds."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as empty:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("syngraph"),
            *("proof", "verify", str(file), "--genesis", str(genesis)),
            cwd=empty,
            env={"HOME": empty},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), _VERIFY_S)
    return process.returncode or 0, said.decode(errors="replace").strip(), int((time.monotonic() - began) * 1000)


def _first(said: str) -> str:
    """Its first line."""
    return said.partition("\n")[0] or "(nothing)"
