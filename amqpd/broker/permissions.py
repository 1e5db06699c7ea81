"""Permissions: who may configure, write and read what.

    User(name, tags, password_hash, hashing_algorithm)        .has_tag(tag)
    Permission(configure, write, read)                        patterns, unanchored; '' = none
    TopicPermission(write, read)                              with {username} and {vhost}
    Permissions                                               all of a broker; .revision
        .put_user(user) .delete_user(name) .user(name) .users()
        .put(user, vhost, permission) .delete(user, vhost) .get(user, vhost)
        .put_topic(user, vhost, exchange, permission) .delete_topic(user, vhost, exchange|None)
        .delete_vhost(vhost)   .listing() / .topic_listing()
        .rights(user, vhost) -> TableRights     what `Access` asks
        .access(user, vhost) -> Access          530 unless the user has a row in the vhost

RabbitMQ's semantics. Without a permission for the vhost nothing is allowed; without a topic
permission for the exchange every key is. Every change counts `Permissions.revision` up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from amqpd.broker.access import (
    DEFAULT_EXCHANGE,
    IMPERSONATOR,
    REMEMBERED,
    Access,
    Kind,
    Question,
    Right,
    Verdict,
)
from amqpd.broker.pattern import compile_pattern, escape
from amqpd.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "ADMINISTRATOR", "DEFAULT_EXCHANGE", "IMPERSONATOR", "MANAGEMENT", "MONITORING",
    "POLICYMAKER", "REMEMBERED", "Access", "Kind", "Permission", "Permissions", "Right",
    "TableRights", "TopicPermission", "User",
]  # fmt: skip

#: RabbitMQ's bound on the tags of one user.
MAX_TAGS: Final = 32

ADMINISTRATOR: Final = "administrator"
MONITORING: Final = "monitoring"
POLICYMAKER: Final = "policymaker"
MANAGEMENT: Final = "management"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in; an empty password hash means never with a password."""

    name: str
    tags: frozenset[str] = frozenset()
    password_hash: str = field(default="", repr=False)
    hashing_algorithm: str = ""
    #: The tags in the order in which they were set: tools compare lists with it.
    listed: tuple[str, ...] = ()

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

    def allows(self, right: Right, key: str, user: str, vhost: str) -> bool:
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

    def rights(self, user: str, vhost: str) -> TableRights:
        """What the tables say of a user in a vhost."""
        return TableRights(self, user, vhost)

    def access(self, user: User, vhost: str) -> Access:
        """What the connection of this user to this vhost asks from now on.

        Raises:
            NotAllowed: the user has no permission in the vhost.
        """
        access = Access(self.rights(user.name, vhost), user, vhost)
        access.enter()
        return access

    def _forget(self, concerns: Callable[[str, str], bool]) -> None:
        for each in [each for each in self._permissions if concerns(*each)]:
            del self._permissions[each]
        for each in [each for each in self._topics if concerns(*each)]:
            del self._topics[each]


class TableRights:
    """The rights of one user in one vhost as the tables have them; never asks anybody."""

    __slots__ = ("_permissions", "_user", "_vhost")

    def __init__(self, permissions: Permissions, user: str, vhost: str) -> None:
        self._permissions = permissions
        self._user = user
        self._vhost = vhost

    @property
    def revision(self) -> int:
        """Moves with every change of users and permissions."""
        return self._permissions.revision

    def verdict(self, question: Question) -> Verdict:
        """Yes or no."""
        return Verdict.YES if self._allows(question) else Verdict.NO

    def find_out(self, question: Question, done: Callable[[], None]) -> None:
        """There is nothing to find out."""
        done()

    def _allows(self, question: Question) -> bool:
        user, vhost = self._user, self._vhost
        if question.kind == "topic":
            topic = self._permissions.get_topic(user, vhost, question.name)
            return topic is None or topic.allows(question.right, question.routing_key, user, vhost)
        permission = self._permissions.get(user, vhost)
        if permission is None:
            return False
        return question.kind == "vhost" or permission.allows(question.right, question.name)
