"""An HTTP answer as facts: status, headers that clients use, and for every place in its JSON the
type and, where the calls before determine it, the value.

A place is written `queues[vhost=/ name=q].arguments.x-max-length`: elements of a list are named
by what tells them apart, so that their order does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
#: What is said of each place.
Facts: TypeAlias = dict[str, str]

HEADERS: Final = ("content-type", "location", "www-authenticate", "allow")
#: What names an element of a list; the first set of keys that it has all of.
IDENTITIES: Final = (
    ("source", "vhost", "destination", "destination_type", "routing_key"),
    ("source", "destination", "destination_type", "routing_key"),
    ("vhost", "user", "exchange"),
    ("vhost", "user"),
    ("vhost", "component", "name"),
    ("consumer_tag",),
    ("description", "path"),
    ("protocol",),
    ("vhost", "value"),
    ("user", "value"),
    ("vhost", "name"),
    ("name",),
    ("exchange",),
    ("queue",),
)
#: Places where only the type is determined.
MOVING: Final = re.compile(
    r"(^|\.)(memory|reductions|uptime|run_queue|processors|os_pid|pid|heap|stack|erlang_\w+"
    r"|connected_at|timestamp|last_\w+|idle_since|started|\w*mem_\w+|\w*disk_\w+|fd_\w+|proc_\w+"
    r"|sockets_\w+|io_\w+|msg_store_\w+|mnesia_\w+|queue_index_\w+|gc_\w+|context_switches"
    r"|garbage_collection\.\w+|minor_gcs|backing_queue_status\.\w+|recv_\w+|send_\w+|net_ticktime"
    r"|statistics_db_\w+|metrics_gc_\w+\.\w+|peer_port|host|peer_host|consumer_utilisation"
    r"|consumer_capacity|message_bytes_\w+|password_hash|metrics_gc_queue_length"
    r"|node|\w+_version|product_\w+|cluster_name|original_cluster_name|internal_cluster_id"
    r"|rate|sample|avg|avg_rate|interval|token|salt|cluster_links|owner_pid|auth_attempts\w*)$"
    r"|(^|\.)(db_dir|config_files|log_files|enabled_plugins|applications|ra_open_file_metrics)\b"
    r"|_details\.|(^|\.)memory\.|^ports\[|\.samples\b|^explanation"
)


def facts(status: int, headers: Mapping[str, str], body: Json) -> Facts:
    """Everything said of an answer."""
    found = {"HTTP": str(status)}
    found |= {f"header {name}": headers[name] for name in HEADERS if headers.get(name)}
    found.update(_walk("", body))
    return found


def _walk(place: str, value: Json) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        yield place, "object"
        for key, one in value.items():
            yield from _walk(f"{place}.{key}" if place else key, one)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield place, "list"
        for label, one in _named(place, value):
            yield from _walk(f"{place}[{label}]", one)
    else:
        yield place, _scalar(place, value)


def _named(place: str, values: Sequence[Json]) -> Iterator[tuple[str, Json]]:
    if MOVING.search(place):
        # How many there are is a matter of time, their kind is not.
        yield from (("", one) for one in values[:1])
        return
    seen: dict[str, int] = {}
    for at, value in enumerate(values):
        label = _identity(value) if isinstance(value, Mapping) else str(at)
        seen[label] = seen.get(label, 0) + 1
        yield label if seen[label] == 1 else f"{label} {seen[label]}", value


def _identity(value: Mapping[str, Json]) -> str:
    for keys in IDENTITIES:
        if all(isinstance(value.get(key), str | int) for key in keys):
            return " ".join(f"{key}={value[key]}" for key in keys)
    return ""


def _scalar(place: str, value: Json) -> str:
    if place.endswith(("consumer_utilisation", "consumer_capacity")):
        return "number" if value is not None else "null"
    kind = {bool: "boolean", int: "integer", float: "number", str: "string"}.get(
        type(value), "null"
    )
    if kind == "null" or MOVING.search(place):
        return "number" if kind == "integer" and place.endswith("rate") else kind
    return f"{kind} {value!r}" if kind == "string" else f"{kind} {value}"
