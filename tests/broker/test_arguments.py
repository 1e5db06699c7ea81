"""Arguments: what they mean, what is refused, and the texts that clients match on."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpd.broker.arguments import (
    QUEUE_ARGUMENTS,
    ConsumerArguments,
    DeadLetterStrategy,
    DelayedRetry,
    Overflow,
    QueueArguments,
    QueueType,
    Victim,
    alternate_exchange,
    check_equivalent_exchange,
    check_equivalent_queue,
    dead_letter_exchange,
    declared_type,
    parse_consumer,
    parse_queue,
    queue_type_of,
    take_name_prefix,
    unlimited_if_negative,
)
from amqpd.broker.definitions import PutExchange
from amqpd.errors import PreconditionFailed
from amqpd.fields import Field, Table, table

QUORUM: Table = {"x-queue-type": Field("S", "quorum")}
STREAM: Table = {"x-queue-type": Field("S", "stream")}


def refusal(arguments: Table, *, queue_type: Table | None = None) -> str:
    with pytest.raises(PreconditionFailed) as refused:
        parse_queue("/", "q", {**(queue_type or {}), **arguments})
    return refused.value.explanation


# -- what queue arguments mean -----------------------------------------------------------


def test_without_arguments_nothing_is_limited() -> None:
    assert parse_queue("/", "q", {}) == QueueArguments()


def test_arguments_of_a_classic_queue() -> None:
    parsed = parse_queue(
        "/",
        "q",
        {
            "x-queue-type": Field("S", "classic"),
            "x-message-ttl": Field("I", 1000),
            "x-expires": Field("l", 2000),
            "x-dead-letter-exchange": Field("S", "dlx"),
            "x-dead-letter-routing-key": Field("S", "dead"),
            "x-dead-letter-strategy": Field("S", "at-least-once"),
            "x-max-length": Field("B", 10),
            "x-max-length-bytes": Field("s", 100),
            "x-overflow": Field("S", "reject-publish-dlx"),
            "x-overflow-victim": Field("S", "lowest-priority"),
            "x-flow-resume": Field("I", 50),
            "x-max-priority": Field("b", 9),
            "x-single-active-consumer": Field("t", True),
            "x-delivery-limit": Field("I", 3),
            "x-consumer-timeout": Field("I", 60_000),
            "x-consumer-disconnected-timeout": Field("I", 1),
            "x-delayed-retry-type": Field("S", "failed"),
            "x-delayed-retry-min": Field("I", 5),
            "x-delayed-retry-max": Field("I", 50),
            "x-delayed-retry-multiplier": Field("S", "1.5"),
            "x-delayed-retry-jitter": Field("d", 0.25),
            "x-delayed-retry-levels": Field("S", "500ms 2s 3m 4h 5d"),
        },
    )

    assert parsed == QueueArguments(
        queue_type=QueueType.CLASSIC,
        message_ttl_ms=1000,
        expires_ms=2000,
        dead_letter_exchange="dlx",
        dead_letter_routing_key="dead",
        dead_letter_strategy=DeadLetterStrategy.AT_LEAST_ONCE,
        max_length=10,
        max_length_bytes=100,
        overflow=Overflow.REJECT_PUBLISH_DLX,
        overflow_victim=Victim.LOWEST_PRIORITY,
        flow_resume_percent=50,
        max_priority=9,
        single_active_consumer=True,
        delivery_limit=3,
        consumer_timeout_ms=60_000,
        consumer_disconnected_timeout_ms=1,
        delayed_retry=DelayedRetry.FAILED,
        delayed_retry_min_ms=5,
        delayed_retry_max_ms=50,
        delayed_retry_multiplier=1.5,
        delayed_retry_jitter=0.25,
        delayed_retry_levels_ms=(500, 2000, 180_000, 14_400_000, 432_000_000),
    )


def test_quorum_queues_have_a_delivery_limit_and_ignore_max_priority() -> None:
    parsed = parse_queue("/", "q", {**QUORUM, "x-max-priority": Field("I", 5)})

    assert parsed == QueueArguments(queue_type=QueueType.QUORUM, delivery_limit=20)


def test_a_negative_delivery_limit_is_none() -> None:
    unlimited = {**QUORUM, "x-delivery-limit": Field("I", -1)}

    assert parse_queue("/", "q", unlimited).delivery_limit is None
    assert unlimited_if_negative(0) == 0


def test_arguments_of_a_stream() -> None:
    parsed = parse_queue(
        "/",
        "q",
        {
            **STREAM,
            "x-max-age": Field("S", "1h"),
            "x-stream-max-segment-size-bytes": Field("l", 3_000_000_000),
            "x-stream-filter-size-bytes": Field("I", 255),
            "x-initial-cluster-size": Field("I", 1),
        },
    )

    assert parsed == QueueArguments(
        queue_type=QueueType.STREAM,
        max_age_ms=3_600_000,
        max_segment_bytes=3_000_000_000,
        filter_bytes=255,
    )


def test_unknown_arguments_are_let_through() -> None:
    parse_queue("/", "q", table({"x-anything": [1], "anything": None}))


def test_arguments_without_effect_may_be_anything() -> None:
    arguments = table(
        {"x-queue-mode": "lazy", "x-queue-version": 1, "x-queue-master-locator": "min-masters"}
    )

    assert parse_queue("/", "q", arguments) == QueueArguments()


# -- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("x-expires", Field("I", 0), "{value_zero,0}"),
        ("x-expires", Field("I", -1), "{value_negative,-1}"),
        ("x-expires", Field("l", 315_360_000_001), "{value_too_large,315360000001}"),
        ("x-expires", Field("S", "1000"), '"expected integer, got longstr"'),
        ("x-message-ttl", Field("I", -1), "{value_negative,-1}"),
        ("x-message-ttl", Field("l", 315_360_000_001), "{value_too_large,315360000001}"),
        ("x-message-ttl", Field("d", 5.0), '"expected integer, got double"'),
        ("x-dead-letter-exchange", Field("I", 5), "{unacceptable_type,signedint}"),
        ("x-dead-letter-routing-key", Field("S", "k"), "routing_key_but_no_dlx_defined"),
        ("x-dead-letter-routing-key", Field("t", True), "{unacceptable_type,bool}"),
        ("x-dead-letter-strategy", Field("S", "perhaps"), "invalid_dlx_strategy"),
        ("x-max-length", Field("l", -5), "{value_negative,-5}"),
        ("x-max-length", Field("S", "5"), '"expected integer, got longstr"'),
        ("x-max-length-bytes", Field("T", 5), '"expected integer, got timestamp"'),
        ("x-max-priority", Field("I", 256), "{max_value_exceeded,256}"),
        ("x-max-priority", Field("I", -1), "{value_negative,-1}"),
        ("x-overflow", Field("S", "explode"), "invalid_overflow"),
        ("x-overflow-victim", Field("S", "tail"), "invalid_overflow_victim"),
        ("x-flow-resume", Field("I", 101), "{max_value_exceeded,101}"),
        ("x-overflow", Field("I", 1), "{unacceptable_type,signedint}"),
        ("x-single-active-consumer", Field("S", "true"), "{unacceptable_type,longstr}"),
        ("x-queue-type", Field("S", "heap"), "\"unsupported queue type 'heap'\""),
        ("x-queue-type", Field("I", 1), "{unacceptable_type,signedint}"),
        ("x-queue-leader-locator", Field("S", "nearest"), "invalid_queue_locator_arg"),
        ("x-delivery-limit", Field("S", "5"), '"expected integer, got longstr"'),
        ("x-consumer-timeout", Field("I", -1), "{value_negative,-1}"),
        ("x-delayed-retry-type", Field("S", "often"), "invalid_delayed_retry_type"),
        ("x-delayed-retry-type", Field("S", "all"), "delayed_retry_min_required"),
        ("x-delayed-retry-min", Field("I", 0), "{value_zero,0}"),
        ("x-delayed-retry-max", Field("S", "1"), '"expected integer, got longstr"'),
        ("x-delayed-retry-multiplier", Field("S", "0.5"), "{not_between,1,1000}"),
        ("x-delayed-retry-multiplier", Field("S", "nan"), "{not_between,1,1000}"),
        ("x-delayed-retry-multiplier", Field("S", "much"), "{not_a_number,much}"),
        ("x-delayed-retry-multiplier", Field("t", True), "{unacceptable_type,bool}"),
        ("x-delayed-retry-jitter", Field("I", 2), "{not_between,0,1}"),
        ("x-delayed-retry-levels", Field("S", ""), "invalid_durations"),
        ("x-delayed-retry-levels", Field("S", "1s soon"), "invalid_durations"),
        ("x-delayed-retry-levels", Field("S", "1s " * 65), "invalid_durations"),
        ("x-delayed-retry-levels", Field("I", 5), "{unacceptable_type,signedint}"),
    ],
)
def test_a_wrong_value_is_refused(name: str, value: Field, reason: str) -> None:
    assert refusal({name: value}) == f"invalid arg '{name}' for queue 'q' in vhost '/': {reason}"


@pytest.mark.parametrize(
    ("queue_type", "name", "value", "reason"),
    [
        (QUORUM, "x-quorum-initial-group-size", Field("I", 0), "{value_zero,0}"),
        (QUORUM, "x-member-placement-tag", Field("S", ""), "invalid_member_placement_tag_arg"),
        (QUORUM, "x-max-in-memory-length", Field("I", -1), "{value_negative,-1}"),
        (STREAM, "x-max-age", Field("S", "soon"), "invalid_max_age"),
        (STREAM, "x-initial-cluster-size", Field("I", 0), "{value_zero,0}"),
    ],
)
def test_a_wrong_value_of_another_type_is_refused(
    queue_type: Table, name: str, value: Field, reason: str
) -> None:
    assert refusal({name: value}, queue_type=queue_type) == (
        f"invalid arg '{name}' for queue 'q' in vhost '/': {reason}"
    )


def test_delays_of_retries_must_fit_together() -> None:
    arguments = table(
        {"x-delayed-retry-type": "all", "x-delayed-retry-min": 10, "x-delayed-retry-max": 9}
    )

    assert refusal(arguments).endswith(": delayed_retry_max_less_than_min")
    disabled = table({"x-delayed-retry-type": "disabled", "x-delayed-retry-max": 9})
    assert parse_queue("/", "q", disabled).delayed_retry_max_ms == 9


@pytest.mark.parametrize(
    ("queue_type", "name"),
    [("classic", "x-max-age"), ("quorum", "x-queue-mode"), ("stream", "x-message-ttl")],
)
def test_an_argument_of_another_queue_type_is_refused(queue_type: str, name: str) -> None:
    arguments = {name: Field("I", 1)}

    text = refusal(arguments, queue_type={"x-queue-type": Field("S", queue_type)})

    assert text == f"invalid arg '{name}' for queue 'q' in vhost '/' of queue type {queue_type}"


def test_wrong_values_are_reported_before_wrong_types() -> None:
    text = refusal({"x-max-age": Field("S", "1h"), "x-expires": Field("I", 0)})

    assert text.endswith("{value_zero,0}")


@pytest.mark.parametrize(
    ("name", "size", "text"),
    [
        (
            "x-stream-max-segment-size-bytes",
            3_000_000_001,
            "Exceeded max value for x-stream-max-segment-size-bytes",
        ),
        ("x-stream-filter-size-bytes", 15, "Invalid value for x-stream-filter-size-bytes"),
        ("x-stream-filter-size-bytes", 256, "Invalid value for x-stream-filter-size-bytes"),
    ],
)
def test_sizes_of_streams_are_bounded(name: str, size: int, text: str) -> None:
    assert refusal({name: Field("l", size)}, queue_type=STREAM) == text


@pytest.mark.parametrize("arguments", [QUORUM, STREAM])
@pytest.mark.parametrize(
    ("durable", "exclusive", "auto_delete", "name"),
    [
        (True, False, True, "auto-delete"),
        (True, True, False, "exclusive-owner"),
        (False, False, False, "non-durable"),
    ],
)
def test_quorum_queues_and_streams_are_durable_and_shared(
    arguments: Table, durable: bool, exclusive: bool, auto_delete: bool, name: str
) -> None:
    parse_queue("/", "q", {}, durable=durable, exclusive=exclusive, auto_delete=auto_delete)
    with pytest.raises(PreconditionFailed) as refused:
        parse_queue(
            "/", "q", arguments, durable=durable, exclusive=exclusive, auto_delete=auto_delete
        )

    assert refused.value.explanation == f"invalid property '{name}' for queue 'q' in vhost '/'"


#: Of every kind, ordinary and odd.
VALUES = [
    *(Field("l", number) for number in (-(1 << 63), -1, 0, 1, 20, 256, (1 << 63) - 1)),
    *(Field("S", text) for text in ("", "quorum", "stream", "drop-head", "all", "1h", "5", "\0")),
    *(Field("d", number) for number in (5.0, math.nan, math.inf)),
    Field("t", True),
    Field("t", 7),
    Field("S", b"\xff"),
    Field("x", b"classic"),
    Field("T", 5),
    Field("D", Decimal(5)),
    Field("V", None),
    Field("A", [Field("V", None)]),
    Field("F", {"x": Field("I", 1)}),
]


@given(st.dictionaries(st.sampled_from(sorted(QUEUE_ARGUMENTS)), st.sampled_from(VALUES)))
def test_any_table_is_understood_or_refused(arguments: Table) -> None:
    with suppress(PreconditionFailed):
        parsed = parse_queue("/", "q", arguments)
        assert parsed.queue_type is queue_type_of("/", "q", arguments)


# -- queue types, names ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "durable", "exclusive", "auto_delete", "expected"),
    [
        ("", True, False, False, "classic"),
        ("quorum", True, False, False, "quorum"),
        ("quorum", False, False, False, "classic"),
        ("quorum", True, True, False, "classic"),
        ("stream", True, False, True, "classic"),
    ],
)
def test_the_default_type_is_filled_in_where_it_fits(
    default: str, durable: bool, exclusive: bool, auto_delete: bool, expected: str
) -> None:
    arguments = declared_type(
        {"a": Field("I", 1)}, default, durable=durable, exclusive=exclusive, auto_delete=auto_delete
    )

    assert arguments == {"a": Field("I", 1), "x-queue-type": Field("S", expected)}


def test_a_declared_type_stays() -> None:
    same = declared_type(QUORUM, "stream", durable=False, exclusive=True, auto_delete=True)

    assert same is QUORUM


def test_the_name_prefix_is_taken_out() -> None:
    arguments = table({"x-name-prefix": "jobs", "x-expires": 5})

    assert take_name_prefix(arguments) == ("jobs", {"x-expires": arguments["x-expires"]})
    assert take_name_prefix({}) == ("amq.gen", {})
    assert take_name_prefix(table({"x-name-prefix": "é" * 32}))[0] == "é" * 32
    assert take_name_prefix(table({"x-name-prefix": "a\r\nb"}))[0] == "ab"


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        (Field("S", "é" * 33), f"Queue name prefix '{'é' * 33}' exceeds the 64-byte limit"),
        (Field("I", 5), "invalid arg 'x-name-prefix': {unacceptable_type,signedint}"),
        (Field("S", b"\xff"), "invalid arg 'x-name-prefix': {unacceptable_type,longstr}"),
    ],
)
def test_a_wrong_name_prefix_is_refused(prefix: Field, text: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        take_name_prefix({"x-name-prefix": prefix})

    assert refused.value.explanation == text


def test_exchanges_that_are_named_in_arguments_are_found() -> None:
    dead_letter = table({"x-dead-letter-exchange": "dlx"})
    alternate = table({"alternate-exchange": "ae"})

    assert dead_letter_exchange("/", "q", dead_letter) == "dlx"
    assert dead_letter_exchange("/", "q", {}) is None
    assert alternate_exchange("/", "x", alternate) == "ae"
    assert alternate_exchange("/", "x", {}) is None


def test_exchanges_that_are_named_in_arguments_must_be_text() -> None:
    with pytest.raises(PreconditionFailed) as refused:
        dead_letter_exchange("/", "q", {"x-dead-letter-exchange": Field("I", 5)})
    assert refused.value.explanation == (
        "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"
    )

    with pytest.raises(PreconditionFailed) as refused:
        alternate_exchange("/", "x", {"alternate-exchange": Field("S", b"\xff")})
    assert refused.value.explanation == (
        "invalid type 'longstr' for arg 'alternate-exchange' in exchange 'x' in vhost '/'"
    )


@pytest.mark.parametrize("queue_type", ["quorum", "stream"])
def test_only_classic_queues_get_a_name_from_the_server(queue_type: str) -> None:
    take_name_prefix(table({"x-queue-type": "classic"}))
    with pytest.raises(PreconditionFailed) as refused:
        take_name_prefix(table({"x-queue-type": queue_type}))

    assert refused.value.explanation == (
        f"Cannot declare a server-named queue for type {queue_type}"
    )


# -- consumers ---------------------------------------------------------------------------


def test_arguments_of_a_consumer() -> None:
    arguments = {"x-priority": Field("I", -3), "x-consumer-timeout": Field("I", 5)}

    parsed = parse_consumer("/", "q", QueueType.CLASSIC, {**arguments, "x-else": Field("V", None)})

    assert parsed == ConsumerArguments(priority=-3, consumer_timeout_ms=5)
    assert parse_consumer("/", "q", QueueType.QUORUM, {}) == ConsumerArguments()
    offset = {"x-stream-offset": Field("S", "first")}
    assert parse_consumer("/", "q", QueueType.STREAM, offset).stream_offset == Field("S", "first")


@pytest.mark.parametrize(
    ("queue_type", "arguments", "text"),
    [
        (
            QueueType.CLASSIC,
            {"x-priority": Field("S", "high")},
            "invalid arg 'x-priority' for queue 'q' in vhost '/': "
            '"expected integer, got longstr"',
        ),
        (
            QueueType.CLASSIC,
            {"x-stream-offset": Field("S", "first")},
            "invalid arg 'x-stream-offset' for queue 'q' in vhost '/' of queue type classic",
        ),
        (
            QueueType.STREAM,
            {"x-priority": Field("I", 1)},
            "invalid arg 'x-priority' for queue 'q' in vhost '/' of queue type stream",
        ),
    ],
)
def test_wrong_arguments_of_a_consumer_are_refused(
    queue_type: QueueType, arguments: Table, text: str
) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        parse_consumer("/", "q", queue_type, arguments)

    assert refused.value.explanation == text


# -- equivalence -------------------------------------------------------------------------


@dataclass
class Declared:
    """A queue, as far as it is compared."""

    vhost: str = "v"
    name: str = "q"
    durable: bool = True
    auto_delete: bool = False
    declared: Table = field(default_factory=dict)


def check(queue: Declared, arguments: Table, *, durable: bool = True, auto: bool = False) -> None:
    check_equivalent_queue(queue, durable=durable, auto_delete=auto, arguments=arguments)


@pytest.mark.parametrize(
    ("current", "received"),
    [
        ({}, {}),
        ({"x-message-ttl": Field("I", 5)}, {"x-message-ttl": Field("l", 5)}),
        ({"x-overflow": Field("S", "drop-head")}, {"x-overflow": Field("x", b"drop-head")}),
        ({}, {"x-queue-type": Field("S", "classic")}),
        ({"x-queue-type": Field("S", "classic")}, {}),
        ({}, {"x-unknown": Field("I", 1)}),
        ({"x-unknown": Field("I", 1)}, {"x-unknown": Field("I", 2)}),
        ({}, {"x-max-age": Field("S", "1h")}),
    ],
)
def test_equivalent_declarations_pass(current: Table, received: Table) -> None:
    check(Declared(declared=current), received)


@pytest.mark.parametrize(
    ("current", "received", "name", "difference"),
    [
        (
            {},
            {"x-message-ttl": Field("I", 5)},
            "x-message-ttl",
            "received the value '5' of type 'signedint' but current is none",
        ),
        (
            {"x-message-ttl": Field("l", 5)},
            {},
            "x-message-ttl",
            "received none but current is the value '5' of type 'long'",
        ),
        (
            {"x-message-ttl": Field("l", 5)},
            {"x-message-ttl": Field("I", 6)},
            "x-message-ttl",
            "received '6' but current is '5'",
        ),
        (
            {"x-max-length": Field("l", 5)},
            {"x-max-length": Field("S", "5")},
            "x-max-length",
            "received '5' but current is '5'",
        ),
        (
            {"x-message-ttl": Field("I", 5)},
            {"x-message-ttl": Field("d", 5.0)},
            "x-message-ttl",
            "received '5.0' but current is '5'",
        ),
        (
            {},
            {"x-single-active-consumer": Field("t", True)},
            "x-single-active-consumer",
            "received the value 'true' of type 'bool' but current is none",
        ),
        (
            {"x-dead-letter-exchange": Field("S", "one")},
            {"x-dead-letter-exchange": Field("S", "two")},
            "x-dead-letter-exchange",
            "received 'two' but current is 'one'",
        ),
        (
            {},
            {"x-queue-type": Field("S", "quorum")},
            "x-queue-type",
            "received the value 'quorum' of type 'longstr' but current is none",
        ),
        (
            {"x-queue-type": Field("S", "classic")},
            {"x-queue-type": Field("S", "quorum"), "x-delivery-limit": Field("I", 5)},
            "x-queue-type",
            "received 'quorum' but current is 'classic'",
        ),
        (
            {"x-queue-type": Field("S", "quorum")},
            {},
            "x-queue-type",
            "received none but current is the value 'quorum' of type 'longstr'",
        ),
    ],
)
def test_inequivalent_arguments_are_refused(
    current: Table, received: Table, name: str, difference: str
) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        check(Declared(declared=current), received)

    assert refused.value.explanation == (
        f"inequivalent arg '{name}' for queue 'q' in vhost 'v': {difference}"
    )


def quorum(**more: Field) -> Table:
    own = {name.replace("_", "-"): value for name, value in more.items()}
    return {"x-queue-type": Field("S", "quorum"), **own}


@pytest.mark.parametrize(
    "received",
    [
        {"x-expires": Field("I", 5)},
        {"x-expires": Field("I", 5), "x-queue-type": Field("S", "classic")},
        {"x-expires": Field("I", 5), "x-max-priority": Field("I", 5)},
    ],
)
def test_a_quorum_queue_may_be_declared_as_the_classic_one_that_it_was(received: Table) -> None:
    queue = Declared(declared=quorum(x_expires=Field("I", 5), x_delivery_limit=Field("I", 5)))

    check_equivalent_queue(queue, durable=True, auto_delete=False, arguments=received, relaxed=True)

    with pytest.raises(PreconditionFailed):
        check(queue, received)


@pytest.mark.parametrize(
    ("current", "received"),
    [
        (quorum(), {"x-message-ttl": Field("I", 5)}),
        (quorum(x_max_length=Field("I", 5)), {}),
        (quorum(), {"x-queue-type": Field("S", "stream")}),
        (quorum(x_delivery_limit=Field("I", 5)), quorum()),
        ({}, quorum()),
        ({"x-overflow": Field("S", "drop-head")}, {}),
    ],
)
def test_what_both_know_is_still_compared(current: Table, received: Table) -> None:
    with pytest.raises(PreconditionFailed):
        check_equivalent_queue(
            Declared(declared=current),
            durable=True,
            auto_delete=False,
            arguments=received,
            relaxed=True,
        )


def test_inequivalent_properties_of_a_queue_are_refused() -> None:
    with pytest.raises(PreconditionFailed) as refused:
        check(Declared(), {}, durable=False)
    assert refused.value.explanation == (
        "inequivalent arg 'durable' for queue 'q' in vhost 'v': "
        "received 'false' but current is 'true'"
    )

    with pytest.raises(PreconditionFailed) as refused:
        check(Declared(), {}, auto=True)
    assert refused.value.explanation == (
        "inequivalent arg 'auto_delete' for queue 'q' in vhost 'v': "
        "received 'true' but current is 'false'"
    )


EXCHANGE = PutExchange(
    "v",
    "x",
    "direct",
    durable=True,
    auto_delete=False,
    internal=False,
    arguments={"alternate-exchange": Field("S", "ae"), "other": Field("I", 1)},
)


def test_equivalent_exchanges_pass() -> None:
    check_equivalent_exchange(EXCHANGE, EXCHANGE)
    for name in ("alternate-exchange", "x-alternate-exchange"):
        other = replace(EXCHANGE, arguments={name: Field("S", "ae")})
        check_equivalent_exchange(EXCHANGE, other)


@pytest.mark.parametrize(
    ("declared", "name", "difference"),
    [
        (replace(EXCHANGE, kind="fanout"), "type", "received 'fanout' but current is 'direct'"),
        (replace(EXCHANGE, durable=False), "durable", "received 'false' but current is 'true'"),
        (
            replace(EXCHANGE, auto_delete=True),
            "auto_delete",
            "received 'true' but current is 'false'",
        ),
        (replace(EXCHANGE, internal=True), "internal", "received 'true' but current is 'false'"),
        (
            replace(EXCHANGE, arguments={}),
            "alternate-exchange",
            "received none but current is the value 'ae' of type 'longstr'",
        ),
    ],
)
def test_inequivalent_exchanges_are_refused(
    declared: PutExchange, name: str, difference: str
) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        check_equivalent_exchange(EXCHANGE, declared)

    assert refused.value.explanation == (
        f"inequivalent arg '{name}' for exchange 'x' in vhost 'v': {difference}"
    )


@pytest.mark.parametrize(("key", "fits"), [("ä" * 127, True), ("ä" * 128, False)])
def test_a_dead_letter_routing_key_must_fit_into_a_message(key: str, fits: bool) -> None:
    arguments = {
        "x-dead-letter-exchange": Field("S", ""),
        "x-dead-letter-routing-key": Field("S", key),
    }

    if fits:
        assert parse_queue("/", "q", arguments).dead_letter_routing_key == key
    else:
        with pytest.raises(PreconditionFailed, match="max_length_exceeded"):
            parse_queue("/", "q", arguments)


def test_levels_are_delays_enough() -> None:
    arguments = {
        "x-delayed-retry-type": Field("S", "all"),
        "x-delayed-retry-levels": Field("S", "1s 2s"),
    }

    assert parse_queue("/", "q", arguments).delayed_retry_levels_ms == (1000, 2000)
