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
#: Features of RabbitMQ that go away there; none of them goes away here.
DEPRECATED: Final[Mapping[str, str]] = {
    "amqp_address_v1": "AMQP 1.0 addresses of the first version",
    "global_qos": "basic.qos for a whole channel",
    "management_metrics_collection": "Statistics over HTTP",
    "transient_nonexcl_queues": "Queues that are neither durable nor exclusive",
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
                "stability": "required",
                "state": "enabled",
            }
            for name, text in FLAGS.items()
        ]
    )


async def enable(call: Call) -> Answer:
    """Turn a feature on."""
    if call.names["name"] not in FLAGS and call.names["name"] != "all":
        raise bad_request("unsupported")
    return Answer(204)


async def list_deprecated(call: Call) -> Answer:
    """The features that RabbitMQ has deprecated."""
    return json(
        [
            {
                "name": name,
                "desc": text,
                "doc_url": "",
                "provided_by": "rabbit",
                "deprecation_phase": "permitted_by_default",
            }
            for name, text in DEPRECATED.items()
        ]
    )


async def list_deprecated_in_use(call: Call) -> Answer:
    """Those of them that would have to be looked after; none."""
    return json([])


ROUTES: Final = (
    Route("/feature-flags", GET=Operation(list_flags, Needs.MONITOR)),
    Route("/feature-flags/{name}/enable", PUT=Operation(enable, Needs.ADMINISTRATOR)),
    Route("/deprecated-features", GET=Operation(list_deprecated, Needs.MONITOR)),
    Route("/deprecated-features/used", GET=Operation(list_deprecated_in_use, Needs.MONITOR)),
)
