"""Progress is for terminals, and gone when the work is done."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from amqpd.cli import progress

if TYPE_CHECKING:
    from pathlib import Path


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    made = Screen()
    # Not sys.stderr itself: pytest puts its own there after this.
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=made))
    return made


def test_without_a_terminal_there_is_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        progress.growing(tmp_path, 1, "copying"),
        progress.working("checking"),
        progress.counting(10, "publishing") as count,
    ):
        count(10)

    assert capsys.readouterr().err == ""


def test_steps_are_shown_as_they_are_done(screen: Screen) -> None:
    with progress.counting(60, "publishing") as count:
        for _ in range(60):
            count(1)

    shown = screen.getvalue().split(progress.LINE)
    assert shown[1] == "publishing [..............................]   0 %"
    assert shown[-2] == "publishing [##############################] 100 %"
    assert shown[-1] == ""


def test_what_takes_long_shows_that_it_goes_on(
    screen: Screen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOOK_S", 0.001)
    file = tmp_path / "copy"
    with progress.growing(file, 100, "copying"):
        while "0 %" not in screen.getvalue():
            pass
        file.write_bytes(bytes(50))
        while "50 %" not in screen.getvalue():
            pass
    with progress.working("checking"):
        while "checking … " not in screen.getvalue():
            pass

    assert screen.getvalue().endswith(progress.LINE)


def test_a_bar_is_never_longer_than_it_is() -> None:
    assert progress.bar(5, 0, "x") == progress.bar(9, 3, "x") == f"x [{'#' * 30}] 100 %"
