"""`/api/users`: who may log in, and with which tags."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING, Final

from msgspec import UNSET, Struct, UnsetType

from amqpd.broker.definitions import Command, DeleteUser, PutParameter, PutPermission, PutUser
from amqpd.broker.parameters import USER_LIMITS, check
from amqpd.broker.permissions import MAX_TAGS
from amqpd.management.access import Needs
from amqpd.management.errors import bad_request, not_found
from amqpd.management.listing import PARAMETERS, listing
from amqpd.management.parameter import as_set
from amqpd.management.payload import Tags, Truth, tag_list, truth
from amqpd.management.request import Answer, encode, json
from amqpd.management.routing import Operation, Route

if TYPE_CHECKING:
    from amqpd.broker.permissions import User
    from amqpd.management.call import Call
    from amqpd.management.listing import Facts

NAME_BYTES: Final = 255
SHA256: Final = "rabbit_password_hashing_sha256"
#: A user that the API leaves alone.
PROTECTED: Final = "protected"


class Pattern(Struct):
    """What a new user may do in a vhost."""

    configure: str
    write: str
    read: str


class Body(Struct):
    """A user. Without password and hash it cannot log in with a password."""

    password: str | UnsetType = UNSET
    password_hash: str | UnsetType = UNSET
    hashing_algorithm: str | None = None
    tags: Tags | UnsetType = UNSET
    administrator: Truth | UnsetType = UNSET
    permissions: dict[str, Pattern] | UnsetType = UNSET
    limits: dict[str, int] | UnsetType = UNSET


class ToHash(Struct):
    """A password of which the hash is wanted."""

    password: str


class BulkDelete(Struct):
    """The names of users that go."""

    users: list[str]


def facts(call: Call, user: User) -> Facts:
    """What is shown of a user."""
    return {
        "name": user.name,
        "password_hash": user.password_hash,
        "hashing_algorithm": user.hashing_algorithm or SHA256,
        "tags": list(user.listed),
        "limits": limits(call, user.name),
    }


def limits(call: Call, name: str) -> Facts:
    """What a user's connections may have, as it was set: below 0 there is no limit."""
    return as_set(call, USER_LIMITS, "", name)


def find(call: Call, name: str) -> User:
    """The user of that name.

    Raises:
        HttpError: there is none.
    """
    found = call.broker.permissions.user(name)
    if found is None:
        raise not_found()
    return found


async def _listed(call: Call, users: list[User]) -> Answer:
    keys = {"name": lambda user: user.name}
    return await listing(call, users, lambda user: facts(call, user), keys, default_sort=("name",))


async def list_users(call: Call) -> Answer:
    """All users."""
    return await _listed(call, call.broker.permissions.users())


async def list_without_permissions(call: Call) -> Answer:
    """The users that may enter no vhost."""
    permissions = call.broker.permissions
    may = {user for user, _, _ in permissions.listing()}
    return await _listed(call, [user for user in permissions.users() if user.name not in may])


async def show(call: Call) -> Answer:
    """One user."""
    return json(facts(call, find(call, call.names["user"])))


async def put(call: Call) -> Answer:
    """Make a user, or give it another password and other tags."""
    name = call.names["user"]
    body = await call.body(Body)
    known = call.broker.permissions.user(name)
    if not 0 < len(name.encode(errors="surrogateescape")) <= NAME_BYTES:
        raise bad_request(f"user name: not between 1 and {NAME_BYTES} bytes")
    _leave_alone(known)
    commands: list[Command] = [await _user(call, name, body)]
    if body.permissions is not UNSET and known is None:
        for vhost, patterns in body.permissions.items():
            call.find_vhost(vhost)
            rights = (patterns.configure, patterns.write, patterns.read)
            commands.append(PutPermission(name, vhost, *rights))
    if body.limits is not UNSET:
        check(USER_LIMITS, name, body.limits)
        value = encode(body.limits).decode()
        commands.append(PutParameter(USER_LIMITS, "", name, value))
    await call.change(*commands)
    return Answer(201 if known is None else 204)


async def _user(call: Call, name: str, body: Body) -> PutUser:
    if body.password is not UNSET and body.password_hash is not UNSET:
        raise bad_request("both_password_and_password_hash_are_provided")
    hashed, algorithm = "", body.hashing_algorithm or SHA256
    if isinstance(body.password, str):
        refusal = await asyncio.to_thread(call.host.refusal_of, body.password)
        if refusal:
            raise bad_request(refusal)
    # As with RabbitMQ a blank password is taken and opens nothing.
    if isinstance(body.password, str) and body.password:
        algorithm = SHA256
        hashed = await asyncio.to_thread(call.host.hash_password, body.password, algorithm)
    elif isinstance(body.password_hash, str):
        hashed = _checked_hash(body.password_hash)
    return PutUser(name, hashed, algorithm, _tags(body))


def _tags(body: Body) -> tuple[str, ...]:
    if body.tags is not UNSET:
        tags = tag_list(body.tags)
    elif body.administrator is not UNSET:
        tags = ("administrator",) if truth(body.administrator) else ()
    else:
        raise bad_request("tags_not_present")
    if len(tags) > MAX_TAGS:
        raise bad_request(f"A user can have at most {MAX_TAGS} tags (received {len(tags)})")
    return tags


def _checked_hash(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad_request(f"not_base64: password_hash: {error}") from error
    return text


def _leave_alone(user: User | None) -> None:
    if user is not None and user.has_tag(PROTECTED):
        raise bad_request("Protected users cannot be modified via the HTTP API")


async def delete(call: Call) -> Answer:
    """Remove a user; its connections are closed."""
    user = find(call, call.names["user"])
    _leave_alone(user)
    await call.change(DeleteUser(user.name))
    return Answer(204)


async def bulk_delete(call: Call) -> Answer:
    """Remove several users; names that nobody has are fine."""
    body = await call.body(BulkDelete)
    known = [call.broker.permissions.user(name) for name in dict.fromkeys(body.users)]
    going = [user for user in known if user is not None and not user.has_tag(PROTECTED)]
    await call.change(*(DeleteUser(user.name) for user in going))
    return Answer(204)


async def hash_password(call: Call) -> Answer:
    """The hash that a password would have, with fresh salt."""
    password = call.names["password"]
    return json({"ok": await asyncio.to_thread(call.host.hash_password, password, SHA256)})


async def hash_of_body(call: Call) -> Answer:
    """The same, for a password that is in no log of addresses."""
    body = await call.body(ToHash)
    if not body.password:
        raise bad_request("password: must not be blank")
    hashed = await asyncio.to_thread(call.host.hash_password, body.password, SHA256)
    return json({"password_hash": hashed})


ADMIN: Final = Needs.ADMINISTRATOR
ROUTES: Final = (
    Route("/users", GET=Operation(list_users, ADMIN, query=PARAMETERS)),
    Route(
        "/users/without-permissions",
        GET=Operation(list_without_permissions, ADMIN, query=PARAMETERS),
    ),
    Route("/users/bulk-delete", POST=Operation(bulk_delete, ADMIN, BulkDelete)),
    Route(
        "/users/{user}",
        GET=Operation(show, ADMIN),
        PUT=Operation(put, ADMIN, Body),
        DELETE=Operation(delete, ADMIN),
    ),
    Route(
        "/auth/hash_password",
        PUT=Operation(
            hash_of_body,
            ADMIN,
            ToHash,
            answers={"200": "The hash, with fresh salt"},
            audited=False,
        ),
    ),
    Route("/auth/hash_password/{password}", GET=Operation(hash_password, ADMIN)),
)
