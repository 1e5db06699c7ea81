"""The table of paths in the manual, made from the code.

    write(text) -> str      a page with its table as it has to be now

`python -m amqpd.management.manual amqpd/docs/http-api.md` does that to the file.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from amqpd.management.openapi import NEEDS
from amqpd.management.resources import ROUTES

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLE: Final = re.compile(r"(?<=<!-- paths -->\n).*(?=<!-- end -->)", re.DOTALL)


def write(text: str) -> str:
    """A page with its table as it has to be now."""
    rows = "".join(f"{row}\n" for row in _rows())
    return _TABLE.sub(lambda _: rows, text)


def _rows() -> Iterator[str]:
    yield "| path | method | what it does | needs |"
    yield "|---|---|---|---|"
    for route in ROUTES:
        path = f"`{route.path}`"
        for method, operation in route.methods.items():
            yield f"| {path} | {method} | {operation.summary} | {NEEDS[operation.needs]} |"
            path = ""


if __name__ == "__main__":
    for name in sys.argv[1:]:
        page = Path(name)
        page.write_text(write(page.read_text()))
