"""Lists: filtered, sorted, cut to a page and to columns, and written in slices.

    await listing(call, things, show, keys)
    await listing(call, things, show, keys, rows=…)     what is shown again as it was: `kept`

`show` makes what is shown of one thing (None: it is gone meanwhile). `keys` gives, for columns
that are cheap, the value without the rest, always of one type: a page of ten thousand queues by
name costs the look at a hundred of them. The loop turns after every `SLICE_S` of work, so things
may come and go while a list is written.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from msgspec import Raw

from amqpd.broker.pattern import PATTERN_BYTES, compile_pattern
from amqpd.errors import PreconditionFailed
from amqpd.management.errors import HttpError, bad_request
from amqpd.management.request import Answer, encode, json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence

    from amqpd.management.call import Call
    from amqpd.management.kept import Rows

T = TypeVar("T")
Facts: TypeAlias = "dict[str, object]"
Show: TypeAlias = "Callable[[T], Facts | None]"
Keys: TypeAlias = "Mapping[str, Callable[[T], object]]"

#: Work between two turns of the loop.
SLICE_S: Final = 0.005
PAGE_SIZE: Final = 100
MAX_PAGE_SIZE: Final = 500
#: Lists that are shorter are sent in one piece.
ONE_PIECE: Final = 100
#: A cheap thing is looked at this often before the clock is, and one that is shown.
BATCH: Final = 32
FEW: Final = 8
#: So many are sorted at once, and so many looked at for it between two looks at the clock.
PART: Final = 2048
CHUNK: Final = 128
#: Steps of matching (`broker.pattern`) after which the clock is looked at, and those of a whole
#: list: 3 s of work, in slices. Few patterns come near it with 10,000 names.
FEW_STEPS: Final = 1000
FILTER_STEPS: Final = 10_000_000
#: So many, sorted in parts, are merged at once: some 10 ms.
AT_ONCE: Final = 20_000
#: What is written of a long list at a time, at least.
PIECE_BYTES: Final = 65_536
#: Columns in which a thing stays what it is.
FIXED: Final = frozenset({"name", "vhost", "type", "durable", "auto_delete", "exclusive"})

#: What a list can be told by its query.
PARAMETERS: Final = (
    "page",
    "page_size",
    "name",
    "use_regex",
    "sort",
    "sort_reverse",
    "columns",
    "vhost",
)


class Page(NamedTuple):
    """Which part of a list is asked for."""

    number: int
    size: int
    name: str
    use_regex: bool


class Slices:
    """Lets the loop turn in long work."""

    def __init__(self) -> None:
        self._shared = _shared()

    async def pause(self) -> None:
        """Let others work, if this has lasted long enough."""
        if self._shared.is_over():
            await self._shared.next_turn()


class _Shared:
    """What all long work together has of a turn of the loop; one after the other gets it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._until_s = 0.0
        self._is_scheduled = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def is_over(self) -> bool:
        """Whether this turn's time is used up; it begins with the first who asks."""
        now_s = self._loop.time()
        if not self._until_s:
            self._until_s = now_s + SLICE_S
            self._schedule()
        return now_s >= self._until_s

    async def next_turn(self) -> None:
        """Wait for a turn in which nobody else comes first."""
        mine: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(mine)
        await mine

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        """The next turn: whoever has waited longest goes on."""
        self._is_scheduled = False
        self._until_s = 0.0
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():
                first.set_result(None)
                # It may be through without asking again.
                self._schedule()
                return


_SHARED: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared]] = WeakKeyDictionary()


def _shared() -> _Shared:
    loop = asyncio.get_running_loop()
    found = _SHARED.get(loop)
    if found is None:
        found = _SHARED[loop] = _Shared(loop)
    return found


async def listing(
    call: Call,
    things: Sequence[T],
    show: Show[T],
    keys: Keys[T],
    default_sort: Sequence[str] = ("vhost", "name"),
    rows: Rows[T] | None = None,
) -> Answer:
    """Answer a list as the query wants it; `rows` are those that were shown with its columns.

    Raises:
        HttpError: the query is not valid, or the page is beyond the end.
    """
    query = call.request.query
    page = asked_page(query)
    columns = asked_columns(query)
    slices = Slices()
    found = list(things)
    if page is not None and page.name:
        found = await _filtered(found, page, keys, show, slices)
    order = [query["sort"]] if query.get("sort") else []
    sorting = _Sorting([*order, *default_sort], show, keys, query.get("sort_reverse") == "true")
    encoded = _encoding(show, columns, rows)
    if page is None:
        found = await sorting.first(len(found), found, slices, rows)
        if len(found) <= ONE_PIECE:
            return json(await _all(found, encoded, slices))
        few = FEW if rows is None else BATCH
        return Answer(body=_pieces(found, encoded, slices, few))
    first = (page.number - 1) * page.size
    if first > len(found):
        raise HttpError(
            400,
            "page_out_of_range",
            f"Page out of range, page: {page.number} page size: {page.size}, len: {len(found)}",
        )
    last = first + page.size
    items = (await sorting.first(last, found, slices, rows))[first:last]
    shown = await _all(items, encoded, slices)
    return json(
        {
            "total_count": len(things),
            "item_count": len(shown),
            "filtered_count": len(found),
            "page": page.number,
            "page_size": page.size,
            "page_count": -(-len(found) // page.size),
            "items": shown,
        }
    )


# -- what is asked for -------------------------------------------------------------------


def asked_page(query: Mapping[str, str]) -> Page | None:
    """The page that is asked for; None: all.

    Raises:
        HttpError: it is not one.
    """
    if "page" not in query:
        return None
    try:
        number, size = int(query["page"]), int(query.get("page_size") or PAGE_SIZE)
    except ValueError as error:
        raise bad_request("Pagination parameters are invalid") from error
    if number < 1 or not 1 <= size <= MAX_PAGE_SIZE:
        told = query.get("page_size") or "undefined"
        reason = f"Invalid pagination parameters: page number {number}, page size {told}"
        raise HttpError(400, "invalid_pagination_parameters", reason)
    use_regex = query.get("use_regex") == "true"
    name = query.get("name", "")
    if use_regex and len(name.encode()) > PATTERN_BYTES - len("(?i)"):
        raise HttpError(400, "invalid_pagination_parameters", "name filter regex is too long")
    return Page(number, size, name, use_regex)


Columns: TypeAlias = "Mapping[str, Columns] | None"


#: Tables of others, which RabbitMQ shows whole whatever is asked for of them.
WHOLE: Final = frozenset({"arguments", "client_properties", "object_totals"})


def asked_columns(query: Mapping[str, str]) -> Columns:
    """The columns that are asked for, as a tree; None: all."""
    text = query.get("columns", "")
    if not text:
        return None
    tree: dict[str, Columns] = {}
    for column in filter(None, text.split(",")):
        node: dict[str, Columns] = tree
        *path, last = column.split(".")
        for word in path:
            below = node.setdefault(word, {})
            if below is None:
                break  # the whole is asked for, too
            assert isinstance(below, dict)
            node = below
        else:
            node[last] = None
    return tree


def only(facts: object, columns: Columns) -> object:
    """Facts cut to columns."""
    if columns is None:
        return facts
    if isinstance(facts, dict):
        return {
            name: value if name in WHOLE else only(value, columns[name])
            for name, value in facts.items()
            if name in columns
        }
    if isinstance(facts, list):
        return [only(one, columns) for one in facts]
    return facts


def moment(at_ms: int) -> str:
    """A time as RabbitMQ's lists write it."""
    return f"{_second(at_ms // 1000)}.{at_ms % 1000:03d}+00:00"


@lru_cache(4096)
def _second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def one(call: Call, facts: object) -> Answer:
    """One thing, cut to the columns that the query asks for."""
    return json(only(facts, asked_columns(call.request.query)))


# -- filter and order --------------------------------------------------------------------


async def _filtered(
    things: list[T], page: Page, keys: Keys[T], show: Show[T], slices: Slices
) -> list[T]:
    """Those whose name has the text in it, or matches the pattern, whatever the case.

    A key `also` gives another name under which people know the thing.
    """
    matches, cost = _matching(page)
    found = []
    name_of, also = _value("name", keys, show), keys.get("also")
    steps = 0
    for place, thing in enumerate(things):
        name = str(name_of(thing))
        if matches(name) or (also is not None and matches(str(also(thing)))):
            found.append(thing)
        steps += cost(name)
        if steps > FILTER_STEPS:
            raise bad_request(
                f"name filter: this pattern takes too long for {len(things)} names; "
                "a simpler one is needed"
            )
        if place % FEW == 0 or cost(name) > FEW_STEPS:
            await slices.pause()
    return found


def _matching(page: Page) -> tuple[Callable[[str], bool], Callable[[str], int]]:
    """Whether a name is wanted, and about how many steps it takes to know."""
    if page.use_regex:
        try:
            pattern = compile_pattern(f"(?i){page.name}")
        except PreconditionFailed as error:
            raise bad_request(f"name filter: {error.explanation}") from error
        return pattern.matches, pattern.cost
    wanted = page.name.lower()
    return lambda name: wanted in name.lower(), lambda _: 1


def _value(column: str, keys: Keys[T], show: Show[T]) -> Callable[[T], object]:
    """What gives a column of a thing; 0 where it has none, as in RabbitMQ."""
    cheap = keys.get(column)
    if cheap is not None:
        return cheap
    path = column.split(".")

    def dear(thing: T) -> object:
        value: object = show(thing)
        for word in path:
            value = value.get(word, 0) if isinstance(value, dict) else 0
        return value

    return dear


class _Sorting(Generic[T]):
    """An order, worked out in slices: parts are sorted one by one, then merged."""

    def __init__(self, order: Sequence[str], show: Show[T], keys: Keys[T], reverse: bool) -> None:
        columns = tuple(dict.fromkeys(order))
        self._values = [
            keys[column] if column in keys else _ranked(column, keys, show) for column in columns
        ]
        self._reverse = reverse
        self._name = (columns, reverse)
        self._stays = FIXED.issuperset(columns)

    async def first(
        self, count: int, things: list[T], slices: Slices, rows: Rows[T] | None = None
    ) -> list[T]:
        """The first `count` things in this order, or more of them."""
        if rows is None or not self._stays:
            return await self._sorted(count, things, slices)
        known = rows.ordered(self._name, things)
        if known is None:
            known = await self._sorted(len(things), things, slices)
            rows.remember(self._name, things, known)
        return known

    async def _sorted(self, count: int, things: Sequence[T], slices: Slices) -> list[T]:
        parts: list[list[tuple[Any, ...]]] = []
        for start in range(0, len(things), PART):
            part: list[tuple[Any, ...]] = []
            end = min(start + PART, len(things))
            for at in range(start, end, CHUNK):
                part += self._rows(things[at : min(at + CHUNK, end)], at)
                await slices.pause()
            part.sort(reverse=self._reverse)
            parts.append(part)
            await slices.pause()
        if len(things) <= AT_ONCE:
            # Sorting what is sorted in parts is no more than merging them.
            whole = [row for part in parts for row in part]
            whole.sort(reverse=self._reverse)
            return [things[row[-1]] for row in whole[:count]]
        found: list[T] = []
        for row in heapq.merge(*parts, reverse=self._reverse):
            if len(found) == count:
                break
            found.append(things[row[-1]])
            if len(found) % BATCH == 0:
                await slices.pause()
        return found

    def _rows(self, things: Sequence[T], at: int) -> Iterator[tuple[object, ...]]:
        """What each is sorted by, and then its place, which begins at `at`."""
        columns = [map(value, things) for value in self._values]
        return zip(*columns, range(at, at + len(things)), strict=True)


def _ranked(column: str, keys: Keys[T], show: Show[T]) -> Callable[[T], object]:
    value = _value(column, keys, show)
    return lambda thing: _rank(value(thing))


def _rank(value: object) -> tuple[int, float | str]:
    """A key by which values of different types have an order: Erlang's."""
    match value:
        case bool():
            return (1, str(value))
        case int() | float():
            return (0, value)
        case None:
            return (1, "null")
        case str():
            return (3, value)
        case _:
            return (2, str(value))


# -- out ---------------------------------------------------------------------------------


def _encoding(
    show: Show[T], columns: Columns, rows: Rows[T] | None
) -> Callable[[Sequence[T]], list[bytes]]:
    """What gives the JSON of some things that are still there."""

    def cut(thing: T) -> object:
        facts = show(thing)
        return facts if facts is None else only(facts, columns)

    if rows is not None:
        return lambda things: rows.shown(things, cut)
    return lambda things: [encode(facts) for one in things if (facts := cut(one)) is not None]


Encoded: TypeAlias = "Callable[[Sequence[T]], list[bytes]]"


async def _all(things: Sequence[T], encoded: Encoded[T], slices: Slices) -> list[Raw]:
    """What is shown of a page."""
    found: list[Raw] = []
    for start in range(0, len(things), FEW):
        found += map(Raw, encoded(things[start : start + FEW]))
        await slices.pause()
    return found


async def _pieces(
    things: Sequence[T], encoded: Encoded[T], slices: Slices, few: int
) -> AsyncGenerator[bytes, None]:
    """The JSON of a long list."""
    batch: list[bytes] = []
    opened, size_bytes = False, 0
    for start in range(0, len(things), few):
        rows = encoded(things[start : start + few])
        batch += rows
        size_bytes += sum(map(len, rows))
        if size_bytes >= PIECE_BYTES:
            yield (b"," if opened else b"[") + b",".join(batch)
            opened, batch, size_bytes = True, [], 0
        await slices.pause()
    rest = b",".join(batch)
    yield (b"" if opened else b"[") + (b"," + rest if opened and rest else rest) + b"]"
