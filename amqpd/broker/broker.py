"""The broker: vhosts, users, the journal, alarms, and what is due.

Sessions come in by `open_vhost`, time by `tick`, the machine's state by `resources`. After
each turn of the event loop the server calls `dispatch`, which lets queues with news hand
messages to consumers, and passes the journal to the store.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from amqpd.broker import deeds
from amqpd.broker.access import Access
from amqpd.broker.capacity import Capacity
from amqpd.broker.definitions import (
    Command,
    DeleteBinding,
    DeleteExchange,
    DeleteParameter,
    DeletePermission,
    DeleteQueue,
    DeleteTopicPermission,
    DeleteUser,
    DeleteVhost,
    PutBinding,
    PutExchange,
    PutParameter,
    PutPermission,
    PutQueue,
    PutTopicPermission,
    PutUser,
    PutVhost,
)
from amqpd.broker.events import Events
from amqpd.broker.journal import Journal, Mark
from amqpd.broker.limits import UserLimits, VhostLimits
from amqpd.broker.logins import LoginAttempts
from amqpd.broker.parameters import (
    CLUSTER_NAME,
    GLOBAL,
    OPERATOR_POLICY,
    POLICY,
    USER_LIMITS,
    VHOST_LIMITS,
    Parameters,
    parsed,
)
from amqpd.broker.pause import PAUSED, Pause, resuming
from amqpd.broker.permissions import (
    ADMINISTRATOR,
    MONITORING,
    Permission,
    Permissions,
    TopicPermission,
    User,
)
from amqpd.broker.policy import Policy
from amqpd.broker.presence import Presence
from amqpd.broker.stats import VhostStats
from amqpd.broker.stream import Stream
from amqpd.broker.surroundings import (
    EFFORT,
    HAND_OUT_BYTES,
    LOOK_COST,
    Surroundings,
    first_of,
)
from amqpd.broker.timers import Timers
from amqpd.broker.types import all_types
from amqpd.broker.vhost import VHost
from amqpd.errors import ConnectionForced, NotAllowed, PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from amqpd.broker.access import Authority
    from amqpd.broker.archive import StreamState
    from amqpd.broker.exchange import Exchange
    from amqpd.broker.lane import Lane
    from amqpd.broker.limits import Limits
    from amqpd.broker.parameters import Parsed
    from amqpd.broker.presence import Guest
    from amqpd.broker.queue import Queue
    from amqpd.broker.refill import Refill
    from amqpd.broker.stretch import Stretch
    from amqpd.broker.surroundings import Labour

logger = logging.getLogger(__name__)

UserCommand = (
    PutUser
    | DeleteUser
    | PutPermission
    | DeletePermission
    | PutTopicPermission
    | DeleteTopicPermission
)
#: A lane's id is part of the store's key: 23 bits (the other 40 are the position).
LANE_IDS = 1 << 23
#: What is done of returns for somebody who asks how long a queue is, as `EFFORT`.
HURRY = 15_000


class LaneState(Protocol):
    """What the store knows of a lane at start."""

    @property
    def next_position(self) -> int:
        """The position of the next message."""

    @property
    def messages(self) -> int:
        """Persistent messages of a durable queue, and their body bytes."""

    @property
    def body_bytes(self) -> int:
        """The bodies of these messages together."""

    @property
    def delivered_upto(self) -> int:
        """What lies below may have been handed out."""

    @property
    def counted(self) -> bool:
        """Some of its messages came back."""

    @property
    def delayed(self) -> int:
        """Messages that came back and wait for their time, and their body bytes."""

    @property
    def delayed_bytes(self) -> int:
        """The bodies of these messages together."""


@dataclass(frozen=True, slots=True)
class Alarms:
    """Which resources are short; publishers are held while there is a reason."""

    memory: bool = False
    disk: bool = False

    @property
    def reason(self) -> str:
        """What clients are told (RabbitMQ's words); empty if all is well."""
        reasons = ["low on memory"] * self.memory + ["low on disk"] * self.disk
        return " & ".join(reasons)


#: Tags of those who may know of every vhost.
SEE_ALL_VHOSTS: Final = frozenset({ADMINISTRATOR, MONITORING})


class Broker:
    """Everything that clients can see, in memory."""

    def __init__(
        self,
        *,
        limits: Limits,
        refill: Refill,
        new_token: Callable[[], str],
        types: Mapping[str, type[Exchange]] | None = None,
        now_ms: int = 0,
        chance: Callable[[int], int] = first_of,
        node: str = "amqpd",
        cluster_name: str = "",
        events_vhost: str = "/",
    ) -> None:
        self.limits = limits
        self._cluster_name = cluster_name or node
        self.types = types or all_types()
        self.new_token = new_token
        self.journal = Journal()
        self.timers = Timers()
        self.permissions = Permissions()
        self.vhosts: dict[str, VHost] = {}
        self.definitions: dict[str, PutVhost] = {}
        self.parameters = Parameters()
        self.events = Events(self.vhosts, node, events_vhost)
        self.events.now_ms = now_ms
        self.presence = Presence(limits, node, self.events)
        self.logins = LoginAttempts()
        #: Of vhosts that are gone: what is counted for the whole broker only grows.
        self.departed = VhostStats()
        self.capacity = Capacity(limits, self.presence, self.vhosts)
        self.alarms = Alarms()
        self._lanes_in_use: set[int] = set()
        self._last_lane = 0
        self._on_alarm: dict[Callable[[str], None], None] = {}
        self._labours: deque[Labour] = deque()
        self.around = Surroundings(
            journal=self.journal,
            timers=self.timers,
            awake=deque(),
            refill=refill,
            new_lane_id=self._new_lane_id,
            bury=self._bury,
            unused=self._unused,
            work_off=self.work_off,
            lane_gone=self._lanes_in_use.discard,
            drop=self._drop,
            resume=self._resume,
            events=self.events,
            now_ms=now_ms,
            chance=chance,
            hurry=self._hurry,
            always_counted=limits.always_counted,
            trusts_deaths=limits.trusts_deaths,
            consumer_timeout_ms=limits.consumer_timeout_ms,
        )

    @property
    def cluster_name(self) -> str:
        """What this broker is called: as it was set at run time, or as it was started."""
        parameter = self.parameters.get(GLOBAL, "", CLUSTER_NAME)
        return self._cluster_name if parameter is None else str(json.loads(parameter.value))

    # -- definitions ---------------------------------------------------------------------

    def change(self, command: Command) -> int:
        """Carry out a durable command; the journal's number to wait for."""
        number = self.journal.define(command)
        if logger.isEnabledFor(logging.INFO):
            for line in self.deeds(command):
                logger.info("%s", line)
        self.apply(command)
        return number

    def deeds(self, command: Command) -> Iterator[str]:
        """What a command that is not carried out yet will do, for logs."""
        user = None
        if isinstance(command, PutUser | DeleteUser):
            user = self.permissions.user(command.name)
        has_vhost = isinstance(command, PutVhost | DeleteVhost) and command.name in self.vhosts
        return deeds.lines(command, user, has_vhost)

    def apply(self, command: Command) -> None:
        """Carry out a command that was checked, without writing it down."""
        if self.events.on:
            self._tell(command)
        match command:
            case PutVhost():
                self.definitions[command.name] = command
                is_new = command.name not in self.vhosts
                if is_new:
                    self.vhosts[command.name] = self._new_vhost(command.name)
                vhost = self.vhosts[command.name]
                if self.events.on:
                    if is_new:
                        vhost.tell_of_exchanges()
                    self.events.changed(command, is_new=is_new)
                vhost.default_queue_type = command.default_queue_type
                vhost.trace(command.tracing)
            case DeleteVhost():
                self._delete_vhost(command.name)
            case (
                PutUser()
                | DeleteUser()
                | PutPermission()
                | DeletePermission()
                | PutTopicPermission()
                | DeleteTopicPermission()
            ):
                self._apply_to_users(command)
                for vhost in self.vhosts.values():
                    vhost.revision += 1  # what sessions remember of rights and routes is old
            case PutParameter() | DeleteParameter():
                is_new = isinstance(command, DeleteParameter) or self._known(command) is None
                self._apply_parameter(command)
                if self.events.on:
                    self.events.enforced(command, is_new=is_new)
            case _:
                self.vhosts[command.vhost].apply(command)

    def _tell(self, command: Command) -> None:
        match command:
            case PutUser():
                self.events.user_put(command, self.permissions.user(command.name))
            case (
                PutExchange() | DeleteExchange() | PutQueue() | DeleteQueue()
                | PutBinding() | DeleteBinding() | PutVhost()
            ):  # fmt: skip
                pass  # told of where they are carried out
            case PutParameter() | DeleteParameter():
                self.events.stored(command, self._known(command))
            case DeleteVhost():
                self.events.vhost_going(command.name, self.permissions)
            case _:
                self.events.changed(command)

    def _known(self, command: PutParameter | DeleteParameter) -> PutParameter | None:
        return self.parameters.get(command.component, command.vhost, command.name)

    def _apply_to_users(self, command: UserCommand) -> None:
        permissions = self.permissions
        match command:
            case PutUser():
                permissions.put_user(
                    User(
                        command.name,
                        frozenset(command.tags),
                        command.password_hash,
                        command.hashing_algorithm,
                        command.tags,
                    )
                )
            case DeleteUser():
                self._delete_user(command.name)
            case PutPermission():
                permission = Permission(command.configure, command.write, command.read)
                permissions.put(command.user, command.vhost, permission)
            case DeletePermission():
                permissions.delete(command.user, command.vhost)
            case PutTopicPermission():
                topic = TopicPermission(command.write, command.read)
                permissions.put_topic(command.user, command.vhost, command.exchange, topic)
            case _:
                permissions.delete_topic(command.user, command.vhost, command.exchange)

    def _apply_parameter(self, command: PutParameter | DeleteParameter) -> None:
        if isinstance(command, DeleteParameter):
            self.parameters.delete(command)
            self._enforce(command, None)
            return
        self.parameters.put(command)
        try:
            self._enforce(command, parsed(command))
        except PreconditionFailed as error:
            # It was checked before it was set, so another version did that. What is kept
            # without effect can be mended; a broker that does not start cannot.
            logger.error(
                "parameter '%s' of component '%s' in vhost '%s' has no effect: %s",
                command.name,
                command.component,
                command.vhost,
                error.explanation,
            )

    def _enforce(self, command: PutParameter | DeleteParameter, value: Parsed | None) -> None:
        """Let a parameter have its effect; None: it is not set any more, or it has none."""
        name, presence = command.name, self.presence
        if command.component in (POLICY, OPERATOR_POLICY):
            enforcement = self.vhosts[command.vhost].enforcement
            operator, now_ms = command.component == OPERATOR_POLICY, self.around.now_ms
            if isinstance(value, Policy):
                enforcement.put(value, operator=operator, now_ms=now_ms)
            else:
                enforcement.delete(name, operator=operator, now_ms=now_ms)
        elif command.component == VHOST_LIMITS:
            limits = value if isinstance(value, VhostLimits) else VhostLimits()
            presence.vhost_limits[command.vhost] = limits
        elif command.component == USER_LIMITS:
            presence.user_limits[name] = value if isinstance(value, UserLimits) else UserLimits()
        elif command.component == PAUSED:
            pause = value if isinstance(value, Pause) else None
            self.vhosts[command.vhost].pause(name, pause)

    def _delete_user(self, name: str) -> None:
        """Remove a user with its permissions and limits; its connections are closed."""
        self.permissions.delete_user(name)
        self.parameters.delete(DeleteParameter(USER_LIMITS, "", name))
        self.presence.user_limits.pop(name, None)
        for guest in self.presence.of_user(name):
            guest.close(ConnectionForced(f"user '{name}' is deleted"))

    def _new_vhost(self, name: str) -> VHost:
        return VHost(
            name,
            around=self.around,
            limits=self.limits,
            types=self.types,
            new_token=self.new_token,
            capacity=self.capacity,
        )

    def _delete_vhost(self, name: str) -> None:
        for guest in self.presence.in_vhost(name):
            guest.close(ConnectionForced(f"vhost '{name}' is deleted"))
        parameters = [*self.parameters.listing(vhost=name)]
        self.parameters.delete_vhost(name)
        self.presence.vhost_limits.pop(name, None)
        vhost = self.vhosts.pop(name, None)
        self.definitions.pop(name, None)
        self.permissions.delete_vhost(name)
        if vhost is not None:
            self.departed.vhost_gone(vhost)
            vhost.close(parameters)

    def recover(
        self,
        commands: Iterable[Command],
        lanes: Mapping[int, LaneState],
        streams: Mapping[int, StreamState] | None = None,
    ) -> None:
        """Rebuild the model from what the store has; nothing is written down again."""
        self.events.is_silent = True
        for command in commands:
            self.apply(command)
        self.events.is_silent = False
        for vhost in self.vhosts.values():
            for lane in vhost.lanes():
                self._lanes_in_use.add(lane.id)
                self._last_lane = max(self._last_lane, lane.id)
                state = lanes.get(lane.id)
                if state is not None:
                    lane.recover(
                        state.next_position,
                        state.messages,
                        state.body_bytes,
                        state.delivered_upto,
                        state.counted,
                        state.delayed,
                        state.delayed_bytes,
                    )
            for queue in vhost.queues.values():
                if isinstance(queue, Stream):
                    queue.restore((streams or {}).get(int(queue.lane.id)))
            vhost.recovered()

    def reserve_lanes(self, next_id: int) -> None:
        """Ids below are or were used by the store, which may still be clearing them away."""
        self._last_lane = max(self._last_lane, next_id - 1)

    def _new_lane_id(self) -> int:
        """The next free id; ids come back only after all others were used."""
        candidate = self._last_lane
        while True:
            candidate = candidate % (LANE_IDS - 1) + 1
            if candidate not in self._lanes_in_use:
                self._last_lane = candidate
                self._lanes_in_use.add(candidate)
                return candidate

    # -- clients -------------------------------------------------------------------------

    def open_vhost(
        self,
        name: str,
        user: str,
        guest: Guest | None = None,
        tags: frozenset[str] = frozenset(),
        authority: Authority | None = None,
    ) -> tuple[VHost, Access]:
        """A client's way into a vhost; a guest is counted until `presence.leave`.

        The rights are those in the tables here, unless somebody else has the authority.

        Raises:
            NotAllowed: there is no such vhost, the user has no permissions in it, or a limit
                is reached.
            Undecided: the authority has to be asked first.
        """
        if guest is not None:
            self.presence.check_node()
        vhost = self.vhosts.get(name)
        if vhost is None:
            known = self.permissions.user(user) if authority is None else None
            # Whoever may not see all vhosts does not learn which there are.
            if (tags if known is None else known.tags) & SEE_ALL_VHOSTS:
                raise NotAllowed(f"vhost {name} not found")
            raise NotAllowed(f"access to vhost '{name}' refused for user '{user}'")
        access = self.access(name, user, tags, authority)
        if guest is not None:
            self.presence.check(name, user)
            self.presence.enter(guest, name, user)
        return vhost, access

    def access(
        self, vhost: str, user: str, tags: frozenset[str], authority: Authority | None
    ) -> Access:
        """What a user may do in a vhost.

        Raises:
            NotAllowed: it may not even enter.
            Undecided: as `open_vhost`.
        """
        if authority is None:
            known = self.permissions.user(user)
            if known is None:
                raise NotAllowed(f"access to vhost '{vhost}' refused for user '{user}'")
            return self.permissions.access(known, vhost)
        access = Access(authority.rights(vhost), User(user, tags), vhost)
        access.enter()
        return access

    # -- turns ---------------------------------------------------------------------------

    def dispatch(self) -> bool:  # hot: S7
        """Let queues with news hand messages out, and tell publishers what needs no disk.

        True: there is more to do, in the next turn, so that nobody has to wait for it.
        """
        around = self.around
        around.spare, around.spare_bytes = EFFORT, HAND_OUT_BYTES
        around.turn += 1
        if self.events.waiting:
            self.events.publish()
        if self._labours:
            self._work_off()
        # Taken off one by one: whatever goes wrong in one queue, the others keep their turn.
        awake = around.awake
        while awake and around.spare > 0 and around.spare_bytes > 0:
            around.spare -= LOOK_COST
            awake.popleft().dispatch()
        if tired := around.tired:
            around.tired = []
            # Who had nothing left of this turn comes first in the next one.
            for queue in (*tired[1:], tired[0]):
                queue.wake()
        self.journal.progress_skipped()
        return bool(awake or self._labours)

    def work_off(self, labour: Labour) -> None:
        """Do in the next turns what is too much for this one."""
        self._labours.append(labour)

    def _work_off(self) -> None:
        labour = self._labours.popleft()
        if not labour.run():
            self._labours.append(labour)

    def _hurry(self) -> None:
        self.around.spare = HURRY
        for _ in range(len(self._labours)):
            self._work_off()

    def tick(self, now_ms: int) -> None:
        """Time passed: what is due is done."""
        self.time_is(now_ms)
        self.timers.tick(now_ms)

    def time_is(self, now_ms: int) -> None:
        """What happens from now on happens at this time; what is due waits for the tick."""
        self.around.now_ms = self.events.now_ms = now_ms

    def resources(self, alarms: Alarms) -> None:
        """The machine's state changed; publishers hear of it."""
        if alarms != self.alarms:
            before, self.alarms = self.alarms, alarms
            if self.events.on:
                self._tell_of_alarms(before, alarms)
            for call in list(self._on_alarm):
                call(alarms.reason)

    def _tell_of_alarms(self, before: Alarms, after: Alarms) -> None:
        for source in ("memory", "disk"):
            was, is_on = getattr(before, source), getattr(after, source)
            if was != is_on:
                self.events.alarm("set" if is_on else "cleared", source)

    def watch_alarms(self, call: Callable[[str], None]) -> None:
        """`call(reason)` whenever the alarms change, until `unwatch_alarms`."""
        self._on_alarm[call] = None

    def unwatch_alarms(self, call: Callable[[str], None]) -> None:
        """The client is gone."""
        self._on_alarm.pop(call, None)

    def last_marks(self) -> list[Mark]:
        """What was really handed out, for a clean stop: nobody gets a message after it."""
        return [
            Mark(lane.id, lane.handed, lane)
            for vhost in self.vhosts.values()
            for queue in vhost.queues.values()
            if queue.durable
            for lane in queue.lanes
        ]

    # -- what queues ask for -------------------------------------------------------------

    def _bury(self, queue: Queue, dead: Sequence[tuple[Lane, Stretch]], reason: str) -> None:
        self.vhosts[queue.vhost].publishing.bury(queue, dead, reason)

    def _drop(self, queue: Queue, reason: str, messages: int) -> None:
        self.vhosts[queue.vhost].publishing.drop(reason, messages, queue)

    def _resume(self, queue: Queue) -> None:
        command = resuming(queue)
        if queue.durable:
            self.change(command)
        else:
            self.apply(command)

    def _unused(self, queue: Queue) -> None:
        vhost = self.vhosts.get(queue.vhost)
        if vhost is not None:
            vhost.unused(queue)
