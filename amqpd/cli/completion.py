"""`amqpd completion`: what a shell needs to complete commands, options, and names of queues."""

from __future__ import annotations

from typing import Final

import click

from amqpd.cli.answer import EX_DATA, fail

#: Where each shell looks, for the help.
PLACES: Final = {
    "bash": "amqpd completion bash > ~/.local/share/bash-completion/completions/amqpd",
    "zsh": "amqpd completion zsh > ~/.zfunc/_amqpd   (with fpath+=~/.zfunc before compinit)",
    "fish": "amqpd completion fish > ~/.config/fish/completions/amqpd.fish",
}


@click.command(
    epilog="\b\n" + "\n".join(PLACES.values()),
)
@click.argument("shell", type=click.Choice([*PLACES]))
def completion(shell: str) -> None:
    """Print the script with which a shell completes amqpd."""
    from click.shell_completion import get_completion_class

    from amqpd.cli.main import group

    found = get_completion_class(shell)
    if found is None:
        fail(f"{shell}: not a shell that completion is known for", EX_DATA)
    made = found(group, {}, "amqpd", "_AMQPD_COMPLETE")
    # Not `source()`: that asks for the version of the bash that is installed here.
    click.echo(made.source_template % made.source_vars())
