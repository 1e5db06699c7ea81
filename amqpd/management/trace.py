"""`/api/traces`, `/api/trace-files`: copies of messages in files, as RabbitMQ's plugin keeps them.

A trace writes what its pattern lets through of a vhost's firehose (`publish.EXCHANGE`,
`deliver.QUEUE`) into a file of its name. While a vhost has a trace it is traced. Traces end with
the broker; their files stay. Both are for administrators: files have the bodies of messages.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Literal, Protocol

from msgspec import Struct

from amqpd.management.access import Needs
from amqpd.management.errors import bad_request, not_found
from amqpd.management.request import Answer, json
from amqpd.management.routing import Operation, Route

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from typing import BinaryIO

    from amqpd.broker.vhost import VHost
    from amqpd.management.call import Call
    from amqpd.management.listing import Facts

Format = Literal["json", "text"]

TEXT: Final = "text/plain"
FORMATS: Final = ("json", "text")
#: A file's name must have room for `.log`.
NAME_BYTES: Final = 200
#: Of a file, at a time.
PIECE_BYTES: Final = 65_536


class Wish(Struct):
    """What is to be traced, and how; the broker takes its copies itself, without a connection."""

    format: str
    pattern: str
    max_payload_bytes: int | str | None = None
    tracer_connection_username: str | None = None
    tracer_connection_password: str | None = None


class TraceFile(Struct, frozen=True):
    """A file with traces."""

    name: str
    size: int


class Traces(Protocol):
    """Those who write, and what they have written."""

    def listing(self) -> Sequence[Facts]:
        """All traces."""

    def start(
        self, vhost: VHost, name: str, pattern: str, form: Format, most_bytes: int | None
    ) -> bool:
        """Trace from now on; False: there is a trace of that name.

        Raises:
            OSError: its file cannot be opened.
        """

    async def stop(self, vhost: str, name: str) -> bool:
        """End a trace, with all that it has in its file; False: there is none."""

    def files(self) -> list[TraceFile]:
        """The files; looks at the disk."""

    def open(self, name: str) -> BinaryIO | None:
        """A file, to be read; None: there is none."""

    def remove(self, name: str) -> bool:
        """Remove a file; False: there is none."""

    def close(self) -> None:
        """End all of them."""


def is_safe(name: str) -> bool:
    """Whether a name is that of a file in its folder, and of nothing else."""
    return (
        name.isprintable()
        and not name.startswith(".")
        and not {"/", "\\"} & set(name)
        and 0 < len(name.encode(errors="replace")) <= NAME_BYTES
    )


def _here(call: Call) -> None:
    node = call.names.get("node", call.host.node)
    if node != call.host.node:
        raise bad_request(f"Node {node} could not be contacted: there is no other node")


def _listed(call: Call) -> list[Facts]:
    _here(call)
    vhost = call.names.get("vhost")
    return [one for one in call.host.traces.listing() if vhost in (None, one["vhost"])]


async def list_traces(call: Call) -> Answer:
    """The traces that are under way."""
    return json(_listed(call))


async def show(call: Call) -> Answer:
    """One trace."""
    for one in _listed(call):
        if one["name"] == call.names["name"]:
            return json(one)
    raise not_found()


async def start(call: Call) -> Answer:
    """Write copies of messages into the file NAME.log from now on."""
    _here(call)
    vhost, name, wish = call.vhost, call.names["name"], await call.body(Wish)
    most_bytes = wish.max_payload_bytes
    if not is_safe(name):
        raise bad_request("invalid trace name")
    if isinstance(most_bytes, str) or (most_bytes is not None and most_bytes < 0):
        raise bad_request("max_payload_bytes not integer")
    if wish.format not in FORMATS:
        raise bad_request("format not json or text")
    form: Format = "json" if wish.format == "json" else "text"
    try:
        is_new = call.host.traces.start(vhost, name, wish.pattern, form, most_bytes)
    except OSError as error:
        raise bad_request(f"trace '{name}': {error.strerror}") from error
    if not is_new:
        raise bad_request(f"trace '{name}' in vhost '{vhost.name}': it is under way already")
    return Answer(201)


async def stop(call: Call) -> Answer:
    """End a trace; its file stays."""
    _here(call)
    if not await call.host.traces.stop(call.names["vhost"], call.names["name"]):
        raise not_found()
    return Answer(204)


async def list_files(call: Call) -> Answer:
    """The files of traces, also of those that have ended."""
    _here(call)
    return json(await asyncio.to_thread(call.host.traces.files))


async def read(call: Call) -> Answer:
    """What a trace has written so far."""
    _here(call)
    name = call.names["name"]
    file = await asyncio.to_thread(call.host.traces.open, name) if is_safe(name) else None
    if file is None:
        raise not_found()
    return Answer(200, _pieces(file), TEXT)


async def _pieces(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    try:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece
    finally:
        file.close()


async def remove(call: Call) -> Answer:
    """Remove a file; a trace that writes it begins a new one."""
    _here(call)
    name = call.names["name"]
    if not is_safe(name) or not await asyncio.to_thread(call.host.traces.remove, name):
        raise not_found()
    return Answer(204)


ADMIN: Final = Needs.ADMINISTRATOR
ROUTES: Final = tuple(
    route
    for node in ("", "/node/{node}")
    for route in (
        Route(f"/traces{node}", GET=Operation(list_traces, ADMIN)),
        Route(f"/traces{node}/{{vhost}}", GET=Operation(list_traces, ADMIN)),
        Route(
            f"/traces{node}/{{vhost}}/{{name}}",
            GET=Operation(show, ADMIN),
            PUT=Operation(start, ADMIN, Wish),
            DELETE=Operation(stop, ADMIN),
        ),
        Route(f"/trace-files{node}", GET=Operation(list_files, ADMIN)),
        Route(
            f"/trace-files{node}/{{name}}",
            GET=Operation(read, ADMIN, gives=TEXT),
            DELETE=Operation(remove, ADMIN),
        ),
    )
)
