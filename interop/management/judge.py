"""Compares what two brokers answered: which places differ, and which of them are meant to.

differences.toml names those, each with its reason:

    [[difference]]
    call = "GET /overview*"         which calls; `*` stands for anything, without it all
    place = "listeners[*].node"     where in the answer
    rabbitmq = "string *"           what RabbitMQ says there, `-` for nothing; without it anything
    amqpd = "-"                     likewise
    reason = "..."

What lies inside an object or a list that one side does not have is not told of again.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from play import Answers
    from shape import Facts

HERE: Final = Path(__file__).resolve().parent
KNOWN: Final = HERE / "differences.toml"
#: RabbitMQ's answers, so that comparing them needs no RabbitMQ.
REFERENCE: Final = HERE / "reference.json"
#: What is said of a place that is not there.
NOTHING: Final = "-"
_LAST_STEP: Final = re.compile(r"(\.[^.\[\]]*|\[[^\[\]]*\])$")


class Found(NamedTuple):
    """A place where the answers to a call differ."""

    call: str
    place: str
    rabbitmq: str
    amqpd: str

    def __str__(self) -> str:
        return f"{self.call}\n    {self.place}\n    rmq {self.rabbitmq}\n    our {self.amqpd}"


@dataclass
class Difference:
    """Differences that are wanted, or understood, and why."""

    reason: str
    place: str
    call: str = "*"
    rabbitmq: str = "*"
    amqpd: str = "*"
    seen: int = 0

    def covers(self, found: Found) -> bool:
        """Whether this is one of them."""
        return all(
            _like(text, pattern)
            for text, pattern in (
                (found.place, self.place),
                (found.call, self.call),
                (found.rabbitmq, self.rabbitmq),
                (found.amqpd, self.amqpd),
            )
        )


@dataclass
class Verdict:
    """The outcome of a comparison."""

    calls: int = 0
    unexpected: list[Found] = field(default_factory=list)
    wanted: Counter[str] = field(default_factory=Counter)
    stale: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def failures(self) -> int:
        """Calls with differences that are not listed or made at one side only; listed ones gone."""
        return len({found.call for found in self.unexpected}) + len(self.stale) + len(self.missing)

    def report(self) -> str:
        """What a person wants to read."""
        lines = [str(found) for found in self.unexpected]
        lines += [f"listed, but there no more: {entry}" for entry in self.stale]
        lines += [f"made at one side only: {call}" for call in self.missing]
        passed = self.calls - len({found.call for found in self.unexpected})
        return "\n".join([*lines, f"{passed} passed, {self.failures} failed"])


def _like(text: str, pattern: str) -> bool:
    if "*" not in pattern:
        return text == pattern
    # Brackets are ordinary in places; only the star is special.
    return fnmatchcase(text, pattern.replace("[", "[[]").replace("?", "[?]"))


def read_known(path: Path = KNOWN) -> list[Difference]:
    """The differences that are meant to be."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    return [Difference(**entry) for entry in entries.get("difference", [])]


def read_answers(path: Path) -> Answers:
    """Answers written earlier."""
    answers: Answers = json.loads(path.read_text(encoding="utf-8"))
    return answers


def write_answers(path: Path, answers: Answers) -> None:
    """Keep answers, a fact each line, so that changes can be read."""
    written = json.dumps(answers, indent=0, ensure_ascii=False)
    path.write_text(f"{written}\n", encoding="utf-8")


def differing(call: str, rabbitmq: Facts, amqpd: Facts) -> Iterator[Found]:
    """Where the answers to a call differ, the outermost places only."""
    for place in [*rabbitmq, *(place for place in amqpd if place not in rabbitmq)]:
        theirs, ours = rabbitmq.get(place, NOTHING), amqpd.get(place, NOTHING)
        outer = _LAST_STEP.sub("", place)
        is_told = outer != place and any(
            facts.get(outer) not in {"object", "list"} for facts in (rabbitmq, amqpd)
        )
        if theirs != ours and not is_told:
            yield Found(call, place, theirs, ours)


def compare(rabbitmq: Answers, amqpd: Answers, known: list[Difference]) -> Verdict:
    """Judge all calls."""
    verdict = Verdict(len(rabbitmq), missing=sorted(rabbitmq.keys() ^ amqpd.keys()))
    for call, theirs in rabbitmq.items():
        for found in differing(call, theirs, amqpd.get(call, {})):
            covering = next((each for each in known if each.covers(found)), None)
            if covering is None:
                verdict.unexpected.append(found)
            else:
                covering.seen += 1
                verdict.wanted[covering.reason] += 1
    verdict.stale = [f"{each.place}: {each.reason}" for each in known if not each.seen]
    return verdict
