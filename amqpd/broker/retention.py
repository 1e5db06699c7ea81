"""Retention: a stream's segments, and when the oldest of them go.

    Retention(stream)
        .enter(offset, now_ms)    something is put in: its segment, and when it came
        .look()                   see what has to go now

A segment is nothing but a range of offsets that goes as a whole; where they begin is known to
the store, here only the newest one is. With `x-max-length-bytes` the oldest go while all
together are larger, with `x-max-age` those of which every message is older; the newest segment
always stays. Either way it is one question to the store and one purge, however much goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from amqpd.broker.archive import Cut
    from amqpd.broker.stream import Stream

#: RabbitMQ's.
SEGMENT_BYTES: Final = 500_000_000


class Retention:
    """The segments of one stream.

    `size` is that of all that was ever put in; `segment` is the first offset of the newest
    segment, `segment_size` what `size` was then; `stored_ms` when the newest message came.
    """

    def __init__(self, stream: Stream) -> None:
        self.size = 0
        self.segment = 0
        self.segment_size = 0
        self.stored_ms = 0
        self._stream = stream
        self._is_due = False
        self._is_asking = False
        self._timer_ms = 0

    def enter(self, offset: int, now_ms: int) -> None:
        """Something is put in at this offset: perhaps a new segment begins with it."""
        self.stored_ms = max(self.stored_ms, now_ms)
        most = self._stream.arguments.max_segment_bytes or SEGMENT_BYTES
        if self.size - self.segment_size >= most:
            self.segment = offset
            self.segment_size = self.size
            self._is_due = True

    def committed(self) -> None:
        """More is on disk: if a segment has become full, an older one may go."""
        if self._is_due and self._stream.lane.committed_upto > self.segment:
            self._is_due = False
            self.look()

    def look(self) -> None:
        """See which segments have to go by what is in force now."""
        stream = self._stream
        limit, max_age = stream.arguments.max_length_bytes, stream.arguments.max_age_ms
        if (limit is None and max_age is None) or stream.first >= self.segment:
            return
        if self._is_asking:
            self._is_due = True
            return
        self._is_asking = True
        stream.around.archive.find_cut(
            stream.lane.id,
            stream.first,
            stream.lane.committed_upto,
            0 if limit is None else max(0, self.size - limit),
            0 if max_age is None else stream.around.now_ms - max_age,
            self._cut,
        )

    def _cut(self, cut: Cut) -> None:
        self._is_asking = False
        stream = self._stream
        if stream.deleted:
            return
        if cut.offset > stream.first:
            stream.drop_below(cut.offset, cut.size_before)
        max_age = stream.arguments.max_age_ms
        if cut.stored_ms and max_age is not None:
            self._set_timer(cut.stored_ms + max_age + 1)
        self.committed()  # a segment may have become full while the store was looking

    def _set_timer(self, when_ms: int) -> None:
        if self._timer_ms and self._timer_ms <= when_ms:
            return
        self._timer_ms = when_ms

        def ring(now_ms: int) -> None:
            if self._timer_ms == when_ms:
                self._timer_ms = 0
                if not self._stream.deleted:
                    self.look()

        self._stream.around.timers.at(when_ms, ring)
