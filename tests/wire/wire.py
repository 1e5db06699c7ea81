"""Both ends of AMQP connections in memory: a broker without a disk, and clients of it.

Frames of the client's side are written and read by pamqp, so that the broker's own codec is
never on both ends of a test.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from pamqp import body, commands, frame, header, heartbeat
from pamqp.base import Frame as Command
from pamqp.commands import Basic, Confirm, Tx
from pamqp.commands import Channel as ChannelClass
from pamqp.commands import Connection as ConnectionClass

from amqpd.amqp import frames
from amqpd.amqp.connection import Connection, Environment
from amqpd.amqp.direct_reply import ReplyConsumers
from amqpd.amqp.sasl import Credentials, Login, Peer
from amqpd.amqp.settings import AmqpSettings
from amqpd.broker.broker import Broker
from amqpd.broker.definitions import PutPermission, PutUser, PutVhost
from amqpd.broker.limits import Limits
from amqpd.store.memory import MemoryStore
from tests.archive import StoreArchive

if TYPE_CHECKING:
    from collections.abc import Callable

    from pamqp.common import FieldTable

    from amqpd.broker.access import Authority
    from amqpd.broker.journal import Batch
    from amqpd.broker.rows import Row as DeliveryRow
    from amqpd.store import Row, StoreFailed, StoreFull

BODY_MAX = 131_072 - 8
HEADER = b"AMQP\x00\x00\x09\x01"
_HEAD = struct.Struct(">BHI")

C = TypeVar("C", bound=Command)
Sent: TypeAlias = "Command | header.ContentHeader | body.ContentBody | heartbeat.Heartbeat"


@dataclass
class Message:
    """A method with content, as a client gets it."""

    method: Command
    properties: commands.Basic.Properties
    body: bytes


Received: TypeAlias = "Command | Message"


class World:
    """A broker with users and vhosts, its disk, its clock and its clients."""

    def __init__(self, settings: AmqpSettings | None = None, limits: Limits | None = None) -> None:
        self.settings = settings or AmqpSettings()
        self.tokens = 0
        self.now_ms = 1_000
        self.posted: list[Callable[[], None]] = []
        self.reading = True
        self.asked: list[Callable[[], None]] = []
        self.store = MemoryStore(self.posted.append)
        self.broker = Broker(limits=limits or Limits(), refill=self.refill, new_token=self.token)
        self.broker.around.archive = StoreArchive(self.store)
        self.broker.apply(PutVhost("/"))
        self.user("guest", "administrator")
        self.user("other")
        self.replies = ReplyConsumers()
        self.logins: list[Callable[[], None]] = []
        #: Users of another backend: who decides for them, and until when they are logged in.
        self.authorities: dict[str, Authority] = {}
        self.expiring: dict[str, int] = {}
        self.later = False
        self.disk = True
        self.touched: list[Connection] = []
        #: Whatever is done has lasted long enough for one turn.
        self.late = False

    def token(self) -> str:
        """Not random, but never the same."""
        self.tokens += 1
        return f"{self.tokens:022d}"

    def user(self, name: str, *tags: str, configure: str = ".*", write: str = ".*",
             read: str = ".*") -> None:  # fmt: skip
        """Create a user whose password is its name."""
        self.broker.apply(PutUser(name, "", "", tags))
        self.broker.apply(PutPermission(name, "/", configure, write, read))

    def authenticate(
        self, credentials: Credentials, peer: Peer, done: Callable[[Login | None], None]
    ) -> None:
        """Passwords are right if they are the user's name; none is needed if none is given."""
        password = credentials.password
        right = password is None or password == credentials.user.encode() != b""
        answer = self.login(credentials.user) if right else None
        if self.later:
            self.logins.append(lambda: done(answer))
        else:
            done(answer)

    def login(self, user: str) -> Login:
        """What a user gets who is let in."""
        return Login(
            user,
            authority=self.authorities.get(user),
            expires_at_ms=self.expiring.get(user),
        )

    def refill(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        max_messages: int,
        max_bytes: int,
        done: Callable[[list[DeliveryRow], int], None],
    ) -> None:
        """A queue wants messages back that it has only on disk."""

        def arrived(rows: list[Row] | StoreFailed) -> None:
            assert isinstance(rows, list)
            done([*rows], rows[-1].position + 1 if rows else upto_position)

        ask = partial(
            self.store.read, lane, from_position, upto_position, max_messages, max_bytes, arrived
        )
        if self.reading:
            ask()
        else:
            self.asked.append(ask)

    def read(self) -> None:
        """Let the disk read again."""
        self.reading = True
        for ask in self.asked:
            ask()
        self.asked.clear()
        self.commit()

    def commit(self) -> None:
        """Let the disk do everything there is to do, and what follows from that."""
        while True:
            more = self.broker.dispatch()
            batch = self.broker.journal.take()
            if batch is not None:
                self.store.write(batch, partial(self._written, batch))
            if not (self.posted or more):
                return
            self.work()

    def _written(self, batch: Batch, outcome: int | StoreFull | StoreFailed) -> None:
        assert outcome == batch.number
        self.broker.journal.committed(batch)

    def work(self) -> None:
        """Let the disk do what it was asked for."""
        posted = self.posted.copy()
        self.posted.clear()
        for call in posted:
            call()

    def turn(self) -> None:
        """One turn of the loop: queues are looked at; with a disk everything is written."""
        if self.disk:
            self.commit()
        else:
            self.broker.dispatch()

    def connect(self, peer: Peer | None = None) -> Client:
        """A client that has not said anything yet."""
        return Client(self, peer or Peer("127.0.0.1", 50_000))

    def client(self, *capabilities: str, user: str = "guest") -> Client:
        """A client that is logged in, with a channel 1."""
        client = self.connect()
        client.log_in(*capabilities, user=user)
        client.open(1)
        return client


@dataclass
class Client:
    """One client: says bytes, hears frames."""

    world: World
    peer: Peer
    session: Connection = field(init=False)

    def __post_init__(self) -> None:
        environment = Environment(
            self.world.broker,
            self.world.settings,
            self.world.authenticate,
            self.world.replies,
            self.world.token,
            is_late=lambda: self.world.late,
        )
        self.now_ms = self.world.now_ms
        self.session = Connection(
            environment, self.peer, self.world.touched.append, self.world.now_ms
        )

    def wait(self, seconds: float, step_ms: int = 500) -> list[Received]:
        """Let time pass in ticks; what was heard meanwhile."""
        heard: list[Received] = []
        until = self.now_ms + int(seconds * 1000)
        while self.now_ms < until:
            self.now_ms += step_ms
            self.session.tick(self.now_ms)
            self.world.turn()
            heard += self.hear()
        return heard

    # -- saying --------------------------------------------------------------------------

    def say(self, octets: bytes) -> None:
        """Send bytes, in one read."""
        self.session.receive_data(octets)
        self.world.turn()

    def catch_up(self) -> int:
        """Let the session have as many turns as it wants; how many that were."""
        turns = 0
        while self.session.is_behind:
            turns += 1
            self.session.catch_up()
            self.world.turn()
        return turns

    def send(self, command: Sent, channel: int = 1) -> None:
        """Send a frame."""
        self.say(frame.marshal(command, channel))

    def ask(self, command: Command, reply: type[C], channel: int = 1) -> C:
        """Send a method and hear its reply, and nothing else."""
        self.send(command, channel)
        (heard,) = self.hear()
        assert isinstance(heard, reply), heard
        return heard

    def publish(
        self,
        octets: bytes = b"",
        key: str = "",
        exchange: str = "",
        *,
        channel: int = 1,
        mandatory: bool = False,
        properties: Basic.Properties | None = None,
    ) -> None:
        """Publish one message."""
        self.say(published(octets, key, exchange, channel, mandatory, properties))

    # -- hearing -------------------------------------------------------------------------

    def hear_octets(self) -> bytes:
        """All bytes the session has for us."""
        return self.session.data_to_send()

    def hear(self) -> list[Received]:
        """All methods and messages the session has for us, heartbeats left out."""
        return [received for _, received in self.hear_on()]

    def hear_on(self) -> list[tuple[int, Received]]:
        """The same, with the channel of each."""
        octets = self.hear_octets()
        received: list[tuple[int, Received]] = []
        pending: tuple[Command, header.ContentHeader] | None = None
        parts = b""
        while octets:
            size = _HEAD.unpack_from(octets)[2] + 8
            _, channel, value = frame.unmarshal(octets[:size])
            octets = octets[size:]
            match value:
                case Basic.Return() | Basic.Deliver() | Basic.GetOk():
                    method = value
                case Command():
                    received.append((channel, value))
                case header.ContentHeader():
                    pending, parts = (method, value), b""
                case body.ContentBody():
                    parts += value.value or b""
            if pending is not None and len(parts) == pending[1].body_size:
                message = Message(pending[0], pending[1].properties, parts)
                received.append((channel, message))
                pending = None
        return received

    # -- what tests begin with -----------------------------------------------------------

    def log_in(
        self,
        *capabilities: str,
        user: str = "guest",
        frame_max: int = 131_072,
        heartbeat_s: int = 0,
        channel_max: int = 2047,
        vhost: str = "/",
    ) -> None:
        """From the protocol header to open-ok."""
        self.start(*capabilities, response=f"\0{user}\0{user}")
        self.send(ConnectionClass.TuneOk(channel_max, frame_max, heartbeat_s), 0)
        self.send(ConnectionClass.Open(vhost), 0)
        assert isinstance(self.hear()[-1], ConnectionClass.OpenOk)

    def start(
        self, *capabilities: str, mechanism: str = "PLAIN", response: str = "\0guest\0guest"
    ) -> None:
        """From the protocol header to start-ok."""
        self.say(HEADER)
        properties: FieldTable = {"capabilities": dict.fromkeys(capabilities, True)}
        self.send(ConnectionClass.StartOk(properties, mechanism, response), 0)

    def open(self, channel: int) -> None:
        """Open a channel."""
        self.ask(ChannelClass.Open(), ChannelClass.OpenOk, channel)

    def declare(self, queue: str, channel: int = 1, **arguments: object) -> None:
        """Declare a queue."""
        command = commands.Queue.Declare(queue=queue, **arguments)  # type: ignore[arg-type]  # as above
        self.ask(command, commands.Queue.DeclareOk, channel)

    def consume(self, queue: str, tag: str = "t", channel: int = 1, **arguments: object) -> None:
        """Start a consumer; what is delivered at once is still to be heard."""
        command = Basic.Consume(queue=queue, consumer_tag=tag, **arguments)  # type: ignore[arg-type]  # as above
        self.session.receive_data(frame.marshal(command, channel))
        (heard,) = self.hear()
        assert isinstance(heard, Basic.ConsumeOk)
        self.world.turn()

    def confirms(self, channel: int = 1) -> None:
        """Select confirms."""
        self.ask(Confirm.Select(), Confirm.SelectOk, channel)

    def tx(self, channel: int = 1) -> None:
        """Select transactions."""
        self.ask(Tx.Select(), Tx.SelectOk, channel)

    def get(self, queue: str, channel: int = 1, no_ack: bool = True) -> Message | None:
        """Get one message, if there is one."""
        self.send(Basic.Get(queue=queue, no_ack=no_ack), channel)
        (heard,) = self.hear()
        return heard if isinstance(heard, Message) else None


def published(
    octets: bytes,
    key: str = "",
    exchange: str = "",
    channel: int = 1,
    mandatory: bool = False,
    properties: Basic.Properties | None = None,
) -> bytes:
    """The frames of one message."""
    method = Basic.Publish(exchange=exchange, routing_key=key, mandatory=mandatory)
    head = header.ContentHeader(0, len(octets), properties or Basic.Properties())
    parts = [frame.marshal(method, channel), frame.marshal(head, channel)]
    parts += (
        frame.marshal(body.ContentBody(octets[at : at + BODY_MAX]), channel)
        for at in range(0, len(octets), BODY_MAX)
    )
    return b"".join(parts)


def method_frame(payload: bytes, channel: int = 1) -> bytes:
    """A method frame with any payload."""
    return frames.frame(frames.METHOD, channel, payload)


def bodies(received: list[Received]) -> list[bytes]:
    """The bodies of the messages among what was heard."""
    return [one.body for one in received if isinstance(one, Message)]
