"""Super streams: one name for the partitions of a stream, made and removed as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from amqpd.cli.answer import EX_DATA, EX_USAGE
from amqpd.cli.ctl.refusals import end, invalid
from amqpd.cli.ctl.verb import argument, option, verb
from amqpd.cli.remote import RemoteError, segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpd.cli.ctl.verb import Ctl

GROUP: Final = "streams"
PARTITIONS: Final = 3
NOT_FOUND: Final = 404
#: What tells the exchange of a super stream from others, and the place of a partition.
MARK: Final = "x-super-stream"
ORDER: Final = "x-stream-partition-order"


@verb(
    "add_super_stream",
    GROUP,
    argument("name"),
    option("--partitions", type=int, metavar="N"),
    option("--binding-keys", metavar="KEY,KEY"),
    option("--max-length-bytes", metavar="BYTES"),
    option("--max-age", metavar="AGE"),
    option("--stream-max-segment-size-bytes", "segment_bytes", metavar="BYTES"),
    option("--leader-locator", hidden=True),
    option("--initial-cluster-size", hidden=True),
)
def add_super_stream(
    ctl: Ctl,
    name: str,
    partitions: int | None,
    binding_keys: str | None,
    max_length_bytes: str | None,
    max_age: str | None,
    segment_bytes: str | None,
    leader_locator: str | None,
    initial_cluster_size: str | None,
) -> None:
    """An exchange with a stream for each partition, bound with its number or its key."""
    if partitions is not None and binding_keys is not None:
        invalid("Specify --partitions or --binding-keys, not both.")
    if partitions is not None and partitions < 1:
        invalid("The partition number must be greater than 0")
    keys = [str(number) for number in range(partitions or PARTITIONS)]
    if binding_keys is not None:
        keys = [key.strip() for key in binding_keys.split(",") if key.strip()]
    ctl.say(f"Adding a super stream {name} in virtual host '{ctl.vhost}' ...")
    arguments: dict[str, Any] = {"x-queue-type": "stream"}
    for key, size in (
        ("x-max-length-bytes", max_length_bytes),
        ("x-stream-max-segment-size-bytes", segment_bytes),
    ):
        if size is not None:
            if not size.isdecimal():
                invalid(f"{key}: {size} is no number of bytes")
            arguments[key] = int(size)
    if max_age is not None:
        arguments["x-max-age"] = max_age
    at, exchange = ctl.vhost_path, segment(name)
    # The streams first: what is wrong with them is told before anything of the name is there.
    for key in keys:
        body = {"durable": True, "arguments": arguments}
        ctl.remote.put(f"/queues/{at}/{segment(f'{name}-{key}')}", body)
    body = {"type": "direct", "durable": True, "arguments": {MARK: True}}
    ctl.remote.put(f"/exchanges/{at}/{exchange}", body)
    for number, key in enumerate(keys):
        body = {"routing_key": key, "arguments": {ORDER: number}}
        ctl.remote.post(f"/bindings/{at}/e/{exchange}/q/{segment(f'{name}-{key}')}", body)


@verb("delete_super_stream", GROUP, argument("name"))
def delete_super_stream(ctl: Ctl, name: str) -> None:
    """Remove the exchange and the streams that are its partitions, with their messages."""
    ctl.say(f"Deleting super stream {name} in virtual host '{ctl.vhost}' ...")
    at, exchange = ctl.vhost_path, segment(name)
    try:
        found = ctl.remote.get(f"/exchanges/{at}/{exchange}")
    except RemoteError as error:
        if error.status != NOT_FOUND:
            raise
        end(f"Super stream {name} does not exist", EX_DATA)
    if not (found["arguments"].get(MARK) or found["type"] == MARK):
        end(f"Exchange {name} is not a super stream", EX_USAGE)
    for queue in _partitions(ctl, exchange):
        ctl.remote.delete(f"/queues/{at}/{segment(queue)}")
    ctl.remote.delete(f"/exchanges/{at}/{exchange}")


def _partitions(ctl: Ctl, exchange: str) -> Iterator[str]:
    """The queues that are bound to it as partitions."""
    for one in ctl.remote.get(f"/exchanges/{ctl.vhost_path}/{exchange}/bindings/source"):
        if one["destination_type"] == "queue" and ORDER in one["arguments"]:
            yield one["destination"]
