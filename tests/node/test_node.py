"""A real node of one organization: what the client and the command line see, and what happens when processes die."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
from click.testing import CliRunner
from nacl.signing import SigningKey

from ledgers.client import Act, Client, ClientError, ProofFile, ProofFileInvalid, Receipt, Refused, make, verify_proof
from node.cli import main
from node.daemon import runtime_folder
from smartcontracts.membership import AddMember, RevokeMember, SetNodeIds
from tests.node.network import ROOT, Org, RunningNode, all_gone, found, write_config

pytestmark = [pytest.mark.network, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("node")
    alpha = Org.make("alpha", folder)
    ledger = found("int", "internal", folder, [alpha])
    running = RunningNode(alpha, write_config(alpha, [ledger])).start()
    running.ledger = ledger
    try:
        yield running.wait_ready()
    finally:
        assert running.stop() == 0, running.log.read_text()[-4_000:]


def add_member(roles=("auditor",)):
    return Act(name="add_member", command=AddMember(public_key=SigningKey.generate().verify_key.encode(), roles=roles))


def client_of(node):
    return Client(f"127.0.0.1:{node.org.grpc_port}", node.org.credentials())


async def height_asleep(node, ledger):
    """The height once no block is to follow: each that changes something has one more after it, with the new app hash."""
    while True:
        status = await ledger.status()
        last = (await node.rpc(ledger.id, "status"))["sync_info"]
        shown = (int(last["latest_block_height"]), bytes.fromhex(last["latest_app_hash"]))
        if shown == (status.height, status.app_hash) and not status.mempool_transactions:
            return status.height
        await asyncio.sleep(0.1)


# The client


async def test_submit_answers_with_the_receipt_and_the_document_is_there(node):
    async with client_of(node) as client:
        ledger = await client.ledger("int")
        receipt = await ledger.submit([add_member()], [node.org.signer])
        document = await ledger.get("member", receipt.documents[0].id)
    assert receipt.name == "OK"
    assert document.body.organization_id == node.org.id
    assert document.version == 1
    assert document.height >= receipt.height


async def test_a_refusal_is_the_same_from_simulate_and_submit(node):
    act = Act(name="revoke_member", command=RevokeMember(member_id="mbr_" + "a" * 32))
    async with client_of(node) as client:
        ledger = await client.ledger("int")
        height = await height_asleep(node, ledger)
        signed = make(ledger.id, [add_member(), act], [node.org.signer])
        simulated = await ledger.simulate(signed)
        with pytest.raises(Refused) as caught:
            await ledger.submit_signed(signed)
        detail = caught.value.detail
        assert (detail.code, detail.name, detail.field) == (simulated.code, simulated.name, simulated.field)
        assert detail.name == "MEMBER_UNKNOWN"
        assert detail.message_index == simulated.message_index == 1
        assert caught.value.status == "NOT_FOUND"
        assert await height_asleep(node, ledger) == height, "a refused simulation was broadcast"


async def test_a_transaction_refused_in_its_block_has_a_receipt_and_the_same_refusal(node):
    act = Act(name="revoke_member", command=RevokeMember(member_id="mbr_" + "b" * 32))
    async with client_of(node) as client:
        ledger = await client.ledger("int")
        signed = make(ledger.id, [act], [node.org.signer])
        with pytest.raises(Refused) as caught:
            await ledger.submit_signed(signed, skip_simulation=True)
        receipt = await ledger.receipt(signed.id)
    assert receipt.code == caught.value.detail.code
    assert receipt.height > 0


async def test_200_in_flight_that_are_refused_in_their_blocks_are_all_answered_with_them(node):
    act = Act(name="revoke_member", command=RevokeMember(member_id="mbr_" + "d" * 32))
    async with client_of(node) as client:
        ledger = await client.ledger("int")
        signed = [make(ledger.id, [act], [node.org.signer]) for _ in range(200)]
        answers = await asyncio.gather(
            *(ledger.submit_signed(s, skip_simulation=True) for s in signed), return_exceptions=True
        )
        heights = {(await ledger.receipt(s.id)).height for s in signed}
    assert all(isinstance(answer, Refused) for answer in answers)
    assert {answer.detail.name for answer in answers} == {"MEMBER_UNKNOWN"}
    assert 0 not in heights


async def test_the_same_bytes_again_are_answered_with_the_first_receipt(node):
    async with client_of(node) as client:
        ledger = await client.ledger("int")
        signed = make(ledger.id, [add_member()], [node.org.signer])
        first = await ledger.submit_signed(signed)
        assert await ledger.submit_signed(signed) == first
        assert await ledger.submit_signed(signed, skip_simulation=True) == first
        body, receipt = await ledger.transaction(signed.id)
    assert receipt == first
    assert body.signers == [node.org.signer.name]


async def test_sent_and_not_waited_for(node):
    async with client_of(node) as client:
        ledger = await client.ledger("int")
        signed = make(ledger.id, [add_member()], [node.org.signer])
        assert await ledger.send(signed) == signed.id
        give_up = time.monotonic() + 60
        while True:
            with contextlib.suppress(Refused):
                assert (await ledger.receipt(signed.id)).code == 0
                return
            assert time.monotonic() < give_up
            await asyncio.sleep(0.05)


async def test_a_stream_of_submissions_answers_each_once_refusals_included(node):
    async with client_of(node) as client:
        ledger = await client.ledger("int")
        good = [make(ledger.id, [add_member()], [node.org.signer]) for _ in range(60)]
        bad_act = Act(name="revoke_member", command=RevokeMember(member_id="mbr_" + "c" * 32))
        bad = [make(ledger.id, [bad_act], [node.org.signer]) for _ in range(5)]

        async def transactions():
            for signed in (*good, *bad):
                yield signed

        answers = {name: answer async for name, answer in ledger.submit_many(transactions())}
    assert answers.keys() == {signed.id for signed in (*good, *bad)}
    assert all(isinstance(answers[signed.id], Receipt) for signed in good)
    assert all(answers[signed.id].detail.name == "MEMBER_UNKNOWN" for signed in bad)


async def test_pages_together_are_the_list_at_one_height(node):
    async with client_of(node) as client:
        ledger = await client.ledger("int")
        for _ in range(3):
            await ledger.submit([add_member()], [node.org.signer])
        whole = [d.id async for d in ledger.list("member")]
        first = await ledger.page("member", page_size=2)
        # A member that comes in between is not on later pages: they are of the first one's height.
        await ledger.submit([add_member()], [node.org.signer])
        found, token = [d.id for d in first.documents], first.next_page_token
        while token:
            page = await ledger.page("member", height=first.height, page_size=2, page_token=token)
            assert page.height == first.height
            assert 1 <= len(page.documents) <= 2
            found += [d.id for d in page.documents]
            token = page.next_page_token
        assert found == whole
        with pytest.raises(Refused) as caught:
            await ledger.page("organization", page_token=first.next_page_token)
        assert caught.value.detail.name == "PAGE_TOKEN_INVALID"
        with pytest.raises(Refused) as caught:
            await ledger.page("member", offering="x")
        assert caught.value.detail.name == "FILTER_UNSUPPORTED"


async def test_events_resume_after_a_cursor_without_loss(node):
    async with client_of(node) as client:
        ledger = await client.ledger("int")
        receipts = [await ledger.submit([add_member(), add_member()], [node.org.signer]) for _ in range(2)]
        wanted = [event_id for receipt in receipts for event_id in receipt.event_ids]
        before = f"{receipts[0].height - 1}/0"
        seen, cursor = [], before
        while len(seen) < len(wanted):
            async for event in ledger.events(after=cursor, kinds=["member"]):
                cursor = event.id
                seen.append(event.id)
                break  # a new stream for each event
    assert seen == wanted


async def test_a_proof_file_holds_and_one_changed_byte_does_not(node):
    async with client_of(node) as client:
        ledger = await client.ledger("int")
        receipt = await ledger.submit([add_member()], [node.org.signer])
        while (await ledger.status()).height <= receipt.height:
            await asyncio.sleep(0.02)
        member = receipt.documents[0].id
        present = await ledger.prove("member", member, receipt.height)
        absent = await ledger.prove("member", "mbr_" + "d" * 32)
    genesis = node.ledger.genesis_file.read_bytes()
    proven = verify_proof(ProofFile.from_bytes(present.to_bytes()), genesis)
    assert proven.body.id == member
    assert proven.header_height == receipt.height + 1
    assert verify_proof(absent, genesis).body is None
    data = present.to_bytes()
    for place in range(0, len(data), 7):
        altered = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(ProofFileInvalid):
            verify_proof(ProofFile.from_bytes(altered), genesis)


# The command line


@dataclass
class Answer:
    returncode: int
    stdout: str
    stderr: str


def syngraph(node, *arguments, cwd, stdin=None):
    """The command line in this process: starting Python for each command would take most of the test's time."""
    result = CliRunner().invoke(main, arguments, input=stdin, env={"SYNGRAPH_CONFIG": str(node.config)})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


def test_commands_submit_and_read(node, tmp_path):
    public_key = SigningKey.generate().verify_key.encode().hex()
    messages = json.dumps([{"add_member": {"public_key": public_key, "roles": ["finance"]}}])
    answer = syngraph(node, "tx", "submit", "int", "-", "--json", cwd=tmp_path, stdin=messages)
    assert answer.returncode == 0, answer.stderr
    receipt = json.loads(answer.stdout)
    member = receipt["documents"][0]["id"]
    answer = syngraph(node, "query", "get", "int", "member", member, "--json", cwd=tmp_path)
    assert json.loads(answer.stdout)["body"]["roles"] == ["finance"]
    answer = syngraph(node, "query", "get", "int", "member", member, cwd=tmp_path)
    assert "finance" in answer.stdout
    answer = syngraph(node, "query", "list", "int", "member", "--json", cwd=tmp_path)
    assert member in {document["id"] for document in json.loads(answer.stdout)}
    answer = syngraph(node, "tx", "show", "int", receipt["transaction_id"], "--json", cwd=tmp_path)
    assert json.loads(answer.stdout)["body"]["messages"][0]["add_member"]["public_key"] == public_key
    answer = syngraph(node, "status", cwd=tmp_path)
    assert "running" in answer.stdout
    answer = syngraph(node, "watch", "int", "--after", "", "--count", "1", "--json", cwd=tmp_path)
    assert json.loads(answer.stdout)["name"] == "member.added"


def test_watching_ends_with_ctrl_c_and_says_nothing_of_ours(node):
    """As shells see it: 130, no traceback, and what was told before is all there."""
    with subprocess.Popen(
        [sys.executable, "-c", "from node.cli import main; main()", "watch", "int", "--after", ""],
        cwd=ROOT,
        env={**os.environ, "SYNGRAPH_CONFIG": str(node.config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        try:
            first = watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            _, told = watching.communicate(timeout=120)
        finally:
            watching.kill()
    assert "member." in first or "organization." in first or "ledger." in first
    assert (told, watching.returncode) == ("", 130)


def test_commands_answer_refusals_with_code_1_and_data(node, tmp_path):
    messages = '[{"revoke_member": {"member_id": "mbr_x"}}]'
    answer = syngraph(node, "tx", "submit", "int", "-", "--json", cwd=tmp_path, stdin=messages)
    assert answer.returncode == 1
    assert json.loads(answer.stderr)["error"]["name"] == "MEMBER_UNKNOWN"
    assert syngraph(node, "status", "nowhere", cwd=tmp_path).returncode == 1
    unreachable = syngraph(node, "status", "--set", "client.node=127.0.0.1:1", cwd=tmp_path)
    assert unreachable.returncode == 4


@pytest.mark.parametrize(
    "messages", ['[{"add_member": {}, "add_member": {}}]', '[{"signer": 1e400}]', "[" * 100_000, "{}", "[]"]
)
def test_commands_refuse_files_that_are_no_messages(node, tmp_path, messages):
    answer = syngraph(node, "tx", "submit", "int", "-", cwd=tmp_path, stdin=messages)
    assert answer.returncode == 2
    assert "Traceback" not in answer.stderr


def test_a_proof_is_verified_without_node_and_network(node, tmp_path):
    file = tmp_path / "organization.proof"
    answer = syngraph(node, "proof", "get", "int", "organization", node.org.id, "--out", str(file), cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    verify = ["proof", "verify", str(file), "--genesis", str(node.ledger.genesis_file), "--json"]
    offline = {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}"}
    command = [sys.executable, "-c", NO_NETWORK + "from node.cli import main; main()", *verify]
    answer = subprocess.run(command, cwd=tmp_path, env=offline, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["body"]["id"] == node.org.id
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    answer = subprocess.run(command, cwd=tmp_path, env=offline, capture_output=True, text=True, check=False)
    assert answer.returncode == 6


NO_NETWORK = """
import socket
def refuse(*args, **kwargs): raise AssertionError("the network was used")
socket.socket.connect = refuse
"""


# Processes


def pids(node):
    found = {}
    for file in runtime_folder(node.org.folder / "data").glob("*.pid"):
        with contextlib.suppress(FileNotFoundError):  # one has ended meanwhile
            found[file.stem.partition("-")[0]] = int(file.read_text().split()[0])
    return found


@pytest.mark.parametrize("victim", ["application", "engine"])
async def test_a_killed_process_comes_back_and_the_ledger_goes_on(node, victim):
    before = pids(node)
    os.kill(before[victim], signal.SIGKILL)
    async with client_of(node) as client:
        give_up = time.monotonic() + 150
        while True:
            try:
                ledger = await client.ledger("int")
                receipt = await ledger.submit([add_member()], [node.org.signer], timeout_s=20)
                break
            except ClientError:
                assert time.monotonic() < give_up, node.log.read_text()[-3_000:]
                await asyncio.sleep(0.2)
    assert receipt.name == "OK"
    assert pids(node)[victim] != before[victim]


def test_a_second_node_on_the_same_data_is_refused(node):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'proto' / 'gen'}"}
    command = [
        sys.executable,
        "-m",
        "node",
        "run",
        "--config",
        str(node.config),
        "--set",
        "node.grpc_address=127.0.0.1:0",
    ]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=180)
    assert answer.returncode == 3
    assert "another node runs" in answer.stderr


def test_kill_9_of_the_node_leaves_nothing_and_the_next_start_goes_on(node):
    with node.org.client() as client:
        height = client.ledger("int").status().height
    children = pids(node)
    node.process.kill()
    node.process.wait()
    assert all_gone(children.values()), "a child lives on"
    node.start()
    node.wait_ready()
    with node.org.client() as client:
        ledger = client.ledger("int")
        assert ledger.status().height >= height
        keys = ledger.get("organization", node.org.id).body.node_ids
        receipt = ledger.submit([Act(name="set_node_ids", command=SetNodeIds(node_ids=keys))], [node.org.signer])
        assert receipt.name == "OK"


def test_logs_hold_no_secret_and_no_payload(node):
    text = node.log.read_text()
    assert node.org.key.encode().hex() not in text
    assert "BEGIN" not in text
    assert "public_key" not in text
    submitted = [e for e in node.events() if e.get("event") == "submitted"]
    assert submitted
    assert {"ledger", "tx", "member", "height"} <= submitted[0].keys()
