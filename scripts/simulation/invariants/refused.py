"""What is refused changes nothing: no document, no event; a block of refusals leaves every document as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.simulation.invariants.base import Invariant, broken

if TYPE_CHECKING:
    from scripts.simulation.chain import Chain, Decided


class Refused(Invariant):
    """Req: the issue's "refused ones too"; DESIGN section 3."""

    def block(self, chain: Chain, decided: Decided) -> None:
        result = decided.result
        refused = {one.receipt.transaction_id for one in result.results if one.receipt.code}
        for event in result.events:
            if event.transaction_id in refused:
                broken(
                    "refused_changes_nothing",
                    chain,
                    f"a refused transaction has the event {event.name} of {event.document_id}",
                )
        named = [one.receipt.name for one in result.results if one.receipt.code and one.receipt.documents]
        if named:
            broken("refused_changes_nothing", chain, f"what was refused as {named[0]} wrote a document")
        # The first entry is the block's own, and has no message.
        if not result.fired and all(one.receipt.code for one in result.results[1:]) and decided.written:
            broken(
                "refused_changes_nothing", chain, f"{decided.written[0].after.key} was written by a block of refusals"
            )
