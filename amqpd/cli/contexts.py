"""Contexts: brokers by name, so that nobody types addresses and passwords again.

    in_use(name, environment) -> Context | None     the one that is meant
    read(path)  write(path, contexts)               the file: `~/.config/amqpd/contexts.json`

The file has passwords in it, so it is for nobody else (0600); one that others may read is refused.
"""

from __future__ import annotations

import difflib
import json
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_VARIABLE: Final = "AMQPD_CONTEXTS"
NAME_VARIABLE: Final = "AMQPD_CONTEXT"
OTHERS: Final = 0o077
#: Wrong data, and wrong settings (sysexits.h).
EX_DATA: Final = 65
EX_CONFIG: Final = 78


class ContextError(Exception):
    """There is no such context, or the file cannot be used; says what to do, and the exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Context:
    """One broker and who we are there. `amqp` is for messages; empty: as the API's address."""

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    amqp: str = ""
    vhost: str = ""
    ca: str = ""


@dataclass(slots=True)
class Contexts:
    """All of them, and the one that is in use; empty: the broker of this machine."""

    known: dict[str, Context] = field(default_factory=dict)
    used: str = ""
    #: The one that was in use before it; empty: the broker of this machine.
    before: str = ""

    def choose(self, name: str) -> None:
        """Use one from now on; empty: the broker of this machine."""
        if name != self.used:
            self.used, self.before = name, self.used

    def find(self, name: str) -> Context:
        """One by its name.

        Raises:
            ContextError: there is none.
        """
        if name in self.known:
            return self.known[name]
        near = difflib.get_close_matches(name, self.known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "'amqpd context list' shows them"
        raise ContextError(f"no context '{name}'; {hint}", EX_DATA)


def place(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the file is."""
    if named := environment.get(FILE_VARIABLE):
        return Path(named)
    home = environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "/")) / ".config"
    return Path(home) / "amqpd" / "contexts.json"


def read(path: Path) -> Contexts:
    """What is in the file; nothing if it is not there.

    Raises:
        ContextError: others may read it, or it is not one of ours.
    """
    try:
        with path.open() as file:
            mode = os.fstat(file.fileno()).st_mode & OTHERS
            found = json.load(file)
    except FileNotFoundError:
        return Contexts()
    except (OSError, ValueError) as error:
        raise ContextError(f"contexts '{path}': {error}", EX_CONFIG) from error
    if mode:
        raise ContextError(
            f"contexts '{path}': others may read the passwords in it: chmod 600 {path}", EX_CONFIG
        )
    try:
        names = {one.name for one in fields(Context)}
        known = {
            str(name): Context(**{key: str(facts[key]) for key in names & set(facts)})
            for name, facts in found["contexts"].items()
        }
        return Contexts(known, str(found.get("used", "")), str(found.get("before", "")))
    except (KeyError, TypeError, AttributeError) as error:
        raise ContextError(f"contexts '{path}': not a file of contexts", EX_CONFIG) from error


def write(path: Path, contexts: Contexts) -> None:
    """Write the file as a whole, for nobody else.

    Raises:
        ContextError: it cannot be written.
    """
    content = {
        "used": contexts.used,
        "before": contexts.before,
        "contexts": {
            name: {key: value for key, value in asdict(one).items() if value}
            for name, one in sorted(contexts.known.items())
        },
    }
    new = path.with_suffix(".new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        opened = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(opened, "w") as file:
            file.write(json.dumps(content, indent=2) + "\n")
        new.replace(path)
    except OSError as error:
        raise ContextError(f"contexts '{path}': {error.strerror}", EX_CONFIG) from error


def in_use(name: str | None, environment: Mapping[str, str] = os.environ) -> Context | None:
    """The context that is asked for, by option or environment, or the one in use; or none.

    Raises:
        ContextError: there is none of that name, or the file cannot be used.
    """
    path = place(environment)
    wanted = name or environment.get(NAME_VARIABLE, "")
    if not wanted and not path.exists():
        return None
    contexts = read(path)
    wanted = wanted or contexts.used
    return contexts.find(wanted) if wanted else None
