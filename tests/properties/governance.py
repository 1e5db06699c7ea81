"""What policies, limits and bindings should mean: dicts and loops, nothing of the broker's.

`Rules` is the state of all definitions; it is copied and compared as a whole.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

Definition = dict[str, "str | int"]
Binding = tuple[str, str, str, str]  # source, kind and name of the destination, key

#: Name -> type and alternate exchange; all durable, declared at the beginning.
EXCHANGES: Final[Mapping[str, tuple[str, str]]] = {
    "pick": ("direct", "rest"),
    "rest": ("fanout", ""),
    "chain": ("fanout", "pick"),
}
PATTERNS: Final = ("^a$", "^[ab]$", "b|c", "")
DEAD_TO_B: Final[Definition] = {"dead-letter-exchange": "", "dead-letter-routing-key": "b"}
#: Dead letters take the way of any message: by bindings, or by the alternate exchange.
DEAD_TO_PICK: Final[Definition] = {
    "dead-letter-exchange": "pick",
    "dead-letter-routing-key": "a",
}
DEFINITIONS: Final[tuple[Definition, ...]] = (
    {"message-ttl": 30},
    {"message-ttl": 0},
    {"max-length": 4},
    {"max-length": 6, "overflow": "reject-publish"},
    {"max-length": 6, "overflow": "reject-publish-dlx", **DEAD_TO_B},
    {"max-length-bytes": 12},
    {"overflow": "reject-publish"},
    {"expires": 90},
    DEAD_TO_B,
    {**DEAD_TO_PICK, "message-ttl": 40},
)
OPERATOR_DEFINITIONS: Final[tuple[Definition, ...]] = (
    {"message-ttl": 50},
    {"max-length": 3},
    {"max-length": 7, "overflow": "drop-head"},
    {"expires": 120},
)


@dataclass
class Policy:
    """One policy of users or operators."""

    pattern: str
    priority: int
    definition: Definition


@dataclass
class Rules:
    """All durable definitions; `declared` are queues with their arguments."""

    policies: dict[tuple[str, str], Policy] = field(default_factory=dict)
    limits: dict[tuple[str, str], Definition] = field(default_factory=dict)
    declared: dict[str, Mapping[str, object]] = field(default_factory=dict)
    durable: set[str] = field(default_factory=set)
    bindings: set[Binding] = field(default_factory=set)

    def copy(self) -> Rules:
        """The same, for later comparison."""
        return copy.deepcopy(self)

    def limit(self, component: str, name: str) -> int | None:
        """A limit in force."""
        for (one, _), values in self.limits.items():
            if one == component and name in values:
                return int(values[name])
        return None

    # -- queues

    def surviving(self) -> Rules:
        """What a restart leaves."""
        left = self.copy()
        for name in self.declared.keys() - self.durable:
            left.drop_queue(name)
        return left

    def drop_queue(self, name: str) -> None:
        """It is gone, with its bindings."""
        self.declared.pop(name, None)
        self.durable.discard(name)
        self.bindings = {one for one in self.bindings if one[1:3] != ("queue", name)}

    def effective(self, queue: str) -> dict[str, object]:
        """What is in force for a queue."""
        user, operator = self._first("policy", queue), self._first("operator_policy", queue)
        found: dict[str, object] = {}
        for key in user.keys() | operator.keys():
            values = [one[key] for one in (user, operator) if key in one]
            found[key] = _stricter(values) if _are_numbers(values) else values[-1]
        for name, value in self.declared[queue].items():
            key = name.removeprefix("x-")
            both = [value, found[key]] if key in found else [value]
            found[key] = _stricter(both) if _are_numbers(both) else value
        return found

    def _first(self, component: str, queue: str) -> Definition:
        matching = [
            (-policy.priority, name, policy)
            for (one, name), policy in self.policies.items()
            if one == component and re.search(policy.pattern, queue)
        ]
        return min(matching)[2].definition if matching else {}

    # -- routes

    def route(self, exchange: str, key: str) -> set[str]:
        """The queues that a message reaches."""
        reached: set[str] = set()
        seen: set[str] = set()
        waiting = [exchange]
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            if one == "":
                reached |= {key} & self.declared.keys()
                continue
            kind, alternate = EXCHANGES.get(one, ("fanout", ""))
            matching = [
                binding
                for binding in self.bindings
                if binding[0] == one and (kind == "fanout" or binding[3] == key)
            ]
            reached |= {name for _, to, name, _ in matching if to == "queue"}
            waiting += [name for _, to, name, _ in matching if to == "exchange"]
            if not matching and alternate:
                waiting.append(alternate)
        return reached


def _are_numbers(values: list[object] | list[str | int]) -> bool:
    return all(isinstance(value, int) for value in values)


def _stricter(values: list[object] | list[str | int]) -> object:
    return min(int(str(value)) for value in values)
