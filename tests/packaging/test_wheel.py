"""The wheel has the engine, the generated classes and the command; what is installed from it runs on its own."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("wheel")  # built once


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # The build requirements are in the environment of the tests; the engine comes from the cache.
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_is_for_this_platform_and_any_python_3_11(wheel):
    assert wheel.name.startswith("syngraph-0.1.0-py3-none-linux_")


def test_engine_classes_and_stubs_are_inside(wheel):
    assert names(wheel) >= {
        "node/engine/bin/build.json",
        "node/engine/bin/cometbft",
        "gogoproto/gogo_pb2.py",
        "tendermint/abci/types_pb2.py",
        "tendermint/abci/types_pb2.pyi",
        "syngraph/v1/transaction_pb2.py",
        "syngraph/v1/transaction_pb2.pyi",
        "syngraph/v1/api_pb2_grpc.py",
        "syngraph/v1/api_pb2_grpc.pyi",
    }


def test_nothing_else_is_inside(wheel):
    tops = {name.split("/")[0] for name in names(wheel)}
    packages = {"abci_app", "gogoproto", "ledgers", "localnet", "node", "smartcontracts", "syngraph", "tendermint"}
    assert tops - packages == {"syngraph-0.1.0.dist-info"}
    assert not [name for name in names(wheel) if "__pycache__" in name or name.endswith(".sha256")]


def test_command_and_plugins_are_declared(wheel):
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read("syngraph-0.1.0.dist-info/entry_points.txt").decode()
    assert "[console_scripts]\nsyngraph = node.cli:main" in text
    assert "[syngraph.commands]\nlocalnet = localnet.cli:command" in text


def test_what_is_installed_runs_its_own_engine_and_classes(wheel, tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", tmp_path / "site", wheel]
    subprocess.run(pip, check=True, capture_output=True)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import subprocess, node.engine, tendermint.abci.types_pb2 as a, syngraph.v1.transaction_pb2 as s\n"
        "print(node.engine.binary(), a.__file__, s.__file__)\n"
        "subprocess.run([node.engine.binary(), 'version'], check=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    places, version = done.stdout.splitlines()
    assert all(place.startswith(f"{tmp_path}/site/") for place in places.split())
    assert version == "0.39.0"
