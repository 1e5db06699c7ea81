"""`/api/overview`, `/api/whoami` and what else says which broker this is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.management.access import Needs
from amqpd.management.request import Answer, json
from amqpd.management.routing import Operation, Route

if TYPE_CHECKING:
    from amqpd.management.call import Call
    from amqpd.management.figures import Figures
    from amqpd.management.listing import Facts


def listener_facts(figures: Figures) -> list[Facts]:
    """The open ports."""
    return [
        {
            "node": figures.node,
            "protocol": one.protocol,
            "ip_address": one.host,
            "port": one.port,
            "socket_opts": {},
        }
        for one in figures.listeners
    ]


def context_facts(figures: Figures) -> list[Facts]:
    """What is served over HTTP, as RabbitMQ lists it."""
    names = {"http": "RabbitMQ Management", "http/prometheus": "RabbitMQ Prometheus"}
    return [
        {
            "node": figures.node,
            "description": names[one.protocol],
            "path": "/",
            "ip": one.host,
            "port": str(one.port),
            "protocol": one.protocol,
            "ssl_opts": [],
        }
        for one in figures.listeners
        if one.protocol in names
    ]


def exchange_type_facts(call: Call) -> list[Facts]:
    """The types that an exchange may have."""
    return [
        {"name": name, "description": (kind.__doc__ or "").partition("\n")[0], "enabled": True}
        for name, kind in sorted(call.broker.types.items())
    ]


async def show(call: Call) -> Answer:
    """The broker at a glance."""
    now = call.host.figures()
    return json(
        {
            "product_name": now.product,
            "product_version": now.product_version,
            "rabbitmq_version": now.product_version,
            "management_version": now.product_version,
            "amqpd_version": now.version,
            "erlang_version": "",
            "erlang_full_version": "",
            "release_series_support_status": "supported",
            "node": now.node,
            "cluster_name": now.cluster_name,
            "cluster_tags": {},
            "node_tags": {},
            "sync": now.sync,
            "rates_mode": "basic",
            "disable_stats": False,
            "enable_queue_totals": False,
            "is_op_policy_updating_enabled": True,
            "default_queue_type": call.broker.limits.default_queue_type or "classic",
            "statistics_db_event_queue": 0,
            "sample_retention_policies": {"global": [600], "basic": [600], "detailed": [600]},
            "exchange_types": exchange_type_facts(call),
            "object_totals": {
                "connections": now.connections,
                "channels": now.channels,
                "exchanges": now.exchanges,
                "queues": now.queues,
                "consumers": now.consumers,
            },
            "queue_totals": {
                "messages": now.ready + now.unacked,
                "messages_ready": now.ready,
                "messages_unacknowledged": now.unacked,
            },
            "message_stats": {},
            "churn_rates": {
                "connection_created": now.connections_opened,
                "connection_closed": now.connections_closed,
            },
            "listeners": listener_facts(now),
            "contexts": context_facts(now),
        }
    )


async def whoami(call: Call) -> Answer:
    """Who is logged in."""
    return json(
        {"name": call.caller.name, "tags": sorted(call.caller.tags), "is_internal_user": True}
    )


async def version(call: Call) -> Answer:
    """The version of RabbitMQ that this stands for."""
    return json(call.host.figures().product_version)


async def auth(call: Call) -> Answer:
    """How the page is to log in."""
    return json({"oauth_enabled": False})


async def settings(call: Call) -> Answer:
    """The settings in force, without secrets."""
    return json(call.host.settings())


async def extensions(call: Call) -> Answer:
    """What else the page should load; nothing."""
    return json([])


ROUTES: Final = (
    Route("/overview", GET=Operation(show, Needs.LOGIN)),
    Route("/whoami", GET=Operation(whoami, Needs.LOGIN)),
    Route("/version", GET=Operation(version, Needs.NOTHING)),
    Route("/auth", GET=Operation(auth, Needs.NOTHING)),
    Route("/extensions", GET=Operation(extensions, Needs.LOGIN)),
    Route("/config/effective", GET=Operation(settings, Needs.ADMINISTRATOR)),
)
