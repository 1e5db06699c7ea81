"""`amqpd config`: what is set, where it comes from, and whether it is right."""

from __future__ import annotations

from pathlib import Path

import click

from amqpd import config as settings
from amqpd.cli.options import EX_CONFIG, fail, load, settings_options
from amqpd.cli.reach import as_json as print_json
from amqpd.cli.reach import json_option


@click.group()
def config() -> None:
    """Show and check settings; takes the options of start."""


@config.command()
@settings_options
@click.option("--origin", is_flag=True, help="Only what is not a default, with its source.")
@click.option("--comments", is_flag=True, help="With what each setting means.")
@click.option("--show-secrets", is_flag=True, help="Passwords as they are.")
def show(
    file: Path | None, origin: bool, comments: bool, show_secrets: bool, **options: object
) -> None:
    """Print the settings in force as a configuration file."""
    found = load(file, options)
    if not origin:
        text = settings.to_toml(found.settings, comments=comments, show_secrets=show_secrets)
        click.echo(text, nl=False)
        return
    for key, entry in sorted(found.origins.items()):
        hidden = key in settings.SECRETS and not show_secrets
        click.echo(f"{key} = {'***' if hidden else entry.value}  ({entry.source})")
    if not found.origins:
        click.echo("everything is a default")


@config.command()
@settings_options
@json_option
def check(file: Path | None, as_json: bool, **options: object) -> None:
    """Say whether the settings are right; 78 if not."""
    found = load(file, options)
    if as_json:
        changed = {key: entry.source for key, entry in sorted(found.origins.items())}
        print_json({"warnings": list(found.warnings), "not_defaults": changed})
        return
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"settings are right ({len(found.origins)} of them not defaults)")


@config.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def import_(file: Path) -> None:
    """Print a rabbitmq.conf as settings of amqpd (TOML); what has no effect is told."""
    try:
        found = settings.load(file, {}, {})
    except settings.ConfigError as error:
        fail(str(error), EX_CONFIG)
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(settings.changes_to_toml(found), nl=False)
