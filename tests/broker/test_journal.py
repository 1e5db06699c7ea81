"""The journal: what a batch holds, when a number is safe, what stays together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker import journal as journal_module
from amqpd.broker.definitions import DeleteQueue, PutVhost
from amqpd.broker.journal import Journal, Purge, Track
from amqpd.broker.lane import Lane
from tests.broker.test_delivery import Owner, a_run

if TYPE_CHECKING:
    from amqpd.broker.journal import Batch
    from amqpd.broker.run import Run


def a_lane(journal: Journal) -> Lane:
    return Lane(Owner(), journal.log, 3, 0, True)


def append(journal: Journal, lane: Lane, run: Run) -> int:
    return int(journal.append(run, [(lane, lane.push(run, 0, True), 0)]).number)


def commit(journal: Journal) -> None:
    batch = journal.take()
    assert batch is not None
    journal.committed(batch)


def test_an_empty_journal_gives_no_batch() -> None:
    assert Journal().take() is None


def test_everything_up_to_the_batch_number_is_safe_after_its_commit() -> None:
    journal = Journal()
    lane = a_lane(journal)
    told: list[int] = []
    for body in (b"a", b"b"):
        number = append(journal, lane, a_run(body))
        journal.when_safe(number, lambda: told.append(journal.safe))
    batch = journal.take()
    assert batch is not None
    assert told == []

    journal.committed(batch)

    assert journal.safe == journal.last == 2
    assert told == [2, 2]
    assert lane.committed_upto == 2
    assert (journal.pending_bytes, journal.pending_messages) == (0, 0)


def test_what_is_safe_already_is_told_at_once() -> None:
    journal = Journal()
    told: list[str] = []

    journal.when_safe(0, lambda: told.append("now"))

    assert told == ["now"]


def test_a_batch_is_bounded_and_the_rest_comes_with_the_next() -> None:
    journal = Journal()
    lane = a_lane(journal)
    big = a_run(*[b"x"] * journal_module.BATCH_MESSAGES)
    first = append(journal, lane, big)
    second = append(journal, lane, a_run(b"y"))

    batch = journal.take()
    rest = journal.take()

    assert batch is not None
    assert rest is not None
    assert (batch.number, rest.number) == (first, second)


def test_message_ids_are_given_at_hand_over_and_never_twice() -> None:
    journal = Journal()
    lane = a_lane(journal)
    one, two = a_run(b"a", b"b"), a_run(b"c")
    append(journal, lane, one)
    append(journal, lane, two)

    journal.take()

    assert (one.first_id, two.first_id) == (1, 3)


def test_a_group_is_never_split() -> None:
    journal = Journal()
    lane = a_lane(journal)
    with journal.atomic():
        for _ in range(3):
            append(journal, lane, a_run(*[b"x"] * journal_module.BATCH_MESSAGES))

    batch = journal.take()

    assert batch is not None
    assert len(batch.appends) == 3
    assert batch.number == journal.last


def test_a_number_given_inside_a_group_becomes_safe() -> None:
    journal = Journal()
    with journal.atomic():
        number = journal.next_number()

    commit(journal)

    assert journal.safe >= number


def test_settles_alone_make_a_group_with_a_number() -> None:
    journal = Journal()
    lane = a_lane(journal)
    run = a_run(b"a")
    append(journal, lane, run)
    commit(journal)
    before = journal.last

    with journal.atomic():
        lane.settle(run, 0, 0, 1)

    assert journal.last == before + 1
    batch = journal.take()
    assert batch is not None
    assert batch.number == journal.last
    assert [(one.lo, one.hi) for one in batch.settles] == [(0, 1)]


def test_a_group_in_a_group_is_part_of_it() -> None:
    journal = Journal()
    lane = a_lane(journal)
    with journal.atomic():
        append(journal, lane, a_run(b"a"))
        with journal.atomic():
            append(journal, lane, a_run(b"b"))
        journal.define(PutVhost("v"))
        journal.purge(Purge(3, 7, 9, 0, 0))
        journal.drop((4,))

    batch = journal.take()

    assert batch is not None
    assert len(batch.appends) == 2
    assert len(batch.defines) == len(batch.purges) == len(batch.drops) == 1
    assert journal.is_empty


def test_a_group_is_kept_when_something_goes_wrong_inside() -> None:
    journal = Journal()
    lane = a_lane(journal)

    def go_wrong() -> None:
        with journal.atomic():
            append(journal, lane, a_run(b"a"))
            a_run(b"b").names_of(1).index(b"not there")

    with pytest.raises(ValueError, match="not found"):
        go_wrong()

    assert not journal.log.atomic
    commit(journal)
    assert lane.committed_upto == 1


def test_a_settle_of_a_group_gets_its_ids_when_the_message_gets_them() -> None:
    journal = Journal()
    lane = a_lane(journal)
    run = a_run(b"a", b"b")
    append(journal, lane, a_run(b"before"))
    append(journal, lane, run)
    with journal.atomic():
        lane.settle(run, 1, 1, 2)

    batch = journal.take()

    assert batch is not None
    assert [(one.lo, one.hi, one.first_id) for one in batch.settles] == [(2, 3, 3)]


def test_an_append_that_was_skipped_takes_no_message_ids() -> None:
    journal = Journal()
    lane = a_lane(journal)
    one, two = a_run(b"a"), a_run(b"b")
    append(journal, lane, one)
    append(journal, lane, two)
    lane.take(1, True)

    batch = journal.take()

    assert batch is not None
    assert [entry.run for entry in batch.appends] == [two]
    assert (one.first_id, two.first_id) == (0, 1)
    journal.committed(batch)
    assert (journal.pending_bytes, journal.pending_messages) == (0, 0)


def test_a_run_that_was_cut_is_settled_no_further() -> None:
    journal = Journal()
    lane = a_lane(journal)
    run = a_run(b"a")
    append(journal, lane, run)
    lane.take(1, True)
    commit(journal)

    lane.settle(run, 0, 0, 1)

    assert journal.is_empty
    assert lane.stored == 0


def test_settles_and_marks_ahead_tell_that_nobody_waits() -> None:
    journal = Journal()
    lane = a_lane(journal)
    run = a_run(b"a", b"b")
    states = []

    append(journal, lane, run)
    states.append((journal.is_empty, journal.only_settles))
    commit(journal)
    states.append((journal.is_empty, journal.only_settles))
    lane.settle(run, 0, 0, 1)
    states.append((journal.is_empty, journal.only_settles))
    lane.ask(1)
    states.append((journal.is_empty, journal.only_settles))

    assert states == [(False, False), (True, True), (False, True), (False, False)]


def settled(journal: Journal) -> Lane:
    """A lane with one message that was written and is done with."""
    lane = a_lane(journal)
    run = a_run(b"a", b"b")
    append(journal, lane, run)
    commit(journal)
    lane.settle(run, 0, 0, 1)
    return lane


def test_settles_that_nobody_waits_for_may_stay_behind_and_go_on_growing() -> None:
    journal = Journal()
    lane = settled(journal)
    run = a_run(b"c")
    append(journal, lane, run)

    early = journal.take(settles=False)
    lane.settle(run, 2, 0, 1)
    late = journal.take()

    assert early is not None
    assert late is not None
    assert (len(early.appends), early.settles) == (1, [])
    assert [(one.lo, one.hi, one.first_id) for one in late.settles] == [(0, 1, 1), (2, 3, 3)]
    assert not journal.has_settles


def test_settles_go_when_somebody_waits_for_them() -> None:
    journal = Journal()
    settled(journal)
    number = journal.next_number()

    batch = journal.take(settles=False)

    assert batch is not None
    assert (batch.number, len(batch.settles)) == (number, 1)


def test_settles_go_before_their_lane_does() -> None:
    journal = Journal()
    settled(journal)
    journal.drop((3,))

    batch = journal.take(settles=False)

    assert batch is not None
    assert len(batch.settles) == len(batch.drops) == 1


def test_settles_of_a_transaction_go_with_it() -> None:
    journal = Journal()
    lane = a_lane(journal)
    run = a_run(b"a")
    append(journal, lane, run)
    with journal.atomic():
        lane.settle(run, 0, 0, 1)

    batch = journal.take(settles=False)

    assert batch is not None
    assert [one.first_id for one in batch.settles] == [1]


def test_a_lane_that_pages_is_woken_by_each_commit() -> None:
    journal = Journal()
    lane = a_lane(journal)
    owner = lane.owner
    assert isinstance(owner, Owner)
    journal.append(run := a_run(b"a"), [(lane, lane.push(run, 0, False), 0)])

    commit(journal)

    assert owner.woken == 1


def test_those_who_wait_for_what_was_skipped_are_told_once() -> None:
    journal = Journal()
    lane = a_lane(journal)
    told: list[str] = []
    for name in ("a", "b"):
        run = a_run(b"x")
        entry = journal.append(run, [(lane, lane.push(run, 0, True), 0)])
        entry.waiter = lambda name=name: told.append(name)
        lane.take(1, True)

    journal.progress_skipped()
    journal.progress_skipped()

    assert told == ["a", "b"]


def test_an_empty_group_leaves_nothing() -> None:
    journal = Journal()

    with journal.atomic():
        pass

    assert journal.is_empty


def test_settles_made_inside_a_group_belong_to_it_and_others_do_not() -> None:
    journal = Journal()
    lane = a_lane(journal)
    run = a_run(b"a", b"b", b"c")
    append(journal, lane, run)
    commit(journal)
    lane.take(3, False)
    commit(journal)
    lane.take(3, False)

    lane.done(run, 0, 0, 1)
    with journal.atomic():
        lane.done(run, 0, 1, 2)
    lane.done(run, 0, 2, 3)
    batch = journal.take()

    assert batch is not None
    assert sorted((one.lo, one.hi) for one in batch.settles) == [(0, 1), (1, 2), (2, 3)]


def test_definitions_purges_and_drops_keep_their_order_with_appends() -> None:
    journal = Journal()
    lane = a_lane(journal)
    journal.define(PutVhost("a"))
    append(journal, lane, a_run(b"x"))
    journal.purge(Purge(3, 0, 1, 1, 1))
    journal.define(DeleteQueue("a", "q"))
    number = journal.drop((3,))

    batch = journal.take()

    assert batch is not None
    assert batch.number == number
    assert [type(one).__name__ for one in batch.defines] == ["PutVhost", "DeleteQueue"]
    assert len(batch.purges) == len(batch.drops) == len(batch.appends) == 1


def test_a_dead_lane_leaves_no_mark() -> None:
    journal = Journal()
    lane = a_lane(journal)
    append(journal, lane, a_run(b"x"))
    lane.take(1, False)
    lane.dead = True

    batch = journal.take()

    assert batch is not None
    assert batch.marks == []


# -- requeues ----------------------------------------------------------------------------


def a_marked_lane(journal: Journal) -> Lane:
    """One that may hand out what is on disk."""
    lane = a_lane(journal)
    lane.granted = lane.asked = 100
    return lane


def come_back(lane: Lane, *, times: int = 1) -> None:
    """The first message goes out and comes back."""
    for _ in range(times):
        piece = lane.take(1, False)
        assert piece
        piece.acquired += 1
        lane.requeue([piece])


def test_requeues_ride_with_settles_and_nobody_waits_for_them() -> None:
    journal = Journal()
    lane = a_marked_lane(journal)
    append(journal, lane, a_run(b"a"))
    commit(journal)
    come_back(lane)

    assert not journal.is_empty
    assert journal.has_settles
    append(journal, lane, a_run(b"b"))
    batch = journal.take(settles=False)
    assert batch is not None
    assert not batch.requeues
    journal.committed(batch)
    batch = journal.take()
    assert batch is not None
    assert [(one.lo, one.hi, one.acquired) for one in batch.requeues] == [(0, 1, 1)]
    assert journal.is_empty


def test_what_comes_back_in_order_is_one_requeue() -> None:
    journal = Journal()
    lane = a_marked_lane(journal)
    append(journal, lane, a_run(b"a", b"b", b"c", b"d"))
    commit(journal)
    pieces = [piece for _ in range(4) if (piece := lane.take(1, False))]
    pieces[2].failed = 1

    lane.requeue(pieces)

    assert [(one.lo, one.hi, one.failed) for one in journal.log.requeues] == [
        (0, 2, 0),
        (2, 3, 1),
        (3, 4, 0),
    ]


def test_transient_messages_leave_no_trace_of_their_return() -> None:
    journal = Journal()
    lane = a_marked_lane(journal)
    lane.push(a_run(b"a", persistent=False), 0, True)

    come_back(lane)

    assert journal.is_empty
    assert not lane.counted


def test_a_batch_has_a_bounded_number_of_requeues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "BATCH_REQUEUES", 2)
    journal = Journal()
    lane = a_marked_lane(journal)
    append(journal, lane, a_run(b"a"))
    commit(journal)
    come_back(lane, times=5)

    sizes = []
    while (batch := journal.take()) is not None:
        sizes.append([int(one.acquired) for one in batch.requeues])
        journal.committed(batch)

    assert sizes == [[1, 2], [3, 4], [5]]


def test_a_batch_has_requeues_of_a_bounded_number_of_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journal_module, "BATCH_REQUEUED", 2)
    journal = Journal()
    lane = a_marked_lane(journal)
    append(journal, lane, a_run(b"a", b"b", b"c"))
    commit(journal)
    for times in range(2):
        piece = lane.take(3, False)
        assert piece
        piece.acquired = times
        lane.requeue([piece])

    first, second = journal.take(), journal.take()

    assert first is not None
    assert second is not None
    assert (len(first.requeues), len(second.requeues)) == (1, 1)


def test_a_requeue_waits_for_the_batch_of_its_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "BATCH_MESSAGES", 1)
    journal = Journal()
    lane = a_marked_lane(journal)
    append(journal, lane, a_run(b"a"))
    append(journal, lane, a_run(b"b"))
    lane.take(1, False)
    come_back(lane)

    first = journal.take()
    assert first is not None
    assert (len(first.appends), len(first.requeues)) == (1, 0)
    journal.committed(first)
    second = journal.take()
    assert second is not None
    assert (len(second.appends), len(second.requeues)) == (1, 1)


# -- how far consumers of streams are ------------------------------------------------------


def test_only_the_last_word_on_a_consumer_is_written() -> None:
    journal = Journal()
    for offset in (1, 2, 3):
        journal.track(Track(7, "me", offset))
    journal.track(Track(7, "you", 5))

    batch = journal.take()

    assert batch is not None
    assert batch.tracks == [Track(7, "me", 3), Track(7, "you", 5)]
    assert journal.is_empty


def test_nobody_waits_for_tracks() -> None:
    journal = Journal()
    journal.track(Track(7, "me", 1))

    assert journal.only_settles
    assert journal.has_settles
    assert not journal.is_empty
    append(journal, a_lane(journal), a_run(b"a"))
    batch = journal.take(settles=False)
    assert batch is not None
    assert batch.tracks == []
    assert journal.has_settles
    batch = journal.take()
    assert batch is not None
    assert batch.tracks == [Track(7, "me", 1)]


def test_a_track_waits_for_what_was_decided_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "BATCH_MESSAGES", 1)
    journal = Journal()
    lane = a_lane(journal)
    journal.track(Track(7, "early", 1))
    taken = []
    for offset in range(6):
        append(journal, lane, a_run(b"a"))
        append(journal, lane, a_run(b"b"))
        journal.track(Track(7, "me", offset))
        batch = journal.take()
        assert batch is not None
        taken.append((batch.number, batch.tracks))

    # Of twelve messages half are in a batch; a track must not be ahead of its own.
    for number, tracks in taken:
        assert all(number >= 2 * (track.offset + 1) for track in tracks if track.name == "me")
    assert any(track.name == "me" for _, tracks in taken for track in tracks)
    last = []
    while (batch := journal.take()) is not None:
        last += batch.tracks
    assert last[-1] == Track(7, "me", 5)


def test_a_track_of_a_transaction_comes_with_it() -> None:
    journal = Journal()
    lane = a_lane(journal)
    journal.track(Track(7, "me", 1))

    with journal.atomic():
        append(journal, lane, a_run(b"a"))
        journal.track(Track(7, "me", 2))

    batch = journal.take(settles=False)
    assert batch is not None
    assert batch.tracks == [Track(7, "me", 2)]
    assert journal.is_empty


def names(batch: Batch) -> list[str]:
    """The vhosts that are defined."""
    return [one.name for one in batch.defines if isinstance(one, PutVhost)]


def test_a_transaction_of_several_turns_holds_back_what_is_decided_after_it() -> None:
    journal = Journal()
    before = journal.define(PutVhost("before"))
    transaction = journal.begin()
    with journal.inside(transaction):
        journal.define(PutVhost("a"))
    between = journal.define(PutVhost("between"))
    first = journal.take()
    assert first is not None
    journal.committed(first)

    assert names(first) == ["before"]
    assert journal.safe == before < between
    assert journal.is_empty

    with journal.inside(transaction):
        journal.define(PutVhost("b"))
    number = journal.end()
    second = journal.take()
    assert second is not None
    assert names(second) == ["a", "b", "between"]
    assert second.number == number == journal.last


def test_a_transaction_of_several_turns_takes_the_smaller_ones_inside_it() -> None:
    journal = Journal()
    transaction = journal.begin()
    with journal.inside(transaction), journal.atomic():
        journal.define(PutVhost("a"))
    with journal.atomic():
        journal.define(PutVhost("between"))

    assert journal.only_settles
    journal.end()

    batch = journal.take()
    assert batch is not None
    assert names(batch) == ["a", "between"]


def test_a_transaction_in_which_nothing_was_decided_leaves_nothing() -> None:
    journal = Journal()
    journal.begin()

    assert journal.end() == 0
    assert journal.is_empty
