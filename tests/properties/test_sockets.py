"""Whatever clients do over sockets, restarts and crashes included: queues are as the model says."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.socket_world import Message, SocketWorld, there

#: A failing example is printed and not made shorter: each step is a round trip.
BASE = settings(
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)


@pytest.mark.timeout(600)
def test_queues_are_as_the_model_says() -> None:
    short = settings(BASE, max_examples=15, stateful_step_count=40)

    run_state_machine_as_test(SocketWorld, settings=short)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_queues_are_as_the_model_says_for_long() -> None:
    long = settings(BASE, max_examples=2000, stateful_step_count=60, derandomize=False)

    run_state_machine_as_test(SocketWorld, settings=long)


def test_a_dead_letter_may_have_the_body_of_a_message_that_was_there() -> None:
    first, second = Message(b"7", 1, True, 0), Message(b"7", 2, True, 0)
    acked = Message(b"7", 0, True, 0)

    assert there([b"7", b"7"], [first, second], [], "plain") == [first, second]
    assert there([b"7", b"7", b"7"], [first, second], [acked], "plain") == [acked, first, second]
    with pytest.raises(AssertionError, match="came back"):
        there([b"7", b"7"], [first], [], "plain")
    with pytest.raises(AssertionError, match="lost"):
        there([b"7"], [first, second], [acked], "plain")
