"""`/api/feature-flags` and `/api/deprecated-features`: what is on, and what goes.

RabbitMQ turns features on one by one while a cluster is upgraded. Here all of them are on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.management.access import Needs
from amqpd.management.errors import bad_request
from amqpd.management.request import Answer, json
from amqpd.management.routing import Operation, Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.management.call import Call
    from amqpd.management.listing import Facts

#: Those of RabbitMQ that are about something this broker does.
FLAGS: Final[Mapping[str, str]] = {
    "classic_queue_type_delivery_support": "Deliveries of classic queues",
    "detailed_queues_endpoint": "/api/queues/detailed",
    "direct_exchange_routing_v2": "Routing of direct exchanges",
    "drop_unroutable_metric": "Count unroutable messages that are dropped",
    "empty_basic_get_metric": "Count basic.get from empty queues",
    "feature_flags_v2": "Feature flags",
    "listener_records_in_ets": "Listeners",
    "message_containers": "Messages",
    "quorum_queue": "Quorum queues",
    "quorum_queue_non_voters": "Members of quorum queues",
    "restart_streams": "Streams",
    "stream_filtering": "Filters of streams",
    "stream_queue": "Streams",
    "stream_single_active_consumer": "Single active consumers of streams",
    "user_limits": "Limits of users",
    "virtual_host_metadata": "Metadata of vhosts",
}
#: What came with its versions; clients look which of them there are.
STABLE: Final[Mapping[str, str]] = {
    "rabbitmq_4.0.0": "What came with RabbitMQ 4.0",
    "rabbitmq_4.1.0": "What came with RabbitMQ 4.1",
    "rabbitmq_4.2.0": "What came with RabbitMQ 4.2",
}
TRANSIENT: Final = "transient_nonexcl_queues"
#: Features of RabbitMQ that go away there; none of them goes away here.
DEPRECATED: Final[Mapping[str, str]] = {
    "amqp_address_v1": "AMQP 1.0 addresses of the first version",
    "global_qos": "basic.qos for a whole channel",
    "management_metrics_collection": "Statistics over HTTP",
    TRANSIENT: "Queues that are neither durable nor exclusive",
}


async def list_flags(call: Call) -> Answer:
    """The features that can be turned on; they all are."""
    return json(
        [
            {
                "name": name,
                "desc": text,
                "doc_url": "",
                "provided_by": "rabbit",
                "stability": "stable" if name in STABLE else "required",
                "state": "enabled",
            }
            for name, text in {**FLAGS, **STABLE}.items()
        ]
    )


async def enable(call: Call) -> Answer:
    """Turn a feature on."""
    if call.names["name"] not in (*FLAGS, *STABLE, "all"):
        raise bad_request("unsupported")
    return Answer(204)


async def list_deprecated(call: Call) -> Answer:
    """The features that RabbitMQ has deprecated."""
    return json([_deprecated(name) for name in DEPRECATED])


async def list_deprecated_in_use(call: Call) -> Answer:
    """Those of them that somebody would miss: queues that are neither durable nor exclusive."""
    in_use = any(
        not queue.durable and queue.owner is None
        for vhost in call.broker.vhosts.values()
        for queue in vhost.queues.values()
    )
    return json([_deprecated(TRANSIENT)] if in_use else [])


def _deprecated(name: str) -> Facts:
    return {
        "name": name,
        "desc": DEPRECATED[name],
        "doc_url": "",
        "provided_by": "rabbit",
        "deprecation_phase": "permitted_by_default",
    }


ROUTES: Final = (
    Route("/feature-flags", GET=Operation(list_flags, Needs.MONITOR)),
    Route("/feature-flags/{name}/enable", PUT=Operation(enable, Needs.ADMINISTRATOR)),
    Route("/deprecated-features", GET=Operation(list_deprecated, Needs.MONITOR)),
    Route("/deprecated-features/used", GET=Operation(list_deprecated_in_use, Needs.MONITOR)),
)
