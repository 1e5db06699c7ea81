"""Definitions in tables: what each command changes, and the commands that make them again.

Deleting cascades here as it does in the model: a vhost takes everything in it along, a queue
its bindings and lanes, an exchange its bindings, a user its permissions.
"""

# ruff: noqa: S608 - what is put into statements are names of ours; values are bound
from __future__ import annotations

import json
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Final

from amqpd.broker import definitions as d
from amqpd.fields import decode_table, encode_table, plain_table
from amqpd.store.ranges import POSITION_BITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpd.fields import Table
    from amqpd.store.driver import Connection, Value

#: Everything below a lane's keys is garbage once the lane is gone.
_DROP_LANES: Final = f"""
INSERT INTO garbage(first_key, last_key)
SELECT id << {POSITION_BITS}, ((id + 1) << {POSITION_BITS}) - 1 FROM lane WHERE {{which}}
ON CONFLICT(first_key) DO UPDATE SET last_key = excluded.last_key
"""

#: Tables with a column `vhost`, which a vhost takes along.
_IN_VHOST: Final = (
    "binding",
    "queue",
    "exchange",
    "lane",
    "permission",
    "topic_permission",
    "parameter",
)


class Catalogue:
    """The definition tables of one connection; the caller owns the transaction."""

    def __init__(self, connection: Connection) -> None:
        self._run = connection.run

    # -- in ------------------------------------------------------------------------------

    @singledispatchmethod
    def apply(self, command: d.Command) -> None:
        """Change the tables as the command says."""
        raise TypeError(f"no table for {command!r}")

    def _put(self, table: str, **columns: Value) -> None:
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        # Not REPLACE: what is put again keeps its place in the order.
        changes = ", ".join(f"{name} = excluded.{name}" for name in columns)
        statement = (
            f"INSERT INTO {table}({names}) VALUES ({marks}) ON CONFLICT DO UPDATE SET {changes}"
        )
        self._run(statement, list(columns.values()))

    def _remove(self, table: str, **columns: Value) -> None:
        where = " AND ".join(f"{name} = ?" for name in columns)
        self._run(f"DELETE FROM {table} WHERE {where}", list(columns.values()))

    @apply.register
    def _(self, command: d.PutVhost) -> None:
        self._put(
            "vhost",
            name=command.name,
            description=command.description,
            tags=json.dumps(command.tags),
            default_queue_type=command.default_queue_type,
            tracing=int(command.tracing),
            protected=int(command.protected_from_deletion),
        )

    @apply.register
    def _(self, command: d.DeleteVhost) -> None:
        self._run(_DROP_LANES.format(which="vhost = ?"), [command.name])
        for table in _IN_VHOST:
            self._remove(table, vhost=command.name)
        self._remove("vhost", name=command.name)

    @apply.register
    def _(self, command: d.PutUser) -> None:
        self._put(
            "user",
            name=command.name,
            password_hash=command.password_hash,
            hashing_algorithm=command.hashing_algorithm,
            tags=json.dumps(command.tags),
        )

    @apply.register
    def _(self, command: d.DeleteUser) -> None:
        for table in ("permission", "topic_permission"):
            self._remove(table, user=command.name)
        self._remove("user", name=command.name)

    @apply.register
    def _(self, command: d.PutPermission) -> None:
        self._put(
            "permission",
            user=command.user,
            vhost=command.vhost,
            configure=command.configure,
            write=command.write,
            read=command.read,
        )

    @apply.register
    def _(self, command: d.DeletePermission) -> None:
        self._remove("permission", user=command.user, vhost=command.vhost)

    @apply.register
    def _(self, command: d.PutTopicPermission) -> None:
        self._put(
            "topic_permission",
            user=command.user,
            vhost=command.vhost,
            exchange=command.exchange,
            write=command.write,
            read=command.read,
        )

    @apply.register
    def _(self, command: d.DeleteTopicPermission) -> None:
        which: dict[str, Value] = {"user": command.user, "vhost": command.vhost}
        if command.exchange is not None:
            which["exchange"] = command.exchange
        self._remove("topic_permission", **which)

    @apply.register
    def _(self, command: d.PutExchange) -> None:
        self._put(
            "exchange",
            vhost=command.vhost,
            name=command.name,
            kind=command.kind,
            durable=int(command.durable),
            auto_delete=int(command.auto_delete),
            internal=int(command.internal),
            arguments=encode_table(command.arguments),
            arguments_text=_text(command.arguments),
            declared_by=command.declared_by,
        )

    @apply.register
    def _(self, command: d.DeleteExchange) -> None:
        vhost, name = command.vhost, command.name
        self._remove("binding", vhost=vhost, source=name)
        self._remove("binding", vhost=vhost, destination=name, destination_kind="exchange")
        self._remove("exchange", vhost=vhost, name=name)

    @apply.register
    def _(self, command: d.PutQueue) -> None:
        self._put(
            "queue",
            vhost=command.vhost,
            name=command.name,
            durable=int(command.durable),
            exclusive=int(command.exclusive),
            auto_delete=int(command.auto_delete),
            arguments=encode_table(command.arguments),
            arguments_text=_text(command.arguments),
            lanes=json.dumps(command.lanes),
            declared_by=command.declared_by,
        )
        for level, lane in enumerate(command.lanes):
            if lane:
                self._run(
                    "INSERT OR IGNORE INTO lane VALUES (?, ?, ?, ?, 0, 0, 0, 0)",
                    [lane, command.vhost, command.name, level],
                )

    @apply.register
    def _(self, command: d.DeleteQueue) -> None:
        vhost, name = command.vhost, command.name
        self._run(_DROP_LANES.format(which="vhost = ? AND queue = ?"), [vhost, name])
        self._remove("lane", vhost=vhost, queue=name)
        self._remove("binding", vhost=vhost, destination=name, destination_kind="queue")
        self._remove("queue", vhost=vhost, name=name)

    @apply.register
    def _(self, command: d.PutBinding) -> None:
        self._put("binding", **_identity(command), arguments_text=_text(command.arguments))

    @apply.register
    def _(self, command: d.DeleteBinding) -> None:
        self._remove("binding", **_identity(command))

    @apply.register
    def _(self, command: d.PutParameter) -> None:
        self._put(
            "parameter",
            component=command.component,
            vhost=command.vhost,
            name=command.name,
            value=command.value,
        )

    @apply.register
    def _(self, command: d.DeleteParameter) -> None:
        self._remove(
            "parameter", component=command.component, vhost=command.vhost, name=command.name
        )

    # -- out -----------------------------------------------------------------------------

    def commands(self) -> list[d.Command]:
        """The definitions as commands, in an order in which they can be applied."""
        return [
            *self._vhosts(),
            *self._users(),
            *self._exchanges(),
            *self._queues(),
            *self._bindings(),
            *self._parameters(),
        ]

    def _rows(self, table: str, columns: str) -> list[tuple[Value, ...]]:
        return self._run(f"SELECT {columns} FROM {table} ORDER BY rowid")

    def _vhosts(self) -> Iterator[d.Command]:
        columns = "name, description, tags, default_queue_type, tracing, protected"
        for name, description, tags, queue_type, *flags in self._rows("vhost", columns):
            yield d.PutVhost(
                str(name), str(description), _names(tags), str(queue_type), *map(bool, flags)
            )

    def _users(self) -> Iterator[d.Command]:
        columns = "name, password_hash, hashing_algorithm, tags"
        for name, password_hash, algorithm, tags in self._rows("user", columns):
            yield d.PutUser(str(name), str(password_hash), str(algorithm), _names(tags))
        for row in self._rows("permission", "user, vhost, configure, write, read"):
            yield d.PutPermission(*map(str, row))
        for row in self._rows("topic_permission", "user, vhost, exchange, write, read"):
            yield d.PutTopicPermission(*map(str, row))

    def _exchanges(self) -> Iterator[d.Command]:
        columns = "vhost, name, kind, durable, auto_delete, internal, arguments, declared_by"
        for vhost, name, kind, durable, auto_delete, internal, arguments, by in self._rows(
            "exchange", columns
        ):
            yield d.PutExchange(
                str(vhost),
                str(name),
                str(kind),
                bool(durable),
                bool(auto_delete),
                bool(internal),
                _table(arguments),
                str(by),
            )

    def _queues(self) -> Iterator[d.Command]:
        columns = "vhost, name, durable, exclusive, auto_delete, arguments, lanes, declared_by"
        for vhost, name, durable, exclusive, auto_delete, arguments, lanes, by in self._rows(
            "queue", columns
        ):
            yield d.PutQueue(
                str(vhost),
                str(name),
                bool(durable),
                bool(exclusive),
                bool(auto_delete),
                _table(arguments),
                tuple(json.loads(str(lanes))),
                str(by),
            )

    def _bindings(self) -> Iterator[d.Command]:
        columns = "vhost, source, destination, destination_kind, routing_key, arguments"
        for vhost, source, destination, kind, key, arguments in self._rows("binding", columns):
            yield d.PutBinding(
                str(vhost),
                str(source),
                str(destination),
                "queue" if kind == "queue" else "exchange",
                str(key),
                _table(arguments),
            )

    def _parameters(self) -> Iterator[d.Command]:
        for row in self._rows("parameter", "component, vhost, name, value"):
            yield d.PutParameter(*map(str, row))


def _identity(command: d.PutBinding | d.DeleteBinding) -> dict[str, Value]:
    """What makes a binding this one; the order of its arguments does not."""
    return {
        "vhost": command.vhost,
        "source": command.source,
        "destination": command.destination,
        "destination_kind": command.destination_kind,
        "routing_key": command.routing_key,
        "arguments": encode_table(dict(sorted(command.arguments.items()))),
    }


def _text(arguments: Table) -> str:
    """For people: JSON, whatever JSON has no type for as text."""
    return json.dumps(plain_table(arguments), default=str)


def _names(tags: Value) -> tuple[str, ...]:
    return tuple(json.loads(str(tags)))


def _table(arguments: Value) -> Table:
    if not isinstance(arguments, bytes):
        raise ValueError(f"arguments were expected, not {arguments!r}")
    return decode_table(arguments)[0]
