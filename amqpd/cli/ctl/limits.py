"""Limits of vhosts and users."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from amqpd.cli.answer import EX_UNAVAILABLE
from amqpd.cli.ctl.policies import parse_json
from amqpd.cli.ctl.refusals import end
from amqpd.cli.ctl.users import find_user
from amqpd.cli.ctl.verb import argument, option, verb
from amqpd.cli.remote import RemoteError, segment

if TYPE_CHECKING:
    from amqpd.cli.ctl.verb import Ctl

GROUP: Final = "limits"


def _pairs(definition: str) -> list[tuple[str, int]]:
    parsed = parse_json(definition)
    if not isinstance(parsed, dict):
        end(
            f'the limits must be an object like {{"max-connections": 10}}: {definition}',
            EX_UNAVAILABLE,
        )
    return list(parsed.items())


def _set(ctl: Ctl, path: str, definition: str) -> None:
    for name, value in _pairs(definition):
        ctl.remote.put(f"{path}/{segment(name)}", {"value": value})


def _clear(ctl: Ctl, path: str, names: list[str]) -> None:
    for name in names:
        try:
            ctl.remote.delete(f"{path}/{segment(name)}")
        except RemoteError as error:
            if error.status != 404:  # it had no limit of that name
                raise


def _rows(found: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return [
        {key: one[key], "limits": json.dumps(one["value"], separators=(",", ":"))} for one in found
    ]


def _one(found: list[dict[str, Any]]) -> str:
    """One object, as with rabbitmqctl: no table."""
    limits = found[0]["value"] if found else {}
    return json.dumps(limits, separators=(",", ":"))


@verb("set_vhost_limits", GROUP, argument("definition"))
def set_vhost_limits(ctl: Ctl, definition: str) -> None:
    """Limit a vhost: {"max-connections": N, "max-queues": N}; -1 lifts a limit."""
    ctl.say(f'Setting vhost limits to "{definition}" for vhost "{ctl.vhost}" ...')
    _set(ctl, f"/vhost-limits/{ctl.vhost_path}", definition)


@verb("clear_vhost_limits", GROUP)
def clear_vhost_limits(ctl: Ctl) -> None:
    """Lift all limits of a vhost."""
    ctl.say(f'Clearing vhost "{ctl.vhost}" limits ...')
    if not ctl.remote.get(f"/vhost-limits/{ctl.vhost_path}"):
        end("Parameter does not exist", EX_UNAVAILABLE)
    # Lifted one by one the vhost would stay in the list of those that have had limits.
    ctl.remote.delete(f"/parameters/vhost-limits/{ctl.vhost_path}/limits")


@verb("list_vhost_limits", GROUP, option("--global", "everywhere", is_flag=True))
def list_vhost_limits(ctl: Ctl, everywhere: bool) -> None:
    """The limits of a vhost, or with --global of all that have any."""
    if not everywhere:
        ctl.say(f'Listing limits for vhost "{ctl.vhost}" ...')
        ctl.remote.get(f"/vhosts/{ctl.vhost_path}", columns="name")
        found = ctl.remote.get(f"/vhost-limits/{ctl.vhost_path}")
        if found or ctl.wants_json:
            value = _one(found)
            ctl.result(value, {"node": ctl.node, "result": "ok", "value": value})
        return
    ctl.say("Listing limits for all vhosts ...")
    found = ctl.remote.get("/vhost-limits")
    ctl.show(("vhost", "limits"), _rows(found, "vhost"))


@verb("set_user_limits", GROUP, argument("user"), argument("definition"))
def set_user_limits(ctl: Ctl, user: str, definition: str) -> None:
    """Limit a user: {"max-connections": N, "max-channels": N}; -1 lifts a limit."""
    ctl.say(f'Setting user limits to "{definition}" for user "{user}" ...')
    find_user(ctl, user)
    _set(ctl, f"/user-limits/{segment(user)}", definition)


@verb("clear_user_limits", GROUP, argument("user"), argument("name", required=False))
def clear_user_limits(ctl: Ctl, user: str, name: str | None) -> None:
    """Lift one limit of a user, or all of them."""
    which = "all limits" if name in (None, "all") else f'"{name}" limit'
    ctl.say(f'Clearing {which} for user "{user}" ...')
    find_user(ctl, user)
    names = ["max-connections", "max-channels"] if name in (None, "all") else [str(name)]
    _clear(ctl, f"/user-limits/{segment(user)}", names)


@verb(
    "list_user_limits",
    GROUP,
    option("--user", metavar="USER"),
    option("--global", "everywhere", is_flag=True),
)
def list_user_limits(ctl: Ctl, user: str | None, everywhere: bool) -> None:
    """The limits of a user (guest), or with --global of all that have any."""
    if not everywhere:
        user = user or "guest"
        ctl.say(f'Listing limits for user "{user}" ...')
        find_user(ctl, user)
        ctl.result(_one(ctl.remote.get(f"/user-limits/{segment(user)}")))
        return
    ctl.say("Listing limits for all users ...")
    found = ctl.remote.get("/user-limits")
    ctl.show(("user", "limits"), _rows(found, "user"))
