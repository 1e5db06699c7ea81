"""`/api/nodes/{node}/actions`, `/api/config/effective/{key}`: the broker as a whole, at run time.

What RabbitMQ's operators do with `rabbitmqctl` has no path in its API; these are our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from amqpd.management.access import Needs, local
from amqpd.management.errors import not_found
from amqpd.management.request import Answer, json
from amqpd.management.routing import Operation, Route

if TYPE_CHECKING:
    from amqpd.management.call import Call

ACTIONS: Final = (
    "stop_app",
    "start_app",
    "suspend_listeners",
    "resume_listeners",
    "reload",
    "shutdown",
)


class Action(Struct):
    """What is to be done; an alarm is about a resource."""

    action: Literal[
        "stop_app",
        "start_app",
        "suspend_listeners",
        "resume_listeners",
        "reload",
        "shutdown",
        "set_alarm",
        "clear_alarm",
    ]
    resource: Literal["memory", "disk"] = "memory"


class Value(Struct):
    """What a setting is to be."""

    value: str | int | float | bool | list[str]


async def act(call: Call) -> Answer:
    """Stop and start the broker's application, raise an alarm, read settings again, and more."""
    if call.names["node"] != call.host.node:
        raise not_found()
    asked = await call.body(Action)
    controls = call.host.controls
    if asked.action in ("set_alarm", "clear_alarm"):
        controls.set_alarm(asked.resource, asked.action == "set_alarm")
    else:
        await controls.act(asked.action)
    return Answer(204)


async def set_setting(call: Call) -> Answer:
    """Change a setting until the next start or reload; those that can be changed while it runs."""
    asked = await call.body(Value)
    await call.host.controls.set_setting(call.names["key"], asked.value)
    return Answer(204)


async def ticket(call: Call) -> Answer:
    """A password for AMQP that is good for a minute; only over the local socket."""
    user = call.request.local_user
    if not user:
        raise not_found("only the local socket gives tickets", "not_found")
    return json({"username": local(user).name, "password": call.host.controls.ticket(user)})


_ADMINISTRATOR: Final = Needs.ADMINISTRATOR
ROUTES: Final = (
    Route(
        "/nodes/{node}/actions",
        POST=Operation(act, _ADMINISTRATOR, Action, while_stopped=True),
    ),
    Route("/local/ticket", POST=Operation(ticket, _ADMINISTRATOR)),
    Route(
        "/config/effective/{key}",
        PUT=Operation(set_setting, _ADMINISTRATOR, Value, while_stopped=True),
    ),
)
