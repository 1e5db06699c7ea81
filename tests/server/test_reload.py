"""SIGHUP: all settings that can change at once do, or none; the others are named."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import aio_pika
import msgspec
import pika  # type: ignore[import-untyped]  # pika has no types

from amqpd.amqp.connection import Connection
from amqpd.amqp.sasl import Credentials, Login, Peer
from amqpd.broker.broker import Alarms
from amqpd.config import SECTIONS, Amqp, Auth, Log, Settings, Tls
from amqpd.server.process import Exit
from amqpd.server.reload import LIVE, plan
from tests.server.running import Program, running_with
from tests.server.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from amqpd.server.transport import Transport


def test_what_can_change_at_once_does_and_the_rest_waits_for_the_next_start() -> None:
    old = Settings()
    new = Settings(
        amqp=Amqp(port=1, heartbeat_s=5), log=Log(level="error", format="json"), tls=Tls(ca="x")
    )

    found = plan(old, new)

    assert found.now == ("amqp.heartbeat_s", "tls.ca", "log.level")
    assert found.later == ("amqp.port", "log.format")
    assert found.settings == Settings(
        amqp=Amqp(heartbeat_s=5), log=Log(level="error"), tls=Tls(ca="x")
    )


def test_what_only_a_new_data_directory_asks_for_is_not_spoken_of() -> None:
    found = plan(Settings(), Settings(auth=Auth(default_user="other", default_password="secret")))

    assert (found.now, found.later) == ((), ())
    assert found.settings == Settings()


def test_every_live_setting_exists() -> None:
    for section, keys in LIVE.items():
        known = {field.name for field in msgspec.structs.fields(SECTIONS[section])}
        assert keys <= known | {"*"}


def write(folder: Path, text: str) -> Path:
    """A configuration file."""
    file = folder / "amqpd.toml"
    file.write_text(text)
    return file


async def test_new_limits_are_for_new_connections(tmp_path: Path) -> None:
    file = write(tmp_path, "[amqp]\nchannel_max = 5\n")
    async with running_with(tmp_path, file) as broker:
        old = await aio_pika.connect(broker.uri)

        write(tmp_path, "[amqp]\nchannel_max = 7\nmax_connections = 2\n")
        broker.server.reload()

        new = await aio_pika.connect(broker.uri)
        agreed = [channel_max(one) for one in broker.server.connections]
        assert agreed == [5, 7]
        assert broker.server.room.most == 2
        assert broker.server.settings.amqp.channel_max == 7
        assert broker.server.config_files == (file,)
        await old.close()
        await new.close()


def channel_max(transport: Transport) -> int:
    """What was agreed on with a client."""
    session = transport.session
    assert isinstance(session, Connection)
    return session.channel_max


async def test_new_watermarks_count_at_once(tmp_path: Path) -> None:
    rarely = "[resources]\ncheck_interval_s = 3600\n"
    file = write(tmp_path, rarely)
    async with running_with(tmp_path, file) as broker:
        server = broker.server
        await until(lambda: server.alarming.look is not None)
        assert server.broker.alarms == Alarms()

        write(tmp_path, rarely + 'memory_watermark_bytes = "1MB"\ndisk_free_bytes = "1000TB"\n')
        server.reload()
        await until(lambda: server.broker.alarms == Alarms(memory=True, disk=True))
        write(tmp_path, rarely)
        server.reload()

        await until(lambda: server.broker.alarms == Alarms())


async def test_one_wrong_setting_refuses_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(tmp_path, "")
    async with running_with(tmp_path, file) as broker:
        before = broker.server.settings
        write(tmp_path, '[amqp]\nheartbeat_s = 5\n[log]\nlevel = "loud"\n')

        broker.server.reload()

        assert broker.server.settings is before
    assert "reload refused, nothing has changed: setting 'log.level'" in caplog.text


async def test_guest_may_be_let_in_from_elsewhere_without_a_restart(tmp_path: Path) -> None:
    file = write(tmp_path, "[auth]\nfailure_delay_s = 9\n")
    async with running_with(tmp_path, file) as broker:
        write(tmp_path, "[auth]\nloopback_users = []\nfailure_delay_s = 2\n")

        broker.server.reload()

        credentials = Credentials("PLAIN", "guest", b"guest")
        answers: list[Login | None] = []
        elsewhere = Peer("192.0.2.1", 1)
        broker.server.logins.authenticate(credentials, elsewhere, answers.append)
        await until(lambda: bool(answers))
        assert answers[0] is not None


def proposed_heartbeat(port: int) -> int:
    """What a new client is told."""
    proposed: list[int] = []

    def agree(_connection: object, seconds: int) -> int:
        proposed.append(seconds)
        return seconds

    pika.BlockingConnection(pika.ConnectionParameters(port=port, heartbeat=agree)).close()
    return proposed[0]


def test_a_process_reloads_on_sighup(tmp_path: Path) -> None:
    file = write(tmp_path, "")
    with Program(tmp_path / "data", "--config", str(file)).wait_ready() as broker:
        write(tmp_path, '[amqp]\nhost = "::1"\nheartbeat_s = 7\n[log]\nlevel = "warning"\n')
        broker.process.send_signal(signal.SIGHUP)
        assert 7 in (proposed_heartbeat(broker.port) for _ in range(100))
        assert broker.stop() == Exit.OK

    assert "reload: setting 'amqp.host' changes with the next start" in broker.log
    # Said before the level changed, but nothing after it.
    assert "SIGTERM: stopping" not in broker.log
