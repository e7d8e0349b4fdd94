"""README's first steps, typed as they stand there: two agreements, a request, its quote, an order watched until it is activated."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from scripts.story.files import SAMPLE_QUOTE
from tests.localnet.test_cli import PROGRAM, environment

SYNGRAPH = (sys.executable, "-c", "from node.cli import main; main()")
AS_BUYER = ("--config", "members/b_bus/syngraph.toml")
# Of the sample request.
AGREEMENT = "Acme and Alpha 2026"


def localnet(*words, cwd):
    done = subprocess.run(
        [*PROGRAM, *words], cwd=cwd, env=environment(), capture_output=True, text=True, check=False, timeout=150
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def typed(home, *words, code=0):
    """What a command printed, as JSON."""
    command = [*SYNGRAPH, *map(str, words), "--json"]
    done = subprocess.run(command, cwd=home, env=environment(), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """The folders of the default network's organizations."""
    folder = tmp_path_factory.mktemp("first")
    localnet("up", cwd=folder)
    try:
        yield folder / ".localnet"
    finally:
        localnet("down", "--purge", cwd=folder)
        assert list(folder.iterdir()) == []


def agree(homes, ledger, first, second, **changes):
    terms = typed(homes / first, "trade", "agreement", "template", ledger) | changes
    file = homes / first / "terms.json"
    file.write_text(json.dumps(terms))
    proposal = typed(homes / first, "trade", "agreement", "propose", ledger, file)
    # The other party reads what it accepts.
    read = typed(homes / second, "query", "get", ledger, "proposal", proposal["id"])["body"]["act_plain"]
    assert read["agreement_terms"]["name"] == terms["name"]
    assert typed(homes / second, "trade", "agreement", "accept", ledger, proposal["id"])["status"] == "enacted"


def watched_until(home, order_id, status):
    """Every tree that a pipe had until the order had this status; then Ctrl-C."""
    watching = subprocess.Popen(
        [*SYNGRAPH, "watch", "acme-alpha", "--order", order_id, "--json"],
        cwd=home,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    trees = []
    try:
        for line in watching.stdout:
            trees.append(json.loads(line))
            if trees[-1]["status"] == status:
                break
        watching.send_signal(signal.SIGINT)
        _, told = watching.communicate(timeout=30)
    finally:
        watching.kill()
    assert (told, watching.returncode) == ("", 130)
    return trees


def nodes_of(tree):
    return [tree, *(node for child in tree["children"] for node in nodes_of(child))]


@pytest.mark.network
@pytest.mark.timeout(240)
def test_first_steps_lead_from_an_agreement_to_a_service_and_its_end(homes):
    agree(homes, "acme-alpha", "acme", "alpha", name=AGREEMENT)
    agree(homes, "alpha-bravo", "alpha", "bravo")
    acme, alpha = homes / "acme", homes / "alpha"

    quote = typed(acme, "trade", "inquire", "acme-alpha", SAMPLE_QUOTE, "--wait", *AS_BUYER)
    assert quote["state"] == "approved.orderable"
    windows = ("--accept-within", "1h", "--activate-within", "10d")
    placed = typed(acme, "trade", "order", "acme-alpha", quote["id"], *windows, *AS_BUYER)

    trees = watched_until(alpha, placed["id"], "activated")
    assert all(node["window_ends_ms"] > 0 for tree in trees for node in nodes_of(tree) if node["window"])
    assert {node["ledger"] for node in nodes_of(trees[-1])} == {"acme-alpha", "alpha-internal", "alpha-bravo"}
    bought = [node for node in nodes_of(trees[-1]) if (node["ledger"], node["kind"]) == ("alpha-bravo", "order")]
    assert [node["status"] for node in bought] == ["activated"]
    # acme sees its own ledger of it, and nothing below.
    seen = typed(acme, "watch", "acme-alpha", "--order", placed["id"], "--once")
    assert {node["ledger"] for node in nodes_of(seen)} == {"acme-alpha"}

    audited = typed(alpha, "audit", "alpha-internal")
    assert (audited["findings"], audited["unread"]) == ([], 0)
    assert audited["acts"] >= 3
    # Each of them in its transaction, too; and the one that its carrier may just be writing down.
    assert audited["commands"] >= audited["acts"]
    assert audited["untraced"] == 0

    (service,) = [node for node in nodes_of(seen) if node["kind"] == "service"]
    ending = typed(acme, "trade", "terminate", "acme-alpha", service["id"], "--wait", *AS_BUYER)
    assert ending["state"] == "approved.orderable"
