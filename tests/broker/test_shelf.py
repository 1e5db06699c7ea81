"""Shelves: places for messages that exchanges keep, which no client sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from amqpd.broker.arguments import QueueType
from amqpd.broker.binding import Destination
from amqpd.broker.content import body
from amqpd.broker.definitions import PutQueue
from amqpd.broker.message import a_run
from amqpd.broker.shelf import PREFIX, Kept, Shelf
from amqpd.properties import Properties
from tests.broker.types.exchanges import declare
from tests.broker.types.living import Living

if TYPE_CHECKING:
    from amqpd.broker.run import Run


@pytest.fixture
def model() -> Living:
    """A model with an exchange x, which is durable, and y, which is not."""
    model = Living()
    declare(model, "fanout")
    declare(model, "fanout", name="y", durable=False)
    model.commit()
    return model


def a_shelf(model: Living, exchange: str = "x", label: str = "l") -> Shelf:
    return model.vhost.shelves.shelf(model.vhost.exchanges[exchange], label)


def run(octets: bytes, mode: int = 2) -> Run:
    return a_run(b"\0\0", Properties(delivery_mode=mode), octets)


def read(model: Living, shelf: Shelf, low: int = 0, high: int = 1 << 40) -> list[Kept]:
    found: list[Kept] = []
    shelf.read(low, high, 100, lambda kept, _upto: found.extend(kept))
    model.commit()
    return found


def test_messages_are_read_back_by_position_with_deadline_and_properties(model: Living) -> None:
    shelf = a_shelf(model)
    for position in (7, 1 << 39, 3):
        shelf.put(run(b"%d" % position), position, position + 1)
    model.commit()

    found = read(model, shelf)

    assert [(each.position, each.deadline_ms) for each in found] == [
        (3, 4), (7, 8), (1 << 39, (1 << 39) + 1),
    ]  # fmt: skip
    assert [body(each.run.contents[0]) for each in found] == [b"3", b"7", b"%d" % (1 << 39)]
    assert found[0].properties == Properties(delivery_mode=2)
    assert [each.position for each in read(model, shelf, 4, 8)] == [7]
    assert (shelf.stored, shelf.next_position) == (3, (1 << 39) + 1)


def test_what_was_removed_is_gone_for_good(model: Living) -> None:
    shelf = a_shelf(model)
    early, _ = shelf.put(run(b"early"), 0)
    shelf.remove(early)
    late, _ = shelf.put(run(b"late"), 1)
    model.commit()
    shelf.remove(late)
    shelf.put(run(b"stays"), 2)
    model.commit()

    assert [each.position for each in read(model, shelf)] == [2]
    assert shelf.stored == 1


@pytest.mark.parametrize(("exchange", "mode"), [("x", 1), ("y", 2), ("y", 1)])
def test_what_need_not_survive_is_stored_only_if_it_is_asked_for(
    model: Living, exchange: str, mode: int
) -> None:
    shelf = a_shelf(model, exchange)
    _, entry = shelf.put(run(b"memory", mode), 0)
    assert entry is None
    _, entry = shelf.put(run(b"disk", mode), 1, spill=True)
    assert entry is not None
    assert not shelf.is_safe(int(entry.number))
    model.commit()

    assert shelf.is_safe(int(entry.number))
    assert [each.position for each in read(model, shelf)] == [1]
    model.vhost.shelves.clear_away(shelf)
    model.commit()
    assert not model.disk._rows.get(int(shelf.lane.id))


def test_after_a_restart_each_exchange_gets_its_shelves_back(model: Living) -> None:
    shelf = a_shelf(model)
    shelf.put(run(b"1"), 5)
    a_shelf(model, "y", "gone")
    model.commit()

    model.restart()

    (back,) = model.vhost.shelves
    assert (back.exchange, back.label, back.durable) == ("x", "l", True)
    assert (back.stored, back.next_position) == (1, 6)
    assert [each.position for each in read(model, back)] == [5]
    assert back.lane.id != a_shelf(model, "x", "m").lane.id


def test_a_shelf_without_an_exchange_is_cleared_away(model: Living) -> None:
    lane = model.broker.around.new_lane_id()
    name = f"{PREFIX}\nnone\nl"
    model.broker.change(PutQueue("/", name, True, False, False, {}, (lane,)))
    model.commit()

    model.restart()

    assert not list(model.vhost.shelves)
    model.restart()
    assert not model.vhost.queues


def test_shelves_go_with_their_exchange_and_its_vhost(model: Living) -> None:
    one, other = a_shelf(model), a_shelf(model, "y")
    assert model.vhost.shelves.clear("y") == 0
    assert (one.is_gone, other.is_gone) == (False, True)

    model.vhost.close()

    assert one.is_gone


def test_what_arrives_too_late_is_dropped(model: Living) -> None:
    shelf = a_shelf(model)
    shelf.put(run(b"1"), 0)
    model.commit()
    heard: list[int] = []
    shelf.read(0, 10, 100, lambda _kept, upto: heard.append(upto))

    model.vhost.shelves.clear_away(shelf)
    model.commit()

    assert heard == []


def test_an_exchange_may_ask_for_the_type_of_a_queue(model: Living) -> None:
    model.queue("q")

    assert model.vhost.shelves.queue_type("q") is QueueType.CLASSIC
    assert model.vhost.shelves.queue_type("none") is None


def test_a_copy_is_handed_over_with_what_is_left_of_its_time(model: Living) -> None:
    model.queue("q")
    kept, _ = a_shelf(model).put(run(b"1"), 0, model.vhost.shelves.now_ms + 100)
    model.turn(60)

    model.vhost.shelves.hand_over(Destination("queue", "q"), kept)

    model.turn(30)
    assert model.vhost.queues["q"].ready == 1
    model.turn(20)
    assert model.vhost.queues["q"].ready == 0
