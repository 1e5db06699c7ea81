"""HTTP requests as lists of octets: legal ones by chance, and what can be wrong with them."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from amqpd.management.resources import ROUTES
from tests.fuzz.sessions import NAMES, X_ARGUMENTS

if TYPE_CHECKING:
    import random

LOGINS: Final = tuple(
    b"Basic " + base64.b64encode(each)
    for each in (b"guest:guest", b"guest:wrong", b"nobody:x", b"\xff")
)
METHODS: Final = ("GET", "GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW")
#: Nobody is to be locked out, and the broker is to stay.
SPARED: Final = re.compile(r"/(users|permissions|shutdown|vhosts|definitions|limits|parameters)")
QUERIES: Final = (
    "page=1&page_size=1", "page=-1", "page=99999999999999999999", "page_size=0", "sort=name",
    "sort=" + "a." * 200, "columns=name,%00", "name=%28a%2B%29%2B%24",
    "use_regex=true&name=(a%2B)%2B%24", "if-empty=true", "lengths_age=-1&lengths_incr=0",
    "msg_rates_age=1e99&msg_rates_incr=nan", "vhost=%2F", "%", "=", "&&&",
)  # fmt: skip


class Requests:
    """Makes requests, one after the other; all follows from the seed of the generator."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def next(self) -> list[bytes]:
        """The octets of one request, in the pieces in which they are sent."""
        chance = self.chance
        body = self._body()
        head = self._head(body)
        octets = head + b"\r\n" + body
        if chance.random() < 0.2:
            octets = self._damaged(octets)
        if chance.random() < 0.7:
            return [octets]
        cut = chance.randrange(len(octets) + 1)
        return [octets[:cut], octets[cut:]]

    def _head(self, body: bytes) -> bytes:
        chance = self.chance
        version = chance.choice(("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "x"))
        lines = [f"{chance.choice(METHODS)} {self._path()} {version}".encode()]
        lines.append(b"Host: localhost")
        if chance.random() < 0.9:
            lines.append(b"Authorization: " + chance.choice((LOGINS[0], LOGINS[0], *LOGINS)))
        lines += self._lengths(body)
        if chance.random() < 0.3:
            lines.append(chance.choice(_ODD))
        if chance.random() < 0.5:
            lines.append(b"Content-Type: application/json")
        return b"\r\n".join(lines) + b"\r\n"

    def _lengths(self, body: bytes) -> list[bytes]:
        """How long the body is said to be."""
        way = self.chance.random()
        if way < 0.75:
            return [b"Content-Length: %d" % len(body)]
        lies = (0, len(body) + 1, max(0, len(body) - 1), 1 << 31, 1 << 64)
        return self.chance.choice(
            (
                [],
                [b"Content-Length: %d" % self.chance.choice(lies)],
                [b"Content-Length: -1"],
                [b"Content-Length: 3", b"Content-Length: 4"],
                [b"Transfer-Encoding: chunked"],
                [b"Transfer-Encoding: chunked", b"Content-Length: 5"],
                [b"Transfer-Encoding: gzip, chunked"],
            )
        )

    def _path(self) -> str:
        """A path of the API with hostile names in it."""
        chance = self.chance
        route = chance.choice([one for one in ROUTES if not SPARED.search(one.path)])
        words = [self._word(word) for word in route.path.strip("/").split("/")]
        path = "/api/" + "/".join(words)
        if chance.random() < 0.1:
            path = chance.choice(_PATHS)
        return path + ("?" + chance.choice(QUERIES) if chance.random() < 0.3 else "")

    def _word(self, word: str) -> str:
        if not word.startswith("{"):
            return word
        if word == "{vhost}" and self.chance.random() < 0.8:
            return "%2F"
        name = self.chance.choice(NAMES)
        return self.chance.choice((quote(name, safe=""), quote(name[:60], safe="")))

    def _body(self) -> bytes:
        chance = self.chance
        way = chance.random()
        if way < 0.3:
            return b""
        if way < 0.4:
            return chance.choice(_BODIES)
        made = {chance.choice(_KEYS): self._value(0) for _ in range(chance.randint(0, 4))}
        return json.dumps(made).encode()

    def _value(self, depth: int) -> object:
        chance = self.chance
        if depth < 3 and chance.random() < 0.3:
            argument = chance.choice(X_ARGUMENTS).decode()
            return {argument: self._value(depth + 1)}
        return chance.choice(
            (
                None,
                True,
                "",
                "text",
                "direct",
                "classic",
                "%2F",
                -1,
                0,
                5,
                1 << 70,
                1.5,
                1e308,
                [],
                [1],
            )
        )

    def _damaged(self, octets: bytes) -> bytes:
        chance, made = self.chance, bytearray(octets)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(made))
            way = chance.randrange(4)
            if way == 0:
                made[at] = chance.randrange(256)
            elif way == 1:
                del made[at : at + chance.choice((1, 2, 20))]
            elif way == 2:
                made[at:at] = chance.choice((b"\r\n", b"\0", b"\r", b"\n", b" " * 200, b"%"))
            else:
                made[at:at] = b"a" * chance.choice((10, 20_000))
            if not made:
                return b"\r\n"
        return bytes(made)


_KEYS: Final = (
    "durable", "auto_delete", "arguments", "type", "internal", "vhost", "name", "properties",
    "routing_key", "payload", "payload_encoding", "count", "ackmode", "encoding", "truncate",
    "value", "pattern", "definition", "priority", "apply-to", "component", "",
)  # fmt: skip
_BODIES: Final = (
    b"null", b"[]", b'"x"', b"1", b"{", b"{}}", b"\xff\xfe", b"[" * 50_000, b'{"a":' * 5_000,
    b"NaN", b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffff\r\nx", b"-1\r\n\r\n",
    b"5;ext=1\r\nhel", b"0\r\n\r\n",
)  # fmt: skip
_ODD: Final = (
    b"Expect: 100-continue", b"Expect: the-unexpected", b"Connection: close",
    b"X-Reason: %s{0}\\x00", b"Content-Encoding: gzip", b"Cookie: m=1; auth=%ff",
    b"Upgrade: websocket", b"X: " + b"y" * 9_000, b"Origin: http://evil.example",
    b"If-None-Match: *", b"Range: bytes=0-1", b": no name", b"no colon",
    b"X-Forwarded-For: 127.0.0.1", b"Authorization: Bearer a.b.c", b"Transfer-Encoding: x",
)  # fmt: skip
_PATHS: Final = (
    "/", "/api", "/api/", "/api/..", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
    "//api/queues", "/api/queues/%2F/%00", "/api/queues/%ff", "/api/queues/%",
    "/api/" + "a/" * 500, "*", "http://x/api", "/metrics", "/metrics/detailed?family=x",
    "/static/../../config.py", "/api/queues/%252F/q1", "/healthz", "api/overview",
    "/api/overview#x", "/api/ov erview", "/" + "b" * 7_000,
)  # fmt: skip
