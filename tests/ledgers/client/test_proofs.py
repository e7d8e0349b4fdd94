"""A proof file from anybody: whatever stands in it, it is read or refused, never a failure of the reader."""

from __future__ import annotations

import json

import pytest

from ledgers.client.proofs import ProofFile, ProofFileInvalid, read_genesis

FILE = ProofFile(
    ledger_id="sg_a",
    kind="order",
    id="ord_1",
    stored=b"\x01",
    salt=b"\x02",
    proof=b"\x03",
    height=7,
    signed_header={"header": {}},
    validators=[],
)


def test_a_file_is_read_as_it_was_written():
    assert ProofFile.from_bytes(FILE.to_bytes()) == FILE


@pytest.mark.parametrize("member", ["format", "ledger_id", "kind", "id", "stored", "salt", "proof", "height", "sha256"])
@pytest.mark.parametrize(
    "value", ["1e400", "-1e400", "NaN", "1.5", "null", "[]", "{}", '"zz"', '"\\ud800"', "9" * 5_000]
)
def test_invalid_values_are_refused_in_every_member(member, value):
    if (member, value) == ("stored", "null"):
        # Absence: another claim, with another checksum.
        value = '"null"'
    content = json.loads(FILE.to_bytes())
    data = json.dumps({**content, member: "VALUE"}).replace('"VALUE"', value).encode()
    with pytest.raises(ProofFileInvalid) as refused:
        ProofFile.from_bytes(data)
    assert refused.value.reason in ("file_malformed", "file_altered")


@pytest.mark.parametrize(
    "data", [b"", b"null", b"5", b"[]", b"{}", b"\xff", b"[" * 100_000, b'"a', b'{"chain_id": 1e400, "app_state": 1}']
)
def test_invalid_files_are_no_proofs_and_no_genesis(data):
    with pytest.raises(ProofFileInvalid, match="not a proof file"):
        ProofFile.from_bytes(data)
    with pytest.raises(ProofFileInvalid):
        read_genesis(data)
