"""Texts from elsewhere."""

from __future__ import annotations

import json
import time

import pytest

from amqpd.text import as_cell, in_json, masked, one_line, printable

#: What steers terminals (ECMA-48, in seven and in eight bits), ends lines, or turns letters around.
HOSTILE = "\x1b[2J\x9b2J\x9d0;title\x9c\x07\x08\x7f\x85\u2028\u2029\u202e\u2066\u200f\r"


def test_nothing_in_a_printable_text_steers_a_terminal() -> None:
    shown = printable(f"a\tb\nc{HOSTILE}ä€😀")

    assert shown.startswith("a\tb\nc\\x1b[2J\\x9b2J")
    assert shown.endswith("\\u202e\\u2066\\u200f\\x0dä€😀")
    assert not any(one in shown for one in HOSTILE if not " " <= one <= "~")


def test_a_line_stays_one() -> None:
    assert one_line(f"a\nb{HOSTILE}").isprintable()
    assert one_line("a\nb\tc") == "a\\nb\tc"
    assert len(one_line(HOSTILE).splitlines()) == 1


def test_json_stays_what_it_is() -> None:
    told = in_json(json.dumps({HOSTILE: ["ä", HOSTILE]}, ensure_ascii=False))

    assert told.isprintable()
    assert json.loads(told) == {HOSTILE: ["ä", HOSTILE]}


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("amqp://u:secret@h/%2f", "amqp://u:***@h/%2f"),
        ("amqps://u:p@ss/w:rd@h:5671", "amqps://u:***@h:5671"),
        ("amqp://:secret@h", "amqp://:***@h"),
        ("two http://a:b@c and amqp://d:e@f", "two http://a:***@c and amqp://d:***@f"),
        ("https://host:8443/path", "https://host:8443/path"),
        ("amqp://user@host:5672", "amqp://user@host:5672"),
        ("mail me@example.org", "mail me@example.org"),
    ],
)
def test_passwords_of_uris_are_not_told(told: str, shown: str) -> None:
    assert masked(told) == shown
    assert masked({"a": [told, 7, None, {"b": told}]}) == {"a": [shown, 7, None, {"b": shown}]}


@pytest.mark.parametrize("text", ["://:", "://a:b@", "@", "a", "://:@ "])
def test_a_long_text_is_looked_through_once(text: str) -> None:
    before_s = time.process_time()
    masked(text * 100_000)

    assert time.process_time() - before_s < 1


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"), ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t=1"), ("\r=1", "'\r=1"), (" =1", "' =1"),
        ("\uff1d1", "'\uff1d1"),
        ("orders", "orders"), ("a=b", "a=b"), ("-1", "-1"), ("+2.5", "+2.5"),
        ("", ""), ("-inf", "'-inf"),
        ("-1_0", "'-1_0"),
    ],
)  # fmt: skip
def test_a_cell_of_a_spreadsheet_is_never_a_formula(text: str, cell: str) -> None:
    assert as_cell(text) == cell
