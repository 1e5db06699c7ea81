"""The bookkeeping of confirms: any order of commits, one verdict for each message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amqpd.amqp.confirms import Confirms
from amqpd.broker.journal import Journal
from amqpd.broker.publishing import TRANSIENT, UNROUTED, Published
from amqpd.broker.run import Append, Run

#: What happens to one read: how many messages, whether they wait for the disk.
READS = st.lists(
    st.tuples(
        st.integers(1, 5), st.sampled_from(["disk", "memory", "nowhere", "refused", "skipped"])
    ),
    max_size=30,
)


def an_append(journal: Journal) -> Append:
    """A run that is on its way to the disk, for no queue."""
    return journal.append(Run([], b"", None, True, 1, 0), [])


@given(READS, st.sets(st.integers(0, 30)))
def test_every_message_gets_one_verdict_in_order(
    reads: list[tuple[int, str]], commits: set[int]
) -> None:
    journal = Journal()
    verdicts: dict[int, bool] = {}
    last = 0

    def send(sequence: int, multiple: bool, refused: bool) -> None:
        nonlocal last
        for each in range(last + 1, sequence + 1) if multiple else [sequence]:
            assert each not in verdicts
            verdicts[each] = refused
        assert multiple or sequence == last + 1
        last = sequence

    confirms = Confirms(journal, 100, send)
    published, expected = 100, {}
    skipped: list[Append] = []
    for turn, (count, fate) in enumerate(reads):
        for _ in range(count):
            published += 1
            expected[published - 100] = fate == "refused"
            if fate == "refused":
                confirms.refuse(published)
        if fate in ("memory", "nowhere"):
            confirms.add(TRANSIENT if fate == "memory" else UNROUTED)
        elif fate != "refused":
            entry = an_append(journal)
            confirms.add(Published(entry, entry.number))
            if fate == "skipped":
                skipped.append(entry)
        confirms.end_read(published)
        if turn in commits:
            finish(journal, skipped)
    finish(journal, skipped)

    assert verdicts == expected
    assert confirms.outstanding == 0


def finish(journal: Journal, skipped: list[Append]) -> None:
    """What was settled is skipped, all else is on disk."""
    for entry in skipped:
        entry.skipped = True
        if entry.waiter is not None:
            entry.waiter()
    skipped.clear()
    while (batch := journal.take()) is not None:
        journal.committed(batch)


def test_nothing_is_sent_while_replies_wait() -> None:
    sent: list[int] = []
    confirms = Confirms(Journal(), 0, lambda sequence, multiple, refused: sent.append(sequence))
    confirms.held = True
    confirms.end_read(3)
    assert sent == []

    confirms.held = False
    confirms.flush()

    assert sent == [3]


def test_a_dropped_channel_confirms_nothing() -> None:
    journal = Journal()
    sent: list[int] = []
    confirms = Confirms(journal, 0, lambda sequence, multiple, refused: sent.append(sequence))
    entry = an_append(journal)
    confirms.add(Published(entry, entry.number))
    confirms.end_read(1)

    confirms.drop()
    finish(journal, [])

    assert sent == []


def test_a_read_without_publishes_changes_nothing() -> None:
    sent: list[int] = []
    confirms = Confirms(Journal(), 7, lambda sequence, multiple, refused: sent.append(sequence))

    confirms.end_read(7)

    assert sent == []


def test_messages_that_no_queue_gets_are_confirmed_one_by_one() -> None:
    sent: list[tuple[int, bool]] = []
    confirms = Confirms(
        Journal(), 0, lambda sequence, multiple, _: sent.append((sequence, multiple))
    )

    confirms.add(UNROUTED)
    confirms.end_read(3)
    confirms.add(TRANSIENT)
    confirms.add(UNROUTED)
    confirms.end_read(5)

    assert sent == [(1, False), (2, False), (3, False), (5, True)]
    assert confirms.outstanding == 0


def test_confirms_of_unrouted_messages_wait_behind_earlier_ones() -> None:
    journal = Journal()
    sent: list[tuple[int, bool]] = []
    confirms = Confirms(journal, 0, lambda sequence, multiple, _: sent.append((sequence, multiple)))
    entry = an_append(journal)

    confirms.add(Published(entry, entry.number))
    confirms.end_read(1)
    confirms.add(UNROUTED)
    confirms.end_read(2)

    assert sent == []
    assert confirms.outstanding == 2
    finish(journal, [])
    assert sent == [(2, True)]
