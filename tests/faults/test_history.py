"""The history checker accepts what an honest broker does and catches each broken promise."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.faults import events, history
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
from tests.faults.simulation import Fault, Simulation

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = range(20)
SECOND = 1_000_000_000

#: Which checks may find which fault; one is enough.
FOUND_BY = {
    Fault.CONFIRM_BEFORE_SYNC: {"I1"},
    Fault.DROP_ON_REQUEUE: {"I1"},
    Fault.REQUEUE_AT_TAIL: {"I7"},
    Fault.FORGET_A_TARGET: {"I1", "I6"},
    Fault.FRESH_AFTER_CRASH: {"I3"},
    Fault.CONFIRM_TWICE: {"I9"},
    Fault.ACKED_COMES_BACK: {"I4"},
    Fault.SWAP_IN_BATCH: {"I7"},
    Fault.HALF_A_TRANSACTION: {"T1"},
    Fault.ROLLED_BACK_IS_KEPT: {"I2"},
    Fault.DAMAGED_BODY: {"I8"},
    Fault.HOLE_AFTER_CRASH: {"I1", "I7"},
    Fault.DELIVER_TWICE: {"I3"},
    Fault.LOST_DEFINITION: {"I12"},
    Fault.DEAD_LETTER_COPIED: {"D1", "I4"},
    Fault.DEAD_LETTER_LOST: {"I1"},
}


def simulated(fault: Fault, seed: int) -> history.Report:
    """The checker's report on one run of a broker with this fault."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    return history.check(Simulation(chance, fault).run(400))


def judged(*events: Event) -> set[str]:
    """The invariants that these events violate, when queue q drains to empty at the end."""
    drained = [Drained(90 * SECOND, "q", 1, 0), Drained(91 * SECOND, "q", 2, 0)]
    return set(history.check([*events, *drained]).violations)


def published(seq: int = 1, at: int = 1, **changed: object) -> Publish:
    """A durable publish to q, by default the first of its channel."""
    return Publish(at, f"m{seq}", "c", seq, ("q",), **changed)  # type: ignore[arg-type]


def test_an_honest_broker_is_found_honest() -> None:
    reports = [simulated(Fault.NONE, seed) for seed in range(60)]

    assert [report.text() for report in reports if not report.clean] == []
    assert sum(report.crashes for report in reports) > 60
    assert sum(report.acknowledged for report in reports) > 1000


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE])
def test_every_broken_promise_is_caught(fault: Fault) -> None:
    assert any(FOUND_BY[fault] & set(simulated(fault, seed).violations) for seed in SEEDS)


def test_a_confirmed_message_that_never_comes_out_is_lost() -> None:
    assert judged(published(), Confirmed(2, "c", 1, multiple=False)) == {"I1"}


def test_what_rules_remove_is_counted() -> None:
    def story(*more: Event) -> set[str]:
        confirmed = Confirmed(2, "c", 2, multiple=True)
        expired, rejected = published(1, ttls_ms=(10,)), Settled(5, "m2", "q", "reject")
        return judged(expired, published(2), confirmed, rejected, *more)

    counted = Removed(8, "expired", 1)

    assert story(counted, Removed(9, "rejected", 1)) == set()
    assert story(counted) == {"I10"}
    assert story(Removed(8, "expired", 2), Removed(9, "rejected", 1)) == {"I10"}
    assert story(Crashed(3), counted) == set(), "a broker that was killed has forgotten"


def test_an_unconfirmed_message_may_be_there_or_not() -> None:
    there = Delivered(3 * SECOND, "m1", "q", "d", redelivered=False, drain=1)

    assert judged(published(), Crashed(SECOND)) == set()
    assert judged(published(), Crashed(SECOND), there) == set()


def test_a_crash_excuses_an_acked_message_that_comes_again_if_the_ack_was_not_on_disk() -> None:
    def story(*more: Publish | Confirmed) -> set[str]:
        return judged(
            published(),
            Delivered(2, "m1", "q", "a", redelivered=False),
            Settled(SECOND, "m1", "q", "ack"),
            *more,
            Crashed(3 * SECOND),
            Delivered(30 * SECOND, "m1", "q", "d", redelivered=True, drain=1),
        )

    def other(at: int, *, durable: bool = True) -> tuple[Publish, Confirmed]:
        publish = Publish(at, "m2", "c2", 1, ("other",), durable=durable)
        return publish, Confirmed(at + 1, "c2", 1, multiple=False)

    # Nothing was confirmed meanwhile: the disk hung, and the ack waited for it.
    assert story() == set()
    assert story(*other(SECOND + 1)) - {"I1", "I11"} == set()
    assert story(*other(2 * SECOND)) - {"I1", "I11"} == {"I4"}
    # What need not survive is confirmed without the disk.
    assert story(*other(2 * SECOND, durable=False)) - {"I11"} == set()


def test_a_verdict_for_nothing_is_caught() -> None:
    assert judged(Confirmed(2, "c", 1, multiple=True)) == {"I9"}


def test_survivors_have_no_hole() -> None:
    survivor = Delivered(3 * SECOND, "m2", "q", "d", redelivered=False, drain=1)

    assert judged(published(1, 1), published(2, 2), Crashed(SECOND), survivor) == {"I7"}


def test_acks_of_a_transaction_that_left_nothing_must_be_undone() -> None:
    confirmed = Confirmed(2, "c", 1, multiple=False)
    events = (
        published(),
        Delivered(2, "m1", "q", "a", redelivered=False),
        Publish(3, "t1", "t", 1, ("q",), tx="x"),
        Settled(4, "m1", "q", "ack", tx="x"),
        Crashed(SECOND),
    )
    again = Delivered(3 * SECOND, "m1", "q", "d", redelivered=True, drain=1)

    assert judged(*events, confirmed) == {"T1"}
    assert judged(*events, confirmed, again) == set()
    assert judged(*events) == set()  # The message may have gone with the crash, too.


def test_a_committed_transaction_counts_as_confirmed() -> None:
    assert judged(published(tx="x"), Committed(2, "x", "ok")) == {"I1"}


def test_a_queue_that_was_not_drained_is_noticed() -> None:
    assert set(history.check([published()]).violations) == {"I11"}


def test_nothing_that_was_settled_comes_back_after_a_clean_stop() -> None:
    def story(*more: Event) -> set[str]:
        return judged(
            published(),
            Confirmed(2, "c", 1, multiple=False),
            Delivered(3, "m1", "q", "a", redelivered=False),
            Settled(4, "m1", "q", "ack", by="a"),
            *more,
            Stopped(SECOND),
            Delivered(2 * SECOND, "m1", "q", "d", redelivered=True, drain=1),
        )

    assert story(Known(5, "a")) == {"I4"}
    # The broker may not have read the ack.
    assert story() == set()
    assert story(Known(5, "b")) == set()


LINK = Linked(0, "q", "dead", ("rejected",))
NO_DEAD = (Drained(90 * SECOND, "dead", 1, 0), Drained(91 * SECOND, "dead", 2, 0))


def dead(at: int, *, deaths: int = 1, death: str = "rejected@q", drain: int = 1) -> Delivered:
    """The first message, from the dead letter queue."""
    return Delivered(at, "m1", "dead", "d", False, drain=drain, deaths=deaths, death=death)


def test_dead_letters_tell_why_they_died_and_how_often() -> None:
    rejected = (LINK, *NO_DEAD, published(), Settled(3, "m1", "q", "reject"))

    assert judged(*rejected, dead(4)) == set()
    assert judged(*rejected, dead(4, deaths=2)) == {"D1"}
    assert judged(*rejected, dead(4, death="expired@q")) >= {"D1", "E2"}
    assert judged(LINK, *NO_DEAD, published(), dead(4)) == {"D1"}


def test_a_dead_letter_is_not_in_its_old_queue_any_more() -> None:
    rejected = (LINK, *NO_DEAD, published(), Settled(3, "m1", "q", "reject"), dead(4))
    left = Delivered(5, "m1", "q", "d", redelivered=True, drain=1)

    assert judged(*rejected, left) >= {"D1", "I4"}


def test_a_dead_letter_may_go_back_only_with_a_crash() -> None:
    story = (LINK, *NO_DEAD, published(), Settled(3, "m1", "q", "reject"), dead(4, drain=0))
    again = Delivered(2 * SECOND, "m1", "q", "d", redelivered=True, drain=1)

    assert judged(*story, Crashed(5), again) == set()
    assert judged(*story, Stopped(5), again) >= {"D1"}


def test_a_dead_letter_that_is_nowhere_is_lost() -> None:
    confirmed = Confirmed(2, "c", 1, multiple=False)

    rejected = (LINK, *NO_DEAD, published(), confirmed, Settled(3, "m1", "q", "reject"))

    assert judged(*rejected) == {"I1"}


def test_messages_expire_at_their_time_neither_before_nor_long_after() -> None:
    def found(ttl_ms: int, *more: Event) -> set[str]:
        confirmed = Confirmed(2, "c", 1, multiple=False)
        return judged(published(ttls_ms=(ttl_ms,)), confirmed, *more)

    def out(at: int) -> Delivered:
        return Delivered(at, "m1", "q", "a", redelivered=False, drain=1)

    expiring = Linked(0, "q", "dead", ("expired",))

    assert found(10) == set()
    assert found(10, out(2 * SECOND)) == set()
    assert found(10, out(20 * SECOND)) == {"E1"}
    assert found(3_600_000) == {"I1"}, "the drain was long before its time"
    assert found(500, expiring, *NO_DEAD, dead(SECOND, death="expired@q")) == set()
    assert found(5_000, expiring, *NO_DEAD, dead(SECOND, death="expired@q")) == {"E2"}


def test_limits_priorities_and_refusals_are_held() -> None:
    def story(kind: Kind, *more: Event) -> set[str]:
        return judged(kind, published(1, 1, priority=1), published(2, 2, priority=2), *more)

    def out(seq: int) -> Delivered:
        return Delivered(10 + seq, f"m{seq}", "q", "d", redelivered=False, drain=1)

    levels, refusing = Kind(0, "q", levels=3), Kind(0, "q", limit=5, refuses=True)
    refused = Confirmed(5, "c", 2, multiple=False, acked=False)

    assert story(levels, out(1), out(2)) == {"P1"}
    assert story(Kind(0, "q"), out(1), out(2)) == set()
    assert story(refusing, refused) == set()
    assert story(refusing, refused, out(2)) == {"R1"}


def test_a_queue_is_not_longer_than_its_limit_and_drops_no_more_than_it_must() -> None:
    def story(limit: int, left: int) -> set[str]:
        drained = [Drained(90 * SECOND, "q", 1, left), Drained(91 * SECOND, "q", 2, 0)]
        confirmed = Confirmed(5, "c", 2, multiple=True)
        written: list[Event] = [
            Kind(0, "q", limit=limit),
            published(1),
            published(2),
            confirmed,
            *drained,
        ]
        return set(history.check(written).violations)

    assert story(2, 3) == {"L1"}
    assert story(2, 2) == set()
    assert story(2, 1) == {"I1"}


def test_what_comes_back_is_counted_and_waits() -> None:
    kind = Kind(0, "q", counts=True, delay_ms=400)
    start: list[Event] = [
        kind,
        Publish(1, "m1", "p", 1, ("q",)),
        Confirmed(2, "p", 1, multiple=False),
    ]

    def delivered(at: int, acquired: int, drain: int = 0, failed: int = 0) -> Delivered:
        return Delivered(at, "m1", "q", "a", at > 3, drain=drain, acquired=acquired, failed=failed)

    def judged(at: int, acquired: int, failed: int = 0) -> set[str]:
        seen: list[Event] = [
            *start,
            delivered(3, 0),
            Settled(4, "m1", "q", "requeue"),
            delivered(at, acquired, 1, failed),
            Drained(at + 1, "q", 1, 1),
            Drained(at + 2, "q", 2, 0),
        ]
        return set(history.check(seen).violations)

    assert judged(SECOND, 1) == set()
    assert judged(SECOND, 2) == set()
    assert judged(SECOND, 0) == {"N1"}
    assert judged(SECOND, 3) == {"N1"}
    assert judged(SECOND, 1, 2) == {"N1"}
    assert judged(SECOND // 10, 1) == {"N2"}


def test_events_survive_the_file(tmp_path: Path) -> None:
    written: list[Event] = [published(), Missing(2, "exchange 'x'"), Crashed(3)]
    file = tmp_path / "history.jsonl"
    file.write_text("\n".join(map(events.line, written)), encoding="utf-8")

    assert list(events.read(file)) == written
    assert history.main(str(file)) == 1
