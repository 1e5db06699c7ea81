"""What `amqpd publish` sends: from an argument, from lines, or from what was saved.

properties(given, headers, transient)       of all messages
bodies(properties, body, count, …)          the argument, or standard input
saved(file, properties, count)              what `consume --json` wrote
"""

from __future__ import annotations

import base64
import contextlib
import copy
import datetime
import itertools
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pamqp.commands import Basic

from amqpd.cli.answer import EX_DATA, EX_NO_INPUT, EX_USAGE, fail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TEXTS: Final = frozenset(
    {
        "content_type", "content_encoding", "correlation_id", "reply_to", "expiration",
        "message_id", "type", "user_id", "app_id",
    }
)  # fmt: skip
NUMBERS: Final = frozenset({"priority"})
#: How a property is called where its own name is taken.
NAMES: Final = {"type": "message_type"}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way; where to is said by the command, or was saved with it."""

    body: bytes
    properties: Basic.Properties
    exchange: str = ""
    key: str = ""


def bodies(
    properties: Basic.Properties, body: str | None, count: int, *, lines: bool, template: bool
) -> Iterator[Outgoing]:
    """The argument, or all of standard input, or each of its lines; each so many times."""
    numbers = itertools.count(1)
    if lines:
        for line in sys.stdin.buffer:
            text = line.rstrip(b"\r\n")
            for _ in range(count):
                yield Outgoing(_filled(text, next(numbers), template), properties)
        return
    if properties.content_type is None and body is not None and _is_json(body):
        properties.content_type = "application/json"
    octets = sys.stdin.buffer.read() if body is None else body.encode()
    for _ in range(count):
        yield Outgoing(_filled(octets, next(numbers), template), properties)


def saved(file: str, properties: Basic.Properties, count: int) -> Iterator[Outgoing]:
    """Each line of a file is a message; its own properties win over those of the command."""
    try:
        with contextlib.ExitStack() as stack:
            lines = sys.stdin if file == "-" else stack.enter_context(Path(file).open())
            for number, line in enumerate(lines, 1):
                if line.strip():
                    one = _saved(f"{file}, line {number}", line, properties)
                    yield from itertools.repeat(one, count)
    except OSError as error:
        fail(f"file '{file}': {error.strerror}; '-' is standard input", EX_NO_INPUT)
    except UnicodeDecodeError as error:
        fail(f"file '{file}': not UTF-8: {error.reason}", EX_DATA)


def _saved(where: str, line: str, properties: Basic.Properties) -> Outgoing:
    try:
        found = json.loads(line)
        payload = found["payload"]
        encoded = found.get("payload_encoding", "string") == "base64"
        octets = base64.b64decode(payload, validate=True) if encoded else payload.encode()
        own = copy.copy(properties)
        for name, value in (found.get("properties") or {}).items():
            name = NAMES.get(name, name)
            if name == "timestamp":
                value = datetime.datetime.fromisoformat(value)
            if name not in Basic.Properties.attributes():
                raise ValueError(f"no property is called '{name}'")
            setattr(own, name, value)
        own.validate()
        return Outgoing(
            octets, own, str(found.get("exchange", "")), str(found.get("routing_key", ""))
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else str(error)
        fail(
            f"{where}: not a message ({said}); it must be an object with 'payload', as "
            "`amqpd consume --json` writes it",
            EX_DATA,
        )


def _is_json(text: str) -> bool:
    """Whether it is an object or a list; a mere word or number may be anything."""
    if text[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _filled(octets: bytes, number: int, template: bool) -> bytes:
    if not template:
        return octets
    now_s = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s))
    values = {"{count}": str(number), "{time}": stamp, "{time_ms}": str(int(now_s * 1000))}
    for name, value in values.items():
        octets = octets.replace(name.encode(), value.encode())
    return octets


def properties(given: Sequence[str], headers: Sequence[str], transient: bool) -> Basic.Properties:
    values: dict[str, Any] = {"delivery_mode": 1 if transient else 2}
    for item in given:
        name, value = _pair(item, "--property")
        name = name.replace("-", "_")
        if name in TEXTS:
            values[NAMES.get(name, name)] = value
        elif name in NUMBERS and value.isdecimal():
            values[name] = int(value)
        else:
            known = ", ".join(sorted(TEXTS | NUMBERS))
            fail(f"--property {item}: must be NAME=VALUE with one of {known}", EX_USAGE)
    if headers:
        values["headers"] = dict(_typed(item) for item in headers)
    return Basic.Properties(**values)


def _pair(item: str, option: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not name or not equals:
        fail(f"{option} {item}: must be NAME=VALUE", EX_USAGE)
    return name, value


def _typed(item: str) -> tuple[str, Any]:
    """A header; numbers, booleans, lists and objects as in JSON, anything else is a text."""
    name, value = _pair(item, "--header")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
