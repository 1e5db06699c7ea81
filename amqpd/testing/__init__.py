"""A broker inside a test suite: started in milliseconds, gone with the test.

`EmbeddedBroker` runs in a thread of the test's own process, `BrokerProcess` is a process that
can be killed; both are context managers with the same face (`RunningBroker`). `plugin.py` makes
them a pytest fixture, `amqpd_broker`. Test suites in other languages start `amqpd testing`,
which is what `BrokerProcess` does. The user's page is `docs/testing.md`.

Importing this package imports nothing of the broker: pytest loads the plugin wherever amqpd is
installed, so everything slow waits until a broker is started.
"""

from __future__ import annotations

from amqpd.testing.address import RunningBroker, StartFailed
from amqpd.testing.embedded import EmbeddedBroker
from amqpd.testing.program import BrokerProcess

__all__ = ["BrokerProcess", "EmbeddedBroker", "RunningBroker", "StartFailed"]
