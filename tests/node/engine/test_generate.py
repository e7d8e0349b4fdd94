"""The generated classes: from the engine's own schemas and ours, and never half written."""

import shutil
from pathlib import Path

import pytest
from tendermint.abci.types_pb2 import Request, RequestFinalizeBlock

from node.engine import pin
from node.engine.generate import generate
from node.engine.progress import BuildFailed

ROOT = Path(__file__).parents[3]


@pytest.fixture
def checkout(tmp_path):
    """A folder with our schemas and nothing generated."""
    shutil.copytree(ROOT / "proto" / "syngraph", tmp_path / "proto" / "syngraph")
    return tmp_path


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.py*") if path.is_file()}


def test_the_classes_are_those_of_abci_2():
    assert "finalize_block" in Request.DESCRIPTOR.fields_by_name
    assert RequestFinalizeBlock(height=7).SerializeToString() == b"\x28\x07"


def test_every_schema_has_its_class_and_its_types(checkout):
    target = generate(checkout)
    for schema in (*(checkout / "proto").rglob("*.proto"), *(pin.cache_entry() / "proto").rglob("*.proto")):
        name = schema.relative_to(checkout / "proto" if schema.is_relative_to(checkout) else pin.cache_entry() / "proto")
        for ending in ("_pb2.py", "_pb2.pyi"):
            assert (target / name.with_name(name.stem + ending)).is_file()
    assert (target / "syngraph" / "v1" / "api_pb2_grpc.pyi").is_file()


def test_generating_again_changes_nothing_and_a_change_only_its_own_files(checkout):
    target = generate(checkout)
    before = files(target)
    times = {path: (target / path).stat().st_mtime_ns for path in before}
    generate(checkout, force=True)
    assert {path: (target / path).stat().st_mtime_ns for path in files(target)} == times
    with (checkout / "proto/syngraph/v1/common.proto").open("a") as schema:
        schema.write("message AddedByATest {}\n")
    generate(checkout)
    changed = {path for path, content in files(target).items() if before.get(path) != content}
    assert Path("syngraph/v1/common_pb2.py") in changed
    assert all(path.name.startswith("common_pb2") for path in changed)


def test_a_schema_that_is_gone_takes_its_classes_with_it(checkout):
    extra = checkout / "proto/syngraph/v1/extra.proto"
    extra.write_text('syntax = "proto3";\npackage syngraph.v1;\nmessage Extra {}\n')
    target = generate(checkout)
    assert (target / "syngraph/v1/extra_pb2.py").is_file()
    extra.unlink()
    generate(checkout)
    assert not list(target.rglob("extra_pb2*"))


def test_a_wrong_schema_names_its_line_and_leaves_the_last_classes(checkout):
    target = generate(checkout)
    before = files(target)
    (checkout / "proto/syngraph/v1/common.proto").write_text('syntax = "proto3";\nmessage {\n')
    with pytest.raises(BuildFailed, match=r"syngraph/v1/common\.proto:2:9"):
        generate(checkout)
    assert files(target) == before


def test_without_the_engine_the_failure_says_how_to_get_it(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv(pin.CACHE_VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(BuildFailed, match="scripts/test --setup"):
        generate(checkout)
