"""Settings as text: a configuration file of what is in force, or of what is not a default."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Meta, Struct

from amqpd.config import SECRETS, SECTIONS
from amqpd.text import masked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqpd.config import Config, Settings


def describe(cls: type[Struct]) -> Iterator[tuple[str, str]]:
    """Keys of a section with their descriptions."""
    for field in msgspec.structs.fields(cls):
        info = field.type
        while not (texts := [m.description for m in _meta(info) if m.description]):
            info = getattr(info, "__origin__", None)
            if info is None:
                break
        yield field.name, texts[0] if texts else ""


def to_toml(settings: Settings, *, comments: bool = False, show_secrets: bool = False) -> str:
    """The settings as a file that `load` reads back."""
    lines: list[str] = []
    for section, cls in SECTIONS.items():
        if comments:
            lines.append(f"## {(cls.__doc__ or '').splitlines()[0]}")
        lines.append(f"[{section}]")
        for key, description in describe(cls):
            value = getattr(getattr(settings, section), key)
            if not show_secrets:
                value = "***" if f"{section}.{key}" in SECRETS else masked(value)
            if comments:
                lines.append(f"# {description}")
            lines.append(f"{key} = {_toml(value)}")
        lines.append("")
    return "\n".join(lines)


def changes_to_toml(loaded: Config) -> str:
    """Only what is not a default, as a file that `load` reads back."""
    lines: list[str] = []
    for section in SECTIONS:
        keys = [key for key in _names(section) if f"{section}.{key}" in loaded.origins]
        if keys:
            content = getattr(loaded.settings, section)
            lines.append(f"[{section}]")
            lines += [f"{key} = {_toml(getattr(content, key))}" for key in keys]
            lines.append("")
    return "\n".join(lines)


def _meta(info: object) -> list[Meta]:
    found = getattr(info, "__metadata__", ())
    return [one for one in found if isinstance(one, Meta)]


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, int) and value >= 100_000:
        return f"{value:_}"
    return msgspec.json.encode(value).decode()


def _names(section: str) -> list[str]:
    return [field.name for field in msgspec.structs.fields(SECTIONS[section])]
