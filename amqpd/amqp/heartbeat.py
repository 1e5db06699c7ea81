"""Heartbeats: both ends show that they are alive (AMQP 0-9-1 §4.2.7)."""

from __future__ import annotations


class Heartbeat:
    """Decides, tick by tick, when to send one and when the peer counts as dead.

    Any traffic counts, in both directions. We send after half an interval without, and give
    the peer two whole ones.
    """

    __slots__ = ("_received_ms", "_sent_ms", "interval_ms", "received", "sent")

    def __init__(self, interval_s: int, now_ms: int) -> None:
        self.interval_ms = interval_s * 1000
        #: Set by the connection; looked at and cleared by the next tick.
        self.received = False
        self.sent = False
        self._received_ms = now_ms
        # The first heartbeat goes out at the first tick.
        self._sent_ms = now_ms - self.interval_ms

    def is_due(self, now_ms: int) -> bool:
        """Whether a heartbeat must go out now."""
        if self.sent:
            self._sent_ms = now_ms
            self.sent = False
        if not self.interval_ms or now_ms - self._sent_ms < self.interval_ms // 2:
            return False
        self._sent_ms = now_ms
        return True

    def is_missed(self, now_ms: int) -> bool:
        """Whether nothing has come from the peer for two intervals."""
        if self.received:
            self._received_ms = now_ms
            self.received = False
        return self.interval_ms > 0 and now_ms - self._received_ms > 2 * self.interval_ms
