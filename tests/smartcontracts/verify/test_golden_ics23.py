"""Every golden proof holds, and every bad one is refused, as the Rust crate judged them."""

from __future__ import annotations

from typing import Any

import pytest

from smartcontracts.verify import errors, ics23
from tests.golden import load_golden

pytestmark = pytest.mark.golden

GOLDEN = load_golden("jmt.json")


def verify(root: str, claim: dict[str, Any]) -> None:
    key, proof = claim["key"].encode(), bytes.fromhex(claim["proof"])
    if claim["value"] is None:
        ics23.verify_non_membership(bytes.fromhex(root), key, proof)
    else:
        ics23.verify_membership(bytes.fromhex(root), key, bytes.fromhex(claim["value"]), proof)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_every_good_proof_holds_and_reencodes_to_its_bytes(case: dict[str, Any]) -> None:
    for claim in case["proofs"]:
        verify(case["final_root"], claim)
        data = bytes.fromhex(claim["proof"])
        assert ics23.encode_proof(ics23.decode_proof(data)) == data


@pytest.mark.parametrize(
    "bad", GOLDEN["bad_proofs"], ids=[f"{i}-{b['why']}" for i, b in enumerate(GOLDEN["bad_proofs"])]
)
def test_every_bad_proof_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(errors.VerificationError):
        verify(bad["root"], bad)
