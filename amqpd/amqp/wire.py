"""Which codec: the compiled one, or the one that is fast without a compiler.

`AMQPD_CODEC=native` or `=pure` in the environment decides otherwise.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Protocol, cast

from amqpd.amqp.gathering import ChannelCount, Group, Route, Slot

if TYPE_CHECKING:
    from amqpd.amqp import gathering
    from amqpd.amqp.assembly import Events

__all__ = ["ChannelCount", "Codec", "Group", "Outbox", "Parser", "Route", "Slot", "select"]


class Parser(Protocol):
    """Octets of one connection to events; see `codec.Parser`."""

    frame_max: int
    max_message_bytes: int

    @property
    def touched_channels(self) -> list[ChannelCount]: ...
    @property
    def held_bytes(self) -> int: ...
    @property
    def is_halted(self) -> bool: ...
    def halt(self) -> None: ...
    def feed(self, data: bytes) -> None: ...
    def forget(self) -> None: ...
    def discard(self, channel: int) -> None: ...


class Outbox(Protocol):
    """What one connection is to send; see `codec.Outbox`."""

    def __len__(self) -> int: ...
    def take(self) -> bytes: ...
    def pieces(self) -> list[bytes | memoryview]: ...
    def deliver(
        self,
        channel: int,
        consumer_tag: bytes,
        tag: int,
        redelivered: bool,
        names: bytes,
        names_each: list[bytes] | None,
        contents: list[bytes],
        lo: int,
        hi: int,
        source_channel: int,
        frame_max: int,
    ) -> None: ...
    def content(
        self, channel: int, method_payload: bytes, content: bytes, frame_max: int
    ) -> None: ...
    def confirm(self, channel: int, tag: int, multiple: bool) -> None: ...
    def nack(self, channel: int, tag: int, multiple: bool) -> None: ...
    def frame(self, raw: bytes) -> None: ...


class Codec(Protocol):
    """What both codec modules have in common. Routes and groups are the same classes."""

    def Parser(self, events: Events, frame_max: int) -> Parser: ...
    def Outbox(self) -> Outbox: ...
    def ChannelCount(self, number: int) -> gathering.ChannelCount: ...
    def Slot(self) -> gathering.Slot: ...
    def Group(
        self,
        channel: gathering.ChannelCount,
        target: object,
        slots: list[gathering.Slot],
        numbered: bool = False,
        priority: int = -1,
    ) -> gathering.Group: ...
    def Route(
        self,
        names: bytes,
        group: gathering.Group | None,
        channel: gathering.ChannelCount,
        wants_priority: bool = False,
        target: object = None,
    ) -> gathering.Route: ...


def select() -> Codec:
    """The codec module to use."""
    wanted = os.environ.get("AMQPD_CODEC", "")
    native = importlib.import_module("amqpd.amqp.codec")
    if wanted == "native" or (wanted != "pure" and is_compiled(native.__file__)):
        return cast("Codec", native)  # tests/amqp/conftest.py holds both to the interface
    return cast("Codec", importlib.import_module("amqpd.amqp.codec_pure"))


def is_compiled(file: str | None) -> bool:
    """Whether a module that came from this file is an extension."""
    return file is not None and not file.endswith((".py", ".pyc"))
