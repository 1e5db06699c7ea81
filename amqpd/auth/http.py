"""The HTTP backend: an HTTP service that says yes and no, by RabbitMQ's protocol.

    HttpBackend(settings, spawn, remember_s)
        await .login(name, password, host)      user_path: `allow [tag …]` or `deny [reason]`
        await .allows(who, vhost, question)     vhost_path, resource_path, topic_path

Parameters are sent as a query (GET) or a form (POST). Any status but 200 and 201, and any body
that is neither `allow` nor `deny`, means that the service could not be asked.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from amqpd.auth.chain import Accepted, Refused
from amqpd.auth.remote import Answers, Who
from amqpd.text import masked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amqpd.auth.around import Around
    from amqpd.auth.chain import Login
    from amqpd.auth.remote import Spawn
    from amqpd.auth.settings import HttpAuth
    from amqpd.broker.access import Question

#: More of an answer is not read.
ANSWER_BYTES: Final = 16_384
_FINE: Final = (200, 201)


class ServiceError(Exception):
    """The service gave no answer that can be understood."""


class HttpBackend:
    """Asks an HTTP service."""

    name = "http"

    def __init__(self, settings: HttpAuth, spawn: Spawn, remember_s: float) -> None:
        self.remember_s = remember_s
        self.answers = Answers(self, spawn)
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    async def login(self, name: str, password: str | None, host: str) -> Login:
        """Ask whether somebody may log in; without a password only the name is sent."""
        parameters = {"username": name}
        if password is not None:
            parameters["password"] = password
        allowed, rest = await self._ask(self._settings.user_path, parameters)
        if not allowed:
            return Refused(f"denied by the HTTP service{rest and f': {rest}'}")
        tags = frozenset(rest.split())
        return Accepted(name, tags, self.answers.authority(Who(name, tags, host)))

    async def allows(self, who: Who, vhost: str, question: Question) -> bool:
        """Ask for one right."""
        settings = self._settings
        tags = " ".join(sorted(who.tags))
        parameters = {"username": who.name, "vhost": vhost}
        if question.kind == "vhost":
            return (
                await self._ask(settings.vhost_path, {**parameters, "ip": who.host, "tags": tags})
            )[0]
        parameters |= {
            "resource": question.kind,
            "name": question.name,
            "permission": question.right,
            "tags": tags,
        }
        if question.kind != "topic":
            return (await self._ask(settings.resource_path, parameters))[0]
        parameters |= {
            "routing_key": question.routing_key,
            "variable_map.username": who.name,
            "variable_map.vhost": vhost,
        }
        return (await self._ask(settings.topic_path, parameters))[0]

    async def close(self) -> None:
        """Close what is open to the service."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, url: str, parameters: Mapping[str, str]) -> tuple[bool, str]:
        """Yes or no, and what the service adds to it."""
        # What cannot be text, as a password may be, is sent as the octets that it is.
        query = urlencode(parameters, errors="surrogateescape")
        session = self._open()
        if self._settings.http_method == "get":
            sent = session.get(URL(f"{url}?{query}", encoded=True), allow_redirects=False)
        else:
            sent = session.post(
                url,
                data=query.encode(),
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                allow_redirects=False,
            )
        try:
            async with sent as response:
                octets, status = await _read(response), response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            # The error's own text may hold the URL, and that a password.
            raise ServiceError(f"no answer from {_without_query(url)}: {_kind(error)}") from None
        return _understood(status, octets.decode(errors="replace").strip(), url)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl.create_default_context(cafile=self._settings.ca or None)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=32),
                timeout=aiohttp.ClientTimeout(total=self._settings.request_timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                # A few octets can stand for gigabytes.
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        return self._session


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """All of an answer, however many pieces it comes in, and no more than is allowed."""
    octets = bytearray()
    async for piece in response.content.iter_any():
        octets += piece
        if len(octets) > ANSWER_BYTES:
            response.close()
            raise ServiceError(f"an answer of more than {ANSWER_BYTES} octets")
    return bytes(octets)


def _understood(status: int, text: str, url: str) -> tuple[bool, str]:
    word, _, rest = text.partition(" ")
    if status in _FINE:
        if word.lower() == "allow":
            return True, rest.strip()
        if word.lower() == "deny":
            return False, rest.strip()
    raise ServiceError(f"{_without_query(url)} answered {status} with neither allow nor deny")


def _without_query(url: str) -> str:
    return masked(url.partition("?")[0])


def _kind(error: Exception) -> str:
    cause = getattr(error, "os_error", None)
    return getattr(cause, "strerror", None) or type(error).__name__


def make(around: Around) -> HttpBackend:
    """The backend of these settings."""
    made = HttpBackend(around.http, around.spawn, around.cache_ttl_s)
    around.answers.append(made.answers)
    return made
