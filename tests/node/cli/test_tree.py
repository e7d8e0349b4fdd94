"""How a tree is drawn: one line a document, windows counting down, nothing of somebody else's text taken for markup."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ledgers.client.tree import TreeNode
from node.cli.tree import drawn, remaining


@pytest.mark.parametrize(
    ("left_ms", "text"),
    [(7_000, "00:00:07"), (3_723_999, "01:02:03"), (90_061_000, "1 d 01:01:01"), (0, "00:00:00"), (-1, "is over")],
)
def test_a_window_counts_down(left_ms, text):
    assert remaining(left_ms) == text


def printed(node, at_ms=0):
    text = io.StringIO()
    Console(file=text, width=200, highlight=False).print(drawn(node, at_ms))
    return text.getvalue().splitlines()


def node(title, children=(), **more):
    fields = {"ledger": "alpha-int", "ledger_id": "sg_1", "kind": "sourcing", "id": "src_1", "status": "asked", **more}
    return TreeNode(title=title, children=tuple(children), **fields)


def test_the_tree_shows_status_detail_window_and_where_it_stands():
    tree = node("inquiry", [node("sourcing", window="sellers' window", window_ends_ms=65_000)], detail="NO_CAPACITY")
    first, second = printed(tree, at_ms=5_000)
    assert first == "inquiry  asked  NO_CAPACITY  alpha-int sourcing/src_1"
    assert second == "└── sourcing  asked  sellers' window 00:01:00  alpha-int sourcing/src_1"


def test_somebody_s_text_is_no_markup_and_moves_no_cursor():
    assert printed(node("[red]x[/red]", detail="a\x1b[2Jb"))[0].startswith(
        "[red]x[/red]  asked  a\N{REPLACEMENT CHARACTER}[2Jb"
    )
