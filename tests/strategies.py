"""Strategies that several tests draw from."""

from __future__ import annotations

from hypothesis import strategies as st

ORGANIZATIONS = ("acme", "alpha", "north", "south")


def organizations():
    """A name of `tests.world`."""
    return st.sampled_from(ORGANIZATIONS)


def counter_programs():
    """A step of the counter contract; `count N` stands for the N-th counter that was opened, if there is one."""
    return st.one_of(
        st.builds("open {} {}".format, st.sampled_from(("plain", "bomb", "chain/2", "stuck")), st.integers(1, 120_000)),
        st.builds("count {}".format, st.integers(0, 20)),
        st.sampled_from(("refuse", "raise", "many 3")),
    )


def histories(max_size=25):
    """Steps of a ledger: (organization, program), or milliseconds that pass before the next block."""
    step = st.one_of(st.tuples(organizations(), counter_programs()), st.integers(0, 60_000))
    return st.lists(step, max_size=max_size)
