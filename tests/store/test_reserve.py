"""The reserve is laid down where there is plenty of room, and given up once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amqpd.store.reserve import Reserve

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 1 << 20


def test_it_takes_real_space_and_gives_it_back(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, SIZE)

    reserve.keep()

    found = (tmp_path / "reserve").stat()
    assert found.st_size == SIZE
    assert found.st_blocks * 512 >= SIZE
    assert found.st_mode & 0o777 == 0o600
    assert reserve.give_up()
    assert not list(tmp_path.iterdir())
    assert not reserve.give_up()


def test_it_is_not_laid_down_where_room_is_scarce(tmp_path: Path) -> None:
    Reserve(tmp_path, 1 << 60).keep()
    Reserve(tmp_path, 0).keep()

    assert not list(tmp_path.iterdir())
