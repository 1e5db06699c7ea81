"""What comes from a client: the events of its parser, each with its errors.

`Incoming` is the `Events` of one connection's parser. No error is raised into the parser: every
one goes to `Connection.refuse`, so nothing that a client sends can leave the parser in the
middle of something. What is gathered comes past the tables, all other methods go through them.

Where somebody far away has to be asked whether the client may do what it wants, the event that
wants it stops the parser by `Halt`; the parser keeps what follows, no more is read, and with
the answer that event is run again and the parser goes on. What one read brings about may take
long, too: where it does, the parser is halted behind an event, and others have their turn
before it goes on (`catch_up`).
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from pamqp.commands import Basic
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp import frames, methods, wire
from amqpd.amqp.commands import ids
from amqpd.amqp.phase import BEFORE_LOGIN, ENDING, Phase
from amqpd.amqp.publish import Target
from amqpd.amqp.settlement import Settlement
from amqpd.amqp.witness import REMOVING, name_of
from amqpd.broker.access import Undecided
from amqpd.broker.events import INTERNAL
from amqpd.broker.run import Run
from amqpd.errors import (
    AmqpError,
    ChannelStateError,
    CommandInvalid,
    FrameError,
    NotImplementedHere,
    PreconditionFailed,
    UnexpectedFrame,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from amqpd.amqp.channel import Channel
    from amqpd.amqp.connection import Connection
    from amqpd.amqp.gathering import Group, Route

codec = wire.select()

#: Class and method, as a close names what it is about.
Ids: TypeAlias = tuple[int, int]
UNKNOWN: Final[Ids] = (0, 0)
_PUBLISH: Final[Ids] = (60, 40)
_PUBLISH_IDS: Final = b"\x00\x3c\x00\x28"
#: Of a frame: its type, channel and size.
_START: Final = 7
_ACK: Final[Ids] = (60, 80)
_REJECT: Final[Ids] = (60, 90)
_NACK: Final[Ids] = (60, 120)
_CLOSE_OK: Final = frames.frame(frames.METHOD, 0, b"\x00\x0a\x00\x33")


class Halt(Exception):
    """Out of an event: it waits for somebody's answer, and all that follows waits for it."""


class Incoming:
    """The receiving side of a connection."""

    def __init__(self, connection: Connection) -> None:
        settings = connection.settings
        self._connection = connection
        self._channels = connection.channels
        self._parser = codec.Parser(self, settings.handshake_frame_max_bytes)
        self._parser.max_message_bytes = settings.max_message_size_bytes
        #: Frames make no sense any more: only a close-ok is listened for.
        self.is_deaf = False
        self._tail = b""
        #: What came behind a login that is being decided on, or less than a frame before it.
        self._early = b""
        #: Operations that wait for an answer, and what was read since.
        self._undecided = 0
        self._kept = b""
        #: Something that was read takes several turns, and what was read together with it waits.
        self._is_within = False
        self._deferred: deque[Callable[[], None]] = deque()
        #: The parser was halted: what it holds is to be done in the next turn.
        self.is_behind = False
        self._is_late = connection.is_late
        self._revision = -1
        self._blocking = connection.blocking

    # -- for the connection ----------------------------------------------------------------

    def feed(self, octets: bytes) -> None:
        """Take a read."""
        if self.is_deaf:
            self._listen(octets)
            return
        octets = self._kept + octets
        running = self._connection.phase is Phase.RUNNING
        if self.is_waiting or (running and self._blocking.is_blocked):
            self._kept = octets
            return
        self._kept = b""
        if running and self._blocking.alarm:
            octets = self._until_publish(octets)
        if self._connection.phase in BEFORE_LOGIN:
            octets = self._until_login(octets)
            if not octets:
                return
        self._parse(octets)

    def _until_login(self, octets: bytes) -> bytes:
        """Take frame by frame: what follows a login is kept while that is decided on.

        Returns what is left once the login has succeeded or the connection is at its end.
        """
        octets = self._early + octets
        self._early = b""
        connection = self._connection
        while octets and connection.phase in BEFORE_LOGIN and not self.is_deaf:
            end = _frame_end(octets, connection.settings.handshake_frame_max_bytes)
            if connection.phase is Phase.AUTHENTICATING or end > len(octets):
                self._early = octets
                return b""
            self._parse(octets[:end])
            octets = octets[end:]
        return octets

    def _until_publish(self, octets: bytes) -> bytes:
        """Whole frames up to the first publish during an alarm; what follows waits for its end."""
        if self._parser.held_bytes:
            return octets  # the alarm came in the middle of a frame
        begin, limit = 0, frames.payload_limit(self._parser.frame_max)
        while begin + _START <= len(octets):
            size = int.from_bytes(octets[begin + 3 : begin + 7])
            if size > limit:
                return octets  # the parser will say so
            end = begin + size + frames.OVERHEAD
            if end > len(octets):
                break
            if octets[begin] == frames.METHOD and octets[begin + 7 : begin + 11] == _PUBLISH_IDS:
                self._blocking.published()
                break
            begin = end
        self._kept = octets[begin:]
        return octets[:begin]

    def _parse(self, octets: bytes) -> None:
        self.check_revision()
        try:
            self._parser.feed(octets)
        except Halt:
            return  # the read is not at its end: its confirms have to wait, too
        except Exception as error:
            if self._connection.phase in ENDING or isinstance(error, FrameError):
                self.is_deaf = True
            self._connection.refuse(error, 0, UNKNOWN)
        if self._parser.is_halted:
            self.is_behind = True
            # Whoever writes for this connection lets it go on after the others.
            self._connection.output.touch()
        if not self._is_within:
            self._end_read()

    def _breathe(self) -> None:  # hot: S1b, S2
        """Behind an event: leave the rest for the next turn if this one has lasted long."""
        if self._is_late():
            self._parser.halt()

    def catch_up(self) -> None:
        """It is the next turn."""
        if self.is_behind:
            self.is_behind = False
            self.feed(b"")

    def _listen(self, octets: bytes) -> None:
        """The start of the next frame is not known, but a close-ok can still be told."""
        heard = self._tail + octets
        if _CLOSE_OK in heard:
            self._connection.agreed()
        self._tail = heard[-len(_CLOSE_OK) :]

    def _end_read(self) -> None:
        """All of a read is handled: what its publishes wait for is known now."""
        touched = self._parser.touched_channels
        if not touched:
            return
        for count in touched:
            count.touched = False
            channel = self._channels.get(count.number)
            if channel is not None and channel.confirms is not None and channel.count is count:
                channel.confirms.end_read(count.published)
        touched.clear()

    def tuned(self, frame_max: int) -> None:
        """Frames may be this large from now on."""
        self._parser.frame_max = frame_max

    def go_on(self) -> None:
        """The alarm is over: take what was kept, the first publish ahead."""
        self.feed(b"")

    def resume(self) -> None:
        """The login was decided on: go on with what came meanwhile."""
        early, self._early = self._early, b""
        if early:
            self.feed(early)

    def discard(self, channel: int) -> None:
        """The channel has failed: what it has begun to send is of no use."""
        self._parser.discard(channel)
        self.forget()

    def check_revision(self) -> None:
        """What was routed is valid for one revision of the vhost."""
        vhost = self._connection.vhost
        if vhost is not None and vhost.revision != self._revision:
            self._revision = vhost.revision
            self.forget()

    def forget(self) -> None:
        """Nothing that was routed is valid any more."""
        self._parser.forget()
        for channel in self._channels.values():
            channel.publisher.forget()

    # -- answers from far away -------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        """Nothing may be read until somebody has answered, or what was read is done.

        At the end nobody cares any more.
        """
        return (self._undecided > 0 or self.is_behind) and self._connection.phase not in ENDING

    def act(self, action: Callable[[], None], where: Ids) -> None:
        """Do what a client has asked for earlier."""
        try:
            try:
                action()
            except Undecided as undecided:
                self._wait(undecided, partial(self.act, action, where))
        except Halt:
            return
        except Exception as error:
            self._connection.refuse(error, 0, where)

    def wait_for(self, when_done: Callable[[Callable[[], None]], None]) -> None:
        """Nothing that comes is looked at until this is done."""
        self._undecided += 1
        self._parser.halt()
        when_done(partial(self._go_on, _nothing))

    def wait_within(self, when_done: Callable[[Callable[[], None]], None]) -> None:
        """The same in the middle of a read: what follows there waits, and so do its confirms."""
        self._is_within = True
        self.wait_for(when_done)

    def _wait(self, undecided: Undecided, again: Callable[[], None]) -> NoReturn:
        """Run `again` when there is an answer, and nothing that comes after it until then."""
        self._undecided += 1
        undecided.find_out(partial(self._go_on, again))
        raise Halt

    def _go_on(self, again: Callable[[], None]) -> None:
        self._undecided -= 1
        if self._connection.phase in ENDING:
            self._deferred.clear()
            return
        try:
            again()
            while self._deferred and not self._undecided:
                self._deferred.popleft()()
        except Halt:
            return
        if not self._undecided:
            if self._is_within:
                self._is_within = False
                self._end_read()
            self.feed(b"")
        self._connection.output.touch()

    @property
    def _is_held(self) -> bool:
        """What was read together with something that takes several turns waits for its end."""
        return self._is_within and self._undecided > 0

    # -- messages --------------------------------------------------------------------------

    def resolve(self, method_frame: bytes, channel: int) -> Route | None:
        """A basic.publish frame that is not known yet; its errors come in `content`."""
        found = self._channels.get(channel)
        if found is None or not found.is_open:
            return None
        try:
            publisher = found.publisher
            route = publisher.route(publisher.target(_decoded(method_frame[7:-1])))
            self._breathe()
            return route
        except (AmqpError, Undecided):
            return None

    def level(self, group: Group, priority: int) -> Group:
        """The group for the same messages with a priority that was not there yet."""
        channel = self._channels.get(group.channel.number)
        return group if channel is None else channel.publisher.level(group, priority)

    def publish(self, group: Group) -> None:  # hot: S1b, S2
        """Messages of one channel for one set of queues."""
        channel = self._channels.get(group.channel.number)
        if channel is None or not channel.is_open:
            return
        if self._blocking.alarm:
            self._blocking.published()
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
        publish = partial(
            channel.publisher.publish,
            target,
            run,
            group.numbers,
            group.expiration_ms,
            group.priority,
            group.expirations,
            group.parts,
        )
        if self._is_held:
            self._deferred.append(partial(self._publish, channel, publish))
        else:
            self._publish(channel, publish)

    def _publish(self, channel: Channel, publish: Callable[[], None]) -> None:  # hot: S1b, S2
        if not channel.is_open:
            return
        try:
            publish()
        except Exception as error:
            self._connection.refuse(error, channel.number, _PUBLISH)
        self._breathe()

    def special(self, route: Route, content: bytes) -> None:
        """A message whose properties have to be looked at."""
        target = route.target
        assert isinstance(target, Target)
        self._publish_alone(route.channel.number, target, content)

    def _publish_alone(self, number: int, target: Target, content: bytes) -> None:
        if self._is_held:
            self._deferred.append(partial(self._publish_alone, number, target, content))
            return
        channel = self._channels.get(number)
        if channel is None or not channel.is_open:
            return
        if self._blocking.alarm:
            self._blocking.published()
        try:
            channel.publisher.special(target, content)
        except Undecided as undecided:
            self._wait(undecided, partial(self._publish_alone, number, target, content))
        except Exception as error:
            self._connection.refuse(error, number, _PUBLISH)
        self._breathe()

    def content(self, channel: int, method_payload: bytes, content: bytes) -> None:
        """A message for which `resolve` had no answer: nearly always there is an error to tell."""
        if self._is_held:
            self._deferred.append(partial(self.content, channel, method_payload, content))
            return
        try:
            found = self._channel(channel)
            if found is None:
                return
            target = found.publisher.target(_decoded(method_payload))
        except Undecided as undecided:
            self._wait(undecided, partial(self.content, channel, method_payload, content))
        except Exception as error:
            self._connection.refuse(error, channel, _PUBLISH)
            return
        count = found.count
        count.published += 1
        if not count.touched:
            count.touched = True
            self._parser.touched_channels.append(count)
        self._publish_alone(channel, target, content)

    def too_large(self, channel: int, method_payload: bytes, size: int) -> None:
        """A message above the limit; the parser skips its body."""
        if self._is_held:
            self._deferred.append(partial(self.too_large, channel, method_payload, size))
            return
        try:
            if self._channel(channel) is not None:
                if _decoded(method_payload).immediate:
                    raise NotImplementedHere("immediate=true")
                limit = self._connection.settings.max_message_size_bytes
                raise PreconditionFailed(
                    f"message size {size} is larger than configured max size {limit}"
                )
        except Exception as error:
            self._connection.refuse(error, channel, _PUBLISH)

    # -- acknowledgements ------------------------------------------------------------------

    def ack(  # hot: S2
        self, channel: int, first_tag: int, last_tag: int, multiple: bool
    ) -> None:
        """Deliveries were acknowledged."""
        if self._is_held:
            self._deferred.append(partial(self.ack, channel, first_tag, last_tag, multiple))
            return
        try:
            found = self._channel(channel, ignore_unopened=True)
            if found is not None:
                found.settle_tags(Settlement.ACK, first_tag, last_tag, multiple)
        except Exception as error:
            self._connection.refuse(error, channel, _ACK)

    def reject(self, channel: int, tag: int, requeue: bool) -> None:
        """A delivery was rejected: an attempt that has failed, unlike one given back."""
        how = Settlement.REQUEUE_FAILED if requeue else Settlement.DISCARD
        self._return(channel, tag, False, how, _REJECT)

    def nack(self, channel: int, tag: int, multiple: bool, requeue: bool) -> None:
        """Deliveries were given back, or rejected, as RabbitMQ's extension has it."""
        how = Settlement.REQUEUE if requeue else Settlement.DISCARD
        self._return(channel, tag, multiple, how, _NACK)

    def _return(self, channel: int, tag: int, multiple: bool, how: Settlement, where: Ids) -> None:
        if self._is_held:
            self._deferred.append(partial(self._return, channel, tag, multiple, how, where))
            return
        try:
            found = self._channel(channel, ignore_unopened=True)
            if found is not None:
                found.settle_tags(how, tag, tag, multiple)
        except Exception as error:
            self._connection.refuse(error, channel, where)

    # -- all other frames ------------------------------------------------------------------

    def heartbeat(self) -> None:
        """Any traffic counts, so there is nothing to do for this one."""

    def method(self, channel: int, payload: bytes) -> None:
        """Any other method."""
        if self._is_held:
            self._deferred.append(partial(self.method, channel, payload))
            return
        connection = self._connection
        try:
            if channel:
                self._channel_method(channel, payload)
            else:
                connection.method(methods.decode(payload))
        except Undecided as undecided:
            self._wait(undecided, partial(self.method, channel, payload))
        except Exception as error:
            connection.refuse(error, channel, methods.index_of(payload))
        self.check_revision()
        self._breathe()

    def _channel(self, number: int, *, ignore_unopened: bool = False) -> Channel | None:
        """The channel that a frame is for; None if the frame is to be ignored.

        Raises:
            UnexpectedFrame: the connection is not open yet.
            ChannelStateError: the channel is not open.
        """
        phase = self._connection.phase
        if phase in ENDING:
            return None
        if phase is not Phase.RUNNING:
            raise UnexpectedFrame(f"frame on channel {number} before connection.open")
        channel = self._channels.get(number)
        if channel is None:
            if ignore_unopened:
                return None
            raise ChannelStateError("expected 'channel.open'")
        return channel if channel.is_open else None

    def _channel_method(self, number: int, payload: bytes) -> None:
        """A method on a channel, with what the connection has to say to it."""
        connection = self._connection
        channel = self._channel(number, ignore_unopened=True)
        if connection.phase in ENDING:
            return
        index = methods.index_of(payload)
        if channel is None and number in self._channels:
            # We closed the channel: all but the client's agreement is ignored.
            if index == ids(ChannelClass.CloseOk):
                connection.forget_channel(number)
            elif index == ids(ChannelClass.Close):
                self._channels[number].reply(ChannelClass.CloseOk())
            return
        command = methods.decode(payload)
        if isinstance(command, ChannelClass.Open):
            connection.open_channel(number)
        elif index[0] == ConnectionClass.frame_id:
            raise CommandInvalid("unimplemented method")
        elif isinstance(command, ChannelClass.Close) and channel is not None:
            connection.close_channel(channel)
        elif channel is not None:
            events = connection.broker.events
            events.by = connection.login.user
            try:
                channel.method(command)
            finally:
                events.by = INTERNAL
            if type(command) in REMOVING:
                connection.witness.removed(
                    connection.login,
                    connection.peer,
                    connection.vhost_name,
                    command.name.lower(),
                    name_of(command) or channel.last_queue,
                )
        elif not isinstance(command, ChannelClass.CloseOk):
            raise ChannelStateError("expected 'channel.open'")


def _nothing() -> None:
    """What waited for an end has nothing more to do itself."""


def _decoded(method_payload: bytes) -> Basic.Publish:
    """The basic.publish that the parser has recognised by its ids."""
    command = methods.decode(method_payload)
    assert isinstance(command, Basic.Publish)
    return command


def _frame_end(octets: bytes, frame_max: int) -> int:
    """Where the first frame ends; of one that is too large, all that is there."""
    if len(octets) < 7:
        return 7
    size = int.from_bytes(octets[3:7])
    end = size + frames.OVERHEAD
    return min(end, len(octets)) if size > frames.payload_limit(frame_max) else end
