"""What a backend may need of the broker that it works for.

A backend of another package is a function `make(around) -> Backend` behind an entry point of
the group `amqpd.auth_backends`; ours are made the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from amqpd.auth.chain import Backend
    from amqpd.auth.remote import Answers, Spawn
    from amqpd.auth.settings import HttpAuth, Ldap, OAuth2
    from amqpd.broker.permissions import User

Make: TypeAlias = "Callable[[Around], Backend]"


@dataclass(frozen=True, slots=True)
class Around:
    """The broker's users, a thread for hashes, a way to start tasks, and the settings."""

    find_user: Callable[[str], User | None]
    thread: Executor
    spawn: Spawn
    #: How long answers of others count.
    cache_ttl_s: float
    oauth2: OAuth2
    http: HttpAuth
    ldap: Ldap
    #: Answers that are to be forgotten from time to time; a backend adds its own.
    answers: list[Answers] = field(default_factory=list)
