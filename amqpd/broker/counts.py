"""Counts: what has passed through a lane, and through all lanes that share a total.

Compiled; plain Python otherwise. Counted per run, never per message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import i64


class Counts:
    """Messages since the beginning, by what became of them; they only grow.

    `published` came in, dead letters too. `delivered` and `got` are waiting for their ack, or
    were: those that need none are counted apart. `redelivered` are among them all.
    """

    def __init__(self) -> None:
        self.published: i64 = 0
        self.delivered: i64 = 0
        self.delivered_no_ack: i64 = 0
        self.got: i64 = 0
        self.got_no_ack: i64 = 0
        self.got_nothing: i64 = 0
        self.redelivered: i64 = 0
        self.acked: i64 = 0

    def out(self, messages: int, settle: bool, redelivered: bool) -> None:
        """Messages go to a consumer; `settle`: they need no ack."""
        if settle:
            self.delivered_no_ack += messages
        else:
            self.delivered += messages
        if redelivered:
            self.redelivered += messages

    def get(self, settle: bool, redelivered: bool) -> None:
        """One message goes to basic.get."""
        if settle:
            self.got_no_ack += 1
        else:
            self.got += 1
        if redelivered:
            self.redelivered += 1
