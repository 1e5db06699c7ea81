"""Audit: what is written down, how often, and what never is."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from pamqp.commands import Connection

from amqpd.amqp.sasl import Login, Peer
from amqpd.amqp.witness import Ending, Visit
from amqpd.broker.definitions import PutPermission, PutUser
from amqpd.broker.session import Secured
from amqpd.config import Audit as Settings
from amqpd.errors import CommandInvalid, FrameError
from amqpd.server import audit as module
from amqpd.server.audit import FILE, MOST_DIFFERENT, REPEAT_S, Audit, Pen
from amqpd.server.auditlog import AuditLog, verify
from amqpd.server.login import new_password_hash
from amqpd.server.witness import AmqpWitness
from tests.cli.ctl.conftest import Ctl
from tests.client import ChannelClosed, Client, ConnectionClosed
from tests.management.served import served
from tests.server.filling import no_longer_than
from tests.server.running import Program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from amqpd.server.auditlog import Entry


def lines(folder: Path) -> list[dict[str, Any]]:
    """What is in the log; its chain is whole."""
    assert verify(folder / FILE).error == ""
    found = [json.loads(line) for line in (folder / FILE).read_text().splitlines()]
    for one in found:
        del one["time"], one["seq"], one["hash"]
    return found


def raw(path: Path) -> list[dict[str, Any]]:
    """The same with numbers and hashes."""
    assert verify(path).error == ""
    return [json.loads(line) for line in path.read_text().splitlines()]


def until(condition: Callable[[], object]) -> None:
    """Let others have their turns until this holds."""
    while not condition():
        os.sched_yield()


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(Settings(), tmp_path)


def test_what_is_recorded_is_on_disk_in_order(tmp_path: Path, audit: Audit) -> None:
    for number in range(100):
        audit.record("queue.delete", user="u", source="192.0.2.1:1", object=f"q{number}")
    audit.close()

    assert lines(tmp_path)[7] == {
        "event": "queue.delete", "result": "ok", "user": "u", "source": "192.0.2.1:1",
        "object": "q7",
    }  # fmt: skip
    assert len(lines(tmp_path)) == 100


def test_a_name_cannot_forge_a_line(tmp_path: Path, audit: Audit) -> None:
    audit.record("queue.delete", object='q"}\n{"seq":99,"event":"x"}\n\udc80' + "x" * 10_000)
    audit.close()

    (line,) = lines(tmp_path)
    assert "\n" in line["object"]
    assert len((tmp_path / FILE).read_text().splitlines()) == 1
    assert len(line["object"]) <= module.VALUE_LENGTH + 1


def test_what_comes_again_within_a_minute_is_counted(tmp_path: Path, audit: Audit) -> None:
    audit.tick(1_000.0)
    for _ in range(5):
        audit.denied("u", "192.0.2.1", "/", "no access")
    audit.denied("u", "192.0.2.1", "/", "something else")

    audit.tick(1_000.0 + REPEAT_S)
    audit.denied("u", "192.0.2.1", "/", "no access")
    audit.close()

    found = [(one["text"], one.get("repeated")) for one in lines(tmp_path)]
    assert found == [
        ("no access", None), ("something else", None), ("no access", 4), ("no access", None),
    ]  # fmt: skip


def test_a_flood_of_denials_is_a_few_lines(tmp_path: Path, audit: Audit) -> None:
    for number in range(100_000):
        audit.denied("u", "192.0.2.1", "/", f"read access to queue 'q{number}' refused")
    audit.close()

    assert (tmp_path / FILE).stat().st_size < 1 << 20
    found = lines(tmp_path)
    assert sum(one.get("repeated", 0) + ("repeated" not in one) for one in found
               if one["event"] == "denied") == 100_000  # fmt: skip
    assert len(found) <= MOST_DIFFERENT + 10


def test_a_flood_of_connections_is_a_few_lines_and_each_is_counted(
    tmp_path: Path, audit: Audit
) -> None:
    witness = AmqpWitness(audit)
    for number in range(100_000):
        if number % 300 == 0:
            audit.tick(1_000.0 + number // 300)
        peer = Peer("192.0.2.1", 1024 + number % 60_000, local_port=5672)
        visit = Visit(Login("u"), peer, "/", f"client {number}")
        witness.opened(visit)
        witness.closed(visit, Ending("closed by the client", 400, 500, 3))
    audit.close()

    assert (tmp_path / FILE).stat().st_size < 1 << 20
    for result in ("opened", "closed"):
        found = [one for one in lines(tmp_path) if one["result"] == result]
        assert sum(one.get("repeated", 1) for one in found) == 100_000
    assert found[-1] == {
        "event": "connection", "result": "closed", "user": "u", "source": "192.0.2.1",
        "listener": "amqp:5672", "vhost": "/", "note": "one of many",
        "repeated": found[-1]["repeated"],
    }  # fmt: skip


def test_logins_from_other_ports_are_the_same(tmp_path: Path, audit: Audit) -> None:
    for port in (50_001, 50_002, 50_003):
        audit.login("u", "192.0.2.1", "PLAIN", "", port, "amqps:5671")
    audit.login("u", "192.0.2.1", "HTTP")
    audit.close()

    told = {"event": "login", "result": "ok", "user": "u", "mechanism": "PLAIN",
            "listener": "amqps:5671"}  # fmt: skip
    assert lines(tmp_path) == [
        {**told, "source": "192.0.2.1:50001"},
        {"event": "login", "result": "ok", "user": "u", "mechanism": "HTTP", "source": "192.0.2.1"},
        {**told, "source": "192.0.2.1", "repeated": 2},
    ]


def test_a_connection_with_tls_tells_its_version_and_the_certificate(
    tmp_path: Path, audit: Audit
) -> None:
    secured = Secured(ssl_protocol="tlsv1.3", peer_cert_subject="CN=shop")
    peer = Peer("192.0.2.1", 7, tls=True, local_port=5671, secured=secured)
    AmqpWitness(audit).opened(Visit(Login("u"), peer, "/", ""))
    audit.close()

    assert lines(tmp_path) == [
        {
            "event": "connection", "result": "opened", "user": "u", "source": "192.0.2.1:7",
            "listener": "amqps:5671", "vhost": "/", "tls_version": "tlsv1.3",
            "tls_subject": "CN=shop",
        },
    ]  # fmt: skip


def _break_off(client: Client) -> None:
    """Send what is no frame, and hear what the broker has to say to that."""
    client.send_octets(b"\1\0\0\0\0\0\0X")
    with pytest.raises(ConnectionClosed):
        client.wait(Connection.CloseOk)
    client.abort()


async def test_connections_are_told_with_how_they_ended_and_what_went_over_them(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as api:
        port, seen = api.broker.port, api.broker.server.connections

        def talk() -> list[str]:
            names = []
            for end in (Client.close, Client.abort, _break_off):
                client = Client(port, name="till 7")
                names.append("{}:{}".format(*client.detach()[0].getsockname()))
                end(client)
                until(lambda: not seen)
            return names

        sources = await asyncio.to_thread(talk)

    found = [one for one in lines(tmp_path / "data") if one["event"] == "connection"]
    told = {"event": "connection", "user": "guest", "listener": f"amqp:{port}", "vhost": "/",
            "name": "till 7"}  # fmt: skip
    reasons = (
        "closed by the client",
        "client unexpectedly closed TCP connection",
        "FRAME_ERROR",
    )
    assert [one["source"] for one in found] == [one for one in sources for _ in range(2)]
    for at, reason in enumerate(reasons):
        opened, closed = found[2 * at : 2 * at + 2]
        assert opened == {**told, "result": "opened", "source": sources[at]}
        assert closed.pop("octets_in") > 100
        assert closed.pop("octets_out") > 100
        assert 0 <= closed.pop("duration_ms") < 60_000
        assert closed.pop("reason").startswith(reason)
        assert closed == {**told, "result": "closed", "source": sources[at]}


def test_an_attack_raises_an_alert(
    tmp_path: Path, audit: Audit, caplog: pytest.LogCaptureFixture
) -> None:
    audit.tick(1_000.0)
    for _ in range(30):
        audit.login("admin", "192.0.2.1", "PLAIN", "wrong password")
    audit.login("admin", "192.0.2.1", "PLAIN")
    audit.close()

    alerts = [one for one in lines(tmp_path) if one["event"] == "alert"]
    assert [one["rule"] for one in alerts] == ["login-burst", "guessed"]
    assert audit.alerts == 2
    assert "audit: alert login-burst: '192.0.2.1'" in caplog.text


def test_it_can_be_turned_off(tmp_path: Path) -> None:
    audit = Audit(Settings(enabled=False), tmp_path)
    audit.record("start")
    audit.close()

    assert not (tmp_path / FILE).exists()


def test_a_disk_that_takes_nothing_is_said_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = Audit(Settings(), tmp_path)

    def full(file: int, octets: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    for _ in range(5):
        audit.record("start")
    audit.close()

    assert audit.lost == 5
    assert "audit: 5 lines are lost" in caplog.text
    assert caplog.text.count("audit: cannot be written") == 1


def entries(*events: str) -> list[Entry]:
    return [{"event": event, "result": "ok"} for event in events]


def test_what_a_full_disk_did_not_take_is_written_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / FILE
    pen = Pen(AuditLog(path, 0, 3))
    pen.write(entries("first"))
    size = path.stat().st_size

    with no_longer_than(size + 50):
        pen.write(entries("second"))
        pen.write(entries("third"))
        assert path.stat().st_size == size
        assert pen.owes
    pen.write(entries("fourth"))
    pen.close()

    assert [one["seq"] for one in raw(path)] == [1, 2, 3, 4]
    assert [one["event"] for one in raw(path)] == ["first", "second", "third", "fourth"]
    assert (pen.lost, pen.owes) == (0, False)


def test_it_is_written_down_how_many_lines_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 2)
    path = tmp_path / FILE
    pen = Pen(AuditLog(path, 0, 3))
    pen.write(entries("first"))

    with no_longer_than(path.stat().st_size + 50):
        for number in range(5):
            pen.write(entries(f"of {number}"))
    pen.write(entries("last"))
    pen.close()

    found = raw(path)
    assert [one["event"] for one in found] == ["first", "of 0", "of 1", "audit", "last"]
    assert (found[3]["result"], found[3]["lines"], pen.lost) == ("lost", 3, 3)


def test_a_full_disk_is_tried_again_also_when_nothing_happens(
    tmp_path: Path, audit: Audit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    tried = threading.Event()
    monkeypatch.setattr(caplog.handler, "emit", lambda record: tried.set())

    with no_longer_than(50):
        audit.record("first")
        audit.record("second")
        assert tried.wait(60)
    while (tmp_path / FILE).read_bytes().count(b"\n") < 2:
        os.sched_yield()
    audit.close()

    assert [one["event"] for one in lines(tmp_path)] == ["first", "second"]


def test_more_than_can_wait_is_lost_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 0)
    audit = Audit(Settings(), tmp_path)

    audit.record("start")
    audit.close()

    assert audit.lost == 1


# -- a broker --------------------------------------------------------------------------------


def pick(found: list[dict[str, Any]], event: str) -> dict[str, Any]:
    return next(one for one in found if one["event"] == event)


async def test_a_broker_tells_who_did_what_from_where(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        broker = api.broker.server.broker
        broker.change(PutUser("weak", *new_password_hash("weak"), ("management",)))
        broker.change(PutPermission("weak", "/", "", "", ""))

        def talk() -> None:
            with Client(api.broker.port) as client:
                channel = client.channel()
                channel.declare_queue("q")
                channel.delete_queue("q")
            weak = Client(api.broker.port, user="weak", password="weak")
            with weak, pytest.raises(ChannelClosed):
                weak.channel().declare_queue("secret")
            with pytest.raises(ConnectionClosed), Client(api.broker.port, password="w r o n g"):
                pass

        await asyncio.to_thread(talk)
        await api.put("/vhosts/v", {"description": "x"})
        await api.as_user("weak", "weak").put("/vhosts/w", status=401)
        await api.get("/definitions")
        await api.get("/auth/hash_password/opensesame")
        await api.as_user("weak", "weak").get("/auth/hash_password/opensesame", 401)

    found = lines(tmp_path / "data")
    assert found[0]["event"] == "start"
    assert found[-1] == {"event": "stop", "result": "ok"}
    deleted = pick(found, "queue.delete")
    assert (deleted["user"], deleted["vhost"], deleted["object"]) == ("guest", "/", "q")
    assert deleted["source"].startswith("127.0.0.1:")
    denied = pick(found, "denied")
    assert denied["user"] == "weak"
    assert "configure access to queue 'secret'" in denied["text"]
    logins = [one for one in found if (one["event"], one["result"]) == ("login", "ok")]
    assert {(one["user"], one["mechanism"]) for one in logins} == {
        ("guest", "PLAIN"), ("weak", "PLAIN"), ("guest", "HTTP"), ("weak", "HTTP"),
    }  # fmt: skip
    failed = next(one for one in found if one["result"] == "failed")
    assert (failed["event"], failed["user"], failed["mechanism"]) == ("login", "guest", "PLAIN")
    changed = pick(found, "http put")
    assert (changed["user"], changed["object"]) == ("guest", "/vhosts/v")
    assert changed["text"].startswith("Adding vhost 'v' (description: 'x', tags: []); Successfully")
    assert pick(found, "http get")["object"] == "/definitions"
    text = (tmp_path / "data" / FILE).read_text()
    assert "opensesame" not in text
    assert "w r o n g" not in text
    assert "/vhosts/w: 401" in text


async def test_nothing_is_changed_over_http_of_which_the_audit_log_cannot_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    path, write, is_full = tmp_path / "data" / FILE, os.write, False

    def limited(file: int, octets: bytes) -> int:
        if is_full and os.readlink(f"/proc/self/fd/{file}") == str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, octets)

    monkeypatch.setattr(os, "write", limited)
    async with served(tmp_path) as api:
        audit = api.broker.server.audit
        await api.put("/vhosts/before", {}, 201)
        is_full = True
        audit.record("noise")
        await asyncio.to_thread(until, lambda: audit.refusal)

        refused = (await api.call("PUT", "/vhosts/v", 503, {}))[0]
        told = await Ctl(api).run("add_vhost", "w", code=69)
        names = [one["name"] for one in await api.get("/vhosts")]

        def talk() -> bytes:
            with Client(api.broker.port) as client:
                channel = client.channel()
                channel.declare_queue("q")
                channel.publish("", "q", b"x")
                message = channel.get("q", no_ack=True)
                assert message is not None
                return message.body

        assert await asyncio.to_thread(talk) == b"x"
        is_full = False
        await asyncio.to_thread(until, lambda: not audit.refusal)
        await api.put("/vhosts/after", {}, 201)

    reason = (
        f"the audit log {path} cannot be written (No space left on device): nothing is changed "
        "over HTTP until it can; make room on its disk, it is tried again every second"
    )
    assert refused == {"error": "service_unavailable", "reason": reason}
    assert reason in told
    assert names == ["/", "before"]
    assert f"HTTP PUT refused: {reason}" in caplog.text
    assert "audit: is written again" in caplog.text
    changed = [one["object"] for one in lines(tmp_path / "data") if one["event"] == "http put"]
    assert changed == ["/vhosts/before", "/vhosts/after"]


async def test_who_looks_at_bodies_is_written_down(tmp_path: Path) -> None:
    async with served(tmp_path) as api:
        await api.put("/queues/%2F/q", {"durable": True}, 201)
        message = {
            "properties": {},
            "routing_key": "q",
            "payload": "x",
            "payload_encoding": "string",
        }
        await api.post("/exchanges/%2F/amq.default/publish", message)
        place = (await api.post("/queues/%2F/q/peek", {}))["messages"][0]["place"]
        await api.get(f"/queues/%2F/q/messages/{place}")

    found = lines(tmp_path / "data")
    assert pick(found, "http get")["object"] == f"/queues/%2F/q/messages/{place}"
    assert "/queues/%2F/q/peek" in [one.get("object") for one in found]


def test_who_speaks_no_amqp_is_written_down_also_after_the_login(
    tmp_path: Path, audit: Audit
) -> None:
    witness, peer = AmqpWitness(audit), Peer("192.0.2.1", 7)
    witness.refused(Login(""), peer, "", CommandInvalid("no such mechanism"))
    witness.refused(Login("bob"), peer, "/", FrameError("frame end"))
    witness.refused(Login("bob"), peer, "/", CommandInvalid("is for the client to know"))
    audit.close()

    assert lines(tmp_path) == [
        {
            "event": "protocol-error", "result": "refused", "source": "192.0.2.1", "code": "503",
            "text": "CommandInvalid",
        },
        {
            "event": "protocol-error", "result": "refused", "user": "bob",
            "source": "192.0.2.1", "code": "501", "text": "FrameError",
        },
    ]  # fmt: skip


def test_a_log_that_was_changed_is_found_by_the_command_line(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from amqpd.cli.audit import audit as command

    with Program(tmp_path / "data").wait_ready() as broker:
        assert broker.stop() == 0
        assert "audit: goes on behind number 0" in broker.log
    run = CliRunner().invoke

    whole = run(command, ["verify", "--data-dir", str(tmp_path / "data")])
    assert whole.exit_code == 0
    assert "lines are whole, up to number 2" in whole.output

    said = re.findall(r"audit: ends with number 2, hash (\w+)", broker.log)
    kept = run(command, ["verify", "--data-dir", str(tmp_path / "data"), "--hash", said[0]])
    assert kept.exit_code == 0
    log = tmp_path / "data" / FILE
    whole_text = log.read_text()
    log.write_text(whole_text.splitlines(keepends=True)[0])
    cut = run(command, ["verify", str(log), "--hash", said[0]])
    assert cut.exit_code == 65
    assert "no line has the hash" in cut.output
    log.write_text(whole_text)
    log.write_text(log.read_text().replace('"start"', '"smart"'))
    changed = run(command, ["verify", str(log)])
    assert changed.exit_code == 65
    assert "audit.log, line 1: was changed" in changed.output

    missing = run(command, ["verify", str(tmp_path / "nothing")])
    assert missing.exit_code == 66
