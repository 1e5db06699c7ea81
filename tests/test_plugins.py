"""Parts found by name."""

from __future__ import annotations

import importlib.metadata
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from amqpd import plugins


def install(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, str]) -> None:
    """Pretend that packages with these exchange types are installed."""
    group = "amqpd.exchange_types"
    points = EntryPoints(EntryPoint(name, value, group) for name, value in found)
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda **wanted: points.select(**wanted)
    )


def test_a_part_is_loaded_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("x-order", "collections:OrderedDict"), ("x-list", "builtins:list"))

    assert plugins.names("exchange_types") == ["x-list", "x-order"]
    assert plugins.load("exchange_types", "x-list") is list


def test_other_groups_are_other_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("x-list", "builtins:list"))

    assert plugins.names("stores") == []


def test_an_unknown_name_gets_the_nearest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("x-delayed", "builtins:list"))

    with pytest.raises(plugins.PluginError, match="did you mean 'x-delayed'"):
        plugins.load("exchange_types", "x-delay")


def test_two_packages_with_the_same_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("x-list", "builtins:list"), ("x-list", "builtins:dict"))

    with pytest.raises(plugins.PluginError, match=r"more than once: builtins:dict, builtins:list"):
        plugins.load("exchange_types", "x-list")


@pytest.mark.parametrize("value", ["no_such_module:thing", "builtins:no_such_thing"])
def test_a_part_that_cannot_be_imported_says_why(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    install(monkeypatch, ("x-broken", value))

    with pytest.raises(plugins.PluginError, match="no_such"):
        plugins.load("exchange_types", "x-broken")
