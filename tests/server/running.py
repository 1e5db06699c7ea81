"""Running brokers for tests: in this process, and as a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from amqpd import config
from amqpd.server.app import BrokerServer, Started
from amqpd.store.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from amqpd.config import Settings
    from amqpd.server.process import Exit
    from amqpd.store import Post, Store

ROOT = Path(__file__).resolve().parents[2]
#: Hundreds of tests need no hundreds of reserves.
NO_RESERVE = {"AMQPD_STORE_RESERVE_BYTES": "0"}
#: No port is fixed, and HTTP is there only where a test wants it.
OFF: dict[str, config.Value] = {"amqp.port": "0", "http.port": "off", "metrics.port": "off"}


class Running:
    """A broker in this process, its store in memory."""

    def __init__(
        self,
        folder: Path,
        make_store: Callable[[Path, Settings, Post], Store] | None = None,
        flags: Mapping[str, config.Value] | None = None,
        file: Path | None = None,
    ) -> None:
        dotted = {key.replace("__", "."): value for key, value in (flags or {}).items()}
        loaded = config.load(file, {}, {**OFF, "store.path": str(folder / "data"), **dotted})
        self.started: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        self.server = BrokerServer(
            loaded,
            make_store=make_store or (lambda _folder, _settings, post: MemoryStore(post)),
            announce=self.started.set_result,
        )
        self.life: asyncio.Task[Exit]

    @property
    def port(self) -> int:
        """Where it accepts AMQP."""
        return self.started.result().listeners[0].port

    @property
    def uri(self) -> str:
        """The same, for clients that take a URI."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    async def stop(self) -> Exit:
        """Stop in good order; the exit code."""
        self.server.stop("test")
        return await self.life


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    make_store: Callable[[Path, Settings, Post], Store] | None = None,
    **flags: config.Value,
) -> AsyncIterator[Running]:
    """A broker that runs for the time of the block; `http__port=0` means `http.port`."""
    async with _alive(Running(folder, make_store, flags)) as broker:
        yield broker


@contextlib.asynccontextmanager
async def running_with(folder: Path, file: Path) -> AsyncIterator[Running]:
    """The same with a configuration file."""
    async with _alive(Running(folder, file=file)) as broker:
        yield broker


@contextlib.asynccontextmanager
async def _alive(broker: Running) -> AsyncIterator[Running]:
    broker.life = asyncio.create_task(broker.server.run())
    await asyncio.wait((broker.started, broker.life), return_when=asyncio.FIRST_COMPLETED)
    if broker.life.done():
        broker.life.result()
    try:
        yield broker
    finally:
        if not broker.life.done():
            await broker.stop()


class Program:
    """`amqpd` as a process; ends with the block, killed if need be."""

    def __init__(
        self,
        data: Path,
        *arguments: str,
        environment: dict[str, str] | None = None,
        module: tuple[str, ...] = ("amqpd",),
        wrapper: tuple[str, ...] = (),
    ) -> None:
        off = ["--http-port", "off", "--metrics-port", "off"]
        self.data = data
        self.errors = data.with_suffix(".err")
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [
                    *wrapper,
                    sys.executable,
                    "-m",
                    *module,
                    *("--data-dir", str(data), "--port", "0", *off, *arguments),
                ],
                cwd=ROOT,
                env={**os.environ, **NO_RESERVE, **(environment or {})},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.screen: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def wait_ready(self) -> Self:
        """Read the start screen up to its last line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.screen.append(line.rstrip("\n"))
            if line.startswith("ready in"):
                return self
        self.__exit__()
        raise AssertionError(f"ended with {self.process.returncode}: {self.log}")

    @property
    def log(self) -> str:
        """What it wrote to standard error."""
        return self.errors.read_text()

    @property
    def run(self) -> dict[str, object]:
        """Its run.json."""
        content: dict[str, object] = json.loads((self.data / "run.json").read_text())
        return content

    @property
    def port(self) -> int:
        """Where it accepts AMQP, as run.json says."""
        return self.port_of("amqp")

    def port_of(self, protocol: str) -> int:
        """Where it accepts that protocol, as run.json says."""
        if not (self.data / "run.json").exists():  # a full disk has no room for it
            shown = next(line for line in self.screen if f" {protocol}://" in line)
            return int(shown.split("://")[1].split()[0].split("/")[0].rpartition(":")[2])
        listeners = self.run["listeners"]
        assert isinstance(listeners, list)
        return next(int(one["port"]) for one in listeners if one["protocol"] == protocol)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(how)
        return self.process.wait(timeout=60)
