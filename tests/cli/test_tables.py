"""Rows in every format."""

from __future__ import annotations

import csv
import json

import pytest

from amqpd.cli.tables import FORMATS, lines

COLUMNS = ("name", "arguments")
ROWS: list[dict[str, object]] = [
    {"name": "a\tb", "arguments": {"x": 1, "y": "é"}},
    {"name": 'q"', "arguments": None},
]


def test_a_table_has_one_line_a_row_whatever_is_in_it() -> None:
    assert list(lines(COLUMNS, ROWS, "table")) == [
        "name\targuments",
        'a\\tb\t[{"x",1},{"y","é"}]',
        'q"\t',
    ]


def test_json_keeps_the_values_as_they_are() -> None:
    assert json.loads("".join(lines(COLUMNS, ROWS, "json"))) == ROWS
    assert json.loads("".join(lines(COLUMNS, [], "json"))) == []


def test_csv_can_be_read_back() -> None:
    found = list(csv.reader(lines(COLUMNS, ROWS, "csv")))

    assert found == [["name", "arguments"], ["a\\tb", '[{"x",1},{"y","é"}]'], ['q"', ""]]


def test_a_framed_table_is_as_wide_as_its_widest_values() -> None:
    framed = list(lines(("a", "long name"), [{"a": "value", "long name": 1}], "pretty_table"))

    assert len(set(map(len, framed))) == 1
    assert framed[3] == "│ value │ 1         │"


def test_terms_quote_what_they_must() -> None:
    (line,) = lines(("n",), [{"n": 'a"b'}], "erlang")

    assert line == r'[[{n,<<"a\"b">>}]]'


@pytest.mark.parametrize("form", FORMATS)
def test_no_name_steers_the_terminal(form: str) -> None:
    evil = [{"name": "\x1b]0;title\x07\x9b2J\u202e", "arguments": {"\x1b[2J": "\x9b2J\u2028"}}]

    assert all(line.isprintable() for line in "".join(lines(COLUMNS, evil, form)).split("\t"))
