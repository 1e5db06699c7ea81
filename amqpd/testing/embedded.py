"""A broker in a thread of this process, with an event loop of its own.

It is the whole broker: real sockets, real sessions, the real stop. Only what belongs to the
process stays the test's: signals, environment variables, the limit on open files, standard
error (log records go to `logging`, where pytest's `caplog` finds them).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from amqpd.testing.address import QUIET, StartFailed, login_uri, vhost_path

if TYPE_CHECKING:
    import asyncio
    import threading
    from collections.abc import Coroutine
    from pathlib import Path
    from types import TracebackType
    from typing import TypeVar

    from amqpd.server.app import BrokerServer, Started
    from amqpd.server.process import Exit
    from amqpd.store import Post, Store
    from amqpd.testing.address import Settings

    T = TypeVar("T")

#: A start or stop that takes longer is a fault of ours.
PATIENCE_S: Final = 30.0


class EmbeddedBroker:
    """A broker for one test; a context manager.

    Messages are kept in memory, or in `directory` if one is given; both outlive `restart()`.

        with EmbeddedBroker() as broker:
            connection = pika.BlockingConnection(pika.URLParameters(broker.uri))
    """

    def __init__(self, directory: Path | None = None, settings: Settings | None = None) -> None:
        self.settings: Settings = {**QUIET, **(settings or {})}
        self._directory = directory
        self._temporary: Path | None = None
        self._memory: Store | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: BrokerServer | None = None
        self._life: asyncio.Task[Exit] | None = None
        self._started: Started | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._running.listeners[0].host

    @property
    def port(self) -> int:
        """The port for AMQP; the same after a restart."""
        return self._running.listeners[0].port

    @property
    def uri(self) -> str:
        """All that a client needs."""
        return login_uri("amqp", self.host, self.port, self.settings, vhost_path(self.settings))

    @property
    def http_uri(self) -> str:
        """The HTTP API's, with user and password; empty unless `http.port` was set."""
        for one in self._running.http:
            return login_uri("http", one.host, one.port, self.settings, "")
        return ""

    @property
    def server(self) -> BrokerServer:
        """The broker itself, which only its own thread may touch."""
        assert self._server is not None, "the broker does not run"
        return self._server

    def start(self) -> Self:
        """Start it, unless it runs.

        Raises:
            StartFailed: a setting is wrong, or a port is taken.
        """
        import asyncio
        import tempfile
        import threading
        from pathlib import Path

        if self._thread is not None:
            return self
        if self._directory is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="amqpd-"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="amqpd-embedded", daemon=True
        )
        self._thread.start()
        try:
            self._call(self._begin())
        except BaseException:
            self.stop()
            raise
        return self

    def restart(self) -> None:
        """Stop and start on the same port; what is durable stays, clients are cut off."""
        self.settings = {**self.settings, "amqp.port": self.port}
        self._call(self._end())
        self._call(self._begin())

    def stop(self) -> None:
        """Stop in good order, without waiting for clients; a second time does nothing."""
        import shutil

        if self._thread is None or self._loop is None:
            return
        try:
            self._call(self._end())
        finally:
            self._call(self._loop.shutdown_default_executor())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_S)
            self._loop.close()
            self._thread = self._memory = None
            if self._temporary is not None:
                shutil.rmtree(self._temporary, ignore_errors=True)

    @property
    def _running(self) -> Started:
        assert self._started is not None, "the broker does not run"
        return self._started

    def _call(self, work: Coroutine[object, object, T]) -> T:
        import asyncio

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    async def _begin(self) -> None:
        import asyncio

        from amqpd import config
        from amqpd.server.app import BrokerServer
        from amqpd.server.process import StartError

        folder = str(self._directory or self._temporary)
        started: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        try:
            # The environment is not asked: a test must mean the same everywhere.
            loaded = config.load(None, {}, {**self.settings, "store.path": folder})
            self._server = BrokerServer(
                loaded, make_store=self._store, announce=started.set_result, embedded=True
            )
            self._life = asyncio.create_task(self._server.run())
            await asyncio.wait((started, self._life), return_when=asyncio.FIRST_COMPLETED)
            if self._life.done():
                self._life.result()
        except (config.ConfigError, StartError) as error:
            self._life = None
            raise StartFailed(str(error)) from error
        self._started = started.result()

    async def _end(self) -> None:
        if self._life is not None and self._server is not None:
            self._server.stop("end of the test", wait=False)
            await self._life
        self._life = None

    def _store(self, directory: Path, _settings: object, post: Post) -> Store:
        if self._directory is not None:
            from amqpd.store.settings import StoreSettings
            from amqpd.store.sqlite import SqliteStore

            return SqliteStore(directory, post, StoreSettings(sync=False))
        if self._memory is None:
            from amqpd.store.memory import MemoryStore

            self._memory = MemoryStore(post)
        return self._memory
