"""Gathering: publishes and acks of one read, brought together before anyone acts on them.

A `Route` is what the session has found out about one distinct basic.publish frame. Routes
that lead to the same queues share a `Group`, in which the contents of one read collect; the
session gets them in one call. `Slot` keeps the order of each queue: only one group at a time
may hold messages for it.

Used by both codecs. Compiled together with `codec`; plain Python otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from amqpd.amqp.classify import (
    CLOSER_LOOK,
    EXPIRATION,
    PERSISTENT,
    PLACE_BITS,
    PRIORITY,
    PRIORITY_BITS,
    number,
)

if TYPE_CHECKING:
    from mypy_extensions import i64

    from amqpd.amqp.assembly import Events

#: Routes remembered for one connection; keys may be chosen by the client without end.
MAX_ROUTES: Final = 20_000
#: A message without expiration, or without priority.
NONE: Final[i64] = -1
#: Where the flags of the properties are in a content.
FLAGS_AT: Final[i64] = 19


class ChannelCount:
    """How many messages a channel has published: what its confirms count.

    `touched` says that the channel stands in `Gathering.touched_channels`; whoever empties
    that list sets it back.
    """

    def __init__(self, number: int) -> None:
        self.number: i64 = number
        self.published: i64 = 0
        self.touched = False


class Slot:
    """One queue as seen by one channel: which group holds messages for it."""

    def __init__(self) -> None:
        self.pending: Group | None = None


class Group:
    """Messages of one channel for one set of queues.

    `target` and `slots` are the session's. `names` is that of the first message;
    `names_each` exists only if another message has other names. The lists are handed over
    with `Events.publish` and never touched again. `numbers`, where they are wanted, says of
    each message the how manieth of its channel it is.

    All have the same expiration, -1 for none, or `expirations` has them one by one. A group is
    for one priority (-1: for whatever does not matter); `levels` are those for others, by
    priority, once there were any, and `family` is the group that has them. What these have at the
    end of a read is handed over with one of them: `parts` says of each priority, the highest
    first, from where to where its messages are. Those that are `apart` have no family: what comes
    first decides what is dropped or refused.
    """

    def __init__(
        self,
        channel: ChannelCount,
        target: object,
        slots: list[Slot],
        numbered: bool = False,
        priority: int = -1,
    ) -> None:
        self.channel = channel
        self.target = target
        self.slots = slots
        self.contents: list[bytes] = []
        self.names = b""
        self.names_each: list[bytes] | None = None
        self.persistent = False
        self.expiration_ms: i64 = NONE
        self.expirations: list[int] | None = None
        self.priority: i64 = priority
        self.levels: list[Group | None] = []
        self.family: Group | None = None
        self.apart = False
        self.parts: list[tuple[int, int, int]] | None = None
        self.size_bytes: i64 = 0
        self.numbers: list[int] | None = [] if numbered else None
        self.gathering = False

    def reset(self) -> None:
        """Forget the messages, after someone else has taken the lists."""
        self.gathering = False
        for slot in self.slots:
            slot.pending = None
        self.contents = []
        self.names_each = None
        self.expirations = None
        self.parts = None
        self.size_bytes = 0
        if self.numbers is not None:
            self.numbers = []

    def absorb(self, other: Group) -> None:
        """Take the messages of another group behind one's own."""
        count: i64 = len(self.contents)
        more: i64 = len(other.contents)
        if (
            self.expirations is not None
            or other.expirations is not None
            or self.expiration_ms != other.expiration_ms
        ):
            if self.expirations is None:
                self.expirations = [self.expiration_ms] * count
            times = other.expirations
            self.expirations.extend([other.expiration_ms] * more if times is None else times)
        if self.names_each is not None or other.names_each is not None or self.names != other.names:
            if self.names_each is None:
                self.names_each = [self.names] * count
            each = other.names_each
            self.names_each.extend([other.names] * more if each is None else each)
        if self.numbers is not None and other.numbers is not None:
            self.numbers.extend(other.numbers)
        self.contents.extend(other.contents)
        self.size_bytes += other.size_bytes


class Route:
    """Where the messages of one distinct basic.publish frame go; `target` is the session's.

    Without a group every message is given to `Events.special` by itself.
    """

    def __init__(
        self,
        names: bytes,
        group: Group | None,
        channel: ChannelCount,
        wants_priority: bool = False,
        target: object = None,
    ) -> None:
        self.names = names
        self.group = group
        self.channel = channel
        self.wants_priority = wants_priority
        self.target = target


class Gathering:
    """What one parser has gathered and not yet handed over, and the routes it knows."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self.routes: dict[bytes, Route] = {}
        self.touched_channels: list[ChannelCount] = []
        self.pending: list[Group] = []
        #: The group that got the last message; none if the session got it by itself.
        self.last: Group | None = None
        self.ack_channel: i64 = -1
        self.ack_first: i64 = 0
        self.ack_last: i64 = 0

    def resolve(self, method_frame: bytes, channel: i64) -> Route | None:
        """Ask the session for a route that is not known, and remember it."""
        route = self.events.resolve(method_frame, channel)
        if route is not None:
            if len(self.routes) >= MAX_ROUTES:
                self.routes.clear()
            self.routes[method_frame] = route
        return route

    def take(self, route: Route, content: bytes, found: i64) -> None:
        """Gather a message, or give it to the session by itself."""  # hot: tests/bench/codec.py
        group = route.group
        if group is None or found & CLOSER_LOOK != 0:
            self.special(route, content)
            return
        expiration_ms: i64 = NONE
        if found > PERSISTENT:
            if found & PRIORITY != 0 and route.wants_priority:
                group = self.level(group, found >> PRIORITY_BITS & 0xFF)
            if found & EXPIRATION != 0:
                expiration_ms = number(content, FLAGS_AT + (found >> PLACE_BITS))
        self.last = group
        persistent = found & PERSISTENT != 0
        if not group.gathering or group.persistent != persistent:
            self.begin(group, route.names, persistent, expiration_ms)
        else:
            self.join(group, route, expiration_ms)
        group.contents.append(content)
        group.size_bytes += len(content)
        channel = route.channel
        channel.published += 1
        if group.numbers is not None:
            group.numbers.append(channel.published)
        if not channel.touched:
            self.touch(channel)

    def join(self, group: Group, route: Route, expiration_ms: i64) -> None:
        """Note what is different with a message that is not the first of its group."""
        if group.expirations is not None:
            group.expirations.append(expiration_ms)
        elif group.expiration_ms != expiration_ms:
            group.expirations = [group.expiration_ms] * len(group.contents)
            group.expirations.append(expiration_ms)
        if group.names_each is not None:
            group.names_each.append(route.names)
        elif route.names is not group.names and route.names != group.names:
            group.names_each = [group.names] * len(group.contents)
            group.names_each.append(route.names)

    def level(self, group: Group, priority: i64) -> Group:
        """The group of the same messages with a priority."""
        levels = group.levels
        if not levels:
            levels = group.levels = [None] * 256
        found = levels[priority]
        if found is None:
            found = levels[priority] = self.events.level(group, priority)
            if not group.apart:
                found.family = group.family = group
        return found

    def begin(self, group: Group, names: bytes, persistent: bool, expiration_ms: i64) -> None:
        """Start to gather for a group; what its queues must get before that goes first."""
        if group.gathering:
            self.hand_over(group)
        for slot in group.slots:
            other = slot.pending
            if other is not None:
                self.hand_over(other)
        for slot in group.slots:
            slot.pending = group
        group.gathering = True
        group.names = names
        group.persistent = persistent
        group.expiration_ms = expiration_ms
        self.pending.append(group)

    def special(self, route: Route, content: bytes) -> None:
        """Give a message to the session by itself, after those that came before it."""
        self.last = None
        self.flush()
        route.channel.published += 1
        if not route.channel.touched:
            self.touch(route.channel)
        self.events.special(route, content)

    def touch(self, channel: ChannelCount) -> None:
        """Note that the channel has published."""
        channel.touched = True
        self.touched_channels.append(channel)

    def ack(self, channel: i64, tag: i64, multiple: bool) -> None:
        """Gather an ack; single ones in order become a range."""
        if not multiple:
            if channel == self.ack_channel and tag == self.ack_last + 1:
                self.ack_last = tag
                return
            if self.ack_channel >= 0:
                self.flush()
            self.ack_channel = channel
            self.ack_first = tag
            self.ack_last = tag
            return
        self.flush()
        self.events.ack(channel, 0, tag, True)

    def hand_over(self, group: Group) -> None:
        """Give a group's messages to the session."""
        try:
            self.events.publish(group)
        finally:
            group.reset()

    def hand_over_family(self, group: Group, pending: list[Group]) -> None:
        """Give the session the messages of a group and of its family, of all levels together."""
        # One that was handed over and began anew stands there twice.
        found: dict[Group, None] = {}
        for one in pending:
            if one.gathering and one.family is group.family and one.persistent == group.persistent:
                found[one] = None
        members = list(found)
        if len(members) == 1:
            self.hand_over(group)
            return
        members.sort(key=importance)
        first = members[0]
        parts: list[tuple[int, int, int]] = []
        try:
            for one in members:
                low: i64 = 0
                if one is not first:
                    low = len(first.contents)
                    first.absorb(one)
                parts.append((one.priority, low, len(first.contents)))
            first.parts = parts
            self.events.publish(first)
        finally:
            for one in members:
                one.reset()

    def flush(self) -> None:
        """Hand over everything: messages first, then the acks that came among them.

        A client that publishes a result and then acks its input must not lose the result
        to a crash in between; the other order does no harm.
        """
        if self.pending:
            groups = self.pending
            self.pending = []
            for group in groups:
                if group.gathering:
                    if group.family is None:
                        self.hand_over(group)
                    else:
                        self.hand_over_family(group, groups)
        if self.ack_channel >= 0:
            channel = self.ack_channel
            self.ack_channel = -1
            self.events.ack(channel, self.ack_first, self.ack_last, False)


def importance(group: Group) -> int:
    """To sort by: the highest priority first."""
    return -group.priority
