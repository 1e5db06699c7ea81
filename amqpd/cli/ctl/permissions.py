"""Permissions: what a user may configure, write and read in a vhost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.cli.ctl.users import find_user
from amqpd.cli.ctl.verb import argument, verb
from amqpd.cli.remote import RemoteError, segment

if TYPE_CHECKING:
    from amqpd.cli.ctl.verb import Ctl

GROUP: Final = "permissions"
RIGHTS: Final = ("configure", "write", "read")
PATTERNS: Final = tuple(argument(name) for name in RIGHTS)
TOPIC_PATTERNS: Final = (argument("exchange"), argument("write"), argument("read"))


def _put(ctl: Ctl, vhost: str, user: str, configure: str, write: str, read: str) -> None:
    path = f"/permissions/{segment(vhost)}/{segment(user)}"
    ctl.remote.put(path, {"configure": configure, "write": write, "read": read})


def _delete(ctl: Ctl, path: str) -> None:
    """Who had no rights in a vhost that is there has none afterwards."""
    ctl.remote.get(f"/vhosts/{ctl.vhost_path}", columns="name")
    try:
        ctl.remote.delete(path)
    except RemoteError as error:
        if error.status != 404:
            raise


@verb("set_permissions", GROUP, argument("user"), *PATTERNS)
def set_permissions(ctl: Ctl, user: str, configure: str, write: str, read: str) -> None:
    """Let a user into a vhost; three patterns of names."""
    ctl.say(f'Setting permissions for user "{user}" in vhost "{ctl.vhost}" ...')
    find_user(ctl, user)
    _put(ctl, ctl.vhost, user, configure, write, read)


@verb("set_permissions_globally", GROUP, argument("user"), *PATTERNS)
def set_permissions_globally(ctl: Ctl, user: str, configure: str, write: str, read: str) -> None:
    """Let a user into all vhosts."""
    ctl.say(f'Setting permissions for user "{user}" in all virtual hosts ...')
    find_user(ctl, user)
    for vhost in ctl.remote.get("/vhosts"):
        _put(ctl, vhost["name"], user, configure, write, read)


@verb("clear_permissions", GROUP, argument("user"))
def clear_permissions(ctl: Ctl, user: str) -> None:
    """Keep a user out of a vhost."""
    ctl.say(f'Clearing permissions for user "{user}" in vhost "{ctl.vhost}" ...')
    find_user(ctl, user)
    _delete(ctl, f"/permissions/{ctl.vhost_path}/{segment(user)}")


@verb("list_permissions", GROUP)
def list_permissions(ctl: Ctl) -> None:
    """Who may do what in a vhost."""
    ctl.say(f'Listing permissions for vhost "{ctl.vhost}" ...')
    ctl.show(("user", *RIGHTS), ctl.remote.get(f"/vhosts/{ctl.vhost_path}/permissions"))


@verb("list_user_permissions", GROUP, argument("user"))
def list_user_permissions(ctl: Ctl, user: str) -> None:
    """What a user may do, in all vhosts."""
    ctl.say(f'Listing permissions for user "{user}" ...')
    find_user(ctl, user)
    ctl.show(("vhost", *RIGHTS), ctl.remote.get(f"/users/{segment(user)}/permissions"))


# -- topics ------------------------------------------------------------------------------


@verb("set_topic_permissions", GROUP, argument("user"), *TOPIC_PATTERNS)
def set_topic_permissions(ctl: Ctl, user: str, exchange: str, write: str, read: str) -> None:
    """Limit the routing keys of a user on a topic exchange."""
    ctl.say(
        f'Setting topic permissions on "{exchange}" for user "{user}" in vhost "{ctl.vhost}" ...'
    )
    find_user(ctl, user)
    ctl.remote.put(
        f"/topic-permissions/{ctl.vhost_path}/{segment(user)}",
        {"exchange": exchange, "write": write, "read": read},
    )


@verb("clear_topic_permissions", GROUP, argument("user"), argument("exchange", required=False))
def clear_topic_permissions(ctl: Ctl, user: str, exchange: str | None) -> None:
    """Lift the limits on routing keys, on one exchange or on all."""
    where = "" if exchange is None else f' on "{exchange}"'
    ctl.say(f'Clearing topic permissions{where} for user "{user}" in vhost "{ctl.vhost}" ...')
    find_user(ctl, user)
    path = f"/topic-permissions/{ctl.vhost_path}/{segment(user)}"
    _delete(ctl, path if exchange is None else f"{path}/{segment(exchange)}")


@verb("list_topic_permissions", GROUP)
def list_topic_permissions(ctl: Ctl) -> None:
    """The limits on routing keys in a vhost."""
    ctl.say(f'Listing topic permissions for vhost "{ctl.vhost}" ...')
    rows = ctl.remote.get(f"/vhosts/{ctl.vhost_path}/topic-permissions")
    ctl.show(("user", "exchange", "write", "read"), rows)


@verb("list_user_topic_permissions", GROUP, argument("user"))
def list_user_topic_permissions(ctl: Ctl, user: str) -> None:
    """The limits on routing keys of a user, in all vhosts."""
    ctl.say(f'Listing topic permissions for user "{user}" ...')
    find_user(ctl, user)
    rows = ctl.remote.get(f"/users/{segment(user)}/topic-permissions")
    ctl.show(("vhost", "exchange", "write", "read"), rows)
