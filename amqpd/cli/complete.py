"""Names for a shell to complete: of queues, exchanges, users, … of the broker that is meant.

A shell that asks is never kept waiting, and never told what is wrong: then there are no names.
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Final

from amqpd.cli.contexts import ContextError
from amqpd.cli.contexts import place as contexts_file
from amqpd.cli.contexts import read as read_contexts
from amqpd.cli.reach import place, vhost_name
from amqpd.cli.remote import Remote, RemoteError, segment

if TYPE_CHECKING:
    from collections.abc import Callable

    import click

    Complete = Callable[[click.Context, click.Parameter, str], list[str]]

#: Somebody waits with a finger on the key.
PATIENCE_S: Final = 1.0
#: More than these nobody reads.
MOST: Final = 500
#: Things of one vhost.
IN_VHOST: Final = frozenset({"queues", "exchanges", "policies"})


def names_of(what: str) -> Complete:
    """Completes the names of these things; `what` is their path in the API."""

    def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
        with context.scope(cleanup=False):  # its options say which broker
            found = [one for one in _names(what) if one.startswith(begun)]
        return sorted(found)[:MOST]

    return complete


def _names(what: str) -> list[str]:
    path = f"/{what}/{segment(vhost_name())}" if what in IN_VHOST else f"/{what}"
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            remote = Remote(place(timeout_s=PATIENCE_S))
            with contextlib.closing(remote):
                return [one["name"] for one in remote.get(path, columns="name")]
        except (RemoteError, SystemExit):
            return []


def contexts(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Completes the names of contexts."""
    try:
        return sorted(one for one in read_contexts(contexts_file()).known if one.startswith(begun))
    except ContextError:
        return []
