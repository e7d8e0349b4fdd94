"""The process: its configuration, its ground, several ledgers, SIGTERM, and a halt that stays with its ledger."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tendermint.abci import types_pb2 as abci

from abci_app import selfcheck
from abci_app.application import LedgerApplication
from abci_app.config import ConfigurationError, load_config
from abci_app.halt import HaltRecord, read_halt, write_halt
from abci_app.process import STORE_DIRECTORY, ApplicationProcess
from abci_app.store import LevelStore
from abci_app.tree import Tree
from ledgers.framing import FrameDecoder, encode_frame
from ledgers.genesis import ledger_id
from ledgers.kinds import contract_table
from syngraph.v1 import application_pb2 as wire
from tests.abci_app.reference_tree import leaves_of, root_of
from tests.abci_app.test_private import Client
from tests.fake_consensus import FakeConsensus, init_chain_request
from tests.versioned import schedule
from tests.world import World, make_genesis, quiet_log

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def home():
    """A short path, private, in which processes and connections end with the test."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o700)
        yield Path(directory)
        while OPEN:
            OPEN.pop().end()


OPEN = []


def ledger_config(home, name, genesis):
    directory = home / name
    directory.mkdir(mode=0o700, exist_ok=True)
    return {
        "ledger_id": ledger_id(genesis),
        "name": name,
        "data_directory": str(directory),
        "abci_socket": str(directory / "abci.sock"),
        "private_socket": str(home / "app.sock"),
        "peers": ["ab" * 20],
    }


class Process:
    """A real application process."""

    def __init__(self, home, config, *, log="app.log", **environment):
        path = home / "app.json"
        path.write_text(json.dumps(config))
        paths = os.pathsep.join((str(ROOT), str(ROOT / "proto" / "gen")))
        self.log = home / log
        with self.log.open("w") as told:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "abci_app", "--config", str(path)],
                stderr=told,
                env={**os.environ, "PYTHONPATH": paths, **environment},
            )
        OPEN.append(self)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(60)

    def wait_for(self, *paths):
        deadline = time.monotonic() + 60
        while not all(Path(p).exists() for p in paths):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def lines(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]


class Engine:
    """Enough of an engine to make calls on an ABCI socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        OPEN.append(self)
        self.socket.settimeout(60)
        self.socket.connect(str(path))
        self.decoder = FrameDecoder()

    def end(self):
        self.socket.close()

    def call(self, **request):
        # In one piece: the other side may close after the first.
        both = (abci.Request(**request), abci.Request(flush=abci.RequestFlush()))
        self.socket.sendall(b"".join(encode_frame(one.SerializeToString()) for one in both))
        answer = self._receive()
        if answer.WhichOneof("value") != "exception":
            assert self._receive().WhichOneof("value") == "flush"
        return answer

    def _receive(self):
        while (payload := self.decoder.next_frame()) is None:
            data = self.socket.recv(65_536)
            if not data:
                raise EOFError
            self.decoder.feed(data)
        return abci.Response.FromString(payload)


def test_two_ledgers_in_one_process_and_a_graceful_end(home):
    one, two = make_genesis(), make_genesis(secret=b"t" * 32)
    config = {"ledgers": [ledger_config(home, "one", one), ledger_config(home, "two", two)]}
    process = Process(home, config)
    process.wait_for(home / "one/abci.sock", home / "two/abci.sock")
    roots = {}
    for name, genesis in (("one", one), ("two", two)):
        engine = Engine(home / name / "abci.sock")
        assert engine.call(info=abci.RequestInfo(abci_version="2.0.0")).info.last_block_height == 0
        roots[name] = engine.call(init_chain=init_chain_request(genesis)).init_chain.app_hash
        engine.call(finalize_block=abci.RequestFinalizeBlock(height=1, txs=[]))
        engine.call(commit=abci.RequestCommit())
    assert roots["one"] != roots["two"]

    async def statuses():
        async with Client(home / "app.sock") as client:
            return [
                (
                    await client.ask(get_ledger_status=wire.GetLedgerStatusRequest(ledger_id=ledger_id(g)))
                ).get_ledger_status.status
                for g in (one, two)
            ]

    assert [(s.name, s.height, s.state) for s in asyncio.run(statuses())] == [
        ("one", 1, "running"),
        ("two", 1, "running"),
    ]
    assert process.stop() == 0
    assert not (home / "app.sock").exists()
    assert not (home / "one/abci.sock").exists()
    events = [line["event"] for line in process.lines()]
    assert events[-1] == "process.ended"
    times = json.loads((home / "one/stage-times.json").read_text())
    assert times["blocks"] == 1
    assert times["store"] > 0
    # What was committed is there for the next process.
    again = Process(home, config)
    again.wait_for(home / "one/abci.sock")
    engine = Engine(home / "one/abci.sock")
    assert engine.call(info=abci.RequestInfo(abci_version="2.0.0")).info.last_block_app_hash == roots["one"]
    assert again.stop() == 0


def test_a_ledger_that_halts_closes_its_own_connections_and_stays_stopped(home):
    one, two = make_genesis(), make_genesis(secret=b"t" * 32)
    config = {"ledgers": [ledger_config(home, "one", one), ledger_config(home, "two", two)]}
    process = Process(home, config)
    process.wait_for(home / "one/abci.sock", home / "two/abci.sock")
    sound, broken = Engine(home / "two/abci.sock"), Engine(home / "one/abci.sock")
    answer = broken.call(init_chain=init_chain_request(two))
    assert answer.WhichOneof("value") == "exception"
    with pytest.raises((EOFError, OSError)):
        broken.call(info=abci.RequestInfo(abci_version="2.0.0"))
    assert sound.call(info=abci.RequestInfo(abci_version="2.0.0")).info.data
    assert (home / "one/halt.json").exists()
    assert process.stop() == 0
    again = Process(home, config)
    again.wait_for(home / "two/abci.sock")
    assert not (home / "one/abci.sock").exists()

    async def state():
        async with Client(home / "app.sock") as client:
            request = wire.GetLedgerStatusRequest(ledger_id=ledger_id(one))
            return (await client.ask(get_ledger_status=request)).get_ledger_status.status

    status = asyncio.run(state())
    assert status.state == "halted"
    assert "init_chain" in status.halt
    assert again.stop() == 0


def test_an_earlier_halt_keeps_the_ledger_stopped_and_readable(home):
    genesis = make_genesis()
    config = {"ledgers": [ledger_config(home, "one", genesis)], "log_format": "text"}
    write_halt(
        home / "one", HaltRecord(ledger_id="l", height=7, step="commit", failure="OSError", message="m", at_ms=1)
    )
    process = Process(home, config)
    process.wait_for(home / "app.sock")
    assert not (home / "one/abci.sock").exists()
    assert process.stop() == 0
    assert "ledger.halted_before" in process.log.read_text()


def before_an_upgrade(home, name):
    """Fill a store whose next block runs under version 2, which this software lacks; that block's height."""
    world = World(names=("acme",), start=False)
    store = LevelStore(home / name / STORE_DIRECTORY)
    application = LedgerApplication(world.ledger_id, store, home / name, clock=world.clock, log=quiet_log())
    consensus = world.consensus = FakeConsensus({"acme": application}, world.genesis).start()
    consensus.run()
    at = consensus.height + 4
    assert consensus.submit(world.transaction(schedule(2, at), signers=("acme", "alpha"))).code == 0
    while consensus.height < at - 1:
        world.clock.now_ms += 10
        consensus.block()
    store.close()
    return at


def test_a_ledger_whose_next_version_is_lacking_halts_alone_until_the_software_has_it(home, monkeypatch):
    one, two = make_genesis(), make_genesis(secret=b"t" * 32)
    config = {"ledgers": [ledger_config(home, "one", one), ledger_config(home, "two", two)]}
    at = before_an_upgrade(home, "one")
    process = Process(home, config)
    process.wait_for(home / "one/abci.sock", home / "two/abci.sock")
    engine, other = Engine(home / "one/abci.sock"), Engine(home / "two/abci.sock")
    info = engine.call(info=abci.RequestInfo(abci_version="2.0.0")).info
    assert (info.last_block_height, info.app_version) == (at - 1, 2)
    answer = engine.call(finalize_block=abci.RequestFinalizeBlock(height=at, txs=[]))
    assert answer.WhichOneof("value") == "exception"
    record = read_halt(home / "one")
    assert (record.ledger_id, record.height) == (ledger_id(one), at)
    assert "version 2 of the contracts, which this node's software lacks" in record.message
    assert other.call(init_chain=init_chain_request(two)).init_chain.app_hash
    assert process.stop() == 0

    same = Process(home, config)
    same.wait_for(home / "two/abci.sock")
    assert not (home / "one/abci.sock").exists()
    assert same.stop() == 0
    assert read_halt(home / "one") == record

    def newer_software(*arguments, **options):
        return LedgerApplication(*arguments, **options, table_for=lambda kind, _: contract_table(kind, 1))

    async def start():
        process = ApplicationProcess(load_config(home / "app.json"), quiet_log())
        try:
            await process.start()
            return (home / "one/abci.sock").exists()
        finally:
            await process.close()

    monkeypatch.setattr("abci_app.process.LedgerApplication", newer_software)
    assert asyncio.run(start())
    assert read_halt(home / "one") is None


def test_a_store_that_another_process_holds_is_waited_for_and_leaves_no_record(home):
    genesis = make_genesis()
    config = {"ledgers": [ledger_config(home, "one", genesis)]}
    first = Process(home, config)
    first.wait_for(home / "one/abci.sock")
    # Sockets of its own, the same store.
    other = ledger_config(home, "one", genesis)
    other |= {"abci_socket": str(home / "one/second.sock"), "private_socket": str(home / "second.sock")}
    second = Process(home, {"ledgers": [other]}, log="second.log")
    deadline = time.monotonic() + 60
    while "store.locked" not in second.log.read_text():
        assert second.process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not (home / "one/second.sock").exists()
    assert first.stop() == 0
    second.wait_for(home / "one/second.sock")
    assert not (home / "one/halt.json").exists()
    assert second.stop() == 0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"surplus": 1}, "surplus"),
        ({"log_format": "xml"}, "log_format"),
        ({"ledgers": [{"ledger_id": "x"}]}, "ledgers.0"),
        (None, "JSON"),
    ],
)
def test_invalid_configuration_names_the_place(home, change, word):
    path = home / "app.json"
    path.write_text("{" if change is None else json.dumps(change))
    with pytest.raises(ConfigurationError, match=word):
        load_config(path)
    with pytest.raises(ConfigurationError):
        load_config(home / "missing.json")


def test_invalid_configuration_of_a_ledger(home):
    good = ledger_config(home, "one", make_genesis())
    for change in ({"peers": ["x"]}, {"data_directory": "relative"}, {"ledger_id": "sg_UPPER"}, {"more": 1}):
        (home / "app.json").write_text(json.dumps({"ledgers": [{**good, **change}]}))
        with pytest.raises(ConfigurationError):
            load_config(home / "app.json")
    (home / "app.json").write_text(json.dumps({"ledgers": [good, good]}))
    with pytest.raises(ConfigurationError, match="same"):
        load_config(home / "app.json")


def test_a_process_does_not_start_on_a_bad_configuration_or_ground(home):
    assert Process(home, {"surplus": 1}).process.wait(60) == 2
    config = {"ledgers": [ledger_config(home, "one", make_genesis())]}
    assert Process(home, config, PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python").process.wait(60) == 3


def test_the_ground_is_what_the_vectors_say(monkeypatch):
    selfcheck.check_ground()
    monkeypatch.setattr(selfcheck, "verify_transaction_signature", lambda *_: True)
    with pytest.raises(selfcheck.SelfCheckFailedError, match="flipped"):
        selfcheck.check_ground()


def test_the_root_of_the_self_check_is_that_of_the_plain_tree():
    content = {}

    class Recorder(Tree):
        def update(self, version, changes):
            for key, value in changes.items():
                content.pop(key, None)
                if value is not None:
                    content[key] = value
            return super().update(version, changes)

    selfcheck_tree, selfcheck.Tree = selfcheck.Tree, Recorder
    try:
        root = selfcheck.tree_root()
    finally:
        selfcheck.Tree = selfcheck_tree
    assert root == root_of(leaves_of(content))
    assert root.hex() == selfcheck._TREE_ROOT


def test_logs_say_nothing_of_what_was_in_a_transaction():
    code = (
        "import sys\n"
        "from abci_app.logs import make_logger\n"
        "for form in ('json', 'text'):\n"
        "    log = make_logger(form, 'info').bind(ledger='l')\n"
        "    try:\n"
        "        price = 'price-4711'\n"
        "        raise ValueError('told')\n"
        "    except ValueError as failure:\n"
        "        log.error('failed', exc_info=failure)\n"
        "    log.debug('hidden')\n"
    )
    paths = os.pathsep.join((str(ROOT), str(ROOT / "proto" / "gen")))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    # The source line of a traceback may be shown, values of variables may not: here the line holds the value's name.
    assert "price =" not in done.stderr
    assert done.stderr.count("told") >= 2
    assert "hidden" not in done.stderr
