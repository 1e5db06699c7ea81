"""From the protocol header to connection.open-ok, and logins that fail."""

from __future__ import annotations

import pytest
from pamqp import frame
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass
from pamqp.commands import Queue

from amqpd.amqp.handshake import client_name
from amqpd.amqp.phase import Phase
from amqpd.amqp.sasl import Peer
from amqpd.amqp.settings import CAPABILITIES, AmqpSettings
from amqpd.fields import table
from tests.wire.wire import HEADER, World

REFUSED = (
    "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
    "For details see the broker logfile."
)


@pytest.mark.parametrize("header", [HEADER, b"AMQP\x01\x01\x00\x09"])
def test_both_protocol_headers_get_start_for_0_9(header: bytes) -> None:
    client = World().connect()

    client.say(header)

    (start,) = client.hear()
    assert isinstance(start, ConnectionClass.Start)
    assert (start.version_major, start.version_minor) == (0, 9)
    assert (start.mechanisms, start.locales) == ("PLAIN AMQPLAIN ANONYMOUS", "en_US")
    properties = start.server_properties
    assert (properties["product"], properties["version"]) == ("RabbitMQ", "4.2.0")
    assert properties["cluster_name"] == "amqpd"
    assert properties["capabilities"] == dict.fromkeys(CAPABILITIES, True)
    assert {"platform", "information", "copyright"} < set(properties)


def test_the_header_may_come_octet_by_octet_and_with_what_follows() -> None:
    client = World().connect()
    for octet in HEADER[:-1]:
        client.say(bytes((octet,)))
    assert client.hear() == []

    start_ok = frame.marshal(ConnectionClass.StartOk({}, "PLAIN", "\0guest\0guest"), 0)
    client.say(HEADER[-1:] + start_ok)

    assert [type(one) for one in client.hear()] == [ConnectionClass.Start, ConnectionClass.Tune]


def test_tune_offers_what_is_set() -> None:
    settings = AmqpSettings(channel_max=5, frame_max_bytes=8192, heartbeat_s=7)
    client = World(settings).connect()
    client.start()

    tune = client.hear()[-1]

    assert isinstance(tune, ConnectionClass.Tune)
    assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (5, 8192, 7)


def test_a_server_without_limits_takes_any() -> None:
    settings = AmqpSettings(channel_max=0, frame_max_bytes=0)
    client = World(settings).connect()
    client.log_in(channel_max=0, frame_max=0)

    client.open(60_000)


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("AMQPLAIN", "\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest"),
        ("ANONYMOUS", ""),
    ],
)
def test_other_mechanisms_log_in_too(mechanism: str, response: str) -> None:
    client = World().connect()
    client.start(mechanism=mechanism, response=response)

    assert isinstance(client.hear()[-1], ConnectionClass.Tune)
    assert client.session.login.user == "guest"


def test_external_is_offered_to_peers_with_a_certificate() -> None:
    peer = Peer("10.0.0.1", 1, tls=True, certificate_user="other")
    client = World().connect(peer)
    client.start(mechanism="EXTERNAL", response="")

    start, tune = client.hear()

    assert isinstance(start, ConnectionClass.Start)
    assert start.mechanisms == "PLAIN AMQPLAIN ANONYMOUS EXTERNAL"
    assert isinstance(tune, ConnectionClass.Tune)
    assert client.session.login.user == "other"


def test_a_mechanism_may_challenge() -> None:
    client = World(AmqpSettings(mechanisms=("RABBIT-CR-DEMO",))).connect()
    client.start(mechanism="RABBIT-CR-DEMO", response="guest")
    secure = client.hear()[-1]
    assert isinstance(secure, ConnectionClass.Secure)
    assert client.session.phase is Phase.SECURE_OK

    client.send(ConnectionClass.SecureOk("My password is guest"), 0)

    assert isinstance(client.hear()[-1], ConnectionClass.Tune)


@pytest.mark.parametrize(
    ("mechanism", "response", "code", "text"),
    [
        ("NTLM", "", 503, "COMMAND_INVALID - unknown authentication mechanism 'NTLM'"),
        ("EXTERNAL", "", 503, "COMMAND_INVALID - invalid authentication mechanism 'EXTERNAL'"),
        ("PLAIN", "guest", 502, "SYNTAX_ERROR - response of mechanism PLAIN is invalid"),
    ],
)
def test_a_mechanism_or_response_that_makes_no_sense_is_told(
    mechanism: str, response: str, code: int, text: str
) -> None:
    client = World().connect()
    client.start(mechanism=mechanism, response=response)

    close = client.hear()[-1]

    assert isinstance(close, ConnectionClass.Close)
    assert (close.reply_code, close.reply_text) == (code, text)


def test_a_refused_login_is_told_to_clients_that_understand_it() -> None:
    client = World().connect()
    client.start("authentication_failure_close", response="\0guest\0wrong")

    close = client.hear()[-1]

    assert isinstance(close, ConnectionClass.Close)
    assert (close.reply_code, close.reply_text) == (403, REFUSED)
    client.send(ConnectionClass.CloseOk(), 0)
    assert client.session.closing


def test_other_clients_get_silence_and_then_the_end() -> None:
    client = World().connect()
    client.start(response="\0guest\0wrong")
    client.hear()

    assert client.wait(2.5) == []
    assert not client.session.closing
    client.wait(0.5)

    assert client.session.closing


def test_what_comes_while_a_login_is_decided_waits() -> None:
    world = World()
    world.later = True
    client = world.connect()
    client.start()
    client.say(
        frame.marshal(ConnectionClass.TuneOk(10, 131_072, 0), 0)
        + frame.marshal(ConnectionClass.Open("/"), 0)
        + frame.marshal(ChannelClass.Open(), 1)
    )
    assert len(client.hear()) == 1

    world.logins.pop()()

    assert [type(one) for one in client.hear()] == [
        ConnectionClass.Tune,
        ConnectionClass.OpenOk,
        ChannelClass.OpenOk,
    ]


def test_but_not_without_end() -> None:
    world = World()
    world.later = True
    client = world.connect()
    client.start()

    client.say(frame.marshal(ConnectionClass.Open("/"), 0) * 9)
    assert not client.session.wants_reading

    client.say(frame.marshal(ConnectionClass.Open("/"), 0) * 9000)

    assert client.session.closing


def test_a_login_may_come_octet_by_octet() -> None:
    client = World().connect()
    client.say(HEADER)
    client.hear()

    for octet in frame.marshal(ConnectionClass.StartOk({}, "PLAIN", "\0guest\0guest"), 0):
        assert client.hear() == []
        client.say(bytes((octet,)))

    assert [type(one) for one in client.hear()] == [ConnectionClass.Tune]


def test_a_client_may_say_everything_at_once() -> None:
    world = World()
    client = world.connect()
    start = ConnectionClass.StartOk({}, "PLAIN", "\0guest\0guest", "en_US")

    client.say(
        HEADER
        + frame.marshal(start, 0)
        + frame.marshal(ConnectionClass.TuneOk(10, 131_072, 0), 0)
        + frame.marshal(ConnectionClass.Open("/"), 0)
        + frame.marshal(ChannelClass.Open(), 1)
        + frame.marshal(Queue.Declare(queue="q"), 1)
    )

    assert [type(one) for one in client.hear()] == [
        ConnectionClass.Start,
        ConnectionClass.Tune,
        ConnectionClass.OpenOk,
        ChannelClass.OpenOk,
        Queue.DeclareOk,
    ]


def test_a_login_decided_after_the_client_has_gone_changes_nothing() -> None:
    world = World()
    world.later = True
    client = world.connect()
    client.start()
    client.session.connection_lost("impatient")
    client.hear()

    world.logins.pop()()

    assert client.hear() == []
    assert client.session.phase is Phase.CLOSED


def test_a_handshake_that_takes_too_long_is_ended_without_a_word() -> None:
    client = World().connect()
    client.start()
    client.hear()

    client.wait(9.5)
    assert not client.session.closing
    assert client.wait(0.5) == []

    assert client.session.closing


@pytest.mark.parametrize("late", [False, True])
def test_a_client_may_close_before_it_is_open(late: bool) -> None:
    client = World().connect()
    client.start()
    if late:
        client.send(ConnectionClass.TuneOk(10, 131_072, 0), 0)
    client.hear()

    client.ask(ConnectionClass.Close(200, "", 0, 0), ConnectionClass.CloseOk, 0)

    assert client.session.closing


@pytest.mark.parametrize(
    ("frame_max", "answer"), [(4096, ConnectionClass.OpenOk), (4095, ConnectionClass.Close)]
)
def test_the_least_that_frames_may_be_can_be_agreed_on(
    frame_max: int, answer: type[ConnectionClass.OpenOk | ConnectionClass.Close]
) -> None:
    client = World().connect()
    client.start()
    client.hear()

    client.send(ConnectionClass.TuneOk(10, frame_max, 0), 0)
    client.send(ConnectionClass.Open("/"), 0)

    assert [type(one) for one in client.hear()] == [answer]


def test_frames_may_be_as_large_as_agreed_after_tune_ok() -> None:
    client = World().client()

    client.say(b"\x03\x00\x01\x00\x01\xf0\x00")

    assert client.hear() == []


@pytest.mark.parametrize(
    ("properties", "name"),
    [({}, ""), ({"connection_name": "worker 7"}, "worker 7"), ({"connection_name": 7}, "")],
)
def test_a_client_may_name_its_connection(properties: dict[str, str | int], name: str) -> None:
    assert client_name(table(properties)) == name


def test_capabilities_that_are_no_table_are_none() -> None:
    client = World().connect()
    client.say(HEADER)
    command = ConnectionClass.StartOk({"capabilities": 1}, "PLAIN", "\0guest\0guest")

    client.send(command, 0)

    assert client.session.capabilities == frozenset()
