"""Policies: which one applies, and what is in force when several have a say."""

from __future__ import annotations

from dataclasses import fields
from typing import get_origin, get_type_hints

import pytest

from amqpd.broker.arguments import (
    DeadLetterStrategy,
    DelayedRetry,
    Overflow,
    QueueArguments,
    QueueType,
    parse_queue,
)
from amqpd.broker.policy import (
    POLICY_KEYS,
    ApplyTo,
    Match,
    Origin,
    Policies,
    Policy,
    PolicyValue,
    effective_definition,
    effective_exchange,
    effective_queue,
    ignored_keys,
    parse_policy,
    without_effect,
)
from amqpd.broker.text import erlang
from amqpd.errors import PreconditionFailed
from amqpd.fields import Field, Table, table

CLASSIC, QUORUM, STREAM = QueueType.CLASSIC, QueueType.QUORUM, QueueType.STREAM


def a_policy(
    name: str = "p",
    pattern: str = "",
    priority: int = 0,
    apply_to: ApplyTo = ApplyTo.ALL,
    **definition: PolicyValue,
) -> Policy:
    keys = {key.replace("_", "-"): value for key, value in definition.items()}
    return Policy(name, pattern, keys or {"max-length": 1}, priority, apply_to)


def in_force(
    declared: Table, user: Policy | None = None, operator: Policy | None = None
) -> QueueArguments:
    parsed = parse_queue("/", "q", declared)
    return effective_queue(parsed, declared, Match(user, operator)).arguments


# -- reading -----------------------------------------------------------------------------


def test_a_policy_is_read_from_its_json_form() -> None:
    policy = parse_policy(
        "p",
        {
            "pattern": "^a",
            "definition": {"max-length": 5, "overflow": "reject-publish"},
            "priority": 3,
            "apply-to": "classic_queues",
        },
    )

    assert policy == Policy(
        "p", "^a", {"max-length": 5, "overflow": "reject-publish"}, 3, ApplyTo.CLASSIC_QUEUES
    )


def test_priority_and_apply_to_have_defaults() -> None:
    policy = parse_policy("p", {"pattern": "", "definition": {"expires": 1}})

    assert (policy.priority, policy.apply_to) == (0, ApplyTo.ALL)


VALID: dict[str, PolicyValue] = {
    "alternate-exchange": "ae",
    "message-ttl": 0,
    "expires": 1,
    "max-length": 0,
    "max-length-bytes": 0,
    "max-in-memory-length": 0,
    "max-in-memory-bytes": 0,
    "overflow": "reject-publish-dlx",
    "overflow-victim": "lowest-priority",
    "flow-resume": 100,
    "dead-letter-exchange": "dlx",
    "dead-letter-routing-key": "",
    "dead-letter-strategy": "at-least-once",
    "delivery-limit": -1,
    "consumer-timeout": 0,
    "consumer-timeout-reset": "ack",
    "consumer-disconnected-timeout": 0,
    "delayed-retry-type": "disabled",
    "delayed-retry-min": 1,
    "delayed-retry-max": 1,
    "delayed-retry-multiplier": "1.5",
    "delayed-retry-jitter": 0.5,
    "delayed-retry-levels": "1s 2s",
    "queue-mode": "lazy",
    "queue-version": 2,
    "queue-leader-locator": "balanced",
    "initial-cluster-size": 3,
    "target-group-size": 3,
    "member-placement-tag": "rack",
    "max-age": "7D",
    "stream-max-segment-size-bytes": 500,
    "stream-filter-size-bytes": 16,
    "federation-upstream": "u",
    "federation-upstream-set": "all",
    "ha-mode": "all",
    "ha-params": 2,
    "ha-sync-mode": "automatic",
    "ha-sync-batch-size": 10,
    "ha-promote-on-shutdown": "always",
    "ha-promote-on-failure": "always",
}


def test_every_key_has_an_example_here() -> None:
    assert set(VALID) == set(POLICY_KEYS)


@pytest.mark.parametrize("key", sorted(VALID))
def test_every_key_takes_its_values(key: str) -> None:
    policy = parse_policy("p", {"pattern": "", "definition": {key: VALID[key]}})

    assert policy.definition == {key: VALID[key]}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("message-ttl", -1),
        ("message-ttl", "1000"),
        ("message-ttl", True),
        ("expires", 0),
        ("overflow", "explode"),
        ("overflow-victim", "tail"),
        ("flow-resume", 101),
        ("dead-letter-exchange", 5),
        ("delivery-limit", 1.5),
        ("queue-version", 3),
        ("max-age", "soon"),
        ("max-age", 5),
        ("member-placement-tag", ""),
        ("member-placement-tag", 1),
        ("stream-filter-size-bytes", 256),
        ("stream-max-segment-size-bytes", 3_000_000_001),
    ],
)
def test_wrong_values_are_refused(key: str, value: object) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        parse_policy("p", {"pattern": "", "definition": {key: value}})

    called = POLICY_KEYS[key].called or key
    assert refused.value.explanation == (
        f"Validation failed\n\n{erlang(value)} is not a valid {called}\n"
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"pattern": None}, "pattern should be a binary but was null"),
        (
            {"pattern": "("},
            "pattern should be regular expression but is invalid: "
            "pattern '(': missing ')' at position 1",
        ),
        ({"priority": "1"}, 'priority should be a number, actually was <<"1">>'),
        ({"priority": True}, "priority should be a number, actually was true"),
        (
            {"apply-to": "some"},
            "apply-to 'some' unrecognised; should be one of: 'queues', 'classic_queues',  "
            "'quorum_queues', 'streams', 'exchanges', or 'all'",
        ),
        (
            {"apply-to": ["all"]},
            "apply-to '['all']' unrecognised; should be one of: 'queues', 'classic_queues',  "
            "'quorum_queues', 'streams', 'exchanges', or 'all'",
        ),
        ({"definition": {}}, "no policy provided"),
        ({"definition": [1]}, "definition must be a dictionary: [1]"),
        ({"definition": {"colour": 1}}, '[{<<"colour">>,1}] are not recognised policy settings'),
        ({"colour": 1}, 'Unrecognised terms [{<<"colour">>,1}] in p'),
        (
            {"definition": {"delayed-retry-type": "all"}},
            "delayed-retry-min is required when delayed-retry-type is all",
        ),
        (
            {"definition": {"delayed-retry-min": 2, "delayed-retry-max": 1}},
            "delayed-retry-max (1) must not be smaller than delayed-retry-min (2)",
        ),
        (
            {"priority": "1", "definition": {}},
            'no policy provided\npriority should be a number, actually was <<"1">>',
        ),
    ],
)
def test_what_is_wrong_with_a_policy_is_told(change: dict[str, object], text: str) -> None:
    value: dict[str, object] = {"pattern": "", "definition": {"expires": 1}, **change}

    with pytest.raises(PreconditionFailed) as refused:
        parse_policy("p", value)

    assert refused.value.explanation == f"Validation failed\n\n{text}\n"


def test_a_policy_needs_a_pattern_and_a_definition() -> None:
    with pytest.raises(PreconditionFailed) as refused:
        parse_policy("p", {})

    assert refused.value.explanation == (
        'Validation failed\n\nKey "definition" not found in p\nKey "pattern" not found in p\n'
    )


def test_operator_policies_have_fewer_keys() -> None:
    allowed = [key for key, known in POLICY_KEYS.items() if known.operator]

    assert sorted(allowed) == [
        "delayed-retry-jitter",
        "delayed-retry-levels",
        "delayed-retry-max",
        "delayed-retry-min",
        "delayed-retry-multiplier",
        "delayed-retry-type",
        "delivery-limit",
        "expires",
        "flow-resume",
        "max-in-memory-bytes",
        "max-in-memory-length",
        "max-length",
        "max-length-bytes",
        "message-ttl",
        "overflow",
        "overflow-victim",
        "queue-version",
    ]
    with pytest.raises(PreconditionFailed) as refused:
        parse_policy("p", {"pattern": "", "definition": {"max-age": "1h"}}, operator=True)
    assert refused.value.explanation == (
        'Validation failed\n\n[{<<"max-age">>,<<"1h">>}] are not recognised policy settings\n'
    )


# -- matching ----------------------------------------------------------------------------


def test_the_matching_policy_of_the_highest_priority_applies_alone() -> None:
    policies = Policies()
    for policy in (
        a_policy("low", "^a", 1),
        a_policy("second", "^a", 5),
        a_policy("first", "^a", 5),
        a_policy("elsewhere", "^b", 9),
    ):
        policies.put(policy)

    match = policies.for_queue("a1", CLASSIC)

    assert match.policy is not None
    assert match.policy.name == "first"
    assert match.operator is None
    assert policies.for_queue("c", CLASSIC) == Match(None, None)


@pytest.mark.parametrize(
    ("apply_to", "kinds"),
    [
        (ApplyTo.ALL, "classic quorum stream exchange"),
        (ApplyTo.QUEUES, "classic quorum stream"),
        (ApplyTo.CLASSIC_QUEUES, "classic"),
        (ApplyTo.QUORUM_QUEUES, "quorum"),
        (ApplyTo.STREAMS, "stream"),
        (ApplyTo.EXCHANGES, "exchange"),
    ],
)
def test_a_policy_is_for_what_it_says(apply_to: ApplyTo, kinds: str) -> None:
    policies = Policies()
    policies.put(a_policy("p", "", 0, apply_to, max_length_bytes=1))

    matched = [kind for kind in QueueType if policies.for_queue("q", kind).policy]
    matched_all = [*matched, *(["exchange"] if policies.for_exchange("q").policy else [])]

    assert " ".join(matched_all) == kinds


def test_a_policy_with_a_key_that_a_type_does_not_know_leaves_it_alone() -> None:
    policies = Policies()
    policies.put(a_policy("aged", "", 9, max_age="1h"))
    policies.put(a_policy("long", "", 1, max_length=5))

    assert policies.for_queue("q", CLASSIC).policy == a_policy("long", "", 1, max_length=5)
    assert policies.for_queue("q", STREAM).policy == a_policy("aged", "", 9, max_age="1h")
    assert policies.for_exchange("x").policy == a_policy("aged", "", 9, max_age="1h")


def test_policies_are_put_replaced_deleted_and_listed_by_kind() -> None:
    policies = Policies()
    policies.put(a_policy("p", priority=1))
    policies.put(a_policy("p", priority=2))
    policies.put(a_policy("o"), operator=True)
    revision = policies.revision

    assert policies.listing() == [a_policy("p", priority=2)]
    assert policies.listing(operator=True) == [a_policy("o")]
    assert policies.for_queue("q", CLASSIC) == Match(a_policy("p", priority=2), a_policy("o"))
    policies.delete("p")
    policies.delete("o")
    assert policies.listing() == []
    assert policies.listing(operator=True) == [a_policy("o")]
    assert policies.revision > revision


# -- merging -----------------------------------------------------------------------------


def test_without_policies_the_arguments_are_in_force() -> None:
    declared = table({"x-max-length": 5, "x-overflow": "reject-publish"})

    effective = effective_queue(parse_queue("/", "q", declared), declared, Match(None, None))

    assert effective.arguments == parse_queue("/", "q", declared)
    assert effective.origins == {
        "max-length": Origin.ARGUMENT,
        "overflow": Origin.ARGUMENT,
    }


@pytest.mark.parametrize(
    ("argument", "user", "operator", "expected", "origin"),
    [
        (None, 5, None, 5, Origin.POLICY),
        (None, None, 5, 5, Origin.OPERATOR_POLICY),
        (None, 5, 6, 5, Origin.POLICY),
        (None, 6, 5, 5, Origin.OPERATOR_POLICY),
        (4, 5, 6, 4, Origin.ARGUMENT),
        (5, 4, 6, 4, Origin.POLICY),
        (5, 6, 4, 4, Origin.OPERATOR_POLICY),
        (5, 5, 5, 5, Origin.ARGUMENT),
    ],
)
@pytest.mark.parametrize(
    ("key", "field"),
    [
        ("message-ttl", "message_ttl_ms"),
        ("expires", "expires_ms"),
        ("max-length", "max_length"),
        ("max-length-bytes", "max_length_bytes"),
        ("flow-resume", "flow_resume_percent"),
        ("delivery-limit", "delivery_limit"),
        ("delayed-retry-max", "delayed_retry_max_ms"),
    ],
)
def test_of_numbers_the_lowest_counts(
    key: str,
    field: str,
    argument: int | None,
    user: int | None,
    operator: int | None,
    expected: int,
    origin: Origin,
) -> None:
    declared = {} if argument is None else table({f"x-{key}": argument})
    match = Match(
        None if user is None else Policy("p", "", {key: user}),
        None if operator is None else Policy("o", "", {key: operator}),
    )

    effective = effective_queue(parse_queue("/", "q", declared), declared, match)

    assert getattr(effective.arguments, field) == expected
    assert effective.origins == {key: origin}


@pytest.mark.parametrize(
    ("argument", "user", "operator", "expected"),
    [
        (None, -1, None, None),
        (None, -1, 5, 5),
        (None, 5, -1, 5),
        (-1, 5, None, 5),
        (5, -1, None, 5),
        (-1, -2, -3, None),
    ],
)
def test_an_unlimited_delivery_count_loses_to_any_limit(
    argument: int | None, user: int, operator: int | None, expected: int | None
) -> None:
    declared = {} if argument is None else table({"x-delivery-limit": argument})
    operator_policy = None if operator is None else a_policy("o", delivery_limit=operator)

    limits = in_force(declared, a_policy(delivery_limit=user), operator_policy)

    assert limits.delivery_limit == expected


def test_a_policy_replaces_the_delivery_limit_that_quorum_queues_have_anyway() -> None:
    quorum = {"x-queue-type": Field("S", "quorum")}

    assert in_force(quorum).delivery_limit == 20
    assert in_force(quorum, a_policy(delivery_limit=50)).delivery_limit == 50
    assert in_force(quorum, a_policy(delivery_limit=-1)).delivery_limit is None


def test_of_words_the_argument_counts_then_the_operator() -> None:
    user, operator = a_policy(overflow="reject-publish"), a_policy(overflow="reject-publish-dlx")

    assert in_force({}, user).overflow is Overflow.REJECT_PUBLISH
    assert in_force({}, user, operator).overflow is Overflow.REJECT_PUBLISH_DLX
    own = table({"x-overflow": "drop-head"})
    assert in_force(own, user, operator).overflow is Overflow.DROP_HEAD


def test_the_shortest_delay_of_retries_is_the_longer_one_of_two_policies() -> None:
    user, operator = a_policy(delayed_retry_min=5), a_policy(delayed_retry_min=9)

    assert in_force({}, user, operator).delayed_retry_min_ms == 9
    assert in_force({}, operator, user).delayed_retry_min_ms == 9


def test_a_queues_own_least_delay_gives_way_to_a_lower_one_only() -> None:
    own = {"x-delayed-retry-min": Field("I", 7)}

    assert in_force(own, a_policy(delayed_retry_min=5)).delayed_retry_min_ms == 5
    assert in_force(own, a_policy(delayed_retry_min=9)).delayed_retry_min_ms == 7


def test_a_policy_says_how_retries_are_delayed_whatever_the_queue_says() -> None:
    own = {
        "x-delayed-retry-type": Field("S", "failed"),
        "x-delayed-retry-min": Field("I", 7),
        "x-delayed-retry-multiplier": Field("S", "3"),
    }
    policy = a_policy(
        delayed_retry_type="disabled",
        delayed_retry_multiplier=2,
        delayed_retry_jitter="0.5",
        delayed_retry_levels="1s",
    )

    arguments = in_force(own, policy)

    assert arguments.delayed_retry is DelayedRetry.DISABLED
    assert (arguments.delayed_retry_multiplier, arguments.delayed_retry_jitter) == (2.0, 0.5)
    assert arguments.delayed_retry_levels_ms == (1000,)


def test_keys_are_merged_one_by_one() -> None:
    declared = table({"x-dead-letter-exchange": "own"})

    arguments = in_force(
        declared,
        a_policy(dead_letter_exchange="policy", dead_letter_routing_key="k", max_length=5),
        a_policy(message_ttl=1000),
    )

    assert arguments == QueueArguments(
        dead_letter_exchange="own",
        dead_letter_routing_key="k",
        max_length=5,
        message_ttl_ms=1000,
    )


def test_values_become_what_the_queue_expects() -> None:
    arguments = in_force(
        {},
        a_policy(
            dead_letter_strategy="at-least-once",
            delayed_retry_type="all",
            delayed_retry_min=1,
            consumer_timeout=5,
            queue_mode="lazy",
        ),
    )
    stream = in_force({"x-queue-type": Field("S", "stream")}, a_policy(max_age="1h"))

    assert arguments == QueueArguments(
        dead_letter_strategy=DeadLetterStrategy.AT_LEAST_ONCE,
        delayed_retry=DelayedRetry.ALL,
        delayed_retry_min_ms=1,
        consumer_timeout_ms=5,
    )
    assert stream.max_age_ms == 3_600_000


@pytest.mark.parametrize("key", [key for key in VALID if POLICY_KEYS[key].field])
def test_every_key_sets_a_field_of_its_type(key: str) -> None:
    hints = get_type_hints(QueueArguments)
    field = POLICY_KEYS[key].field

    effective = effective_queue(
        QueueArguments(), {}, Match(Policy("p", "", {key: VALID[key]}), None)
    )

    assert field in {each.name for each in fields(QueueArguments)}
    hint = hints[field]
    kind = tuple if get_origin(hint) is tuple else hint
    assert isinstance(getattr(effective.arguments, field), kind)


def test_exchanges_get_their_alternate_from_policies() -> None:
    assert effective_exchange(Match(None, None)) is None
    assert effective_exchange(Match(a_policy(max_length=5), None)) is None
    assert effective_exchange(Match(a_policy(alternate_exchange="ae"), None)) == "ae"


def test_both_policies_together_are_shown_merged() -> None:
    match = Match(
        Policy("p", "", {"max-length": 5, "expires": 9}),
        Policy("o", "", {"max-length": 7, "message-ttl": 1}),
    )

    assert effective_definition(match) == {"max-length": 5, "expires": 9, "message-ttl": 1}
    assert effective_definition(Match(None, None)) == {}


def test_keys_of_mirrored_queues_are_told_apart() -> None:
    assert ignored_keys(Policy("p", "", {"ha-mode": "all", "expires": 9})) == ["ha-mode"]


def test_the_cost_of_finding_what_applies_grows_with_the_policies() -> None:
    policies = Policies()
    assert policies.cost("q") == 0

    policies.put(a_policy("p", "^a"))
    policies.put(a_policy("o", "^b"), operator=True)

    assert policies.cost("q") == 2


def test_the_keys_of_a_policy_that_do_nothing_here_are_named() -> None:
    definition = {
        "max-length": 1,
        "ha-mode": "all",
        "alternate-exchange": "x",
        "federation-upstream-set": "all",
        "of-some-plugin": 1,
    }

    assert without_effect(definition) == ["ha-mode", "federation-upstream-set"]
