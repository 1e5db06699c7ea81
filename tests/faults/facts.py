"""A history, sorted by message: what is known of each, and what may have become of it.

Queues that dead letter to each other are a family. What became of one message in one family
is a story: it is in exactly one of these queues at a time, and a generation older with each
death. A crash may undo what happened shortly before it; a clean stop undoes nothing that the
broker was known to have taken in.
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.faults.events import (
    Committed,
    Confirmed,
    Crashed,
    Delivered,
    Drained,
    Event,
    Kind,
    Known,
    Linked,
    Missing,
    Publish,
    Removed,
    Settled,
    Stopped,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MS: Final = 1_000_000
#: What was decided so long before a message was published is on disk before that message is.
GROUP_NS: Final = 100 * MS
#: A publish whose time to live is changed by others while it waits.
ANY_TTL: Final = -1
#: RabbitMQ's levels of quorum queues, and that of messages without a priority.
QUORUM_LEVELS: Final = 32
QUORUM_DEFAULT: Final = 4


@dataclass(slots=True)
class Story:
    """What became of one message in one family; `entry` is the queue it was published to."""

    id: str
    entry: str = ""
    publish: Publish | None = None
    ttl_ms: int = 0
    deliveries: list[Delivered] = field(default_factory=list)
    settles: list[Settled] = field(default_factory=list)

    @property
    def is_left(self) -> bool:
        """It was there when all was over."""
        return any(each.drain == 1 for each in self.deliveries)


class Synced:
    """Proofs that the disk was synced: a publish, and its confirm."""

    def __init__(self, proofs: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(proofs)
        self._published = [published for published, _ in ordered]
        #: The earliest confirm of those that were published no earlier.
        self._confirmed = [confirmed for _, confirmed in ordered]
        for index in range(len(ordered) - 2, -1, -1):
            self._confirmed[index] = min(self._confirmed[index : index + 2])

    def between(self, begin: int, end: int) -> bool:
        """Whether all that had been decided at `begin` was on disk at `end`."""
        index = bisect.bisect_left(self._published, begin)
        return index < len(self._published) and self._confirmed[index] < end


class Facts:
    """All events, indexed. `wrong_verdicts` are those that were for nothing."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.kinds: dict[str, Kind] = {}
        self.links: dict[str, list[Linked]] = defaultdict(list)
        self.publishes: dict[str, Publish] = {}
        self.stories: dict[tuple[str, str], Story] = {}
        self.outcomes: dict[str, str] = {}
        #: Ends of the broker's lives, and whether each was a crash.
        self.ends: list[int] = []
        self.crashed: list[bool] = []
        self.drained: dict[tuple[str, int], Drained] = {}
        self.removed: Counter[str] = Counter()
        self.missing: list[str] = []
        self.in_order: list[Delivered] = []
        self.confirmed: set[str] = set()
        self.refused: set[str] = set()
        self.wrong_verdicts: list[str] = []
        self._open: dict[str, dict[int, str]] = defaultdict(dict)
        self._confirmed_at: dict[str, int] = {}
        self._known: dict[str, list[int]] = defaultdict(list)
        self._family: dict[str, str] = {}
        for event in sorted(events, key=lambda each: each.at):
            self._add(event)
        self.confirmed |= {
            each.id for each in self.publishes.values() if self.outcomes.get(each.tx) == "ok"
        }
        self._synced = Synced(self._syncs())

    def _add(self, event: Event) -> None:
        match event:
            case Publish():
                self._add_publish(event)
            case Confirmed():
                self._add_verdict(event)
            case Delivered():
                self.in_order.append(event)
                self.story(event.queue, event.id).deliveries.append(event)
            case Settled():
                self.story(event.queue, event.id).settles.append(event)
            case Known():
                self._known[event.by].append(event.at)
            case Crashed() | Stopped():
                self.ends.append(event.at)
                self.crashed.append(isinstance(event, Crashed))
            case _:
                self._add_frame(event)

    def _add_frame(self, event: Event) -> None:
        """What is around the messages."""
        match event:
            case Kind():
                self.kinds[event.queue] = event
            case Linked():
                self.links[event.source].append(event)
                self._join(event.source, event.target)
            case Committed():
                self.outcomes[event.tx] = event.outcome
            case Drained():
                self.drained[event.queue, event.round] = event
            case Removed():
                self.removed[event.rule] = event.count
            case Missing():
                self.missing.append(event.what)

    def _add_publish(self, event: Publish) -> None:
        self.publishes[event.id] = event
        self._open[event.channel][event.seq] = event.id
        ttls_ms = event.ttls_ms or (0,) * len(event.queues)
        for queue, ttl_ms in zip(event.queues, ttls_ms, strict=True):
            story = self.story(queue, event.id)
            story.entry, story.publish, story.ttl_ms = queue, event, ttl_ms

    def _add_verdict(self, event: Confirmed) -> None:
        still_open = self._open[event.channel]
        if event.multiple:
            closed = [seq for seq in still_open if seq <= event.seq]
        else:
            closed = [event.seq] if event.seq in still_open else []
        if not closed:
            self.wrong_verdicts.append(
                f"{event.channel}: verdict {event.seq} is for no open publish"
            )
        target = self.confirmed if event.acked else self.refused
        for seq in closed:
            name = still_open.pop(seq)
            target.add(name)
            self._confirmed_at[name] = event.at

    # -- families

    def _join(self, source: str, target: str) -> None:
        """Links come before all that happens in their queues."""
        old, new = self.family(target), self.family(source)
        members = [each for each, name in self._family.items() if name == old]
        for queue in (source, target, *members):
            self._family[queue] = new

    def family(self, queue: str) -> str:
        """The name of the family that a queue is in."""
        return self._family.get(queue, queue)

    def story(self, queue: str, name: str) -> Story:
        """What became of a message in this queue and those it dead letters to."""
        key = (self.family(queue), name)
        story = self.stories.get(key)
        if story is None:
            story = self.stories[key] = Story(name)
        return story

    def stories_of(self, each: Publish) -> Iterator[Story]:
        """One for each family that it was published to."""
        return (self.story(queue, each.id) for queue in each.queues)

    def reached(self, entry: str, deaths: int) -> set[str]:
        """Where a message can be after so many deaths."""
        places = {entry}
        for _ in range(deaths):
            places = {link.target for place in places for link in self.links[place]}
        return places

    def goes_on(self, queue: str, reason: str) -> bool:
        """Whether what dies there for this reason is dead lettered."""
        return any(reason in link.reasons for link in self.links[queue])

    # -- lives

    def life(self, at: int) -> int:
        """How many lives of the broker had ended."""
        return bisect.bisect(self.ends, at)

    def undone(self, done: int, again: int, by: str = "") -> bool:
        """Whether the end of a life in between excuses that something did not last.

        `by` is the client that asked for it; without one it was the broker's own decision. A
        stop excuses what the broker may not have read any more, a crash also what may not
        have been on disk.
        """
        index = bisect.bisect_left(self.ends, done)
        if index == len(self.ends) or self.ends[index] > again:
            return False
        end = self.ends[index]
        taken_in = self._taken_in(done, by)
        if taken_in is None or taken_in > end:
            return True
        return self.crashed[index] and not self._synced.between(taken_in + GROUP_NS, end)

    def _taken_in(self, done: int, by: str) -> int | None:
        """When it is certain that the broker had heard of it."""
        if not by:
            return done
        known = self._known[by]
        first = bisect.bisect_left(known, done)
        return known[first] if first < len(known) else None

    def _syncs(self) -> Iterator[tuple[int, int]]:
        """Publishes whose confirms prove that the disk was synced: when, and when confirmed."""
        for name, confirmed in self._confirmed_at.items():
            each = self.publishes[name]
            # What all its queues had delivered already need not have been written at all.
            if each.durable and name not in self.refused and self._waited(each, confirmed):
                yield each.at, confirmed

    def _waited(self, each: Publish, until: int) -> bool:
        return any(
            not story.deliveries or story.deliveries[0].at > until
            for story in self.stories_of(each)
        )

    def seen_later(self, story: Story) -> bool:
        """Whether the message came out in a later life than it went in."""
        assert story.publish is not None
        born = self.life(story.publish.at)
        return any(self.life(each.at) > born for each in story.deliveries)

    # -- settles

    def is_final(self, settle: Settled) -> bool:
        """Whether this takes the message out of its family, if it takes effect."""
        if settle.verb == "reject":
            return not self.goes_on(settle.queue, "rejected")
        return settle.verb == "ack"

    def is_effective(self, settle: Settled) -> bool:
        """Whether this certainly took the message out of its queue."""
        committed = not settle.tx or self.outcomes.get(settle.tx) == "ok"
        return settle.verb != "requeue" and committed

    def may_be_gone(self, story: Story) -> bool:
        """Whether a client may have taken it for good."""
        return any(
            self.is_final(settle) and self.outcomes.get(settle.tx) != "rolled back"
            for settle in story.settles
        )

    def again(self, story: Story, settle: Settled) -> Iterator[Delivered]:
        """Deliveries after it was settled, that a settle which lasts leaves no room for."""
        final = self.is_final(settle)
        for each in story.deliveries:
            if each.at > settle.at and (final or each.deaths <= settle.deaths):
                yield each

    # -- rules that take messages away

    def may_vanish(self, story: Story) -> bool:
        """Whether a rule may have removed it for good."""
        return self._may_expire(story) or any(
            self._is_over_full(queue) for queue in self._around(story.entry)
        )

    def is_volatile(self, story: Story) -> bool:
        """Whether a rule may ever remove it for good, or have kept it out."""
        queue = story.entry
        kind = self.kinds.get(queue)
        if kind is not None and kind.refuses and story.id not in self.confirmed:
            return True
        if story.ttl_ms and not self.goes_on(queue, "expired"):
            return True
        return any(self._drops(one) for one in self._around(queue))

    def _around(self, entry: str) -> list[str]:
        family = self._family.get(entry)
        if family is None:
            return [entry]
        return [queue for queue, name in self._family.items() if name == family]

    def _may_expire(self, story: Story) -> bool:
        if not story.ttl_ms or self.goes_on(story.entry, "expired"):
            return False
        assert story.publish is not None
        drained = self.drained.get((story.entry, 1))
        over = drained is None or drained.at >= story.publish.at + story.ttl_ms * MS
        return story.ttl_ms == ANY_TTL or over

    def _drops(self, queue: str) -> bool:
        """Makes room by letting messages go for good."""
        kind = self.kinds.get(queue)
        if kind is None or kind.loose:
            return kind is not None
        return kind.limit > 0 and not kind.refuses and not self.goes_on(queue, "maxlen")

    def _is_over_full(self, queue: str) -> bool:
        """Drops messages, and is as full as it may be: so it did."""
        if not self._drops(queue):
            return False
        drained = self.drained.get((queue, 1))
        return drained is None or drained.count >= self.kinds[queue].limit

    def level(self, queue: str, priority: int) -> int:
        """The level of a message in a queue with priorities."""
        kind = self.kinds.get(queue)
        if kind is None:
            return 0
        none = QUORUM_DEFAULT if kind.levels == QUORUM_LEVELS else 0
        return none if priority < 0 else min(priority, kind.levels - 1)
