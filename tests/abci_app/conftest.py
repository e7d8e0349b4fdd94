"""What the application's tests have in common."""

from __future__ import annotations

import pytest

from tests.world import OPEN_STORES


@pytest.fixture(autouse=True)
def stores_end_with_their_test():
    """LevelDB does not like to be found open when the interpreter ends."""
    yield
    while OPEN_STORES:
        OPEN_STORES.pop().close()
