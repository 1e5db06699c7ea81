"""Policies and operator policies: arguments for queues and exchanges by the pattern of a name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from amqpd.cli.answer import EX_UNAVAILABLE
from amqpd.cli.ctl.refusals import end, invalid
from amqpd.cli.ctl.verb import argument, option, verb
from amqpd.cli.remote import segment

if TYPE_CHECKING:
    from amqpd.cli.ctl.verb import Ctl

GROUP: Final = "policies"
COLUMNS: Final = ("vhost", "name", "pattern", "apply-to", "definition", "priority")
SHAPE: Final = (
    argument("name"),
    argument("pattern"),
    argument("definition"),
    option("--priority", type=int, default=0, help="The highest wins.  [0]"),
    option("--apply-to", default="all", metavar="KIND", help="all, queues, exchanges, …  [all]"),
)


def parse_json(text: str) -> Any:
    """JSON from the command line; 69 if it is none."""
    try:
        return json.loads(text)
    except ValueError as error:
        end(f"JSON decoding error. Reason: {error}", EX_UNAVAILABLE)


def _put(
    ctl: Ctl, kind: str, name: str, pattern: str, definition: str, priority: int, apply_to: str
) -> None:
    body = {
        "pattern": pattern,
        "definition": parse_json(definition),
        "priority": priority,
        "apply-to": apply_to,
    }
    ctl.remote.put(f"/{kind}/{ctl.vhost_path}/{segment(name)}", body)


def _rows(ctl: Ctl, kind: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ctl.remote.get(f"/{kind}/{ctl.vhost_path}")
    return [
        row | {"definition": json.dumps(row["definition"], separators=(",", ":"), sort_keys=True)}
        for row in rows
    ]


@verb("set_policy", GROUP, *SHAPE)
def set_policy(
    ctl: Ctl, name: str, pattern: str, definition: str, priority: int, apply_to: str
) -> None:
    """Set a policy: name, pattern of names, definition in JSON."""
    ctl.say(
        f'Setting policy "{name}" for pattern "{pattern}" to "{definition}" with priority '
        f'"{priority}" for vhost "{ctl.vhost}" ...'
    )
    _put(ctl, "policies", name, pattern, definition, priority, apply_to)


@verb("set_operator_policy", GROUP, *SHAPE)
def set_operator_policy(
    ctl: Ctl, name: str, pattern: str, definition: str, priority: int, apply_to: str
) -> None:
    """Set an operator policy, which limits what policies and arguments say."""
    ctl.say(
        f'Setting operator policy override "{name}" for pattern "{pattern}" to "{definition}" '
        f'with priority "{priority}" for vhost "{ctl.vhost}" ...'
    )
    _put(
        ctl, "operator-policies", name, pattern, definition, priority,
        "queues" if apply_to == "all" else apply_to,
    )  # fmt: skip


@verb("clear_policy", GROUP, argument("name"))
def clear_policy(ctl: Ctl, name: str) -> None:
    """Remove a policy."""
    ctl.say(f'Clearing policy "{name}" on vhost "{ctl.vhost}" ...')
    ctl.remote.delete(f"/policies/{ctl.vhost_path}/{segment(name)}")


@verb("clear_operator_policy", GROUP, argument("name"))
def clear_operator_policy(ctl: Ctl, name: str) -> None:
    """Remove an operator policy."""
    ctl.say(f'Clearing operator policy "{name}" on vhost "{ctl.vhost}" ...')
    ctl.remote.delete(f"/operator-policies/{ctl.vhost_path}/{segment(name)}")


@verb("list_policies", GROUP)
def list_policies(ctl: Ctl) -> None:
    """The policies of a vhost."""
    ctl.say(f'Listing policies for vhost "{ctl.vhost}" ...')
    ctl.show(COLUMNS, _rows(ctl, "policies"))


@verb("list_operator_policies", GROUP)
def list_operator_policies(ctl: Ctl) -> None:
    """The operator policies of a vhost."""
    ctl.say(f'Listing operator policy overrides for vhost "{ctl.vhost}" ...')
    ctl.show(COLUMNS, _rows(ctl, "operator-policies"))


@verb(
    "list_policies_that_match",
    GROUP,
    argument("name"),
    option("--object-type", default="queue", help="queue or exchange.  [queue]"),
)
def list_policies_that_match(ctl: Ctl, name: str, object_type: str) -> None:
    """The policies in force for a queue or an exchange, the effective one first."""
    if object_type not in ("queue", "exchange"):
        invalid(f"--object-type {object_type}: must be queue or exchange")
    ctl.say(f'Listing policies that match {object_type} "{name}" in vhost "{ctl.vhost}" ...')
    found = ctl.remote.get(f"/{object_type}s/{ctl.vhost_path}/{segment(name)}")
    names = [found.get("policy"), found.get("operator_policy")]
    rows = [
        row
        for kind, wanted in zip(("policies", "operator-policies"), names, strict=True)
        for row in _rows(ctl, kind)
        if wanted and row["name"] == wanted
    ]
    ctl.show(COLUMNS, rows)
