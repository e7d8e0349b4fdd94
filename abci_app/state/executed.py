"""Which transactions were executed and may not be again: asked twice for each, so in memory as far as that goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from abci_app.store.keys import replay_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from abci_app.store.kv import Reader

KNOWN_MAX: Final = 32_768


class Executed:
    """Ids by minute of expiry. Whole are those minutes whose first transaction this process saw; of others the store is asked.

    The consensus thread adds, others look; each step is one operation of a dictionary or a set.
    """

    def __init__(self) -> None:
        self._minutes: dict[int, set[bytes]] = {}

    def has(self, reader: Reader, minute: int, transaction_id: bytes) -> bool:
        """Whether a transaction that expires in that minute is remembered; `reader` is the store as it is now."""
        known = self._minutes.get(minute)
        if known is not None:
            return transaction_id in known
        return reader.get(replay_key(minute, transaction_id)) is not None

    def follow(self, before: frozenset[int], after: frozenset[int], executed: Iterable[tuple[int, bytes]]) -> None:
        """A block was committed that executed these (minute, id); minutes were remembered `before` it and `after` it."""
        for minute in after - before:
            self._minutes[minute] = set()
        for minute in self._minutes.keys() - after:
            del self._minutes[minute]
        for minute, transaction_id in executed:
            known = self._minutes.get(minute)
            if known is not None:
                known.add(transaction_id)
        while sum(map(len, self._minutes.values())) > KNOWN_MAX:
            # Of what was seen first the store is asked from now on.
            del self._minutes[next(iter(self._minutes))]
