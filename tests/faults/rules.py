"""The rules that move and remove messages: dead lettering, expiry, limits, priorities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.faults.facts import ANY_TTL, MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.events import Delivered
    from tests.faults.facts import Facts, Story
    from tests.faults.promises import Violation

#: So many messages at most come back from the consumer of a queue when it ends: its prefetch.
RETURNED: Final = 20
#: What lies between a client's publish and the broker's look at its clock, and between
#: handing out and writing down.
LATE_NS: Final = 5_000 * MS
#: How far a broker's clock may be off after a restart.
EARLY_NS: Final = 200 * MS


def judge_rules(facts: Facts) -> Iterator[Violation]:
    """All of them."""
    for story in facts.stories.values():
        if story.publish is not None:
            for delivery in story.deliveries:
                yield from _death(facts, story, delivery)
                yield from _time(story, story.publish.at, delivery)
            yield from _refusal(facts, story)
            yield from _way_back(facts, story)
            yield from _attempts(facts, story)
    yield from _lengths(facts)
    yield from _counts(facts)
    yield from _levels(facts)


def _death(facts: Facts, story: Story, found: Delivered) -> Iterator[Violation]:
    """It is where its deaths lead to, and the last one is told as it was."""
    if found.queue not in facts.reached(story.entry, found.deaths):
        yield "D1", f"{story.id} is in {found.queue} after {found.deaths} deaths"
        return
    if not found.deaths:
        return
    reason, _, source = found.death.partition("@")
    if not any(
        link.target == found.queue and reason in link.reasons for link in facts.links[source]
    ):
        yield "D1", f"{story.id} came to {found.queue} by {found.death}"
    elif reason == "rejected" and not _was_rejected(facts, story, found, source):
        yield "D1", f"{story.id} is in {found.queue} without having been rejected in {source}"


def _was_rejected(facts: Facts, story: Story, found: Delivered, source: str) -> bool:
    return any(
        settle.verb == "reject"
        and settle.queue == source
        and settle.at < found.at
        and settle.deaths == found.deaths - 1
        and facts.outcomes.get(settle.tx) != "rolled back"
        for settle in story.settles
    )


def _way_back(facts: Facts, story: Story) -> Iterator[Violation]:
    """Only a crash brings a message back to a queue that it has left."""
    oldest: Delivered | None = None
    for each in story.deliveries:
        if oldest is None or each.deaths >= oldest.deaths:
            if oldest is None or each.deaths > oldest.deaths:
                oldest = each
        elif facts.undone(oldest.at, each.at):
            oldest = each
        else:
            yield "D1", f"{story.id} is in {each.queue} again after {oldest.queue}"
            return


def _attempts(facts: Facts, story: Story) -> Iterator[Violation]:
    """Each way back is counted, none is made up, and what has to wait does.

    The end of a life may lose counts, and what a client had not read yet is counted, too.
    """
    before: list[Delivered] = []
    for found in story.deliveries:
        kind = facts.kinds.get(found.queue)
        if kind is None or not kind.counts:
            continue
        earlier = [one for one in before if one.queue == found.queue]
        before.append(found)
        most = len(earlier) + facts.life(found.at) + 1
        if not found.failed <= found.acquired <= most:
            told = f"{found.acquired} times, {found.failed} of which failed"
            yield "N1", f"{story.id} came to {found.queue} {told}, seen {len(earlier)} times before"
        if not earlier or facts.life(earlier[-1].at) != facts.life(found.at):
            continue
        if found.acquired <= earlier[-1].acquired:
            yield "N1", f"{story.id} came back to {found.queue} and was not counted"
        back = [
            settle.at
            for settle in story.settles
            if settle.verb == "requeue" and earlier[-1].at < settle.at < found.at
        ]
        if back and found.at < back[-1] + kind.delay_ms * MS - EARLY_NS:
            yield "N2", f"{story.id} came back to {found.queue} before its time"


def _time(story: Story, born: int, found: Delivered) -> Iterator[Violation]:
    ttl_ms = story.ttl_ms
    if ttl_ms == ANY_TTL:
        return
    due = born + ttl_ms * MS
    if ttl_ms and not found.deaths and found.at > due + LATE_NS:
        late_ms = (found.at - due) // MS
        yield "E1", f"{story.id} came from {found.queue} {late_ms} ms after its time"
    first = found.deaths == 1 and found.death == f"expired@{story.entry}"
    if first and (not ttl_ms or found.at < due - EARLY_NS):
        yield "E2", f"{story.id} expired in {story.entry} before its time"


def _refusal(facts: Facts, story: Story) -> Iterator[Violation]:
    kind = facts.kinds.get(story.entry)
    publish = story.publish
    assert publish is not None
    refused = story.id in facts.refused and kind is not None and kind.refuses
    if refused and len(publish.queues) == 1 and any(not one.deaths for one in story.deliveries):
        yield "R1", f"{story.id} was refused, yet is in {story.entry}"


def _lengths(facts: Facts) -> Iterator[Violation]:
    for queue, kind in facts.kinds.items():
        drained = facts.drained.get((queue, 1))
        # Only ready messages count: what consumers had and did not settle comes back on top of
        # them, and a queue that refuses drops nothing.
        most = kind.limit + RETURNED if kind.refuses else kind.limit
        if kind.limit and drained is not None and drained.count > most:
            yield "L1", f"{queue} held {drained.count}, its limit is {kind.limit}"


def _counts(facts: Facts) -> Iterator[Violation]:
    """What went by a rule in a life without an end is what the broker counted."""
    if facts.ends or not facts.removed:
        return
    gone = sum(_went_by_rule(facts, story) for story in facts.stories.values())
    counted = sum(facts.removed.values())
    if gone != counted:
        yield "I10", f"{gone} messages went by a rule, {counted} were counted"


def _went_by_rule(facts: Facts, story: Story) -> bool:
    each = story.publish
    if each is None or story.is_left or story.id in facts.refused:
        return False
    if facts.outcomes.get(each.tx) == "rolled back":
        return False
    last = [settle for settle in story.settles if facts.is_final(settle)]
    return all(settle.verb == "reject" for settle in last)


def _levels(facts: Facts) -> Iterator[Violation]:
    last: dict[str, int] = {}
    for delivery in facts.in_order:
        each = facts.publishes.get(delivery.id)
        if delivery.drain == 1 and each is not None:
            level = facts.level(delivery.queue, each.priority)
            if level > last.get(delivery.queue, level):
                yield "P1", f"{delivery.id} of level {level} drained late from {delivery.queue}"
            last[delivery.queue] = level
