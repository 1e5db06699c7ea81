"""Users: who may log in, with which password and tags."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from amqpd.cli.answer import EX_DATA, EX_SOFTWARE
from amqpd.cli.ctl.refusals import bad, end, no_user
from amqpd.cli.ctl.verb import argument, option, verb
from amqpd.cli.remote import Remote, RemoteError, segment

if TYPE_CHECKING:
    from amqpd.cli.ctl.verb import Ctl

GROUP = "users"


def user_path(name: str) -> str:
    """Where a user is."""
    return f"/users/{segment(name)}"


def find_user(ctl: Ctl, name: str) -> dict[str, Any]:
    """What is known of a user; who is not there ends the verb, mostly with 67."""
    try:
        found: dict[str, Any] = ctl.remote.get(user_path(name))
    except RemoteError as error:
        if error.status == 404:
            no_user(ctl.name, name)
        raise
    return found


def _password(given: str | None, what: str) -> str:
    """What was given, or the first line of standard input."""
    if given is not None:
        return given
    if sys.stdin.isatty():
        sys.stderr.write(f"{what}: ")
        sys.stderr.flush()
    return sys.stdin.readline().rstrip("\n")


@verb(
    "add_user",
    GROUP,
    argument("user"),
    argument("password", required=False),
    option("--pre-hashed-password", is_flag=True, help="The password is a hash in base64."),
)
def add_user(ctl: Ctl, user: str, password: str | None, pre_hashed_password: bool) -> None:
    """Make a user; without a password it is read from standard input."""
    if not user:
        bad("user cannot be an empty string")
    ctl.say(f'Adding user "{user}" ...')
    try:
        ctl.remote.get(user_path(user))
    except RemoteError as error:
        if error.status != 404:
            raise
    else:
        end(f'User "{user}" already exists', EX_SOFTWARE)
    secret = _password(password, "Password")
    key = "password_hash" if pre_hashed_password else "password"
    ctl.remote.put(user_path(user), {key: secret, "tags": ""})
    done = (
        "Done. Don't forget to grant the user permissions to some virtual hosts! "
        "See 'amqpd ctl help set_permissions' to learn more."
    )
    if ctl.wants_json:
        ctl.result(done, {"message": done, "node": ctl.node, "status": "ok"})
    else:
        ctl.say(done)


@verb("delete_user", GROUP, argument("user"))
def delete_user(ctl: Ctl, user: str) -> None:
    """Remove a user; its connections are closed."""
    ctl.say(f'Deleting user "{user}" ...')
    find_user(ctl, user)
    ctl.remote.delete(user_path(user))


@verb("change_password", GROUP, argument("user"), argument("password", required=False))
def change_password(ctl: Ctl, user: str, password: str | None) -> None:
    """Give a user another password."""
    ctl.say(f'Changing password for user "{user}" ...')
    known = find_user(ctl, user)
    secret = _password(password, "New password")
    ctl.remote.put(user_path(user), {"password": secret, "tags": known["tags"]})


@verb("clear_password", GROUP, argument("user"))
def clear_password(ctl: Ctl, user: str) -> None:
    """Take a user's password away: it cannot log in with one."""
    ctl.say(f'Clearing password for user "{user}" ...')
    known = find_user(ctl, user)
    ctl.remote.put(user_path(user), {"tags": known["tags"]})


@verb("authenticate_user", GROUP, argument("user"), argument("password", required=False))
def authenticate_user(ctl: Ctl, user: str, password: str | None) -> None:
    """See whether a password is right; 65 if not."""
    ctl.say(f'Authenticating user "{user}" ...')
    secret = _password(password, "Password")
    other = Remote(replace(ctl.remote.place, user=user, password=secret))
    try:
        other.get("/whoami")
    except RemoteError as error:
        # Without a tag it may not use the API; that it is told so means that it was let in.
        if error.status == 401 and "Not management user" not in error.reason:
            end(
                f'Error: failed to authenticate user "{user}"\n'
                f"user '{user}' - invalid credentials",
                EX_DATA,
            )
        if error.status != 401:
            raise
    finally:
        other.close()
    ctl.result("Success")


@verb("set_user_tags", GROUP, argument("user"), argument("tags", required=False, many=True))
def set_user_tags(ctl: Ctl, user: str, tags: tuple[str, ...]) -> None:
    """Set a user's tags; none given: it has none."""
    ctl.say(f'Setting tags for user "{user}" to [{", ".join(tags)}] ...')
    known = find_user(ctl, user)
    body: dict[str, Any] = {"tags": ",".join(tags)}
    if known["password_hash"]:
        body |= {name: known[name] for name in ("password_hash", "hashing_algorithm")}
    ctl.remote.put(user_path(user), body)


@verb("list_users", GROUP)
def list_users(ctl: Ctl) -> None:
    """All users with their tags."""
    ctl.say("Listing users ...")
    rows = ({"user": one["name"], "tags": one["tags"]} for one in ctl.remote.get("/users"))
    ctl.show(("user", "tags"), rows)


@verb("hash_password", GROUP, argument("password", required=False))
def hash_password(ctl: Ctl, password: str | None) -> None:
    """The hash of a password, as `add_user --pre-hashed-password` takes it."""
    ctl.say("Will hash password")
    secret = _password(password, "Password")
    ctl.show(("hash",), [{"hash": ctl.remote.get(f"/auth/hash_password/{segment(secret)}")["ok"]}])
