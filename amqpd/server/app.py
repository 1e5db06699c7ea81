"""The broker as a whole: introduces the rooms to each other, starts and stops them in order.

Start: lock and open the store, let the broker recover, bind the ports, let connections in,
say so (`run.json`, start screen, systemd), then import and start what is slow (HTTP).

Stop: let nobody in any more, close clients with 320, write what the journal holds, close the
store, remove `run.json`. When the store fails there is nothing to write: clients get 541 and
the process ends with 70; what is on disk counts at the next start.

In between, `stop_app` does all of that but for HTTP, and `start_app` begins again with what is
on disk: a restart without a new process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from amqpd import __version__, config
from amqpd.broker.broker import Broker
from amqpd.broker.types import all_types
from amqpd.clock import SteadyClock
from amqpd.errors import AmqpError
from amqpd.management.figures import totals
from amqpd.management.rates import vhost_sums
from amqpd.server import process, reload, tls
from amqpd.server.alarming import Alarming
from amqpd.server.audit import open_audit
from amqpd.server.boot import exchange_types, first_definitions
from amqpd.server.commits import Commits
from amqpd.server.connections import Connections
from amqpd.server.due import Due
from amqpd.server.garbage import Calm, Garbage
from amqpd.server.listener import RESERVED_FILES
from amqpd.server.login import Logins
from amqpd.server.logtail import following
from amqpd.server.ports import Ports
from amqpd.server.private import make_private
from amqpd.server.process import Exit, Listening, StartError
from amqpd.server.resources import Watch
from amqpd.server.room import NO_LIMIT, Room
from amqpd.server.sessions import Sessions, limits
from amqpd.server.transport import Transport
from amqpd.server.turn import Turn
from amqpd.server.witness import AmqpWitness
from amqpd.store import StoreDamaged, StoreError, StoreFull, StoreLocked, StoreNewer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from amqpd.broker.events import Facts
    from amqpd.broker.rows import Row
    from amqpd.clock import Clock
    from amqpd.config import Config, Settings
    from amqpd.server.detection import Alert
    from amqpd.server.http import HttpServer
    from amqpd.server.listener import Listener
    from amqpd.server.logtail import Recent
    from amqpd.server.room import Place
    from amqpd.server.transport import Session
    from amqpd.store import Post, Snapshot, Store, StoreFailed, WalState

LOG = logging.getLogger("amqpd.server")

#: Time comes into the broker and the sessions in steps of this.
TICK_S: Final = 0.1
#: Between two full collections of garbage, at least.
COLLECT_S: Final = 60.0
#: How long clients have to answer our close, and the journal to reach the disk; below 10 s
#: together, because that is what a supervisor waits.
GOODBYE_S: Final = 3.0
FLUSH_S: Final = 5.0
#: After a failed store: for the 541 to reach the clients.
LAST_WORDS_S: Final = 1.0
#: Between two looks whether something that is under way has ended.
TURN_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Started:
    """What the start screen shows."""

    settings: Settings
    is_new: bool
    clean: bool
    queues: int
    messages: int
    listeners: list[Listening]
    http: list[Listening]
    metrics: list[Listening]


class BrokerServer:
    """One broker with everything around it; `run` is its life.

    `make_store(directory, settings, post)` says where messages are kept; `announce(started)`
    is called once connections are accepted. `embedded` leaves alone what belongs to the whole
    process (signals, the limit on open files): it is someone else's.
    """

    def __init__(
        self,
        loaded: Config,
        *,
        make_store: Callable[[Path, Settings, Post], Store],
        announce: Callable[[Started], None],
        clock: Clock | None = None,
        embedded: bool = False,
    ) -> None:
        self.settings = loaded.settings
        self.read_again = loaded.again
        self.config_files = loaded.files
        self.directory = Path(self.settings.store.path)
        self._make_store = make_store
        self._announce = announce
        self._clock = clock or SteadyClock()
        self._embedded = embedded
        self._exit = Exit.OK
        self.started_s = time.monotonic()
        #: The same in seconds since the epoch.
        self.started_at_s = time.time()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self.ports = Ports(self.directory)
        #: Clients are let in.
        self.ready = False
        #: By `stop_app`: there are no clients and no store until `start_app`.
        self.is_stopped = False
        #: Held by whoever opens or closes what clients come in by.
        self.changing = asyncio.Lock()
        #: What clients have sent that was not on disk at the last look, by itself a mere number.
        self._brought_bytes = 0
        self.alarming = Alarming(self)
        #: The last lines of the log.
        self.recent: Recent | None = None
        self._http: HttpServer | None = None
        self.file_limit = process.file_limit() if embedded else process.raise_file_limit()
        # HTTP has descriptors of its own: it must be there when AMQP is full.
        self.http_room = Room(*self._most_of_http(), unknown="are open")
        self.room = Room(*self._most())

    # -- life ----------------------------------------------------------------------------

    async def run(self) -> Exit:
        """Start, serve until asked to stop, stop.

        Raises:
            StartError: it cannot start; nothing was left behind.
        """
        loop = asyncio.get_running_loop()
        self._store = self._make_store_in(loop)
        snapshot = self._open_store()
        # What a killed broker left says nothing about this one.
        self.ports.forget()
        try:
            self.audit = open_audit(self.settings.audit, self.directory, self._embedded)
            try:
                await self._serve(loop, snapshot)
            finally:
                result = "ok" if self._exit is Exit.OK else "failed"
                await asyncio.to_thread(self.audit.close, result)
        finally:
            if not self.is_stopped:
                await asyncio.to_thread(self._store.close)
        return self._exit

    def stop(self, reason: str, *, wait: bool = True) -> None:
        """Stop in good order; asked twice, or told so, without waiting for clients."""
        if not wait:
            self._hurry.set()
        elif self._stop.is_set():
            LOG.warning("%s again: not waiting for clients", reason)
            self._hurry.set()
            return
        LOG.info("%s: stopping", reason)
        self._stop.set()

    def reload(self) -> None:
        """Read settings and certificates again: all that can change at once does, or nothing."""
        process.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            reload.reload(self)
            self.audit.record("reload")
        except (config.ConfigError, StartError) as error:
            LOG.error("reload refused, nothing has changed: %s", error)
            self.audit.record("reload", "refused", text=str(error))
        process.notify("READY=1")

    def use(self, settings: Settings) -> None:
        """These settings are in force; connections that are open keep what they agreed on."""
        self.settings = settings
        self.sessions.use(settings)
        # Of consumers that begin from now on.
        self.broker.around.consumer_timeout_ms = limits(settings).consumer_timeout_ms
        self.logins.use(settings.auth)
        self.watch.use(settings.resources)
        self.http_room.use(*self._most_of_http())
        self.room.use(*self._most())
        self.alarming.look_soon()

    async def _serve(self, loop: asyncio.AbstractEventLoop, snapshot: Snapshot) -> None:
        await self._begin(loop, snapshot)
        with contextlib.ExitStack() as block:
            block.enter_context(contextlib.closing(self.ports))
            self._follow_log(loop, block)
            self.ports.open(self.settings, self._protocol, self.room)
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                undo = self._on_signals(loop)
                try:
                    self._let_in(snapshot)
                    background = [
                        tasks.create_task(self._ticking()),
                        tasks.create_task(self.alarming.watch()),
                        tasks.create_task(self._collecting()),
                        tasks.create_task(self._start_http(tasks)),
                    ]
                    await self._stop.wait()
                    await self._say_goodbye(background)
                finally:
                    undo()
        self.ports.forget()

    # -- stop and start within the process -------------------------------------------------

    async def stop_app(self) -> None:
        """Go on without clients and store; HTTP stays, for `start_app`."""
        async with self.changing:
            if self.is_stopped or self._stop.is_set():
                return
            LOG.info("application: stopping")
            await self._part()
            await asyncio.to_thread(self._store.close)
            self.is_stopped = True
            self.tell()
            self.audit.record("app", "stopped")

    async def start_app(self) -> None:
        """Begin again with what is on disk, on the same ports.

        Raises:
            StartError: the store cannot be opened, or a port is taken; it is still stopped.
        """
        async with self.changing:
            if not self.is_stopped or self._stop.is_set():
                return
            loop = asyncio.get_running_loop()
            snapshot = self._open_store()
            try:
                await self.logins.close()
                await self._begin(loop, snapshot)
                self.open_ports()
            except BaseException:
                await asyncio.to_thread(self._store.close)
                raise
            self.is_stopped = False
            self.open_doors()
            self.audit.record("app", "started")
            self.alarming.begin_anew()

    def open_doors(self) -> None:
        """Let clients in."""
        self.logins.start(self._tasks)
        self.ports.let_in(self._tasks, __version__, config.node_name(self.settings))
        self.ready = True

    def open_ports(self) -> None:
        """Bind what clients come in by, on the ports that it had; raises as `start_app`."""
        self.ports.open_amqp(self.settings, self._protocol, self.room)

    def tell(self) -> None:
        """Write down where the broker is."""
        self.ports.tell(__version__, config.node_name(self.settings))

    def _follow_log(self, loop: asyncio.AbstractEventLoop, block: contextlib.ExitStack) -> None:
        if not self._embedded:
            form = self.settings.log.format
            self.recent = block.enter_context(
                following(lambda: self.broker.events, loop, lambda: self.turn.wake(), form)
            )

    def _on_signals(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        if self._embedded:
            return lambda: None
        return process.on_signals(loop, self.stop, self.reload)

    # -- start ---------------------------------------------------------------------------

    def _make_store_in(self, loop: asyncio.AbstractEventLoop) -> Store:
        try:
            make_private(self.directory)
        except OSError as error:
            raise StartError(
                f"data directory '{self.directory}': {error.strerror}", Exit.CONFIG
            ) from error
        return self._make_store(self.directory, self.settings, loop.call_soon_threadsafe)

    def _open_store(self) -> Snapshot:
        try:
            return self._store.open()
        except (StoreLocked, StoreFull) as error:
            raise StartError(str(error), Exit.TRY_AGAIN) from error
        except (StoreNewer, StoreDamaged) as error:
            raise StartError(str(error), Exit.CONFIG) from error
        except StoreError as error:
            raise StartError(str(error), Exit.SOFTWARE) from error

    async def _begin(self, loop: asyncio.AbstractEventLoop, snapshot: Snapshot) -> None:
        """Everything between store and ports, as it was at the last stop."""
        self._build(loop, self._store)
        self._recover(snapshot)
        await self._first_definitions(snapshot)

    def _build(self, loop: asyncio.AbstractEventLoop, store: Store) -> None:
        self._brought_bytes = 0
        self.broker = Broker(
            limits=limits(self.settings),
            refill=self._refill,
            types=exchange_types(),
            chance=secrets.randbelow,
            new_token=lambda: secrets.token_urlsafe(16),
            now_ms=self._clock.now_ms(),
            node=config.node_name(self.settings),
            cluster_name=self.settings.node.cluster_name,
            events_vhost=self.settings.events.vhost,
        )
        self.audit.on_alert = self._alert
        self.turn = Turn(loop, self.broker.dispatch, self._push, self._tell_time)
        self.due = Due(loop, self.broker.timers, self._clock, self._fall_due, TICK_S)
        self.commits = Commits(
            loop,
            self.broker.journal,
            store,
            committed=self._committed,
            full=self.alarming.disk_is_full,
            failed=self._store_failed,
        )
        around = self.broker.around
        around.expired, around.read_some = self.commits.expired, self.commits.read_some
        around.read_returned = self.commits.read_returned
        around.archive = self.commits
        around.unreadable, around.quarantined = self.commits.unreadable, store.quarantined
        self.connections = Connections(self.commits)
        self.logins = Logins(self.broker, self.settings, loop, self._clock, self.audit)
        self.sessions = Sessions(
            self.broker,
            self.settings,
            self.logins.authenticate,
            self._clock,
            AmqpWitness(self.audit),
            self.turn.is_late,
        )
        journal = self.broker.journal
        # What waits for the disk takes about twice as much of it, with indexes.
        self.watch = Watch(
            self.settings.resources,
            self.directory,
            lambda: store.owed_bytes + 2 * journal.pending_bytes,
        )

    def _most(self) -> tuple[int, int, int, int]:
        """How many connections there may be; see `Room`."""
        amqp = self.settings.amqp
        limit = self.file_limit - RESERVED_FILES - self.http_room.most
        return (
            min(amqp.max_connections or limit, limit),
            self.settings.tls.max_handshakes,
            amqp.max_unauthenticated,
            amqp.max_unauthenticated_per_source,
        )

    def _most_of_http(self) -> tuple[int, int, int, int]:
        """The same for HTTP, where nobody stays known from one request to the next."""
        http = self.settings.http
        most = min(http.max_connections, max(16, self.file_limit // 8))
        return most, self.settings.tls.max_handshakes, NO_LIMIT, http.max_connections_per_source

    def _recover(self, snapshot: Snapshot) -> None:
        journal = self.broker.journal
        journal.next_message_id = snapshot.next_message_id
        try:
            self.broker.recover(snapshot.commands, snapshot.lanes, snapshot.streams)
        except (LookupError, ValueError, AmqpError) as error:
            # Pages that are whole, and do not fit together (no sync, bit rot).
            raise StartError(
                f"store in '{self.directory}': its definitions do not fit together ({error!r}); "
                "'amqpd check' tells what is wrong, 'amqpd salvage' saves what can be read",
                Exit.CONFIG,
            ) from error
        self.broker.reserve_lanes(snapshot.next_lane_id)
        self.broker.tick(self._clock.now_ms())

    async def _first_definitions(self, snapshot: Snapshot) -> None:
        """Definitions from files, and the default user and vhost of an empty directory."""
        await first_definitions(self.broker, self.settings, is_new=not snapshot.commands)
        await self.commits.drain()

    def _let_in(self, snapshot: Snapshot) -> None:
        self.open_doors()
        counted = totals(self.broker)
        added = len(self.broker.types) - len(all_types())
        LOG.info("Server startup complete; %d plugins started.", added)
        ports = ", ".join(one.uri for one in (*self.ports.amqp, *self.ports.all_http))
        self.audit.record("start", version=__version__, text=ports)
        self._announce(
            Started(
                settings=self.settings,
                is_new=not snapshot.commands,
                clean=snapshot.clean,
                queues=counted.queues,
                messages=sum(vhost_sums(one).ready for one in self.broker.vhosts.values()),
                listeners=self.ports.amqp,
                http=self.ports.http,
                metrics=self.ports.scraped,
            )
        )
        process.notify("READY=1")

    @property
    def wal(self) -> WalState:
        """How long the store's WAL is, and who makes it grow."""
        return self._store.wal

    @property
    def secure_http(self) -> list[Listener]:
        """HTTP's listeners with TLS, once they are there."""
        return self._http.listeners if self._http is not None else []

    async def _start_http(self, tasks: asyncio.TaskGroup) -> None:
        ports = self.ports
        if not any(ports.web):
            if ports.local is None:
                return
            # Nothing is imported for a socket that nobody asks for.
            await ports.local.knocked()
        try:
            make = await asyncio.to_thread(_import_http)
            self._http = make(self)
            await self._http.start(
                ports.web, tasks, lambda: tls.for_browsers(self.settings.tls), ports.local
            )
            await self._http.sample()
        except Exception:
            # Messages are worth more than their statistics.
            LOG.exception("HTTP is not served; the broker goes on")

    # -- stop ----------------------------------------------------------------------------

    async def _say_goodbye(self, background: list[asyncio.Task[None]]) -> None:
        process.notify("STOPPING=1")
        async with self.changing:
            if not self.is_stopped:
                await self._part()
        for task in background:
            task.cancel()
        if self._http is not None:
            await self._http.close()
        await self.logins.close()

    async def _part(self) -> None:
        """Send clients away and write what is left to write."""
        self.ready = False
        self.ports.close_amqp()
        if self.commits.error is None:
            await self._farewell()
            await self._flush()
        else:
            self.connections.fail()
            await self.connections.shut_down(LAST_WORDS_S)
        self.commits.close()
        self.due.stop()

    async def _farewell(self) -> None:
        """Close all clients with 320; a second signal cuts this short."""
        goodbye = asyncio.ensure_future(self.connections.shut_down(GOODBYE_S))
        hurry = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait((goodbye, hurry), return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not goodbye.done():
            goodbye.cancel()
            # It must be over: it and the next share the note of who waits for the last client.
            await asyncio.wait((goodbye,))
            await self.connections.shut_down(0)

    async def _flush(self) -> None:
        """Bring the journal to disk, and how far each queue was really handed out."""
        try:
            async with asyncio.timeout(FLUSH_S):
                while self.broker.dispatch():
                    pass  # what clients had comes back
                # What came after a transaction that is under way is written with it.
                while self.broker.journal.open is not None:  # noqa: ASYNC110 - the model has no events
                    await asyncio.sleep(TURN_S)
                await self.commits.drain()
                await self.commits.write_marks(self.broker.last_marks())
        except TimeoutError:
            LOG.error("store: not everything could be written in %s s", FLUSH_S)
            self._exit = Exit.SOFTWARE

    # -- turns ---------------------------------------------------------------------------

    def _push(self) -> None:
        # What queues have decided meanwhile is no reader's.
        self._brought_bytes = self._brought()
        self.commits.push()
        self.due.look()

    def _fall_due(self) -> None:
        if not self.is_stopped:
            self.broker.tick(self._time_ms())
            self.turn.wake()

    def _committed(self) -> None:
        self._brought_bytes = self._brought()
        self.connections.relieve()
        self.turn.wake()
        # Confirms go out before the next batch is packed.
        self.turn.flush()

    def _refill(
        self,
        lane: int,
        from_position: int,
        upto_position: int,
        max_messages: int,
        max_bytes: int,
        done: Callable[[list[Row], int], None],
    ) -> None:
        # The broker is made before the commits that it needs for this.
        self.commits.refill(lane, from_position, upto_position, max_messages, max_bytes, done)

    def _protocol(self, place: Place) -> Transport:
        loop = asyncio.get_running_loop()
        return Transport(
            loop,
            self.turn,
            place,
            make_session=self._connected,
            gone=self.connections.remove,
            was_read=self._was_read,
        )

    def _connected(self, transport: Transport) -> Session:
        self.connections.add(transport)
        return self.sessions.make(transport)

    def _was_read(self, transport: Transport) -> None:
        # Who added to what waits for the disk is a publisher; others are never held.
        before, self._brought_bytes = self._brought_bytes, self._brought()
        brought = self._brought_bytes - before
        if brought > 0 and self.commits.holds(brought):
            self.connections.hold(transport)
        session = transport.session
        if session.crowding is not None:
            queue, session.crowding = session.crowding, None
            self.connections.hold_for(transport, queue)

    def _brought(self) -> int:
        """Grows between two commits by what clients bring about, and by nothing that expires."""
        journal = self.broker.journal
        return journal.pending_bytes - journal.expired_bytes

    async def _ticking(self) -> None:
        revision = self.broker.permissions.revision
        while True:
            try:
                for _ in () if self.is_stopped else self._tick():
                    self.turn.wake()
                    await asyncio.sleep(0)
                if self.broker.permissions.revision != revision or self.logins.forget_old():
                    revision = self.broker.permissions.revision
                    self.connections.access_changed()
            except Exception:
                LOG.exception("tick failed; the broker goes on")
            self.turn.wake()
            await asyncio.sleep(TICK_S)

    def _tell_time(self) -> None:
        self.broker.time_is(self._clock.now_ms())

    def _time_ms(self) -> int:
        """The time, which stands still while what was read waits for its dispatch."""
        return self.broker.around.now_ms if self.turn.is_dated else self._clock.now_ms()

    def _tick(self) -> Iterator[None]:
        now_ms = self._time_ms()
        self.broker.tick(now_ms)
        self.commits.watch()
        self.audit.tick(now_ms / 1000)
        yield from self.connections.tick(now_ms)

    async def _collecting(self) -> None:
        """Collect cycles of garbage now and then, when nothing else is going on."""
        garbage = Garbage(freezes=not self._embedded)
        while True:
            await asyncio.sleep(COLLECT_S)
            calm, is_calm = Calm(), False
            while not is_calm:
                await asyncio.sleep(TICK_S)
                is_calm = calm.is_calm(self.turn.busy_turns)
            figures = [one.stats for one in self.broker.vhosts.values()]
            made = sum(one.queues_created for one in figures) + self.connections.opened
            gone = sum(one.queues_deleted for one in figures) + self.connections.closed
            garbage.collect(made, gone)

    # -- failures --------------------------------------------------------------------------

    def _alert(self, alert: Alert) -> None:
        if self.broker.events.on:
            facts: Facts = {"rule": alert.rule, "about": alert.name, "text": alert.text}
            self.broker.events.tell("audit.alert", facts)

    def _store_failed(self, error: StoreFailed) -> None:
        LOG.critical("%s; stopping: what is on disk counts at the next start", error)
        self.audit.record("store", "failed", text=str(error))
        self._exit = Exit.SOFTWARE
        self._stop.set()


def _import_http() -> Callable[[BrokerServer], HttpServer]:
    from amqpd.server.hosting import Hosting
    from amqpd.server.http import HttpServer as Server

    def make(server: BrokerServer) -> HttpServer:
        per_object = server.settings.metrics.per_object
        return Server(Hosting(server), server.http_room, per_object=per_object)

    return make
