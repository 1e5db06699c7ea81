"""A connection: the session of one AMQP client, sans-I/O.

The server creates a `Connection` per socket and drives it:

    receive_data(octets)    what was read; never raises
    data_to_send()          what is to be written; to be asked after receive_data, after tick,
                            and once per turn of the loop after `notify(connection)`
    closing                 write what is left, then close the socket
    tick(now_ms)            time, at least twice a second: heartbeats and deadlines
    writable(flag)          the transport is below or above its high-water mark
    wants_reading           False: do not read, the connection is blocked by an alarm
    reading_paused          set by the server while it does not read for reasons of its own
    access_changed()        rights or users have changed
    close(error)            somebody on this side closes it; fail(), shut_down() likewise
    connection_lost(reason) the socket is gone; everything unacked goes back to its queues

It also is the `Events` of the codec's parser. Every event passes through one door for
errors, `_refuse`, so nothing that a client sends can leave the parser in the middle.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

from pamqp.base import Frame as Command
from pamqp.commands import Basic
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp import basic, frames, handshake, methods, wire
from amqpd.amqp.channel import Channel, Settlement
from amqpd.amqp.commands import ids, make
from amqpd.amqp.heartbeat import Heartbeat
from amqpd.amqp.output import Output
from amqpd.amqp.phase import BEFORE_LOGIN, ENDING, STATE_NAMES, Phase
from amqpd.amqp.publish import Target
from amqpd.amqp.replies import Replies
from amqpd.amqp.sasl import Credentials, Login, Mechanism, Peer
from amqpd.broker.delivery import Run
from amqpd.errors import (
    AmqpError,
    ChannelError,
    ChannelStateError,
    CommandInvalid,
    ConnectionForced,
    FrameError,
    InternalError,
    NotAllowed,
    NotImplementedHere,
    PreconditionFailed,
    SyntaxError,
    UnexpectedFrame,
)

if TYPE_CHECKING:
    from amqpd.amqp.direct_reply import ReplyConsumers
    from amqpd.amqp.gathering import Group, Route
    from amqpd.amqp.settings import AmqpSettings
    from amqpd.broker.broker import Broker
    from amqpd.broker.permissions import Access
    from amqpd.broker.vhost import VHost
    from amqpd.fields import Table

codec = wire.select()
logger = logging.getLogger(__name__)

#: Asks whether credentials are right; the answer (None: no) comes by the last argument, on
#: the thread that asked, at once or later.
Authenticate: TypeAlias = Callable[[Credentials, Peer, Callable[[Login | None], None]], None]

#: Class and method, as a close names what it is about.
Ids: TypeAlias = tuple[int, int]
_UNKNOWN: Final[Ids] = (0, 0)
_PUBLISH: Final[Ids] = (60, 40)
_ACK: Final[Ids] = (60, 80)
_NACK: Final[Ids] = (60, 120)
_CLOSE_OK: Final = frames.frame(frames.METHOD, 0, b"\x00\x0a\x00\x33")
#: Methods that may arrive while a login is being decided on.
_MAX_EARLY: Final = 8
#: The mechanism under which a new secret is checked.
UPDATE_SECRET: Final = "UPDATE-SECRET"  # noqa: S105 - the name of a mechanism


@dataclass(frozen=True, slots=True)
class Environment:
    """What all connections of a broker share; `new_token` gives 128 random bits as text."""

    broker: Broker
    settings: AmqpSettings
    authenticate: Authenticate
    reply_consumers: ReplyConsumers
    new_token: Callable[[], str]
    cluster_name: str = ""


class Connection:
    """One AMQP connection; see the module."""

    def __init__(
        self,
        environment: Environment,
        peer: Peer,
        notify: Callable[[Connection], None],
        now_ms: int,
    ) -> None:
        self.broker = environment.broker
        self.settings = environment.settings
        self.authenticate = environment.authenticate
        self.reply_consumers = environment.reply_consumers
        self.new_token = environment.new_token
        self.cluster_name = environment.cluster_name
        self.peer = peer
        self.phase = Phase.HEADER
        self.closing = False
        self.reading_paused = False
        # Set by the handshake.
        self.client_properties: Table = {}
        self.capabilities: frozenset[str] = frozenset()
        self.mechanism: Mechanism | None = None
        self.mechanism_name = ""
        self.login = Login("")
        self.vhost: VHost | None = None
        self.channels: dict[int, Channel] = {}
        self.channel_max = self.settings.channel_max
        self._access: Access | None = None
        self._revision = -1
        self._replies: dict[int, Replies] = {}
        self._early = b""
        self._early_methods: list[tuple[int, bytes]] = []
        self._received = 0
        self._parser = codec.Parser(self, self.settings.handshake_frame_max_bytes)
        self._parser.max_message_bytes = self.settings.max_message_size_bytes
        self._deaf = False  # frames make no sense any more: only a close-ok is looked for
        self._tail = b""
        self.output = Output(codec.Outbox(), self.settings.outbox_bytes, partial(notify, self))
        self.output.frame_max = self.settings.handshake_frame_max_bytes
        self._farewell: tuple[bytes, bool] | None = None
        self._now_ms = now_ms
        self._close_at_ms = now_ms + int(self.settings.handshake_timeout_s * 1000)
        self._heartbeat = Heartbeat(0, now_ms)
        self._sent = 0
        self._alarm = ""
        self._blocked = False

    # -- what the server calls -------------------------------------------------------------

    def receive_data(self, octets: bytes) -> None:
        """Take what was read."""
        self._heartbeat.received = True
        if self.closing:
            return
        if self.phase is Phase.HEADER:
            octets = self._protocol_header(octets)
            if not octets:
                return
        if self._deaf:
            self._listen_for_close_ok(octets)
            return
        if self.phase in BEFORE_LOGIN and not self._may_say_more(len(octets)):
            return
        self._check_revision()
        self._feed(octets)
        self._end_read()

    def _feed(self, octets: bytes) -> None:
        try:
            self._parser.feed(octets)
        except Exception as error:
            if self.phase is Phase.CLOSING or isinstance(error, FrameError):
                self._deaf = True
            self._refuse(error, 0, _UNKNOWN)

    def data_to_send(self) -> bytes:
        """Everything that is to be written now."""
        return self.output.take()

    def writable(self, flag: bool) -> None:
        """The transport takes more, or has more than enough."""
        self.output.writable = flag
        self.output.relieve()

    @property
    def wants_reading(self) -> bool:
        """Whether the socket may be read: not while an alarm blocks the connection."""
        return not self._blocked

    def tick(self, now_ms: int) -> None:
        """Time has passed."""
        self._now_ms = now_ms
        if self._close_at_ms and now_ms >= self._close_at_ms:
            if self.phase not in ENDING:
                logger.warning("connection %s: handshake timed out", self.peer)
            self._end()
            return
        heartbeat = self._heartbeat
        if self.output.sent != self._sent:
            self._sent = self.output.sent
            heartbeat.sent = True
        if self._blocked or self.reading_paused:
            heartbeat.received = True
        if heartbeat.is_missed(now_ms):
            logger.warning("connection %s: no heartbeat from the client", self.peer)
            self._end()
        elif heartbeat.is_due(now_ms) and self.phase not in ENDING:
            self.output.raw(frames.HEARTBEAT_FRAME)

    def alarm(self, reason: str) -> None:
        """Resources ran low, or are back (no reason)."""
        self._alarm = reason
        if not reason and self._blocked:
            self._blocked = False
            if self.can("connection.blocked") and self.phase is Phase.RUNNING:
                self.output.send(ConnectionClass.Unblocked(), 0)

    def access_changed(self) -> None:
        """Rights have changed: consumers that may not read any more are cancelled."""
        for channel in self.channels.values():
            basic.recheck(channel)

    def close(self, error: AmqpError) -> None:
        """Close the connection from our side, at once."""
        if self.phase not in ENDING:
            self._start_closing(error, _UNKNOWN)
            self._say_farewell()

    def fail(self) -> None:
        """Our own code has failed, or the store has."""
        self.close(InternalError("internal error"))

    def shut_down(self) -> None:
        """The broker stops."""
        self.close(ConnectionForced("broker forced connection closure with reason 'shutdown'"))

    def connection_lost(self, reason: str) -> None:
        """The socket is gone."""
        if self.phase is not Phase.CLOSED:
            logger.info("connection %s: lost: %s", self.peer, reason)
        self._release()
        self._end()
        for replies in self._replies.values():
            replies.drop()

    # -- for the handshake and the channels ------------------------------------------------

    @property
    def access(self) -> Access:
        """What the user may do in the vhost; only once it was entered."""
        assert self._access is not None
        return self._access

    def can(self, capability: str) -> bool:
        """Whether the client has said that it understands this."""
        return capability in self.capabilities

    def tuned(self, frame_max: int, channel_max: int, heartbeat_s: int) -> None:
        """Both sides have agreed."""
        self._parser.frame_max = frame_max
        self.output.frame_max = frame_max
        self.channel_max = channel_max
        self._heartbeat = Heartbeat(heartbeat_s, self._now_ms)

    def enter(self, vhost: str) -> None:
        """Enter a vhost: the connection is open.

        Raises:
            NotAllowed: it does not exist for this user, or a limit is reached.
        """
        self.vhost, self._access = self.broker.open_vhost(vhost, self.login.user)
        self._close_at_ms = 0
        self._check_revision()
        self.broker.watch_alarms(self.alarm)
        self._alarm = self.broker.alarms.reason

    def resume(self) -> None:
        """The login was decided on: go on with what came meanwhile."""
        early, self._early_methods = self._early_methods, []
        for number, payload in early:
            self.method(number, payload)

    def drop_in(self, seconds: float) -> None:
        """Say nothing more, and close the socket after a while."""
        self.phase = Phase.CLOSING
        self._deaf = True
        self._close_at_ms = self._now_ms + int(seconds * 1000)

    # -- the beginning ---------------------------------------------------------------------

    def _protocol_header(self, octets: bytes) -> bytes:
        """Take the protocol header; what follows it, if anything."""
        early = self._early + octets
        match handshake.header(early):
            case True:
                self._early = b""
                handshake.start(self)
                return early[len(frames.PROTOCOL_HEADER) :]
            case False:
                logger.warning("connection %s: %s", self.peer, _guess(early))
                self.output.raw(frames.PROTOCOL_HEADER)
                self._end()
            case None:
                self._early = early
        return b""

    def _may_say_more(self, count: int) -> bool:
        self._received += count
        if self._received <= self.settings.handshake_max_bytes:
            return True
        logger.warning("connection %s: too much before the login", self.peer)
        self._end()
        return False

    # -- events of the parser ---------------------------------------------------------------

    def resolve(self, method_frame: bytes, channel: int) -> Route | None:
        """A basic.publish frame that the parser does not know yet; errors come in `content`."""
        found = self.channels.get(channel)
        if self.phase is not Phase.RUNNING or found is None or not found.is_open:
            return None
        try:
            command = methods.decode(method_frame[7:-1])
            assert isinstance(command, Basic.Publish)
            return found.publisher.route(found.publisher.target(command))
        except AmqpError:
            return None

    def publish(self, group: Group) -> None:  # hot: S1b, S2
        """Messages of one channel for one set of queues."""
        channel = self.channels.get(group.channel.number)
        if channel is None or not channel.is_open:
            return
        if self._alarm:
            self._block(self._alarm)
        try:
            target = group.target
            assert isinstance(target, Target)
            run = Run(
                group.contents,
                group.names,
                group.names_each,
                group.persistent,
                channel.number,
                group.size_bytes,
            )
            channel.publisher.publish(target, run)
        except Exception as error:
            self._refuse(error, channel.number, _PUBLISH)

    def special(self, route: Route, content: bytes) -> None:
        """A message whose properties have to be looked at."""
        channel = self.channels.get(route.channel.number)
        if channel is None or not channel.is_open:
            return
        if self._alarm:
            self._block(self._alarm)
        try:
            target = route.target
            assert isinstance(target, Target)
            channel.publisher.special(target, content)
        except Exception as error:
            self._refuse(error, channel.number, _PUBLISH)

    def content(self, channel: int, method_payload: bytes, content: bytes) -> None:
        """A message for which `resolve` had no answer: nearly always there is an error to tell."""
        try:
            found = self._channel(channel)
            if found is not None:
                command = methods.decode(method_payload)
                assert isinstance(command, Basic.Publish)
                found.publisher.special(found.publisher.target(command), content)
        except Exception as error:
            self._refuse(error, channel, _PUBLISH)

    def too_large(self, channel: int, method_payload: bytes, size: int) -> None:
        """A message above the limit; the parser skips its body."""
        try:
            if self._channel(channel) is not None:
                command = methods.decode(method_payload)
                assert isinstance(command, Basic.Publish)
                if command.immediate:
                    raise NotImplementedHere("immediate=true")
                limit = self.settings.max_message_size_bytes
                raise PreconditionFailed(
                    f"message size {size} is larger than configured max size {limit}"
                )
        except Exception as error:
            self._refuse(error, channel, _PUBLISH)

    def ack(  # hot: S2
        self, channel: int, first_tag: int, last_tag: int, multiple: bool
    ) -> None:
        """Deliveries were acknowledged."""
        try:
            found = self._channel(channel, ignore_unopened=True)
            if found is not None:
                found.settle_tags(Settlement.ACK, first_tag, last_tag, multiple)
        except Exception as error:
            self._refuse(error, channel, _ACK)

    def reject(self, channel: int, tag: int, multiple: bool, requeue: bool) -> None:
        """Deliveries were rejected, by basic.reject or basic.nack."""
        try:
            found = self._channel(channel, ignore_unopened=True)
            if found is not None:
                how = Settlement.REQUEUE if requeue else Settlement.DISCARD
                found.settle_tags(how, tag, tag, multiple)
        except Exception as error:
            self._refuse(error, channel, _NACK)

    def method(self, channel: int, payload: bytes) -> None:
        """Any other method."""
        try:
            if self.phase is Phase.AUTHENTICATING:
                self._keep_early(channel, payload)
            elif channel:
                self._channel_method(channel, payload)
            else:
                self._connection_method(payload)
        except Exception as error:
            self._refuse(error, channel, methods.index_of(payload))
        self._check_revision()

    def heartbeat(self) -> None:
        """Any traffic counts, so there is nothing to do for this one."""

    def _end_read(self) -> None:
        """All of a read is handled: what its publishes wait for is known now."""
        touched = self._parser.touched_channels
        if not touched:
            return
        for count in touched:
            count.touched = False
            channel = self.channels.get(count.number)
            if channel is not None and channel.confirms is not None and channel.count is count:
                channel.confirms.end_read(count.published)
        touched.clear()

    def _check_revision(self) -> None:
        """What was routed is valid for one revision of the vhost."""
        if self.vhost is not None and self.vhost.revision != self._revision:
            self._revision = self.vhost.revision
            self._forget()

    def _forget(self) -> None:
        self._parser.forget()
        for channel in self.channels.values():
            channel.publisher.forget()

    def _block(self, reason: str) -> None:
        """The client publishes during an alarm: it is not read until that is over."""
        if not self._blocked:
            self._blocked = True
            if self.can("connection.blocked"):
                self.output.send(ConnectionClass.Blocked(reason=reason), 0)

    # -- methods ---------------------------------------------------------------------------

    def _keep_early(self, channel: int, payload: bytes) -> None:
        if len(self._early_methods) >= _MAX_EARLY:
            raise UnexpectedFrame("too many methods before the login")
        self._early_methods.append((channel, payload))

    def _connection_method(self, payload: bytes) -> None:
        command = methods.decode(payload)
        answer = ALLOWED[self.phase].get(type(command))
        if answer is not None:
            answer(self, command)
        elif self.phase not in ENDING:
            state = STATE_NAMES[self.phase]
            raise ChannelStateError(f"unexpected method in connection state {state}")

    def _channel(self, number: int, *, ignore_unopened: bool = False) -> Channel | None:
        """The channel a frame is for; None if the frame is to be ignored.

        Raises:
            UnexpectedFrame: the connection is not open yet.
            ChannelStateError: the channel is not open.
        """
        if self.phase in ENDING:
            return None
        if self.phase is not Phase.RUNNING:
            raise UnexpectedFrame(f"frame on channel {number} before connection.open")
        channel = self.channels.get(number)
        if channel is None:
            if ignore_unopened:
                return None
            raise ChannelStateError("expected 'channel.open'")
        return channel if channel.is_open else None

    def _channel_method(self, number: int, payload: bytes) -> None:
        index = methods.index_of(payload)
        closed = self.channels.get(number)
        if self.phase is Phase.RUNNING and closed is not None and not closed.is_open:
            self._method_of_closing(closed, index)
            return
        ignore = index == ids(ChannelClass.CloseOk)
        channel = None
        if index != ids(ChannelClass.Open) or self.phase is not Phase.RUNNING:
            channel = self._channel(number, ignore_unopened=True)
            if channel is None and (ignore or self.phase in ENDING):
                return
        command = methods.decode(payload)
        if isinstance(command, ChannelClass.Open):
            self._open_channel(number)
        elif index[0] == ConnectionClass.frame_id:
            raise CommandInvalid("unimplemented method")
        elif channel is None:
            raise ChannelStateError("expected 'channel.open'")
        elif isinstance(command, ChannelClass.Close):
            self._close_channel(channel)
        else:
            channel.method(command)

    def _method_of_closing(self, channel: Channel, index: Ids) -> None:
        """We closed the channel: all but the client's agreement is ignored."""
        if index == ids(ChannelClass.CloseOk):
            del self.channels[channel.number]
        elif index == ids(ChannelClass.Close):
            channel.reply(ChannelClass.CloseOk())

    def _open_channel(self, number: int) -> None:
        if number in self.channels:
            raise ChannelStateError("second 'channel.open' seen")
        limit = self.channel_max
        if limit and len(self.channels) >= limit:
            raise NotAllowed(
                f"number of channels opened ({len(self.channels)}) has reached the "
                f"negotiated channel_max ({limit})"
            )
        if limit and number > limit:
            raise ChannelStateError(
                f"channel number {number} is higher than the negotiated channel_max ({limit})"
            )
        assert self.vhost is not None
        replies = self._replies.get(number)
        if replies is None:
            changed = partial(self._replies_held, number)
            replies = self._replies[number] = Replies(self.broker.journal, changed)
        channel = Channel(self, self.vhost, number, replies)
        self.channels[number] = channel
        channel.reply(make(ChannelClass.OpenOk, channel_id=""))

    def _close_channel(self, channel: Channel) -> None:
        channel.release()
        del self.channels[channel.number]
        self._parser.forget()
        channel.reply(ChannelClass.CloseOk())
        if not channel.replies.held:
            del self._replies[channel.number]

    def _replies_held(self, number: int, held: bool) -> None:
        channel = self.channels.get(number)
        if channel is not None:
            channel.replies_held(held)
        elif not held:
            del self._replies[number]
        if not held and self._farewell is not None:
            self._say_farewell_when_free()

    def update_secret(self, method: ConnectionClass.UpdateSecret) -> None:
        """connection.update-secret: a token is replaced before it expires."""
        credentials = Credentials(UPDATE_SECRET, self.login.user, methods.octets(method.new_secret))

        def decided(login: Login | None) -> None:
            if self.phase is not Phase.RUNNING:
                return
            if login is None or login.user != self.login.user:
                self.close(NotAllowed("New secret was refused by one of the backends"))
                return
            self.login = login
            self.output.send(ConnectionClass.UpdateSecretOk(), 0)
            self._forget()
            self.access_changed()

        self.authenticate(credentials, self.peer, decided)

    # -- the end ---------------------------------------------------------------------------

    def _refuse(self, error: Exception, number: int, where: Ids) -> None:
        """The one door for errors: close the channel, the connection, or just the socket."""
        if not isinstance(error, AmqpError):
            logger.error("connection %s: internal error", self.peer, exc_info=error)
            error = InternalError("internal error")
        if self.phase in ENDING:
            return
        channel = self.channels.get(number)
        if isinstance(error, ChannelError) and channel is not None:
            logger.warning("connection %s, channel %d: %s", self.peer, number, error.reply_text)
            channel.fail(error, *where)
            self._parser.discard(number)
            self._forget()
            return
        logger.warning("connection %s: %s", self.peer, error.reply_text)
        if self.phase in BEFORE_LOGIN and not isinstance(error, (CommandInvalid, SyntaxError)):
            self.drop_in(self.settings.refused_delay_s)
            return
        if isinstance(error, NotAllowed) and self.phase is Phase.TUNE_OK:
            where = handshake.TUNE
        self._start_closing(error, where)
        if self._deaf:
            self._close_at_ms = self._now_ms + int(self.settings.frame_error_delay_s * 1000)

    def _start_closing(self, error: AmqpError, where: Ids) -> None:
        """Tell the client that it is over, and wait for it to agree."""
        self._release()
        self.phase = Phase.CLOSING
        wait_s = self.settings.close_timeout_s
        if self._heartbeat.interval_ms:
            wait_s = min(wait_s, self._heartbeat.interval_ms / 1000)
        self._close_at_ms = self._now_ms + int(wait_s * 1000)
        command = ConnectionClass.Close(
            reply_code=error.reply_code,
            reply_text=error.reply_text,
            class_id=where[0],
            method_id=where[1],
        )
        self._farewell = (methods.encode(command, 0), False)
        self._say_farewell_when_free()

    def _closed_by_client(self, method: ConnectionClass.Close) -> None:
        """connection.close; while we are closing ourselves only the answer is due."""
        if self.phase is Phase.CLOSING:
            self.output.send(ConnectionClass.CloseOk(), 0)
            return
        self._release()
        self.phase = Phase.CLOSING
        self._farewell = (methods.encode(ConnectionClass.CloseOk(), 0), True)
        self._say_farewell_when_free()

    def _closed_by_us(self, method: ConnectionClass.CloseOk) -> None:
        """connection.close-ok: the client agrees."""
        self._end()

    def _say_farewell_when_free(self) -> None:
        """Replies that wait for the disk come first."""
        if not any(replies.held for replies in self._replies.values()):
            self._say_farewell()

    def _say_farewell(self) -> None:
        if self._farewell is not None:
            octets, is_end = self._farewell
            self._farewell = None
            self.output.raw(octets)
            if is_end:
                self._end()

    def _release(self) -> None:
        """Give everything back that the broker holds for this connection."""
        for channel in self.channels.values():
            channel.release()
        self.channels.clear()
        vhost, self.vhost = self.vhost, None
        if vhost is not None:
            self.broker.unwatch_alarms(self.alarm)
            vhost.release(self)

    def _end(self) -> None:
        """Nothing more will be said: the socket may be closed."""
        self._release()
        self.phase = Phase.CLOSED
        self.closing = True
        self._close_at_ms = 0
        self._heartbeat.interval_ms = 0
        self.output.touch()

    def _listen_for_close_ok(self, octets: bytes) -> None:
        """The start of the next frame is not known, but a close-ok can still be told."""
        heard = self._tail + octets
        if self._farewell is None and _CLOSE_OK in heard:
            self._end()
        self._tail = heard[-len(_CLOSE_OK) :]


def _guess(octets: bytes) -> str:
    """What a client seems to speak, for the log."""
    if octets.startswith(b"\x16\x03"):
        return "not AMQP 0-9-1: looks like TLS on a port without it"
    if octets.startswith((b"GET ", b"POST", b"HEAD", b"PUT ")):
        return "not AMQP 0-9-1: looks like HTTP"
    if octets.startswith(b"AMQP"):
        return f"protocol version {'-'.join(map(str, octets[4:8]))} is not supported"
    return "not AMQP 0-9-1"


M = TypeVar("M", bound=Command)
Answer: TypeAlias = Callable[[Connection, Command], None]


def _answers(
    kind: type[M], answer: Callable[[Connection, M], None]
) -> tuple[type[Command], Answer]:
    # The table gives an answer nothing but commands of the type it is entered for.
    return kind, cast("Answer", answer)


_CLOSE: Final = _answers(ConnectionClass.Close, Connection._closed_by_client)

#: What the client may send on channel 0 in each phase. Anything else is 504, or silence.
ALLOWED: Final[Mapping[Phase, Mapping[type[Command], Answer]]] = {
    Phase.HEADER: {},
    Phase.START_OK: dict((_answers(ConnectionClass.StartOk, handshake.start_ok),)),
    Phase.SECURE_OK: dict((_answers(ConnectionClass.SecureOk, handshake.secure_ok),)),
    Phase.AUTHENTICATING: {},
    Phase.TUNE_OK: dict((_answers(ConnectionClass.TuneOk, handshake.tune_ok), _CLOSE)),
    Phase.OPEN: dict((_answers(ConnectionClass.Open, handshake.open_vhost), _CLOSE)),
    Phase.RUNNING: dict((_CLOSE, _answers(ConnectionClass.UpdateSecret, Connection.update_secret))),
    Phase.CLOSING: dict((_CLOSE, _answers(ConnectionClass.CloseOk, Connection._closed_by_us))),
    Phase.CLOSED: {},
}
