"""`/api/overview`, `/api/whoami` and what else says which broker this is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.broker.parameters import GLOBAL
from amqpd.management.access import Needs
from amqpd.management.listing import one
from amqpd.management.parameter import value_of
from amqpd.management.rates import (
    CHURN,
    LENGTHS,
    PUBLISHING,
    QUERY,
    TRAFFIC,
    added,
    vhost_lengths,
    vhost_traffic,
)
from amqpd.management.request import Answer, json
from amqpd.management.routing import Operation, Route
from amqpd.management.survey import BROKER, CHURNING, churn_values

if TYPE_CHECKING:
    from amqpd.management.access import Caller
    from amqpd.management.call import Call
    from amqpd.management.figures import Figures
    from amqpd.management.listing import Facts
    from amqpd.management.rates import Shown
    from amqpd.management.settings import Http

#: How far back samples reach: ten minutes, an hour, a day.
RETAINED_S: Final = [600, 3600, 86400]


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
            "path": one.path or "/",
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
    shown = call.shown()
    found = _identity(call, now)
    found |= {
        "object_totals": _object_totals(call, now),
        "statistics_db_event_queue": 0,
        **_message_totals(call, shown),
    }
    if call.caller.is_monitor:
        vhosts = list(call.broker.vhosts.values())
        churn = shown.facts(CHURNING, CHURN, churn_values(now, vhosts), shown.rates)
        found |= {
            "churn_rates": churn,
            "listeners": listener_facts(now),
            "contexts": context_facts(now),
        }
    return one(call, found)


def _identity(call: Call, now: Figures) -> Facts:
    """Which broker this is."""
    settings = call.host.http
    return {
        "product_name": now.product,
        "product_version": now.product_version,
        "rabbitmq_version": now.product_version,
        "management_version": now.product_version,
        "amqpd_version": now.version,
        "erlang_version": "",
        "erlang_full_version": "",
        "crypto_lib_version": "",
        "release_series_support_status": "supported",
        "node": now.node,
        "cluster_name": now.cluster_name,
        "cluster_tags": _cluster_tags(call, now),
        "node_tags": now.node_tags,
        "sync": now.sync,
        # Of every user: clients that publish are told as much.
        "alarms": [one for one in ("memory", "disk") if getattr(call.broker.alarms, one)],
        "rates_mode": "basic",
        "disable_stats": False,
        "enable_queue_totals": False,
        "is_op_policy_updating_enabled": settings.operator_policy_changes,
        "require_definition_json_extension": settings.definitions_json_only,
        "default_queue_type": call.broker.limits.default_queue_type or "classic",
        "sample_retention_policies": {
            "global": RETAINED_S,
            "basic": RETAINED_S,
            "detailed": RETAINED_S,
        },
        "exchange_types": exchange_type_facts(call),
    }


def _cluster_tags(call: Call, now: Figures) -> object:
    """The global parameter of that name, as operators set it while the broker runs; or as set."""
    found = call.broker.parameters.get(GLOBAL, "", "cluster_tags")
    return now.cluster_tags if found is None else value_of(found)


def _object_totals(call: Call, now: Figures) -> Facts:
    if call.caller.is_monitor:
        return {
            "connections": now.connections,
            "channels": now.channels,
            "exchanges": now.exchanges,
            "queues": now.queues,
            "consumers": now.consumers,
        }
    vhosts = call.visible_vhosts()
    presence = call.broker.presence
    return {
        "connections": len(presence.of_user(call.caller.name)),
        "channels": presence.channels_of(call.caller.name),
        "exchanges": sum(len(one.exchanges) for one in vhosts),
        "queues": sum(len(one.queues) for one in vhosts),
        "consumers": sum(len(queue.ring) for one in vhosts for queue in one.queues.values()),
    }


def _message_totals(call: Call, shown: Shown) -> Facts:
    """Of the vhosts that the caller may know of; samples only of all together."""
    vhosts = call.visible_vhosts()
    everything = len(vhosts) == len(call.broker.vhosts)
    lengths = added([vhost_lengths(one) for one in vhosts], len(LENGTHS))
    columns = (*TRAFFIC, *PUBLISHING)
    moved = added([vhost_traffic(one) for one in vhosts], len(columns))
    key = BROKER if everything else None
    stats = shown.facts(key, columns, moved, shown.rates, len(LENGTHS))
    return {
        "queue_totals": shown.facts(key, LENGTHS, lengths, shown.lengths),
        "message_stats": stats if any(moved) else {},
    }


def identity(caller: Caller, settings: Http) -> Facts:
    """What somebody is told of oneself."""
    return {
        "name": caller.name,
        "tags": sorted(caller.tags),
        "is_internal_user": caller.authority is None,
        "login_session_timeout": settings.login_session_minutes,
    }


async def whoami(call: Call) -> Answer:
    """Who is logged in."""
    return json(identity(call.caller, call.host.http))


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
    """What else RabbitMQ's page would load: its own part. That the list is not empty tells clients
    that there is a management API."""
    return json([{"javascript": "dispatcher.js"}])


ROUTES: Final = (
    Route(
        "/overview", GET=Operation(show, Needs.LOGIN, query=(*QUERY, "columns"), while_stopped=True)
    ),
    Route("/whoami", GET=Operation(whoami, Needs.LOGIN, while_stopped=True)),
    Route("/version", GET=Operation(version, Needs.NOTHING, while_stopped=True)),
    Route("/auth", GET=Operation(auth, Needs.NOTHING, while_stopped=True)),
    Route("/extensions", GET=Operation(extensions, Needs.LOGIN)),
    Route("/config/effective", GET=Operation(settings, Needs.ADMINISTRATOR, while_stopped=True)),
)
