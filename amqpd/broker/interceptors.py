"""Interceptors: what is written into each message that a client publishes, before it is routed.

    Interceptors(time=Stamp.KEEP, node=Stamp.OVERWRITE, name="rabbit@host")
    .on    .stamp(properties, now_ms) -> whether they are other ones now

RabbitMQ's incoming ones: the time in the header `timestamp_in_ms` and the property timestamp, and
the node in the header `x-routed-by`. Each message has to be decoded and encoded for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from amqpd.fields import Field

if TYPE_CHECKING:
    from amqpd.properties import Properties

TIME: Final = "timestamp_in_ms"
NODE: Final = "x-routed-by"


class Stamp(StrEnum):
    """Whether something is written, and over what was there."""

    OFF = "off"
    KEEP = "keep"
    OVERWRITE = "overwrite"


@dataclass(frozen=True, slots=True)
class Interceptors:
    """Those that are on; `name` is the node's."""

    time: Stamp = Stamp.OFF
    node: Stamp = Stamp.OFF
    name: str = ""

    @property
    def on(self) -> bool:
        """There is one: no message passes without being looked at."""
        return self.time is not Stamp.OFF or self.node is not Stamp.OFF

    def stamp(self, properties: Properties, now_ms: int) -> bool:
        """Write into the properties what is to be there; whether that was anything."""
        changed = _header(properties, self.time, TIME, Field("l", now_ms))
        if self.time is Stamp.OVERWRITE or (
            self.time is Stamp.KEEP and properties.timestamp is None
        ):
            properties.timestamp = now_ms // 1000
            changed = True
        return _header(properties, self.node, NODE, Field("S", self.name)) or changed


NO_INTERCEPTORS: Final = Interceptors()


def _header(properties: Properties, stamp: Stamp, name: str, value: Field) -> bool:
    headers = properties.headers
    if stamp is Stamp.OFF or (stamp is Stamp.KEEP and headers is not None and name in headers):
        return False
    properties.headers = {**(headers or {}), name: value}
    return True
