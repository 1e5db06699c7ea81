"""What the log says of connections, in the words that people look for in RabbitMQ's.

    place(connection)           A -> B - name, vhost: '/', user: 'guest'
    at_its_end(connection)      the same, and how long it lasted
    raised(connection, error, channel, operation)       an error that ends the connection

RabbitMQ has the number of a process in front of the brackets (`<0.471.0>`), which there is not
here; and where its lines go on in the next one, ours go on in the same: what happened is one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.amqp.handshake import NAME_LENGTH, client_name
from amqpd.amqp.phase import STATE_NAMES, Phase

if TYPE_CHECKING:
    from amqpd.amqp.connection import Connection
    from amqpd.errors import AmqpError

#: States in which an error is no method's.
_EARLY: Final = frozenset({Phase.TUNE_OK, Phase.OPEN})


def place(connection: Connection) -> str:
    """Which connection, and how far it came."""
    text = str(connection.peer)
    if name := client_name(connection.client_properties):
        text = f"{text} - {name[:NAME_LENGTH]}"
    if connection.entered:
        return f"{text}, vhost: '{connection.entered}', user: '{connection.login.user}'"
    return f"{text}, user: '{connection.login.user}'" if connection.login.user else text


def at_its_end(connection: Connection) -> str:
    """Which connection, as its last line says it."""
    text = place(connection)
    if not connection.entered:
        if not connection.login.user:
            return text
        return text.replace(", user: ", ", vhost: 'none', user: ")
    lasted_ms = connection.broker.around.now_ms - connection.connected_at_ms
    return f"{text}, duration: '{duration(max(0, lasted_ms))}'"


def raised(connection: Connection, error: AmqpError, channel: int, operation: str) -> str:
    """An error that ends a connection: where, and what it was."""
    text = f"{place(connection)}, state: {STATE_NAMES[connection.phase]})"
    if connection.phase in _EARLY:
        return f"{text}: {error.explanation}"
    return (
        f"{text}, channel {channel}: operation {operation} caused a connection exception "
        f'{error.reply_code.name.lower()}: "{error.explanation}"'
    )


def duration(lasted_ms: int) -> str:
    """How long something lasted, as RabbitMQ's log says it: its largest unit comes first."""
    if lasted_ms < 1000:
        return f"{lasted_ms}ms"
    minutes, seconds = divmod(lasted_ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{days}D", f"{hours}H", f"{minutes}M", f"{seconds}s"]
    largest = next((at for at, many in enumerate((days, hours, minutes)) if many), 3)
    return ", ".join(parts[largest:])
