"""What is about several nodes, or about Erlang: here there is one node, and no Erlang.

What a single node can do is done, which mostly is nothing; the rest is 404 with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.broker.arguments import QueueType
from amqpd.management import queue as queues
from amqpd.management.access import Needs
from amqpd.management.errors import HttpError, bad_request, disallowed, not_found
from amqpd.management.request import Answer, encode, json
from amqpd.management.routing import Operation, Route

if TYPE_CHECKING:
    from amqpd.broker.logins import Tried
    from amqpd.management.call import Call
    from amqpd.management.listing import Facts

#: Only this node has a copy of anything.
ALONE: Final = "there is one node"


async def rebalance(call: Call) -> Answer:
    """Spread queues over the nodes."""
    return Answer(204)


async def reset(call: Call) -> Answer:
    """Forget all statistics; counters go on."""
    if call.names.get("node", call.host.node) != call.host.node:
        raise not_found()
    call.survey.sampler.forget()
    return Answer(204)


# -- logins ------------------------------------------------------------------------------


def _check_node(call: Call) -> None:
    if call.names["node"] != call.host.node:
        raise not_found()


def _tried(tried: Tried) -> Facts:
    return {
        "auth_attempts": tried.total,
        "auth_attempts_failed": tried.failed,
        "auth_attempts_succeeded": tried.succeeded,
    }


async def attempts(call: Call) -> Answer:
    """Attempts to log in, by protocol."""
    _check_node(call)
    found = call.broker.logins.by_protocol()
    return json([{"protocol": protocol, **_tried(tried)} for protocol, tried in found])


async def attempts_by_source(call: Call) -> Answer:
    """Attempts to log in, by address, user and protocol."""
    _check_node(call)
    return json(
        [
            {"remote_address": host, "username": user, "protocol": protocol, **_tried(tried)}
            for (host, user, protocol), tried in call.broker.logins.by_source()
        ]
    )


async def reset_attempts(call: Call) -> Answer:
    """Begin to count attempts anew."""
    _check_node(call)
    call.broker.logins.reset()
    return Answer(204)


# -- copies of queues --------------------------------------------------------------------


async def status(call: Call) -> Answer:
    """The members of a quorum queue: this node, the leader."""
    queue = queues.find(call)
    kind = queue.own.queue_type
    if kind is not QueueType.QUORUM:
        body = encode({"status": "failed", "reason": f"{kind}_queue_not_supported"})
        return Answer(503, body)
    last = max(lane.next_position for lane in queue.lanes)
    committed = max(lane.committed_upto for lane in queue.lanes)
    return json(
        [
            {
                "Node Name": call.host.node,
                "Raft State": "leader",
                "Membership": "voter",
                "Last Log Index": last,
                "Last Written": committed,
                "Last Applied": last,
                "Commit Index": committed,
                "Snapshot Index": 0,
                "Term": 1,
                "Machine Version": 1,
            }
        ]
    )


def _check_replicas(call: Call) -> None:
    if not call.host.http.quorum_replica_changes:
        raise disallowed("Broker settings disallow quorum queue replica operations.")


async def alone(call: Call) -> Answer:
    """Add or remove copies of queues on other nodes."""
    _check_replicas(call)
    raise bad_request(ALONE)


async def grow(call: Call) -> Answer:
    """Give a node copies of all queues; this one has them."""
    _check_replicas(call)
    _check_node(call)
    return Answer(204)


# -- what there is not -------------------------------------------------------------------


async def none_of_these(call: Call) -> Answer:
    """A list of what this broker does not have."""
    return json([])


async def no_erlang(call: Call) -> Answer:
    """Processes and tables of Erlang's virtual machine."""
    raise HttpError(404, "not_found", "this broker is not written in Erlang")


async def no_shovel(call: Call) -> Answer:
    """A shovel or a federation link; their parameters are kept for those who have them."""
    raise HttpError(404, "not_found", "shovels and federation links do not run in this broker")


ADMIN: Final = Needs.ADMINISTRATOR
MONITOR: Final = Needs.MONITOR
_REPLICAS: Final = "/queues/quorum"
ROUTES: Final = (
    Route("/rebalance/queues", POST=Operation(rebalance, ADMIN)),
    Route("/reset", DELETE=Operation(reset, ADMIN)),
    Route("/reset/{node}", DELETE=Operation(reset, ADMIN)),
    Route(
        "/auth/attempts/{node}",
        GET=Operation(attempts, MONITOR),
        DELETE=Operation(reset_attempts, ADMIN),
    ),
    Route(
        "/auth/attempts/{node}/source",
        GET=Operation(attempts_by_source, MONITOR),
        DELETE=Operation(reset_attempts, ADMIN),
    ),
    Route(f"{_REPLICAS}/{{vhost}}/{{queue}}/status", GET=Operation(status, Needs.VHOST)),
    Route(f"{_REPLICAS}/{{vhost}}/{{queue}}/replicas/add", POST=Operation(alone, ADMIN)),
    Route(f"{_REPLICAS}/{{vhost}}/{{queue}}/replicas/delete", DELETE=Operation(alone, ADMIN)),
    Route(f"{_REPLICAS}/replicas/on/{{node}}/grow", POST=Operation(grow, ADMIN)),
    Route(f"{_REPLICAS}/replicas/on/{{node}}/shrink", DELETE=Operation(alone, ADMIN)),
    Route("/shovels", GET=Operation(none_of_these, MONITOR)),
    Route("/shovels/{vhost}", GET=Operation(none_of_these, Needs.VHOST_VISIBLE)),
    Route(
        "/shovels/vhost/{vhost}/{name}",
        GET=Operation(no_shovel, Needs.VHOST_VISIBLE),
        DELETE=Operation(no_shovel, Needs.POLICYMAKER),
    ),
    Route("/shovels/vhost/{vhost}/{name}/restart", DELETE=Operation(no_shovel, Needs.POLICYMAKER)),
    Route("/federation-links/state/down", GET=Operation(none_of_these, MONITOR)),
    Route(
        "/federation-links/{vhost}/state/down", GET=Operation(none_of_these, Needs.VHOST_VISIBLE)
    ),
    Route(
        "/federation-links/vhost/{vhost}/{id}/{node}/restart",
        DELETE=Operation(no_shovel, Needs.POLICYMAKER),
    ),
    Route("/federation-links", GET=Operation(none_of_these, MONITOR)),
    Route("/federation-links/{vhost}", GET=Operation(none_of_these, Needs.VHOST_VISIBLE)),
    Route("/top/{node}", GET=Operation(no_erlang, ADMIN)),
    Route("/top/ets/{node}", GET=Operation(no_erlang, ADMIN)),
    Route("/process/{pid}", GET=Operation(no_erlang, ADMIN)),
)
