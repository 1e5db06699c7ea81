"""`/api/health/checks`: is this broker well, asked by load balancers and monitoring systems.

A check that fails answers 503 and says why.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from amqpd.broker.message import a_run
from amqpd.broker.names import join
from amqpd.management.access import Needs
from amqpd.management.errors import bad_request, not_found
from amqpd.management.payload import natural
from amqpd.management.request import Answer, json
from amqpd.management.routing import Operation, Route
from amqpd.properties import Properties

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.broker.queue import Got
    from amqpd.management.call import Call
    from amqpd.management.listing import Facts

DAY_S: Final = 86_400
UNITS_S: Final[Mapping[str, float]] = {
    "days": DAY_S,
    "weeks": 7 * DAY_S,
    "months": 365 / 12 * DAY_S,
    "years": 365 * DAY_S,
}
#: What people call protocols, and how listeners are called.
PROTOCOLS: Final[Mapping[str, str]] = {
    "amqp091": "amqp",
    "amqp0.9.1": "amqp",
    "amqp0-9-1": "amqp",
    "amqp0_9_1": "amqp",
    "amqps": "amqp/ssl",
    "management": "http",
    "management_ui": "http",
    "http_api": "http",
    "http1": "http",
    "http1.1": "http",
    "ui": "http",
    "prometheus": "http/prometheus",
}
ALIVENESS_QUEUE: Final = "aliveness-test"
ALIVENESS_S: Final = 10.0


def _ok(**more: object) -> Answer:
    return json({"status": "ok", **more})


def _failed(reason: str, **more: object) -> Answer:
    return json({"status": "failed", "reason": reason, **more}, 503)


async def ok(call: Call) -> Answer:
    """What cannot fail on a single node that answers."""
    return _ok()


async def in_service(call: Call) -> Answer:
    """The broker is not stopped for maintenance."""
    if call.host.controls.is_stopped:
        return _failed("the node is not running: it was stopped by stop_app")
    return _ok()


async def alarms(call: Call) -> Answer:
    """No resource is short."""
    node, found = call.host.node, call.broker.alarms
    short = {"memory": found.memory, "disk": found.disk}
    in_effect: list[Facts] = [
        {"node": node, "resource": name} for name, is_short in short.items() if is_short
    ]
    if in_effect:
        return _failed("There are alarms in effect in the cluster", alarms=in_effect)
    return _ok()


async def virtual_hosts(call: Call) -> Answer:
    """All vhosts are up; here they always are."""
    return _ok()


async def quorum_critical(call: Call) -> Answer:
    """No queue loses its majority with this node; there is no other."""
    return _ok(reason="single node cluster")


async def below_connection_limit(call: Call) -> Answer:
    """One more connection is let in."""
    now = call.host.figures()
    if now.connections >= now.connections_limit:
        return _failed("node connection limit is reached", connections=now.connections)
    return _ok()


async def ready(call: Call) -> Answer:
    """Clients are let in."""
    if not call.host.is_ready():
        return _failed("the node is not currently available to serve clients")
    now = call.host.figures()
    if not any(one.protocol in ("amqp", "amqp/ssl") for one in now.listeners):
        return _failed("no active listeners for AMQP/AMQPS")
    return await below_connection_limit(call)


async def with_data(call: Call) -> Answer:
    """There are vhosts and users."""
    if not call.broker.vhosts or not call.broker.permissions.users():
        return _failed("Metadata store is empty")
    return _ok()


async def certificates(call: Call) -> Answer:
    """No certificate ends within so many days, weeks, months or years."""
    unit = call.names["unit"].lower()
    within = natural(call.names["within"])
    if within is None:
        raise bad_request("Invalid expiration value.")
    if unit not in UNITS_S:
        raise bad_request("Time unit not recognised. Supported units: days, weeks, months, years.")
    ends_s = await asyncio.to_thread(call.host.certificate_ends_s)
    if ends_s < time.time() + within * UNITS_S[unit]:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ends_s))
        expired = [
            {"node": call.host.node, "certfile_expires_on": [at], "protocol": one.protocol}
            for one in call.host.figures().listeners
            if one.protocol.endswith("/ssl") or one.protocol.startswith("https")
        ]
        return _failed("Certificates expiring", expired=expired)
    return _ok()


async def port(call: Call) -> Answer:
    """The port is listened on."""
    wanted = natural(call.names["port"])
    if wanted is None:
        raise bad_request("Invalid port")
    ports = [one.port for one in call.host.figures().listeners]
    if wanted not in ports:
        return _failed("No active listener", missing=wanted, ports=ports)
    return _ok(port=wanted)


async def protocols(call: Call) -> Answer:
    """Each of these protocols is listened for."""
    names = call.names["protocols"].lower().split(",")
    wanted = {PROTOCOLS.get(name, name) for name in names}
    active = sorted({one.protocol for one in call.host.figures().listeners})
    missing = sorted(wanted.difference(active))
    if missing:
        lacking: object = missing if len(names) > 1 else names[0]
        return _failed("No active listener", missing=lacking, protocols=active)
    return _ok(**({} if len(names) > 1 else {"protocol": names[0]}), protocols=active)


async def leaders(call: Call) -> Answer:
    """All quorum queues have a leader; here it is this node."""
    if "vhost" in call.names:
        call.find_vhost(call.names["vhost"])
    return _ok()


async def node(call: Call) -> Answer:
    """The old check of a whole node."""
    if call.names.get("node", call.host.node) != call.host.node:
        raise not_found()
    if call.broker.alarms.reason:
        return json({"status": "failed", "reason": call.broker.alarms.reason})
    return _ok()


async def aliveness(call: Call) -> Answer:
    """Declare a queue, publish to it, and get the message back."""
    vhost, access = call.vhost, call.access
    declared = vhost.declare_queue(
        access,
        ALIVENESS_QUEUE,
        passive=False,
        durable=False,
        exclusive=False,
        auto_delete=False,
        arguments={},
        owner=call,
    )
    await call.safe(declared.number)
    path = vhost.route(access, "", (ALIVENESS_QUEUE,), Properties())
    vhost.publish(path, a_run(join("", ALIVENESS_QUEUE), Properties(), b"test_message"))
    arrived: asyncio.Future[Got | None] = asyncio.get_running_loop().create_future()

    def done(got: Got | None) -> None:
        if not arrived.done():
            arrived.set_result(got)

    vhost.get(access, ALIVENESS_QUEUE, call, True, done)
    call.host.changed()
    try:
        async with asyncio.timeout(ALIVENESS_S):
            alive = await arrived is not None
    except TimeoutError:
        alive = False
    return _ok() if alive else _failed("aliveness_test: no message came back")


LOGIN: Final = Needs.LOGIN
_CHECKS: Final = "/health/checks"
_LEADERS: Final = f"{_CHECKS}/quorum-queues-without-elected-leaders"
ROUTES: Final = (
    Route(f"{_CHECKS}/alarms", GET=Operation(alarms, LOGIN, while_stopped=True)),
    Route(f"{_CHECKS}/local-alarms", GET=Operation(alarms, LOGIN, while_stopped=True)),
    Route(f"{_CHECKS}/virtual-hosts", GET=Operation(virtual_hosts, LOGIN, while_stopped=True)),
    # Gone with RabbitMQ 4, and still asked for: there is nothing to be in sync with.
    Route(
        f"{_CHECKS}/node-is-mirror-sync-critical",
        GET=Operation(quorum_critical, LOGIN, while_stopped=True),
    ),
    Route(
        f"{_CHECKS}/node-is-quorum-critical",
        GET=Operation(quorum_critical, LOGIN, while_stopped=True),
    ),
    Route(f"{_CHECKS}/is-in-service", GET=Operation(in_service, LOGIN, while_stopped=True)),
    Route(
        f"{_CHECKS}/below-node-connection-limit",
        GET=Operation(below_connection_limit, LOGIN, while_stopped=True),
    ),
    Route(f"{_CHECKS}/ready-to-serve-clients", GET=Operation(ready, LOGIN, while_stopped=True)),
    Route(f"{_CHECKS}/reached-target-cluster-size", GET=Operation(ok, LOGIN, while_stopped=True)),
    Route(f"{_CHECKS}/metadata-store/initialized", GET=Operation(ok, LOGIN, while_stopped=True)),
    Route(
        f"{_CHECKS}/metadata-store/initialized/with-data",
        GET=Operation(with_data, LOGIN, while_stopped=True),
    ),
    Route(
        f"{_CHECKS}/certificate-expiration/{{within}}/{{unit}}",
        GET=Operation(certificates, LOGIN, while_stopped=True),
    ),
    Route(f"{_CHECKS}/port-listener/{{port}}", GET=Operation(port, LOGIN, while_stopped=True)),
    Route(
        f"{_CHECKS}/protocol-listener/{{protocols}}",
        GET=Operation(protocols, LOGIN, while_stopped=True),
    ),
    Route(f"{_LEADERS}/all-vhosts", GET=Operation(leaders, LOGIN)),
    Route(f"{_LEADERS}/all-vhosts/pattern/{{pattern}}", GET=Operation(leaders, LOGIN)),
    Route(f"{_LEADERS}/vhost/{{vhost}}", GET=Operation(leaders, Needs.VHOST_VISIBLE)),
    Route(
        f"{_LEADERS}/vhost/{{vhost}}/pattern/{{pattern}}",
        GET=Operation(leaders, Needs.VHOST_VISIBLE),
    ),
    Route("/healthchecks/node", GET=Operation(node, Needs.MONITOR)),
    Route("/healthchecks/node/{node}", GET=Operation(node, Needs.MONITOR)),
    Route("/aliveness-test/{vhost}", GET=Operation(aliveness, Needs.VHOST)),
)
