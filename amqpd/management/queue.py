"""`/api/queues`: queues with their messages' numbers, consumers and policies."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from amqpd.broker import advice
from amqpd.broker.arguments import QueueType
from amqpd.broker.pause import Pause, pausing, resuming
from amqpd.broker.policy import effective_definition, effective_queue
from amqpd.broker.sums import row_of, sums_of, traffic_of
from amqpd.management import consumer as consumers
from amqpd.management import diagnosis
from amqpd.management.access import Needs
from amqpd.management.errors import HttpError, bad_request, not_found, queue_not_found
from amqpd.management.families import head_timestamp
from amqpd.management.listing import PARAMETERS, asked_columns, listing, moment, one
from amqpd.management.payload import Arguments, Truth, natural, table, truth
from amqpd.management.rates import LENGTHS, MEASURED, TRAFFIC, lengths_of
from amqpd.management.request import Answer
from amqpd.management.routing import Operation, Route
from amqpd.management.survey import queue_values
from amqpd.management.table import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.broker.definitions import Command
    from amqpd.broker.queue import Queue
    from amqpd.broker.sums import Sums
    from amqpd.management.call import Call
    from amqpd.management.kept import Rows
    from amqpd.management.listing import Facts
    from amqpd.management.rates import Shown

#: What RabbitMQ puts into a queue's facts that only Erlang has.
#: Of Erlang's processes, which clients look for.
COLLECTED: Final = dict.fromkeys(
    ("fullsweep_after", "max_heap_size", "min_bin_vheap_size", "min_heap_size", "minor_gcs"), 0
)


#: Of classic queues: as RabbitMQ 4 has them, with few messages in memory.
STORAGE_VERSION: Final = 2


class Body(Struct):
    """What a queue is declared with."""

    durable: Truth = None
    auto_delete: Truth = None
    exclusive: Truth = None
    arguments: Arguments = field(default_factory=dict)
    node: str | None = None


class Action(Struct):
    """`sync` and `cancel_sync` of mirrored queues: nothing to do."""

    action: str


def named(queue: Queue) -> Facts:
    """What tells which queue it is, and what it was declared as."""
    return {
        "name": queue.name,
        "vhost": queue.vhost,
        "type": str(queue.own.queue_type),
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "exclusive": queue.owner is not None,
        "arguments": to_json(queue.declared) if queue.declared else {},
    }


def state(queue: Queue) -> str:
    """`faulted`: some of it cannot be read; `flow`: it holds publishers."""
    if queue.paused is not None:
        return "paused"
    if queue.is_faulted:
        return "faulted"
    return "flow" if queue.pressure.is_crowded else "running"


def quarantined(queue: Queue) -> int:
    """Messages that were set aside because they are damaged."""
    aside = queue.around.quarantined
    return sum(aside.get(lane.id, 0) for lane in queue.lanes) if aside else 0


def facts(call: Call, queue: Queue, shown: Shown) -> Facts | None:
    """What a list shows of a queue; None: it is gone."""
    if queue.deleted:
        return None
    call.broker.vhosts[queue.vhost].enforcement.refresh(queue)
    sums = sums_of([queue.lanes])
    lengths = lengths_of(sums, () if queue.morgue is None else (queue.morgue,))
    found = named(queue)
    found["node"] = call.host.node
    found["state"] = state(queue)
    found["idle_since"] = moment(queue.used_ms)
    found |= shown.facts(queue, LENGTHS, lengths, shown.lengths)
    found |= _numbers(sums)
    found |= _policies(queue)
    found |= _consuming(queue) if queue.ring else _WITHOUT_CONSUMERS
    found |= _replicas(call, queue)
    if aside := quarantined(queue):
        found["messages_quarantined"] = aside
    moved = traffic_of(queue.lanes)
    if any(moved):
        found["message_stats"] = shown.facts(queue, TRAFFIC, moved, shown.rates, len(LENGTHS))
    return found


def marks(call: Call) -> Callable[[Queue], object]:
    """What gives all that `facts` of a queue depend on where no samples are asked for.

    None: they change anyway. Marks of the same queue are compared: what stays as it was declared
    is not in them.
    """
    around, is_moving = call.broker.around, call.survey.sampler.is_moving
    policies = {name: one.enforcement.policies for name, one in call.broker.vhosts.items()}

    def mark(queue: Queue) -> object:
        if queue.deleted or is_moving(queue):
            return None
        revision = queue.policy_revision
        if revision != policies[queue.vhost].revision:
            return None
        found = row_of(queue.lanes), queue.used_ms, revision, queue.paused, queue.morgue
        if queue.morgue is None and queue not in around.consuming and not around.unreadable:
            return found if not around.quarantined else (found, quarantined(queue))
        return found, *_rarer(queue)

    return mark


def _rarer(queue: Queue) -> tuple[object, ...]:
    """What facts depend on where there are consumers, or something is out of order."""
    morgue = queue.morgue
    return (
        state(queue),
        quarantined(queue),
        tuple(_consuming(queue).values()) if queue.ring else None,
        None if morgue is None else (morgue.messages, morgue.size_bytes),
    )


def _numbers(sums: Sums) -> Facts:
    size_bytes = sums.ready_bytes + sums.unacked_bytes
    in_memory = sums.loaded_bytes + sums.unacked_bytes
    loaded, unacked = sums.loaded, sums.unacked
    return {
        "message_bytes": size_bytes,
        "message_bytes_ready": sums.ready_bytes,
        "message_bytes_unacknowledged": sums.unacked_bytes,
        "message_bytes_ram": in_memory,
        "message_bytes_persistent": sums.persistent_bytes,
        "message_bytes_paged_out": sums.paged_out_bytes,
        "messages_ram": loaded + unacked,
        "messages_ready_ram": loaded,
        "messages_unacknowledged_ram": unacked,
        "messages_persistent": sums.stored,
        "messages_paged_out": sums.paged_out,
        "messages_delayed": sums.delayed,
        "memory": in_memory,
    }


def _policies(queue: Queue) -> Facts:
    policy, operator = queue.match
    if policy is None and operator is None:
        return _WITHOUT_POLICIES
    return {
        "policy": policy.name if policy is not None else None,
        "operator_policy": operator.name if operator is not None else None,
        "effective_policy_definition": effective_definition(queue.match),
    }


_WITHOUT_POLICIES: Final[Facts] = {
    "policy": None,
    "operator_policy": None,
    "effective_policy_definition": {},
}


def _consuming(queue: Queue) -> Facts:
    ring = queue.ring
    single = next((one for one in ring if ring.single_active and ring.is_active(one)), None)
    alone = queue.exclusive_consumer
    used = sum(1 for one in ring if not one.stalled) / len(ring)
    return {
        "consumers": len(ring),
        "consumer_utilisation": used,
        "consumer_capacity": used,
        "exclusive_consumer_tag": alone.consumer.tag if alone is not None else None,
        "single_active_consumer_tag": single.consumer.tag if single is not None else None,
    }


_WITHOUT_CONSUMERS: Final[Facts] = {
    "consumers": 0,
    "consumer_utilisation": 0,
    "consumer_capacity": 0,
    "exclusive_consumer_tag": None,
    "single_active_consumer_tag": None,
}


def _replicas(call: Call, queue: Queue) -> Facts:
    """Where a replicated queue is: here, and only here."""
    node, kind = call.host.node, queue.own.queue_type
    if kind is QueueType.CLASSIC:
        return {"storage_version": STORAGE_VERSION}
    found: Facts = {"leader": node, "members": [node], "online": [node]}
    if kind is QueueType.STREAM:
        return found | {"readers": {node: len(queue.ring)}}
    waiting = queue.morgue
    return found | {
        "messages_dlx": waiting.messages if waiting is not None else 0,
        "message_bytes_dlx": waiting.size_bytes if waiting is not None else 0,
    }


def in_full(call: Call, queue: Queue, shown: Shown) -> Facts | None:
    """What the page of one queue shows; None: it is gone."""
    found = facts(call, queue, shown)
    if found is None:
        return None
    effective = effective_queue(queue.own, queue.declared, queue.match)
    found |= {
        "effective_origins": {key: str(origin) for key, origin in effective.origins.items()},
        "warnings": [str(each) for each in advice.unknown_arguments(queue.declared, advice.QUEUE)],
        "why_waiting": diagnosis.why(queue, call.broker.alarms, call.broker.around.now_ms),
        "paused": asdict(queue.paused) if queue.paused is not None else None,
        "head_message_timestamp": head_timestamp(queue),
        "consumer_details": [
            consumers.facts(call, queue, subscription) for subscription in queue.ring
        ],
        "incoming": _incoming(call, queue),
        "deliveries": _deliveries(call, queue),
        "garbage_collection": COLLECTED,
        "backing_queue_status": {
            "mode": "default",
            "version": STORAGE_VERSION,
            "len": queue.ready,
        },
    }
    held = [one.consumer.facts().oldest_unacked_ms for one in queue.ring]
    if any(held):
        found["oldest_unacked_since"] = moment(min(filter(None, held)))
    if queue.owner is not None:
        found["owner_pid_details"] = _owner(queue.owner)
    return found


def _owner(owner: object) -> Facts:
    name = getattr(owner, "name", "")
    host, _, port = str(name).partition(" -> ")[0].rpartition(":")
    return {"name": name, "peer_host": host, "peer_port": natural(port) or 0}


def _incoming(call: Call, queue: Queue) -> list[Facts]:
    """From which exchanges messages came."""
    found: dict[str, int] = {}
    for exchange in call.broker.vhosts[queue.vhost].exchanges.values():
        for name, messages in exchange.tallies.by_queue():
            if name == queue.name:
                found[exchange.name] = found.get(exchange.name, 0) + messages
    return [
        {"exchange": {"name": name, "vhost": queue.vhost}, "stats": {"publish": messages}}
        for name, messages in found.items()
    ]


def _deliveries(call: Call, queue: Queue) -> list[Facts]:
    """To which channels messages went."""
    found: list[Facts] = []
    for subscription in queue.ring:
        consumer = subscription.consumer
        told = consumer.facts()
        if told.delivered:
            kind = "deliver_no_ack" if consumer.no_ack else "deliver"
            stats = {
                kind: told.delivered,
                "deliver_get": told.delivered,
                "redeliver": told.redelivered,
            }
            place = consumers.channel_details(call, told)
            found.append({"channel_details": place, "stats": stats})
    return found


# -- operations --------------------------------------------------------------------------


def _lengths(queue: Queue) -> tuple[int, int, int]:
    """`LENGTHS` of a queue as `facts` shows them."""
    found = sums_of([queue.lanes])
    morgue = queue.morgue
    kept = 0 if morgue is None else morgue.messages
    return found.messages + kept, found.ready, found.unacked


#: Columns that a page can be sorted by without a look at anything else.
KEYS: Final[dict[str, Callable[[Queue], object]]] = {
    "name": attrgetter("name"),
    "vhost": attrgetter("vhost"),
    "type": attrgetter("own.queue_type"),
    "durable": attrgetter("durable"),
    "auto_delete": attrgetter("auto_delete"),
    "exclusive": lambda queue: queue.owner is not None,
    "consumers": lambda queue: len(queue.ring),
    "messages": lambda queue: _lengths(queue)[0],
    "messages_ready": lambda queue: _lengths(queue)[1],
    "messages_unacknowledged": lambda queue: _lengths(queue)[2],
    "message_bytes": lambda queue: sum(one.ready_bytes + one.unacked_bytes for one in queue.lanes),
    "policy": lambda queue: queue.match.policy.name if queue.match.policy is not None else "",
    "state": state,
}


def find(call: Call, otherwise: HttpError | None = None) -> Queue:
    """The queue of the path.

    Raises:
        HttpError: there is none; `otherwise`, if the vhost is there.
    """
    queue = call.vhost.queues.get(call.names["queue"])
    if queue is None:
        raise otherwise or not_found()
    return queue


#: What a list may be narrowed to (`only`), which RabbitMQ does not have.
ONLY: Final[dict[str, Callable[[Queue], bool]]] = {
    "messages": lambda queue: bool(queue.ready or queue.unacked),
    "no-consumers": lambda queue: not queue.ring,
    # What is on its way through consumers' hands moves; what waits for them does not.
    "stuck": lambda queue: bool(
        (queue.ready or queue.paused is not None) and diagnosis.reason(queue)
    ),
}


def all_queues(call: Call) -> list[Queue]:
    """The queues of the vhosts that the caller asks for, of the type, and of the kind `only`.

    Raises:
        HttpError: it is no such kind.
    """
    found = [queue for vhost in call.own_vhosts() for queue in vhost.queues.values()]
    kind = call.request.query.get("type")
    if kind:
        found = [one for one in found if one.own.queue_type == kind]
    only = call.request.query.get("only")
    if not only:
        return found
    if only not in ONLY:
        raise bad_request(f"only '{only}' is not one of {', '.join(ONLY)}")
    return list(filter(ONLY[only], found))


#: In lists only when they are asked for by name.
FULL_ONLY: Final = frozenset(
    {"garbage_collection", "backing_queue_status", "head_message_timestamp", "consumer_details",
     "incoming", "deliveries", "owner_pid_details"}
)  # fmt: skip


async def list_queues(call: Call) -> Answer:
    """The queues of a vhost, or of all."""
    shown = call.shown()
    if call.flag("disable_stats"):
        totals = call.flag("enable_queue_totals")
        return await listing(call, all_queues(call), lambda one: _bare(call, one, totals), KEYS)
    if FULL_ONLY & set(asked_columns(call.request.query) or ()):
        return await listing(call, all_queues(call), lambda one: in_full(call, one, shown), KEYS)
    rows = None if shown.has_samples else _rows(call)
    return await listing(
        call, all_queues(call), lambda one: facts(call, one, shown), _keys(shown), rows=rows
    )


def _rows(call: Call) -> Rows[Queue]:
    """What was shown of queues before, in the same columns."""
    columns = call.request.query.get("columns", "")
    return call.survey.shelf.rows(("queues", columns), marks(call))


def _keys(shown: Shown) -> dict[str, Callable[[Queue], object]]:
    """`KEYS`, and counters with their rates."""
    keys = dict(KEYS)
    for place, column in enumerate((*LENGTHS, *TRAFFIC)):
        prefix = "" if column in LENGTHS else "message_stats."
        if column not in keys:
            keys[f"{prefix}{column}"] = partial(_counter, place)
        keys[f"{prefix}{column}_details.rate"] = partial(shown.rate, place)
    return keys


def _counter(place: int, queue: Queue) -> int:
    return queue_values(queue)[place]


def _bare(call: Call, queue: Queue, totals: bool) -> Facts | None:
    """Without statistics, as monitoring systems ask for it."""
    if queue.deleted:
        return None
    found = named(queue) | {"node": call.host.node, "state": state(queue)}
    if queue.match.policy is not None:
        found["policy"] = queue.match.policy.name
    if totals:
        found |= dict(zip(LENGTHS, queue_values(queue), strict=False))
    return found


async def list_in_full(call: Call) -> Answer:
    """The same with everything that is shown of each."""
    shown = call.shown()

    def listed(queue: Queue) -> Facts | None:
        found = in_full(call, queue, shown)
        if found is not None:
            # Clients of RabbitMQ 3 look for it in a single queue; no list of RabbitMQ 4 has it.
            del found["backing_queue_status"]
        return found

    return await listing(call, all_queues(call), listed, KEYS)


async def show(call: Call) -> Answer:
    """One queue."""
    queue = find(call)
    if call.flag("disable_stats"):
        return one(call, _bare(call, queue, call.flag("enable_queue_totals")))
    found = in_full(call, queue, call.shown())
    if found is None:
        raise not_found()
    return one(call, found | {"rights": call.rights("queue", queue.name)})


async def put(call: Call) -> Answer:
    """Declare a queue; one that exists must be the same."""
    body = await call.body(Body)
    vhost, name = call.vhost, call.names["queue"]
    if len(name.encode(errors="surrogateescape")) > 255:
        raise bad_request(f"queue name '{name[:32]}…' is longer than 255 bytes")
    if body.node not in (None, "", call.host.node):
        raise bad_request(f"Node {body.node} is not a cluster member")
    is_new = name not in vhost.queues
    answer = vhost.declare_queue(
        call.access,
        name,
        passive=False,
        durable=truth(body.durable),
        exclusive=False,
        auto_delete=truth(body.auto_delete),
        arguments=from_json(table(body.arguments, "arguments")),
        owner=call,
    )
    await call.safe(answer.number)
    return Answer(201 if is_new else 204)


async def delete(call: Call) -> Answer:
    """Remove a queue with its messages."""
    queue = find(call)
    answer = call.vhost.delete_queue(
        call.access,
        queue.name,
        if_unused=call.flag("if-unused"),
        if_empty=call.flag("if-empty"),
        owner=call,
    )
    await call.removed(answer)
    return Answer(204)


async def purge(call: Call) -> Answer:
    """Remove what is ready."""
    queue = find(call)
    answer = call.vhost.purge_queue(call.access, queue.name, call)
    await call.safe(answer.number)
    return Answer(204)


async def act(call: Call) -> Answer:
    """`sync` and `cancel_sync`: there are no mirrors."""
    find(call, queue_not_found())
    body = await call.body(Action)
    if body.action not in ("sync", "cancel_sync"):
        raise bad_request(f"unknown_action: {body.action}")
    return Answer(204)


async def pause(call: Call) -> Answer:
    """Hold the consumers of a queue back, until it is resumed; it survives a restart."""
    queue = find(call)
    call.access.configure("queue", queue.name)
    if queue.paused is None:
        since = Pause(call.caller.name, call.broker.around.now_ms)
        await _change(call, queue, pausing(queue.vhost, queue.name, since))
    return Answer(204)


async def resume(call: Call) -> Answer:
    """Let the consumers of a queue go on."""
    queue = find(call)
    call.access.configure("queue", queue.name)
    if queue.paused is not None:
        await _change(call, queue, resuming(queue))
    return Answer(204)


async def _change(call: Call, queue: Queue, command: Command) -> None:
    if queue.durable:
        await call.change(command)
    else:
        # It does not survive a restart, and no more does this.
        call.broker.apply(command)
        call.host.changed()


async def unacked(call: Call) -> Answer:
    """Who holds messages of a queue: the consumers with how many each has not acknowledged."""
    queue = find(call)
    holding = [one for one in queue.ring if one.consumer.facts().unacked]
    return await listing(
        call,
        holding,
        lambda one: consumers.facts(call, queue, one),
        {"consumer_tag": lambda one: one.consumer.tag},
        default_sort=("consumer_tag",),
    )


async def restart(call: Call) -> Answer:
    """Nothing: no queue here has to be restarted."""
    find(call)
    raise not_found(
        "a queue never stops here: one that cannot be read goes on by itself once it can be",
        "not_found",
    )


async def no_reading(call: Call) -> Answer:
    """Nothing: streams are read by consumers."""
    find(call)
    raise not_found(
        "a stream is read by a consumer with the argument x-stream-offset: "
        "`amqpd consume QUEUE --offset first`",
        "not_found",
    )


async def list_of_user(call: Call) -> Answer:
    """The queues that a user has declared."""
    name = call.names["user"]
    if not (call.caller.is_monitor or call.caller.name == name):
        raise not_found()
    shown = call.shown()
    found = [queue for queue in all_queues(call) if queue.declared_by == name]
    rows = None if shown.has_samples else _rows(call)
    return await listing(call, found, lambda one: facts(call, one, shown), _keys(shown), rows=rows)


VHOST: Final = Needs.VHOST
_LIST: Final = (*PARAMETERS, *MEASURED, "type", "only", "enable_queue_totals")
ROUTES: Final = (
    Route("/queues", GET=Operation(list_queues, VHOST, query=_LIST)),
    Route("/queues/detailed", GET=Operation(list_in_full, VHOST, query=(*PARAMETERS, *MEASURED))),
    Route("/queues/{vhost}", GET=Operation(list_queues, VHOST, query=_LIST)),
    Route(
        "/queues/{vhost}/{queue}",
        GET=Operation(show, VHOST, query=(*MEASURED, "enable_queue_totals", "columns")),
        PUT=Operation(put, VHOST, Body),
        DELETE=Operation(delete, VHOST, query=("if-unused", "if-empty")),
    ),
    Route("/queues/{vhost}/{queue}/contents", DELETE=Operation(purge, VHOST)),
    Route("/queues/{vhost}/{queue}/pause", PUT=Operation(pause, VHOST)),
    Route("/queues/{vhost}/{queue}/resume", PUT=Operation(resume, VHOST)),
    Route(
        "/queues/{vhost}/{queue}/unacked",
        GET=Operation(unacked, VHOST, query=PARAMETERS),
    ),
    Route("/queues/{vhost}/{queue}/stream", POST=Operation(no_reading, VHOST)),
    Route("/queues/{vhost}/{queue}/restart", PUT=Operation(restart, VHOST)),
    Route("/queues/{vhost}/{queue}/actions", POST=Operation(act, VHOST, Action)),
    Route("/users/{user}/queues", GET=Operation(list_of_user, Needs.LOGIN, query=PARAMETERS)),
)
