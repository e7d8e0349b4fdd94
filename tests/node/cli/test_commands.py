"""`syngraph watch`, `audit` and `agent` as they are typed: what is printed, what it is when piped, and what the exit code says."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from ledgers.client import NodeUnreachable, PlainInvalid, ProofFileInvalid, RefusalDetail, Refused, TimedOut
from ledgers.client.identity import KeyFileWrong
from node.cli import main, tree
from node.cli.output import Unfit, fail
from node.cli.settings import Settings
from node.configuration import ConfigurationWrong
from tests.ledgers.client.bookshelf import Shelf
from tests.ledgers.client.test_audit import ABOVE, BELOW, Handover, Sourcing, released
from tests.ledgers.client.test_tree import inquiry, three_tiers

UP, DOWN, INT = "acme-alpha", "alpha-bravo", "alpha-int"


class Watched:
    """A shelf whose events come when a test says what happens; after the last one the stream ends as a revoked reader's does."""

    def __init__(self, shelf, happenings=()):
        self._shelf, self._happenings = shelf, happenings
        self.is_followed = False

    def __getattr__(self, name):
        return getattr(self._shelf, name)

    async def app_hash(self):
        return 7, b""

    async def events(self, after):
        assert after == "7/0"
        self.is_followed = True
        for happen in self._happenings:
            await asyncio.sleep(0.15)
            happen()
            yield "event"
        if not self._happenings:
            await asyncio.sleep(3600)
        await asyncio.sleep(0.15)
        raise Refused(RefusalDetail(code=9008, name="STANDING_ENDED", sentence="Over.", field=""), "PERMISSION_DENIED")


class Node:
    """A client of a node that has these ledgers."""

    def __init__(self, *ledgers):
        self._ledgers = {ledger.name: ledger for ledger in ledgers}

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def node_status(self):
        statuses = tuple(SimpleNamespace(name=one.name, kind=one.kind) for one in self._ledgers.values())
        return SimpleNamespace(organization_id="alpha", ledgers=statuses)

    async def ledger_of(self, status):
        return self._ledgers[status.name]

    async def ledger(self, name):
        if name not in self._ledgers:
            raise Refused(
                RefusalDetail(code=9001, name="LEDGER_UNKNOWN", sentence="There is none.", field="ledger_id"),
                "NOT_FOUND",
            )
        return self._ledgers[name]


@pytest.fixture
def syngraph(monkeypatch):
    def run(*words, ledgers=()):
        monkeypatch.setattr(Settings, "client", lambda _: Node(*ledgers))
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    return run


def test_a_tree_is_shown_once_for_people_and_for_scripts(syngraph):
    done = syngraph("watch", UP, "--inquiry", "inq_up", "--once", ledgers=three_tiers())
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("inquiry  received  response window")
    assert [line.strip("│├└─ ").split("  ")[0] for line in lines] == [
        "inquiry",
        "handover",
        "own element E1",
        "inquiry sourcing",
        "inquiry",
        "quote",
    ]
    shown = json.loads(syngraph("watch", UP, "--inquiry", "inq_up", "--once", "--json", ledgers=three_tiers()).stdout)
    assert (shown["kind"], shown["window_ends_ms"]) == ("inquiry", 5_000)
    assert shown["children"][0]["children"][1]["children"][0]["children"][0]["detail"] == "12.50 EUR over the term"


def test_into_a_pipe_the_tree_comes_again_when_it_has_changed_and_only_then(syngraph):
    up, internal, down = three_tiers()

    def quoted():
        up._documents[0] = ("inquiry", inquiry("inq_up", "quoted"), ())

    watched = Watched(up, happenings=(lambda: None, quoted, lambda: None))
    below, elsewhere = Watched(down), Watched(Shelf("sg_else", "bilateral", name="alpha-charlie"))
    ledgers = (watched, Watched(internal), below, elsewhere)
    done = syngraph("watch", UP, "--inquiry", "inq_up", "--json", ledgers=ledgers)
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["received", "quoted"]
    # The seller's ledger is followed once the tree reaches it; one that has nothing to do with it is not.
    assert (below.is_followed, elsewhere.is_followed) == (True, False)
    # What ends the stream is told, and not taken for an end that was wished for.
    assert (done.exit_code, "STANDING_ENDED" in done.stderr) == (1, True)


async def test_on_a_terminal_windows_count_down_between_events(monkeypatch):
    up, internal, down = three_tiers()
    drawn = []

    class Screen:
        def __init__(self, first, **_):
            drawn.append(first)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, shown, *, refresh):
            assert refresh
            drawn.append(shown)

    clock = iter(range(0, 10**9, 1_000))
    monkeypatch.setattr(tree, "Live", Screen)
    monkeypatch.setattr(tree, "_TICK_S", 0.01)
    monkeypatch.setattr(tree, "now_ms", lambda: next(clock))
    ledgers = (Watched(up, (lambda: None, lambda: None)), Watched(internal), Watched(down))
    with pytest.raises(Refused):
        await tree.follow_live(tree.Reader(tree.TradeTree(ledgers), "inquiry", "sg_up", "inq_up"))
    windows = [one.label.split("response window ")[1].split("[")[0] for one in drawn]
    assert windows[:6] == ["00:00:05", "00:00:04", "00:00:03", "00:00:02", "00:00:01", "00:00:00"]
    assert windows[-1] == "is over"
    # Nothing of it is left running.
    assert {task.get_name() for task in asyncio.all_tasks()} == {asyncio.current_task().get_name()}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("watch", UP, "--inquiry", "a", "--order", "b"), 2, "not both"),
        (("watch", UP, "--once"), 2, "--once goes with"),
        (("watch", UP, "--inquiry", "inq_none", "--once"), 1, "DOCUMENT_UNKNOWN"),
        (("watch", "nowhere", "--order", "ord_1", "--once"), 1, "LEDGER_UNKNOWN"),
        (("audit", "nowhere"), 1, "LEDGER_UNKNOWN"),
        (("audit", UP), 2, "acme-alpha is bilateral: name an internal ledger first"),
        (("agent", "boss"), 2, "s_bus"),
    ],
)
def test_wrong_use_is_told_by_code_and_what_to_give_instead(syngraph, words, code, told):
    done = syngraph(*words, ledgers=three_tiers())
    assert done.exit_code == code
    assert told in done.stderr


def books(release, below=BELOW):
    internal = Shelf("int", "internal", ("release", release, ()), ("sourcing", Sourcing(), ()), name=INT)
    internal.put("inquiry_handover", Handover(ABOVE))
    up, down = Shelf("up", "bilateral", ("inquiry", ABOVE, ()), name=UP), Shelf("down", "bilateral", name=DOWN)
    down.put("inquiry", below)
    return internal, up, down


def test_an_audit_without_findings_says_what_was_compared_and_what_was_not(syngraph):
    done = syngraph("audit", INT, ledgers=books(released()))
    said = (
        "1 releases agree with what stands outside: 1 acts stand on documents as they were let out, 0 in their"
        " transactions, 1 forwarded inquiries name their buyers.\n"
        "Compared by documents only: 1 acts whose events are not kept any more.\n"
    )
    assert (done.exit_code, done.stdout) == (0, said)
    done = syngraph("audit", INT, UP, ledgers=books(released()))
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (
        0,
        "Not compared: 1 releases for ledgers that were not read.",
    )


def test_an_audit_with_findings_lists_them_and_ends_with_1(syngraph):
    altered = replace(BELOW, project="another")
    done = syngraph("audit", INT, ledgers=books(released(), altered))
    assert done.exit_code == 1
    assert "ACT_ALTERED" in done.stdout
    assert "project is another, not empty" in done.stdout
    done = syngraph("audit", INT, "--json", ledgers=books(released(), altered))
    assert done.exit_code == 1
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["name"], finding["kind"], finding["id"]) == ("ACT_ALTERED", "inquiry", "inq_down")
    assert finding["differences"] == [{"field": "project", "expected": "", "found": "another"}]


def test_an_agent_is_another_program_in_this_one_s_place_with_the_same_configuration(syngraph, monkeypatch):
    started = []
    monkeypatch.setattr(os, "execv", lambda program, words: started.append(words))
    syngraph("agent", "sof", "--config", "a.toml", "--set", "log.format=json", "--set", "log.level=debug")
    assert started[0][1:] == [
        "-m",
        "node",
        "agent",
        "sof",
        "--config",
        "a.toml",
        "--set",
        "log.format=json",
        "--set",
        "log.level=debug",
    ]


def test_scripts_get_an_answer_that_they_can_read_also_where_the_use_is_wrong(syngraph):
    done = syngraph("audit", UP, "--json", ledgers=three_tiers())
    assert done.exit_code == 2
    assert json.loads(done.stderr)["error"] == {
        "name": "INPUT_INVALID",
        "sentence": "acme-alpha is bilateral: name an internal ledger first, like alpha-internal.",
    }


@pytest.mark.parametrize(
    ("error", "code", "name"),
    [
        (Refused(RefusalDetail(code=3110, name="QUOTE_EXPIRED", sentence="Late.", field=""), "x"), 1, "QUOTE_EXPIRED"),
        (PlainInvalid("terms.name", "a text is needed"), 2, "INPUT_INVALID"),
        (ConfigurationWrong(["client.node: missing."]), 3, "CONFIGURATION_WRONG"),
        (KeyFileWrong("no key"), 3, "CONFIGURATION_WRONG"),
        (Unfit("no quote request", "SONATA_REQUEST_UNKNOWN", "request"), 2, "SONATA_REQUEST_UNKNOWN"),
        (NodeUnreachable("nobody there"), 4, "NODE_UNREACHABLE"),
        (TimedOut("no answer"), 5, "TIMED_OUT"),
        (ProofFileInvalid("PROOF_WRONG", "no"), 6, "PROOF_WRONG"),
    ],
)
def test_each_failure_has_its_exit_code_and_its_name_for_people_and_scripts(error, code, name, capsys):
    for as_json in (False, True):
        with pytest.raises(SystemExit) as ended:
            fail(error, as_json=as_json)
        told = capsys.readouterr().err
        assert ended.value.code == code
        assert name in told
        assert not as_json or json.loads(told)["error"]["name"] == name


def test_ctrl_c_ends_a_command_with_130_and_nothing_else(syngraph, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(tree, "show", interrupted)
    done = syngraph("watch", UP, "--order", "ord_1", ledgers=three_tiers())
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("words", [("watch",), ("audit",), ("agent",), ("trade",), ("trade", "agreement")])
def test_help_teaches_by_examples(syngraph, words):
    done = syngraph(*words, "--help")
    assert (done.exit_code, "Example" in done.stdout) == (0, True)
