"""Assembly: contents that do not come in one piece.

The codecs take a publish in one step when its method, header and only body frame follow each
other. Everything else comes here frame by frame: bodies of several frames, channels that
take turns, heartbeats in between, and everything that is out of order.

Promises: what a content needs in memory is bounded by its size, however small its frames
are; a content that is too large or discarded needs none; all that one connection has begun
and not ended is bounded too, on however many channels.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from amqpd.amqp import frames
from amqpd.errors import FrameError, ResourceError, UnexpectedFrame
from amqpd.properties import BASIC_CLASS

if TYPE_CHECKING:
    from amqpd.amqp.gathering import Group, Route

#: RabbitMQ's limit for any body, whatever is configured.
MAX_BODY_BYTES: Final = 512 * 1024 * 1024
MAX_EMPTY_FRAMES: Final = 1000
#: Body frames smaller than this are put together, so that a content of one-octet frames
#: does not need a hundred times its size.
SMALL_FRAME: Final = 4096
DEFAULT_FRAME_MAX: Final = 131_072
#: One connection may have so many of the largest messages under way at once, and some small
#: ones wherever the limit for messages is low.
MAX_UNDER_WAY: Final = 8
MIN_UNDER_WAY_BYTES: Final = 1024 * 1024

_HEADER: Final = struct.Struct(">HHQ")
#: basic.publish, the only method of clients that has a content.
_PUBLISH: Final = (60, 40)
_EXPECTED_METHOD: Final = "expected method frame, got non method frame instead"
_EXPECTED_HEADER: Final = (
    f"expected content header for class {BASIC_CLASS}, got non content header frame instead"
)
_EXPECTED_BODY: Final = "expected content body, got non content body frame instead"


class Publishing(Protocol):
    """What a parser tells about messages. `resolve` and `level` only answer, all others act.

    Messages gathered before are handed over before anything else is called, `resolve` and
    `level` excepted: an error found in the former belongs into `content`, which follows when
    it gave None.
    """

    def resolve(self, method_frame: bytes, channel: int) -> Route | None: ...
    def level(self, group: Group, priority: int) -> Group: ...
    def publish(self, group: Group) -> None: ...
    def special(self, route: Route, content: bytes) -> None: ...
    def content(self, channel: int, method_payload: bytes, content: bytes) -> None: ...
    def too_large(self, channel: int, method_payload: bytes, size: int) -> None: ...


class Receiving(Protocol):
    """What a parser tells about all other frames."""

    def ack(self, channel: int, first_tag: int, last_tag: int, multiple: bool) -> None: ...
    def reject(self, channel: int, tag: int, requeue: bool) -> None: ...
    def nack(self, channel: int, tag: int, multiple: bool, requeue: bool) -> None: ...
    def method(self, channel: int, payload: bytes) -> None: ...
    def heartbeat(self) -> None: ...


class Events(Publishing, Receiving, Protocol):
    """What a session does for its parser."""


class Assembled(NamedTuple):
    """A content that has all its frames, or one that is too large to be taken.

    `method_frame` is the whole frame of the basic.publish. `content` has the header frame
    and body frames; `oversize` is 0 or the size that was declared.
    """

    method_frame: bytes
    content: bytes
    oversize: int


class _Content:
    """A content between its method and its last body frame."""

    __slots__ = (
        "dropped",
        "empty_frames",
        "has_header",
        "header_frame",
        "held_bytes",
        "method_frame",
        "parts",
        "remaining",
    )

    def __init__(self, method_frame: bytes) -> None:
        self.method_frame = method_frame
        self.has_header = False
        self.header_frame = b""
        self.parts: list[bytes | bytearray] = []
        self.held_bytes = 0
        self.remaining = 0
        self.empty_frames = 0
        self.dropped = False


class Assembly:
    """The contents under assembly of one connection, by channel.

    `held_bytes` is what they need in memory by now.
    """

    def __init__(self) -> None:
        self.open: dict[int, _Content] = {}
        self.held_bytes = 0
        self.max_message_bytes = MAX_BODY_BYTES
        self.frame_max = DEFAULT_FRAME_MAX

    def begin(self, channel: int, method_frame: bytes) -> None:
        """A basic.publish whose content is to be assembled.

        Raises:
            UnexpectedFrame: the channel's last content is not complete.
            ResourceError: the connection has too much under way.
        """
        self.interrupt(channel)
        content = _Content(method_frame)
        self._hold(channel, content, len(method_frame))

    def interrupt(self, channel: int) -> None:
        """A method came; that is legal if no content is open, or if it was discarded.

        Raises:
            UnexpectedFrame: the channel's content is not complete.
        """
        content = self._release(channel)
        if content is not None and not content.dropped:
            expected = _EXPECTED_BODY if content.has_header else _EXPECTED_HEADER
            raise UnexpectedFrame(expected, _PUBLISH)

    def discard(self, channel: int) -> None:
        """Throw away what the channel has begun; its further frames are skipped."""
        content = self._release(channel)
        if content is not None:
            self._drop(content)
            self.open[channel] = content

    def header(self, channel: int, payload: bytes) -> Assembled | None:
        """A content header frame.

        Raises:
            UnexpectedFrame: no header is due, or not this one.
            FrameError: the body would be larger than any may be.
            ResourceError: the connection has too much under way.
        """
        content = self._release(channel)
        if content is None:
            raise UnexpectedFrame(_EXPECTED_METHOD)
        if content.has_header:
            raise UnexpectedFrame(_EXPECTED_BODY, _PUBLISH)
        class_id, weight, size = _HEADER.unpack_from(payload)
        if class_id != BASIC_CLASS:
            raise UnexpectedFrame(
                f"expected content header for class {BASIC_CLASS},"
                f" got one for class {class_id} instead",
                _PUBLISH,
            )
        if weight:
            raise UnexpectedFrame(_EXPECTED_HEADER, _PUBLISH)
        if size > MAX_BODY_BYTES:
            raise FrameError(
                f"content body size {size} exceeds maximum allowed size {MAX_BODY_BYTES}",
                _PUBLISH,
            )
        content.has_header = True
        content.remaining = size
        if size > self.max_message_bytes and not content.dropped:
            refused = Assembled(content.method_frame, b"", size)
            self._drop(content)
            self.open[channel] = content
            return refused
        if not content.dropped:
            content.header_frame = frames.frame(frames.HEADER, channel, payload)
        if not size:
            return self._complete(channel, content)
        self._hold(channel, content, len(content.header_frame))
        return None

    def body(self, channel: int, payload: bytes) -> Assembled | None:
        """A content body frame.

        Raises:
            UnexpectedFrame: no body is due, or too many empty frames came.
            FrameError: there is more than the header has declared.
            ResourceError: the connection has too much under way.
        """
        content = self._release(channel)
        if content is None:
            raise UnexpectedFrame(_EXPECTED_METHOD)
        if not content.has_header:
            raise UnexpectedFrame(_EXPECTED_HEADER, _PUBLISH)
        if len(payload) > content.remaining:
            raise FrameError("content body frame exceeds remaining content size", _PUBLISH)
        content.remaining -= len(payload)
        if payload:
            self._collect(content, payload)
        else:
            content.empty_frames += 1
            if content.empty_frames > MAX_EMPTY_FRAMES:
                raise UnexpectedFrame(f"more than {MAX_EMPTY_FRAMES} empty content body frames")
        if not content.remaining:
            return self._complete(channel, content)
        self._hold(channel, content, 0 if content.dropped else len(payload))
        return None

    def _release(self, channel: int) -> _Content | None:
        """Take the channel's content out, if there is one; it may be put back."""
        content = self.open.pop(channel, None)
        if content is not None:
            self.held_bytes -= content.held_bytes
        return content

    def _hold(self, channel: int, content: _Content, more: int) -> None:
        """Keep a content that has grown."""
        content.held_bytes += more
        limit = max(MAX_UNDER_WAY * self.max_message_bytes, MIN_UNDER_WAY_BYTES)
        if self.held_bytes + content.held_bytes > limit:
            raise ResourceError(f"incomplete messages on all channels exceed {limit} octets")
        self.held_bytes += content.held_bytes
        self.open[channel] = content

    def _drop(self, content: _Content) -> None:
        content.dropped = True
        content.held_bytes = 0
        content.method_frame = b""
        content.header_frame = b""
        content.parts.clear()

    def _collect(self, content: _Content, payload: bytes) -> None:
        if content.dropped:
            return
        if len(payload) >= SMALL_FRAME:
            content.parts.append(payload)
            return
        last = content.parts[-1] if content.parts else b""
        room = (self.frame_max or DEFAULT_FRAME_MAX) - frames.OVERHEAD
        if isinstance(last, bytearray) and len(last) + len(payload) <= room:
            last += payload
        else:
            content.parts.append(bytearray(payload))

    def _complete(self, channel: int, content: _Content) -> Assembled | None:
        if content.dropped:
            return None
        head = b"\x03" + channel.to_bytes(2, "big")
        pieces: list[bytes | bytearray] = [content.header_frame]
        for part in content.parts:
            pieces += (head, len(part).to_bytes(4, "big"), part, b"\xce")
        return Assembled(content.method_frame, b"".join(pieces), 0)
