"""Looks: what came of looking at a document, and whether it is looked at again, for the runtime and the simulation alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.agents.worklist import Subject, Worklist

# A final refusal mostly says that things have moved since the duty looked, and nothing more may happen to this very document:
# it is looked at once more after this long, and from then on when something happens to it.
SECOND_LOOK_MS: Final = 1_000


@dataclass(slots=True)
class Look:
    """One call for a document, and what came of it."""

    is_second: bool = False
    catches_up: bool = False
    again_ms: int | None = None
    failed: bool = False
    refused: bool = False

    def again(self, at_ms: int) -> None:
        """Somebody wants another one by then."""
        self.again_ms = at_ms if self.again_ms is None else min(self.again_ms, at_ms)

    def was_refused(self) -> None:
        """A step was refused for good, whatever its duty makes of that."""
        self.refused = True


class Looks(Worklist):
    """A worklist that knows why a document is looked at, and puts it back by what came of that."""

    def __init__(self) -> None:
        """Empty."""
        super().__init__()
        # Documents that are looked at again only because a step was refused, or about which events may have been missed.
        self._second: set[Subject] = set()
        self._missed: set[Subject] = set()

    def wake(self, subject: Subject, now_ms: int, *, missed: bool = False) -> None:
        """Look at it now, or once more if somebody is just looking; `missed` where events of it may have been missed."""
        self._second.discard(subject)
        if missed:
            self._missed.add(subject)
        super().wake(subject, now_ms)

    def begin(self, subject: Subject, look: Look) -> None:
        """A look at a subject that was taken begins."""
        look.is_second, look.catches_up = subject in self._second, subject in self._missed
        self._second.discard(subject)
        self._missed.discard(subject)

    def put_back(self, subject: Subject, look: Look, now_ms: int) -> None:
        """The look has ended."""
        if look.refused and not look.is_second:
            # What has refused the step stands by now, and may be all that happens: its own event may wake another document.
            self._second.add(subject)
            look.again(now_ms + SECOND_LOOK_MS)
        if look.catches_up and (look.failed or look.again_ms is not None):
            self._missed.add(subject)
        if look.failed:
            self.failed(subject, now_ms, look.again_ms)
        elif look.again_ms is not None:
            self.later(subject, look.again_ms, now_ms)
        else:
            self.done(subject, now_ms)
