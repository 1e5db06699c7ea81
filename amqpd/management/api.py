"""The API: from a request to its answer, with all errors on the way."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from amqpd.broker.access import Undecided
from amqpd.broker.events import INTERNAL
from amqpd.errors import AmqpError
from amqpd.management import access, cors, logins
from amqpd.management.access import Caller, Needs, local
from amqpd.management.call import Call
from amqpd.management.errors import (
    HttpError,
    bad_request,
    not_authenticated,
    not_authorised,
    not_found,
    not_running,
    not_written_down,
    translated,
)
from amqpd.management.live import STREAM, Streams, live
from amqpd.management.openapi import describe
from amqpd.management.overview import identity
from amqpd.management.request import Answer, encode, json
from amqpd.management.resources import ROUTES
from amqpd.management.routing import Operation, Route, Router
from amqpd.management.survey import Survey

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from amqpd.management.host import Host
    from amqpd.management.request import Request

LOG = logging.getLogger("amqpd.http")

NOBODY: Final = Caller("", frozenset())
#: Things that an operation may have to ask for before it is decided.
MOST_QUESTIONS: Final = 1000
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: What says that the caller may not.
REFUSED: Final = frozenset({401, 403})
#: The longest form of somebody who is not known yet; a token may be in it.
LOGIN_BYTES: Final = 131_072
#: What takes everything out, hashes of passwords too, though it changes nothing.
EXPORTS: Final = "/definitions"
#: What is written down although it only reads: hashes of passwords, bodies of messages.
REVEALING: Final = (EXPORTS, "/trace-files/", "/queues/{vhost}/{queue}/messages/")
#: Another name of it.
ALL: Final = "/all-configuration"
#: Parts of paths that nobody may write down.
SECRET: Final = frozenset({"{password}"})


class Login(Struct):
    """What somebody logs in with."""

    username: str
    password: str


class Api:
    """Everything under `/api`."""

    def __init__(self, host: Host) -> None:
        self.router = Router((*ROUTES, *self._own_routes()))
        self._description = b""
        #: What is sampled for rates and charts; somebody has to run it.
        self.survey = Survey(host)
        self._streams = Streams()
        self._host = host
        self._alone = asyncio.Lock()
        self._sessions = logins.WebSessions(
            lambda name: host.broker.permissions.user(name), host.broker.new_token
        )

    async def answer(self, request: Request) -> Answer:
        """Answer a request, whatever it is; `path` begins behind `/api`."""
        answer = await self._answer_or_refusal(request)
        settings = self._host.http
        cors.mark(answer, request, settings)
        if not settings.allow_header and answer.status != 405:
            answer.headers.pop("Allow", None)
        return answer

    async def _answer_or_refusal(self, request: Request) -> Answer:
        try:
            return await self._answer(request)
        except HttpError as error:
            if request.headers.get("sec-fetch-dest") == "empty":
                # A page has asked: the browser must not ask for a password on its own.
                error.headers.pop("WWW-Authenticate", None)
            return _refusal(error)
        except AmqpError as error:
            return _refusal(translated(error))
        except Exception:
            LOG.exception("HTTP %s /api%s: failed", request.method, self._told(request.path))
            return _refusal(HttpError(500, "internal_server_error", "see the broker's log"))

    def _told(self, path: str) -> str:
        """A path as the log may have it: what is secret in it stays out."""
        found = self.router.find(path)
        return "…" if found is None else _about(*found)

    async def _answer(self, request: Request) -> Answer:
        found = self.router.find(request.path)
        if found is None:
            raise not_found()
        route, names = found
        if request.method == "OPTIONS":
            return Answer(headers={"Allow": route.allowed})
        operation = _operation(route, request.method)
        if self._host.controls.is_stopped and not operation.while_stopped:
            raise not_running()
        names = self._once_more(names)
        nobody = operation.needs is Needs.NOTHING
        caller = NOBODY if nobody else await self.caller(request)
        call = Call(self._host, self.survey, request, names, caller, self._alone)
        about = _about(route, names)
        try:
            answer = await self._decided(operation, call)
        except (HttpError, AmqpError) as error:
            # Only a number stays: an error in a local variable is in a cycle with its traceback,
            # in whose frames the body of the request is.
            status = (error if isinstance(error, HttpError) else translated(error)).status
            if operation.audited and status in REFUSED:
                self._witnessed(call, about, status)
            raise
        changes = request.method not in SAFE_METHODS or route.path.startswith(REVEALING)
        if operation.audited and changes:
            self._witnessed(call, about, answer.status)
        answer.headers.setdefault("Cache-Control", "no-cache")
        if answer.content_type == STREAM and not nobody:
            self._streams.enter(caller.name, answer)
            answer.body = self._while_allowed(operation, call, answer.body)
        return answer

    async def _while_allowed(
        self, operation: Operation, call: Call, body: bytes | AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """The pieces of an answer without end, as long as its caller may have it."""
        assert not isinstance(body, bytes)
        async with contextlib.aclosing(body) as pieces:
            async for piece in pieces:
                try:
                    caller = await self.caller(call.request)
                    access.check(operation.needs, caller, call.vhost_name, self._host.broker)
                except HttpError:
                    return
                yield piece

    def _witnessed(self, call: Call, about: str, status: int) -> None:
        request = call.request
        operation = f"http {request.method.lower()}"
        text = "; ".join(call.told)
        self._host.witnessed(call.caller.name, request.peer, operation, about, status, text)

    async def _decided(self, operation: Operation, call: Call) -> Answer:
        """The answer of an operation, once everybody was asked who decides whether it may be."""
        for _ in range(MOST_QUESTIONS):
            try:
                self._check(operation.needs, call)
                self._check_is_written_down(operation, call.request)
                return await operation.answer(call)
            except AmqpError:
                # It was about to do something in somebody's name.
                self._host.broker.events.by = INTERNAL
                raise
            except Undecided as undecided:
                # Nothing was changed yet: ask, and run it again.
                await _found_out(undecided)
        raise not_authorised("Access refused.")

    def _check(self, needs: Needs, call: Call) -> None:
        if needs is not Needs.NOTHING:
            vhost = call.vhost_name
            known = vhost if vhost in self._host.broker.vhosts else None
            access.check(needs, call.caller, known, self._host.broker)

    def _check_is_written_down(self, operation: Operation, request: Request) -> None:
        """Change nothing of which the audit log cannot tell."""
        if operation.audited and request.method not in SAFE_METHODS and self._host.unwritten:
            LOG.warning("HTTP %s refused: %s", request.method, self._host.unwritten)
            raise not_written_down(self._host.unwritten)

    def _once_more(self, names: dict[str, str]) -> dict[str, str]:
        """The names in a path that was quoted twice, which some clients do with `%2F`."""
        vhosts, vhost = self._host.broker.vhosts, names.get("vhost", "")
        if "%" in vhost and vhost not in vhosts and unquote(vhost) in vhosts:
            return {name: unquote(value) for name, value in names.items()}
        return names

    # -- who asks --------------------------------------------------------------------------

    async def caller(self, request: Request) -> Caller:
        """Who asks, by password or by cookie.

        Raises:
            HttpError: nobody, or nobody we know.
        """
        authorization = request.headers.get("authorization", "") or _in_query(request)
        if authorization:
            return await self._shown(authorization, request)
        if request.local_user:
            return local(request.local_user)
        now_ms = self._host.broker.around.now_ms
        caller = self._sessions.caller(logins.token_of(request.headers), now_ms)
        if caller is None:
            raise not_authenticated(asked=self._host.http.basic_auth)
        if request.method not in SAFE_METHODS:
            self._check_page(request)
        return caller

    async def _shown(self, authorization: str, request: Request) -> Caller:
        """Whom the header Authorization, or what stands for it, shows."""
        user, password = _credentials(authorization)
        if user or not password:
            self._check_passwords_count()
        else:
            now_ms = self._host.broker.around.now_ms
            caller = self._sessions.caller(password.decode(errors="replace"), now_ms)
            if caller is not None:
                return caller
        return await self._log_in(user, password, request)

    def _check_passwords_count(self) -> None:
        if not self._host.http.basic_auth:
            raise not_authorised("HTTP access denied: basic auth disabled")

    def _check_page(self, request: Request) -> None:
        """See that a browser's login is used by a page of ours, or of one we were told to trust."""
        if not (
            logins.is_from_own_page(request.headers) or cors.is_trusted(request, self._host.http)
        ):
            raise HttpError(403, "forbidden", "a request of another site's page")

    async def _log_in(self, user: str, password: bytes, request: Request) -> Caller:
        named = request.headers.get("host", "")
        caller = await self._host.log_in(user, password, request.peer, named)
        if caller is None:
            raise not_authenticated()
        return caller

    # -- what is not of the broker ---------------------------------------------------------

    def _own_routes(self) -> tuple[Route, ...]:
        nothing = Needs.NOTHING
        return (
            Route(
                "/login",
                POST=Operation(
                    self._login, nothing, Login, is_form=True, audited=False, while_stopped=True
                ),
                DELETE=Operation(self._logout, nothing, audited=False, while_stopped=True),
            ),
            Route(
                "/live",
                GET=Operation(
                    self._live,
                    nothing,
                    query=("path", "interval", "paths"),
                    gives=STREAM,
                    while_stopped=True,
                ),
            ),
            Route("/openapi.json", GET=Operation(self._describe, nothing, while_stopped=True)),
        )

    async def _login(self, call: Call) -> Answer:
        """Log in with a form; the answer sets a cookie."""
        request, settings = call.request, self._host.http
        self._check_page(request)
        form = _form(await request.read(LOGIN_BYTES))
        user = form.get("username", "")
        if user:
            self._check_passwords_count()
        password = form.get("password", "").encode(errors="surrogateescape")
        caller = await self._log_in(user, password, request)
        access.check(Needs.LOGIN, caller, None, self._host.broker)
        life_s = settings.login_session_s
        token = self._sessions.open(caller, self._host.broker.around.now_ms, life_s)
        known = {"name": caller.name, "tags": sorted(caller.tags)}
        shown = {"type": "bearer", "value": token}
        answer = json({**known, "token": shown, "user": identity(caller, settings)})
        answer.headers["Set-Cookie"] = self._cookie(token, request, life_s)
        return answer

    def _cookie(self, token: str, request: Request, life_s: int) -> str:
        path = "" if request.local_user else self._host.http.path_prefix
        return logins.cookie(token, secure=request.secure, life_s=life_s, path=path)

    async def _logout(self, call: Call) -> Answer:
        """Forget the cookie, or the token that was given with it."""
        headers = call.request.headers
        _, shown = _credentials(headers.get("authorization", ""))
        for token in (logins.token_of(headers), shown.decode(errors="replace")):
            self._sessions.close(token)
        return Answer(204, headers={"Set-Cookie": self._cookie("", call.request, 0)})

    async def _live(self, call: Call) -> Answer:
        """What a path answers, again whenever it changes, as server-sent events."""
        caller = await self.caller(call.request)
        answer = live(call.request, self.answer)
        self._streams.enter(caller.name, answer)
        return answer

    async def _describe(self, call: Call) -> Answer:
        """This description of the API, in OpenAPI 3.1."""
        if self._host.http.reference_needs_login:
            await self.caller(call.request)
        if not self._description:
            version = self._host.figures().version
            prefix = self._host.http.path_prefix
            self._description = encode(describe(self.router.routes, version, prefix))
        return Answer(body=self._description)


async def _found_out(undecided: Undecided) -> None:
    known: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done() -> None:
        if not known.done():
            known.set_result(None)

    undecided.find_out(done)
    await known


def _in_query(request: Request) -> str:
    """The authorization of a link or a form of RabbitMQ's page, which can send no header."""
    if not request.path.startswith((EXPORTS, ALL)):
        return ""
    if basic := request.query.get("auth"):
        return f"Basic {basic}"
    token = request.query.get("token")
    return f"Bearer {token}" if token else ""


def _about(route: Route, names: Mapping[str, str]) -> str:
    """The path with its names, for people; what is secret in it stays out."""
    return "/" + "/".join(
        _named(word, names) if word.startswith("{") else word
        for word in route.path.strip("/").split("/")
    )


def _named(word: str, names: Mapping[str, str]) -> str:
    # A slash would begin another name.
    return "…" if word in SECRET else names[word[1:-1]].replace("/", "%2F")


def _operation(route: Route, method: str) -> Operation:
    found = route.methods.get("GET" if method == "HEAD" else method)
    if found is None:
        raise _wrong_method(route.allowed)
    return found


def _wrong_method(allowed: str) -> HttpError:
    return HttpError(405, "Method Not Allowed", f"allowed: {allowed}", {"Allow": allowed})


def _refusal(error: HttpError) -> Answer:
    body = encode({"error": error.error, "reason": error.reason})
    return Answer(error.status, body, headers=error.headers)


def _credentials(header: str) -> tuple[str, bytes]:
    """User and password of an Authorization header; empty for what is not understood.

    A bearer token is a password without a user: it tells itself who it is for.
    """
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return "", value.strip().encode(errors="surrogateescape")
    if scheme.lower() != "basic":
        return "", b""
    try:
        user, _, password = base64.b64decode(value.strip(), validate=True).partition(b":")
        return user.decode(), password
    except ValueError:
        # Not base64, not ASCII, or not UTF-8 in it.
        return "", b""


def _form(octets: bytes) -> Mapping[str, str]:
    try:
        return dict(parse_qsl(octets.decode(), keep_blank_values=True))
    except UnicodeDecodeError as error:
        raise bad_request("not a form in UTF-8") from error
