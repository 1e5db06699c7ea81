"""What came in over HTTP and what goes out, free of any server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Mapping

JSON: Final = "application/json"


class Read(Protocol):
    """Reads a body."""

    def __call__(self, most_bytes: int | None = None) -> Awaitable[bytes]:
        """All of it, if it is no longer than that; None: than any body may be."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `path` is still quoted, header names are in lower case.

    `read` gives the body, which nobody has looked at yet.

    Raises:
        HttpError: by `read`, when the body is too large.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    peer: str
    secure: bool
    read: Read
    #: The user of this machine who asks over the local socket, which has shown it; or nobody.
    local_user: str = ""


@dataclass(slots=True)
class Answer:
    """What goes out; a body that comes in pieces is for long lists."""

    status: int = 200
    body: bytes | AsyncGenerator[bytes, None] = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def json(content: object, status: int = 200) -> Answer:
    """An answer in JSON."""
    return Answer(status, encode(content))


def encode(content: object) -> bytes:
    """JSON as RabbitMQ's clients read it; octets that are no text become base64."""
    return msgspec.json.encode(content, enc_hook=str)
