"""What is there at run time: queues, exchanges, bindings, connections, channels, consumers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from amqpd.cli.answer import EX_DATA, EX_USAGE
from amqpd.cli.ctl.refusals import end
from amqpd.cli.ctl.verb import argument, known_columns, option, verb
from amqpd.cli.remote import RemoteError, segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from amqpd.cli.ctl.verb import Ctl

Facts = Mapping[str, Any]
#: How a column comes from what the API shows of a thing.
Column = Callable[[Facts], Any]


def _key(name: str) -> Column:
    return lambda facts: "" if facts.get(name) is None else facts[name]


def _inner(*path: str) -> Column:
    def find(facts: Facts) -> Any:
        at: Any = facts
        for name in path:
            at = at.get(name, "") if isinstance(at, Mapping) else ""
        return at

    return find


def _columns(*names: str, **others: Column) -> dict[str, Column]:
    return {name: _key(name) for name in names} | others


def _consumer_of(tag: str) -> Column:
    """The channel of the consumer that a queue names."""

    def find(facts: Facts) -> Any:
        for one in facts.get("consumer_details", ()):
            if one["consumer_tag"] == facts.get(tag):
                return one["channel_details"]["name"]
        return ""

    return find


QUEUE: Final = _columns(
    "name", "durable", "auto_delete", "arguments", "policy", "operator_policy",
    "effective_policy_definition", "exclusive", "exclusive_consumer_tag", "messages_ready",
    "messages_unacknowledged", "messages", "messages_persistent", "messages_ram",
    "messages_ready_ram", "messages_unacknowledged_ram", "messages_paged_out", "message_bytes",
    "message_bytes_ready", "message_bytes_unacknowledged", "message_bytes_persistent",
    "message_bytes_ram", "message_bytes_paged_out", "consumers", "consumer_utilisation",
    "consumer_capacity", "memory", "state", "type", "vhost", "single_active_consumer_tag",
    "head_message_timestamp", "leader", "members", "online", "disk_reads", "disk_writes",
    "slave_pids", "synchronised_slave_pids",
    pid=_key("node"),
    owner_pid=_inner("owner_pid_details", "name"),
    exclusive_consumer_pid=_consumer_of("exclusive_consumer_tag"),
    single_active_consumer_pid=_consumer_of("single_active_consumer_tag"),
)  # fmt: skip
EXCHANGE: Final = _columns(
    "name", "type", "durable", "auto_delete", "internal", "arguments", "policy", "vhost"
)
BINDING: Final = _columns(
    "routing_key",
    "arguments",
    "vhost",
    source_name=_key("source"),
    source_kind=lambda _: "exchange",
    destination_name=_key("destination"),
    destination_kind=_key("destination_type"),
)
#: The name of a connection is what tells it from others, so it stands for its process, too.
CONNECTION: Final = _columns(
    "name", "port", "host", "peer_port", "peer_host", "ssl", "ssl_protocol", "ssl_key_exchange",
    "ssl_cipher", "ssl_hash", "peer_cert_subject", "peer_cert_issuer", "peer_cert_validity",
    "state", "channels", "protocol", "auth_mechanism", "user", "user_who_performed_action",
    "vhost", "timeout", "frame_max", "channel_max", "client_properties", "recv_oct", "recv_cnt",
    "send_oct", "send_cnt", "send_pend", "connected_at",
    pid=_key("name"),
)  # fmt: skip
CHANNEL: Final = _columns(
    "name", "number", "user", "vhost", "transactional", "confirm", "consumer_count",
    "messages_unacknowledged", "messages_uncommitted", "acks_uncommitted",
    "messages_unconfirmed", "prefetch_count", "global_prefetch_count", "state",
    pid=_key("name"),
    connection=_inner("connection_details", "name"),
)  # fmt: skip
CONSUMER: Final = _columns(
    "consumer_tag", "ack_required", "prefetch_count", "active", "activity_status", "arguments",
    "exclusive",
    queue_name=_inner("queue", "name"),
    channel_pid=_inner("channel_details", "name"),
)  # fmt: skip


#: All columns, in the order of `rabbitmqctl report`.
QUEUE_COLUMNS: Final = (
    "name", "durable", "auto_delete", "arguments", "policy", "pid", "owner_pid", "exclusive",
    "exclusive_consumer_pid", "exclusive_consumer_tag", "messages_ready",
    "messages_unacknowledged", "messages", "messages_ready_ram", "messages_unacknowledged_ram",
    "messages_ram", "messages_persistent", "message_bytes", "message_bytes_ready",
    "message_bytes_unacknowledged", "message_bytes_ram", "message_bytes_persistent",
    "head_message_timestamp", "disk_reads", "disk_writes", "consumers", "consumer_utilisation",
    "consumer_capacity", "memory", "slave_pids", "synchronised_slave_pids", "state", "type",
    "leader", "members", "online",
)  # fmt: skip
EXCHANGE_COLUMNS: Final = (
    "name", "type", "durable", "auto_delete", "internal", "arguments", "policy"
)  # fmt: skip
BINDING_COLUMNS: Final = (
    "source_name", "source_kind", "destination_name", "destination_kind", "routing_key",
    "arguments",
)  # fmt: skip
CONNECTION_COLUMNS: Final = (
    "pid", "name", "port", "host", "peer_port", "peer_host", "ssl", "ssl_protocol",
    "ssl_key_exchange", "ssl_cipher", "ssl_hash", "peer_cert_subject", "peer_cert_issuer",
    "peer_cert_validity", "state", "channels", "protocol", "auth_mechanism", "user", "vhost",
    "timeout", "frame_max", "channel_max", "client_properties", "recv_oct", "recv_cnt",
    "send_oct", "send_cnt", "send_pend", "connected_at",
)  # fmt: skip
CHANNEL_COLUMNS: Final = (
    "pid", "connection", "name", "number", "user", "vhost", "transactional", "confirm",
    "consumer_count", "messages_unacknowledged", "messages_uncommitted", "acks_uncommitted",
    "messages_unconfirmed", "prefetch_count", "global_prefetch_count",
)  # fmt: skip


def _list(
    ctl: Ctl,
    what: str,
    path: str,
    known: Mapping[str, Column],
    columns: Sequence[str],
    default: Sequence[str],
) -> None:
    """Show a list of the API; without a path it is an empty one."""
    chosen = known_columns(columns, known) or list(default)
    ctl.say(what)
    rows = ctl.remote.get(path) if path else []
    ctl.show(chosen, ({name: known[name](row) for name in chosen} for row in rows))


MANY: Final = argument("columns", required=False, many=True)


@verb(
    "list_queues",
    "queues",
    MANY,
    option("--online", is_flag=True, help="All of this node are."),
    option("--offline", is_flag=True, help="None is."),
    option("--local", is_flag=True, help="All are."),
)
def list_queues(
    ctl: Ctl, columns: tuple[str, ...], online: bool, offline: bool, local: bool
) -> None:
    """The queues of a vhost; columns: name, messages, consumers, type, policy, …"""
    what = f"Timeout: {ctl.remote.place.timeout_s:.1f} seconds ...\nListing queues for vhost "
    none = offline and not (online or local)
    path = "" if none else f"/queues/{ctl.vhost_path}"
    _list(ctl, f"{what}{ctl.vhost} ...", path, QUEUE, columns, ("name", "messages"))


@verb(
    "delete_queue",
    "queues",
    argument("name"),
    option("-e", "--if-empty", is_flag=True),
    option("-u", "--if-unused", is_flag=True),
)
def delete_queue(ctl: Ctl, name: str, if_empty: bool, if_unused: bool) -> None:
    """Remove a queue with its messages."""
    tests = [text for text, given in (("empty", if_empty), ("unused", if_unused)) if given]
    only = f" if queue is {' and '.join(tests)}" if tests else ""
    ctl.say(f"Deleting queue '{name}' on vhost '{ctl.vhost}'{only} ...")
    path = f"/queues/{ctl.vhost_path}/{segment(name)}"
    messages = ctl.remote.get(path).get("messages", 0)
    flags = [
        f"{key}=true" for key, given in (("if-empty", if_empty), ("if-unused", if_unused)) if given
    ]
    try:
        ctl.remote.delete("?".join([path, "&".join(flags)]) if flags else path)
    except RemoteError as error:
        for reason, text in (("not empty", "Queue is not empty"), ("in use", "Queue is in use")):
            if error.text.endswith(reason):
                end(text, EX_USAGE)
        raise
    ctl.result(f"Queue was successfully deleted with {messages} ready messages")


@verb("purge_queue", "queues", argument("name"))
def purge_queue(ctl: Ctl, name: str) -> None:
    """Remove the ready messages of a queue."""
    ctl.say(f"Purging queue '{name}' in vhost '{ctl.vhost}' ...")
    ctl.remote.delete(f"/queues/{ctl.vhost_path}/{segment(name)}/contents")


@verb("pause_queue", "queues", argument("name"))
def pause_queue(ctl: Ctl, name: str) -> None:
    """Hold the consumers of a queue back; it takes what is published."""
    ctl.say(f"Pausing queue '{name}' in vhost '{ctl.vhost}' ...")
    ctl.remote.put(f"/queues/{ctl.vhost_path}/{segment(name)}/pause")


@verb("resume_queue", "queues", argument("name"))
def resume_queue(ctl: Ctl, name: str) -> None:
    """Let the consumers of a queue go on."""
    ctl.say(f"Resuming queue '{name}' in vhost '{ctl.vhost}' ...")
    ctl.remote.put(f"/queues/{ctl.vhost_path}/{segment(name)}/resume")


@verb("list_exchanges", "exchanges", MANY)
def list_exchanges(ctl: Ctl, columns: tuple[str, ...]) -> None:
    """The exchanges of a vhost; columns: name, type, durable, arguments, policy, …"""
    path = f"/exchanges/{ctl.vhost_path}"
    what = f"Listing exchanges for vhost {ctl.vhost} ..."
    _list(ctl, what, path, EXCHANGE, columns, ("name", "type"))


@verb("list_bindings", "exchanges", MANY)
def list_bindings(ctl: Ctl, columns: tuple[str, ...]) -> None:
    """The bindings of a vhost."""
    path = f"/bindings/{ctl.vhost_path}"
    what = f"Listing bindings for vhost {ctl.vhost}..."
    _list(ctl, what, path, BINDING, columns, BINDING_COLUMNS)


@verb("list_connections", "connections", MANY)
def list_connections(ctl: Ctl, columns: tuple[str, ...]) -> None:
    """All connections; columns: user, peer_host, peer_port, state, name, client_properties, …"""
    default = ("user", "peer_host", "peer_port", "state")
    _list(ctl, "Listing connections ...", "/connections", CONNECTION, columns, default)


@verb("list_channels", "connections", MANY)
def list_channels(ctl: Ctl, columns: tuple[str, ...]) -> None:
    """All channels."""
    default = ("pid", "user", "consumer_count", "messages_unacknowledged")
    _list(ctl, "Listing channels ...", "/channels", CHANNEL, columns, default)


@verb("list_consumers", "connections", MANY)
def list_consumers(ctl: Ctl, columns: tuple[str, ...]) -> None:
    """The consumers of a vhost."""
    default = (
        "queue_name", "channel_pid", "consumer_tag", "ack_required", "prefetch_count", "active",
        "arguments",
    )  # fmt: skip
    what = f"Listing consumers in vhost {ctl.vhost} ..."
    _list(ctl, what, f"/consumers/{ctl.vhost_path}", CONSUMER, columns, default)


def _close(ctl: Ctl, connections: Iterable[Facts], reason: str) -> int:
    closed = 0
    for one in connections:
        ctl.remote.delete(f"/connections/{segment(str(one['name']))}", {"X-Reason": reason})
        closed += 1
    return closed


@verb("close_connection", "connections", argument("pid"), argument("reason"))
def close_connection(ctl: Ctl, pid: str, reason: str) -> None:
    """Close a connection, named as `list_connections name` shows it."""
    ctl.say(f"Closing connection {pid}, reason: {reason}...")
    found = [one for one in ctl.remote.get("/connections") if one["name"] == pid]
    if not found:
        end(f"connection '{pid}' does not exist; list_connections name shows them", EX_DATA)
    _close(ctl, found, reason)


@verb(
    "close_all_connections",
    "connections",
    argument("reason"),
    option("--global", "everywhere", is_flag=True, help="In all vhosts, which is the default."),
    option("--per-connection-delay", type=int, hidden=True),
    option("--limit", type=int, default=0, help="At most so many.  [0: all]"),
)
def close_all_connections(
    ctl: Ctl, reason: str, everywhere: bool, per_connection_delay: int | None, limit: int
) -> None:
    """Close all connections, or those to one vhost."""
    only = ctl.vhost_given and not everywhere
    where = f"in vhost {ctl.vhost}" if only else f"to node {ctl.node} (across all vhosts)"
    ctl.say(f"Closing all connections {where}, reason: {reason}...")
    found = [
        one for one in ctl.remote.get("/connections") if not only or one.get("vhost") == ctl.vhost
    ]
    closed = _close(ctl, found[: limit or None], reason)
    ctl.result(f"Closed {closed} connections")


@verb("close_all_user_connections", "connections", argument("user"), argument("reason"))
def close_all_user_connections(ctl: Ctl, user: str, reason: str) -> None:
    """Close all connections of a user."""
    ctl.say(f"Closing connections of user {user}, reason: {reason}...")
    _close(ctl, (one for one in ctl.remote.get("/connections") if one.get("user") == user), reason)
