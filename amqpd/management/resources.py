"""All resources of the API: the routes of each, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.management import (
    binding,
    browse,
    channel,
    cluster,
    connection,
    consumer,
    control,
    definitions,
    exchange,
    feature,
    health,
    limit,
    message,
    node,
    overview,
    parameter,
    permission,
    policy,
    queue,
    records,
    stream,
    trace,
    user,
    vhost,
)

if TYPE_CHECKING:
    from amqpd.management.routing import Route

ROUTES: Final[tuple[Route, ...]] = (
    *overview.ROUTES,
    *node.ROUTES,
    *vhost.ROUTES,
    *user.ROUTES,
    *permission.ROUTES,
    *policy.ROUTES,
    *parameter.ROUTES,
    *limit.ROUTES,
    *queue.ROUTES,
    *exchange.ROUTES,
    *binding.ROUTES,
    *message.ROUTES,
    *browse.ROUTES,
    *consumer.ROUTES,
    *connection.ROUTES,
    *channel.ROUTES,
    *definitions.ROUTES,
    *health.ROUTES,
    *feature.ROUTES,
    *cluster.ROUTES,
    *records.ROUTES,
    *stream.ROUTES,
    *trace.ROUTES,
    *control.ROUTES,
)
