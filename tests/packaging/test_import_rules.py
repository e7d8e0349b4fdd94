"""The import rules refuse what they are for: each is broken on purpose, in a copy of the tree."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("abci_app", "ledgers", "localnet", "node", "scripts", "smartcontracts", "syngraph")
BREACHES = [
    ("abci_app/a.py", "import node.b", "the node starts the application as a process"),
    ("node/a.py", "import abci_app.b", "the node starts the application as a process"),
    ("node/a.py", "import localnet.b", "layers"),
    ("smartcontracts/a.py", "import ledgers.b", "layers"),
    ("ledgers/a.py", "import abci_app.b", "layers"),
    ("abci_app/a.py", "import ledgers.client", "the application is no client"),
    ("node/cli.py", "import node.b", "the command line uses only"),
    ("node/cli.py", "import ledgers.b", "the command line uses only"),
    ("node/cli.py", "import grpc", "the command line uses only"),
    ("smartcontracts/a.py", "import time", "contracts import nothing"),
    ("smartcontracts/a.py", "import threading", "contracts import nothing"),
    ("smartcontracts/a.py", "import syngraph.b", "only the codec"),
]
ALLOWED = [
    ("node/cli.py", "import ledgers.client, node.configuration, click"),
    ("localnet/a.py", "import node.b, abci_app.b"),
    ("abci_app/a.py", "import ledgers.b, smartcontracts.b, syngraph.b"),
    ("smartcontracts/codec.py", "import syngraph.b"),
]


@pytest.fixture
def lint(tmp_path):
    """Write empty packages and one file with the import; the output of import-linter's run, and its code."""

    def lint(name, line):
        for package in PACKAGES:
            (tmp_path / package).mkdir()
            for module in ("__init__", "b", "codec", "configuration", "client"):
                (tmp_path / package / f"{module}.py").touch()
        shutil.copy(ROOT / "scripts" / "import_contracts.py", tmp_path / "scripts")
        shutil.copy(ROOT / "pyproject.toml", tmp_path)
        (tmp_path / name).write_text(line + "\n")
        command = [Path(sys.executable).parent / "lint-imports", "--no-logo", "--no-cache"]
        env = {"PYTHONPATH": str(tmp_path), "COLUMNS": "200"}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    return lint


@pytest.mark.parametrize(("name", "line", "rule"), BREACHES)
def test_a_breach_is_refused_by_its_rule(lint, name, line, rule):
    code, out = lint(name, line)
    assert code == 1, out
    broken = [text for text in out.splitlines() if text.endswith("BROKEN")]
    assert any(text.startswith(rule) for text in broken), out


@pytest.mark.parametrize(("name", "line"), ALLOWED)
def test_what_is_allowed_passes(lint, name, line):
    code, out = lint(name, line)
    assert code == 0, out
