"""The order in which an engine may call the application, checked on recorded calls.

The rules are those of CometBFT v0.40.0's specification (`spec/abci/abci++_comet_expected_behavior.md`), which
is a regular grammar, so a table of states is enough. A recording may span several lives of the engine,
each begun by `START`, and may stop anywhere: a process can be killed at any point.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

START: Final = "start"
"""Recorded when an engine connects to a ledger that had no connection: a new life begins."""

FREE_CALLS: Final = frozenset({"check_tx", "query", "echo", "flush", "list_snapshots", "load_snapshot_chunk"})
"""Calls that the grammar allows anywhere. `info` is one too (people ask for it), and has rules besides."""

# States of one life: what was called last, as far as it matters for what may follow.
_BEGUN: Final = "the start"
_ASKED: Final = "info"
_OFFERED: Final = "offer_snapshot"
_APPLIED: Final = "apply_snapshot_chunk"
_RESTORED: Final = "info after a restored snapshot"
_HEIGHT: Final = "a height's rounds"
_FINALIZED: Final = "finalize_block"

# Each part of a round may be missing and rounds may be many, so the grammar allows these in any order
# and number; only between finalize_block and commit nothing else may come.
_ROUND_CALLS: Final = (
    "prepare_proposal",
    "process_proposal",
    "extend_vote",
    "verify_vote_extension",
)
_IN_HEIGHT: Final = MappingProxyType({**dict.fromkeys(_ROUND_CALLS, _HEIGHT), "finalize_block": _FINALIZED})
_RESTORE: Final = MappingProxyType({"offer_snapshot": _OFFERED, "apply_snapshot_chunk": _APPLIED})

_NEXT: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        _BEGUN: {"info": _ASKED, "offer_snapshot": _OFFERED},
        # Somebody may ask for info over RPC before or while a snapshot is restored.
        _ASKED: {"init_chain": _HEIGHT, "offer_snapshot": _OFFERED, **_IN_HEIGHT},
        _OFFERED: _RESTORE,
        _APPLIED: {"info": _RESTORED, **_RESTORE},
        _RESTORED: {**_RESTORE, **_IN_HEIGHT},
        _HEIGHT: _IN_HEIGHT,
        _FINALIZED: {"commit": _HEIGHT},
    }
)

# Where to go on after a call that was out of order, so that one fault gives one line; elsewhere the state stays.
_RESUME: Final = MappingProxyType(
    {
        **_RESTORE,
        "init_chain": _HEIGHT,
        "commit": _HEIGHT,
        "finalize_block": _FINALIZED,
    }
)


def violations(calls: Iterable[str]) -> list[str]:
    """Return a sentence for each call that is out of order; an empty list when the recording is legal.

    `calls` are names as a `CallRecorder` gets them (`finalize_block`), with `START` before each life of
    the engine; the first `START` may be missing. Besides the grammar of one life it is checked that
    `init_chain` and restored snapshots come only before the first committed height.
    """
    found: list[str] = []
    state = _BEGUN
    has_committed = False
    for index, name in enumerate(calls):
        if name == START:
            state = _BEGUN
            continue
        if name in FREE_CALLS:
            continue
        if has_committed and name in ("init_chain", "offer_snapshot"):
            found.append(f"call {index}: {name} after a height was committed")
        following = _NEXT[state].get(name)
        if following is not None:
            state = following
        elif name != "info":
            found.append(f"call {index}: {name} cannot follow {state}")
            state = _RESUME.get(name, state)
        has_committed = has_committed or name == "commit"
    return found
