"""A connection: the session of one AMQP client, sans-I/O.

The server creates a `Connection` per socket and drives it:

    receive_data(octets)    what was read; never raises
    data_to_send()          what is to be written; to be asked after receive_data, after tick,
                            and once per turn of the loop after `notify(connection)`
    closing                 write what is left, then close the socket
    peer_closes             the peer has asked for it and closes first
    tick(now_ms)            time, at least twice a second: heartbeats and deadlines
    writable(flag)          the transport is below or above its high-water mark
    wants_reading           False: do not read; to be asked after receive_data, after a change
                            of alarms, and when the connection has something to send
    crowding                a queue that it should not publish to for a while
    reading_paused          set by the server while it does not read for reasons of its own
    access_changed()        rights or users have changed
    close(error)            somebody on this side closes it; fail(), shut_down() likewise
    connection_lost(reason) the socket is gone; everything unacked goes back to its queues

What comes in is parsed and answered by `Incoming`; what goes out is gathered by `Output`. All
errors, wherever they were found, leave through one door: `refuse`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

from pamqp.base import Frame as Command
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp import basic, facts, frames, handshake, methods, wire
from amqpd.amqp.blocking import Blocking
from amqpd.amqp.channel import Channel
from amqpd.amqp.commands import ids, make
from amqpd.amqp.heartbeat import Heartbeat
from amqpd.amqp.incoming import UNKNOWN, Ids, Incoming
from amqpd.amqp.lines import at_its_end, place, raised
from amqpd.amqp.output import Output
from amqpd.amqp.phase import BEFORE_LOGIN, ENDING, STATE_NAMES, Phase
from amqpd.amqp.replies import Replies
from amqpd.amqp.sasl import Credentials, Login, Mechanism, Peer
from amqpd.amqp.timeouts import sweep
from amqpd.amqp.witness import Ending, Nobody, Visit
from amqpd.broker.errand import Errand
from amqpd.broker.presence import Carried
from amqpd.errors import (
    AmqpError,
    ChannelError,
    ChannelStateError,
    CommandInvalid,
    ConnectionForced,
    InternalError,
    NotAllowed,
    SyntaxError,
)

if TYPE_CHECKING:
    from amqpd.amqp.direct_reply import ReplyConsumers
    from amqpd.amqp.settings import AmqpSettings
    from amqpd.amqp.witness import Witness
    from amqpd.broker.broker import Broker
    from amqpd.broker.permissions import Access
    from amqpd.broker.queue import Queue
    from amqpd.broker.session import ChannelFacts, ConnectionFacts
    from amqpd.broker.vhost import VHost
    from amqpd.fields import Table

NOBODY: Final = Nobody()
codec = wire.select()
logger = logging.getLogger(__name__)
#: A category of its own, as with RabbitMQ.
channels_logger = logging.getLogger("amqpd.channel")

#: Asks whether credentials are right; the answer (None: no) comes by the last argument, on
#: the thread that asked, at once or later.
Authenticate: TypeAlias = Callable[[Credentials, Peer, Callable[[Login | None], None]], None]

#: A client that pipelines is not read while more replies than this wait on one channel.
MAX_HELD: Final = 4096
#: What the end of a channel costs, in units of `Surroundings.spare`, with a few consumers.
CHANNEL_COST: Final = 20
#: What a look at the rights of a consumer costs, which may end it.
RECHECK_COST: Final = 12
#: The mechanism under which a new secret is checked.
UPDATE_SECRET: Final = "UPDATE-SECRET"  # noqa: S105 - the name of a mechanism


def never_late() -> bool:
    """Where nobody else waits for a turn."""
    return False


@dataclass(frozen=True, slots=True)
class Environment:
    """What all connections of a broker share; `new_token` gives 128 random bits as text.

    `is_late` says that what a connection was given to do has lasted long enough for this turn.
    """

    broker: Broker
    settings: AmqpSettings
    authenticate: Authenticate
    reply_consumers: ReplyConsumers
    new_token: Callable[[], str]
    witness: Witness = NOBODY
    is_late: Callable[[], bool] = never_late


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
        self.witness = environment.witness
        self.is_late = environment.is_late
        self.peer = peer
        self.phase = Phase.HEADER
        self.closing = False
        self.peer_closes = False
        self.reading_paused = False
        #: A queue it published to is too long for its consumers to keep up; see `Queue.hold`.
        self.crowding: Queue | None = None
        # Set by the handshake.
        self.client_properties: Table = {}
        self.capabilities: frozenset[str] = frozenset()
        self.mechanism: Mechanism | None = None
        self.mechanism_name = ""
        self.login = Login("")
        self.logged_in = False
        self.vhost: VHost | None = None
        #: The name of that vhost, even when it was left.
        self.entered = ""
        #: Why it ends.
        self._reason = ""
        self._visit: Visit | None = None
        self.channels: dict[int, Channel] = {}
        self.channel_max = self.settings.channel_max
        self._access: Access | None = None
        self._replies: dict[int, Replies] = {}
        # The channel numbers on which replies wait for the disk.
        self._holding: set[int] = set()
        self._early = b""
        self._received = 0
        self.blocking = Blocking(self)
        self._incoming = Incoming(self)
        self.output = Output(codec.Outbox(), self.settings.outbox_bytes, partial(notify, self))
        self.output.frame_max = self.settings.handshake_frame_max_bytes
        self._farewell: tuple[bytes, bool] | None = None
        #: What it had for itself is gone, too.
        self._is_released = True
        self._now_ms = now_ms
        self.connected_at_ms = now_ms
        #: When unacked messages are worth a look; 0: never.
        self.look_ms = 0
        self.received_bytes = 0
        self.received_reads = 0
        self._close_at_ms = now_ms + int(self.settings.handshake_timeout_s * 1000)
        self._heartbeat = Heartbeat(0, now_ms)
        self._sent = 0

    # -- what the server calls -------------------------------------------------------------

    def receive_data(self, octets: bytes) -> None:
        """Take what was read."""
        self._heartbeat.received = True
        self.received_bytes += len(octets)
        self.received_reads += 1
        if self.closing:
            return
        if self.phase is Phase.HEADER:
            octets = self._protocol_header(octets)
            if not octets:
                return
        if self.phase not in BEFORE_LOGIN or self._may_say_more(len(octets)):
            self._incoming.feed(octets)
        if self.blocking.full:
            self.blocking.end_read(len(octets))

    @property
    def is_behind(self) -> bool:
        """What was read would take too long for one turn: `catch_up` in the next."""
        return self._incoming.is_behind

    def catch_up(self) -> None:
        """Go on with what was read."""
        self._incoming.catch_up()
        if self.blocking.full:
            self.blocking.end_read(0)

    def read_on(self) -> None:
        """The alarm is over: what was read of a publisher meanwhile is taken in now."""
        self._incoming.go_on()

    def data_to_send(self) -> bytes:
        """Everything that is to be written now."""
        return self.output.take()

    def writable(self, flag: bool) -> None:
        """The transport takes more, or has more than enough."""
        self.output.writable = flag
        self.output.relieve()

    @property
    def wants_reading(self) -> bool:
        """Whether the socket may be read: not while it is blocked, nor far ahead of the disk.

        Nor while it is decided on a login or a right: what follows waits in the socket.
        """
        if self.phase in ENDING:
            return True  # for close-ok, or the end of the stream
        if self.blocking.holds or self._waits_for_answers:
            return False
        return not self._holding or not self._is_far_ahead()

    @property
    def _waits_for_answers(self) -> bool:
        return self.phase is Phase.AUTHENTICATING or self._incoming.is_waiting

    def _is_far_ahead(self) -> bool:
        return any(len(self._replies[number]) > MAX_HELD for number in self._holding)

    def tick(self, now_ms: int) -> None:
        """Time has passed."""
        heartbeat = self._heartbeat
        if now_ms - self._now_ms > heartbeat.interval_ms:
            # It was us who stood still: what the peer sent meanwhile is not read yet.
            heartbeat.received = True
        self._now_ms = now_ms
        if self._close_at_ms and now_ms >= self._close_at_ms:
            if self.phase not in ENDING:
                logger.error("closing AMQP connection (%s): handshake timeout", place(self))
            self._end()
            return
        if self._has_expired(now_ms):
            return
        if self.look_ms and now_ms >= self.look_ms:
            self.look_ms = sweep(self, now_ms)
        if self.output.sent != self._sent:
            self._sent = self.output.sent
            heartbeat.sent = True
        if self.blocking.full:
            self.blocking.tick()
        if self.blocking.holds or self.reading_paused or self._waits_for_answers:
            heartbeat.received = True
        if heartbeat.is_missed(now_ms):
            logger.error(
                "closing AMQP connection (%s): missed heartbeats from client, timeout: %ds",
                place(self),
                heartbeat.interval_ms // 1000,
            )
            self._reason = "missed heartbeats"
            self._end()
        elif heartbeat.is_due(now_ms) and self.phase not in ENDING:
            self.output.raw(frames.HEARTBEAT_FRAME)
            self._sent += len(frames.HEARTBEAT_FRAME)

    def _has_expired(self, now_ms: int) -> bool:
        expires_at_ms = self.login.expires_at_ms
        if expires_at_ms is None or now_ms < expires_at_ms or self.phase is not Phase.RUNNING:
            return False
        logger.warning("closing AMQP connection (%s): credential has expired", place(self))
        self.close(ConnectionForced("credential expired"))
        return True

    def access_changed(self) -> None:
        """Rights have changed: consumers that may not read any more are cancelled."""
        self._incoming.forget()
        consumers = [
            (channel, consumer)
            for channel in self.channels.values()
            for consumer in channel.consumers.values()
        ]
        Errand(starmap(basic.recheck, consumers), self.broker.around, RECHECK_COST).begin()

    def close(self, error: AmqpError) -> None:
        """Close the connection from our side, at once."""
        if self.phase is Phase.HEADER:
            self._end()
        elif self.phase not in ENDING:
            if self.phase is Phase.RUNNING:
                self._tell(error, 0, UNKNOWN)
            self._start_closing(error, UNKNOWN)
            self._say_farewell()

    def fail(self) -> None:
        """Our own code has failed, or the store has."""
        self.close(InternalError("internal error"))

    def shut_down(self) -> None:
        """The broker stops."""
        self.close(ConnectionForced("broker forced connection closure with reason 'shutdown'"))

    def connection_lost(self, reason: str) -> None:
        """The socket is gone."""
        if self.phase in ENDING:
            logger.info("closing AMQP connection (%s)", at_its_end(self))
        elif self.phase is not Phase.HEADER:  # somebody who only looks whether the port is open
            logger.warning(
                "closing AMQP connection (%s): client unexpectedly closed TCP connection%s",
                at_its_end(self),
                reason and f" ({reason})",
            )
        self._release()
        self._end()
        self._tell_the_end(reason)
        if self._access is None and self.broker.events.on:
            self.broker.events.disconnected(self.facts(), "", "")
        for replies in self._replies.values():
            replies.drop()

    def _tell_the_end(self, reason: str) -> None:
        visit, self._visit = self._visit, None
        if visit is not None:
            gone = "client unexpectedly closed TCP connection" + (reason and f" ({reason})")
            lasted_ms = max(0, self.broker.around.now_ms - self.connected_at_ms)
            self.witness.closed(
                visit,
                Ending(self._reason or gone, self.received_bytes, self.output.sent, lasted_ms),
            )

    # -- for the handshake and the channels ------------------------------------------------

    @property
    def access(self) -> Access:
        """What the user may do in the vhost; only once it was entered."""
        assert self._access is not None
        return self._access

    @property
    def name(self) -> str:
        """As RabbitMQ calls connections: by both ends."""
        return str(self.peer)

    @property
    def heartbeat_s(self) -> int:
        """What was agreed; 0 = none."""
        return self._heartbeat.interval_ms // 1000

    def facts(self) -> ConnectionFacts:
        """What it tells of itself."""
        return facts.of_connection(self)

    def channel_facts(self) -> list[ChannelFacts]:
        """What its channels tell."""
        return [facts.of_channel(channel) for channel in self.channels.values()]

    @property
    def vhost_name(self) -> str:
        """The vhost that was entered, if any was."""
        return "" if self.vhost is None else self.vhost.name

    def can(self, capability: str) -> bool:
        """Whether the client has said that it understands this."""
        return capability in self.capabilities

    def tuned(self, frame_max: int, channel_max: int, heartbeat_s: int) -> None:
        """Both sides have agreed."""
        self._incoming.tuned(frame_max)
        self.output.frame_max = frame_max
        self.channel_max = channel_max
        self._heartbeat = Heartbeat(heartbeat_s, self._now_ms)

    def enter(self, vhost: str) -> None:
        """Enter a vhost: the connection is open.

        Raises:
            NotAllowed: it does not exist for this user, or a limit is reached.
            Undecided: somebody has to be asked first.
        """
        login = self.login
        self.vhost, self._access = self.broker.open_vhost(
            vhost, login.user, self, tags=login.tags, authority=login.authority
        )
        self.entered = vhost
        self._close_at_ms = 0
        self.broker.watch_alarms(self.blocking.alarmed)
        self.blocking.alarm = self.broker.alarms.reason

    def opened(self, name: str) -> None:
        """The client was told that it is in its vhost; `name` is what it calls itself."""
        self.phase = Phase.RUNNING
        self._visit = Visit(self.login, self.peer, self.entered, name)
        self.witness.opened(self._visit)

    def resume(self) -> None:
        """The login was decided on: go on with what came meanwhile."""
        self._incoming.resume()

    def wait_for(self, when_done: Callable[[Callable[[], None]], None]) -> None:
        """What a client has asked for takes several turns; what it sends next waits for its end."""
        self._incoming.wait_for(when_done)

    def wait_within(self, when_done: Callable[[Callable[[], None]], None]) -> None:
        """The same in the middle of what was read together: the rest of that waits, too."""
        self._incoming.wait_within(when_done)

    def drop_in(self, seconds: float) -> None:
        """Say nothing more, and close the socket after a while."""
        self.phase = Phase.CLOSING
        self._incoming.is_deaf = True
        self._close_at_ms = self._now_ms + int(seconds * 1000)

    # -- the beginning ---------------------------------------------------------------------

    def _protocol_header(self, octets: bytes) -> bytes:
        """Take the protocol header; what follows it, if anything."""
        early = self._early + octets
        is_ours = handshake.header(early)
        if is_ours:
            self._early = b""
            handshake.start(self)
            return early[len(frames.PROTOCOL_HEADER) :]
        self._early = early
        if is_ours is not None:
            logger.error("closing AMQP connection (%s): %s", self.peer, handshake.guess(early))
            self.output.raw(frames.PROTOCOL_HEADER)
            self._end()
        return b""

    def _may_say_more(self, count: int) -> bool:
        self._received += count
        if self._received <= self.settings.handshake_max_bytes:
            return True
        logger.error("closing AMQP connection (%s): too much before the login", self.peer)
        self._end()
        return False

    # -- methods ---------------------------------------------------------------------------

    def method(self, command: Command) -> None:
        """Answer a method on channel 0.

        Raises:
            ChannelStateError: it may not come now.
        """
        answer = ALLOWED[self.phase].get(type(command))
        if answer is not None:
            answer(self, command)
        elif self.phase not in ENDING:
            state = STATE_NAMES[self.phase]
            raise ChannelStateError(f"unexpected method in connection state {state}")

    def open_channel(self, number: int) -> None:
        """channel.open

        Raises:
            SessionError: it is open already, or a limit is reached.
        """
        if number in self.channels:
            raise ChannelStateError("second 'channel.open' seen")
        limit = self.channel_max
        if limit and len(self.channels) >= limit:
            raise NotAllowed(
                f"number of channels opened ({len(self.channels)}) has reached the "
                f"negotiated channel_max ({limit})"
            )
        assert self.vhost is not None
        self.broker.presence.open_channel(self, number)
        replies = self._replies.get(number)
        if replies is None:
            changed = partial(self._replies_held, number)
            replies = self._replies[number] = Replies(self.broker.journal, changed)
        channel = Channel(self, self.vhost, number, replies)
        self.channels[number] = channel
        channel.reply(make(ChannelClass.OpenOk, channel_id=""))

    def close_channel(self, channel: Channel) -> None:
        """channel.close by the client."""
        channel.release()
        self._incoming.forget()
        channel.reply(ChannelClass.CloseOk())
        self.forget_channel(channel.number)

    def forget_channel(self, number: int) -> None:
        """The channel is closed on both sides; its number may be used again."""
        self.channels.pop(number).let_go()
        self.broker.presence.close_channel(self, number)
        if not self._replies[number].held:
            del self._replies[number]

    def _replies_held(self, number: int, held: bool) -> None:
        if held:
            self._holding.add(number)
        else:
            self._holding.discard(number)
        channel = self.channels.get(number)
        if channel is not None:
            channel.replies_held(held)
        else:
            # The last reply of a channel that is closed is out.
            del self._replies[number]
        if not held and self._farewell is not None:
            self._say_farewell_when_free()

    def update_secret(self, method: ConnectionClass.UpdateSecret) -> None:
        """connection.update-secret: a token is replaced before it expires."""
        secret = methods.octets(method.new_secret)
        credentials = Credentials(UPDATE_SECRET, self.login.user, secret, self.login)

        def decided(login: Login | None) -> None:
            if self.phase is not Phase.RUNNING:
                return
            if login is None or login.user != self.login.user:
                self.close(NotAllowed("New secret was refused by one of the backends"))
                return
            self._incoming.act(partial(self._renew, login), ids(ConnectionClass.UpdateSecret))

        self.authenticate(credentials, self.peer, decided)

    def _renew(self, login: Login) -> None:
        """Go on under a new login of the same user.

        Raises:
            NotAllowed: it may not be in this vhost any more.
        """
        vhost = self.vhost
        assert vhost is not None  # nothing is done any more for a connection at its end
        self._access = self.broker.access(vhost.name, login.user, login.tags, login.authority)
        self.login = login
        self.output.send(ConnectionClass.UpdateSecretOk(), 0)
        self.access_changed()

    # -- the end ---------------------------------------------------------------------------

    def refuse(self, error: Exception, number: int, where: Ids) -> None:
        """The one door for errors: close the channel, the connection, or just the socket."""
        if not isinstance(error, AmqpError):
            logger.error(
                "Error on AMQP connection (%s): internal error", place(self), exc_info=error
            )
            self.fail()
            return
        if self.phase in ENDING:
            return
        self.witness.refused(self.login, self.peer, self.vhost_name, error)
        channel = self.channels.get(number)
        if isinstance(error, ChannelError) and channel is not None:
            channels_logger.error(
                "Channel error on connection (%s), channel %d: "
                "operation %s caused a channel exception %s: %s",
                place(self),
                number,
                methods.name(*where),
                error.reply_code.name.lower(),
                error.explanation,
            )
            channel.fail(error, *where)
            self._incoming.discard(number)
            return
        self._tell(error, number, where)
        if self.phase in BEFORE_LOGIN and not isinstance(error, (CommandInvalid, SyntaxError)):
            self.drop_in(self.settings.refused_delay_s)
            return
        if isinstance(error, NotAllowed) and self.phase is Phase.TUNE_OK:
            where = handshake.TUNE
        self._start_closing(error, error.method if where == UNKNOWN else where)
        if self._incoming.is_deaf:
            self._close_at_ms = self._now_ms + int(self.settings.frame_error_delay_s * 1000)

    def _tell(self, error: AmqpError, number: int, where: Ids) -> None:
        operation = methods.name(*where)
        logger.error("Error on AMQP connection (%s", raised(self, error, number, operation))

    def _start_closing(self, error: AmqpError, where: Ids) -> None:
        """Tell the client that it is over, and wait for it to agree."""
        self._release()
        self._reason = error.reply_text
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
        self._reason = "closed by the client"
        self.phase = Phase.CLOSING
        self._farewell = (methods.encode(ConnectionClass.CloseOk(), 0), True)
        self._say_farewell_when_free()

    def agreed(self, method: ConnectionClass.CloseOk | None = None) -> None:
        """connection.close-ok: the client agrees."""
        if self._farewell is None:
            self._end()

    def _say_farewell_when_free(self) -> None:
        """Replies that wait for the disk come first, and the end of its queues."""
        if not self._holding and self._is_released:
            self._say_farewell()

    def _say_farewell(self) -> None:
        if self._farewell is not None:
            octets, is_end = self._farewell
            self._farewell = None
            self.output.raw(octets)
            if is_end:
                self.peer_closes = True
                self._end()

    def _release(self) -> None:
        """Give everything back that the broker holds for this connection."""
        channels = list(self.channels.values())
        self.channels.clear()
        for channel in channels:
            channel.paused = True
        parting = Errand(map(_part, channels), self.broker.around, CHANNEL_COST)
        parting.begin()
        vhost, self.vhost = self.vhost, None
        if vhost is not None:
            carried = Carried(
                self.received_bytes, self.received_reads, self.output.sent, self.output.writes
            )
            self.broker.presence.leave_channels(self)
            self.broker.unwatch_alarms(self.blocking.alarmed)
            self.blocking.release()
            self._is_released = False
            parting.when_done(
                lambda: vhost.release(self).when_done(lambda: self._released(carried))
            )

    def _released(self, carried: Carried) -> None:
        """Nothing is left of what was this connection's alone."""
        self.broker.presence.leave(self, carried)
        self._is_released = True
        if self._farewell is not None:
            self._say_farewell_when_free()
            self.output.touch()

    def _end(self) -> None:
        """Nothing more will be said: the socket may be closed."""
        self._release()
        self.phase = Phase.CLOSED
        self.closing = True
        self._close_at_ms = 0
        self._heartbeat.interval_ms = 0
        self.output.touch()


def _part(channel: Channel) -> None:
    channel.release()
    channel.let_go()


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
    Phase.CLOSING: dict((_CLOSE, _answers(ConnectionClass.CloseOk, Connection.agreed))),
    Phase.CLOSED: {},
}
