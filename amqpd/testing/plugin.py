"""The pytest plugin: the fixture `amqpd_broker` and the marker that configures it.

    def test_orders_arrive(amqpd_broker):
        connection = pika.BlockingConnection(pika.URLParameters(amqpd_broker.uri))

Each test gets a broker of its own, on a free port, with nothing in it. Nothing of the broker is
imported before the first test that asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from amqpd.testing.embedded import EmbeddedBroker
from amqpd.testing.program import BrokerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpd.testing.address import RunningBroker, Settings

MARKER: Final = (
    "amqpd(process=False, disk=False, settings={}): how `amqpd_broker` runs: as a process of "
    "its own, with its messages on disk, with these settings"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--amqpd-process`: brokers as processes, whatever the tests say."""
    parser.getgroup("amqpd").addoption(
        "--amqpd-process",
        action="store_true",
        help="run each amqpd_broker as a process of its own, not in a thread of pytest's",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest what the marker means."""
    config.addinivalue_line("markers", MARKER)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What brokers import is read while the first tests run, if any wants one as a process."""
    wanted = [one for one in session.items if "amqpd_broker" in getattr(one, "fixturenames", ())]
    if not session.config.option.collectonly and any(_as_process(one) for one in wanted):
        from amqpd.testing import forkserver

        forkserver.warm_up()


def _as_process(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("amqpd")
    return bool(
        item.config.getoption("amqpd_process") or (marker and marker.kwargs.get("process", False))
    )


@pytest.fixture
def amqpd_broker(request: pytest.FixtureRequest) -> Iterator[RunningBroker]:
    """A broker of this test's own: `.uri`, `.host`, `.port`, `.http_uri`, `.restart()`."""
    marker = request.node.get_closest_marker("amqpd")
    options: dict[str, Any] = dict(marker.kwargs) if marker else {}
    settings: Settings = options.pop("settings", {})
    disk = options.pop("disk", False)
    options.pop("process", None)
    if options:
        raise pytest.UsageError(f"the marker amqpd has no {', '.join(options)}; it is {MARKER}")
    directory = request.getfixturevalue("tmp_path") / "amqpd-data" if disk else None
    made = BrokerProcess if _as_process(request.node) else EmbeddedBroker
    with made(directory, settings) as broker:
        yield broker
