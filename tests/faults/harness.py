"""Four organizations on loopback that validate one bilateral ledger, as real processes to be killed, frozen and starved."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import httpx

from ledgers.client import Client, ClientError
from ledgers.client.connection import Connection
from ledgers.genesis import comet_genesis, ledger_id
from localnet.processes import find_processes
from node.daemon import runtime_folder
from smartcontracts.kernel import Position
from syngraph.v1 import application_pb2 as wire
from tests.node.network import ROOT, Org, RunningNode, found, write_config

POSITIONS = {
    "acme": Position.PARTY,
    "alpha": Position.PARTY,
    "north": Position.NEUTRAL,
    "south": Position.NEUTRAL,
}
LEDGER = "pair"
POLL_S = 0.02


async def until(condition, seconds, what):
    """The first true answer of `condition` (a function, or one that makes an awaitable); fails after `seconds`."""
    give_up = time.monotonic() + seconds
    while True:
        failure = ""
        try:
            answer = condition()
            if asyncio.iscoroutine(answer):
                answer = await answer
        except (ClientError, httpx.HTTPError) as error:  # who is asked may be starting, or busy
            answer, failure = None, f" ({error!r})"
        if answer:
            return answer
        assert time.monotonic() < give_up, f"after {seconds} s: {what}{failure}"
        await asyncio.sleep(POLL_S)


class FaultNode(RunningNode):
    """A node; with `controls` its application is the controlled one."""

    def __init__(self, org, config, ledger_id, *, controlled=False, engine=None, environment=None):
        super().__init__(org, config)
        self.ledger_id = ledger_id
        self.controls = org.folder / "controls.json" if controlled else None
        self.engine = engine
        self.environment = environment or {}

    @property
    def data(self):
        return self.org.folder / "data"

    def start(self):
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}", **self.environment}
        if self.controls is not None:
            environment["SYNGRAPH_TEST_CONTROLS"] = str(self.controls)
        if self.engine is not None:
            environment["SYNGRAPH_TEST_ENGINE"] = str(self.engine)
        special = self.controls is not None or self.engine is not None
        module = "tests.faults.controlled_node" if special else "node"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, "run", "--config", str(self.config)],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def control(self, **values):
        """Set these controls; None takes one away."""
        staged = self.controls.with_suffix(".new")
        try:
            before = json.loads(self.controls.read_text())
        except FileNotFoundError:
            before = {}
        staged.write_text(json.dumps({k: v for k, v in (before | values).items() if v is not None}))
        staged.replace(self.controls)

    def journal(self, call=None, **fields):
        """What the application noted, oldest first, where these fields have these values."""
        path = self.controls.with_suffix(".journal")
        if not path.exists():
            return []
        notes = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
        wanted = fields | ({"call": call} if call else {})
        return [note for note in notes if all(note.get(k) == v for k, v in wanted.items())]

    # Processes

    @property
    def processes(self):
        return find_processes(self.org.folder, self.data)

    @property
    def application_pid(self):
        return self.processes.applications.get("application-0")

    @property
    def engine_pid(self):
        return self.processes.engines.get(self.ledger_id)

    def kill(self, *what):
        """kill -9 of "application", "engine", "node"; the ones that were there."""
        pids = {"application": self.application_pid, "engine": self.engine_pid, "node": self.process.pid}
        for name in what:
            if pids[name] is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pids[name], signal.SIGKILL)
        if "node" in what:
            self.process.wait(60)

    def freeze(self):
        pids = (self.engine_pid, self.application_pid)
        assert None not in pids, "it is not whole, so that it cannot be frozen"
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in (self.application_pid, self.engine_pid):
            if pid is not None:
                os.kill(pid, signal.SIGCONT)

    def end(self):
        """End everything, whatever state it is in, and remove the sockets."""
        with contextlib.suppress(ProcessLookupError, TypeError):
            self.thaw()
        if self.process is not None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in self.processes.all():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run_dir = runtime_folder(self.data) if self.data.exists() else None
        if run_dir is not None and run_dir.parent != self.data:
            shutil.rmtree(run_dir, ignore_errors=True)

    # The engine

    async def rpc(self, method):
        """The engine's answer. Raises httpx.HTTPError."""
        return await super().rpc(self.ledger_id, method)

    async def place(self):
        """(height, round, step) of the engine's consensus."""
        state = (await self.rpc("consensus_state"))["round_state"]
        return tuple(map(int, state["height/round/step"].split("/")))


def older(founded, seconds):
    """The same ledger, founded so long ago: an engine sleeps until its own clock has passed the genesis."""
    genesis = replace(founded.genesis, created_at_ms=founded.genesis.created_at_ms - seconds * 1_000)
    founded.genesis_file.write_text(json.dumps(comet_genesis(genesis)))
    return replace(founded, genesis=genesis, id=ledger_id(genesis))


class Network:
    """The four nodes, and clients of them. A context manager, so that nothing stays behind."""

    def __init__(self, folder, *, controlled=False, engines=None, age_s=0, **parameters):
        self.orgs = {name: Org.make(name, folder, position) for name, position in POSITIONS.items()}
        founded = found(LEDGER, "bilateral", folder, list(self.orgs.values()), **parameters)
        self.founded = founded if not age_s else older(founded, age_s)
        self.id = self.founded.id
        self.folder = folder
        self.nodes = {
            name: FaultNode(
                org,
                write_config(org, [self.founded]),
                self.id,
                controlled=controlled,
                engine=(engines or {}).get(name),
            )
            for name, org in self.orgs.items()
        }

    def __enter__(self):
        try:
            for node in self.nodes.values():
                node.start()
            for node in self.nodes.values():
                node.wait_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        for node in self.nodes.values():
            if node.process is not None and node.process.poll() is None:
                with contextlib.suppress(ProcessLookupError, TypeError):
                    node.thaw()
                node.process.send_signal(signal.SIGTERM)
        for node in self.nodes.values():
            node.end()

    def __getitem__(self, name):
        return self.nodes[name]

    def calm(self):
        """Take every control away."""
        for node in self.nodes.values():
            node.control(hold=None, propose=None, accept_all=None, refuse_checks=None, clock_offset_ms=None)

    def logs(self, characters=1_500):
        return "\n".join(f"--- {name}\n{node.log.read_text()[-characters:]}" for name, node in self.nodes.items())

    @contextlib.asynccontextmanager
    async def seats(self, *, hand_on=False):
        """name -> Seat for every organization; with `hand_on` each hands on to the others' nodes."""
        async with contextlib.AsyncExitStack() as stack:
            seats = {}
            for name in self.nodes:
                seats[name] = Seat(self, name, hand_on=hand_on)
                stack.push_async_callback(seats[name].close)
            yield seats

    # What every test ends with

    async def settled(self, seats, seconds=120):
        """The height at which all nodes run, owe no block and have nothing waiting."""

        async def height():
            statuses = [await seat.status() for seat in seats.values()]
            calm = all(s is not None and s.state == "running" and not s.mempool_transactions for s in statuses)
            if not calm or len({(s.height, s.app_hash, s.engine_height) for s in statuses}) != 1:
                return 0
            first = statuses[0]
            last = (await self["acme"].rpc("status"))["sync_info"]
            owed = bytes.fromhex(last["latest_app_hash"]) != first.app_hash
            return 0 if owed or int(last["latest_block_height"]) != first.height else first.height

        try:
            return await until(height, seconds, "the nodes do not come to the same rest")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    async def assert_same_history(self, seats, height=None):
        """All nodes have the same app hash at every height; returns the last one."""
        height = height or await self.settled(seats)

        async def hashes(seat):
            return [await seat.app_hash(h) for h in range(1, height + 1)]

        first, *others = await asyncio.gather(*(hashes(seat) for seat in seats.values()))
        assert all(first), "a height without an app hash"
        assert all(other == first for other in others)
        return height

    async def next_proposer(self, name="acme"):
        """The organization that proposes next, as the engine of `name` sees it."""
        state = (await self[name].rpc("consensus_state"))["round_state"]
        address = state["proposer"]["address"]
        for owner, node in self.nodes.items():
            key = json.loads((node.org.folder / "engines" / LEDGER / "config" / "priv_validator_key.json").read_text())
            if key["address"] == address:
                return owner
        raise AssertionError(f"no validator has the address {address}")


class Seat:
    """An organization's client of its own node."""

    def __init__(self, network, name, *, hand_on=False):
        self.network = network
        self.name = name
        self.org = network.orgs[name]
        self._address = f"127.0.0.1:{self.org.grpc_port}"
        others = ()
        if hand_on:
            others = [
                Connection(f"127.0.0.1:{other.grpc_port}", self.org.credentials(other.authority))
                for other in network.orgs.values()
                if other is not self.org
            ]
        self.client = Client(self._address, self.org.credentials(), others=others)
        self._plain = Connection(self._address, self.org.credentials())
        self._ledger = None

    async def close(self):
        await self.client.close()
        await self._plain.close()

    async def ledger(self):
        if self._ledger is None:
            self._ledger = await self.client.ledger(self.network.id)
        return self._ledger

    async def status(self):
        """The ledger's status on this node, or None while it does not answer."""
        try:
            return await (await self.ledger()).status()
        except ClientError:
            return None

    async def height(self):
        status = await self.status()
        return 0 if status is None else status.height

    async def app_hash(self, height):
        return (await (await self.ledger()).app_hash(height))[1]

    async def submit(self, *acts, **options):
        return await (await self.ledger()).submit(list(acts), [self.org.signer], **options)

    async def stored(self, kind, document_id, height=0):
        """(bytes as stored, height of the last change, version), of kinds that the client has no records for, too."""
        request = wire.GetRequest(ledger_id=self.network.id, kind=kind, id=document_id, height=height)
        document = (await self._plain.call("Get", request)).document
        return document.stored
