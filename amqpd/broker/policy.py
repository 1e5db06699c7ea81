"""Policies: settings for all queues and exchanges whose names match a pattern.

    parse_policy(name, {"pattern": …, "definition": …, "priority": …, "apply-to": …},
                 operator=False) -> Policy
    Policies                                    those of one vhost; .revision
        .put(policy, operator=False)  .delete(name, operator=False)  .listing(operator=False)
        .for_queue(name, queue_type) -> Match(policy, operator)
        .for_exchange(name) -> Match
    effective_queue(parsed, declared, match) -> Effective(arguments, origins)
    effective_exchange(match) -> alternate exchange | None
    effective_definition(match) -> the keys and values of both policies, merged
    ignored_keys(policy) -> those that are kept and mean nothing any more

Of the user policies that match, the one with the highest priority applies and no other (of
equals, the first by name); the same holds for operator policies. Both are merged key by key,
then with what the queue was declared with: of numbers the lowest counts, of words the queue's
own, so that a policy never widens what a client asked for. Operators have the last word.

A policy with a key that a queue's type does not know leaves queues of this type alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from amqpd.broker.arguments import (
    MAX_MULTIPLIER,
    MAX_SEGMENT_BYTES,
    DeadLetterStrategy,
    DelayedRetry,
    Overflow,
    QueueType,
    TimeoutReset,
    Victim,
    unlimited_if_negative,
)
from amqpd.broker.checks import decimal, durations_ms, interval_ms
from amqpd.broker.pattern import compile_pattern
from amqpd.broker.text import erlang
from amqpd.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amqpd.broker.arguments import QueueArguments
    from amqpd.fields import Table

PolicyValue = str | int | float | bool


class ApplyTo(StrEnum):
    """What a policy is for."""

    ALL = "all"
    QUEUES = "queues"
    CLASSIC_QUEUES = "classic_queues"
    QUORUM_QUEUES = "quorum_queues"
    STREAMS = "streams"
    EXCHANGES = "exchanges"


class Origin(StrEnum):
    """Where a value in force comes from."""

    ARGUMENT = "argument"
    POLICY = "policy"
    OPERATOR_POLICY = "operator policy"


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy of either kind."""

    name: str
    pattern: str
    definition: Mapping[str, PolicyValue]
    priority: int = 0
    apply_to: ApplyTo = ApplyTo.ALL


class Match(NamedTuple):
    """The policies that apply to one queue or exchange."""

    policy: Policy | None
    operator: Policy | None


class Effective(NamedTuple):
    """What is in force for a queue, and for each key that is set at all, why."""

    arguments: QueueArguments
    origins: dict[str, Origin]


# -- keys --------------------------------------------------------------------------------


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(lowest: int | None, highest: int | None = None) -> Callable[[object], bool]:
    def valid(value: object) -> bool:
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return (lowest is None or value >= lowest) and (highest is None or value <= highest)

    return valid


def _word(*known: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in known


def _text(value: object) -> bool:
    return isinstance(value, str)


def _interval(value: object) -> bool:
    return isinstance(value, str) and interval_ms(value) is not None


def _decimal(lowest: float, highest: float) -> Callable[[object], bool]:
    def valid(value: object) -> bool:
        number = decimal(value)
        return number is not None and lowest <= number <= highest

    return valid


def _durations(value: object) -> bool:
    return bool(durations_ms(value))


def _anything(value: object) -> bool:
    return True


class _Key(NamedTuple):
    """Which queue types know a key (C, Q, S; E: exchanges), and which values are valid."""

    types: str
    valid: Callable[[object], bool]
    #: The field of `QueueArguments` that it sets, if any.
    field: str = ""
    #: Operator policies may set it.
    operator: bool = False
    #: What a value that is not valid is said not to be, in RabbitMQ's words.
    called: str = ""


#: Every key that a policy may have. Those without a field are kept and have no effect.
POLICY_KEYS: Final[Mapping[str, _Key]] = {
    "alternate-exchange": _Key("CQSE", _text, called="alternate exchange name"),
    "message-ttl": _Key("CQ", _number(0), "message_ttl_ms", True, "message TTL"),
    "expires": _Key("CQ", _number(1), "expires_ms", True, "queue expiry"),
    "max-length": _Key("CQ", _number(0), "max_length", True, "maximum length"),
    "max-length-bytes": _Key(
        "CQS", _number(0), "max_length_bytes", True, "maximum length in bytes"
    ),
    "max-in-memory-length": _Key("Q", _number(0), "", True, "maximum memory in bytes"),
    "max-in-memory-bytes": _Key("Q", _number(0), "", True, "maximum memory in bytes"),
    "overflow": _Key("CQ", _word(*Overflow), "overflow", True, "overflow value"),
    "overflow-victim": _Key("CQ", _word(*Victim), "overflow_victim", True),
    "flow-resume": _Key("CQ", _number(0, 100), "flow_resume_percent", True),
    "dead-letter-exchange": _Key(
        "CQ", _text, "dead_letter_exchange", called="dead letter exchange name"
    ),
    "dead-letter-routing-key": _Key(
        "CQ", _text, "dead_letter_routing_key", called="dead letter routing key"
    ),
    "dead-letter-strategy": _Key(
        "CQ", _word(*DeadLetterStrategy), "dead_letter_strategy", called="dead letter strategy"
    ),
    "delivery-limit": _Key("CQ", _number(None), "delivery_limit", True, "delivery limit"),
    "consumer-timeout": _Key("CQ", _number(0), "consumer_timeout_ms", called="consumer timeout"),
    "consumer-timeout-reset": _Key("CQ", _word(*TimeoutReset), "consumer_timeout_reset"),
    "consumer-disconnected-timeout": _Key(
        "CQ", _number(0), "consumer_disconnected_timeout_ms", called="consumer disconnected timeout"
    ),
    "delayed-retry-type": _Key("CQ", _word(*DelayedRetry), "delayed_retry", operator=True),
    "delayed-retry-min": _Key("CQ", _number(1), "delayed_retry_min_ms", operator=True),
    "delayed-retry-max": _Key("CQ", _number(1), "delayed_retry_max_ms", operator=True),
    "delayed-retry-multiplier": _Key(
        "CQ", _decimal(1.0, MAX_MULTIPLIER), "delayed_retry_multiplier", operator=True
    ),
    "delayed-retry-jitter": _Key("CQ", _decimal(0.0, 1.0), "delayed_retry_jitter", operator=True),
    "delayed-retry-levels": _Key("CQ", _durations, "delayed_retry_levels_ms", operator=True),
    "queue-mode": _Key("C", _word("default", "lazy"), called="queue-mode value"),
    "queue-version": _Key("CQS", _number(1, 2), operator=True, called="queue-version value"),
    "queue-leader-locator": _Key(
        "CQS",
        _word("client-local", "balanced", "random", "least-leaders", "min-masters"),
        called="queue leader locator value",
    ),
    "initial-cluster-size": _Key("S", _number(0), called="cluster size"),
    "target-group-size": _Key("Q", _number(1), called="target quorum queue group size"),
    "member-placement-tag": _Key("Q", lambda value: isinstance(value, str) and value != ""),
    "max-age": _Key("S", _interval, "max_age_ms", called="max age"),
    "stream-max-segment-size-bytes": _Key(
        "S", _number(0, MAX_SEGMENT_BYTES), "max_segment_bytes", called="segment size"
    ),
    "stream-filter-size-bytes": _Key("S", _number(16, 255), "filter_bytes", called="filter size"),
    "federation-upstream": _Key("CQSE", _text),
    "federation-upstream-set": _Key("CQSE", _text),
    # Mirroring is gone from RabbitMQ; definitions that come from older ones still have it.
    "ha-mode": _Key("CE", _anything),
    "ha-params": _Key("CE", _anything),
    "ha-sync-mode": _Key("CE", _anything),
    "ha-sync-batch-size": _Key("CE", _anything),
    "ha-promote-on-shutdown": _Key("CE", _anything),
    "ha-promote-on-failure": _Key("CE", _anything),
}


def without_effect(definition: Mapping[str, object]) -> list[str]:
    """The keys that are kept and do nothing here: of clusters, mirrors and federation."""
    return [
        name
        for name in definition
        if name in POLICY_KEYS and not POLICY_KEYS[name].field and name != "alternate-exchange"
    ]


#: Keys of which two policies' higher value counts; of all other numbers it is the lower.
_HIGHER_WINS: Final = frozenset({"delayed-retry-min"})
#: Words and factors of which a policy's count rather than those of the queue itself.
_POLICY_WINS: Final = frozenset(
    {
        "delayed-retry-type",
        "delayed-retry-multiplier",
        "delayed-retry-jitter",
        "delayed-retry-levels",
    }
)
#: Keys whose negative values mean no limit.
_NEGATIVE_IS_UNLIMITED: Final = frozenset({"delivery-limit"})


# -- reading a policy --------------------------------------------------------------------


_KEYS: Final = ("pattern", "definition", "priority", "apply-to")


def parse_policy(name: str, value: Mapping[str, object], *, operator: bool = False) -> Policy:
    """A policy from its JSON form, as it is in definitions and parameters.

    Raises:
        PreconditionFailed: something in it is not valid; the text says what, as RabbitMQ does.
    """
    wrong = [what for what in _wrong_parts(name, value, operator) if what]
    if wrong:
        raise PreconditionFailed("\n".join(["Validation failed\n", *wrong, ""]))
    definition = value["definition"]
    assert isinstance(definition, Mapping)
    return Policy(
        name,
        str(value["pattern"]),
        dict(definition),
        int(str(value.get("priority", 0))),
        ApplyTo(str(value.get("apply-to", "all"))),
    )


def _wrong_parts(name: str, value: Mapping[str, object], operator: bool) -> Iterator[str]:
    unknown = {key: each for key, each in value.items() if key not in _KEYS}
    if unknown:
        yield f"Unrecognised terms {erlang(unknown)} in {name}"
    for key in ("definition", "pattern"):
        if key not in value:
            yield f'Key "{key}" not found in {name}'
    if "definition" in value:
        yield _wrong_definition(value["definition"], operator)
    apply_to = value.get("apply-to", "all")
    if not isinstance(apply_to, str) or apply_to not in frozenset(ApplyTo):
        # The two spaces are RabbitMQ's.
        yield (
            f"apply-to '{apply_to}' unrecognised; should be one of: 'queues', "
            "'classic_queues',  'quorum_queues', 'streams', 'exchanges', or 'all'"
        )
    if "pattern" in value:
        yield _wrong_pattern(value["pattern"])
    priority = value.get("priority", 0)
    if not _is_integer(priority):
        yield f"priority should be a number, actually was {erlang(priority)}"


def _wrong_pattern(pattern: object) -> str:
    if not isinstance(pattern, str):
        return f"pattern should be a binary but was {erlang(pattern)}"
    try:
        compile_pattern(pattern)
    except PreconditionFailed as error:
        return f"pattern should be regular expression but is invalid: {error.explanation}"
    return ""


def _wrong_definition(definition: object, operator: bool) -> str:
    if not isinstance(definition, Mapping):
        return f"definition must be a dictionary: {erlang(definition)}"
    if not definition:
        return "no policy provided"
    unknown = {}
    for key, setting in definition.items():
        known = POLICY_KEYS.get(key)
        if known is None or (operator and not known.operator):
            unknown[key] = setting
        elif not known.valid(setting):
            return f"{erlang(setting)} is not a valid {known.called or key}"
    if unknown:
        return f"{erlang(unknown)} are not recognised policy settings"
    return _wrong_retry(definition)


def _wrong_retry(definition: Mapping[str, object]) -> str:
    """What is wrong with the delayed retry, of which the keys depend on each other."""
    least, most = definition.get("delayed-retry-min"), definition.get("delayed-retry-max")
    kind = definition.get("delayed-retry-type", DelayedRetry.DISABLED)
    needs_least = kind != DelayedRetry.DISABLED and "delayed-retry-levels" not in definition
    if least is None and needs_least:
        return f"delayed-retry-min is required when delayed-retry-type is {kind}"
    if isinstance(least, int) and isinstance(most, int) and most < least:
        return f"delayed-retry-max ({most}) must not be smaller than delayed-retry-min ({least})"
    return ""


# -- matching ----------------------------------------------------------------------------

_APPLIES: Final[Mapping[ApplyTo, str]] = {
    ApplyTo.ALL: "CQSE",
    ApplyTo.QUEUES: "CQS",
    ApplyTo.CLASSIC_QUEUES: "C",
    ApplyTo.QUORUM_QUEUES: "Q",
    ApplyTo.STREAMS: "S",
    ApplyTo.EXCHANGES: "E",
}
_LETTERS: Final = {QueueType.CLASSIC: "C", QueueType.QUORUM: "Q", QueueType.STREAM: "S"}


class Policies:
    """The policies of one vhost."""

    def __init__(self) -> None:
        #: Counts changes.
        self.revision = 0
        # By kind: user policies, operator policies; each in the order of precedence.
        self._policies: dict[bool, list[Policy]] = {False: [], True: []}

    def put(self, policy: Policy, *, operator: bool = False) -> None:
        """Set a policy; it replaces the one of that name and kind."""
        self.delete(policy.name, operator=operator)
        self._policies[operator].append(policy)
        self._policies[operator].sort(key=lambda each: (-each.priority, each.name))

    def delete(self, name: str, *, operator: bool = False) -> None:
        """Remove a policy, if it is there."""
        self.revision += 1
        self._policies[operator] = [each for each in self._policies[operator] if each.name != name]

    def listing(self, *, operator: bool = False) -> list[Policy]:
        """All policies of a kind, in the order of precedence."""
        return list(self._policies[operator])

    def for_queue(self, name: str, queue_type: QueueType) -> Match:
        """What applies to a queue of this name and type."""
        letter = _LETTERS[queue_type]
        return Match(self._first(False, name, letter), self._first(True, name, letter))

    def for_exchange(self, name: str) -> Match:
        """What applies to an exchange of this name."""
        return Match(self._first(False, name, "E"), self._first(True, name, "E"))

    def cost(self, name: str) -> int:
        """About how many steps it takes to find what applies to this name, at most."""
        return sum(
            compile_pattern(policy.pattern).cost(name)
            for policies in self._policies.values()
            for policy in policies
        )

    def _first(self, operator: bool, name: str, letter: str) -> Policy | None:
        for policy in self._policies[operator]:
            if _is_for(policy, letter) and compile_pattern(policy.pattern).matches(name):
                return policy
        return None


def _is_for(policy: Policy, letter: str) -> bool:
    if letter not in _APPLIES[policy.apply_to]:
        return False
    # RabbitMQ: exchanges take any definition, queues only one they know every key of.
    return letter == "E" or all(letter in POLICY_KEYS[key].types for key in policy.definition)


# -- merging -----------------------------------------------------------------------------


def _lower(key: str, first: PolicyValue, second: PolicyValue) -> bool:
    """Whether the first of two numbers is the one that counts."""
    if not (_is_integer(first) and _is_integer(second)):
        return False
    one, other = int(first), int(second)
    if key in _HIGHER_WINS:
        return one > other
    if key in _NEGATIVE_IS_UNLIMITED and (one < 0 or other < 0):
        return one > other
    return one < other


def _merged(match: Match) -> dict[str, tuple[PolicyValue, Origin]]:
    """Both policies, key by key: the operator's value unless the user's number is stricter."""
    merged: dict[str, tuple[PolicyValue, Origin]] = {}
    if match.policy is not None:
        for key, value in match.policy.definition.items():
            merged[key] = (value, Origin.POLICY)
    if match.operator is not None:
        for key, value in match.operator.definition.items():
            if key not in merged or not _lower(key, merged[key][0], value):
                merged[key] = (value, Origin.OPERATOR_POLICY)
    return merged


def effective_queue(parsed: QueueArguments, declared: Table, match: Match) -> Effective:
    """What is in force for a queue: its arguments and the policies that apply to it.

    `parsed` is what `arguments.parse_queue` made of `declared`.
    """
    origins: dict[str, Origin] = {}
    values: dict[str, object] = {}
    for key, known in POLICY_KEYS.items():
        if known.field and f"x-{key}" in declared:
            origins[key] = Origin.ARGUMENT
    for key, (value, origin) in _merged(match).items():
        field = POLICY_KEYS[key].field
        if not field:
            continue
        argument = declared.get(f"x-{key}")
        if argument is not None and not _beats(key, value, argument.value):
            continue
        origins[key] = origin
        values[field] = _value(key, value)
    return Effective(_replaced(parsed, values), origins)


def _beats(key: str, value: PolicyValue, argument: object) -> bool:
    """Whether a policy's value counts where the queue has an argument of its own."""
    if key in _POLICY_WINS:
        return True
    if not isinstance(argument, int):
        return False
    if key in _HIGHER_WINS:
        # That is between policies; a queue's own number never gives way to a higher one.
        return isinstance(value, int) and value < argument
    return _lower(key, value, argument)


def _value(key: str, value: PolicyValue) -> object:
    """A policy's value as a field of `QueueArguments`."""
    if key in _NEGATIVE_IS_UNLIMITED:
        return unlimited_if_negative(int(value))
    if key == "max-age":
        return interval_ms(str(value))
    if key in ("delayed-retry-multiplier", "delayed-retry-jitter"):
        return decimal(value)
    if key == "delayed-retry-levels":
        return durations_ms(value)
    words: dict[str, type[StrEnum]] = {
        "overflow": Overflow,
        "overflow-victim": Victim,
        "dead-letter-strategy": DeadLetterStrategy,
        "consumer-timeout-reset": TimeoutReset,
        "delayed-retry-type": DelayedRetry,
    }
    return words[key](str(value)) if key in words else value


def _replaced(parsed: QueueArguments, values: dict[str, object]) -> QueueArguments:
    # The table above names the fields; `test_every_key_sets_a_field_of_its_type` holds it.
    return replace(parsed, **values)  # type: ignore[arg-type]


def effective_exchange(match: Match) -> str | None:
    """The alternate exchange that policies give to an exchange without one of its own."""
    value = _merged(match).get("alternate-exchange")
    return None if value is None else str(value[0])


def effective_definition(match: Match) -> dict[str, PolicyValue]:
    """What both policies together say, before any argument: RabbitMQ shows it for queues."""
    return {key: value for key, (value, _) in _merged(match).items()}


def ignored_keys(policy: Policy) -> list[str]:
    """The keys of mirrored queues: kept, so that old definitions can be imported."""
    return [key for key in policy.definition if key.startswith("ha-")]
