"""Permissions: who may configure, write and read what.

    User(name, tags, password_hash, hashing_algorithm)        .has_tag(tag)
    Permission(configure, write, read)                        patterns, unanchored; '' = none
    TopicPermission(write, read)                              with {username} and {vhost}
    Permissions                                               all of a broker; .revision
        .put_user(user) .delete_user(name) .user(name) .users()
        .put(user, vhost, permission) .delete(user, vhost) .get(user, vhost)
        .put_topic(user, vhost, exchange, permission) .delete_topic(user, vhost, exchange|None)
        .delete_vhost(vhost)   .listing() / .topic_listing()
        .access(user, vhost) -> Access          530 unless the user has a row in the vhost
    Access                                      a user in a vhost, for one connection
        .configure(kind, name) .write(kind, name) .read(kind, name)
        .any_of(kind, name)                     for passive declares
        .topic_write(exchange, key) .topic_read(exchange, key)
        .check_user_id(claimed)

RabbitMQ's semantics. Without a permission for the vhost nothing is allowed; without a topic
permission for the exchange every key is. An operation is refused with `AccessRefused` (403)
before anybody looks whether the thing exists.

Every change counts `Permissions.revision` up. An `Access` remembers its last answers and
forgets them when the revision has moved, so a revoked right ends with the next operation;
what already runs (consumers, cached routes) is looked at again by whoever holds it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from amqpd.broker.pattern import compile_pattern, escape
from amqpd.broker.text import resource
from amqpd.errors import AccessRefused, NotAllowed, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Kind = Literal["queue", "exchange"]
Right = Literal["configure", "write", "read"]

#: How the default exchange is called in permissions.
DEFAULT_EXCHANGE: Final = "amq.default"
#: Decisions that an access remembers.
REMEMBERED: Final = 256
#: RabbitMQ's bound on the tags of one user.
MAX_TAGS: Final = 32

ADMINISTRATOR: Final = "administrator"
MONITORING: Final = "monitoring"
POLICYMAKER: Final = "policymaker"
MANAGEMENT: Final = "management"
IMPERSONATOR: Final = "impersonator"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in; an empty password hash means never with a password."""

    name: str
    tags: frozenset[str] = frozenset()
    password_hash: str = field(default="", repr=False)
    hashing_algorithm: str = ""

    def __post_init__(self) -> None:
        if len(self.tags) > MAX_TAGS:
            raise PreconditionFailed(f"user '{self.name}': more than {MAX_TAGS} tags")

    def has_tag(self, tag: str) -> bool:
        """Whether the user has this very tag."""
        return tag in self.tags


def _checked(pattern: str) -> str:
    """The pattern as it is matched; RabbitMQ takes an empty one for `^$`.

    Raises:
        PreconditionFailed: it is not a pattern.
    """
    return compile_pattern(pattern or "^$").text


@dataclass(frozen=True, slots=True)
class Permission:
    """What a user may do in a vhost: three patterns of names."""

    configure: str
    write: str
    read: str

    def __post_init__(self) -> None:
        for pattern in (self.configure, self.write, self.read):
            _checked(pattern)

    def allows(self, right: Right, name: str) -> bool:
        """Whether the name is within this right."""
        return compile_pattern(_checked(getattr(self, right))).matches(name)


@dataclass(frozen=True, slots=True)
class TopicPermission:
    """Which routing keys a user may publish and bind with, on one topic exchange."""

    write: str
    read: str

    def __post_init__(self) -> None:
        for pattern in (self.write, self.read):
            _checked(pattern)

    def allows(self, right: Literal["write", "read"], key: str, user: str, vhost: str) -> bool:
        """Whether the key is within this right.

        The names put in for `{username}` and `{vhost}` stand for themselves. If that makes
        the pattern too long, or no pattern at all, the answer is no.
        """
        pattern = getattr(self, right) or "^$"
        pattern = pattern.replace("{username}", escape(user)).replace("{vhost}", escape(vhost))
        try:
            return compile_pattern(pattern).matches(key)
        except PreconditionFailed:
            return False


class Permissions:
    """All users of a broker and what they may do; changed by commands only."""

    def __init__(self) -> None:
        #: Counts changes.
        self.revision = 0
        self._users: dict[str, User] = {}
        self._permissions: dict[tuple[str, str], Permission] = {}
        self._topics: dict[tuple[str, str], dict[str, TopicPermission]] = {}

    def user(self, name: str) -> User | None:
        """The user of that name."""
        return self._users.get(name)

    def users(self) -> list[User]:
        """All users, by name."""
        return [self._users[name] for name in sorted(self._users)]

    def put_user(self, user: User) -> None:
        """Add a user or replace what is known of it; its permissions stay."""
        self.revision += 1
        self._users[user.name] = user

    def delete_user(self, name: str) -> None:
        """Remove a user with all its permissions."""
        self.revision += 1
        self._users.pop(name, None)
        self._forget(lambda user, vhost: user == name)

    def delete_vhost(self, name: str) -> None:
        """Remove all permissions in a vhost."""
        self.revision += 1
        self._forget(lambda user, vhost: vhost == name)

    def get(self, user: str, vhost: str) -> Permission | None:
        """What the user may do in the vhost; None = nothing, not even connect."""
        return self._permissions.get((user, vhost))

    def put(self, user: str, vhost: str, permission: Permission) -> None:
        """Grant or change."""
        self.revision += 1
        self._permissions[user, vhost] = permission

    def delete(self, user: str, vhost: str) -> None:
        """Take the permission away; topic permissions stay, as in RabbitMQ."""
        self.revision += 1
        self._permissions.pop((user, vhost), None)

    def get_topic(self, user: str, vhost: str, exchange: str) -> TopicPermission | None:
        """The limits on routing keys; None = none."""
        return self._topics.get((user, vhost), {}).get(exchange)

    def put_topic(self, user: str, vhost: str, exchange: str, topic: TopicPermission) -> None:
        """Limit the routing keys on one exchange."""
        self.revision += 1
        self._topics.setdefault((user, vhost), {})[exchange] = topic

    def delete_topic(self, user: str, vhost: str, exchange: str | None = None) -> None:
        """Lift the limits, on one exchange or on all of the vhost."""
        self.revision += 1
        if exchange is None:
            self._topics.pop((user, vhost), None)
        else:
            self._topics.get((user, vhost), {}).pop(exchange, None)

    def listing(self) -> Iterator[tuple[str, str, Permission]]:
        """All permissions: user, vhost, permission."""
        for (user, vhost), permission in self._permissions.items():
            yield user, vhost, permission

    def topic_listing(self) -> Iterator[tuple[str, str, str, TopicPermission]]:
        """All topic permissions: user, vhost, exchange, permission."""
        for (user, vhost), topics in self._topics.items():
            for exchange, topic in topics.items():
                yield user, vhost, exchange, topic

    def access(self, user: User, vhost: str) -> Access:
        """What the connection of this user to this vhost asks from now on.

        Raises:
            NotAllowed: the user has no permission in the vhost.
        """
        if self.get(user.name, vhost) is None:
            raise NotAllowed(f"access to vhost '{vhost}' refused for user '{user.name}'")
        return Access(self, user, vhost)

    def _forget(self, concerns: Callable[[str, str], bool]) -> None:
        for each in [each for each in self._permissions if concerns(*each)]:
            del self._permissions[each]
        for each in [each for each in self._topics if concerns(*each)]:
            del self._topics[each]


class Access:
    """A user in a vhost. All methods return if it is allowed and raise if it is not."""

    __slots__ = ("_permissions", "_remembered", "_revision", "user", "vhost")

    def __init__(self, permissions: Permissions, user: User, vhost: str) -> None:
        self.user = user
        self.vhost = vhost
        self._permissions = permissions
        self._revision = permissions.revision
        self._remembered: dict[tuple[str, ...], bool] = {}

    @property
    def username(self) -> str:
        """The name the user logged in with."""
        return self.user.name

    def configure(self, kind: Kind, name: str) -> None:
        """Declare and delete it."""
        self._check("configure", kind, name)

    def write(self, kind: Kind, name: str) -> None:
        """Publish to an exchange; bind a queue or exchange, as the destination."""
        self._check("write", kind, name)

    def read(self, kind: Kind, name: str) -> None:
        """Consume from, get from and purge a queue; bind an exchange, as the source."""
        self._check("read", kind, name)

    def any_of(self, kind: Kind, name: str) -> None:
        """See whether it is there: passive declares need any right at all."""
        if not (self._may("read", kind, name) or self._may("write", kind, name)):
            self._check("configure", kind, name)

    def topic_write(self, exchange: str, key: str) -> None:
        """Publish with this key, each of the keys of CC and BCC included."""
        self._check_topic("write", exchange, key)

    def topic_read(self, exchange: str, key: str) -> None:
        """Bind with this key."""
        self._check_topic("read", exchange, key)

    def check_user_id(self, claimed: str) -> None:
        """The user-id property of a message must be true, unless the user may impersonate.

        Raises:
            PreconditionFailed: it names somebody else.
        """
        if claimed != self.user.name and not self.user.has_tag(IMPERSONATOR):
            raise PreconditionFailed(
                f"user_id property set to '{claimed}' but authenticated user was '{self.user.name}'"
            )

    def _check(self, right: Right, kind: Kind, name: str) -> None:
        if not self._may(right, kind, name):
            where = resource(kind, _known_as(kind, name), self.vhost)
            raise AccessRefused(f"{right} access to {where} refused for user '{self.user.name}'")

    def _may(self, right: Right, kind: Kind, name: str) -> bool:
        question = (right, kind, name)
        answer = self._recall(question)
        if answer is None:
            permission = self._permissions.get(self.user.name, self.vhost)
            answer = permission is not None and permission.allows(right, _known_as(kind, name))
            self._remember(question, answer)
        return answer

    def _check_topic(self, right: Literal["write", "read"], exchange: str, key: str) -> None:
        permission = self._permissions.get_topic(self.user.name, self.vhost, exchange)
        if permission is None:
            return
        question = (right, "topic", exchange, key)
        answer = self._recall(question)
        if answer is None:
            answer = permission.allows(right, key, self.user.name, self.vhost)
            self._remember(question, answer)
        if not answer:
            raise AccessRefused(
                f"{right} access to topic '{key}' in exchange '{exchange}' in vhost "
                f"'{self.vhost}' refused for user '{self.user.name}'"
            )

    def _recall(self, question: tuple[str, ...]) -> bool | None:
        if self._revision != self._permissions.revision:
            self._revision = self._permissions.revision
            self._remembered.clear()
        return self._remembered.get(question)

    def _remember(self, question: tuple[str, ...], answer: bool) -> None:
        if len(self._remembered) >= REMEMBERED:
            self._remembered.clear()
        self._remembered[question] = answer


def _known_as(kind: Kind, name: str) -> str:
    return name if name or kind == "queue" else DEFAULT_EXCHANGE
