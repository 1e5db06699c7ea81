"""Access: what one user may do in one vhost, wherever the rights come from.

    Access(rights, user, vhost)                 all methods return if it is allowed
        .enter()                                530 for whoever may not come in at all
        .configure(kind, name) .write(kind, name) .read(kind, name)
        .any_of(kind, name)                     for passive declares
        .topic_write(exchange, key) .topic_read(exchange, key)
        .check_user_id(claimed)
    Rights                                      Protocol: who decides
        .verdict(question) -> Verdict           at once, from memory
        .find_out(question, done)               for Verdict.UNKNOWN
    Undecided                                   raised instead of waiting

RabbitMQ's semantics: an operation is refused with `AccessRefused` (403) before anybody looks
whether the thing exists.

Rights may be kept far away, and the model never waits. Where the answer has to be asked for,
a method raises `Undecided` before anything was changed; whoever runs the operation lets
`undecided.find_out(done)` get the answer and runs the operation again. The connection holds
back what comes after it, so order is kept.

An `Access` remembers its last answers until `rights.revision` moves, so a revoked right ends
with the next operation; what already runs (consumers, cached routes) is looked at again by
whoever holds it.
"""

from __future__ import annotations

import contextlib
import enum
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from amqpd.broker.text import resource
from amqpd.errors import AccessRefused, NotAllowed, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amqpd.broker.permissions import User

Kind = Literal["queue", "exchange"]
Right = Literal["configure", "write", "read"]
Asked = Literal["queue", "exchange", "topic", "vhost"]

RIGHTS: Final[tuple[Right, ...]] = ("configure", "write", "read")
#: How the default exchange is called in permissions.
DEFAULT_EXCHANGE: Final = "amq.default"
#: Decisions that an access remembers.
REMEMBERED: Final = 256
IMPERSONATOR: Final = "impersonator"


class Question(NamedTuple):
    """Whether a user has a right on a thing; `routing_key` only for topics."""

    right: Right
    kind: Asked
    name: str
    routing_key: str = ""


class Verdict(enum.Enum):
    """What those who decide say."""

    YES = enum.auto()
    NO = enum.auto()
    #: They could not be asked: no, but not because anything has changed.
    FAILED = enum.auto()
    #: They have to be asked first.
    UNKNOWN = enum.auto()


class Rights(Protocol):
    """Who decides what one user may do in one vhost."""

    @property
    def revision(self) -> int:
        """Moves when answers given before may be wrong."""

    def verdict(self, question: Question) -> Verdict:
        """The answer as far as it is known here and now."""

    def find_out(self, question: Question, done: Callable[[], None]) -> None:
        """Ask; `done()`, later and on the same thread, once the verdict is not UNKNOWN."""


class Authority(Protocol):
    """Who decides what a user may do, in any vhost."""

    def rights(self, vhost: str) -> Rights:
        """What the user may do there, if anything."""


class Undecided(Exception):
    """Not allowed yet: somebody has to be asked. Nothing was changed; ask and run it again."""

    def __init__(self, rights: Rights, question: Question) -> None:
        super().__init__(f"{question.right} access to {question.kind} is not decided")
        self._rights = rights
        self._question = question

    def find_out(self, done: Callable[[], None]) -> None:
        """Get the answer; `done()` when the operation may be run again."""
        self._rights.find_out(self._question, done)


class AuthorityFailed(AccessRefused):
    """Those who decide could not be asked."""


class Access:
    """A user in a vhost. All methods return if it is allowed and raise if it is not."""

    __slots__ = ("_proposed", "_remembered", "_revision", "_rights", "user", "vhost")

    def __init__(self, rights: Rights, user: User, vhost: str) -> None:
        self.user = user
        self.vhost = vhost
        self._rights = rights
        self._revision = rights.revision
        self._remembered: dict[Question, Verdict] = {}
        self._proposed = ""

    @property
    def username(self) -> str:
        """The name the user logged in with."""
        return self.user.name

    def enter(self) -> None:
        """Come in.

        Raises:
            NotAllowed: the user has no permission in the vhost.
            Undecided: as all methods here.
        """
        verdict = self._verdict(Question("read", "vhost", self.vhost))
        if verdict is not Verdict.YES:
            raise NotAllowed(f"access to vhost '{self.vhost}' refused for user '{self.user.name}'")

    def configure(self, kind: Kind, name: str) -> None:
        """Declare and delete it."""
        self._check("configure", kind, name)

    def write(self, kind: Kind, name: str) -> None:
        """Publish to an exchange; bind a queue or exchange, as the destination."""
        self._check("write", kind, name)

    def read(self, kind: Kind, name: str) -> None:
        """Consume from, get from and purge a queue; bind an exchange, as the source."""
        self._check("read", kind, name)

    def rights(self, kind: Kind, name: str) -> list[Right]:
        """Which of the three are allowed; nothing is refused by asking."""
        known = _known_as(kind, name)
        return [
            right for right in RIGHTS if self._verdict(Question(right, kind, known)) is Verdict.YES
        ]

    def any_of(self, kind: Kind, name: str) -> None:
        """See whether it is there: passive declares need any right at all."""
        known = _known_as(kind, name)
        for right in ("read", "write"):
            if self._verdict(Question(right, kind, known)) is Verdict.YES:
                return
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

    @contextlib.contextmanager
    def naming(self, make_name: Callable[[], str]) -> Iterator[str]:
        """The name of a thing that the broker names, for an operation that may be undecided.

        Run again it is about the same name, or it would be undecided for ever.
        """
        name = self._proposed or make_name()
        self._proposed = ""
        try:
            yield name
        except Undecided:
            self._proposed = name
            raise

    def _check(self, right: Right, kind: Kind, name: str) -> None:
        known = _known_as(kind, name)
        verdict = self._verdict(Question(right, kind, known))
        if verdict is not Verdict.YES:
            where = resource(kind, known, self.vhost)
            raise self._refusal(verdict, f"{right} access to {where}")

    def _check_topic(self, right: Right, exchange: str, key: str) -> None:
        verdict = self._verdict(Question(right, "topic", exchange, key))
        if verdict is not Verdict.YES:
            where = f"topic '{key}' in exchange '{exchange}' in vhost '{self.vhost}'"
            raise self._refusal(verdict, f"{right} access to {where}")

    def _refusal(self, verdict: Verdict, what: str) -> AccessRefused:
        text = f"{what} refused for user '{self.user.name}'"
        if verdict is Verdict.FAILED:
            return AuthorityFailed(f"{text}, the auth backend failed")
        return AccessRefused(text)

    def _verdict(self, question: Question) -> Verdict:
        rights = self._rights
        if self._revision != rights.revision:
            self._revision = rights.revision
            self._remembered.clear()
        verdict = self._remembered.get(question)
        if verdict is None:
            verdict = rights.verdict(question)
            if verdict is Verdict.UNKNOWN:
                raise Undecided(rights, question)
            self._remember(question, verdict)
        return verdict

    def _remember(self, question: Question, verdict: Verdict) -> None:
        if verdict is Verdict.FAILED:
            return
        if len(self._remembered) >= REMEMBERED:
            self._remembered.clear()
        self._remembered[question] = verdict


def _known_as(kind: Kind, name: str) -> str:
    return name if name or kind == "queue" else DEFAULT_EXCHANGE
