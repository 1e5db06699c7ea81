"""Inputs made from other inputs: what a fuzzer does when nobody tells it what was reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence
    from pathlib import Path

#: Numbers at whose edges mistakes are made, in the sizes in which they are written.
EDGES: Final = tuple(
    (value % (1 << 8 * size)).to_bytes(size, "big")
    for size in (1, 2, 4, 8)
    for value in (0, 1, -1, 127, 128, 255, 256, 4096, 65_535, 1 << 31, (1 << 31) - 1, 1 << 63)
)
MOST_CHANGES: Final = 6


def corpus(folder: Path) -> list[bytes]:
    """All inputs of a folder, in an order that is always the same."""
    return [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]


class Mutation:
    """Makes inputs from a corpus and a seed."""

    def __init__(self, inputs: Sequence[bytes], chance: random.Random) -> None:
        self._inputs = inputs
        self._chance = chance
        self._ways: tuple[Callable[[bytearray], None], ...] = (
            self._flip,
            self._flip,
            self._set,
            self._edge,
            self._edge,
            self._insert,
            self._remove,
            self._repeat,
            self._splice,
        )

    def next(self) -> bytes:
        """Another one; its first octet, which says what it is for, stays mostly as it was."""
        made = bytearray(self._chance.choice(self._inputs))
        kind = made[:1]
        for _ in range(self._chance.randint(1, MOST_CHANGES)):
            self._chance.choice(self._ways)(made)
        if self._chance.random() < 0.95:
            made[:1] = kind
        return bytes(made)

    def _at(self, made: bytearray) -> int:
        return self._chance.randrange(len(made) + 1)

    def _flip(self, made: bytearray) -> None:
        if made:
            made[self._chance.randrange(len(made))] ^= 1 << self._chance.randrange(8)

    def _set(self, made: bytearray) -> None:
        if made:
            made[self._chance.randrange(len(made))] = self._chance.randrange(256)

    def _edge(self, made: bytearray) -> None:
        edge, at = self._chance.choice(EDGES), self._at(made)
        made[at : at + len(edge)] = edge

    def _insert(self, made: bytearray) -> None:
        at = self._at(made)
        made[at:at] = self._chance.randbytes(self._chance.choice((1, 1, 2, 4, 30)))

    def _remove(self, made: bytearray) -> None:
        at = self._at(made)
        del made[at : at + self._chance.choice((1, 1, 2, 4, 30, 1000))]

    def _repeat(self, made: bytearray) -> None:
        at = self._at(made)
        piece = made[at : at + self._chance.choice((1, 4, 20))]
        made[at:at] = piece * self._chance.choice((1, 2, 40))

    def _splice(self, made: bytearray) -> None:
        other = self._chance.choice(self._inputs)
        at = self._at(made)
        made[at:] = other[self._chance.randrange(len(other) + 1) :]
