"""Where in a file a setting stands: tomllib does not tell.

    line_of(text, "amqp", "port") -> 5      counted from 1
    line_of(text, "amqp") -> 4              where the section begins

The file is known to be TOML. What looks like the setting in several places (in a list of texts,
say) is on none for sure: 0, as where it is not there.
"""

from __future__ import annotations

import re
from typing import Final

_HEADER: Final = re.compile(r"\s*\[\s*([\w\"'.-]+)\s*\]")
_KEY: Final = re.compile(r"\s*([\w\"'.-]+(?:\s*\.\s*[\w\"'-]+)*)\s*=")

_QUOTES: Final = re.compile(r'"""|\'\'\'')


def line_of(text: str, section: str, key: str = "") -> int:
    """The line of a setting, or of the section's begin; 0: it is not known."""
    found = []
    begins = 0
    here: tuple[str, ...] = ()
    within = False
    for number, line in enumerate(text.splitlines(), 1):
        opens, within = within, within is not bool(len(_QUOTES.findall(line)) % 2)
        if opens:
            continue  # of a text of several lines
        if header := _HEADER.match(line):
            here = _parts(header[1])
            path = here
        elif assigned := _KEY.match(line):
            path = (*here, *_parts(assigned[1]))
        else:
            continue
        if path[0] == section:
            begins = begins or number
            # A section on one line has all its settings there.
            if path[1:2] == (key,) or (not header and len(path) == 1):
                found.append(number)
    if not key:
        return begins
    return found[0] if len(found) == 1 else 0


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.strip(" \t\"'") for part in name.split("."))
