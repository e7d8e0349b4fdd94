"""Every boundary that the duties enumerate is one at which an agent was killed, in memory: all ends as if nothing had happened.

On real processes chance and time decide which of them a market passes; here nothing is left to chance. Each boundary is
killed in the first story that passes it, or in the one that is named where other duties would do the step first.
"""

from __future__ import annotations

from functools import cache

import pytest

from node.agents.boundaries import boundaries
from node.agents.roster import DUTIES
from tests.node.agents.chains import Killed
from tests.node.agents.stories import STORIES, Killer, ending, rivals_of, under_way

EVERY = tuple(boundary for duties in DUTIES.values() for boundary in boundaries(duties))
# By duty and purpose: steps that others do, too, and the story in which they are left to this duty.
LEFT_TO = {
    "answer_inquiry/record": "inquiry",
    "mirror_from_inside/mirror": "standing",
    "remove_service/terminate": "haggled",
    "catch_up_with_order/": "standing",
    "catch_up_with_order/mirror": "standing",
    "catch_up_with_order/record": "standing",
    "catch_up_with_service/mirror": "haggled",
    "catch_up_with_service/terminate": "ended unheard",
    "catch_up_with_quotes/": "rebought",
    "catch_up_with_quotes/choose": "rebought",
    "tend_own_change/say": "changed",
    "tend_own_change/start": "changed",
    "tend_change_after_release/mirror": "crossed proposals",
    "collect_responses/record": "inquiry",
    "collect_of_release/record": "refused inquiry",
    "tend_element/order": "rebought",
    "tend_element/answer": "extended",
    "tend_element/extend": "extended unasked",
    "cancel_bought/record": "cancelled",
    "settle_cancellation/cancel": "purchase",
    "tend_sellers_of_change/mirror": "changed",
    "tend_sellers_of_change/hasten": "hastened",
    "tend_seller_change/hasten": "hastened",
    "tend_sellers_after_release/mirror": "refused proposal",
    "end_stranded/order": "haggled",
    "end_stranded/cancel": "end accepted and not made",
    "end_stranded/record": "haggled",
    "tend_stranded/order": "haggled",
    "tend_stranded/cancel": "end accepted and not made",
    "tend_stranded/record": "haggled",
    "tend_stranded_after_release/order": "haggled",
    "tend_stranded_after_release/cancel": "end accepted and not made",
    "tend_stranded_of_inquiry/ask": "asked again after silence",
    "tend_stranded_of_quote/ask": "asked again after a quote",
    "tend_stranded_of_service/record": "stranded",
    "request_replacement/": "remade",
    "request_replacement/request": "remade",
    "activate_element/": "remade",
    "activate_element/activate": "remade",
}
# Steps that no single news leads to, or that are always refused there (with "after"): (why, a story in which the step is made by others). Duties about stranded services all go
# on with whatever the next step is, so that one may do it if another has come between two of its own reads. Here nothing does.
OUT_OF_REACH = {
    "catch_up_with_service/after/terminate": (
        "what ends a service is the end of an order, which the same duty mirrors before, or a change, whose own end ends it",
        "ended unheard",
    ),
    "tend_stranded_of_inquiry/order": ("an inquiry without a quote is of an attempt that orders nothing", "haggled"),
    "tend_stranded_of_inquiry/cancel": (
        "an inquiry without a quote is of an attempt that orders nothing",
        "end accepted and not made",
    ),
    "tend_stranded_of_quote/cancel": ("what was ordered is issued no more", "end accepted and not made"),
    "tend_stranded_of_order/order": ("with a new attempt the order of the last one is forgotten", "haggled"),
    "tend_stranded_of_service/ask": ("a service that has ended is written down, and nothing else", "haggled"),
    "tend_stranded_of_service/order": ("a service that has ended is written down, and nothing else", "haggled"),
    "tend_stranded_of_service/cancel": (
        "a service that has ended is written down, and nothing else",
        "end accepted and not made",
    ),
}


@cache
def untold(story):
    """The story without a kill: the boundaries passed, its ending, and what is under way then."""
    watch = Killer()
    market = STORIES[story](watch)
    assert market.failures == []
    return watch.passed, ending(market), under_way(market)


def step_of(boundary):
    return f"{boundary.duty}/{boundary.purpose}"


def is_out_of_reach(boundary):
    return bool({step_of(boundary), f"{boundary.duty}/{boundary.moment}/{boundary.purpose}"} & OUT_OF_REACH.keys())


def story_of(boundary):
    """Where to kill, and who is to be dead before."""
    if step_of(boundary) in LEFT_TO:
        return LEFT_TO[step_of(boundary)], rivals_of(boundary)
    story = next((name for name in STORIES if boundary in untold(name)[0]), None)
    assert story is not None, f"no story passes {boundary}"
    return story, frozenset()


@pytest.mark.parametrize("story", STORIES)
def test_a_story_without_kills_comes_to_its_end(story):
    assert untold(story)[2] == []


@pytest.mark.req("D-40", "X-27")
@pytest.mark.parametrize("boundary", [one for one in EVERY if not is_out_of_reach(one)], ids=str)
def test_an_agent_killed_at_any_boundary_ends_as_if_nothing_had_happened(boundary):
    story, rivals = story_of(boundary)
    killer = Killer(boundary, rivals)
    market = STORIES[story](killer)
    assert killer.killed
    assert [error for *_, error in market.failures if not isinstance(error, Killed)] == []
    assert ending(market) == untold(story)[1]


@pytest.mark.parametrize("boundary", [one for one in EVERY if is_out_of_reach(one)], ids=str)
def test_what_is_said_to_be_out_of_reach_is(boundary):
    """A duty that comes to pass such a boundary is to be killed there, and the entry to go."""
    step = step_of(boundary)
    _, story = OUT_OF_REACH.get(step) or OUT_OF_REACH[f"{boundary.duty}/{boundary.moment}/{boundary.purpose}"]
    killer = Killer(boundary, rivals_of(boundary))
    STORIES[story](killer)
    assert not killer.killed
    assert not any(boundary in untold(story)[0] for story in STORIES)
    assert any(rival in untold(story)[0] for rival in rivals_of(boundary)), "nobody does it in this story"


def test_all_that_is_said_about_boundaries_is_about_some():
    steps = {step_of(one) for one in EVERY}
    assert steps >= LEFT_TO.keys()
    assert len([one for one in EVERY if is_out_of_reach(one)]) == sum(
        1 if "after" in key else 2 for key in OUT_OF_REACH
    )
    assert set(LEFT_TO.values()) <= STORIES.keys()
