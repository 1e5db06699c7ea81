"""Traces: what a vhost's firehose copies, in files for whoever looks for a message.

    Traces(find_vhosts, is_full, directory)     `management.trace.Traces`; until `close`

One thread writes for all of them, so that the loop never waits for the disk. Beyond `MOST_BYTES`
that wait for it, and while the disk is short of room, copies are lost: counted, and told of. A
file is for nobody but the broker's own user.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import queue
import threading
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from amqpd.broker.binding import Destination
from amqpd.broker.topic import TopicTrie
from amqpd.fields import plain_table, type_name
from amqpd.management.table import to_json
from amqpd.management.trace import TraceFile
from amqpd.text import in_json, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from amqpd.broker.vhost import VHost
    from amqpd.fields import Field, Table
    from amqpd.management.listing import Facts
    from amqpd.management.trace import Format

LOG = logging.getLogger("amqpd.server")

FOLDER: Final = "traces"
#: Copies that wait for the disk.
MOST_BYTES: Final = 16 * 1024 * 1024
#: What one takes besides its body.
ENTRY_BYTES: Final = 2048
#: Written at once.
BATCH: Final = 256
#: What the plugin writes where there is no queue.
NONE: Final = "none"
_RULE: Final = "=" * 80
_HERE: Final = Destination("queue", "")


def _nothing() -> None:
    """Nobody waits."""


@dataclass(slots=True, eq=False)
class _Trace:
    """One trace; `lost` and `told` belong to the loop and to the thread, each to one."""

    vhost: VHost
    name: str
    pattern: str
    form: Format
    most_bytes: int | None
    path: Path
    file: int
    trie: TopicTrie = field(default_factory=TopicTrie)
    lost: int = 0
    told: int = 0
    is_broken: bool = False
    #: Called by the thread when the last copy is written.
    ended: Callable[[], object] = _nothing


@dataclass(frozen=True, slots=True)
class _Copy:
    """A message on its way into a file."""

    trace: _Trace
    at_ms: int
    key: str
    headers: Table
    body: bytes


class Traces:
    """The traces of one broker, and the files of all."""

    def __init__(
        self,
        find_vhosts: Callable[[], Mapping[str, VHost]],
        is_full: Callable[[], bool],
        now_ms: Callable[[], int],
        directory: Path,
    ) -> None:
        self._find_vhosts = find_vhosts
        self._is_full = is_full
        self._now_ms = now_ms
        self._folder = directory / FOLDER
        self._traces: dict[tuple[str, str], _Trace] = {}
        self._copies: queue.SimpleQueue[_Copy | _Trace | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        # Each counted by one thread: what was put in, and what was taken out.
        self._came_bytes = 0
        self._went_bytes = 0

    # -- what the management room asks for -------------------------------------------------

    def listing(self) -> Sequence[Facts]:
        """All traces; those of vhosts that are gone have ended."""
        vhosts = self._find_vhosts()
        for (vhost, name), trace in [*self._traces.items()]:
            if vhosts.get(vhost) is not trace.vhost:
                self._end(self._traces.pop((vhost, name)))
        return [_facts(one) for one in self._traces.values()]

    def start(
        self, vhost: VHost, name: str, pattern: str, form: Format, most_bytes: int | None
    ) -> bool:
        """Trace from now on; False: there is a trace of that name.

        Raises:
            OSError: its file cannot be opened.
        """
        self.listing()
        if (vhost.name, name) in self._traces:
            return False
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / f"{name}.log"
        trace = _Trace(vhost, name, pattern, form, most_bytes, path, _opened(path))
        trace.trie.add(pattern, _HERE)
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="amqpd-traces")
            self._thread.start()
        self._traces[vhost.name, name] = trace
        vhost.tap(trace, lambda key, headers, body: self._took(trace, key, headers, body))
        LOG.info("Tracer opened log file %s with format %s", path, form)
        return True

    async def stop(self, vhost: str, name: str) -> bool:
        """End a trace, with all that it has in its file; False: there is none."""
        trace = self._traces.pop((vhost, name), None)
        if trace is None:
            return False
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        trace.ended = partial(loop.call_soon_threadsafe, ended.set)
        self._end(trace)
        await ended.wait()
        return True

    def _end(self, trace: _Trace) -> None:
        trace.vhost.tap(trace, None)
        self._copies.put(trace)  # closed once what came before is written

    def files(self) -> list[TraceFile]:
        """The files, by name."""
        found = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            found = [
                TraceFile(one.name, one.stat().st_size)
                for one in entries
                if one.is_file(follow_symlinks=False)
            ]
        return sorted(found, key=lambda one: one.name)

    def open(self, name: str) -> BinaryIO | None:
        """A file, to be read; None: there is none."""
        try:
            file = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # a link is none of ours, either
            return None
        return os.fdopen(file, "rb")

    def remove(self, name: str) -> bool:
        """Remove a file; False: there is none."""
        try:
            (self._folder / name).unlink()
        except FileNotFoundError:
            return False
        return True

    def close(self) -> None:
        """End all of them, with what they have."""
        for trace in self._traces.values():
            self._end(trace)
        self._traces.clear()
        if self._thread is not None:
            self._copies.put(None)
            self._thread.join()
            self._thread = None

    # -- copies ----------------------------------------------------------------------------

    def _took(self, trace: _Trace, key: str, headers: Table, body: bytes) -> None:
        if not trace.trie.match(key):
            return
        shown = body if trace.most_bytes is None else body[: trace.most_bytes]
        size = len(shown) + ENTRY_BYTES
        if self._came_bytes - self._went_bytes + size > MOST_BYTES or self._is_full():
            trace.lost += 1
            return
        self._came_bytes += size
        self._copies.put(_Copy(trace, self._now_ms(), key, headers, shown))

    def _write(self) -> None:
        """The thread: what waits, trace by trace."""
        while True:
            entry = self._copies.get()
            by_trace: dict[int, list[_Copy]] = {}
            count = 0
            while isinstance(entry, _Copy):
                by_trace.setdefault(id(entry.trace), []).append(entry)
                count += 1
                if count == BATCH or self._copies.empty():
                    break
                entry = self._copies.get()
            for copies in by_trace.values():
                _append(copies[0].trace, copies)
                self._went_bytes += sum(len(one.body) + ENTRY_BYTES for one in copies)
            if isinstance(entry, _Trace):
                _ended(entry)
            elif entry is None:
                return


def _facts(trace: _Trace) -> Facts:
    found: dict[str, object] = {
        "vhost": trace.vhost.name,
        "name": trace.name,
        "format": trace.form,
        "pattern": trace.pattern,
        "lost": trace.lost,
    }
    if trace.most_bytes is not None:
        found["max_payload_bytes"] = trace.most_bytes
    return found


# -- the thread's side -------------------------------------------------------------------------


def _opened(path: Path) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def _append(trace: _Trace, copies: list[_Copy]) -> None:
    if trace.lost > trace.told:
        count, trace.told = trace.lost - trace.told, trace.lost
        LOG.warning(
            "trace '%s': %d copies were not written: no room, or too many", trace.name, count
        )
    octets = b"".join(_FORMS[trace.form](one) for one in copies)
    try:
        if not os.fstat(trace.file).st_nlink:
            # The file was removed while it was written: go on with a new one.
            os.close(trace.file)
            trace.file = _opened(trace.path)
        while octets:
            octets = octets[os.write(trace.file, octets) :]
        trace.is_broken = False
    except OSError as error:
        if not trace.is_broken:
            LOG.error("trace '%s': its file cannot be written: %s", trace.name, error)
        trace.is_broken = True


def _ended(trace: _Trace) -> None:
    os.close(trace.file)
    trace.ended()
    LOG.info("Tracer closed log file %s", trace.path)


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _as_json(copy: _Copy) -> bytes:
    """One object a line, with the plugin's names."""
    told = plain_table(copy.headers)
    kind, _, place = copy.key.partition(".")
    properties = copy.headers["properties"].value
    assert isinstance(properties, dict)
    line = {
        "channel": told["channel"],
        "connection": told["connection"],
        "exchange": told["exchange_name"],
        "node": told["node"],
        "payload": b64encode(copy.body).decode(),
        "properties": to_json(properties),
        "queue": place if kind == "deliver" else NONE,
        "routed_queues": told.get("routed_queues", NONE),
        "routing_keys": told["routing_keys"],
        "timestamp": _time(copy.at_ms),
        "type": "received" if kind == "deliver" else "published",
        "user": told["user"],
        "vhost": told["vhost"],
    }
    text = json.dumps(line, separators=(",", ":"), ensure_ascii=False, default=str)
    return f"{in_json(text)}\n".encode(errors="backslashreplace")


def _as_text(copy: _Copy) -> bytes:
    """A block for people, as the plugin writes it."""
    headers = copy.headers
    kind, _, place = copy.key.partition(".")
    is_delivery = kind == "deliver"
    lines = [
        "",
        _RULE,
        f"{_time(copy.at_ms)}: Message {'received' if is_delivery else 'published'}",
        "",
        f"Node:         {_bare(headers['node'])}",
        f"Connection:   {_bare(headers['connection'])}",
        f"Virtual host: {_bare(headers['vhost'])}",
        f"User:         {_bare(headers['user'])}",
        f"Channel:      {_bare(headers['channel'])}",
        f"Exchange:     {_bare(headers['exchange_name'])}",
        f"Routing keys: {_names(headers['routing_keys'])}",
        f"Queue:        {one_line(place)}"
        if is_delivery
        else f"Routed queues: {_names(headers['routed_queues'])}",
        f"Properties:   {_pairs(headers['properties'])}",
        "Payload: ",
        "",
    ]
    return "\n".join(lines).encode(errors="backslashreplace") + copy.body + b"\n"


def _bare(one: Field) -> str:
    return one_line(str(one.value))


def _names(names: Field) -> str:
    assert isinstance(names.value, list)
    return f"[{','.join(_binary(str(one.value)) for one in names.value)}]"


def _binary(text: str) -> str:
    """A text as Erlang shows it."""
    quoted = one_line(text.replace("\\", "\\\\").replace('"', '\\"'))
    return f'<<"{quoted}">>'


def _pairs(table: Field) -> str:
    assert isinstance(table.value, dict)
    pairs = (
        f"{{{_binary(name)},{type_name(one)},{_term(one)}}}" for name, one in table.value.items()
    )
    return f"[{','.join(pairs)}]"


def _term(one: Field) -> str:
    match one.value:
        case dict():
            return _pairs(one)
        case list():
            return f"[{','.join(f'{{{type_name(each)},{_term(each)}}}' for each in one.value)}]"
        case str():
            return _binary(one.value)
        case bytes():
            return f"<<{','.join(map(str, one.value))}>>"
        case bool():
            return str(one.value).lower()
        case None:
            return "undefined"
        case _:
            return str(one.value)


_FORMS: Final[Mapping[str, Callable[[_Copy], bytes]]] = {"json": _as_json, "text": _as_text}
