"""Runs, lanes, unacked ranges: order, counting, marks and what reaches the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpd.broker.content import build
from amqpd.broker.delivery import LOOKED_AT, Unacked, UnknownTag, acked
from amqpd.broker.journal import Journal
from amqpd.broker.lane import Lane
from amqpd.broker.rows import assemble
from amqpd.broker.run import Run

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from amqpd.broker.delivery import Taken
    from amqpd.broker.rows import Row
    from amqpd.broker.stretch import Stretch


class Owner:
    """A queue that only counts how often it was woken."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def a_content(body: bytes, channel: int = 1) -> bytes:
    header = b"\x00\x3c\x00\x00" + len(body).to_bytes(8, "big") + b"\x10\x00\x02"
    return build(channel, header, body)


def a_run(*bodies: bytes, persistent: bool = True) -> Run:
    contents = [a_content(body) for body in bodies]
    return Run(contents, b"\x00\x01q", None, persistent, 1, sum(map(len, contents)))


def a_lane(journal: Journal, durable: bool = True) -> Lane:
    return Lane(Owner(), journal.log, 7, 0, durable)


def bodies(piece: Stretch) -> list[bytes]:
    return [content[-2:-1] for content in piece.run.contents[piece.lo : piece.hi]]


def all_bodies(lane: Lane) -> list[bytes]:
    return [body for piece in lane.stretches() for body in bodies(piece)]


def commit(journal: Journal) -> None:
    batch = journal.take()
    assert batch is not None
    journal.committed(batch)


def stored(journal: Journal, lane: Lane, *names: bytes) -> Run:
    run = a_run(*names)
    journal.append(run, [(lane, lane.push(run, 0, True), 0)])
    commit(journal)
    return run


def test_messages_leave_in_the_order_they_came() -> None:
    lane = a_lane(Journal(), durable=False)
    lane.push(a_run(b"a", b"b", persistent=False), 0, True)
    lane.push(a_run(b"c", persistent=False), 0, True)

    taken = [lane.take(1, False), lane.take(9, False), lane.take(9, False)]

    assert [bodies(piece) for piece in taken if piece] == [[b"a"], [b"b"], [b"c"]]
    assert lane.take(1, False) is None
    assert (lane.ready, lane.ready_bytes, lane.loaded, lane.loaded_bytes) == (0, 0, 0, 0)
    assert (lane.unacked, lane.unacked_bytes) == (3, 3)


def test_returned_messages_take_their_old_places_marked_redelivered() -> None:
    lane = a_lane(Journal(), durable=False)
    lane.push(a_run(*b"a b c d e f".split(), persistent=False), 0, True)
    first, second, third = (lane.take(1, False) for _ in range(3))
    assert first
    assert second
    assert third

    lane.requeue([third])
    lane.requeue([second, first])

    assert all_bodies(lane) == [b"a", b"b", b"c", b"d", b"e", b"f"]
    assert [piece.redelivered for piece in lane.stretches()] == [True, True, True, False]
    assert lane.unacked == 0


def test_what_is_settled_before_it_is_written_is_never_written() -> None:
    journal = Journal()
    lane = a_lane(journal)
    run = a_run(b"a", b"b", b"c")
    entry = journal.append(run, [(lane, lane.push(run, 0, True), 0)])
    told: list[str] = []
    entry.waiter = lambda: told.append("skipped")

    lane.take(9, True)
    journal.progress_skipped()
    batch = journal.take()

    assert entry.skipped
    assert told == ["skipped"]
    assert batch is not None
    assert batch.appends == []
    assert batch.settles == []
    assert lane.stored == 0
    journal.committed(batch)
    assert journal.pending_bytes == 0


def test_a_hole_is_cut_out_of_an_append() -> None:
    journal = Journal()
    lane = a_lane(journal)
    run = a_run(b"a", b"b", b"c", b"d")
    entry = journal.append(run, [(lane, lane.push(run, 0, True), 0)])
    lane.take(9, False)

    lane.done(run, 0, 1, 2)
    lane.done(run, 0, 0, 1)

    target = entry.targets[0]
    assert (target.lo, target.hi) == (2, 4)
    assert not entry.skipped


@given(st.integers(1, 6), st.data())
def test_an_append_is_skipped_with_its_last_message(count: int, data: st.DataObject) -> None:
    journal = Journal()
    lane = a_lane(journal)
    run = a_run(*[b"x"] * count)
    entry = journal.append(run, [(lane, lane.push(run, 0, True), 0)])
    lane.take(count, False)
    cuts = data.draw(st.lists(st.integers(0, count), max_size=3, unique=True).map(sorted))
    parts = list(zip([0, *cuts], [*cuts, count], strict=True))
    alive = set(range(count))

    for low, high in data.draw(st.permutations(parts)):
        assert not entry.skipped
        lane.done(run, 0, low, high)
        alive -= set(range(low, high))
        target = entry.targets[0]
        assert alive == {
            index
            for index in range(target.lo, target.hi)
            if target.dead is None or not target.dead[index]
        }
        if not alive:
            break

    assert entry.skipped
    assert lane.stored == 0


def test_an_append_is_skipped_when_no_lane_needs_it_any_more() -> None:
    journal = Journal()
    one, other = a_lane(journal), a_lane(journal)
    run = a_run(b"a")
    entry = journal.append(
        run, [(one, one.push(run, 0, True), 0), (other, other.push(run, 0, True), 0)]
    )

    one.take(1, True)
    assert not entry.skipped
    other.take(1, True)

    assert entry.skipped


def test_settles_of_stored_messages_grow_into_one_range() -> None:
    journal = Journal()
    lane = a_lane(journal)
    stored(journal, lane, b"a", b"b", b"c")
    lane.take(1, False)  # asks for its mark
    batch = journal.take()
    assert batch is not None
    journal.committed(batch)
    piece = lane.take(9, False)
    assert piece is not None

    lane.done(piece.run, piece.base, 0, 1)
    lane.done(piece.run, piece.base, 1, 3)
    batch = journal.take()

    assert batch is not None
    assert [(one.lo, one.hi, one.first_id) for one in batch.settles] == [(0, 3, 1)]


def test_a_stored_message_waits_for_its_mark() -> None:
    journal = Journal()
    lane = a_lane(journal)
    stored(journal, lane, b"a", b"b")

    assert lane.take(1, False) is None
    batch = journal.take()
    assert batch is not None
    assert [(mark.lane, mark.upto) for mark in batch.marks] == [(7, 1)]
    journal.committed(batch)

    piece = lane.take(1, False)
    assert piece is not None
    assert bodies(piece) == [b"a"]


def test_a_message_still_in_the_journal_goes_out_at_once_and_its_mark_with_it() -> None:
    journal = Journal()
    lane = a_lane(journal)
    run = a_run(b"a", b"b")
    journal.append(run, [(lane, lane.push(run, 0, True), 0)])

    piece = lane.take(1, False)
    batch = journal.take()

    assert piece is not None
    assert batch is not None
    assert [mark.upto for mark in batch.marks] == [1]
    assert len(batch.appends) == 1


def test_what_is_handed_out_from_the_journal_never_lowers_the_mark() -> None:
    journal = Journal()
    lane = a_lane(journal)
    stored(journal, lane, b"a", b"b", b"c")
    lane.ask(3)
    lane.handed = 3
    lane.ask(3)  # what was handed out before lets the mark run ahead
    commit(journal)
    lane.take(3, False)
    ahead = lane.granted
    assert ahead > 4

    run = a_run(b"d")
    journal.append(run, [(lane, lane.push(run, 0, True), 0)])

    assert lane.take(1, False) is not None
    assert lane.granted == ahead
    assert not lane.marking


def test_a_message_that_waited_for_its_mark_waits_again_after_its_return() -> None:
    journal = Journal()
    lane = a_lane(journal)
    stored(journal, lane, b"a")
    taken = lane.take_now(False)
    assert taken is not None
    piece, must_wait = taken
    assert must_wait

    lane.requeue([piece])

    assert lane.take(1, False) is None
    commit(journal)
    again = lane.take(1, False)
    assert again is not None
    assert again.redelivered


def test_a_get_under_the_mark_need_not_wait() -> None:
    journal = Journal()
    lane = a_lane(journal)
    stored(journal, lane, b"a", b"b")
    lane.ask(2)
    commit(journal)

    taken = lane.take_now(True)

    assert taken is not None
    assert taken[1] is False
    assert a_lane(journal).take_now(False) is None


def test_a_mark_ahead_is_in_nobodys_way_after_a_restart() -> None:
    journal = Journal()
    lane = a_lane(journal)

    lane.recover(next_position=10, messages=0, body_bytes=0, delivered_upto=25)

    assert lane.push(a_run(b"a"), 0, True) >= 25
    assert (lane.ready, lane.loaded) == (1, 1)
    assert not lane.paged


def test_what_the_store_has_lost_is_not_ready() -> None:
    journal = Journal()
    lane = a_lane(journal)
    lane.recover(next_position=4, messages=4, body_bytes=4, delivered_upto=0)

    lane.load(assemble([a_row(0, 1, b"a"), a_row(2, 3, b"c")], 0), 3)
    assert lane.ready == 4
    lane.load([], 4)

    assert all_bodies(lane) == [b"a", b"c"]
    assert (lane.ready, lane.ready_bytes, lane.loaded) == (2, 2, 2)
    assert (lane.paged_out, lane.paged_out_bytes) == (0, 0)


def test_a_run_in_two_lanes_is_shared() -> None:
    journal = Journal()
    one, other = a_lane(journal), a_lane(journal)
    run = a_run(b"a")

    journal.append(run, [(one, one.push(run, 0, True), 0), (other, other.push(run, 0, True), 0)])
    journal.take()

    assert run.shared
    assert run.first_id == 1


def test_an_atomic_group_settles_what_it_would_otherwise_cut() -> None:
    journal = Journal()
    lane = a_lane(journal)
    run = a_run(b"a", b"b")
    journal.append(run, [(lane, lane.push(run, 0, True), 0)])
    lane.take(9, False)

    with journal.atomic():
        lane.done(run, 0, 0, 1)
    batch = journal.take()

    assert batch is not None
    assert len(batch.appends) == 1
    assert [(one.lo, one.hi, one.first_id) for one in batch.settles] == [(0, 1, 1)]


def a_row(
    position: int, ident: int, body: bytes, names: bytes = b"\x00\x01q", deadline_ms: int = 0
) -> Row:
    header = b"\x00\x3c\x00\x00" + len(body).to_bytes(8, "big") + b"\x00\x00"
    return (position, ident, deadline_ms, False, False, names, header, body)


def test_rows_become_stretches_that_break_at_gaps() -> None:
    rows = [a_row(3, 10, b"a"), a_row(4, 11, b"b"), a_row(6, 13, b"c"), a_row(7, 20, b"d")]

    stretches = assemble(rows, 4)

    assert [bodies(piece) for piece in stretches] == [[b"a"], [b"b"], [b"c", b"d"]]
    assert [piece.redelivered for piece in stretches] == [True, False, False]
    assert [piece.run.first_id for piece in stretches] == [10, 11, -1]
    assert [piece.position for piece in stretches] == [3, 4, 6]


def test_rows_that_expire_at_different_times_become_one_stretch() -> None:
    rows = [a_row(at, at + 1, b"x", deadline_ms=ms) for at, ms in enumerate((0, 9, 7, 9))]

    (stretch,) = assemble(rows, 0)

    assert stretch.run.deadlines == [0, 9, 7, 9]
    assert stretch.deadline_ms == 7
    (alike,) = assemble([a_row(at, at + 1, b"x", deadline_ms=5) for at in range(2)], 0)
    assert (alike.run.deadlines, alike.deadline_ms) == (None, 5)


def test_an_unknown_tag_is_told_with_what_was_settled_before_it() -> None:
    lane = a_lane(Journal(), durable=False)
    lane.push(a_run(b"a", b"b", persistent=False), 0, True)
    unacked = Unacked()
    piece = lane.take(9, False)
    assert piece is not None
    unacked.add(1, lane, piece, None)

    with pytest.raises(UnknownTag) as error:
        unacked.take(1, 5, False)

    assert error.value.tag == 3
    assert [(one.lo, one.hi) for one in error.value.taken] == [(0, 2)]
    assert unacked.outstanding == 0


def test_a_tag_out_of_the_middle_of_a_range_is_settled_once() -> None:
    unacked, _ = holding(Journal(), 5)
    assert [one.tag for one in unacked.take(3, 3, False)] == [3]

    for first, last, before in ((3, 3, []), (2, 4, [2])):
        with pytest.raises(UnknownTag) as error:
            unacked.take(first, last, False)
        assert error.value.tag == 3
        assert [one.tag for one in error.value.taken] == before

    assert [(one.tag, one.hi - one.lo) for one in unacked.take_all()] == [(1, 1), (4, 2)]


def test_what_several_lanes_have_is_remembered_under_tags_that_follow_on() -> None:
    lanes = [a_lane(Journal(), durable=False), a_lane(Journal(), durable=False)]
    unacked, pieces = Unacked(), []
    for lane, names in zip(lanes, (b"ab", b"cde"), strict=True):
        lane.push(a_run(*[bytes([one]) for one in names], persistent=False), 0, True)
        piece = lane.take(9, False)
        assert piece is not None
        pieces.append(piece)
    unacked.add_all(7, lanes, pieces, "c", 50, 20)

    taken = unacked.take(0, 9, True)
    acked(taken)

    assert [(one.lane, one.tag, one.lo, one.hi) for one in taken] == [
        (lanes[0], 7, 0, 2),
        (lanes[1], 9, 0, 1),
    ]
    assert [(lane.unacked, lane.counts.acked) for lane in lanes] == [(0, 2), (2, 1)]
    assert (unacked.outstanding, unacked.due_ms, unacked.since_ms("c")) == (2, 50, 20)


def test_multiple_needs_an_outstanding_tag_unless_it_is_zero() -> None:
    unacked = Unacked()

    assert unacked.take(0, 0, True) == []
    with pytest.raises(UnknownTag):
        unacked.take(0, 3, True)


Step = tuple[str, int]


@given(
    st.lists(st.integers(1, 7), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(1, 120), st.booleans(), st.booleans()), max_size=60),
)
def test_unacked_is_a_set_of_tags(sizes: list[int], steps: list[tuple[int, bool, bool]]) -> None:
    lane = a_lane(Journal(), durable=False)
    unacked, model = Unacked(), dict[int, int]()
    tag = 1
    for size in sizes:
        lane.push(a_run(*[b"x"] * size, persistent=False), 0, True)
        piece = lane.take(size, False)
        assert piece is not None
        unacked.add(tag, lane, piece, None)
        for offset in range(size):
            model[tag + offset] = piece.base + offset
        tag += size
    for wanted, multiple, back in steps:
        expected = {one for one in model if one <= wanted} if multiple else {wanted} & model.keys()
        if wanted not in model:
            with pytest.raises(UnknownTag):
                unacked.take(wanted, wanted, multiple)
            continue
        taken = unacked.take(wanted, wanted, multiple)
        got = {
            one.tag + offset: one.base + one.lo + offset
            for one in taken
            for offset in range(one.hi - one.lo)
        }
        assert got == {one: model[one] for one in expected}
        if back:
            unacked.put_back(taken)
        else:
            for one in expected:
                del model[one]
        assert unacked.outstanding == len(model)
    left = unacked.take_all()
    assert sorted(
        one.base + one.lo + offset for one in left for offset in range(one.hi - one.lo)
    ) == sorted(model.values())


@given(st.integers(1, 40), st.randoms(use_true_random=False))
def test_returning_in_any_order_keeps_the_order(count: int, chance: random.Random) -> None:
    lane = a_lane(Journal(), durable=False)
    lane.push(a_run(*[bytes([65 + one]) for one in range(count)], persistent=False), 0, True)
    pieces = []
    while (piece := lane.take(chance.randint(1, 4), False)) is not None:
        pieces.append(piece)
    chance.shuffle(pieces)
    while pieces:
        some = [pieces.pop() for _ in range(min(len(pieces), chance.randint(1, 3)))]
        lane.requeue(some)

    assert all_bodies(lane) == [bytes([65 + one]) for one in range(count)]
    assert (lane.ready, lane.unacked, lane.loaded) == (count, 0, count)


# -- very much at once -------------------------------------------------------------------


def holding(journal: Journal, *counts: int, due_ms: int = 0) -> tuple[Unacked, Lane]:
    """A channel that holds ranges of so many messages, from tag 1 on."""
    unacked, lane, tag = Unacked(), a_lane(journal, durable=False), 1
    for count in counts:
        lane.push(a_run(*[b"m"] * count, persistent=False), 0, True)
        piece = lane.take(count, False)
        assert piece
        unacked.add(tag, lane, piece, None, due_ms)
        tag += count
    return unacked, lane


def test_what_is_detached_is_not_outstanding_any_more_and_comes_in_parts() -> None:
    unacked, lane = holding(Journal(), 3, 2, 4)
    unacked.take(2, 2, False)

    leaving = unacked.detach(7)

    assert len(unacked) == 2
    assert leaving.lanes == [lane]
    parts = []
    while some := leaving.take_some(2, 3):
        parts.append([(one.tag, one.hi - one.lo) for one in some])
    assert parts == [[(1, 1), (3, 1)], [(4, 2), (6, 1)], [(7, 1)]]
    assert [(one.tag, one.hi - one.lo) for one in unacked.take_all()] == [(8, 2)]


def test_a_range_with_gaps_is_cut_in_two() -> None:
    unacked, _ = holding(Journal(), 6)
    for tag in (2, 4, 5):
        unacked.take(tag, tag, False)

    leaving = unacked.detach(3)

    assert len(unacked) == 1
    assert [one.tag for one in leaving.take_some(9, 9)] == [1, 3]
    assert [one.tag for one in unacked.take(0, 6, True)] == [6]
    assert len(unacked) == 0


def test_a_whole_range_may_be_the_last_to_be_detached() -> None:
    unacked, _ = holding(Journal(), 2, 2, 2)

    unacked.detach(4)

    assert [one.tag for one in unacked.take(5, 6, False)] == [5]
    with pytest.raises(UnknownTag):
        unacked.detach(4)


def test_everything_can_be_detached() -> None:
    unacked, _ = holding(Journal(), 2, 1)

    leaving = unacked.detach(0)

    assert len(unacked) == 0
    assert unacked.take_all() == []
    assert [one.tag for one in leaving.take_some(9, 9)] == [1, 3]


def test_how_far_a_tag_reaches_is_known_without_counting() -> None:
    unacked, lane = holding(Journal(), 3, 2, 4)

    assert unacked.reach(0) == (3, 9)
    assert unacked.reach(4) == (2, 4)
    assert unacked.reach(100) == (3, 9)
    assert unacked.lanes == [lane]
    unacked.take(2, 2, False)
    assert unacked.reach(1) == (2, 1)


@given(
    counts=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    settled=st.sets(st.integers(1, 30)),
    last=st.integers(0, 30),
    ranges=st.integers(1, 3),
    messages=st.integers(1, 4),
)
def test_detaching_settles_the_same_as_taking(
    counts: list[int], settled: set[int], last: int, ranges: int, messages: int
) -> None:
    ways = []
    for detaching in (False, True):
        unacked, _ = holding(Journal(), *counts)
        for tag in sorted(settled):
            if tag <= sum(counts):
                unacked.take(tag, tag, False)
        found: list[int] = []
        try:
            if detaching:
                leaving = unacked.detach(last)
                while some := leaving.take_some(ranges, messages):
                    assert len(some) <= ranges
                    assert sum(one.hi - one.lo for one in some) <= messages
                    found += tags_of(some)
            else:
                found += tags_of(unacked.take(0, last, True))
        except UnknownTag:
            found.append(-1)
        ways.append((found, len(unacked), tags_of(unacked.take_all()), len(unacked)))

    assert ways[0] == ways[1]


def tags_of(taken: list[Taken]) -> list[int]:
    return [one.tag + offset for one in taken for offset in range(one.hi - one.lo)]


@given(st.lists(st.integers(0, 40), unique=True, max_size=20), st.data())
def test_what_comes_back_in_pieces_is_in_order(positions: list[int], data: st.DataObject) -> None:
    lane = a_lane(Journal(), durable=False)
    for _ in range(41):
        lane.push(a_run(b"m", persistent=False), 0, True)
    pieces = [lane.take(1, False) for _ in range(41)]
    back = [pieces[at] for at in positions]
    while back:
        count = data.draw(st.integers(1, len(back)))
        some = [piece for piece in back[:count] if piece]
        del back[:count]
        lane.requeue(some)

    assert [stretch.position for stretch in lane.stretches()] == sorted(positions)


# -- overdue -----------------------------------------------------------------------------


def test_what_is_overdue_leaves_its_tags_to_the_grave() -> None:
    journal = Journal()
    unacked, lane, grave = Unacked(), a_lane(journal, durable=False), a_lane(journal)
    for tag, due_ms in ((1, 50), (2, 0), (3, 70), (4, 60)):
        lane.push(a_run(b"m", persistent=False), 0, True)
        piece = lane.take(1, False)
        assert piece
        unacked.add(tag, lane, piece, "c", due_ms)
    assert unacked.due_ms == 50
    assert unacked.expire(50, 10, grave) == []
    assert unacked.due_ms == 50

    overdue = unacked.expire(61, 1, grave)

    assert [(held.tag, held.lane, held.consumer) for held in overdue] == [(1, lane, "c")]
    assert unacked.due_ms == 60
    assert [held.tag for held in unacked.expire(61, 5, grave)] == [4]
    assert unacked.due_ms == 70
    assert len(unacked) == 4
    left = [(one.tag, one.lane) for one in unacked.take_all()]
    assert left == [(1, grave), (2, lane), (3, lane), (4, grave)]
    assert unacked.due_ms == 0


def overdue(*counts: int, gaps: Sequence[int] = ()) -> Unacked:
    """Ranges of so many tags that were all taken back, some of which were settled before."""
    journal = Journal()
    unacked, _ = holding(journal, *counts, due_ms=50)
    for tag in gaps:
        unacked.take(tag, tag, False)
    grave = a_lane(journal)
    grave.is_grave = True
    unacked.expire(60, 99, grave)
    assert all(one.lane is grave for one in unacked._held)
    return unacked


def test_what_was_lost_is_counted_until_it_is_heard_of() -> None:
    unacked = overdue(3, 2, 4)
    assert (len(unacked), unacked.lost) == (9, 9)

    taken = unacked.take(2, 2, False)
    assert (len(unacked), unacked.lost) == (8, 8)
    unacked.detach(7)
    assert (len(unacked), unacked.lost) == (2, 2)
    unacked.put_back(taken)
    assert (len(unacked), unacked.lost) == (3, 3)
    unacked.take(0, 8, True)
    assert (len(unacked), unacked.lost) == (1, 1)
    unacked.take_all()
    assert (len(unacked), unacked.lost) == (0, 0)


def test_what_was_settled_before_the_rest_was_lost_stays_settled() -> None:
    unacked = overdue(5, 1, gaps=(3,))
    assert (len(unacked), unacked.lost) == (5, 5)

    with pytest.raises(UnknownTag):
        unacked.take(3, 3, False)
    late = unacked.take(0, 6, True)

    assert [(one.tag, one.hi - one.lo) for one in late] == [(1, 2), (4, 2), (6, 1)]
    assert unacked.lost == 0


def test_ranges_that_are_settled_already_go_along_with_those_around_them() -> None:
    unacked, _ = holding(Journal(), 2, 1, 2, 2)
    unacked.take(3, 3, False)

    leaving = unacked.detach(5)

    assert [one.tag for one in leaving.take_some(9, 9)] == [1, 4]
    assert len(unacked) == 2
    assert unacked._empty == 0
    assert [one.tag for one in unacked.take_all()] == [6]


def test_what_is_put_back_is_due_as_before() -> None:
    unacked, lane = Unacked(), a_lane(Journal(), durable=False)
    lane.push(a_run(b"m", persistent=False), 0, True)
    piece = lane.take(1, False)
    assert piece
    unacked.add(1, lane, piece, None, 50)
    taken = unacked.take(1, 1, False)
    assert unacked.due_ms == 0

    unacked.put_back(taken)

    assert unacked.due_ms == 50


def test_the_oldest_that_is_outstanding_is_known_of_all_and_of_each_consumer() -> None:
    unacked, lane = Unacked(), a_lane(Journal(), durable=False)
    for tag, (consumer, since_ms) in enumerate((("a", 10), ("b", 20), ("a", 30)), 1):
        lane.push(a_run(b"m", persistent=False), 0, True)
        piece = lane.take(1, False)
        assert piece
        unacked.add(tag, lane, piece, consumer, 0, since_ms)

    def oldest() -> list[int]:
        return [unacked.since_ms(), unacked.since_ms("a"), unacked.since_ms("b")]

    assert oldest() == [10, 10, 20]
    assert unacked.since_ms("c") == 0
    taken = unacked.take(1, 1, False)
    assert oldest() == [20, 30, 20]
    unacked.put_back(taken)
    assert oldest() == [10, 10, 20]
    unacked.take_all()
    assert oldest() == [0, 0, 0]


def test_one_consumers_oldest_is_not_looked_for_among_very_many() -> None:
    unacked, lane = Unacked(), a_lane(Journal(), durable=False)
    for tag in range(1, LOOKED_AT + 2):
        lane.push(a_run(b"m", persistent=False), 0, True)
        piece = lane.take(1, False)
        assert piece
        unacked.add(tag, lane, piece, "a" if tag <= LOOKED_AT else "b", 0, tag)

    assert (unacked.since_ms("a"), unacked.since_ms("b")) == (1, 0)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_messages_are_removed_from_any_stretch_and_the_others_stay_in_order(count: int) -> None:
    for at in range(3):
        lane = a_lane(Journal(), durable=False)
        for names in (b"a b", b"c d", b"e f"):
            lane.push(a_run(*names.split(), persistent=False), 0, True)
        stretch = lane.stretches()[at]
        removed = bodies(lane.remove_of(stretch, count))

        assert removed == [b"a", b"b", b"c", b"d", b"e", b"f"][2 * at : 2 * at + min(count, 2)]
        left = [name for name in b"a b c d e f".split() if name not in removed]
        assert all_bodies(lane) == left
        assert (lane.ready, lane.loaded, lane.unacked) == (len(left), len(left), 0)
        # What waits at the head is the head.
        head = lane.head()
        assert head is not None
        assert bodies(head)[:1] == left[:1]
        assert bodies(lane.remove(1)) == left[:1]
        taken = []
        while piece := lane.take(9, False):
            taken += bodies(piece)
        assert taken == left[1:]
