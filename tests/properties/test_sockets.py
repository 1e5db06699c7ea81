"""Whatever clients do over sockets, restarts and crashes included: queues are as the model says."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.socket_world import SocketWorld

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
