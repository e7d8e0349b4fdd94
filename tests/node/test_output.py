"""What commands print: times as people read them, whole ids where there is no terminal, nobody's control characters."""

from __future__ import annotations

import json

from node.cli.output import Output, instant, text_of


def test_times_are_shown_in_utc_and_none_as_nothing():
    assert instant(1_795_620_539_137) == "2026-11-25 15:28:59Z"
    assert instant(0) == ""


def test_without_a_terminal_an_id_stands_on_one_line(capsys):
    rows = [(f"org_{'a' * 32}", "active", 1, instant(1), instant(2)), (f"org_{'b' * 32}", "removed", 2, "", "")]
    Output(as_json=False).rows(("id", "status", "version", "created", "updated"), rows, [])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith(f"org_{'a' * 32} ")


def test_control_characters_of_others_do_not_reach_the_terminal():
    assert text_of("a\x1b[31mb\n") == "a\N{REPLACEMENT CHARACTER}\\[31mb\N{REPLACEMENT CHARACTER}"


def test_people_can_read_the_json_that_a_document_holds_and_scripts_get_it_as_it_is(capsys):
    document = {"product": b'{"cir":10}', "list": b"[1]", "salt": b"\x7b\xff", "name": "7b7d7d", "empty": b""}
    Output(as_json=False).fields(document)
    told = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines() if " " in line.strip())
    assert {name: text.strip() for name, text in told.items()} == {
        "field": "value",
        "product": '{"cir":10}',
        "list": "[1]",
        "salt": "7bff",
        "name": "7b7d7d",
    }
    Output(as_json=True).fields(document)
    assert json.loads(capsys.readouterr().out)["product"] == b'{"cir":10}'.hex()
