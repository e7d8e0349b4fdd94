"""Lineage: pseudonyms and lineage ids are HMACs under the request's key, the same for everybody who computes them."""

import hashlib
import hmac

import pytest

from smartcontracts.lineage import MARK, ancestors_of, child_lineage, element_lineage, pseudonym
from tests.smartcontracts.support import org

KEY, OTHER = b"\x11" * 32, b"\x12" * 32


def marked(text, key=KEY):
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.req("X-06")
def test_a_pseudonym_is_the_hmac_of_the_organization_under_the_lineage_key():
    assert pseudonym(KEY, org("acme")) == marked("organization/" + org("acme"))
    assert pseudonym(KEY, org("acme")) != pseudonym(OTHER, org("acme"))
    assert MARK.fullmatch(pseudonym(KEY, org("acme")))


@pytest.mark.req("Q-10")
def test_who_knows_the_candidates_finds_those_upstream_and_nobody_else():
    """J receives a request that lists X, Y and Z, and knows whom not to ask."""
    ancestors = ()
    for name in ("x", "y", "z"):
        ancestors = ancestors_of(KEY, org(name), ancestors)
    assert len(ancestors) == 3
    candidates = ("w", "x", "y", "z", "v")
    assert [name for name in candidates if pseudonym(KEY, org(name)) not in ancestors] == ["w", "v"]


@pytest.mark.req("X-05")
def test_an_elements_name_depends_on_the_way_it_was_split():
    first = element_lineage(KEY, "item-001")
    assert first == marked("element/item-001")
    port = child_lineage(KEY, first, "port")
    assert port == marked(f"element/{first}/port")
    others = {first, element_lineage(KEY, "port"), element_lineage(OTHER, "item-001"), child_lineage(KEY, port, "port")}
    assert port not in others
    assert len(others) == 4
