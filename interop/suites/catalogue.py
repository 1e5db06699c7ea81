"""What suites there are: `suites.toml`, read into plain values."""

from __future__ import annotations

import fnmatch
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Registry = Literal["pypi", "npm", "debian", "maven", "go", "crate", "none"]


@dataclass(frozen=True, slots=True)
class Known:
    """A difference that is understood: which test, with which broker, and why."""

    test: str
    reason: str
    on: str = ""

    def covers(self, test: str, broker: str) -> bool:
        """Whether a failure of `test` against `broker` is this one."""
        return self.on in ("", broker) and fnmatch.fnmatchcase(test, self.test)


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite by others: where it comes from and what it does when all is well."""

    name: str
    version: str
    registry: Registry
    command: tuple[str, ...]
    report: Literal["junit", "tap", "go", "cargo"]
    passed: int
    seconds: int
    package: str = ""
    extras: str = ""
    tests: bool = True
    support: str = ""
    certificates: str = ""
    python: tuple[str, ...] = ()
    node: tuple[str, ...] = ()
    debian: tuple[str, ...] = ()
    #: What makes the suite runnable once it is there.
    build: tuple[tuple[str, ...], ...] = ()
    #: Commands for `rabbitmqctl`, once the broker runs: users, vhosts, permissions.
    ctl: tuple[tuple[str, ...], ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    #: Settings of amqpd, where its default stands in the suite's way.
    settings: dict[str, str] = field(default_factory=dict)
    known: tuple[Known, ...] = ()

    @property
    def artefact(self) -> str:
        """The name the registry knows it by."""
        return self.package or self.name

    def reason(self, test: str, broker: str) -> str | None:
        """Why a failure of `test` is expected, or None."""
        return next((k.reason for k in self.known if k.covers(test, broker)), None)


def read(path: Path) -> dict[str, Suite]:
    """All suites by name, in the order of the file."""
    suites: dict[str, Suite] = {}
    for name, entry in tomllib.loads(path.read_text(encoding="utf-8")).items():
        known = tuple(Known(**each) for each in entry.pop("known", ()))
        for nested in ("build", "ctl"):
            entry[nested] = tuple(tuple(command) for command in entry.get(nested, ()))
        lists = {key: tuple(value) for key, value in entry.items() if isinstance(value, list)}
        suites[name] = Suite(name=name, known=known, **{**entry, **lists})
    return suites
