"""Whatever strangers send to any decoder ends in a value or in an error that has a code."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.fuzz.decoders import TARGETS, one_input
from tests.fuzz.mutation import Mutation, corpus

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS: Final = Path(__file__).with_name("corpus")
FAST: Final = 20_000
SLOW: Final = 1_000_000


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    """Every refusal is a line, and all lines are kept until the end of the test."""
    logger = logging.getLogger("amqpd")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


def try_out(octets: bytes, name: str) -> None:
    try:
        one_input(octets)
    except Exception as error:
        shown = octets[:2000].hex()
        raise AssertionError(
            f"{name}: {TARGETS[octets[0] % len(TARGETS)].__name__} {shown}"
        ) from error


def mutated(count: int, seed: int) -> Iterator[bytes]:
    mutation = Mutation(corpus(CORPUS), random.Random(seed))  # noqa: S311 - repeatable, not secret
    return (mutation.next() for _ in range(count))


@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_the_corpus_is_read(name: str) -> None:
    try_out((CORPUS / name).read_bytes(), name)


def test_every_decoder_is_in_the_corpus() -> None:
    assert {octets[0] % len(TARGETS) for octets in corpus(CORPUS)} == set(range(len(TARGETS)))


@pytest.mark.timeout(600)
def test_mutated_inputs_are_read_or_refused() -> None:
    for number, octets in enumerate(mutated(FAST, 1)):
        try_out(octets, f"seed 1 input {number}")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_very_many_mutated_inputs_are_read_or_refused(request: pytest.FixtureRequest) -> None:
    count = request.config.getoption("--fuzz-inputs") or SLOW

    for number, octets in enumerate(mutated(count, 2)):
        try_out(octets, f"seed 2 input {number}")
