"""`amqpd config`: what is set, where it comes from, and whether it is right."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from amqpd import config as settings
from amqpd import config_text
from amqpd.cli.answer import EX_CONFIG, answer, answers, fail_for, note, wants_json
from amqpd.cli.options import load, read, settings_options
from amqpd.text import masked


@click.group()
def config() -> None:
    """Show and check settings; takes the options of start."""


@config.command()
@settings_options
@click.option("--origin", is_flag=True, help="Only what is not a default, with its source.")
@click.option("--comments", is_flag=True, help="With what each setting means.")
@click.option("--show-secrets", is_flag=True, help="Passwords as they are.")
@answers(says="{SECTION.KEY: {value, source}, …}")
def show(
    file: Path | None, origin: bool, comments: bool, show_secrets: bool, **options: object
) -> None:
    """Print the settings in force as a configuration file."""
    found = load(file, options)
    if wants_json():
        answer(_facts(found, origin=origin, show_secrets=show_secrets))
        return
    if not origin:
        text = config_text.to_toml(found.settings, comments=comments, show_secrets=show_secrets)
        click.echo(text, nl=False)
        return
    for key, entry in sorted(found.origins.items()):
        value = entry.value if show_secrets else _without_secret(key, entry.value)
        click.echo(f"{key} = {value}  ({entry.source})")
    if not found.origins:
        click.echo("everything is a default")


@config.command()
@settings_options
@answers("warnings", "not_defaults")
def check(file: Path | None, **options: object) -> None:
    """Say whether the settings are right, or all that is wrong; 78 if anything is."""
    try:
        found = read(file, options)
    except settings.ConfigError as error:
        fail_for(error.problems, EX_CONFIG)
    changed = {key: entry.source for key, entry in sorted(found.origins.items())}
    for warning in found.warnings:
        note(f"warning: {warning}")
    answer(
        {"warnings": list(found.warnings), "not_defaults": changed},
        f"settings are right ({len(changed)} of them not defaults)",
    )


@config.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@answers("toml", "warnings")
def import_(file: Path) -> None:
    """Print a rabbitmq.conf as settings of amqpd (TOML); what has no effect is told."""
    try:
        found = settings.load(file, {}, {})
    except settings.ConfigError as error:
        fail_for(error.problems, EX_CONFIG)
    for warning in found.warnings:
        note(f"warning: {warning}")
    text = config_text.changes_to_toml(found)
    answer({"toml": text, "warnings": list(found.warnings)}, text.rstrip("\n"))


def _facts(found: settings.Config, *, origin: bool, show_secrets: bool) -> dict[str, object]:
    """Every setting with its value and where that comes from; with `origin` no defaults."""
    facts: dict[str, object] = {}
    for section, values in msgspec.to_builtins(found.settings).items():
        for name, value in values.items():
            key = f"{section}.{name}"
            entry = found.origins.get(key)
            if entry is not None or not origin:
                shown = value if show_secrets else _without_secret(key, value)
                source = "default" if entry is None else entry.source
                facts[key] = {"value": shown, "source": source}
    return facts


def _without_secret(key: str, value: object) -> object:
    return "***" if key in settings.SECRETS and value else masked(value)
