"""The tiers' arithmetic: what is one block, what a quote waits for, and what each step took."""

from __future__ import annotations

from scripts.load.commits import Happening, commits_of, counted, path, steps


def happening(name, arrived_ms, *, ledger="alpha-internal", height=1, transaction=b"t", begun_ms=None):
    return Happening(
        ledger=ledger,
        height=height,
        name=name,
        document_id="d",
        transaction_id=transaction,
        ledger_time_ms=int(arrived_ms) - 20 if begun_ms is None else begun_ms,
        arrived_ms=arrived_ms,
    )


def test_what_one_block_of_one_ledger_did_is_one_commit_heard_of_with_its_first_event():
    found = commits_of(
        [
            happening("b", 110.0, height=2),
            happening("a", 109.0, height=2, transaction=b"u"),
            happening("a", 111.0, height=2),
            happening("c", 100.0, ledger="acme-alpha", height=2),
        ]
    )
    assert [(one.ledger, one.names, one.transactions, one.arrived_ms) for one in found] == [
        ("acme-alpha", ("c",), 1, 100.0),
        ("alpha-internal", ("b", "a"), 2, 109.0),
    ]


def test_deadlines_are_no_transactions():
    assert commits_of([happening("quote.expired", 5.0, transaction=b"")])[0].transactions == 0


def test_a_path_has_both_ends_and_nothing_that_only_writes_down_what_was_done():
    commits = commits_of(
        [
            happening("before", 9.0, height=1),
            happening("inquiry.received", 10.0, height=2),
            happening("release.carried", 11.0, height=3),
            happening("release.carried", 12.0, height=4),
            happening("inquiry_handover.to_quote", 12.5, height=4),
            happening("quote.issued", 13.0, height=5),
            happening("inquiry_handover.quoted", 13.0, height=6),
            happening("after", 14.0, height=7),
        ]
    )
    assert [one.height for one in path(commits, 10.0, 13.0)] == [2, 4, 5]


def test_a_step_takes_from_the_commit_before_it_and_has_two_parts():
    commits = commits_of([happening("a", 140.0, height=1, begun_ms=110), happening("b", 200.0, height=2, begun_ms=190)])
    first, second = steps([(100.0, commits)])
    assert (first.p50_ms, first.before_ms, first.block_ms) == (40.0, 10.0, 30.0)
    assert (second.p50_ms, second.before_ms, second.block_ms) == (60.0, 50.0, 10.0)


def test_paths_of_another_form_than_most_are_left_out_of_the_steps():
    usual = [commits_of([happening("a", at)]) for at in (10.0, 20.0, 30.0)]
    other = commits_of([happening("z", 5.0), happening("a", 900.0, height=2)])
    found = steps([(0.0, usual[0]), (0.0, other), (0.0, usual[1]), (0.0, usual[2])])
    assert [(one.names, one.p50_ms, one.p99_ms) for one in found] == [(("a",), 20.0, 30.0)]


def test_of_no_path_there_are_no_steps():
    assert steps([]) == ()


def test_blocks_and_transactions_are_counted_by_ledger():
    commits = commits_of([happening("a", 1.0), happening("a", 2.0, transaction=b"u"), happening("b", 3.0, height=2)])
    assert counted(commits) == {"alpha-internal": {"blocks": 2, "transactions": 3}}
