"""How verbs end that are not carried out: RabbitMQ's texts and codes.

    end(text, code)                     `Error:` and what it is, on standard error
    not_understood(context, error)      arguments that are none: what, and how it is used
    explain(verb, remote, vhost, error) what the broker refused, in rabbitmqctl's words

With `--formatter json` an error is an object as well.
"""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from amqpd.cli.answer import (
    EX_DATA,
    EX_NO_USER,
    EX_SOFTWARE,
    EX_UNAVAILABLE,
    EX_USAGE,
)
from amqpd.cli.remote import Remote, RemoteError, segment
from amqpd.text import in_json, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Where the words leave that the command was called with.
WORDS: Final = "amqpd.ctl.words"
#: Options whose values are not repeated.
SECRET: Final = ("--password", "--erlang-cookie")

#: How verbs end that the broker refuses; others with 65.
CODES: Final[Mapping[str, int]] = {
    "delete_queue": EX_USAGE,
    **dict.fromkeys(
        (
            "add_vhost", "clear_global_parameter", "clear_operator_policy", "clear_parameter",
            "clear_policy", "import_definitions", "peek", "purge_queue", "quorum_status",
            "set_global_parameter", "set_operator_policy", "set_parameter", "set_permissions",
            "set_policy", "set_topic_permissions", "set_user_limits", "set_vhost_limits",
            "stream_status",
        ),
        EX_UNAVAILABLE,
    ),
}  # fmt: skip
#: What is not there, by the verb that looked for it.
MISSING: Final[Mapping[str, str]] = {
    "delete_queue": "Queue not found",
    **dict.fromkeys(("purge_queue", "quorum_status", "stream_status"), "not_found"),
    "peek": "Target queue was not found in virtual host '{vhost}'",
    **dict.fromkeys(
        ("clear_global_parameter", "clear_operator_policy", "clear_parameter", "clear_policy"),
        "Parameter does not exist",
    ),
}
#: Verbs that say of a vhost that is not there what they say of anything else.
ANY_VHOST: Final = frozenset(MISSING)
#: Verbs about a user's rights: they have another text and another code for it.
RIGHTS: Final = frozenset(
    ("set_permissions", "clear_permissions", "set_topic_permissions", "clear_topic_permissions")
)
#: Verbs that end with 69 where there is no such user.
USER_IS_DATA: Final = frozenset(
    (
        "clear_password", "clear_user_limits", "list_user_limits", "list_user_permissions",
        "list_user_topic_permissions", "set_user_limits",
    )
)  # fmt: skip


def end(text: str, code: int, *, title: str = "Error:") -> NoReturn:
    """Say on standard error why a verb was not carried out, and end the process."""
    if _formatter() == "json":
        _object({"message": text, "result": "error"})
    else:
        click.echo(printable(f"{title}\n{text}\n" if title else f"{text}\n"), err=True)
    raise SystemExit(code)


def end_with(facts: Mapping[str, Any], text: str, code: int) -> NoReturn:
    """The same, where programs are told more."""
    if _formatter() == "json":
        _object({**facts, "result": "error"})
        raise SystemExit(code)
    end(text, code)


def _object(facts: Mapping[str, Any]) -> None:
    click.echo(in_json(json.dumps(facts, separators=(",", ":"), ensure_ascii=False)), err=True)


def invalid(text: str, code: int = EX_USAGE, *, more: str = "") -> NoReturn:
    """Say that the arguments of the verb that runs are none, and how it is used."""
    _show_usage(click.get_current_context(), f"Error (argument validation): {text}")
    if more:
        click.echo(more, err=True)
    raise SystemExit(code)


def bad(text: str) -> NoReturn:
    """The same for an argument that cannot be meant."""
    invalid(f"Bad argument: {text}", EX_DATA)


def no_user(verb: str, name: str) -> NoReturn:
    """There is no such user."""
    quoted = name if verb in RIGHTS else f'"{name}"'
    end(f"User {quoted} does not exist", EX_UNAVAILABLE if verb in USER_IS_DATA else EX_NO_USER)


def no_vhost(verb: str, name: str) -> NoReturn:
    """There is no such vhost."""
    if verb in RIGHTS:
        end(f"Virtual host {name} does not exist", EX_UNAVAILABLE)
    if verb == "restart_vhost":
        end(f"Failed to start vhost '{name}': it does not exist", EX_SOFTWARE)
    end(f"Virtual host '{name}' does not exist", EX_DATA, title="")


def explain(verb: str, remote: Remote, vhost: str, error: RemoteError) -> NoReturn:
    """Say what the broker, or the way to it, refused, and end the process."""
    if error.status == 503 and "stop_app" in error.text:
        end(
            "this command requires the 'rabbit' app to be running on the target node. "
            "Start it with 'amqpd ctl start_app'.",
            EX_USAGE,
        )
    if error.status not in (400, 404):
        end(error.text, error.code)
    if verb not in ANY_VHOST and not _is_there(remote, vhost):
        no_vhost(verb, vhost)
    text = error.text
    if verb == "set_user_limits":  # RabbitMQ's own has no such line
        text = text.removeprefix("Validation failed\n\n")
    if error.status == 404 and verb in MISSING:
        text = MISSING[verb].format(vhost=vhost)
    end(text, CODES.get(verb, error.code))


def _is_there(remote: Remote, vhost: str) -> bool:
    try:
        remote.get(f"/vhosts/{segment(vhost)}", columns="name")
    except RemoteError as error:
        return error.status != 404
    return True


# -- arguments ---------------------------------------------------------------------------


def not_understood(error: click.UsageError) -> NoReturn:
    """Say what is wrong with the arguments, in rabbitmqctl's words, and how it is right."""
    text = _wrong(error)
    _show_usage(error.ctx, text)
    raise SystemExit(EX_USAGE)


def _wrong(error: click.UsageError) -> str:
    title = "Error (argument validation): "
    if isinstance(error, click.MissingParameter) and isinstance(error.param, click.Argument):
        return f"{title}not enough arguments."
    if isinstance(error, click.NoSuchOption):
        near = f" Did you mean '{error.possibilities[0]}'?" if error.possibilities else ""
        return f"{title}Invalid options for this command:\n{error.option_name} :{near}"
    if isinstance(error, click.BadParameter) and error.param is not None:
        return f"{title}Invalid options for this command:\n{error.param.opts[0]} : {error.message}"
    if error.message.startswith("Got unexpected extra"):
        return f"{title}too many arguments."
    return f"{title}{error.message}"


def no_verb(context: click.Context, name: str, known: Sequence[str]) -> NoReturn:
    """There is no verb of that name: the nearest one, or all of them."""
    click.echo(printable(f"\nCommand '{name}' not found. "), err=True)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    click.echo(f"Did you mean '{near[0]}'? \n" if near else f"\n{context.get_help()}", err=True)
    raise SystemExit(EX_USAGE)


def _show_usage(context: click.Context | None, text: str) -> None:
    shown = printable(text)
    if context is not None:
        words = " ".join(_bare(context.meta.get(WORDS, ())))
        usage = context.get_usage().removeprefix("Usage: ")
        title = click.style("Usage", bold=True)
        shown += f"\nArguments given:\n\t{printable(words)}\n\n{title}\n\n{usage}\n"
    click.echo(shown, err=True)


def _bare(words: Sequence[str]) -> list[str]:
    """The words without passwords that are given as options."""
    shown: list[str] = []
    for word in words:
        name, equals, _ = word.partition("=")
        if shown and shown[-1] in SECRET:
            shown.append("***")
        else:
            shown.append(f"{name}=***" if equals and name in SECRET else word)
    return shown


def _formatter() -> str:
    """The format that is wished for, wherever among the words it stands."""
    context = click.get_current_context(silent=True)
    while context is not None:
        if found := context.params.get("formatter"):
            return str(found)
        context = context.parent
    return ""
