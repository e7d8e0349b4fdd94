"""What crosses the loopback interface: a process that records every frame, and the streams in what it recorded.

Raw frames need CAP_NET_RAW. Who is not root has it in a network namespace of its own, where that namespace's loopback carries
nothing but the network that was started in it: `scripts/demo` goes there by `unshare`, where this machine lets it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import mmap
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

LOOPBACK: Final = "lo"
INSIDE: Final = "SYNGRAPH_DEMO_NAMESPACE"
_READY: Final = b"recording\n"
_ALL_PROTOCOLS: Final = 0x0003
# packet(7), which Python's socket module does not name.
_SOL_PACKET: Final = 263
_PACKET_RX_RING: Final = 5
_PACKET_STATISTICS: Final = 6
_PACKET_VERSION: Final = 10
_PACKET_IGNORE_OUTGOING: Final = 23
_TPACKET_V3: Final = 2
_OUTGOING: Final = 4
# The ring: blocks that the kernel fills with frames of any length, and hands over when full or after a while.
_BLOCKS: Final = 128
_BLOCK_BYTES: Final = 1 << 20
_FRAME_BYTES: Final = 1 << 16
_RETIRE_MS: Final = 50
_BLOCK_STATUS: Final = 8
_BLOCK_COUNT: Final = 12
_IS_OURS: Final = 1
# Where a frame's `sll_pkttype` stands behind its header of 48 bytes.
_PACKET_TYPE: Final = 48 + 10
_WAIT_S: Final = 0.2
_LENGTH: Final = struct.Struct("!I")
_ETHERNET_BYTES: Final = 14
_IPV4: Final = 0x0800
_TCP: Final = 6
_STOP_S: Final = 30.0
_DRAIN_S: Final = 0.5
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1

# Source address and port, destination address and port.
Flow = tuple[bytes, int, bytes, int]


@dataclass(frozen=True, slots=True)
class Captured:
    """What a capture has: frames, frames that the kernel had to drop, and bytes of each direction of each connection."""

    frames: int
    dropped: int
    streams: dict[Flow, bytes]

    @property
    def size(self) -> int:
        """Payload bytes."""
        return sum(map(len, self.streams.values()))


class Capture:
    """A recording of the loopback interface into a file: `start`, then `stop`; `abandon` in any case."""

    def __init__(self, path: Path) -> None:
        """Records into `path`."""
        self._path = path
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Begin; returns when frames are recorded. Raises OSError where raw frames are not for us, or none are recorded."""
        require_permission()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "scripts.story.capture", str(self._path), stdout=asyncio.subprocess.PIPE
        )
        if self._process.stdout is None or await self._process.stdout.readline() != _READY:
            raise OSError("what records the loopback interface ended before it began")

    async def stop(self) -> Captured:
        """End it, and read what it recorded."""
        process = self._process
        if process is None:
            return Captured(0, 0, {})
        process.send_signal(signal.SIGTERM)
        said, _ = await asyncio.wait_for(process.communicate(), _STOP_S)
        counts = json.loads(said)
        return Captured(counts["frames"], counts["dropped"], streams_of(self._path))

    async def abandon(self) -> None:
        """No process is left, whatever went wrong before; nothing to do after `stop`."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def is_permitted() -> bool:
    """Whether this process may see raw frames."""
    return not refusal()


def refusal() -> str:
    """Why this process may not see raw frames; empty if it may."""
    try:
        require_permission()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def require_permission() -> None:
    """Raises OSError: PermissionError as a rule, another one where the kernel or a sandbox has no such sockets."""
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS)).close()


@cache
def namespace_command() -> tuple[str, ...]:
    """What runs a command in a network namespace of its own, as somebody who may capture there; empty where that is not allowed."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    command = (unshare, "--user", "--net", "--map-root-user")
    tried = subprocess.run([*command, "true"], check=False, capture_output=True)
    return command if tried.returncode == 0 else ()


def bring_loopback_up() -> None:
    """In a new namespace the loopback interface is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", LOOPBACK.encode(), 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", LOOPBACK.encode(), flags | _IFF_UP))


def streams_of(path: Path) -> dict[Flow, bytes]:
    """The payload of every direction of every TCP connection in a recording, in the order in which it was seen."""
    found: dict[Flow, list[bytes]] = defaultdict(list)
    for frame in _frames(path):
        segment = _segment(frame)
        if segment is not None and segment[1]:
            found[segment[0]].append(segment[1])
    return {flow: b"".join(parts) for flow, parts in found.items()}


def _frames(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while len(head := source.read(_LENGTH.size)) == _LENGTH.size:
            yield source.read(_LENGTH.unpack(head)[0])


def _segment(frame: bytes) -> tuple[Flow, bytes] | None:
    """The flow and payload of a frame that holds TCP over IPv4."""
    packet = frame[_ETHERNET_BYTES:]
    if len(packet) < 40 or int.from_bytes(frame[12:14], "big") != _IPV4 or packet[9] != _TCP:
        return None
    head = (packet[0] & 0x0F) * 4
    end = int.from_bytes(packet[2:4], "big") or len(packet)
    tcp = packet[head:end]
    source, target = struct.unpack("!HH", tcp[:4])
    return (packet[12:16], source, packet[16:20], target), tcp[(tcp[12] >> 4) * 4 :]


class _Ring:
    """Frames of the loopback interface through memory that the kernel fills (PACKET_RX_RING, version 3).

    A socket's own buffer is some 200 KB, and only root may have more: on a busy machine that loses frames. A ring may be as
    large as one likes, also in a network namespace of one's own.
    """

    def __init__(self) -> None:
        # Bound only once the ring is there, so that nothing comes before it.
        self._raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._raw.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
        frames = _BLOCKS * _BLOCK_BYTES // _FRAME_BYTES
        ring = struct.pack("7I", _BLOCK_BYTES, _BLOCKS, _FRAME_BYTES, frames, _RETIRE_MS, 0, 0)
        self._raw.setsockopt(_SOL_PACKET, _PACKET_RX_RING, ring)
        with contextlib.suppress(OSError):
            self._raw.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._memory = mmap.mmap(self._raw.fileno(), _BLOCKS * _BLOCK_BYTES)
        self._raw.bind((LOOPBACK, _ALL_PROTOCOLS))
        self._ready = select.poll()
        self._ready.register(self._raw, select.POLLIN | select.POLLERR)
        self._block = 0
        self._cut = 0

    def frames(self, wait_s: float) -> Iterator[bytes]:
        """Those of the next block; none if none is full within `wait_s`. What goes out comes in again, and counts once."""
        start = self._block * _BLOCK_BYTES
        if not self._is_filled(start):
            self._ready.poll(wait_s * 1000)
            if not self._is_filled(start):
                return
        count, first = struct.unpack_from("II", self._memory, start + _BLOCK_COUNT)
        at = start + first
        for _ in range(count):
            following, _, _, kept, length, _, begin = struct.unpack_from("6IH", self._memory, at)
            self._cut += kept < length
            if self._memory[at + _PACKET_TYPE] != _OUTGOING:
                yield self._memory[at + begin : at + begin + kept]
            at += following
        struct.pack_into("I", self._memory, start + _BLOCK_STATUS, 0)
        self._block = (self._block + 1) % _BLOCKS

    def lost(self) -> int:
        """Frames that the kernel had no room for, or cut."""
        _, dropped, _ = struct.unpack("3I", self._raw.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 12))
        return int(dropped) + self._cut

    def _is_filled(self, start: int) -> bool:
        return bool(struct.unpack_from("I", self._memory, start + _BLOCK_STATUS)[0] & _IS_OURS)


def _record(path: Path) -> None:
    """Until SIGTERM, or the end of who started it: every frame on the loopback interface."""
    ring, frames, end_by, parent = _Ring(), 0, 0.0, os.getppid()

    def write_block(wait_s: float) -> int:
        block = [_LENGTH.pack(len(frame)) + frame for frame in ring.frames(wait_s)]
        target.write(b"".join(block))
        return len(block)

    def end(*_: Any) -> None:
        nonlocal end_by
        end_by = time.monotonic() + _DRAIN_S

    signal.signal(signal.SIGTERM, end)
    with path.open("wb", buffering=1 << 20) as target:
        print(_READY.decode(), end="", flush=True)
        # What has come by then is read; on a busy network there is always more.
        while not end_by or time.monotonic() < end_by:
            if os.getppid() != parent:
                return
            frames += write_block(_WAIT_S)
        # On a busy machine the time may be over before anything of it was read.
        for _ in range(_BLOCKS):
            frames += (written := write_block(0))
            if not written:
                break
    print(json.dumps({"frames": frames, "dropped": ring.lost()}), flush=True)


if __name__ == "__main__":
    os.umask(0o077)
    _record(Path(sys.argv[1]))
