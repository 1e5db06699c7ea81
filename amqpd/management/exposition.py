"""Prometheus' text format: metrics, their rows, and how they are written.

Metric(name, kind, help)
Rows            what one look at everything of a kind gave: labels and a value per metric
write(prefix, metrics, rows)        lines, metric by metric, as the format wants them
labels(**names) -> str              '{vhost="/",queue="q"}'
open_metrics(pieces)                the same text as OpenMetrics has it
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS: Final = "application/openmetrics-text"
OPEN_CONTENT_TYPE: Final = f"{OPEN_METRICS}; version=1.0.0; charset=utf-8"
#: What a counter is called in what comes before its samples.
_COUNTER: Final = re.compile(rb"^(# (?:TYPE|HELP) [a-z_0-9]+)_total ", re.MULTILINE)

#: Samples of a metric between two looks at the clock.
BATCH: Final = 256

Kind: TypeAlias = Literal["gauge", "counter"]
#: Labels as they are written, and a value for each metric; None: it has none.
Row: TypeAlias = tuple[str, Sequence[int | float | None]]


class Metric(NamedTuple):
    """One metric, without the prefix of its name."""

    name: str
    kind: Kind
    help: str


def labels(**named: str) -> str:
    """Labels as they are written."""
    return "{" + ",".join(f'{name}="{escape(value)}"' for name, value in named.items()) + "}"


def escape(value: str) -> str:
    """The value of a label."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def number(value: float) -> str:
    """A number as it is written: whole ones without a point."""
    return str(value) if isinstance(value, int) else f"{value:.15g}"


def head(prefix: str, metric: Metric) -> str:
    """What comes before the samples of a metric."""
    name = prefix + metric.name
    return f"# TYPE {name} {metric.kind}\n# HELP {name} {metric.help}\n"


def write(prefix: str, metrics: Sequence[Metric], rows: Sequence[Row]) -> Iterator[str]:
    """The samples of some metrics, one piece of text for `BATCH` of them."""
    for place, metric in enumerate(metrics):
        yield head(prefix, metric)
        name = prefix + metric.name
        for start in range(0, len(rows), BATCH):
            yield "".join(
                [
                    f"{name}{label} {values[place]}\n"
                    if type(values[place]) is int
                    else _sample(name, label, values[place])
                    for label, values in rows[start : start + BATCH]
                ]
            )


def _sample(name: str, label: str, value: float | None) -> str:
    """A sample that may have no value: then there is none."""
    return "" if value is None else f"{name}{label} {number(value)}\n"


def summed(rows: Iterable[Row], width: int) -> Row:
    """All rows as one, without labels."""
    totals: list[float] = [0] * width
    for _, values in rows:
        for place, value in enumerate(values):
            if value is not None:
                totals[place] += value
    return "", totals


def wants_open_metrics(accept: str) -> bool:
    """Whether somebody takes OpenMetrics and nothing that is plain text."""
    kinds = {one.partition(";")[0].strip().lower() for one in accept.split(",")}
    return OPEN_METRICS in kinds and not kinds & {"text/plain", "text/*", "*/*"}


async def open_metrics(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same in OpenMetrics, where the type of a counter stands without its `_total`."""
    async for piece in pieces:
        yield _COUNTER.sub(rb"\1 ", piece)
    yield b"# EOF\n"
