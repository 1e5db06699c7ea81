"""What clients do to a broker that will be killed: queues, routes to them, who consumes.

A workload is a table. Each has its emphasis; the invariants hold for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.faults.facts import ANY_TTL, QUORUM_LEVELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pamqp.common import FieldValue

    from tests.client import Channel
    from tests.faults.policies import Choices

Arguments = dict[str, "FieldValue"]
#: Longer than any campaign takes.
LONG_MS: Final = 3_600_000


@dataclass(frozen=True)
class Route:
    """Exchange and routing key, and the queues that they lead to.

    `ttls_ms` and `priorities` are drawn from; 0 and -1 leave the property out.
    """

    exchange: str
    key: str
    queues: tuple[str, ...]
    ttls_ms: tuple[int, ...] = (0,)
    priorities: tuple[int, ...] = (-1,)
    #: Share of the messages that are persistent.
    durable: float = 0.9


@dataclass(frozen=True)
class Answers:
    """How a consumer answers: shares of reject and requeue, the others are acks."""

    reject: float = 0.05
    requeue: float = 0.10


@dataclass(frozen=True)
class Link:
    """Where the dead of a queue go, and why they die."""

    source: str
    target: str
    reasons: tuple[str, ...] = ("rejected",)


@dataclass(frozen=True)
class Workload:
    """One table; `consumed` names a queue once for each of its consumers."""

    queues: Mapping[str, Arguments]
    routes: tuple[Route, ...]
    consumed: tuple[tuple[str, Answers], ...]
    exchanges: Mapping[str, str] = field(default_factory=dict)
    bindings: tuple[tuple[str, str, str], ...] = ()
    links: tuple[Link, ...] = ()
    #: A queue whose messages are moved in transactions, and where to.
    tx_source: str = ""
    tx_routes: tuple[Route, ...] = ()
    tx_rejects: float = 0.0
    #: Durable queues are declared and deleted meanwhile.
    defines: bool = False
    #: Of the messages, in octets.
    sizes: tuple[int, ...] = (0, 20, 20, 300, 300, 2000, 20_000, 200_000)
    #: Queues that empty themselves, before the drain begins.
    passing: tuple[str, ...] = ()
    #: Kind, name and pattern of policies, and what they are changed to.
    policies: Mapping[tuple[str, str, str], Choices] = field(default_factory=dict)
    #: Queues whose rules the policies change, and those whose messages may then go for good.
    ruled: tuple[str, ...] = ()
    loose: tuple[str, ...] = ()
    #: How long messages move on by themselves after all others have come to rest.
    settle_s: float = 0.0

    def declare(self, channel: Channel) -> None:
        """Declare everything durable that the workers use."""
        for name, kind in self.exchanges.items():
            channel.declare_exchange(name, kind, durable=True)
        for queue, arguments in self.queues.items():
            channel.declare_queue(queue, durable=True, arguments=arguments)
        for queue, exchange, key in self.bindings:
            channel.bind(queue, exchange, key)

    def ttl_ms(self, queue: str) -> int:
        """The queue's own time to live; 0 for none."""
        if queue in self.ruled:
            return ANY_TTL
        return _number(self.queues[queue], "x-message-ttl")

    def levels(self, queue: str) -> int:
        """How many priorities it tells apart."""
        if self.counts(queue):
            return QUORUM_LEVELS
        return 1 + _number(self.queues[queue], "x-max-priority")

    def counts(self, queue: str) -> bool:
        """Whether it tells how often a message came back."""
        return self.queues[queue].get("x-queue-type") == "quorum"

    def delay_ms(self, queue: str) -> int:
        """How long what was given back to it waits; 0: not at all."""
        return _number(self.queues[queue], "x-delayed-retry-min")

    def limit(self, queue: str) -> int:
        """Its greatest length; 0 for none."""
        return _number(self.queues[queue], "x-max-length")

    def refuses(self, queue: str) -> bool:
        """Whether it takes nothing in when it is full."""
        return queue in self.ruled or str(self.queues[queue].get("x-overflow", "")).startswith(
            "reject"
        )


def _number(arguments: Arguments, name: str) -> int:
    value = arguments.get(name, 0)
    assert isinstance(value, int)
    return value


def _to(target: str, **more: FieldValue) -> Arguments:
    """Arguments of a queue that dead letters to another one."""
    named = {f"x-{name.replace('_', '-')}": value for name, value in more.items()}
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": target, **named}


MIXED: Final = Workload(
    queues={
        "kill.all": {},
        "kill.dead": {},
        "kill.direct": {},
        "kill.fan.1": {},
        "kill.fan.2": {},
        "kill.fan.3": {},
        "kill.red": {},
        "kill.source": {},
        "kill.tx.1": {},
        "kill.tx.2": {},
        "kill.dying": _to("kill.dead"),
    },
    exchanges={"kill.fan": "fanout", "kill.topic": "topic", "kill.tx": "fanout"},
    bindings=(
        ("kill.fan.1", "kill.fan", ""),
        ("kill.fan.2", "kill.fan", ""),
        ("kill.fan.3", "kill.fan", ""),
        ("kill.all", "kill.topic", "#"),
        ("kill.red", "kill.topic", "*.red"),
        ("kill.tx.1", "kill.tx", ""),
        ("kill.tx.2", "kill.tx", ""),
    ),
    routes=(
        Route("", "kill.direct", ("kill.direct",)),
        Route("", "kill.direct", ("kill.direct",)),
        Route("kill.fan", "", ("kill.fan.1", "kill.fan.2", "kill.fan.3")),
        Route("kill.topic", "a.red", ("kill.all", "kill.red")),
        Route("kill.topic", "a.blue", ("kill.all",)),
        Route("", "kill.source", ("kill.source",)),
        Route("", "kill.dying", ("kill.dying",)),
    ),
    consumed=tuple(
        (queue, Answers())
        for queue in (
            "kill.direct",
            "kill.direct",
            "kill.fan.1",
            "kill.all",
            "kill.tx.1",
            "kill.dying",
        )
    ),
    links=(Link("kill.dying", "kill.dead"),),
    tx_source="kill.source",
    tx_routes=(
        Route("kill.tx", "", ("kill.tx.1", "kill.tx.2"), durable=1),
        Route("", "kill.direct", ("kill.direct",), durable=1),
    ),
    defines=True,
)

#: Retries in a circle, chains by expiry and by length, rejects in transactions, one publish
#: that dies in three ways.
DEAD: Final = Workload(
    queues={
        "dead.work": _to("dead.retry"),
        "dead.retry": _to("dead.work", message_ttl=40),
        "dead.brief": _to("dead.second", message_ttl=60),
        "dead.second": _to("dead.third", message_ttl=30),
        "dead.third": {},
        "dead.short": _to("dead.longer", max_length=15),
        "dead.longer": _to("dead.long", max_length=40),
        "dead.long": {},
        "dead.source": _to("dead.rejected"),
        "dead.rejected": {},
        "dead.tx": {},
    },
    exchanges={"dead.fan": "fanout"},
    bindings=(
        ("dead.work", "dead.fan", ""),
        ("dead.brief", "dead.fan", ""),
        ("dead.short", "dead.fan", ""),
    ),
    routes=(
        Route("", "dead.work", ("dead.work",)),
        Route("", "dead.brief", ("dead.brief",), ttls_ms=(0, 0, 1, 20, 500)),
        Route("", "dead.short", ("dead.short",)),
        Route("", "dead.source", ("dead.source",), durable=1),
        Route("dead.fan", "", ("dead.work", "dead.brief", "dead.short"), durable=1),
    ),
    consumed=(
        ("dead.work", Answers(reject=0.5)),
        ("dead.work", Answers(reject=0.3)),
        ("dead.short", Answers(reject=0.0, requeue=0.4)),
        ("dead.third", Answers()),
    ),
    links=(
        Link("dead.work", "dead.retry", ("rejected",)),
        Link("dead.retry", "dead.work", ("expired",)),
        Link("dead.brief", "dead.second", ("expired",)),
        Link("dead.second", "dead.third", ("expired",)),
        Link("dead.short", "dead.longer", ("maxlen", "rejected")),
        Link("dead.longer", "dead.long", ("maxlen",)),
        Link("dead.source", "dead.rejected", ("rejected",)),
    ),
    tx_source="dead.source",
    tx_routes=(Route("", "dead.tx", ("dead.tx",), durable=1),),
    tx_rejects=0.5,
    passing=("dead.brief", "dead.second", "dead.retry"),
)

_ANY: Final = (0, 0, 1, 30, 30, 300, LONG_MS)
#: Expiry anywhere in a queue: what lives long lies ahead of what does not.
EXPIRY: Final = Workload(
    queues={
        "expiry.any": {},
        "expiry.kept": {},
        "expiry.brief": {"x-message-ttl": 150},
        "expiry.levels": {"x-max-priority": 2},
        "expiry.dying": _to("expiry.dead"),
        "expiry.dead": {},
    },
    exchanges={"expiry.fan": "fanout"},
    bindings=(("expiry.kept", "expiry.fan", ""), ("expiry.dying", "expiry.fan", "")),
    routes=(
        Route("", "expiry.any", ("expiry.any",), _ANY),
        Route("", "expiry.kept", ("expiry.kept",), _ANY),
        Route("", "expiry.brief", ("expiry.brief",), _ANY),
        Route("", "expiry.levels", ("expiry.levels",), _ANY, (-1, 0, 1, 2)),
        Route("", "expiry.dying", ("expiry.dying",), _ANY),
        Route("expiry.fan", "", ("expiry.kept", "expiry.dying"), _ANY, durable=1),
    ),
    consumed=(
        ("expiry.any", Answers(requeue=0.3)),
        ("expiry.levels", Answers(requeue=0.3)),
        ("expiry.dying", Answers(reject=0.3)),
    ),
    links=(Link("expiry.dying", "expiry.dead", ("expired", "rejected")),),
    passing=("expiry.brief",),
)

_LEVELS: Final = (-1, 0, 1, 2, 4, 4, 9, 255)
PRIORITY: Final = Workload(
    queues={
        "priority.work": {"x-max-priority": 4},
        "priority.kept": {"x-max-priority": 10},
        "priority.quorum": {"x-queue-type": "quorum"},
        "priority.many": {"x-max-priority": 255},
        "priority.dying": _to("priority.dead", max_priority=4, max_length=25),
        "priority.dead": {"x-max-priority": 2},
    },
    exchanges={"priority.fan": "fanout"},
    bindings=(("priority.work", "priority.fan", ""), ("priority.kept", "priority.fan", "")),
    routes=(
        Route("", "priority.work", ("priority.work",), priorities=_LEVELS),
        Route("", "priority.kept", ("priority.kept",), priorities=_LEVELS),
        Route("", "priority.many", ("priority.many",), priorities=(0, 1, 100, 254, 255)),
        Route("", "priority.quorum", ("priority.quorum",), priorities=_LEVELS),
        Route("", "priority.dying", ("priority.dying",), priorities=_LEVELS),
        Route("priority.fan", "", ("priority.work", "priority.kept"), priorities=_LEVELS),
    ),
    consumed=(
        ("priority.work", Answers(requeue=0.4)),
        ("priority.work", Answers()),
        ("priority.many", Answers()),
        ("priority.dying", Answers(reject=0.4, requeue=0.2)),
    ),
    links=(Link("priority.dying", "priority.dead", ("rejected", "maxlen")),),
)

LIMITS: Final = Workload(
    queues={
        "limits.head": {"x-max-length": 40},
        "limits.work": _to("limits.dropped", max_length=10),
        "limits.dropped": {},
        "limits.refuse": {"x-max-length": 30, "x-overflow": "reject-publish"},
        "limits.over": _to("limits.rest", max_length=20, overflow="reject-publish-dlx"),
        "limits.rest": {},
        "limits.free": {},
    },
    exchanges={"limits.fan": "fanout"},
    bindings=(("limits.refuse", "limits.fan", ""), ("limits.free", "limits.fan", "")),
    routes=(
        Route("", "limits.head", ("limits.head",), durable=1),
        Route("", "limits.work", ("limits.work",)),
        Route("", "limits.refuse", ("limits.refuse",)),
        Route("", "limits.over", ("limits.over",)),
        Route("limits.fan", "", ("limits.refuse", "limits.free"), durable=1),
    ),
    consumed=(
        ("limits.work", Answers(requeue=0.3)),
        ("limits.refuse", Answers(requeue=0.2)),
        ("limits.over", Answers()),
    ),
    links=(
        Link("limits.work", "limits.dropped", ("maxlen", "rejected")),
        Link("limits.over", "limits.rest", ("maxlen", "rejected")),
    ),
)

#: Dead letters by argument and rules by policy, of users and of operators; then the dead
#: letter exchange by policy, too.
POLICIES: Final = Workload(
    queues={
        "policy.work": _to("policy.dead"),
        "policy.calm": _to("policy.dead"),
        "policy.loose": {},
        "policy.dead": {},
        "policy.left": {},
        "policy.right": {},
    },
    exchanges={"policy.fan": "fanout"},
    bindings=(("policy.calm", "policy.fan", ""), ("policy.loose", "policy.fan", "")),
    routes=(
        Route("", "policy.work", ("policy.work",)),
        Route("", "policy.calm", ("policy.calm",), durable=1),
        Route("", "policy.loose", ("policy.loose",)),
        Route("policy.fan", "", ("policy.calm", "policy.loose"), durable=1),
    ),
    consumed=(
        ("policy.work", Answers(reject=0.2, requeue=0.3)),
        ("policy.loose", Answers(requeue=0.3)),
    ),
    links=(
        Link("policy.work", "policy.dead", ("rejected", "expired", "maxlen")),
        Link("policy.calm", "policy.dead", ("rejected", "expired", "maxlen")),
        Link("policy.loose", "policy.left", ("rejected", "expired", "maxlen")),
        Link("policy.loose", "policy.right", ("rejected", "expired", "maxlen")),
    ),
    policies={
        ("policies", "rules", "^policy\\.(work|calm)$"): (
            {"message-ttl": 30},
            {"message-ttl": 200},
            {"max-length": 5},
            {"max-length": 20, "overflow": "reject-publish"},
            {"max-length": 20, "overflow": "reject-publish-dlx"},
            {"max-length-bytes": 100_000, "message-ttl": 100},
        ),
        ("policies", "loose", "^policy\\.loose$"): (
            {"dead-letter-exchange": "", "dead-letter-routing-key": "policy.left"},
            {
                "dead-letter-exchange": "",
                "dead-letter-routing-key": "policy.right",
                "message-ttl": 20,
            },
            {"max-length": 3},
        ),
        ("operator-policies", "ceiling", "^policy\\.(work|loose)$"): (
            {"max-length": 10},
            {"message-ttl": 50},
            {"max-length-bytes": 50_000},
        ),
    },
    ruled=("policy.work", "policy.calm", "policy.loose"),
    loose=("policy.loose",),
    settle_s=0.5,
)

#: Nothing but giving back, so that what waits is always more than what consumers have.
RETURNS: Final = Workload(
    queues={"returns.work": {}, "returns.single": {"x-single-active-consumer": True}},
    routes=(
        Route("", "returns.work", ("returns.work",)),
        Route("", "returns.single", ("returns.single",), durable=1),
    ),
    consumed=(
        ("returns.work", Answers(reject=0, requeue=0.9)),
        ("returns.single", Answers(reject=0, requeue=0.9)),
    ),
    sizes=(0, 20, 300),
)

#: Counts of what comes back, and returns that wait for their time.
ATTEMPTS: Final = Workload(
    queues={
        "attempts.count": _to("attempts.dead", queue_type="quorum", delivery_limit=-1),
        "attempts.late": _to(
            "attempts.gone",
            queue_type="quorum",
            delivery_limit=-1,
            delayed_retry_type="all",
            delayed_retry_min=300,
        ),
        "attempts.dead": {},
        "attempts.gone": {},
    },
    exchanges={"attempts.fan": "fanout"},
    bindings=(
        ("attempts.count", "attempts.fan", ""),
        ("attempts.late", "attempts.fan", ""),
    ),
    routes=(
        Route("", "attempts.count", ("attempts.count",), durable=1),
        Route("", "attempts.late", ("attempts.late",), durable=1),
        Route("attempts.fan", "", ("attempts.count", "attempts.late"), durable=1),
    ),
    consumed=(
        ("attempts.count", Answers(requeue=0.5)),
        ("attempts.count", Answers(requeue=0.3)),
        ("attempts.late", Answers(requeue=0.4)),
    ),
    links=(
        Link("attempts.count", "attempts.dead"),
        Link("attempts.late", "attempts.gone"),
    ),
    sizes=(0, 20, 300),
)

WORKLOADS: Final[Mapping[str, Workload]] = {
    "mixed": MIXED,
    "dead letters": DEAD,
    "expiry": EXPIRY,
    "priority": PRIORITY,
    "limits": LIMITS,
    "policies": POLICIES,
    "attempts": ATTEMPTS,
}
