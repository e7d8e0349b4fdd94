"""`syngraph` typed wrongly, in the wrong folder, or ended by Ctrl-C: a sentence that helps, a stable exit code, and no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from ledgers.client import RefusalDetail, Refused
from ledgers.client.identity import issue_member_certificate, new_authority, write_secret
from node.cli import main
from node.cli.output import fail
from node.cli.settings import Settings
from node.configuration import CONFIG_VARIABLE

ORGANIZATION, MEMBER = "org_" + "a" * 32, "mbr_" + "b" * 32


@pytest.fixture
def syngraph(tmp_path, monkeypatch):
    """Runs it in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)

    def run(*words):
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    return run


@pytest.mark.parametrize(
    "words", [("status",), ("config", "check"), ("config", "show"), ("trade", "cancel", "acme-alpha", "ord_1")]
)
def test_without_a_configuration_one_is_told_where_to_go_or_what_to_name(syngraph, tmp_path, words):
    done = syngraph(*words)
    assert done.exit_code == 3
    assert f"There is no syngraph.toml in {tmp_path}: go where it is, or name a file by --config" in done.stderr
    # With a file that lacks the same, that advice would lead astray.
    (tmp_path / "syngraph.toml").write_text("")
    done = syngraph(*words)
    assert (done.exit_code, "There is no syngraph.toml" in done.stderr) == (3, False)


@pytest.mark.parametrize("program", ["run", "agent"])
def test_the_daemon_and_an_agent_say_it_too(tmp_path, monkeypatch, capsys, program):
    from node.__main__ import main as daemon

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(CONFIG_VARIABLE, raising=False)
    assert daemon([program, *(["sof"] if program == "agent" else [])]) == 3
    assert f"There is no syngraph.toml in {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("query", "list", "--json"), "Missing argument 'LEDGER'."),
        (("status", "--bogus", "--json"), "No such option '--bogus'."),
        (("nothing", "--json"), "No such command 'nothing'."),
        (("localnet", "up", "--bogus", "--json"), "No such option '--bogus'."),
        (("trade", "agreement", "accept", "acme-alpha", "--json"), "Missing argument 'PROPOSAL'."),
    ],
)
def test_scripts_can_read_what_is_wrong_with_the_words_themselves(syngraph, words, sentence):
    done = syngraph(*words)
    assert done.exit_code == 2
    error = json.loads(done.stderr)["error"]
    assert (error["name"], error["sentence"].startswith(sentence)) == ("INPUT_INVALID", True)
    done = syngraph(*(word for word in words if word != "--json"))
    assert done.exit_code == 2
    assert done.stderr.startswith("Usage: ")


def test_help_and_version_are_no_failures(syngraph):
    for words in (("--help",), ("--version",), ("query", "--help")):
        assert syngraph(*words).exit_code == 0


def test_the_short_form_of_help_is_that_of_every_command(tmp_path):
    """In a process of its own: a command keeps the names by which its help was first asked for, and other tests ask, too."""
    done = subprocess.run(
        [sys.executable, "-c", "from node.cli import main; main()", "localnet", "up", "-h"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.startswith("Usage: ")) == (0, True), done.stderr


def test_every_command_is_there_and_explains_itself(syngraph):
    def walk(command, path):
        words = [word for word in path if word]
        done = syngraph(*words, "--help")
        assert done.exit_code == 0, words
        assert done.stdout.startswith("Usage: "), words
        if isinstance(command, click.Group):
            with click.Context(command) as context:
                for name in command.list_commands(context):
                    walk(command.get_command(context, name), [*path, name])

    walk(main, [])


def test_ctrl_c_is_130_in_commands_of_other_packages_too(syngraph, monkeypatch):
    from localnet import cli

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "attach", interrupted)
    done = syngraph("localnet", "status")
    assert (done.exit_code, done.stdout, "Aborted" in done.stderr, "Traceback" in done.stderr) == (
        130,
        "",
        False,
        False,
    )


def test_ctrl_c_while_a_command_is_loaded_is_130_without_a_traceback(syngraph, monkeypatch):
    import node.cli

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(node.cli, "import_module", interrupted)
    done = syngraph("status")
    assert (done.exit_code, "Traceback" in done.stderr) == (130, False)


def test_the_program_is_there_before_what_its_commands_need():
    seen = "import sys, node.cli; print([name for name in ('grpc', 'rich', 'pydantic') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_an_unknown_ledger_is_answered_with_where_the_known_ones_are_listed(capsys):
    refused = Refused(RefusalDetail(code=9001, name="LEDGER_UNKNOWN", sentence="None.", field="ledger_id"), "NOT_FOUND")
    with pytest.raises(SystemExit):
        fail(refused, as_json=False)
    assert "`syngraph status` lists the ledgers" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        fail(refused, as_json=True)
    assert "syngraph status" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("signing", "--organization", "org_abc", "--out", "k"), "'org_abc': this is org_ and 32 letters"),
        (("signing", "--organization", MEMBER, "--out", "k"), "this is org_"),
        (("show", "--organization", "alpha", "k"), "this is org_"),
        (("member", "--authority", "ca", "--member", "sales", "--out", "m"), "'sales': this is mbr_"),
        (("node", "--authority", "ca", "--host", "", "--out", "tls"), "without a port"),
        (("node", "--authority", "ca", "--host", "a.example:7400", "--out", "tls"), "without a port"),
        (("node", "--authority", "ca", "--host", "m\N{LATIN SMALL LETTER U WITH DIAERESIS}ller.example", "--out", "tls"), "give a host name"),
        (("node", "--authority", "ca", "--host", "a..example", "--out", "tls"), "give a host name"),
        (("node", "--authority", "ca", "--host", "a" * 254, "--out", "tls"), "give a host name"),
    ],
)  # fmt: skip
def test_no_key_is_made_for_an_id_or_a_host_that_nobody_can_have(syngraph, tmp_path, words, told):
    syngraph("keys", "authority", "--out", "ca")
    done = syngraph("keys", *words)
    assert done.exit_code == 2
    assert told in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["ca"]


@pytest.mark.parametrize("host", ["node.alpha.example", "localhost", "10.0.0.5", "::1", "a_b-c.example"])
def test_names_and_addresses_are_hosts(syngraph, host):
    syngraph("keys", "authority", "--out", "ca")
    assert syngraph("keys", "node", "--authority", "ca", "--host", host, "--out", "tls").exit_code == 0


@pytest.fixture
def member_files(tmp_path):
    """What a caller needs, as files, and the configuration that names them."""
    authority = new_authority()
    pair, other = issue_member_certificate(authority, MEMBER), issue_member_certificate(authority, MEMBER)
    (tmp_path / "ca.pem").write_bytes(authority.pair.certificate)
    (tmp_path / "m.pem").write_bytes(pair.certificate)
    write_secret(tmp_path / "m.key", pair.key)
    write_secret(tmp_path / "other.key", other.key)
    write_secret(tmp_path / "junk", b"junk")
    return {"ca_certificate": "ca.pem", "certificate": "m.pem", "key": "m.key", "node": "127.0.0.1:1"}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"certificate": "junk"}, "junk: there is no certificate in PEM in it"),
        ({"certificate": "none.pem"}, "none.pem: there is no certificate in PEM in it"),
        ({"key": "junk"}, "junk: there is no unencrypted key in PEM in it"),
        ({"key": "other.key"}, "other.key: this is not the key of the certificate"),
        ({"ca_certificate": "junk"}, "client.ca_certificate: there is no certificate in PEM"),
    ],
)
def test_certificates_that_cannot_be_used_are_named_before_the_node_is_called(
    syngraph, tmp_path, member_files, changed, told
):
    lines = "".join(f'{name} = "{value}"\n' for name, value in {**member_files, **changed}.items())
    (tmp_path / "syngraph.toml").write_text(f"[client]\n{lines}")
    done = syngraph("status")
    assert done.exit_code == 3
    assert told in done.stderr


def test_a_node_that_shows_no_ledger_is_told_apart_from_an_empty_answer(syngraph, monkeypatch):
    @contextmanager
    def connect(_):
        shown = SimpleNamespace(organization_id=ORGANIZATION, version="1", ledgers=())
        yield SimpleNamespace(node_status=lambda: shown)

    monkeypatch.setattr(Settings, "connect", connect)
    done = syngraph("status")
    assert (done.exit_code, "the node shows you no ledger: it is starting" in done.stderr) == (0, True)


def test_a_proof_that_cannot_be_written_is_no_traceback(syngraph, tmp_path, monkeypatch):
    @contextmanager
    def connect(_):
        proof = SimpleNamespace(to_bytes=lambda: b"{}")
        yield SimpleNamespace(ledger=lambda _: SimpleNamespace(prove=lambda *_: proof))

    monkeypatch.setattr(Settings, "connect", connect)
    done = syngraph("proof", "get", "acme-alpha", "order", "ord_1", "--out", tmp_path / "none" / "x")
    assert (done.exit_code, "--out" in done.stderr) == (2, True)
    assert syngraph("proof", "get", "acme-alpha", "order", "ord_1", "--out", tmp_path / "x").exit_code == 0
    assert (tmp_path / "x").read_bytes() == b"{}"


class Listed:
    """A ledger with so many orders."""

    def __init__(self, count):
        self._count = count
        self.is_followed = False

    def list(self, kind, **_):
        if kind != "order":
            raise Refused(RefusalDetail(code=8004, name="KIND_UNKNOWN", sentence="It has order.", field="kind"), "x")
        body = SimpleNamespace(status="placed")
        for number in range(self._count):
            yield SimpleNamespace(
                kind=kind, id=f"ord_{number}", version=1, created_at_ms=1, updated_at_ms=1, height=1, body=body
            )

    def events(self, **_):
        self.is_followed = True
        return iter(())


@pytest.fixture
def ledger(monkeypatch):
    def put(count):
        listed = Listed(count)

        @contextmanager
        def connect(_):
            yield SimpleNamespace(ledger=lambda _: listed)

        monkeypatch.setattr(Settings, "connect", connect)
        return listed

    return put


def test_a_list_that_is_cut_says_so_beside_what_scripts_read(syngraph, ledger):
    ledger(3)
    done = syngraph("query", "list", "acme-alpha", "order", "--limit", 2)
    assert done.exit_code == 0
    assert ("ord_1 " in done.stdout, "ord_2" in done.stdout) == (True, False)
    assert done.stderr == "syngraph: these are the first 2; --limit shows more.\n"
    done = syngraph("query", "list", "acme-alpha", "order", "--limit", 3)
    assert ("ord_2 " in done.stdout, done.stderr) == (True, "")


def test_a_kind_that_is_not_there_is_refused_and_not_waited_for(syngraph, ledger):
    listed = ledger(1)
    done = syngraph("watch", "acme-alpha", "--kind", "order", "--kind", "oder")
    assert (done.exit_code, "KIND_UNKNOWN" in done.stderr, listed.is_followed) == (1, True, False)
    assert syngraph("watch", "acme-alpha", "--kind", "order").exit_code == 0
    assert listed.is_followed
