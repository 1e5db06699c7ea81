"""What is to be shown and by whom: scenarios.toml and clients.toml, read into plain values."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Client:
    """One program on one client library."""

    name: str
    folder: str
    language: str
    library: str
    version: str
    run: tuple[str, ...]
    #: Commands that make the program runnable, in its copy in the cache.
    build: tuple[tuple[str, ...], ...] = ()
    debian: tuple[str, ...] = ()
    python: tuple[str, ...] = ()
    #: What its lines are about; empty: the list of scenarios.toml.
    shows: dict[str, str] = field(default_factory=dict)
    #: The scenarios that its program is about, where it is not about all of them.
    only: tuple[str, ...] = ()
    #: Scenarios that this client cannot do, each with the reason.
    without: dict[str, str] = field(default_factory=dict)
    group: str = "client"
    fast: bool = True
    seconds: int = 180
    #: Settings of amqpd that the program needs.
    settings: dict[str, str] = field(default_factory=dict)

    def plays(self, scenarios: dict[str, str]) -> dict[str, str]:
        """What this program shows: a list of its own, or its part of the scenarios."""
        if self.shows:
            return self.shows
        return {name: scenarios[name] for name in self.only} if self.only else scenarios


def scenarios() -> dict[str, str]:
    """Every scenario with what it shows, in the order of the file."""
    text = (ROOT / "scenarios.toml").read_text(encoding="utf-8")
    return {name: str(entry["shows"]) for name, entry in tomllib.loads(text).items()}


def clients() -> dict[str, Client]:
    """All programs by name, in the order of the file."""
    found: dict[str, Client] = {}
    text = (ROOT / "clients.toml").read_text(encoding="utf-8")
    for name, entry in tomllib.loads(text).items():
        build = tuple(tuple(command) for command in entry.pop("build", ()))
        lists = {key: tuple(value) for key, value in entry.items() if isinstance(value, list)}
        folder = entry.pop("folder", f"clients/{name}")
        found[name] = Client(name=name, folder=folder, build=build, **{**entry, **lists})
    return found


def wanted(words: list[str], known: dict[str, Client], fast: bool) -> list[Client]:
    """The programs that were asked for, by name, language or group; all without a word.

    Raises:
        SystemExit: a word that means nothing.
    """
    for word in words:
        if not any(word in _words(client) for client in known.values()):
            names = sorted({name for client in known.values() for name in _words(client)})
            raise SystemExit(f"nothing is called '{word}'; there are: {', '.join(names)}")
    chosen = [
        client
        for client in known.values()
        if (not words or _words(client) & set(words)) and (client.fast or not fast)
    ]
    return chosen


def _words(client: Client) -> set[str]:
    return {client.name, client.language.lower(), client.group}
