"""Every error that a client can cause, with its AMQP reply code.

Two branches, the specification's own (AMQP 0-9-1 §1.2 and RabbitMQ's additions): a
`ChannelError` closes the channel, a `SessionError` closes the connection. Each protocol
translates them once, at its door. Anything outside this tree is our bug and reaches a
client as 541 without details.
"""

from __future__ import annotations

import enum
from typing import ClassVar, Final

#: A reply text travels as a short string (AMQP 0-9-1 §4.2.5.3).
REPLY_TEXT_BYTES: Final = 255


class ReplyCode(enum.IntEnum):
    """Reply codes of AMQP 0-9-1 §1.2 and of RabbitMQ; the names are those of the wire."""

    REPLY_SUCCESS = 200
    CONTENT_TOO_LARGE = 311
    NO_ROUTE = 312
    NO_CONSUMERS = 313
    CONNECTION_FORCED = 320
    INVALID_PATH = 402
    ACCESS_REFUSED = 403
    NOT_FOUND = 404
    RESOURCE_LOCKED = 405
    PRECONDITION_FAILED = 406
    FRAME_ERROR = 501
    SYNTAX_ERROR = 502
    COMMAND_INVALID = 503
    CHANNEL_ERROR = 504
    UNEXPECTED_FRAME = 505
    RESOURCE_ERROR = 506
    NOT_ALLOWED = 530
    NOT_IMPLEMENTED = 540
    INTERNAL_ERROR = 541


class AmqpError(Exception):
    """An error with a reply code; `explanation` is for the person at the other end.

    `method` is the class and method that it is about, where it is not the one at hand.
    """

    reply_code: ClassVar[ReplyCode]

    def __init__(self, explanation: str, method: tuple[int, int] = (0, 0)) -> None:
        super().__init__(explanation)
        self.explanation = explanation
        self.method = method

    @property
    def reply_text(self) -> str:
        """`NAME - explanation`, cut to what a short string can carry."""
        text = f"{self.reply_code.name} - {self.explanation}".encode(errors="surrogateescape")
        return text[:REPLY_TEXT_BYTES].decode(errors="ignore")


class ChannelError(AmqpError):
    """Closes the channel it happened on."""


class SessionError(AmqpError):
    """Closes the connection it happened on."""


class AccessRefused(ChannelError):
    """The user may not do this, or nobody may do it to this thing."""

    reply_code = ReplyCode.ACCESS_REFUSED


class NotFound(ChannelError):
    """The named exchange, queue or consumer does not exist."""

    reply_code = ReplyCode.NOT_FOUND


class ResourceLocked(ChannelError):
    """The queue belongs to another connection, or is in a mode that forbids this."""

    reply_code = ReplyCode.RESOURCE_LOCKED


class PreconditionFailed(ChannelError):
    """The thing exists but is not as the client says, or an argument is not valid."""

    reply_code = ReplyCode.PRECONDITION_FAILED


class ConnectionForced(SessionError):
    """An operator closed the connection, or the broker stops."""

    reply_code = ReplyCode.CONNECTION_FORCED


class LoginRefused(SessionError):
    """The credentials were not accepted; never says which part was wrong."""

    reply_code = ReplyCode.ACCESS_REFUSED


class FrameError(SessionError):
    """The bytes are not frames."""

    reply_code = ReplyCode.FRAME_ERROR


class SyntaxError(SessionError):
    """A field inside a frame has no valid value."""

    reply_code = ReplyCode.SYNTAX_ERROR


class CommandInvalid(SessionError):
    """The method does not exist here, or not in this phase."""

    reply_code = ReplyCode.COMMAND_INVALID


class ChannelStateError(SessionError):
    """A channel was used that is not open, or opened twice."""

    reply_code = ReplyCode.CHANNEL_ERROR


class UnexpectedFrame(SessionError):
    """A frame came out of order, such as a body without its header."""

    reply_code = ReplyCode.UNEXPECTED_FRAME


class ResourceError(SessionError):
    """The broker has run out of something."""

    reply_code = ReplyCode.RESOURCE_ERROR


class NotAllowed(SessionError):
    """A limit, the vhost or the negotiation forbids it."""

    reply_code = ReplyCode.NOT_ALLOWED


class NotImplementedHere(SessionError):
    """The specification knows it, this broker does not do it."""

    reply_code = ReplyCode.NOT_IMPLEMENTED


class InternalError(SessionError):
    """A bug or a broken store, of which the client hears no details; or a feature is denied."""

    reply_code = ReplyCode.INTERNAL_ERROR
