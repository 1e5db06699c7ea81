"""What exchanges count."""

from __future__ import annotations

from amqpd.broker.tally import MOST, Tallies


def test_each_set_of_queues_is_counted_apart() -> None:
    tallies = Tallies()

    tallies.of(("a", "b")).add(3, 2)
    tallies.of(("b",)).add(1, 1)
    tallies.of(()).add(5, 0)
    tallies.of(("never", "reached"))
    tallies.of(("a", "b")).add(1, 2)

    assert (tallies.messages, tallies.copies) == (10, 9)
    assert sorted(tallies.by_queue()) == [("a", 4), ("b", 1), ("b", 4)]


def test_beyond_a_bound_sets_of_queues_are_counted_together() -> None:
    tallies = Tallies()
    for number in range(MOST + 10):
        tallies.of((f"q{number}",)).add(1, 1)

    assert (tallies.messages, tallies.copies) == (MOST + 10, MOST + 10)
    assert len(list(tallies.by_queue())) == MOST
