"""The pytest plugin as a suite elsewhere uses it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["pytester"]

#: Publishes and finds nothing of another test's.
SUITE = """
    import pika
    import pytest

    def declare(broker):
        with pika.BlockingConnection(pika.URLParameters(broker.uri)) as connection:
            return connection.channel().queue_declare("q", durable=True).method.message_count

    def publish(broker):
        with pika.BlockingConnection(pika.URLParameters(broker.uri)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            properties = pika.BasicProperties(delivery_mode=2)
            channel.basic_publish("", "q", b"x", properties, mandatory=True)

    @pytest.mark.parametrize("round", range(2))
    def test_each_test_has_its_own(amqpd_broker, round):
        assert declare(amqpd_broker) == 0
        publish(amqpd_broker)

    @pytest.mark.amqpd(disk=True, settings={"amqp.heartbeat_s": 7})
    def test_on_disk(amqpd_broker):
        declare(amqpd_broker)
        publish(amqpd_broker)
        amqpd_broker.restart()
        assert declare(amqpd_broker) == 1

    @pytest.mark.amqpd(process=True)
    def test_killed(amqpd_broker):
        declare(amqpd_broker)
        publish(amqpd_broker)
        amqpd_broker.kill()
        amqpd_broker.start()
        assert declare(amqpd_broker) == 1

    async def test_with_asyncio(amqpd_broker):
        import aio_pika

        connection = await aio_pika.connect_robust(amqpd_broker.uri)
        async with connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("q")
            await channel.default_exchange.publish(aio_pika.Message(b"x"), "q")
            assert (await queue.get(timeout=5)).body == b"x"
"""


def test_a_suite_gets_a_broker_for_each_test(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nasyncio_mode = auto\naddopts = --strict-markers")
    pytester.makepyfile(SUITE)

    pytester.runpytest_subprocess("-q").assert_outcomes(passed=5)


def test_all_brokers_may_be_processes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_it(amqpd_broker):
            assert amqpd_broker.pid
        """
    )

    pytester.runpytest_subprocess("-q", "--amqpd-process").assert_outcomes(passed=1)


def test_a_wrong_marker_is_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.amqpd(memory=True)
        def test_it(amqpd_broker):
            pass
        """
    )

    outcome = pytester.runpytest_subprocess("-q")

    outcome.assert_outcomes(errors=1)
    outcome.stdout.fnmatch_lines(["*the marker amqpd has no memory*"])


def test_the_plugin_costs_nothing_until_a_broker_is_started() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import amqpd.testing.plugin;"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}));"
        "print(*sorted(name for name in sys.modules if name.startswith('amqpd')))"
    )

    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert set(said[0].split()) <= {"amqpd", "urllib", "ipaddress", "math"}
    assert said[1].split() == [
        "amqpd",
        "amqpd.testing",
        "amqpd.testing.address",
        "amqpd.testing.embedded",
        "amqpd.testing.plugin",
        "amqpd.testing.program",
    ]
