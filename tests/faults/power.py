"""Takes the power away from a broker under load: at any moment, with whatever the disk had done.

The broker runs under the recorder of its system calls, and its clients write what they see into
the same recording. So at each moment of it there is what the disk may hold and what the clients
know; the disk is opened with a broker, its queues are drained, and the whole history is judged.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import dataclass, field, replace
from shutil import rmtree
from typing import TYPE_CHECKING, Final

from amqpd.testing import EmbeddedBroker
from amqpd.testing.address import StartFailed
from tests.client import Closed, Gone
from tests.faults import history
from tests.faults.events import (
    Crashed,
    Delivered,
    Drained,
    Event,
    Kind,
    Linked,
    parse,
    read,
)
from tests.faults.kill import Campaign
from tests.faults.subject import Amqpd
from tests.faults.worker import Log
from tests.faults.workloads import MIXED
from tests.store.disk import DEADLY, RECORD, Disk, Policy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.history import Report

#: Small bodies, so that there is more to lose in a recording of the same length.
WORKLOAD: Final = replace(MIXED, sizes=(0, 20, 20, 300, 300, 2000, 20_000))
#: Each so many images are opened twice before they are drained.
TWICE: Final = 5


class Notes:
    """What clients write into the recording."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, text: str) -> None:
        """One note, as a whole and in its place: the file is opened to be appended to."""
        octets = text.encode()
        os.write(self._file, RECORD.pack(b"C", 0, 0, len(octets)) + octets)

    def close(self) -> None:
        """No more."""
        os.close(self._file)


class NotedLog(Log):
    """A history that is in the recording, too."""

    def __init__(self, path: Path, notes: Notes) -> None:
        super().__init__(path)
        self._notes = notes

    def write(self, text: str) -> None:
        """Write a line to both."""
        super().write(text)
        self._notes.write(text)


class NotedDefinitions(dict[str, bool | None]):
    """What must exist and what must not, told to the recording."""

    def __init__(self, notes: Notes) -> None:
        super().__init__()
        self._notes = notes

    def __setitem__(self, queue: str, there: bool | None) -> None:
        super().__setitem__(queue, there)
        self._notes.write(json.dumps({"queue": queue, "there": there}))


class Moment(Disk):
    """The disk, and what the clients know, at one moment."""

    def __init__(self, recording: bytes, directory: Path) -> None:
        super().__init__(recording, directory)
        self.events: list[Event] = []
        self.definitions: dict[str, bool | None] = {}

    @property
    def counts(self) -> bool:
        """Everything durable is there, and clients work."""
        if not self.events:
            return False
        match self.events[-1]:
            case Kind() | Linked() | Drained():
                return False
            case Delivered(drain=drain):
                return not drain
        return True

    def note(self, octets: bytes) -> None:
        """A client has written this down."""
        noted = json.loads(octets)
        if "kind" in noted:
            self.events.append(parse(octets))
        else:
            self.definitions[noted["queue"]] = noted["there"]


@dataclass(slots=True)
class Recording:
    """A broker's lives under the recorder."""

    directory: Path
    octets: bytes

    def moments(self, count: int, chance: random.Random) -> Iterator[Moment]:
        """So many of them, from the first publish on."""
        moment = Moment(self.octets, self.directory)
        possible = [record for record in moment.play() if moment.counts]
        wanted = sorted(chance.sample(possible, count))
        moment = Moment(self.octets, self.directory)
        for record in moment.play():
            while wanted and wanted[0] == record:
                wanted.pop(0)
                yield moment


def recorded(recorder: Path, folder: Path, seed: int, rounds: int, *options: str) -> Recording:
    """Let a broker live, and be killed so often, under the recorder."""
    directory, log = folder / "data", folder / "recording"
    directory.mkdir(mode=0o700)
    environment = {
        "LD_PRELOAD": str(recorder),
        "RECORD_DIRECTORY": str(directory),
        "RECORD_LOG": str(log),
    }
    subject = Amqpd(directory, "--http-port", "0", *options, environment=environment, deadly=DEADLY)
    # Checkpoints belong to what is looked at.
    subject.module = ("tests.faults.small_wal", "start")
    notes = Notes(log)
    campaign = Campaign(
        subject,
        folder / "history.jsonl",
        seed,
        WORKLOAD,
        stops=0.0,
        definitions=NotedDefinitions(notes),
        make_log=lambda path: NotedLog(path, notes),
    )
    report = campaign.run(rounds)
    notes.close()
    assert report.clean, report.text()
    return Recording(directory, log.read_bytes())


@dataclass(slots=True)
class Verdict:
    """What became of so many losses of power."""

    images: int = 0
    #: Confirmed publishes, over all images.
    confirmed: int = 0
    lost: int = 0
    cases: list[str] = field(default_factory=list)


def judged(recording: Recording, moments: int, scratch: Path, seed: int) -> Verdict:
    """Lose the power at so many moments, each time in all the ways there are."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, not secret
    verdict = Verdict()
    for moment in recording.moments(moments, chance):
        for policy in Policy:
            image = scratch / f"image{verdict.images}"
            moment.lose_power(policy, chance, image)
            verdict.images += 1
            twice = verdict.images % TWICE == 0
            try:
                report = survivors(image, moment, twice=twice)
            except (StartFailed, Closed, Gone, TimeoutError) as error:
                problem = repr(error)
            else:
                verdict.confirmed += report.acknowledged
                problem = "" if report.clean else report.text()
            if problem:
                verdict.lost += 1
                verdict.cases.append(f"image {verdict.images}, {policy.value}: {problem}")
            rmtree(image)
    return verdict


def survivors(image: Path, moment: Moment, *, twice: bool) -> Report:
    """Open what is left with a broker, take everything out, and judge."""
    if twice:
        # What recovery does once must not matter when it is done again.
        with EmbeddedBroker(image):
            pass
    path = image.parent / "drained.jsonl"
    path.unlink(missing_ok=True)
    log = Log(path)
    log.add(Crashed)
    try:
        with EmbeddedBroker(image) as broker:
            subject = Amqpd(image)  # not started: the broker runs already
            campaign = Campaign(subject, path, 0, WORKLOAD, definitions={**moment.definitions})
            campaign.check_definitions(broker.port, log)
            campaign.drain(broker.port, log)
    finally:
        log.close()
    return history.check([*moment.events, *read(path)])
