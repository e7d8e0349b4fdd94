"""Worklist: nothing woken is lost, nothing is looked at twice at once, and nothing spins."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from node.agents.worklist import PAUSE_MS_MAX, PAUSE_MS_MIN, Subject, Worklist

ONE, OTHER = Subject("sg_a", "order", "1"), Subject("sg_b", "order", "1")


def test_subjects_come_in_the_order_in_which_they_were_woken_each_once():
    worklist = Worklist()
    for subject in (OTHER, ONE, OTHER):
        worklist.wake(subject, 5)
    assert [worklist.take(5), worklist.take(5), worklist.take(5)] == [OTHER, ONE, None]


def test_what_is_woken_while_it_is_looked_at_gets_another_turn_and_never_two_at_once():
    worklist = Worklist()
    worklist.wake(ONE, 0)
    assert worklist.take(0) == ONE
    worklist.wake(ONE, 1)
    assert worklist.take(1) is None
    worklist.done(ONE, 2)
    assert worklist.take(2) == ONE
    worklist.done(ONE, 3)
    assert worklist.take(10**9) is None
    assert len(worklist) == 0


def test_failures_pause_longer_each_time_up_to_a_bound_and_begin_anew_after_a_success():
    worklist = Worklist()
    worklist.wake(ONE, 0)
    now_ms, pauses = 0, []
    for _ in range(12):
        assert worklist.take(now_ms) == ONE
        pauses.append(worklist.failed(ONE, now_ms))
        assert worklist.take(now_ms + pauses[-1] - 1) is None
        now_ms += pauses[-1]
    assert pauses == [min(PAUSE_MS_MIN * 2**n, PAUSE_MS_MAX) for n in range(12)]
    assert worklist.take(now_ms) == ONE
    worklist.done(ONE, now_ms)
    worklist.wake(ONE, now_ms)
    assert worklist.take(now_ms) == ONE
    assert worklist.failed(ONE, now_ms) == PAUSE_MS_MIN


@pytest.mark.parametrize(("asked_ms", "due_ms"), [(0, 1_000 + PAUSE_MS_MIN), (9_000, 9_000)])
def test_a_document_that_asks_for_a_later_turn_gets_it_but_never_at_once(asked_ms, due_ms):
    worklist = Worklist()
    worklist.wake(ONE, 1_000)
    worklist.take(1_000)
    worklist.later(ONE, asked_ms, 1_000)
    assert worklist.next_due_ms() == due_ms
    assert worklist.take(due_ms - 1) is None
    assert worklist.take(due_ms) == ONE


def test_news_about_a_document_that_waits_comes_before_its_time():
    worklist = Worklist()
    worklist.wake(ONE, 0)
    worklist.take(0)
    worklist.later(ONE, 5_000, 0)
    worklist.wake(ONE, 10)
    assert worklist.next_due_ms() == 10
    assert worklist.take(10) == ONE
    worklist.done(ONE, 11)
    assert worklist.take(9_999) is None


def test_a_ledger_is_idle_when_nothing_of_it_waits_or_is_looked_at():
    worklist = Worklist()
    worklist.wake(ONE, 0)
    assert (worklist.is_idle("sg_a"), worklist.is_idle("sg_b")) == (False, True)
    worklist.take(0)
    assert not worklist.is_idle("sg_a")
    worklist.later(ONE, 50, 0)
    assert not worklist.is_idle("sg_a")
    worklist.take(500)
    worklist.done(ONE, 500)
    assert worklist.is_idle("sg_a")


class Histories(RuleBasedStateMachine):
    """Compared with a model that only knows: who must be looked at, and from when on."""

    subjects = st.sampled_from([Subject("sg_a", "order", str(n)) for n in range(3)])

    def __init__(self):
        super().__init__()
        self.worklist, self.now_ms = Worklist(), 0
        self.waiting, self.active = {}, {}

    @rule(subject=subjects)
    def wake(self, subject):
        self.worklist.wake(subject, self.now_ms)
        if subject in self.active:
            self.active[subject] = True
        else:
            self.waiting[subject] = min(self.waiting.get(subject, self.now_ms), self.now_ms)

    @rule(ms=st.integers(0, 40_000))
    def time_passes(self, ms):
        self.now_ms += ms

    @rule()
    def take(self):
        due = {subject for subject, at_ms in self.waiting.items() if at_ms <= self.now_ms}
        taken = self.worklist.take(self.now_ms)
        assert (taken in due) if due else taken is None
        if taken is not None:
            del self.waiting[taken]
            self.active[taken] = False

    @precondition(lambda self: self.active)
    @rule(data=st.data(), how=st.sampled_from(["done", "later", "failed"]), ms=st.integers(0, 9_000))
    def finish(self, data, how, ms):
        subject = data.draw(st.sampled_from(sorted(self.active)))
        woken = self.active.pop(subject)
        if how == "done":
            self.worklist.done(subject, self.now_ms)
            if woken:
                self.waiting[subject] = self.now_ms
        elif how == "later":
            self.worklist.later(subject, self.now_ms + ms, self.now_ms)
            self.waiting[subject] = self.now_ms if woken else self.now_ms + max(ms, PAUSE_MS_MIN)
        else:
            self.waiting[subject] = self.now_ms + self.worklist.failed(subject, self.now_ms)

    @invariant()
    def next_due_is_the_models(self):
        assert self.worklist.next_due_ms() == min(self.waiting.values(), default=None)
        assert len(self.worklist) == len(self.waiting) + len(self.active)

    @invariant()
    def due_is_what_is_looked_at_or_waits_for_its_turn(self):
        for subject in (*self.waiting, *self.active, OTHER):
            waits = self.waiting.get(subject, self.now_ms + 1) <= self.now_ms
            assert self.worklist.is_due(subject, self.now_ms) == (waits or subject in self.active)


TestHistories = Histories.TestCase


def test_what_failed_comes_soon_if_it_was_woken_meanwhile_and_in_time_for_what_else_is_due():
    worklist = Worklist()
    for _ in range(6):
        worklist.wake(ONE, 0)
        worklist.take(0)
        worklist.failed(ONE, 0)
    worklist.wake(ONE, 0)
    worklist.take(0)
    worklist.wake(ONE, 0)
    assert worklist.failed(ONE, 0) == PAUSE_MS_MIN
    worklist.wake(ONE, 0)
    worklist.take(0)
    assert worklist.failed(ONE, 0, at_ms=900) == 900
    worklist.wake(ONE, 0)
    worklist.take(0)
    assert worklist.failed(ONE, 0, at_ms=-5) == PAUSE_MS_MIN
