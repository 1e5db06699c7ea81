"""The promises every message is given: not lost, not doubled, not altered, in order.

Each check yields the name of a broken promise and the case; `history.py` lists them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.events import Publish, Settled
    from tests.faults.facts import Facts, Story

Violation = tuple[str, str]


def judge(facts: Facts) -> Iterator[Violation]:
    """All of them."""
    for case in facts.wrong_verdicts:
        yield "I9", case
    for what in facts.missing:
        yield "I12", f"{what} is missing"
    yield from _lost(facts)
    for story in facts.stories.values():
        yield from _unexpected(facts, story)
        yield from _copies(facts, story)
        yield from _came_back(facts, story)
    yield from _together(facts)
    yield from _order(facts)
    yield from _holes(facts)
    yield from _transactions(facts)
    yield from _not_empty(facts)


def _lost(facts: Facts) -> Iterator[Violation]:
    for name in facts.confirmed:
        each = facts.publishes[name]
        for story in facts.stories_of(each) if each.durable else ():
            if not (story.is_left or facts.may_be_gone(story) or facts.may_vanish(story)):
                yield "I1", f"{name} confirmed, lost from {story.entry}"


def _unexpected(facts: Facts, story: Story) -> Iterator[Violation]:
    each = story.publish
    if each is None:
        seen = {one.queue for one in story.deliveries} | {one.queue for one in story.settles}
        yield "I2", f"{story.id} was never published to {', '.join(sorted(seen))}"
    elif story.deliveries and facts.outcomes.get(each.tx) == "rolled back":
        yield "I2", f"{story.id} was rolled back, yet is in {story.entry}"


def _copies(facts: Facts, story: Story) -> Iterator[Violation]:
    fresh: dict[tuple[str, int], int] = {}
    for each in story.deliveries:
        if not each.intact:
            yield "I8", f"{story.id} from {each.queue} is damaged"
        if each.redelivered:
            continue
        key = (each.queue, each.deaths)
        # A dead letter that was lost in a crash with the death itself is made anew.
        anew = each.deaths and facts.undone(fresh.get(key, each.at), each.at)
        if key in fresh and not anew:
            yield "I3", f"{story.id} came twice from {each.queue} with redelivered false"
        fresh.setdefault(key, each.at)
    drained = [each for each in story.deliveries if each.drain]
    if len(drained) > 1:
        where = ", ".join(sorted({each.queue for each in drained}))
        name = "I3" if len({each.queue for each in drained}) == 1 else "D1"
        yield name, f"{story.id} is more than once in the drain of {where}"


def _came_back(facts: Facts, story: Story) -> Iterator[Violation]:
    for settle in story.settles:
        if not facts.is_effective(settle):
            continue
        for each in facts.again(story, settle):
            if not facts.undone(settle.at, each.at, settle.by):
                name = "I4" if each.queue == settle.queue else "D1"
                yield name, f"{story.id} was settled in {settle.queue}, again from {each.queue}"
                return


def _together(facts: Facts) -> Iterator[Violation]:
    for each in facts.publishes.values():
        if not each.durable or len(each.queues) < 2:
            continue
        stories = list(facts.stories_of(each))
        if any(facts.seen_later(story) for story in stories):
            absent = [story for story in stories if not story.deliveries]
            if not all(map(facts.is_volatile, absent)):
                where = ", ".join(story.entry for story in absent)
                yield "I6", f"{each.id} survived, but not in {where}"


def _order(facts: Facts) -> Iterator[Violation]:
    last_first: dict[tuple[str | int, ...], int] = {}
    last_drained: dict[tuple[str | int, ...], int] = {}
    for delivery in facts.in_order:
        each = facts.publishes.get(delivery.id)
        if each is None or delivery.deaths:
            continue  # Dead letters are in the order of their deaths.
        level = facts.level(delivery.queue, each.priority)
        key = (delivery.queue, each.channel, delivery.consumer, level)
        if not delivery.redelivered:
            if each.seq < last_first.get(key, 0):
                yield "I7", f"{delivery.id} came out of order from {delivery.queue}"
            last_first[key] = each.seq
        if delivery.drain:
            if each.seq < last_drained.get(key, 0):
                yield "I7", f"{delivery.id} is out of place in {delivery.queue}"
            last_drained[key] = each.seq


def _holes(facts: Facts) -> Iterator[Violation]:
    by_channel: dict[tuple[str, str], list[Story]] = defaultdict(list)
    for each in facts.publishes.values():
        rolled_back = facts.outcomes.get(each.tx) == "rolled back"
        if each.durable and not rolled_back and each.id not in facts.refused:
            for story in facts.stories_of(each):
                if not facts.is_volatile(story):
                    by_channel[each.channel, story.entry].append(story)
    for (channel, queue), stories in by_channel.items():
        hole = ""
        for story in stories:
            if not story.deliveries:
                hole = hole or story.id
            elif hole and facts.seen_later(story):
                yield "I7", f"{queue}: {hole} of {channel} is missing before {story.id}"
                break


def _not_empty(facts: Facts) -> Iterator[Violation]:
    queues = {queue for each in facts.publishes.values() for queue in each.queues}
    queues.update(link.target for links in facts.links.values() for link in links)
    for queue in sorted(queues):
        drained = facts.drained.get((queue, 2))
        if drained is None or drained.count:
            yield "I11", f"{queue} did not drain to empty"


# -- transactions


def _transactions(facts: Facts) -> Iterator[Violation]:
    publishes: dict[str, list[Publish]] = defaultdict(list)
    settles: dict[str, list[Settled]] = defaultdict(list)
    for each in facts.publishes.values():
        if each.tx:
            publishes[each.tx].append(each)
    for story in facts.stories.values():
        for settle in story.settles:
            if settle.tx and settle.verb != "requeue" and _must_last(facts, settle.id):
                settles[settle.tx].append(settle)
    for tx in publishes.keys() | settles.keys():
        if facts.outcomes.get(tx) == "rolled back":
            continue  # Its publishes are I2; what it settled is settled again, maybe otherwise.
        yield from _transaction(facts, tx, publishes[tx], settles[tx])


def _must_last(facts: Facts, name: str) -> bool:
    """Whether only a client can make the message go: else a crash may have taken it."""
    each = facts.publishes.get(name)
    return each is not None and each.durable and name in facts.confirmed


def _transaction(
    facts: Facts, tx: str, publishes: list[Publish], settles: list[Settled]
) -> Iterator[Violation]:
    durable = [each for each in publishes if each.durable]
    there = [bool(story.deliveries) for each in durable for story in facts.stories_of(each)]
    after = any(facts.seen_later(story) for each in publishes for story in facts.stories_of(each))
    if after and not all(there):
        yield "T1", f"{tx}: some of its publishes survived, others not"
    undone = [settle for settle in settles if _is_undone(facts, settle)]
    if undone and (after or len(undone) < len(settles)):
        yield "T1", f"{tx}: took effect, yet {undone[0].id} came again"
    if facts.outcomes.get(tx) is None and there and not any(there):
        for settle in settles:
            if not _is_undone(facts, settle):
                yield "T1", f"{tx}: left nothing, yet {settle.id} is settled"


def _is_undone(facts: Facts, settle: Settled) -> bool:
    """Whether the message came again after it was settled."""
    story = facts.story(settle.queue, settle.id)
    return any(True for _ in facts.again(story, settle))
