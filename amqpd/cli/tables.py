"""Rows for people and programs: the formats that `rabbitmqctl --formatter` knows.

    lines(columns, rows, format_name, headers=True) -> the lines to print

`table` is tab-separated, as scripts expect it; `pretty_table` has a frame; `csv`, `json` and
`json_stream`, which has an object a line, are for programs, and so is `erlang`, near enough.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Final

from amqpd.cli.terms import cell, erlang
from amqpd.text import in_json, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

FORMATS: Final = ("table", "pretty_table", "csv", "json", "json_stream", "erlang")
#: Those that programs read: nothing stands around them.
MACHINE: Final = frozenset(("csv", "json", "json_stream"))
Row = "Mapping[str, Any]"


def lines(
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    format_name: str,
    *,
    headers: bool = True,
) -> Iterator[str]:
    """The lines to print, without their ends."""
    match format_name:
        case "json":
            yield from _json(columns, rows)
        case "json_stream":
            for row in rows:
                yield _object(columns, row)
        case "csv":
            yield from _csv(columns, rows, headers)
        case "pretty_table":
            shown = [[printable(cell(row.get(one))) for one in columns] for row in rows]
            yield from pretty(columns, shown) if shown else ()
        case "erlang":
            yield printable(f"[{','.join(_proplist(columns, row) for row in rows)}]")
        case _:
            yield from _tabbed(columns, rows, headers)


def _tabbed(
    columns: Sequence[str], rows: Iterable[Mapping[str, Any]], headers: bool
) -> Iterator[str]:
    for place, row in enumerate(rows):
        # As with rabbitmqctl: where there is nothing, there is no header.
        if headers and not place:
            yield "\t".join(columns)
        yield "\t".join(printable(cell(row.get(one))) for one in columns)


def _json(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One object a line, all in a list."""
    yield "["
    before = ""
    for row in rows:
        yield before + _object(columns, row)
        before = ","
    yield "]"


def _object(columns: Sequence[str], row: Mapping[str, Any]) -> str:
    shown = {one: row.get(one) for one in columns}
    return in_json(json.dumps(shown, separators=(",", ":"), ensure_ascii=False))


def _proplist(columns: Sequence[str], row: Mapping[str, Any]) -> str:
    """Names as atoms, texts as binaries."""
    return f"[{','.join(f'{{{one},{erlang(row.get(one))}}}' for one in columns)}]"


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], headers: bool) -> Iterator[str]:
    for place, row in enumerate(rows):
        if headers and not place:
            yield _csv_line(columns)
        yield _csv_line([printable(cell(row.get(one))) for one in columns])


def _csv_line(values: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="", quoting=csv.QUOTE_ALL).writerow(values)
    return out.getvalue()


def pretty(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table with a frame of lines."""
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]

    def rule(left: str, middle: str, right: str) -> str:
        return left + middle.join("─" * (width + 2) for width in widths) + right

    def line(values: Sequence[str]) -> str:
        padded = (f" {one:<{width}} " for one, width in zip(values, widths, strict=True))
        return "│" + "│".join(padded) + "│"

    yield rule("┌", "┬", "┐")
    yield line(columns)
    for row in rows:
        yield rule("├", "┼", "┤")
        yield line(row)
    yield rule("└", "┴", "┘")
