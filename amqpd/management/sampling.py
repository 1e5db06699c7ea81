"""Samples: what the counters said every few seconds, for rates and for charts.

Everything is looked at once per `INTERVAL_S`, whatever the traffic: nothing is done per
message. What stands still need not be looked at. Of each thing the last two looks are kept,
which gives its rate. A history, as `TIERS` say, is kept of totals and of `MOST` things: those
that were the first to change, and those that somebody has asked for. All of it is integers in
arrays.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

INTERVAL_S: Final = 5
#: A sample every so many looks, and how many of them: 10 minutes, 1 hour, 1 day, of seconds
#: 5, 30 and 600.
TIERS: Final = ((1, 126), (6, 126), (120, 150))
#: Things with a history; about 40 KiB each with a dozen counters.
MOST: Final = 500
#: Looks after which a history of something where nothing happens is forgotten: an hour.
IDLE: Final = 720


class Sample(NamedTuple):
    """What was counted at some time."""

    at_ms: int
    values: Sequence[int]


class _Ring:
    """Samples at equal distances, the oldest forgotten."""

    __slots__ = ("_most", "_times", "_values", "_width")

    def __init__(self, width: int, most: int) -> None:
        self._width = width
        self._most = most
        self._times = array("q")
        self._values = array("q")

    def __len__(self) -> int:
        return len(self._times)

    def add(self, at_ms: int, values: Sequence[int]) -> None:
        """The newest sample."""
        self._times.append(at_ms)
        self._values.extend(values)
        spare = len(self._times) - self._most
        if spare > self._most // 4:
            del self._times[:spare]
            del self._values[: spare * self._width]

    def samples(self) -> Iterator[Sample]:
        """All samples, newest first."""
        width = self._width
        for index in range(len(self._times) - 1, -1, -1):
            yield Sample(self._times[index], self._values[index * width : (index + 1) * width])


class Series:
    """One thing's counters over time."""

    __slots__ = ("_before", "_rings", "_stands", "_sweeps", "changed", "moved_ms", "now", "seen")

    def __init__(self, at_ms: int, width: int) -> None:
        # Nothing was counted before it was there.
        self._before = self.now = Sample(at_ms, (0,) * width)
        self._rings: list[_Ring] = []
        self._sweeps = 0
        #: Nothing was different at the last look.
        self._stands = True
        #: The last look at which something was different, and the last of all.
        self.changed = 0
        self.seen = 0
        #: When something was different last.
        self.moved_ms = at_ms

    def look(self, at_ms: int, values: Sequence[int], sweep: int, before_ms: int) -> bool:
        """What the counters say now; whether they said something else at the sweep before."""
        differs = values != self.now.values
        # What was passed over stood still.
        at_before = self.seen == sweep - 1
        self._before = self.now if at_before else Sample(before_ms, self.now.values)
        self.now = Sample(at_ms, values)
        self._stands = not differs
        self.seen = sweep
        if differs:
            self.changed = sweep
            self.moved_ms = at_ms
        for (every, _), ring in zip(TIERS, self._rings, strict=False):
            if self._sweeps % every == 0:
                ring.add(at_ms, values)
        self._sweeps += 1
        return differs

    @property
    def has_history(self) -> bool:
        """Whether more than the rate is known."""
        return bool(self._rings)

    def begin_history(self) -> None:
        """Remember samples from now on."""
        self._rings = [_Ring(len(self.now.values), most) for _, most in TIERS]
        self._sweeps = 0
        # Two of the finest, so that there is an average rate from the beginning.
        self._rings[0].add(self._before.at_ms, self._before.values)
        for ring in self._rings:
            ring.add(self.now.at_ms, self.now.values)

    def end_history(self) -> None:
        """Forget them."""
        self._rings = []

    def rate(self, column: int) -> float:
        """How fast a counter grew at the last look, per second."""
        passed_ms = self.now.at_ms - self._before.at_ms
        if passed_ms <= 0:
            return 0.0
        return (self.now.values[column] - self._before.values[column]) * 1000 / passed_ms

    def rates(self, first: int, count: int) -> Sequence[float]:
        """The rates of some counters in a row."""
        if self._stands:
            return (0.0,) * count
        return [self.rate(place) for place in range(first, first + count)]

    def sampled(self, age_s: int, step_s: int) -> list[Sample]:
        """Samples of the last `age_s` seconds, every `step_s`, newest first."""
        ring = self._ring(age_s)
        if ring is None:
            return []
        found: list[Sample] = []
        due_ms = self.now.at_ms
        oldest_ms = due_ms - age_s * 1000
        for sample in ring.samples():
            if sample.at_ms < oldest_ms:
                break
            if sample.at_ms <= due_ms:
                found.append(sample)
                due_ms = sample.at_ms - step_s * 1000
        return found

    def _ring(self, age_s: int) -> _Ring | None:
        """The finest one that reaches back far enough."""
        for (every, most), ring in zip(TIERS, self._rings, strict=False):
            if every * most * INTERVAL_S >= age_s:
                return ring
        return self._rings[-1] if self._rings else None


class Sampler:
    """The series of all things, by what identifies them."""

    def __init__(self, *, begins_anew: bool = False) -> None:
        self._series: dict[object, Series] = {}
        self._histories: dict[object, Series] = {}
        #: What was different at the last sweep: its rate is not 0 yet.
        self._moving: dict[object, None] = {}
        self._sweep = 0
        #: At the last `begin` nothing had been looked at, or all of it was forgotten.
        self.was_blank = True
        self._at_ms = self._before_ms = 0
        #: What is new meanwhile was there before: it was restored, or has been forgotten.
        self._begins_anew = begins_anew

    def get(self, key: object) -> Series | None:
        """The series of a thing; None until it was looked at."""
        return self._series.get(key)

    def is_moving(self, key: object) -> bool:
        """Whether its counters were different at the last look: its rate is not 0."""
        return key in self._moving

    def begin(self, at_ms: int) -> None:
        """Begin to look at everything once more."""
        self._sweep += 1
        self.was_blank = not self._series
        self._before_ms, self._at_ms = self._at_ms, at_ms

    def restless(self) -> list[object]:
        """What may not be passed over though it stands still, and was not looked at yet."""
        known, sweep = self._series, self._sweep
        keys = {**self._moving, **self._histories}
        return [key for key in keys if known[key].seen != sweep]

    def look(
        self,
        key: object,
        at_ms: int,
        values: Sequence[int],
        *,
        always: bool = False,
        is_new: bool = True,
    ) -> None:
        """One thing; `always`: it has a history, whatever happens.

        `is_new`: if it was not seen before, it has grown from nothing since the last sweep.
        """
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = self._born(at_ms, values, is_new)
        elif series.seen == self._sweep:
            return
        differs = series.look(at_ms, values, self._sweep, self._before_ms)
        if differs:
            self._moving[key] = None
        else:
            self._moving.pop(key, None)
        if series.has_history or not (differs or always):
            return
        if always or len(self._histories) < MOST:
            self._remember(key, series)

    def _born(self, at_ms: int, values: Sequence[int], is_new: bool) -> Series:
        series = Series(at_ms - INTERVAL_S * 1000, len(values))
        series.seen = self._sweep - 1
        if self._begins_anew or not is_new:
            series.now = Sample(series.now.at_ms, values)
        return series

    def want(self, key: object) -> None:
        """Somebody looks at the history of a thing: there will be one."""
        series = self._series.get(key)
        if series is None:
            return
        series.changed = self._sweep
        if not series.has_history:
            if len(self._histories) >= MOST:
                self._end_history(min(self._histories, key=lambda one: self._series[one].changed))
            self._remember(key, series)

    def _remember(self, key: object, series: Series) -> None:
        self._histories[key] = series
        series.begin_history()

    def _end_history(self, key: object) -> None:
        self._histories.pop(key).end_history()

    def end(self, alive: Collection[object]) -> None:
        """These are there still, whether looked at or not; histories of the idle go."""
        sweep = self._sweep
        if len(self._series) != len(alive):
            for key in self._series.keys() - set(alive):
                del self._series[key]
                self._histories.pop(key, None)
                self._moving.pop(key, None)
        idle = [key for key, one in self._histories.items() if sweep - one.changed > IDLE]
        for key in idle:
            self._end_history(key)
        self._begins_anew = False

    def forget(self) -> None:
        """Begin anew."""
        self._series.clear()
        self._histories.clear()
        self._moving.clear()
        self._begins_anew = True
