"""Lineage: what who is upstream, and which element this is, are called all the way down one request.

Whoever asks first draws a lineage key, and it travels with the request. Under it an organization has a pseudonym: who
knows the organization can test for it, and nobody can read it off (Q-09, Q-10, X-06). An element has a lineage id, so that
who gets it over two ways knows (X-05). docs/privacy.md says what sellers learn by it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

LINEAGE_KEY_BYTES: Final = 32
# What a pseudonym and a lineage id look like: SHA-256 in lower-case hexadecimal.
MARK: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def pseudonym(lineage_key: bytes, organization: str) -> str:
    """What `organization` is called in the list of upstream buyers of a request. Req: X-06."""
    return _mark(lineage_key, "organization/" + organization)


def ancestors_of(lineage_key: bytes, buyer: str, above: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The list that goes with a request of `buyer`; `above` is that of the request it serves, if there is one. Req: Q-09."""
    return (*above, pseudonym(lineage_key, buyer))


def element_lineage(lineage_key: bytes, item_id: str) -> str:
    """The lineage id of an item where its request begins. Req: X-05."""
    return _mark(lineage_key, "element/" + item_id)


def child_lineage(lineage_key: bytes, parent_lineage: str, element_id: str) -> str:
    """The lineage id of an element that an item was split into. Req: X-05."""
    return _mark(lineage_key, "element/" + parent_lineage + "/" + element_id)


def _mark(lineage_key: bytes, text: str) -> str:
    return hmac.new(lineage_key, text.encode(), hashlib.sha256).hexdigest()
