"""Dead lettering: why messages die, what is written into their headers, where they go.

RabbitMQ's rules (its guide on dead letter exchanges): a message that is rejected, expires or
is pushed out by a length limit is published again to the queue's dead letter exchange, with
an `x-death` header that counts its deaths per queue and reason, newest first. The caller
moves it in one journal entry with its removal, so it is neither lost nor doubled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from amqpd.broker.routing import text
from amqpd.fields import Field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amqpd.fields import Table
    from amqpd.properties import Properties

REJECTED: Final = "rejected"
EXPIRED: Final = "expired"
MAXLEN: Final = "maxlen"
DELIVERY_LIMIT: Final = "delivery_limit"
_OF: Final = ("reason", "queue", "exchange")
#: The headers that tell of deaths.
_TOLD: Final = frozenset(
    ["x-death"] + [f"x-{at}-death-{of}" for at in ("first", "last") for of in _OF]
)
#: What the count of deaths, an integer of 64 bits, holds.
COUNT_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Burial:
    """A dead message: its new properties and the keys it is routed with."""

    properties: Properties
    keys: list[str]
    deaths: list[Table]

    @property
    def reason(self) -> str:
        """Why it died this time."""
        return _text(self.deaths[0].get("reason")) if self.deaths else ""

    @property
    def queues(self) -> list[str]:
        """Where it died, the last time first."""
        return [_text(death.get("queue")) for death in self.deaths]

    @property
    def way(self) -> tuple[object, ...]:
        """What decides where it goes, apart from its headers: alike for those that go together."""
        deaths = [(_text(death.get("queue")), _text(death.get("reason"))) for death in self.deaths]
        return tuple(self.keys), tuple(deaths)

    def is_cycle(self, queue: str, reason: str) -> bool:
        """Whether it died in this queue before and nobody rejected it since.

        Such a message would go round for ever without any consumer having a say.
        """
        if reason == REJECTED:
            return False
        for death in self.deaths:
            if _text(death.get("reason")) == REJECTED:
                return False
            if _text(death.get("queue")) == queue:
                return True
        return False


def bury(
    properties: Properties,
    exchange: str,
    routing_key: str,
    *,
    queue: str,
    reason: str,
    now_ms: int,
    new_key: str | None,
    blind: Sequence[str] = (),
    trusted: bool = True,
) -> Burial:
    """What becomes of a message that dies in `queue`; `new_key` replaces its routing keys.

    It is routed with those that are `blind`, too, but nobody is told. Unless they are `trusted`,
    deaths that its headers tell of do not count, as in RabbitMQ 4, and are overwritten.
    """
    headers = dict(properties.headers or {})
    if not trusted:
        headers = {name: value for name, value in headers.items() if name not in _TOLD}
    keys = [routing_key, *carbon_copies(headers)]
    deaths = _deaths(headers)
    death = _take_death(deaths, queue, reason)
    if death is None:
        death = _new_death(properties, exchange, keys, queue, reason, now_ms)
    else:
        # Clients may have written anything into it.
        death["count"] = Field("l", min(_number(death.get("count")) + 1, COUNT_MAX))
    deaths.insert(0, death)
    headers["x-death"] = Field("A", [Field("F", one) for one in deaths])
    for name, value in (("reason", reason), ("queue", queue), ("exchange", exchange)):
        headers.setdefault(f"x-first-death-{name}", Field("S", value))
        headers[f"x-last-death-{name}"] = Field("S", value)
    keys = [*keys, *blind]
    if new_key is not None:
        headers.pop("CC", None)
        keys = [new_key]
    return Burial(replace(properties, headers=headers, expiration=None), keys, deaths)


def exhume(
    properties: Properties, routing_key: str, *, new_key: str | None, blind: Sequence[str] = ()
) -> Burial:
    """A dead message that was buried before, with the keys that it is routed with now."""
    headers = properties.headers or {}
    keys = [routing_key, *carbon_copies(headers), *blind] if new_key is None else [new_key]
    return Burial(properties, keys, _deaths(headers))


def carbon_copies(headers: Table, name: str = "CC") -> list[str]:
    """The routing keys of a CC or BCC header; nothing if it is not an array of strings."""
    field = headers.get(name)
    if field is None or not isinstance(field.value, list):
        return []
    keys = [text(one) for one in field.value if isinstance(one, Field)]
    return [key for key in keys if key is not None]


def _new_death(
    properties: Properties,
    exchange: str,
    keys: list[str],
    queue: str,
    reason: str,
    now_ms: int,
) -> Table:
    death: Table = {}
    if properties.expiration is not None:
        death["original-expiration"] = Field("S", properties.expiration)
    death["count"] = Field("l", 1)
    death["reason"] = Field("S", reason)
    death["queue"] = Field("S", queue)
    death["time"] = Field("T", now_ms // 1000)
    death["exchange"] = Field("S", exchange)
    death["routing-keys"] = Field("A", [Field("S", key) for key in keys])
    return death


def _deaths(headers: Table) -> list[Table]:
    field = headers.get("x-death")
    if field is None or not isinstance(field.value, list):
        return []
    return [
        dict(one.value)
        for one in field.value
        if isinstance(one, Field) and isinstance(one.value, dict)
    ]


def _take_death(deaths: list[Table], queue: str, reason: str) -> Table | None:
    for index, death in enumerate(deaths):
        if _text(death.get("queue")) == queue and _text(death.get("reason")) == reason:
            return deaths.pop(index)
    return None


def _text(field: Field | None) -> str:
    return field.value if field is not None and isinstance(field.value, str) else ""


def _number(field: Field | None) -> int:
    if field is None or not isinstance(field.value, int) or isinstance(field.value, bool):
        return 0
    return field.value
