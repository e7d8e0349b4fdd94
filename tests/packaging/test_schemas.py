"""buf refuses a schema that would change what kept bytes mean."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROTO = Path(__file__).parents[2] / "proto"
BUF = Path(sys.executable).parent / "buf"


@pytest.fixture
def schemas(tmp_path):
    """A copy of the schemas with a baseline of the same state."""
    copy = shutil.copytree(PROTO, tmp_path / "proto", ignore=shutil.ignore_patterns("gen"))
    buf(tmp_path, "build", "proto", "--exclude-source-info", "-o", "proto/baseline.txtpb")
    return copy


def buf(folder, *arguments):
    # No home and no network: a fresh clone must do.
    done = subprocess.run([BUF, *arguments], cwd=folder, env={}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def breaking(schemas):
    return buf(schemas.parent, "breaking", "proto", "--against", "proto/baseline.txtpb")


def change(schemas, old, new):
    path = schemas / "syngraph/v1/common.proto"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_new_message_breaks_nothing(schemas):
    change(schemas, "message Money {", "message Added { string a = 1; }\nmessage Money {")
    assert breaking(schemas) == (0, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [("string currency = 1;", "string currency = 9;"), ("string currency = 1;", "int64 currency = 1;"), ("string currency = 1;", "")],
)
def test_a_field_that_moves_changes_type_or_goes_is_refused(schemas, old, new):
    change(schemas, old, new)
    code, out = breaking(schemas)
    assert code == 100, out
    assert "syngraph/v1/common.proto" in out


def test_a_badly_named_field_is_refused_by_lint(schemas):
    assert buf(schemas.parent, "lint", "proto") == (0, "")
    change(schemas, "string currency = 1;", "string currencyCode = 1;")
    assert "lower_snake_case" in buf(schemas.parent, "lint", "proto")[1]
