"""`amqpd bench`: a load that is counted right."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from amqpd.cli.load import Latencies
from amqpd.cli.main import group
from tests.cli.messages import run
from tests.management.served import served
from tests.server.running import running

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "options",
    [
        ("-x", "2", "-y", "2"),
        ("-c", "1", "-s", "8"),
        ("-c", "0", "--transient", "-a"),
        ("-s", "300000", "-q", "1"),
    ],
)
async def test_what_is_published_is_confirmed_and_received(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    async with running(tmp_path) as broker:
        done = await run(broker, "bench", "-C", "50", "-z", "60", "--json", *options)
        vhost = broker.server.broker.vhosts["/"]
        assert not vhost.queues  # it tidies up

    found = json.loads(done.output)
    publishers = 2 if "-x" in options else 1
    assert found["published"] == found["received"] == 50 * publishers
    confirmed = 0 if "0" in options else 50 * publishers
    assert (found["confirmed"], found["refused"]) == (confirmed, 0)
    assert set(found["latency_ms"]) == {"p50", "p95", "p99", "max"}
    assert bool(found["confirm_ms"]) is bool(confirmed)


async def test_a_queue_that_is_named_stays_with_what_nobody_took(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        done = await run(
            api.broker, "bench", "-u", "kept", "-y", "0", "-C", "10", "-z", "60", "-r", "1000"
        )

        assert (await api.get("/queues/%2F/kept"))["messages"] == 10
    assert "published            10" in done.output
    assert "to the confirm" in done.output


async def test_it_leaves_as_a_client_does_that_is_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as broker:
        with caplog.at_level(logging.INFO):
            await run(broker, "bench", "-C", "5", "-z", "60")

    assert "unexpectedly" not in caplog.text


async def test_the_disk_of_another_broker_is_none_of_its_business(tmp_path: Path) -> None:
    async with served(tmp_path / "here") as here, running(tmp_path / "there") as there:
        words = ["bench", "-C", "5", "-z", "60", "--uri", f"amqp://127.0.0.1:{there.port}"]
        runner = CliRunner(env={"AMQPD_URL": here.uri})
        done = await asyncio.to_thread(runner.invoke, group, words, prog_name="amqpd")

    assert "disk not known" in done.output


def test_no_percentile_is_above_the_most() -> None:
    for nanoseconds in range(1_000_000, 2_000_000, 1_237):
        one = Latencies()
        one.add(nanoseconds)
        assert one.summary()["p99"] <= one.summary()["max"]


def test_percentiles_are_right_within_a_hundredth() -> None:
    generator = random.Random(7)  # noqa: S311
    times = [generator.randrange(1_000, 10_000_000) for _ in range(5000)]
    latencies = Latencies()
    for one in times:
        latencies.add(one)

    found = Latencies.of([latencies]).summary()

    ordered = sorted(times)
    for rank in (50, 95, 99):
        exact = ordered[len(ordered) * rank // 100] / 1e6
        assert found[f"p{rank}"] == pytest.approx(exact, rel=0.02)
    assert found["max"] == pytest.approx(ordered[-1] / 1e6, abs=0.001)
    assert Latencies().summary() == {}
