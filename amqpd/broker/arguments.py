"""Arguments of queues, exchanges and consumers: names, types, validation, equality.

    declared_type(arguments, default, *, durable, exclusive, auto_delete) -> Table
                                              x-queue-type filled in, as RabbitMQ stores it
    take_name_prefix(arguments) -> (prefix, rest)         for server-named queues
    dead_letter_exchange(vhost, queue, arguments) -> name | None      before the rights check
    alternate_exchange(vhost, exchange, arguments) -> name | None     before the rights check
    queue_type_of(vhost, queue, arguments) -> QueueType
    parse_queue(vhost, queue, arguments, *, durable, exclusive, auto_delete) -> QueueArguments
    parse_consumer(vhost, queue, queue_type, arguments) -> ConsumerArguments
    check_equivalent_queue(queue, *, durable, auto_delete, arguments)
    check_equivalent_exchange(current: PutExchange, declared: PutExchange)

All raise `PreconditionFailed` with RabbitMQ's texts. Arguments that nobody knows are kept by
the queue and never compared. The names and who accepts them are one table, `QUEUE_ARGUMENTS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, Protocol

from amqpd.broker.binding import comparable
from amqpd.broker.checks import (
    a_boolean,
    a_decimal,
    a_list_of_durations,
    a_max_age,
    a_placement_tag,
    a_stream_offset,
    a_switch,
    a_text,
    an_integer,
    anything,
    between,
    decimal,
    durations_ms,
    interval_ms,
    is_text,
    number_of,
    one_of,
    unacceptable,
)
from amqpd.broker.filtering import wrong_filter, wrong_match_type
from amqpd.broker.text import resource, term
from amqpd.errors import PreconditionFailed
from amqpd.fields import Field, type_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.broker.checks import Check
    from amqpd.broker.definitions import PutExchange
    from amqpd.fields import Table

#: Ten years; no time to live is longer in RabbitMQ.
MAX_TTL_MS: Final = 315_360_000_000
MAX_PRIORITY: Final = 255
MAX_SEGMENT_BYTES: Final = 3_000_000_000
NAME_PREFIX_BYTES: Final = 64
#: A routing key is a short string on the wire.
ROUTING_KEY_BYTES: Final = 255
DEFAULT_NAME_PREFIX: Final = "amq.gen"
#: How often a message of a quorum queue may fail before it is poison.
QUORUM_DELIVERY_LIMIT: Final = 20
FLOW_RESUME_PERCENT: Final = 80

QUEUE_TYPE: Final = "x-queue-type"
NAME_PREFIX: Final = "x-name-prefix"
DEAD_LETTER_EXCHANGE: Final = "x-dead-letter-exchange"
ALTERNATE_EXCHANGE: Final = "alternate-exchange"
#: LavinMQ's name for it; RabbitMQ's wins.
ALTERNATE_EXCHANGE_TOO: Final = "x-alternate-exchange"


class QueueType(StrEnum):
    """The types that can be declared."""

    CLASSIC = "classic"
    QUORUM = "quorum"
    STREAM = "stream"


class Overflow(StrEnum):
    """What a full queue does with the next message."""

    DROP_HEAD = "drop-head"
    REJECT_PUBLISH = "reject-publish"
    REJECT_PUBLISH_DLX = "reject-publish-dlx"
    #: Ours: take it, and let its publishers wait until there is room.
    BLOCK = "block"


class Victim(StrEnum):
    """Which message goes when the head is dropped."""

    HEAD = "head"
    LOWEST_PRIORITY = "lowest-priority"


class DeadLetterStrategy(StrEnum):
    """Kept as declared; local dead lettering never loses a message."""

    AT_MOST_ONCE = "at-most-once"
    AT_LEAST_ONCE = "at-least-once"


class TimeoutReset(StrEnum):
    """Ours: what makes the timeout of all that a consumer has begin again."""

    NEVER = "never"
    ACK = "ack"


class DelayedRetry(StrEnum):
    """Which returned messages come back later than at once."""

    DISABLED = "disabled"
    ALL = "all"
    FAILED = "failed"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class QueueArguments:
    """What is in force for a queue; None = not limited, not set."""

    queue_type: QueueType = QueueType.CLASSIC
    message_ttl_ms: int | None = None
    expires_ms: int | None = None
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    dead_letter_strategy: DeadLetterStrategy = DeadLetterStrategy.AT_MOST_ONCE
    max_length: int | None = None
    max_length_bytes: int | None = None
    overflow: Overflow = Overflow.DROP_HEAD
    overflow_victim: Victim = Victim.HEAD
    #: Publishers that wait for room go on when the queue is down to this part of its limit.
    flow_resume_percent: int = FLOW_RESUME_PERCENT
    #: None or 0: the queue has no priorities.
    max_priority: int | None = None
    single_active_consumer: bool = False
    #: None: messages never become poison. (Quorum queues: 20 unless set.)
    delivery_limit: int | None = None
    #: None: as configured; 0: none.
    consumer_timeout_ms: int | None = None
    consumer_timeout_reset: TimeoutReset = TimeoutReset.NEVER
    consumer_disconnected_timeout_ms: int | None = None
    delayed_retry: DelayedRetry = DelayedRetry.DISABLED
    delayed_retry_min_ms: int | None = None
    delayed_retry_max_ms: int | None = None
    delayed_retry_multiplier: float = 1.0
    delayed_retry_jitter: float = 0.0
    delayed_retry_levels_ms: tuple[int, ...] = ()
    max_age_ms: int | None = None
    max_segment_bytes: int | None = None
    filter_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ConsumerArguments:
    """What basic.consume may ask for; the rest of its table is kept as it came."""

    priority: int = 0
    consumer_timeout_ms: int | None = None
    #: None: as the queue has it.
    consumer_timeout_reset: TimeoutReset | None = None
    #: Where a stream is read from: a word, an offset, a timestamp or an interval.
    stream_offset: Field | None = None


class DeclaredQueue(Protocol):
    """What the equivalence check reads of a queue."""

    vhost: str
    name: str
    durable: bool
    auto_delete: bool
    declared: Table


# -- the arguments of queues -------------------------------------------------------------


def _a_queue_type(value: Field, arguments: Table) -> str | None:
    if value.kind != "S":
        return unacceptable(value)
    known = value.value in frozenset(QueueType)
    return None if known else f"\"unsupported queue type '{term(value.value)}'\""


def _a_dead_letter_key(value: Field, arguments: Table) -> str | None:
    if not is_text(value):
        return unacceptable(value)
    if DEAD_LETTER_EXCHANGE not in arguments:
        return "routing_key_but_no_dlx_defined"
    # RabbitMQ takes a longer one, and then fails with every message that dies.
    return "max_length_exceeded" if len(str(value.value).encode()) > ROUTING_KEY_BYTES else None


def _a_retry_type(value: Field, arguments: Table) -> str | None:
    wrong = one_of(DelayedRetry, "invalid_delayed_retry_type")(value, arguments)
    if wrong is not None or value.value == DelayedRetry.DISABLED or RETRY_LEVELS in arguments:
        return wrong
    return None if RETRY_MIN in arguments else "delayed_retry_min_required"


def _a_retry_max(value: Field, arguments: Table) -> str | None:
    wrong = between(1, MAX_TTL_MS)(value, arguments)
    least = arguments.get(RETRY_MIN)
    if wrong is None and least is not None and number_of(value) < number_of(least):
        return "delayed_retry_max_less_than_min"
    return wrong


class Argument(NamedTuple):
    """Which queue types take an argument (C, Q, S), and what it may be."""

    types: str
    check: Check


TIMEOUT_RESET: Final = "x-consumer-timeout-reset"
RETRY_MIN: Final = "x-delayed-retry-min"
RETRY_LEVELS: Final = "x-delayed-retry-levels"
MAX_MULTIPLIER: Final = 1000.0
_LOCATORS: Final = frozenset({"client-local", "balanced", "random", "least-leaders", "min-masters"})
_size = between(0, None)
_time = between(0, MAX_TTL_MS)

#: In the order in which they are checked. Classic queues take more than RabbitMQ's: delivery
#: limit, timeouts, delayed retry and dead letter strategy work on every queue with messages.
#: What RabbitMQ does not know is `x-overflow-victim`, `x-flow-resume` and, of delayed retry,
#: multiplier, jitter and levels, and
#: `x-consumer-timeout-reset`.
QUEUE_ARGUMENTS: Final[Mapping[str, Argument]] = {
    "x-expires": Argument("CQ", between(1, MAX_TTL_MS)),
    "x-message-ttl": Argument("CQ", _time),
    DEAD_LETTER_EXCHANGE: Argument("CQ", a_text),
    "x-dead-letter-routing-key": Argument("CQ", _a_dead_letter_key),
    "x-max-length": Argument("CQ", _size),
    "x-max-length-bytes": Argument("CQS", _size),
    "x-max-priority": Argument("CQ", between(0, MAX_PRIORITY, "max_value_exceeded")),
    "x-overflow": Argument("CQ", one_of(Overflow, "invalid_overflow")),
    "x-overflow-victim": Argument("CQ", one_of(Victim, "invalid_overflow_victim")),
    "x-flow-resume": Argument("CQ", between(0, 100, "max_value_exceeded")),
    "x-queue-mode": Argument("C", anything),
    "x-queue-version": Argument("C", anything),
    "x-single-active-consumer": Argument("CQ", a_boolean),
    QUEUE_TYPE: Argument("CQS", _a_queue_type),
    "x-queue-master-locator": Argument("C", anything),
    "x-queue-leader-locator": Argument("CQS", one_of(_LOCATORS, "invalid_queue_locator_arg")),
    "x-dead-letter-strategy": Argument("CQ", one_of(DeadLetterStrategy, "invalid_dlx_strategy")),
    "x-max-in-memory-length": Argument("Q", _size),
    "x-max-in-memory-bytes": Argument("Q", _size),
    "x-delivery-limit": Argument("CQ", an_integer),
    "x-consumer-timeout": Argument("CQ", _size),
    TIMEOUT_RESET: Argument("CQ", one_of(TimeoutReset, "invalid_consumer_timeout_reset")),
    "x-consumer-disconnected-timeout": Argument("CQ", _size),
    "x-delayed-retry-type": Argument("CQ", _a_retry_type),
    RETRY_MIN: Argument("CQ", between(1, MAX_TTL_MS)),
    "x-delayed-retry-max": Argument("CQ", _a_retry_max),
    "x-delayed-retry-multiplier": Argument("CQ", a_decimal(1.0, MAX_MULTIPLIER)),
    "x-delayed-retry-jitter": Argument("CQ", a_decimal(0.0, 1.0)),
    RETRY_LEVELS: Argument("CQ", a_list_of_durations),
    "x-quorum-initial-group-size": Argument("Q", between(1, None)),
    "x-member-placement-tag": Argument("Q", a_placement_tag),
    "x-max-age": Argument("S", a_max_age),
    "x-stream-max-segment-size-bytes": Argument("S", _size),
    "x-stream-filter-size-bytes": Argument("S", _size),
    "x-initial-cluster-size": Argument("S", between(1, None)),
}

#: What is compared of a quorum queue that is declared as a classic one, where that is allowed.
RELAXED: Final = (
    "x-expires", "x-message-ttl", DEAD_LETTER_EXCHANGE, "x-dead-letter-routing-key",
    "x-max-length", "x-max-length-bytes", "x-single-active-consumer",
)  # fmt: skip

CONSUMER_ARGUMENTS: Final[Mapping[str, Argument]] = {
    "x-priority": Argument("CQ", an_integer),
    "x-consumer-timeout": Argument("CQ", _size),
    TIMEOUT_RESET: Argument("CQ", one_of(TimeoutReset, "invalid_consumer_timeout_reset")),
    "x-stream-offset": Argument("S", a_stream_offset),
    "x-stream-filter": Argument("S", wrong_filter),
    "x-stream-match-unfiltered": Argument("S", a_boolean),
    "x-filter-match-type": Argument("CQS", wrong_match_type),
    "x-stream-automatic-offset-tracking": Argument("CQS", a_switch),
}

_LETTERS: Final = {QueueType.CLASSIC: "C", QueueType.QUORUM: "Q", QueueType.STREAM: "S"}


def declared_type(
    arguments: Table, default: str, *, durable: bool, exclusive: bool, auto_delete: bool
) -> Table:
    """The arguments with the queue type in them, as RabbitMQ stores and compares them.

    `default` is the vhost's default queue type; a queue that cannot be of that type is
    classic. An argument of the client itself is left as it is.
    """
    if QUEUE_TYPE in arguments:
        return arguments
    replicable = durable and not exclusive and not auto_delete
    chosen = default if default and replicable else QueueType.CLASSIC
    return {**arguments, QUEUE_TYPE: Field("S", str(chosen))}


def take_name_prefix(arguments: Table) -> tuple[str, Table]:
    """For a queue that the server names: how the name begins, and the other arguments.

    Raises:
        PreconditionFailed: the prefix is not valid, or queues of this type need a name.
    """
    declared = arguments.get(QUEUE_TYPE)
    if declared is not None and declared.value in (QueueType.QUORUM, QueueType.STREAM):
        raise PreconditionFailed(f"Cannot declare a server-named queue for type {declared.value!s}")
    prefix = arguments.get(NAME_PREFIX)
    if prefix is None:
        return DEFAULT_NAME_PREFIX, arguments
    if not isinstance(prefix.value, str):
        raise PreconditionFailed(f"invalid arg '{NAME_PREFIX}': {unacceptable(prefix)}")
    if len(prefix.value.encode()) > NAME_PREFIX_BYTES:
        raise PreconditionFailed(
            f"Queue name prefix '{prefix.value}' exceeds the {NAME_PREFIX_BYTES}-byte limit"
        )
    rest = {name: value for name, value in arguments.items() if name != NAME_PREFIX}
    # As in all names that are declared, ends of lines do not count.
    return prefix.value.translate({10: None, 13: None}), rest


def dead_letter_exchange(vhost: str, queue: str, arguments: Table) -> str | None:
    """The exchange named, which the user must be allowed to write to."""
    return _name_argument(arguments, DEAD_LETTER_EXCHANGE, resource("queue", queue, vhost))


def alternate_exchange(vhost: str, exchange: str, arguments: Table) -> str | None:
    """The exchange named, which the user must be allowed to write to."""
    name = ALTERNATE_EXCHANGE if ALTERNATE_EXCHANGE in arguments else ALTERNATE_EXCHANGE_TOO
    return _name_argument(arguments, name, resource("exchange", exchange, vhost))


def alternate_of(arguments: Table) -> Field | None:
    """The argument that names an alternate exchange, whatever it is called."""
    return arguments.get(ALTERNATE_EXCHANGE) or arguments.get(ALTERNATE_EXCHANGE_TOO)


def _name_argument(arguments: Table, name: str, where: str) -> str | None:
    value = arguments.get(name)
    if value is None:
        return None
    if not isinstance(value.value, str):
        raise PreconditionFailed(f"invalid type '{type_name(value)}' for arg '{name}' in {where}")
    return value.value


def _check(
    known: Mapping[str, Argument], arguments: Table, queue_type: QueueType, where: str
) -> None:
    """Check the values that this queue type knows, then refuse those of other types."""
    letter = _LETTERS[queue_type]
    for name, argument in known.items():
        value = arguments.get(name)
        if value is None or letter not in argument.types:
            continue
        wrong = argument.check(value, arguments)
        if wrong is not None:
            raise PreconditionFailed(f"invalid arg '{name}' for {where}: {wrong}")
    for name in arguments:
        if name in known and letter not in known[name].types:
            raise PreconditionFailed(f"invalid arg '{name}' for {where} of queue type {queue_type}")


def queue_type_of(vhost: str, queue: str, arguments: Table) -> QueueType:
    """The type declared; classic if none is."""
    value = arguments.get(QUEUE_TYPE)
    if value is None:
        return QueueType.CLASSIC
    wrong = _a_queue_type(value, arguments)
    if wrong is not None:
        where = resource("queue", queue, vhost)
        raise PreconditionFailed(f"invalid arg '{QUEUE_TYPE}' for {where}: {wrong}")
    return QueueType(str(value.value))


def parse_queue(
    vhost: str,
    queue: str,
    arguments: Table,
    *,
    durable: bool = True,
    exclusive: bool = False,
    auto_delete: bool = False,
) -> QueueArguments:
    """What a new queue's arguments mean.

    Raises:
        PreconditionFailed: an argument is not valid, belongs to another queue type, or the
            queue type cannot be exclusive, auto-delete or transient.
    """
    queue_type = queue_type_of(vhost, queue, arguments)
    where = resource("queue", queue, vhost)
    _check(QUEUE_ARGUMENTS, arguments, queue_type, where)
    if queue_type is not QueueType.CLASSIC:
        for refused, name in (
            (auto_delete, "auto-delete"),
            (exclusive, "exclusive-owner"),
            (not durable, "non-durable"),
        ):
            if refused:
                raise PreconditionFailed(f"invalid property '{name}' for {where}")
    parsed = _read(arguments, queue_type)
    if (parsed.max_segment_bytes or 0) > MAX_SEGMENT_BYTES:
        raise PreconditionFailed("Exceeded max value for x-stream-max-segment-size-bytes")
    if parsed.filter_bytes is not None and not 16 <= parsed.filter_bytes <= 255:
        raise PreconditionFailed("Invalid value for x-stream-filter-size-bytes")
    return parsed


def _read(arguments: Table, queue_type: QueueType) -> QueueArguments:
    """Checked arguments as values."""

    def number(name: str) -> int | None:
        value = arguments.get(name)
        return None if value is None else number_of(value)

    def text(name: str) -> str | None:
        value = arguments.get(name)
        return None if value is None else str(value.value)

    quorum = queue_type is QueueType.QUORUM
    delivery_limit = number("x-delivery-limit")
    if delivery_limit is None and quorum:
        delivery_limit = QUORUM_DELIVERY_LIMIT
    flow_resume = number("x-flow-resume")
    single_active = arguments.get("x-single-active-consumer")
    return QueueArguments(
        queue_type=queue_type,
        message_ttl_ms=number("x-message-ttl"),
        expires_ms=number("x-expires"),
        dead_letter_exchange=text(DEAD_LETTER_EXCHANGE),
        dead_letter_routing_key=text("x-dead-letter-routing-key"),
        dead_letter_strategy=DeadLetterStrategy(text("x-dead-letter-strategy") or "at-most-once"),
        max_length=number("x-max-length"),
        max_length_bytes=number("x-max-length-bytes"),
        overflow=Overflow(text("x-overflow") or "drop-head"),
        overflow_victim=Victim(text("x-overflow-victim") or "head"),
        flow_resume_percent=FLOW_RESUME_PERCENT if flow_resume is None else flow_resume,
        # Quorum queues have priorities of their own and ignore the argument.
        max_priority=None if quorum else number("x-max-priority"),
        single_active_consumer=single_active is not None and bool(single_active.value),
        delivery_limit=unlimited_if_negative(delivery_limit),
        consumer_timeout_ms=number("x-consumer-timeout"),
        consumer_timeout_reset=TimeoutReset(text(TIMEOUT_RESET) or "never"),
        consumer_disconnected_timeout_ms=number("x-consumer-disconnected-timeout"),
        delayed_retry=DelayedRetry(text("x-delayed-retry-type") or "disabled"),
        delayed_retry_min_ms=number(RETRY_MIN),
        delayed_retry_max_ms=number("x-delayed-retry-max"),
        delayed_retry_multiplier=decimal(text("x-delayed-retry-multiplier")) or 1.0,
        delayed_retry_jitter=decimal(text("x-delayed-retry-jitter")) or 0.0,
        delayed_retry_levels_ms=durations_ms(text(RETRY_LEVELS)),
        max_age_ms=interval_ms(text("x-max-age")),
        max_segment_bytes=number("x-stream-max-segment-size-bytes"),
        filter_bytes=number("x-stream-filter-size-bytes"),
    )


def unlimited_if_negative(limit: int | None) -> int | None:
    """RabbitMQ's way to write `no limit` where leaving it out means a default."""
    return None if limit is None or limit < 0 else limit


def parse_consumer(
    vhost: str, queue: str, queue_type: QueueType, arguments: Table
) -> ConsumerArguments:
    """What the arguments of basic.consume mean.

    Raises:
        PreconditionFailed: an argument is not valid or belongs to another queue type.
    """
    _check(CONSUMER_ARGUMENTS, arguments, queue_type, resource("queue", queue, vhost))
    priority, timeout = arguments.get("x-priority"), arguments.get("x-consumer-timeout")
    reset = arguments.get(TIMEOUT_RESET)
    return ConsumerArguments(
        consumer_timeout_reset=None if reset is None else TimeoutReset(str(reset.value)),
        priority=0 if priority is None else number_of(priority),
        consumer_timeout_ms=None if timeout is None else number_of(timeout),
        stream_offset=arguments.get("x-stream-offset"),
    )


# -- equality ----------------------------------------------------------------------------


def check_equivalent_queue(
    queue: DeclaredQueue,
    *,
    durable: bool,
    auto_delete: bool,
    arguments: Table,
    relaxed: bool = False,
) -> None:
    """Check a declaration against the queue of that name that exists.

    Whether it is exclusive to another connection is not a question of equivalence (405, not
    406) and was answered before. `arguments` have their queue type in them (`declared_type`).
    `relaxed`: who still declares a quorum queue as the classic one that it was need not know.

    Raises:
        PreconditionFailed: they differ in something that matters to this type of queue.
    """
    where = resource("queue", queue.name, queue.vhost)
    _check_property("durable", where, queue.durable, durable)
    _check_property("auto_delete", where, queue.auto_delete, auto_delete)
    kind = queue_type_of(queue.vhost, queue.name, queue.declared)
    if relaxed and kind is QueueType.QUORUM and _is_classic(arguments):
        for name in RELAXED:
            _check_argument(name, where, queue.declared.get(name), arguments.get(name))
        return
    letter = _LETTERS[kind]
    for name, argument in QUEUE_ARGUMENTS.items():
        if letter in argument.types:
            _check_argument(name, where, queue.declared.get(name), arguments.get(name))


def _is_classic(arguments: Table) -> bool:
    declared = arguments.get(QUEUE_TYPE)
    return declared is None or declared.value == QueueType.CLASSIC


def check_equivalent_exchange(current: PutExchange, declared: PutExchange) -> None:
    """Check a declaration against the exchange of that name that exists.

    Raises:
        PreconditionFailed: they differ in something other than an unimportant argument.
    """
    where = resource("exchange", current.name, current.vhost)
    _check_property("type", where, current.kind, declared.kind)
    _check_property("durable", where, current.durable, declared.durable)
    _check_property("auto_delete", where, current.auto_delete, declared.auto_delete)
    _check_property("internal", where, current.internal, declared.internal)
    name = ALTERNATE_EXCHANGE
    _check_argument(name, where, alternate_of(current.arguments), alternate_of(declared.arguments))


def _check_property(name: str, where: str, current: str | bool, received: str | bool) -> None:
    if current != received:
        _inequivalent(name, where, f"'{term(received)}'", f"'{term(current)}'")


def _check_argument(name: str, where: str, current: Field | None, received: Field | None) -> None:
    if current is None and received is None:
        return
    if current is None or received is None:
        known = received or current
        if name == QUEUE_TYPE and known is not None and known.value == QueueType.CLASSIC:
            return
        _inequivalent(name, where, _with_type(received), _with_type(current))
    elif comparable(current) != comparable(received) or _is_float(current) != _is_float(received):
        _inequivalent(name, where, f"'{term(received.value)}'", f"'{term(current.value)}'")


def _is_float(value: Field) -> bool:
    return value.kind in ("d", "f")


def _with_type(value: Field | None) -> str:
    if value is None:
        return "none"
    return f"the value '{term(value.value)}' of type '{type_name(value)}'"


def _inequivalent(name: str, where: str, received: str, current: str) -> NoReturn:
    raise PreconditionFailed(
        f"inequivalent arg '{name}' for {where}: received {received} but current is {current}"
    )
