"""The handshake: from the protocol header to connection.open-ok.

What goes wrong before the login is met with silence, so that nobody learns anything by
trying; exceptions are a mechanism that does not exist or was not offered, and a response that
cannot be read: no secret was tested then.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from pamqp.commands import Connection as ConnectionClass

from amqpd import fields
from amqpd.amqp import frames, methods, sasl, settings
from amqpd.amqp.commands import make
from amqpd.amqp.phase import Phase
from amqpd.errors import LoginRefused, NotAllowed

if TYPE_CHECKING:
    from amqpd.amqp.connection import Connection
    from amqpd.fields import Table

logger = logging.getLogger(__name__)

_HEADERS: Final = (frames.PROTOCOL_HEADER, frames.PROTOCOL_HEADER_0_9)
_HEADER_BYTES: Final = 8
#: connection.tune, named in errors about the client's answer to it.
TUNE: Final = (10, 30)

#: Of what a client calls itself, in the log.
NAME_LENGTH: Final = 255


def header(octets: bytes) -> bool | None:
    """Whether a connection begins as it must; None while it still may."""
    if octets[:_HEADER_BYTES] in _HEADERS:
        return True
    if len(octets) < _HEADER_BYTES and any(one.startswith(octets) for one in _HEADERS):
        return None
    return False


def start(connection: Connection) -> None:
    """The protocol header was right: say who we are and how one may log in."""
    properties = settings.server_properties(connection.settings, connection.broker.cluster_name)
    connection.output.send(
        make(
            ConnectionClass.Start,
            version_major=0,
            version_minor=9,
            server_properties=properties,
            mechanisms=" ".join(sasl.offered(connection.settings, connection.peer)),
            locales="en_US",
        ),
        0,
    )
    connection.phase = Phase.START_OK


def start_ok(connection: Connection, method: ConnectionClass.StartOk) -> None:
    """connection.start-ok: the client says who it is, and with which mechanism it shows it."""
    connection.client_properties = methods.table(method.client_properties)
    connection.capabilities = _capabilities(connection.client_properties)
    connection.mechanism_name = method.mechanism
    connection.mechanism = sasl.choose(method.mechanism, connection.settings, connection.peer)
    if name := client_name(connection.client_properties):
        logger.info(
            "connection (%s) has a client-provided name: %s", connection.peer, name[:NAME_LENGTH]
        )
    _respond(connection, connection.mechanism, methods.octets(method.response))


def _capabilities(properties: Table) -> frozenset[str]:
    field = properties.get("capabilities")
    if field is None or not isinstance(field.value, dict):
        return frozenset()
    return frozenset(name for name, each in field.value.items() if each.value is True)


def secure_ok(connection: Connection, method: ConnectionClass.SecureOk) -> None:
    """connection.secure-ok: the answer to our challenge."""
    mechanism = connection.mechanism
    assert mechanism is not None
    _respond(connection, mechanism, methods.octets(method.response))


def _respond(connection: Connection, mechanism: sasl.Mechanism, response: bytes) -> None:
    step = mechanism.respond(response)
    if isinstance(step, sasl.Challenge):
        connection.output.send(make(ConnectionClass.Secure, challenge=step.octets), 0)
        connection.phase = Phase.SECURE_OK
        return
    connection.phase = Phase.AUTHENTICATING

    def decided(login: sasl.Login | None) -> None:
        if connection.phase is not Phase.AUTHENTICATING:
            return  # closed meanwhile
        if login is None:
            _refuse(connection)
        else:
            _tune(connection, login)
        connection.resume()

    connection.authenticate(step, connection.peer, decided)


def _refuse(connection: Connection) -> None:
    name = connection.mechanism_name
    if connection.can("authentication_failure_close"):
        connection.close(
            LoginRefused(
                f"Login was refused using authentication mechanism {name}. "
                "For details see the broker logfile."
            )
        )
    else:
        connection.drop_in(connection.settings.refused_delay_s)


def _tune(connection: Connection, login: sasl.Login) -> None:
    connection.login = login
    connection.logged_in = True
    ours = connection.settings
    connection.output.send(
        ConnectionClass.Tune(
            channel_max=ours.channel_max,
            frame_max=ours.frame_max_bytes,
            heartbeat=ours.heartbeat_s,
        ),
        0,
    )
    connection.phase = Phase.TUNE_OK


def tune_ok(connection: Connection, method: ConnectionClass.TuneOk) -> None:
    """connection.tune-ok: the client may ask for less than we offer, not for more.

    Raises:
        NotAllowed: it does, or for frames too small to work with.
    """
    ours = connection.settings
    if 0 < method.frame_max < ours.frame_min_bytes:
        raise NotAllowed(
            f"negotiated frame_max = {method.frame_max} is lower than the minimum "
            f"allowed value ({ours.frame_min_bytes})"
        )
    _check_maximum("frame_max", method.frame_max, ours.frame_max_bytes, "")
    _check_maximum("channel_max", method.channel_max, ours.channel_max, " (no limit)")
    connection.tuned(method.frame_max, method.channel_max, method.heartbeat)
    connection.phase = Phase.OPEN


def _check_maximum(name: str, wanted: int, offered: int, zero: str) -> None:
    if offered and (wanted == 0 or wanted > offered):
        detail = "" if wanted else zero
        raise NotAllowed(
            f"negotiated {name} = {wanted}{detail} is higher than the maximum "
            f"allowed value ({offered})"
        )


def open_vhost(connection: Connection, method: ConnectionClass.Open) -> None:
    """connection.open: enter a vhost.

    Raises:
        NotAllowed: there is none of that name for this user, or a limit is reached.
    """
    connection.enter(method.virtual_host)
    connection.output.send(make(ConnectionClass.OpenOk, known_hosts=""), 0)
    name = client_name(connection.client_properties)[:NAME_LENGTH]
    connection.opened(name)
    logger.info(
        "connection (%s%s): user '%s' authenticated and granted access to vhost '%s'",
        connection.peer,
        name and f" - {name}",
        connection.login.user,
        method.virtual_host,
    )


def client_name(properties: Table) -> str:
    """What the client calls its connection; empty if it has no name for it."""
    field = properties.get("connection_name")
    value = None if field is None else fields.plain(field)
    return value if isinstance(value, str) else ""


def guess(octets: bytes) -> str:
    """What a client seems to speak, for the log."""
    if octets.startswith(b"\x16\x03"):
        return "bad_header: looks like TLS on a port without it"
    if octets.startswith((b"GET ", b"POST", b"HEAD", b"PUT ")):
        return "bad_header: looks like HTTP"
    if octets.startswith(b"AMQP"):
        return f"protocol version {'-'.join(map(str, octets[4:8]))} is not supported"
    return "bad_header: not AMQP 0-9-1"
