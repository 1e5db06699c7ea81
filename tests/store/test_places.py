"""Places in streams: found by bisection, the same as by looking at every chunk."""

from __future__ import annotations

import random

import pytest

from amqpd.broker.archive import Cut
from amqpd.store.places import Place, Places


def a_stream(seed: int) -> list[Place]:
    chance = random.Random(seed)  # noqa: S311 - the same every time
    places, base, size, segment, now = [], chance.randint(0, 9), chance.randint(0, 99), 0, 0
    segment = base
    for _ in range(chance.randint(1, 40)):
        messages = chance.randint(1, 9)
        now += chance.choice((0, 0, 1, 7))
        if chance.random() < 0.3:
            segment = base
        places.append(Place(base, messages, segment, size, now))
        base += messages
        size += 10 * messages
    return places


def places_of(chunks: list[Place]) -> Places:
    def probe(low: int, high: int) -> Place | None:
        return max((one for one in chunks if low <= one.base <= high), default=None)

    last = chunks[-1] if chunks else Place(0, 0, 0, 0, 0)
    return Places(probe, chunks[0].base if chunks else 0, last.base + last.messages)


@pytest.mark.parametrize("seed", range(50))
def test_the_first_chunk_with_something_new_enough(seed: int) -> None:
    chunks = a_stream(seed)

    for at in range(-1, chunks[-1].stored_ms + 2):
        wanted = next((one for one in chunks if one.stored_ms >= at), None)
        assert places_of(chunks).since(at) == wanted
    assert places_of(chunks).last() == chunks[-1]


@pytest.mark.parametrize("seed", range(50))
def test_the_first_segment_that_may_stay(seed: int) -> None:
    chunks = a_stream(seed)
    segments = sorted({one.segment for one in chunks})

    for size in range(0, chunks[-1].size_before + 20, 15):
        for at in range(0, chunks[-1].stored_ms + 3, 2):
            kept = next(
                (
                    segment
                    for segment in segments
                    if next(one for one in chunks if one.base == segment).size_before >= size
                    and any(one.stored_ms >= at for one in chunks if one.segment == segment)
                ),
                segments[-1],
            )
            # What is newer than a segment that may stay may stay, too.
            newest = max(one.stored_ms for one in chunks if one.segment == kept)
            first = next(one for one in chunks if one.base == kept)
            last = kept == segments[-1]
            assert places_of(chunks).cut(size, at) == Cut(
                kept, first.size_before, 0 if last else newest
            )


def test_a_stream_without_chunks() -> None:
    places = places_of([])

    assert places.last() is None
    assert places.since(0) is None
    assert places.cut(5, 5) == Cut(0, 0, 0)


def test_a_hole_is_searched_over() -> None:
    chunks = [Place(0, 5, 0, 0, 1), Place(20, 5, 0, 90, 5), Place(25, 5, 0, 150, 6)]

    assert places_of(chunks).since(2) == chunks[1]
    assert places_of(chunks).since(6) == chunks[2]
